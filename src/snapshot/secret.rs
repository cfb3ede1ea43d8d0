//! What the gate knows of client secrets: enough to recognise one, not to write one down.

use std::sync::Arc;

use policies::UnixSeconds;

use crate::failure::Fault;
use crate::store::client_secret::listed::ListedClientSecret;

/// A client secret.
#[derive(Clone)]
pub struct ClientSecretEntry {
    pub id: Arc<str>,
    /// HMAC-SHA-256 of the secret. Compare it in constant time.
    pub hmac: [u8; 32],
    pub expires_at: Option<UnixSeconds>,
    pub revoked: bool,
    /// Network names or CIDRs, for [`super::PolicyView::allowlist`].
    pub networks: Option<Arc<[String]>>,
}

/// The secrets of every client that has some.
pub(super) struct ClientSecrets {
    by_client: papaya::HashMap<Arc<str>, Arc<[ClientSecretEntry]>>,
    none: Arc<[ClientSecretEntry]>,
}

impl Default for ClientSecrets {
    fn default() -> Self {
        Self { by_client: papaya::HashMap::new(), none: Arc::new([]) }
    }
}

impl ClientSecrets {
    pub(super) fn of(&self, client: &str) -> Arc<[ClientSecretEntry]> {
        self.by_client.pin().get(client).unwrap_or(&self.none).clone()
    }

    /// All secrets of one client, in place of those that were known.
    pub(super) fn put_all(&self, client: &str, secrets: impl Iterator<Item = ListedClientSecret>) {
        let entries: Arc<[ClientSecretEntry]> = secrets.filter_map(entry).collect();
        if entries.is_empty() {
            self.by_client.pin().remove(client);
        } else {
            self.by_client.pin().insert(client.into(), entries);
        }
    }

    /// One secret besides those that are known, or in the place of the one that it is.
    pub(super) fn add(&self, secret: ListedClientSecret) {
        let by_client = self.by_client.pin();
        let client = secret.client_id.clone();
        let Some(entry) = entry(secret) else { return };
        let known = by_client.get(client.as_str()).unwrap_or(&self.none);
        let others = known.iter().filter(|known| known.id != entry.id).cloned();
        let entries: Arc<[ClientSecretEntry]> = others.chain([entry.clone()]).collect();
        by_client.insert(client.into(), entries);
    }
}

/// A row that cannot be read is left out.
fn entry(secret: ListedClientSecret) -> Option<ClientSecretEntry> {
    match hmac(&secret.hmac) {
        Ok(hmac) => Some(ClientSecretEntry {
            id: secret.id.into(),
            hmac,
            expires_at: secret.expires_at.map(UnixSeconds),
            revoked: secret.revoked,
            networks: secret.networks.map(Arc::from),
        }),
        Err(fault) => {
            tracing::error!(id = secret.id, error = fault.inside(), "a client secret cannot be read and is refused");
            None
        }
    }
}

pub(super) fn hmac(bytes: &[u8]) -> Result<[u8; 32], Fault> {
    bytes.try_into().map_err(|_| Fault::new(format!("an HMAC of {} bytes", bytes.len())))
}

impl std::fmt::Debug for ClientSecretEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("ClientSecretEntry");
        debug.field("id", &self.id).field("revoked", &self.revoked).finish_non_exhaustive()
    }
}
