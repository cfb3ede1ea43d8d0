//! `crls`: the newest list of each scope of each issuer, as published; `crl_pieces`: its octets.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{Read, Tx};
use crate::failure::Fault;

/// The scope of a list of everything that its issuer issued. Other scopes are partitions, from 0.
pub const COMPLETE: i64 = -1;

/// One published list. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CrlRow {
    pub issuer_key_id: String,
    /// The partition, or [`COMPLETE`].
    pub scope: i64,
    pub number: i64,
    pub this_update: i64,
    pub next_update: i64,
    /// How many certificates are on it; absent when nobody counted.
    pub entries: Option<i64>,
    /// How long it is.
    pub octets: i64,
    /// What its pieces are found by.
    pub list: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT issuer_key_id, scope, number, this_update, next_update, entries, octets, list FROM crls ",
            $rest
        )
    };
}

/// Puts a list whose pieces are written in the place of the older one of its scope. `false` when what stands is newer: it stays.
///
/// The pieces of the older list are kept until the next one comes, for who is fetching it; those before it go.
pub async fn save(tx: &mut Tx, row: &CrlRow) -> Result<bool, Fault> {
    sqlx::query(
        "DELETE FROM crl_pieces WHERE list IN
         (SELECT previous FROM crls WHERE issuer_key_id = $1 AND scope = $2 AND number < $3 AND previous IS NOT NULL)",
    )
    .bind(&row.issuer_key_id)
    .bind(row.scope)
    .bind(row.number)
    .execute(tx.connection())
    .await?;
    let done = sqlx::query(
        "INSERT INTO crls (issuer_key_id, scope, number, this_update, next_update, entries, octets, list)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (issuer_key_id, scope) DO UPDATE
         SET number = excluded.number, this_update = excluded.this_update, next_update = excluded.next_update,
             entries = excluded.entries, octets = excluded.octets, previous = crls.list, list = excluded.list
         WHERE excluded.number > crls.number",
    )
    .bind(&row.issuer_key_id)
    .bind(row.scope)
    .bind(row.number)
    .bind(row.this_update)
    .bind(row.next_update)
    .bind(row.entries)
    .bind(row.octets)
    .bind(&row.list)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A complete list that is at hand as a whole: a root's, which a ceremony made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeList {
    pub issuer_key_id: String,
    pub number: i64,
    pub this_update: i64,
    pub next_update: i64,
    pub der: Vec<u8>,
}

/// As [`save`], with all of its octets.
pub async fn save_whole(tx: &mut Tx, list: &WholeList, now: UnixSeconds) -> Result<bool, Fault> {
    let row = CrlRow {
        issuer_key_id: list.issuer_key_id.clone(),
        scope: COMPLETE,
        number: list.number,
        this_update: list.this_update,
        next_update: list.next_update,
        entries: None,
        octets: i64::try_from(list.der.len()).map_err(|_| Fault::new("a list beyond the table"))?,
        // Only the newest number of an issuer is ever stored, and so each only once.
        list: format!("{}.{}", list.issuer_key_id, list.number),
    };
    if !save(tx, &row).await? {
        return Ok(false);
    }
    write_piece(tx, &row.list, 0, &list.der, now).await?;
    Ok(true)
}

/// The newest list of everything that an issuer issued.
pub async fn get(from: impl Read, issuer_key_id: &str) -> Result<Option<CrlRow>, Fault> {
    of_scope(from, issuer_key_id, COMPLETE).await
}

/// The newest list of this scope.
pub async fn of_scope(from: impl Read, issuer_key_id: &str, scope: i64) -> Result<Option<CrlRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE issuer_key_id = $1 AND scope = $2")).bind(issuer_key_id).bind(scope)).await
}

/// The newest lists of an issuer, the complete one first.
pub async fn of_issuer(from: impl Read, issuer_key_id: &str) -> Result<Vec<CrlRow>, Fault> {
    from.rows(sqlx::query_as(select!("WHERE issuer_key_id = $1 ORDER BY scope")).bind(issuer_key_id)).await
}

/// Writes a piece of a list. Nobody reads it before [`save`].
pub async fn write_piece(tx: &mut Tx, list: &str, position: i64, octets: &[u8], now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query("INSERT INTO crl_pieces (list, position, octets, written_at) VALUES ($1, $2, $3, $4)")
        .bind(list)
        .bind(position)
        .bind(octets)
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// A piece of a list; `None` behind the last, and when the list is gone.
pub async fn piece(from: impl Read, list: &str, position: i64) -> Result<Option<Vec<u8>>, Fault> {
    let row: Option<(Vec<u8>,)> = from
        .row(
            sqlx::query_as("SELECT octets FROM crl_pieces WHERE list = $1 AND position = $2").bind(list).bind(position),
        )
        .await?;
    Ok(row.map(|(octets,)| octets))
}

/// Takes back what was written of a list that is not published.
pub async fn discard(tx: &mut Tx, list: &str) -> Result<(), Fault> {
    sqlx::query("DELETE FROM crl_pieces WHERE list = $1").bind(list).execute(tx.connection()).await?;
    Ok(())
}

/// Takes away what a crash left of lists that were begun before `before`.
pub async fn discard_unfinished(tx: &mut Tx, before: UnixSeconds) -> Result<u64, Fault> {
    let done = sqlx::query(
        "DELETE FROM crl_pieces WHERE written_at < $1 AND list NOT IN (SELECT list FROM crls)
         AND list NOT IN (SELECT previous FROM crls WHERE previous IS NOT NULL)",
    )
    .bind(before.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests;
