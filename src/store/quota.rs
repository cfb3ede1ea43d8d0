//! `quota_usage`: how much of a period's allowance a client has used. Nodes take it in leases, so a row may be ahead of what
//! was really spent, never behind.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{Page, Read, Tx};
use crate::failure::Fault;

/// One client's use of one period. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct QuotaRow {
    pub client_id: String,
    pub period_start: i64,
    pub used: i64,
}

/// Takes `amount` (requests, positive) of the period's `limit`, all of it or nothing: `false`. One statement, so that two
/// nodes cannot both take the last of it.
pub async fn reserve(
    tx: &mut Tx,
    client: &str,
    period_start: UnixSeconds,
    amount: i64,
    limit: i64,
) -> Result<bool, Fault> {
    if amount <= 0 {
        return Err(Fault::new(format!("a quota reservation of {amount}")));
    }
    let done = sqlx::query(
        "INSERT INTO quota_usage (client_id, period_start, used)
         SELECT $1, $2, $3 WHERE $3 <= $4
         ON CONFLICT (client_id, period_start) DO UPDATE SET used = quota_usage.used + excluded.used
         WHERE quota_usage.used <= $4 - excluded.used",
    )
    .bind(client)
    .bind(period_start.0)
    .bind(amount)
    .bind(limit)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives back what was reserved and not spent. Never below zero.
pub async fn give_back(tx: &mut Tx, client: &str, period_start: UnixSeconds, amount: i64) -> Result<(), Fault> {
    if amount < 0 {
        return Err(Fault::new(format!("a quota return of {amount}")));
    }
    sqlx::query(
        "UPDATE quota_usage SET used = CASE WHEN used > $3 THEN used - $3 ELSE 0 END
         WHERE client_id = $1 AND period_start = $2",
    )
    .bind(client)
    .bind(period_start.0)
    .bind(amount)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What a client has used of a period; 0 when nothing.
pub async fn used(from: impl Read, client: &str, period_start: UnixSeconds) -> Result<i64, Fault> {
    let select = sqlx::query_as("SELECT used FROM quota_usage WHERE client_id = $1 AND period_start = $2");
    let row: Option<(i64,)> = from.row(select.bind(client).bind(period_start.0)).await?;
    Ok(row.map_or(0, |(used,)| used))
}

/// The use of every client, newest period first; of one client when `client` is given.
pub async fn list(from: impl Read, client: Option<&str>, page: Page) -> Result<Vec<QuotaRow>, Fault> {
    let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new("SELECT client_id, period_start, used FROM quota_usage");
    if let Some(client) = client {
        query.push(" WHERE client_id = ").push_bind(client);
    }
    query.push(" ORDER BY period_start DESC, client_id LIMIT ").push_bind(page.limit());
    query.push(" OFFSET ").push_bind(page.offset());
    from.rows(query.build_query_as()).await
}

/// Forgets periods that began before `before`; says how many rows went.
pub async fn prune(tx: &mut Tx, before: UnixSeconds) -> Result<u64, Fault> {
    let done =
        sqlx::query("DELETE FROM quota_usage WHERE period_start < $1").bind(before.0).execute(tx.connection()).await?;
    Ok(done.rows_affected())
}
