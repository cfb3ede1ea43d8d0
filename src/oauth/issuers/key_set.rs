//! The keys of a JWK Set that can be used.

use std::sync::Arc;

use aws_lc_rs::digest;
use serde_json::Value;

use crate::failure::Fault;
use crate::oauth::jwt::{Algorithm, KeyFault, VerificationKey};

/// More keys than this are not looked at.
pub(super) const KEYS_MAX: usize = 100;

/// What one fetch brought.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Arc<VerificationKey>>,
    /// Of the document: tells whether a fetch brought anything new.
    digest: [u8; 32],
}

impl KeySet {
    /// Reads a JWK Set. Keys that cannot be used are left out, so that one bad key does not void the others.
    ///
    /// # Errors
    /// When it is not a JWK Set, or when no key of it is usable: the keys that were known before are then worth more.
    pub(super) fn parse(document: &[u8]) -> Result<Self, Fault> {
        let json: Value =
            serde_json::from_slice(document).map_err(|error| Fault::new(format!("the JWK Set: {error}")))?;
        let listed = json.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or_else(|| Fault::new("the JWK Set has no list of keys"))?;
        if listed.len() > KEYS_MAX {
            tracing::warn!(keys = listed.len(), max = KEYS_MAX, "a JWK Set is too long; the rest of it is not used");
        }
        let mut keys = Vec::new();
        for (index, jwk) in listed.iter().take(KEYS_MAX).enumerate() {
            match VerificationKey::from_jwk(jwk) {
                Ok(key) => keys.push(Arc::new(key)),
                // Issuers publish keys for other purposes too; a private key in the open is worth a word.
                Err(fault @ KeyFault::Private) => tracing::error!(%fault, index, "a key of a JWK Set is not used"),
                Err(fault) => tracing::info!(%fault, index, "a key of a JWK Set is not used"),
            }
        }
        if keys.is_empty() {
            return Err(Fault::new("the JWK Set has no key that can be used"));
        }
        let mut of_document = [0; 32];
        of_document.copy_from_slice(digest::digest(&digest::SHA256, document).as_ref());
        Ok(Self { keys, digest: of_document })
    }

    /// The key that a token names. A token that names none is taken to mean the only key there is.
    pub(super) fn find(&self, key_id: Option<&str>, algorithm: Algorithm) -> Option<&Arc<VerificationKey>> {
        match (key_id, self.keys.as_slice()) {
            (Some(key_id), keys) => keys.iter().find(|key| key.key_id() == Some(key_id) && key.supports(algorithm)),
            (None, [only]) if only.supports(algorithm) => Some(only),
            (None, _) => None,
        }
    }

    pub(super) fn same_document(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
