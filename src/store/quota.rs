//! `quota_periods`: how much of a period's quota is taken. Nodes take it in leases, so a row may be ahead of what was really
//! served, never behind.

use policies::{QuotaPeriod, UnixSeconds};
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Page, Read, Store, Tx};
use crate::failure::Fault;

/// Whose quota, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaKey<'a> {
    /// `client`, `partner` or `client_route`.
    pub subject_kind: &'a str,
    /// The client's or the partner's id.
    pub subject: &'a str,
    /// Of `client_route` the route's id; else empty.
    pub route: &'a str,
    /// The quota's name in its plan.
    pub name: &'a str,
    /// `day`, `week` or `month`.
    pub period: &'a str,
    /// `enforce` or `shadow`.
    pub mode: &'a str,
}

/// One period of one quota. Times are seconds since the Unix epoch, amounts requests.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct QuotaRow {
    pub subject_kind: String,
    pub subject: String,
    pub route: String,
    pub name: String,
    pub period: String,
    pub mode: String,
    pub starts_at: i64,
    pub ends_at: i64,
    /// Taken, `carried` included.
    pub used: i64,
    /// Of `used`: counted in other periods, or never served (the first period's offset).
    pub carried: i64,
    /// What an operator granted on top of the plan's limit.
    pub extra: i64,
}

/// Which rows to list. Empty: all.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuotaFilter<'a> {
    /// A client's, those on single routes included.
    pub client: Option<&'a str>,
    pub partner: Option<&'a str>,
    /// Periods that end after this instant.
    pub open_at: Option<UnixSeconds>,
    pub page: Page,
}

/// A statement about the periods of one quota: its key fills `$1` to `$6`.
macro_rules! of_key {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " WHERE subject_kind = $1 AND subject = $2 AND route = $3 AND name = $4 AND period = $5 AND mode = $6 ",
            $after
        )
    };
}

/// Binds them.
macro_rules! keyed {
    ($query:expr, $key:expr) => {
        $query
            .bind($key.subject_kind)
            .bind($key.subject)
            .bind($key.route)
            .bind($key.name)
            .bind($key.period)
            .bind($key.mode)
    };
}

/// The row of `period`, made if it is not there.
///
/// A period that begins where another one of the same quota has not ended is one of a calendar that was changed (a time zone, an
/// anchor): what was used there and may lie in this one too is carried over, and the other one ends now. Without that, whoever
/// moves a contract to another time zone in the middle of a month hands out a second month. `offset` counts as used where
/// there is no earlier period at all.
pub async fn enter(
    tx: &mut Tx,
    key: QuotaKey<'_>,
    period: QuotaPeriod,
    offset: i64,
    now: UnixSeconds,
) -> Result<QuotaRow, Fault> {
    let present = get(&mut *tx, key, period.starts_at).await?;
    if let Some(row) = &present
        && row.ends_at == period.ends_at.0
    {
        return Ok(row.clone());
    }
    let (mut carried, overlapping) = carry(&mut *tx, key, period).await?;
    if overlapping > 0 {
        let update = keyed!(
            sqlx::query(of_key!(
                "UPDATE quota_periods SET ends_at = $9",
                "AND starts_at <> $7 AND starts_at < $8 AND ends_at > $7 AND ends_at > $9"
            )),
            key
        );
        update.bind(period.starts_at.0).bind(period.ends_at.0).bind(now.0).execute(tx.connection()).await?;
    }
    if present.is_none() && overlapping == 0 && is_first(&mut *tx, key).await? {
        carried = offset;
    }
    let insert = "INSERT INTO quota_periods
            (subject_kind, subject, route, name, period, mode, starts_at, ends_at, used, carried, extra)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, 0)
         ON CONFLICT (subject_kind, subject, route, name, period, mode, starts_at) DO UPDATE
         SET ends_at = excluded.ends_at, used = quota_periods.used - quota_periods.carried + excluded.carried,
             carried = excluded.carried";
    // What the first period's offset took stays taken when that period is entered again.
    let carried = carried.max(present.as_ref().map_or(0, |row| row.carried.min(offset)));
    let insert = keyed!(sqlx::query(insert), key);
    insert.bind(period.starts_at.0).bind(period.ends_at.0).bind(carried).execute(tx.connection()).await?;
    get(tx, key, period.starts_at)
        .await?
        .ok_or_else(|| Fault::new("a quota's period that was just written is not there"))
}

/// What is counted elsewhere and may lie in `period`, and in how many other periods.
async fn carry(from: impl Read, key: QuotaKey<'_>, period: QuotaPeriod) -> Result<(i64, i64), Fault> {
    let select = of_key!(
        "SELECT COALESCE(SUM(used - carried), 0), COUNT(*) FROM quota_periods",
        "AND starts_at <> $7 AND starts_at < $8 AND ends_at > $7"
    );
    let select = keyed!(sqlx::query_as(select), key).bind(period.starts_at.0).bind(period.ends_at.0);
    Ok(from.row(select).await?.unwrap_or((0, 0)))
}

async fn is_first(from: impl Read, key: QuotaKey<'_>) -> Result<bool, Fault> {
    let select = of_key!("SELECT starts_at FROM quota_periods", "LIMIT 1");
    let any: Option<(i64,)> = from.row(keyed!(sqlx::query_as(select), key)).await?;
    Ok(any.is_none())
}

