//! `renewal_terms`: how a client's certificates are renewed with themselves.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{ChangeKind, Read, Tx};
use crate::failure::Fault;

/// The terms of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct RenewalTermsRow {
    pub client_id: String,
    /// How long after its end a certificate still renews itself, and does nothing else.
    pub grace_seconds: i64,
    /// How long a certificate stays good beside its successor; `None`: until its own end.
    pub overlap_seconds: Option<i64>,
    /// `required` or `allowed`; `None`: as the profile says.
    pub key_change: Option<String>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT client_id, grace_seconds, overlap_seconds, key_change FROM renewal_terms ", $rest)
    };
}

/// The terms of a client, if it has any of its own.
pub async fn get(from: impl Read, client_id: &str) -> Result<Option<RenewalTermsRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE client_id = $1")).bind(client_id)).await
}

/// The clients whose certificates renew themselves after their end.
pub async fn with_grace(from: impl Read) -> Result<Vec<RenewalTermsRow>, Fault> {
    from.rows(sqlx::query_as(select!("WHERE grace_seconds > 0 ORDER BY client_id"))).await
}

/// Sets the terms of a client.
pub async fn put(tx: &mut Tx, row: &RenewalTermsRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO renewal_terms (client_id, grace_seconds, overlap_seconds, key_change) VALUES ($1, $2, $3, $4)
         ON CONFLICT (client_id) DO UPDATE SET grace_seconds = excluded.grace_seconds,
             overlap_seconds = excluded.overlap_seconds, key_change = excluded.key_change",
    )
    .bind(&row.client_id)
    .bind(row.grace_seconds)
    .bind(row.overlap_seconds)
    .bind(&row.key_change)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Client, &row.client_id, now).await
}
