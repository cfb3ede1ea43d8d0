//! `expiry_notices`: which ends were announced, and at which distance.

use policies::UnixSeconds;

use super::{Read, Tx};
use crate::failure::Fault;

/// Announcements outlive the end that they announce by this, and then go.
const RETENTION_SECONDS: i64 = 30 * 86_400;

/// An announcement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, sqlx::FromRow)]
pub struct ExpiryNotice {
    pub kind: String,
    pub id: String,
    pub expires_at: i64,
    pub threshold_days: i64,
}

/// All that are remembered, of ends at or after `ends_from`.
pub async fn told(from: impl Read, ends_from: UnixSeconds) -> Result<Vec<ExpiryNotice>, Fault> {
    let select =
        sqlx::query_as("SELECT kind, id, expires_at, threshold_days FROM expiry_notices WHERE expires_at >= $1");
    from.rows(select.bind(ends_from.0)).await
}

/// Remembers announcements, and forgets those of ends long past.
pub async fn put_all(tx: &mut Tx, notices: &[ExpiryNotice], now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query("DELETE FROM expiry_notices WHERE expires_at < $1")
        .bind(now.0.saturating_sub(RETENTION_SECONDS))
        .execute(tx.connection())
        .await?;
    for notice in notices {
        sqlx::query(
            "INSERT INTO expiry_notices (kind, id, expires_at, threshold_days, told_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (kind, id, expires_at, threshold_days) DO NOTHING",
        )
        .bind(&notice.kind)
        .bind(&notice.id)
        .bind(notice.expires_at)
        .bind(notice.threshold_days)
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}
