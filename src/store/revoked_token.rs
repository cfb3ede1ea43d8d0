//! `revoked_tokens`: tokens that are refused although their signature and times are good. Issued tokens are not stored.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{ChangeKind, Read, Tx};
use crate::failure::Fault;

/// How long after its end a revocation is kept: the widest leeway that any verifier here grants (60 s), so that no token is
/// still good when its revocation goes.
pub const LEEWAY_SECONDS: i64 = 60;
/// How many rows one [`prune`] takes, so that a write transaction stays short.
pub const PRUNE_MAX: u32 = 1000;

/// One revoked token. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct RevokedTokenRow {
    pub jti: String,
    pub client_id: String,
    /// The token's `exp`.
    pub expires_at: i64,
    pub revoked_at: i64,
}

/// The revocation of the token `jti`.
pub async fn get(from: impl Read, jti: &str) -> Result<Option<RevokedTokenRow>, Fault> {
    from.row(
        sqlx::query_as("SELECT jti, client_id, expires_at, revoked_at FROM revoked_tokens WHERE jti = $1").bind(jti),
    )
    .await
}

/// Every `jti`: what the snapshot loads.
pub async fn all(from: impl Read) -> Result<Vec<String>, Fault> {
    let rows: Vec<(String,)> = from.rows(sqlx::query_as("SELECT jti FROM revoked_tokens")).await?;
    Ok(rows.into_iter().map(|(jti,)| jti).collect())
}

/// Revokes a token. `false` when it was revoked before.
pub async fn insert(tx: &mut Tx, row: &RevokedTokenRow, now: UnixSeconds) -> Result<bool, Fault> {
    let done = sqlx::query(
        "INSERT INTO revoked_tokens (jti, client_id, expires_at, revoked_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (jti) DO NOTHING",
    )
    .bind(&row.jti)
    .bind(&row.client_id)
    .bind(row.expires_at)
    .bind(row.revoked_at)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::Token, &row.jti, now).await?;
    Ok(true)
}

/// Forgets revocations of tokens that ended more than [`LEEWAY_SECONDS`] before `now`, at most [`PRUNE_MAX`] at once;
/// says how many. Every node hears of it through the feed, so that memory does not grow either.
pub async fn prune(tx: &mut Tx, now: UnixSeconds) -> Result<u64, Fault> {
    let gone: Vec<String> = sqlx::query_scalar(
        "DELETE FROM revoked_tokens
         WHERE jti IN (SELECT jti FROM revoked_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
         RETURNING jti",
    )
    .bind(now.0.saturating_sub(LEEWAY_SECONDS))
    .bind(i64::from(PRUNE_MAX))
    .fetch_all(tx.connection())
    .await?;
    for jti in &gone {
        tx.changed(ChangeKind::Token, jti, now).await?;
    }
    Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
}
