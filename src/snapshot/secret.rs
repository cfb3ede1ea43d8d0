//! What the gate knows of API keys and client secrets: enough to recognise one, not to write one down.

use std::sync::Arc;

use policies::{ClientId, UnixSeconds};

use super::narrowing::Narrowing;
use crate::failure::Fault;
use crate::store::api_key::ApiKeyRow;
use crate::store::client_secret::ClientSecretRow;
use crate::store::stored;

/// An API key.
#[derive(Clone)]
pub struct ApiKeyEntry {
    /// The public part.
    pub id: Arc<str>,
    pub client: ClientId,
    /// HMAC-SHA-256 of the secret part. Compare it in constant time.
    pub hmac: [u8; 32],
    pub expires_at: Option<UnixSeconds>,
    pub revoked: bool,
    pub narrowing: Narrowing,
}

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

impl ApiKeyEntry {
    pub(super) fn from_row(row: &ApiKeyRow) -> Result<Self, Fault> {
        Ok(Self {
            id: row.id.as_str().into(),
            client: stored("client id", &row.client_id)?,
            hmac: hmac(&row.hmac)?,
            expires_at: row.expires_at.map(UnixSeconds),
            revoked: row.revoked_at.is_some(),
            narrowing: Narrowing::from_lists(row.scopes.as_deref(), row.networks.as_deref()),
        })
    }
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
                        networks: row.networks.as_deref().map(Arc::from),
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

fn hmac(bytes: &[u8]) -> Result<[u8; 32], Fault> {
    bytes.try_into().map_err(|_| Fault::new(format!("an HMAC of {} bytes", bytes.len())))
}

impl std::fmt::Debug for ApiKeyEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("ApiKeyEntry");
        debug
            .field("id", &self.id)
            .field("client", &self.client)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientSecretEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("ClientSecretEntry");
        debug.field("id", &self.id).field("revoked", &self.revoked).finish_non_exhaustive()
    }
}
