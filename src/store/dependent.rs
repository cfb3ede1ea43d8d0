//! Live client certificates with when they were last seen: who stands on which authority.

use futures_util::{Stream, StreamExt};
use policies::UnixSeconds;
use sqlx::FromRow;

use super::Store;
use crate::failure::Fault;

/// A live client certificate. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, FromRow)]
pub struct DependentRow {
    pub client_id: String,
    pub issuer_key_id: String,
    pub not_after: i64,
    /// When it last let somebody in, some seconds late; absent: never.
    pub last_seen_at: Option<i64>,
    /// The address that it came from then.
    pub source: Option<String>,
    /// Key ids of the authorities that the client sent, nearest first.
    pub chain: Option<String>,
}

/// Every client certificate that is issued, not revoked and not over at `now`, in no order.
pub fn stream(store: &Store, now: UnixSeconds) -> impl Stream<Item = Result<DependentRow, Fault>> + '_ {
    sqlx::query_as::<_, DependentRow>(
        "SELECT c.client_id, c.issuer_key_id, c.not_after, s.last_seen_at, s.source, s.chain
         FROM certificates c
         LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial
         LEFT JOIN credential_sightings s ON s.kind = 'certificate' AND s.id = c.issuer_key_id || '/' || c.serial
         WHERE c.kind = 'client' AND c.state = 'issued' AND c.client_id IS NOT NULL AND r.serial IS NULL AND c.not_after >= $1",
    )
    .bind(now.0)
    .fetch(store.readers())
    .map(|row| row.map_err(Fault::from))
}

/// How many of the gate's own certificates this authority issued that still hold at `now`.
pub async fn live_server_certificates(store: &Store, issuer_key_id: &str, now: UnixSeconds) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar(
        "SELECT COUNT(*) FROM certificates c
         LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial
         WHERE c.issuer_key_id = $1 AND c.kind = 'server' AND c.state = 'issued' AND r.serial IS NULL AND c.not_after >= $2",
    )
    .bind(issuer_key_id)
    .bind(now.0)
    .fetch_one(store.readers())
    .await?)
}
