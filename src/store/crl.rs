//! `crls`: the newest list of each issuer, as published.

use sqlx::FromRow;

use super::{Read, Tx};
use crate::failure::Fault;

/// One published list. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CrlRow {
    pub issuer_key_id: String,
    pub number: i64,
    pub this_update: i64,
    pub next_update: i64,
    pub der: Vec<u8>,
}

/// Stores the list in place of the issuer's older one. `false` when what stands is newer: it stays.
pub async fn save(tx: &mut Tx, row: &CrlRow) -> Result<bool, Fault> {
    let done = sqlx::query(
        "INSERT INTO crls (issuer_key_id, number, this_update, next_update, der) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (issuer_key_id) DO UPDATE
         SET number = excluded.number, this_update = excluded.this_update, next_update = excluded.next_update,
             der = excluded.der
         WHERE excluded.number > crls.number",
    )
    .bind(&row.issuer_key_id)
    .bind(row.number)
    .bind(row.this_update)
    .bind(row.next_update)
    .bind(&row.der)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The newest list of an issuer.
pub async fn get(from: impl Read, issuer_key_id: &str) -> Result<Option<CrlRow>, Fault> {
    from.row(
        sqlx::query_as(
            "SELECT issuer_key_id, number, this_update, next_update, der FROM crls WHERE issuer_key_id = $1",
        )
        .bind(issuer_key_id),
    )
    .await
}
