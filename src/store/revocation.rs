//! `revocations`: append-only. Nothing here turns a revoked certificate good again.

use policies::UnixSeconds;

use super::certificate::change_key;
use super::{ChangeKind, Read, Tx};
use crate::failure::Fault;

/// One revocation, as a list carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationRow<'a> {
    pub serial: &'a str,
    /// Seconds since the Unix epoch.
    pub revoked_at: i64,
    /// RFC 5280 §5.3.1, kebab-case.
    pub reason: &'a str,
}

/// Some of the revocations for a list, as the database writes them: who asked for them reads them, off the async threads.
#[derive(Clone, Debug, Default)]
pub struct EntryPage(String);

/// Which entries: those of one issuer and partition whose certificate ends at or after `ends_from`.
///
/// Give the previous list's `thisUpdate` there, not `now`: RFC 5280 §3.3 keeps an entry until one list was published after the
/// certificate's end.
#[derive(Clone, Debug)]
pub struct EntryFilter<'a> {
    pub issuer_key_id: &'a str,
    pub crl_partition: i64,
    pub ends_from: UnixSeconds,
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
        "INSERT INTO revocations (issuer_key_id, serial, revoked_at, reason, not_after, crl_partition)
         SELECT issuer_key_id, serial, $3, $4, not_after, crl_partition FROM certificates
         WHERE issuer_key_id = $1 AND serial = $2
         ON CONFLICT (issuer_key_id, serial) DO NOTHING",
    )
    .bind(issuer_key_id)
    .bind(serial)
    .bind(now.0)
    .bind(reason)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        let stands: Option<(i64,)> =
            sqlx::query_as("SELECT revoked_at FROM revocations WHERE issuer_key_id = $1 AND serial = $2")
                .bind(issuer_key_id)
                .bind(serial)
                .fetch_optional(tx.connection())
                .await?;
        return match stands {
            Some(_) => Ok(false),
            None => Err(Fault::new(format!("there is no certificate {serial} of {issuer_key_id} to revoke"))),
        };
    }
    tx.changed(ChangeKind::Certificate, &change_key(issuer_key_id, serial), now).await?;
    Ok(true)
}

/// The next revocations for a list, by serial: at most `limit` that come after the serial `after` (from the first: empty).
///
/// They come as one row of text: a million rows one by one take the driver seconds, and so a tenth of that.
pub async fn page(from: impl Read, filter: &EntryFilter<'_>, after: &str, limit: u32) -> Result<EntryPage, Fault> {
    let select = sqlx::query_as(
        "SELECT string_agg(entry, ';') FROM (
             SELECT serial || ' ' || revoked_at || ' ' || reason AS entry FROM revocations
             WHERE issuer_key_id = $1 AND crl_partition = $2 AND serial > $3 AND not_after >= $4
             ORDER BY serial LIMIT $5) AS page",
    );
    Ok(entries(from.row(bind(select, filter, after, limit)).await?))
}

/// The certificates that a crash orphaned, in pages as [`page`]: bytes that may have been signed, and that no row will ever call
/// good. Those that were also revoked by hand are left to [`page`], with their reason.
pub async fn orphans_page(
    from: impl Read,
    filter: &EntryFilter<'_>,
    after: &str,
    limit: u32,
) -> Result<EntryPage, Fault> {
    let select = sqlx::query_as(
        "SELECT string_agg(entry, ';') FROM (
             SELECT c.serial || ' ' || c.created_at || ' unspecified' AS entry FROM certificates c
             WHERE c.state = 'orphaned' AND c.issuer_key_id = $1 AND c.crl_partition = $2 AND c.serial > $3 AND c.not_after >= $4
               AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial)
             ORDER BY c.serial LIMIT $5) AS page",
    );
    Ok(entries(from.row(bind(select, filter, after, limit)).await?))
}

fn bind<'q>(
    select: super::Select<'q, (Option<String>,)>,
    filter: &'q EntryFilter<'_>,
    after: &'q str,
    limit: u32,
) -> super::Select<'q, (Option<String>,)> {
    select.bind(filter.issuer_key_id).bind(filter.crl_partition).bind(after).bind(filter.ends_from.0).bind(limit)
}

fn entries(row: Option<(Option<String>,)>) -> EntryPage {
    EntryPage(row.and_then(|(text,)| text).unwrap_or_default())
}

impl EntryPage {
    /// The serial that the next page comes after; `None` when there is nothing.
    pub fn last_serial(&self) -> Option<&str> {
        // What an aggregate makes of its rows has no order of its own.
        self.texts().filter_map(|entry| entry.split(' ').next()).max()
    }

    /// Its entries, by serial.
    ///
    /// # Errors
    /// A fault when one cannot be read: a list without it would call a revoked certificate good.
    pub fn rows(&self) -> Result<Vec<RevocationRow<'_>>, Fault> {
        let mut rows: Vec<RevocationRow<'_>> = self.texts().map(RevocationRow::read).collect::<Result<_, Fault>>()?;
        if !rows.is_sorted_by(|one, next| one.serial < next.serial) {
            rows.sort_by_key(|row| row.serial);
        }
        Ok(rows)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.split(';').filter(|entry| !entry.is_empty())
    }
}

impl<'a> RevocationRow<'a> {
    fn read(entry: &'a str) -> Result<Self, Fault> {
        let mut parts = entry.split(' ');
        let read = (parts.next(), parts.next().and_then(|at| at.parse().ok()), parts.next());
        let (Some(serial), Some(revoked_at), Some(reason)) = read else {
            return Err(Fault::new(format!("the database holds a revocation that cannot be read: {entry:?}")));
        };
        Ok(Self { serial, revoked_at, reason })
    }
}
