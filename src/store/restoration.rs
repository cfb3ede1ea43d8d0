//! `restorations`: when this database came back from an export, and when its authorities were reconciled after it.

use policies::UnixSeconds;

use super::{Read, Tx};
use crate::failure::Fault;

/// Writes down that the database was restored, and moves the numbers of all revocation lists on by `jump`: others may have seen
/// higher ones than it remembers, and would keep those lists (RFC 5280 §5.2.3).
pub async fn insert(tx: &mut Tx, jump: i64, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query("UPDATE issuers SET crl_number = crl_number + $1").bind(jump).execute(tx.connection()).await?;
    let insert = sqlx::query("INSERT INTO restorations (restored_at, reconciled_at) VALUES ($1, NULL)");
    insert.bind(now.0).execute(tx.connection()).await?;
    Ok(())
}

/// When the database was restored, as long as that is not reconciled.
pub async fn unreconciled(from: impl Read) -> Result<Option<UnixSeconds>, Fault> {
    let select =
        sqlx::query_as("SELECT restored_at FROM restorations WHERE reconciled_at IS NULL ORDER BY restored_at DESC");
    let row: Option<(i64,)> = from.row(select).await?;
    Ok(row.map(|(restored_at,)| UnixSeconds(restored_at)))
}

/// Ends the time in which nothing is issued. `false` when there was none.
pub async fn reconcile(tx: &mut Tx, now: UnixSeconds) -> Result<bool, Fault> {
    let update = sqlx::query("UPDATE restorations SET reconciled_at = $1 WHERE reconciled_at IS NULL");
    Ok(update.bind(now.0).execute(tx.connection()).await?.rows_affected() > 0)
}
