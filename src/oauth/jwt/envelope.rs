//! A compact JWS (RFC 7515 §7.1) around whatever it carries.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::{Algorithm, MAX_KEY_ID_BYTES, MAX_TOKEN_BYTES, SignedToken, TokenFault, VerificationKey, json};

/// A token taken apart, before anybody has read what it says. **The header is the sender's words.**
#[derive(Debug)]
pub struct Envelope<'a> {
    signing_input: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<String>,
    token_type: Option<String>,
    payload: Vec<u8>,
}

impl<'a> Envelope<'a> {
    /// Refused: JSON serialisations, encrypted tokens (five parts), nested tokens (`cty`), any `crit` and `b64` (extensions
    /// that a verifier must know, and this one knows none: CVE-2025-59420, CVE-2026-32597), compression, `none` and HMAC
    /// algorithms. `jku`, `x5u`, `x5c` and `jwk` name keys of the sender's choice and are never looked at.
    pub fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenFault::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenFault::NotCompact)?;
        if header.is_empty() || payload.is_empty() || payload.contains('.') {
            return Err(TokenFault::NotCompact);
        }
        let header = json::object(&json::base64url(header)?)?;
        for refused in ["crit", "b64", "enc", "zip", "cty"] {
            if header.contains_key(refused) {
                return Err(TokenFault::Header(refused));
            }
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => Algorithm::from_str(name)?,
            _ => return Err(TokenFault::Algorithm),
        };
        let key_id = short_text(&header, "kid")?;
        let token_type = short_text(&header, "typ")?;
        let signature = json::base64url(signature)?;
        let payload = json::base64url(payload)?;
        Ok(Self { signing_input, signature, algorithm, key_id, token_type, payload })
    }

    /// The name of the key: for a look-up in memory, never a path or a query.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The algorithm the token says it is signed with. The key decides whether that may be.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks the signature with a key that was found by the caller's own means.
    ///
    /// # Errors
    /// [`TokenFault::Algorithm`] when the key is not for the token's algorithm, [`TokenFault::Signature`].
    pub fn verify_signature(&self, key: &VerificationKey) -> Result<(), TokenFault> {
        key.verify(self.algorithm, self.signing_input.as_bytes(), &self.signature)
    }

    /// Checks the signature and then opens the token: what it carries must be claims.
    ///
    /// # Errors
    /// Those of [`Envelope::verify_signature`], and [`TokenFault::Json`].
    pub fn open(self, key: &VerificationKey) -> Result<SignedToken, TokenFault> {
        self.verify_signature(key)?;
        let claims = self.claims()?;
        Ok(self.signed(claims))
    }

    pub(super) fn claims(&self) -> Result<Map<String, Value>, TokenFault> {
        json::object(&self.payload)
    }

    /// The claims of this envelope, once its signature is good.
    pub(super) fn signed(self, claims: Map<String, Value>) -> SignedToken {
        SignedToken { token_type: self.token_type, claims }
    }
}

fn short_text(header: &Map<String, Value>, member: &'static str) -> Result<Option<String>, TokenFault> {
    match header.get(member) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_KEY_ID_BYTES => Ok(Some(text.clone())),
        Some(_) => Err(TokenFault::Header(member)),
    }
}
