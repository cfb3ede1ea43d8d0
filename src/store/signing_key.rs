//! `signing_keys`: what access tokens are signed with, encrypted.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{ChangeKind, Read, Tx, stored_names};
use crate::failure::Fault;

stored_names! {
    /// Where in its life a signing key stands.
    SigningKeyState, "signing key state" {
        /// Signs, and is published.
        Active => "active",
        /// Signs no more, and is still published for the tokens it signed.
        Retiring => "retiring",
        /// No longer published; its tokens are refused.
        Removed => "removed",
    }
}

/// One key. Times are seconds since the Unix epoch.
#[derive(Clone, FromRow)]
pub struct SigningKeyRow {
    pub kid: String,
    /// JWS name (RFC 7518 §3.1): `ES256`, `RS256`.
    pub algorithm: String,
    #[sqlx(try_from = "String")]
    pub state: SigningKeyState,
    /// Encrypted PKCS#8, PEM.
    pub private_key: String,
    pub created_at: i64,
    /// When it came into `state`.
    pub state_since: i64,
}

impl std::fmt::Debug for SigningKeyRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("SigningKeyRow");
        debug
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Every key, the removed ones too, newest first.
pub async fn list(from: impl Read) -> Result<Vec<SigningKeyRow>, Fault> {
    from.rows(sqlx::query_as(
        "SELECT kid, algorithm, state, private_key, created_at, state_since FROM signing_keys ORDER BY created_at DESC, kid",
    )).await
}

/// Adds a key.
pub async fn insert(tx: &mut Tx, row: &SigningKeyRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO signing_keys (kid, algorithm, state, private_key, created_at, state_since)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&row.kid)
    .bind(&row.algorithm)
    .bind(row.state.as_str())
    .bind(&row.private_key)
    .bind(row.created_at)
    .bind(row.state_since)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::SigningKey, &row.kid, now).await
}

/// Moves a key on in its life. `false` when there is none of that id.
pub async fn set_state(tx: &mut Tx, kid: &str, state: SigningKeyState, now: UnixSeconds) -> Result<bool, Fault> {
    let done = sqlx::query("UPDATE signing_keys SET state = $2, state_since = $3 WHERE kid = $1")
        .bind(kid)
        .bind(state.as_str())
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::SigningKey, kid, now).await?;
    Ok(true)
}
