//! How much there is of everything.

use policies::UnixSeconds;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use super::Read;
use crate::failure::Fault;

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct Counts {
    pub partners: i64,
    pub clients: i64,
    /// Client certificates that are issued, not expired and not revoked.
    pub certificates: i64,
    /// Live API keys.
    pub api_keys: i64,
    /// Live client secrets.
    pub client_secrets: i64,
}

/// Counts what is live at `now`.
pub async fn live(from: impl Read, now: UnixSeconds) -> Result<Counts, Fault> {
    let select = sqlx::query_as(
        "SELECT
           (SELECT COUNT(*) FROM partners) AS partners,
           (SELECT COUNT(*) FROM clients) AS clients,
           (SELECT COUNT(*) FROM certificates c
            WHERE c.kind = 'client' AND c.state = 'issued' AND c.not_after >= $1 AND NOT EXISTS (
              SELECT 1 FROM revocations r WHERE r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial)) AS certificates,
           (SELECT COUNT(*) FROM api_keys
            WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)) AS api_keys,
           (SELECT COUNT(*) FROM client_secrets
            WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)) AS client_secrets",
    );
    Ok(from.row(select.bind(now.0)).await?.unwrap_or_default())
}
