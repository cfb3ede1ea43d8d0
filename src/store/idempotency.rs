//! `idempotency_keys`: what was answered to a request that may be sent again. An answer with a secret must not be kept here.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{Read, Tx};
use crate::failure::Fault;

/// One answered request. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct IdempotencyRow {
    /// The caller's key, with the caller's own id in front: one caller must not read another's answer.
    pub key: String,
    /// SHA-256 of what was asked; the same key with another request is a mistake.
    pub request: String,
    pub answer: String,
    pub created_at: i64,
}

/// What was answered under `key`.
pub async fn get(from: impl Read, key: &str) -> Result<Option<IdempotencyRow>, Fault> {
    from.row(sqlx::query_as("SELECT key, request, answer, created_at FROM idempotency_keys WHERE key = $1").bind(key))
        .await
}

/// Keeps an answer. `false` when the key was used before.
pub async fn insert(tx: &mut Tx, row: &IdempotencyRow) -> Result<bool, Fault> {
    let done = sqlx::query(
        "INSERT INTO idempotency_keys (key, request, answer, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (key) DO NOTHING",
    )
    .bind(&row.key)
    .bind(&row.request)
    .bind(&row.answer)
    .bind(row.created_at)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Puts another answer in place of one that turned out to be worth nothing.
pub async fn replace(tx: &mut Tx, row: &IdempotencyRow) -> Result<(), Fault> {
    sqlx::query("UPDATE idempotency_keys SET request = $2, answer = $3, created_at = $4 WHERE key = $1")
        .bind(&row.key)
        .bind(&row.request)
        .bind(&row.answer)
        .bind(row.created_at)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Forgets answers older than `before`; says how many.
pub async fn prune(tx: &mut Tx, before: UnixSeconds) -> Result<u64, Fault> {
    let done = sqlx::query("DELETE FROM idempotency_keys WHERE created_at < $1")
        .bind(before.0)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected())
}
