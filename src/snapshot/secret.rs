//! What the gate knows of client secrets: enough to recognise one, not to write one down.

use std::sync::Arc;

use policies::UnixSeconds;

use crate::failure::Fault;
use crate::store::client_secret::ClientSecretRow;

/// A client secret.
#[derive(Clone)]
pub struct ClientSecretEntry {
    pub id: Arc<str>,
    /// HMAC-SHA-256 of the secret. Compare it in constant time.
    pub hmac: [u8; 32],
    pub expires_at: Option<UnixSeconds>,
    pub revoked: bool,
}

/// Rows of one client must stand together. A row that cannot be read is left out.
pub(super) fn secrets_by_client(rows: Vec<ClientSecretRow>) -> Vec<(Arc<str>, Arc<[ClientSecretEntry]>)> {
    rows.chunk_by(|one, next| one.client_id == next.client_id)
        .filter_map(|of_client| {
            let entries: Arc<[ClientSecretEntry]> = of_client
                .iter()
                .filter_map(|row| match hmac(&row.hmac) {
                    Ok(hmac) => Some(ClientSecretEntry {
                        id: row.id.as_str().into(),
                        hmac,
                        expires_at: row.expires_at.map(UnixSeconds),
                        revoked: row.revoked_at.is_some(),
                    }),
                    Err(fault) => {
                        tracing::error!(
                            id = row.id,
                            error = fault.inside(),
                            "a client secret cannot be read and is refused"
                        );
                        None
                    }
                })
                .collect();
            Some((of_client.first()?.client_id.as_str().into(), entries))
        })
        .collect()
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
