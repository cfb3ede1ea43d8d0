//! `blocked_keys`: public keys that must never be certified again. Nothing takes one off.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{Read, Tx};
use crate::failure::Fault;

/// One blocked key. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct BlockedKeyRow {
    /// SHA-256 of the SubjectPublicKeyInfo, hex.
    pub spki_fingerprint: String,
    /// Why: `key-compromise`, or an operator's words.
    pub reason: String,
    /// The certificate it was seen in (`<issuer>/<serial>`), or who added it.
    pub source: String,
    pub blocked_at: i64,
}

/// Blocks a key. `false` when it was blocked before: the first reason stands.
pub async fn insert(
    tx: &mut Tx,
    spki_fingerprint: &str,
    reason: &str,
    source: &str,
    now: UnixSeconds,
) -> Result<bool, Fault> {
    let done = sqlx::query(
        "INSERT INTO blocked_keys (spki_fingerprint, reason, source, blocked_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (spki_fingerprint) DO NOTHING",
    )
    .bind(spki_fingerprint)
    .bind(reason)
    .bind(source)
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Why this key is blocked; `None` when it is not.
pub async fn get(from: impl Read, spki_fingerprint: &str) -> Result<Option<BlockedKeyRow>, Fault> {
    from.row(
        sqlx::query_as(
            "SELECT spki_fingerprint, reason, source, blocked_at FROM blocked_keys WHERE spki_fingerprint = $1",
        )
        .bind(spki_fingerprint),
    )
    .await
}