/// What [`enter`] would find used of `period`, and what was granted on top; nothing is written.
pub async fn expected(store: &Store, key: QuotaKey<'_>, period: QuotaPeriod, offset: i64) -> Result<(i64, i64), Fault> {
    let present = get(store, key, period.starts_at).await?;
    let (own, extra) = match &present {
        Some(row) if row.ends_at == period.ends_at.0 => return Ok((row.used, row.extra)),
        Some(row) => (row.used - row.carried, row.extra),
        None => (0, 0),
    };
    let (carried, overlapping) = carry(store, key, period).await?;
    if present.is_none() && overlapping == 0 && is_first(store, key).await? {
        return Ok((offset, 0));
    }
    Ok((own.saturating_add(carried), extra))
}

/// Takes `amount` (requests, positive) of a period that was entered, if then no more than `limit` is used; all of it or nothing:
/// `false`. One statement, so that two nodes cannot both take the last of it.
pub async fn reserve(
    tx: &mut Tx,
    key: QuotaKey<'_>,
    starts_at: UnixSeconds,
    amount: i64,
    limit: i64,
) -> Result<bool, Fault> {
    if amount <= 0 {
        return Err(Fault::new(format!("a quota reservation of {amount}")));
    }
    let update = of_key!("UPDATE quota_periods SET used = used + $8", "AND starts_at = $7 AND used <= $9 - $8");
    let update = keyed!(sqlx::query(update), key);
    let done = update.bind(starts_at.0).bind(amount).bind(limit).execute(tx.connection()).await?;
    Ok(done.rows_affected() == 1)
}

/// Gives back what was reserved and not served. Never below what was carried.
pub async fn give_back(tx: &mut Tx, key: QuotaKey<'_>, starts_at: UnixSeconds, amount: i64) -> Result<(), Fault> {
    if amount < 0 {
        return Err(Fault::new(format!("a quota return of {amount}")));
    }
    let update = of_key!(
        "UPDATE quota_periods SET used = CASE WHEN used - $8 > carried THEN used - $8 ELSE carried END",
        "AND starts_at = $7"
    );
    let update = keyed!(sqlx::query(update), key);
    update.bind(starts_at.0).bind(amount).execute(tx.connection()).await?;
    Ok(())
}

/// Grants `amount` on top of the plan's limit, for this period alone.
pub async fn extend(tx: &mut Tx, key: QuotaKey<'_>, starts_at: UnixSeconds, amount: i64) -> Result<(), Fault> {
    let update = keyed!(sqlx::query(of_key!("UPDATE quota_periods SET extra = extra + $8", "AND starts_at = $7")), key);
    update.bind(starts_at.0).bind(amount).execute(tx.connection()).await?;
    Ok(())
}

/// Begins the period's count again. What was granted on top stays.
pub async fn reset(tx: &mut Tx, key: QuotaKey<'_>, starts_at: UnixSeconds) -> Result<(), Fault> {
    let update =
        keyed!(sqlx::query(of_key!("UPDATE quota_periods SET used = 0, carried = 0", "AND starts_at = $7")), key);
    update.bind(starts_at.0).execute(tx.connection()).await?;
    Ok(())
}

/// The row of the period that begins there.
pub async fn get(from: impl Read, key: QuotaKey<'_>, starts_at: UnixSeconds) -> Result<Option<QuotaRow>, Fault> {
    let select = of_key!(
        "SELECT subject_kind, subject, route, name, period, mode, starts_at, ends_at, used, carried, extra FROM quota_periods",
        "AND starts_at = $7"
    );
    from.row(keyed!(sqlx::query_as(select), key).bind(starts_at.0)).await
}

/// Periods, by subject, then by name, the newest first.
pub async fn list(from: impl Read, filter: QuotaFilter<'_>) -> Result<Vec<QuotaRow>, Fault> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT subject_kind, subject, route, name, period, mode, starts_at, ends_at, used, carried, extra
         FROM quota_periods WHERE 1 = 1",
    );
    if let Some(client) = filter.client {
        query.push(" AND subject_kind IN ('client', 'client_route') AND subject = ").push_bind(client.to_owned());
    }
    if let Some(partner) = filter.partner {
        query.push(" AND subject_kind = 'partner' AND subject = ").push_bind(partner.to_owned());
    }
    if let Some(now) = filter.open_at {
        query.push(" AND ends_at > ").push_bind(now.0);
    }
    query
        .push(" ORDER BY subject, subject_kind, route, name, mode, starts_at DESC LIMIT ")
        .push_bind(filter.page.limit());
    query.push(" OFFSET ").push_bind(filter.page.offset());
    from.rows(query.build_query_as()).await
}

/// Forgets periods that ended before `before`, but for the newest of each quota: without it, a client that comes back after a
/// long time would have its first period again. Says how many rows went.
pub async fn prune(tx: &mut Tx, before: UnixSeconds) -> Result<u64, Fault> {
    let delete = "DELETE FROM quota_periods WHERE ends_at < $1 AND EXISTS (
            SELECT 1 FROM quota_periods AS newer
            WHERE newer.subject_kind = quota_periods.subject_kind AND newer.subject = quota_periods.subject
              AND newer.route = quota_periods.route AND newer.name = quota_periods.name
              AND newer.period = quota_periods.period AND newer.mode = quota_periods.mode
              AND newer.starts_at > quota_periods.starts_at)";
    Ok(sqlx::query(delete).bind(before.0).execute(tx.connection()).await?.rows_affected())
}

#[cfg(test)]
mod tests;
