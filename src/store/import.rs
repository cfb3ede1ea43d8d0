//! `imports`: what was brought along from elsewhere, one row for each transaction.

use policies::UnixSeconds;

use super::{Tx, stored_names};
use crate::failure::Fault;

/// Rows in one statement: SQLite takes 32 766 parameters, and a statement of this size is prepared once.
pub(super) const ROWS_AT_ONCE: usize = 500;

stored_names! {
    /// What was brought.
    ImportKind, "kind of import" {
        Client => "client",
        ApiKey => "api-key",
        ClientSecret => "client-secret",
    }
}

/// Notes an import of `rows` rows; its id stands in each of them.
pub async fn insert(tx: &mut Tx, kind: ImportKind, rows: usize, actor: &str, now: UnixSeconds) -> Result<i64, Fault> {
    let id: i64 =
        sqlx::query_scalar("INSERT INTO imports (kind, row_count, actor, at) VALUES ($1, $2, $3, $4) RETURNING id")
            .bind(kind.as_str())
            .bind(i64::try_from(rows).unwrap_or(i64::MAX))
            .bind(actor)
            .bind(now.0)
            .fetch_one(tx.connection())
            .await?;
    Ok(id)
}
