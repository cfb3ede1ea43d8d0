//! `throttle_buckets`, `throttle_groups`, `throttle_run`: what is out of the buckets of throttles. Written each second by one task,
//! never on a request's way. Instants are nanoseconds since the Unix epoch, but for those that say otherwise.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Read, Tx};
use crate::failure::Fault;

/// Rows in one statement; SQLite takes 32 766 parameters.
const ROWS_MAX: usize = 5_000;
/// Expired rows are looked for in this many parts, one at a time: nobody who waits for the writer waits for all of them.
pub const PRUNE_PARTS: i64 = 256;

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct BucketRow {
    pub key_high: i64,
    pub key_low: i64,
    pub whole_at: i64,
}

/// A group of buckets that count as spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct GroupRow {
    pub bucket_group: i64,
    pub spent_at: i64,
}

/// Whose buckets these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct RunRow {
    pub run: i64,
    /// By the clock of that process, nanoseconds.
    pub saved_nanos: i64,
    pub saved_at: i64,
    pub stopped: bool,
}

/// Takes buckets in.
pub async fn put(tx: &mut Tx, rows: &[BucketRow]) -> Result<(), Fault> {
    for some in rows.chunks(ROWS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO throttle_buckets (key_high, key_low, whole_at) ");
        query.push_values(some, |mut row, bucket| {
            row.push_bind(bucket.key_high).push_bind(bucket.key_low).push_bind(bucket.whole_at);
        });
        query.push(" ON CONFLICT (key_high, key_low) DO UPDATE SET whole_at = excluded.whole_at");
        query.build().persistent(false).execute(tx.connection()).await?;
    }
    Ok(())
}

/// The buckets that are not whole at `now`.
pub async fn live(from: impl Read, now: i64) -> Result<Vec<BucketRow>, Fault> {
    let select = sqlx::query_as("SELECT key_high, key_low, whole_at FROM throttle_buckets WHERE whole_at > $1");
    from.rows(select.bind(now)).await
}

/// Forgets the buckets of one part that are whole at `now`; `part` from 0 to [`PRUNE_PARTS`] - 1.
pub async fn prune(tx: &mut Tx, part: i64, now: i64) -> Result<(), Fault> {
    const PART: i64 = 1 << 56;
    let first = i64::MIN.saturating_add(part.rem_euclid(PRUNE_PARTS).saturating_mul(PART));
    sqlx::query("DELETE FROM throttle_buckets WHERE key_high >= $1 AND key_high <= $2 AND whole_at <= $3")
        .bind(first)
        .bind(first.saturating_add(PART - 1))
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// The groups that count as spent.
pub async fn groups(from: impl Read) -> Result<Vec<GroupRow>, Fault> {
    from.rows(sqlx::query_as("SELECT bucket_group, spent_at FROM throttle_groups")).await
}

/// Replaces the groups that count as spent.
pub async fn put_groups(tx: &mut Tx, rows: &[GroupRow]) -> Result<(), Fault> {
    sqlx::query("DELETE FROM throttle_groups").execute(tx.connection()).await?;
    for some in rows.chunks(ROWS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO throttle_groups (bucket_group, spent_at) ");
        query.push_values(some, |mut row, group| {
            row.push_bind(group.bucket_group).push_bind(group.spent_at);
        });
        query.build().persistent(false).execute(tx.connection()).await?;
    }
    Ok(())
}

/// Whose buckets are in the table; `None` before the first.
pub async fn run(from: impl Read) -> Result<Option<RunRow>, Fault> {
    let select = sqlx::query_as("SELECT run, saved_nanos, saved_at, stopped <> 0 AS stopped FROM throttle_run");
    from.row(select).await
}

/// From now on they are those of `row.run`.
pub async fn begin_run(tx: &mut Tx, row: &RunRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO throttle_run (only_one, run, saved_nanos, saved_at, stopped) VALUES (1, $1, $2, $3, 0)
         ON CONFLICT (only_one) DO UPDATE SET run = excluded.run, saved_nanos = excluded.saved_nanos,
             saved_at = excluded.saved_at, stopped = 0",
    )
    .bind(row.run)
    .bind(row.saved_nanos)
    .bind(row.saved_at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Everything of `row.run` up to its instants is in the table. `false` if it is another run's by now: whoever asked must write no more.
pub async fn saved(tx: &mut Tx, row: &RunRow) -> Result<bool, Fault> {
    let done = sqlx::query("UPDATE throttle_run SET saved_nanos = $2, saved_at = $3, stopped = $4 WHERE run = $1")
        .bind(row.run)
        .bind(row.saved_nanos)
        .bind(row.saved_at)
        .bind(i64::from(row.stopped))
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}
