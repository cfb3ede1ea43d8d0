//! `revocations`: append-only. Nothing here turns a revoked certificate good again.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::certificate::change_key;
use super::{ChangeKind, Read, Tx};
use crate::failure::Fault;

/// One revocation. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct RevocationRow {
    pub serial: String,
    pub revoked_at: i64,
    /// RFC 5280 §5.3.1, kebab-case.
    pub reason: String,
}

/// Revokes. `false` when it was revoked before: the first instant and reason stand.
///
/// # Errors
/// A fault when there is no such certificate.
pub async fn insert(
    tx: &mut Tx,
    issuer_key_id: &str,
    serial: &str,
    reason: &str,
    now: UnixSeconds,
) -> Result<bool, Fault> {
    let done = sqlx::query(
        "INSERT INTO revocations (issuer_key_id, serial, revoked_at, reason) VALUES ($1, $2, $3, $4)
         ON CONFLICT (issuer_key_id, serial) DO NOTHING",
    )
    .bind(issuer_key_id)
    .bind(serial)
    .bind(now.0)
    .bind(reason)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::Certificate, &change_key(issuer_key_id, serial), now).await?;
    Ok(true)
}

/// What the issuer's next CRL lists: every revocation of a certificate that ends at or after `ends_from`. Give the previous
/// CRL's `thisUpdate`, not `now`: RFC 5280 §3.3 keeps an entry until one list was published after the certificate's end.
pub async fn revoked_unexpired(
    from: impl Read,
    issuer_key_id: &str,
    ends_from: UnixSeconds,
) -> Result<Vec<RevocationRow>, Fault> {
    from.rows(
        sqlx::query_as(
            "SELECT r.serial, r.revoked_at, r.reason
         FROM revocations r JOIN certificates c ON c.issuer_key_id = r.issuer_key_id AND c.serial = r.serial
         WHERE r.issuer_key_id = $1 AND c.not_after >= $2
         ORDER BY r.revoked_at, r.serial",
        )
        .bind(issuer_key_id)
        .bind(ends_from.0),
    )
    .await
}

/// The certificates that a crash orphaned, as the issuer's next CRL lists them: bytes that may have been signed, and that no
/// row will ever call good. Those that were also revoked by hand are left to [`revoked_unexpired`], with their reason.
pub async fn orphaned_unexpired(
    from: impl Read,
    issuer_key_id: &str,
    ends_from: UnixSeconds,
) -> Result<Vec<RevocationRow>, Fault> {
    from.rows(
        sqlx::query_as(
            "SELECT c.serial, c.created_at AS revoked_at, 'unspecified' AS reason
         FROM certificates c LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial
         WHERE c.issuer_key_id = $1 AND c.state = 'orphaned' AND c.not_after >= $2 AND r.serial IS NULL
         ORDER BY c.created_at, c.serial",
        )
        .bind(issuer_key_id)
        .bind(ends_from.0),
    )
    .await
}
