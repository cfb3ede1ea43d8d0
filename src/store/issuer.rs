//! `issuers`: our CA certificates. Their private keys lie in encrypted files, never here.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{ChangeKind, Read, Tx, stored_names};
use crate::failure::Fault;

stored_names! {
    /// What an issuer signs.
    IssuerKind, "issuer kind" {
        Root => "root",
        Issuing => "issuing",
        ServerIssuing => "server-issuing",
    }
}

stored_names! {
    /// Where in its life an issuer stands.
    IssuerState, "issuer state" {
        /// Made, and known to nobody yet.
        Prepared => "prepared",
        /// Trusted and handed out, so that everybody has it before it signs.
        Trusted => "trusted",
        /// Signs, and is trusted.
        Active => "active",
        /// Signs no more, and is still trusted for what it signed.
        Retiring => "retiring",
        /// No longer trusted.
        Removed => "removed",
    }
}

/// One CA certificate. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct IssuerRow {
    /// subjectKeyIdentifier, hex.
    pub key_id: String,
    #[sqlx(try_from = "String")]
    pub kind: IssuerKind,
    #[sqlx(try_from = "String")]
    pub state: IssuerState,
    pub state_since: i64,
    /// Since then nothing that it issued is accepted.
    pub tainted_at: Option<i64>,
    pub subject: String,
    /// DER.
    pub certificate: Vec<u8>,
    /// A file in the keys folder, or a `pkcs11:` URI (RFC 7512); absent when the key is kept elsewhere.
    pub key_location: Option<String>,
    pub not_after: i64,
    /// The number of the newest CRL; 0 before the first.
    pub crl_number: i64,
    /// Into how many lists its revocations are divided; fixed when it is made.
    pub crl_partitions: i64,
    pub created_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT key_id, kind, state, state_since, tainted_at, subject, certificate, key_location, not_after, crl_number, ",
            "crl_partitions, created_at FROM issuers ",
            $rest
        )
    };
}

/// The issuer `key_id` (hex).
pub async fn get(from: impl Read, key_id: &str) -> Result<Option<IssuerRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE key_id = $1")).bind(key_id)).await
}

/// Every issuer, the removed ones too, oldest first.
pub async fn list(from: impl Read) -> Result<Vec<IssuerRow>, Fault> {
    from.rows(sqlx::query_as(select!("ORDER BY created_at, key_id"))).await
}

/// Adds an issuer.
pub async fn insert(tx: &mut Tx, row: &IssuerRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO issuers (key_id, kind, state, state_since, tainted_at, subject, certificate, key_location, not_after,
                              crl_number, crl_partitions, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(&row.key_id)
    .bind(row.kind.as_str())
    .bind(row.state.as_str())
    .bind(row.state_since)
    .bind(row.tainted_at)
    .bind(&row.subject)
    .bind(&row.certificate)
    .bind(&row.key_location)
    .bind(row.not_after)
    .bind(row.crl_number)
    .bind(row.crl_partitions)
    .bind(row.created_at)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Issuer, &row.key_id, now).await
}

/// Moves an issuer on in its life. `false` when there is none of that id.
pub async fn set_state(tx: &mut Tx, key_id: &str, state: IssuerState, now: UnixSeconds) -> Result<bool, Fault> {
    let done = sqlx::query("UPDATE issuers SET state = $2, state_since = $3 WHERE key_id = $1")
        .bind(key_id)
        .bind(state.as_str())
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::Issuer, key_id, now).await?;
    Ok(true)
}

/// Moves an issuer from one state to another. `false` when it does not stand there: somebody else was faster.
pub async fn move_on(
    tx: &mut Tx,
    key_id: &str,
    from: IssuerState,
    to: IssuerState,
    now: UnixSeconds,
) -> Result<bool, Fault> {
    let done = sqlx::query("UPDATE issuers SET state = $3, state_since = $4 WHERE key_id = $1 AND state = $2")
        .bind(key_id)
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::Issuer, key_id, now).await?;
    Ok(true)
}

/// Denies everything that an issuer issued, from now on. `false` when there is none of that id, or it was tainted before.
pub async fn taint(tx: &mut Tx, key_id: &str, now: UnixSeconds) -> Result<bool, Fault> {
    let done = sqlx::query("UPDATE issuers SET tainted_at = $2 WHERE key_id = $1 AND tainted_at IS NULL")
        .bind(key_id)
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::Issuer, key_id, now).await?;
    Ok(true)
}

/// Takes the next CRL number (strictly monotonic, RFC 5280 §5.2.3). A CRL that is then not made leaves a gap, which is allowed.
pub async fn next_crl_number(tx: &mut Tx, key_id: &str) -> Result<i64, Fault> {
    sqlx::query_scalar("UPDATE issuers SET crl_number = crl_number + 1 WHERE key_id = $1 RETURNING crl_number")
        .bind(key_id)
        .fetch_optional(tx.connection())
        .await?
        .ok_or_else(|| Fault::new(format!("no issuer {key_id} to number a CRL for")))
}

/// Takes over the number of a list that was signed elsewhere.
pub async fn set_crl_number(tx: &mut Tx, key_id: &str, number: i64, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query("UPDATE issuers SET crl_number = $2 WHERE key_id = $1 AND crl_number < $2")
        .bind(key_id)
        .bind(number)
        .execute(tx.connection())
        .await?;
    tx.changed(ChangeKind::Issuer, key_id, now).await
}
