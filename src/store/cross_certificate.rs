//! `cross_certificates`: one root's name and key under another root, while one follows the other.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{ChangeKind, Read, Tx};
use crate::failure::Fault;

/// One bridge. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CrossCertificateRow {
    /// The root that is certified, hex.
    pub subject_key_id: String,
    /// The root that certified it, hex.
    pub issuer_key_id: String,
    /// DER.
    pub certificate: Vec<u8>,
    pub not_after: i64,
    pub created_at: i64,
}

/// All of them, oldest first.
pub async fn list(from: impl Read) -> Result<Vec<CrossCertificateRow>, Fault> {
    from.rows(sqlx::query_as(
        "SELECT subject_key_id, issuer_key_id, certificate, not_after, created_at FROM cross_certificates
         ORDER BY created_at, subject_key_id, issuer_key_id",
    ))
    .await
}

/// Adds one, in place of an earlier one between the same two.
pub async fn put(tx: &mut Tx, row: &CrossCertificateRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO cross_certificates (subject_key_id, issuer_key_id, certificate, not_after, created_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (subject_key_id, issuer_key_id)
         DO UPDATE SET certificate = excluded.certificate, not_after = excluded.not_after, created_at = excluded.created_at",
    )
    .bind(&row.subject_key_id)
    .bind(&row.issuer_key_id)
    .bind(&row.certificate)
    .bind(row.not_after)
    .bind(row.created_at)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Issuer, &row.subject_key_id, now).await
}
