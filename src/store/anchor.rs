//! `trust_anchors`, `trust_anchor_sources`, `trust_anchor_lists`: authorities of partners and their revocation lists.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{ChangeKind, Read, Tx, stored_names, to_json_list};
use crate::failure::Fault;

stored_names! {
    /// What a certificate is worth whose revocation list is missing or has lapsed.
    RevocationMode, "revocation mode" {
        /// Nothing.
        Required => "required",
        /// As much as before: only what stands on a list is refused.
        BestEffort => "best-effort",
    }
}

/// One anchor. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct AnchorRow {
    pub id: String,
    pub partner_id: String,
    /// DER.
    pub certificate: Vec<u8>,
    /// Hex.
    pub spki_fingerprint: String,
    pub subject: String,
    pub not_after: i64,
    /// PEM, one certificate each.
    #[sqlx(json)]
    pub intermediates: Vec<String>,
    #[sqlx(json)]
    pub names: Vec<String>,
    #[sqlx(json)]
    pub mappings: Vec<String>,
    #[sqlx(try_from = "String")]
    pub revocation: RevocationMode,
    pub grace_seconds: i64,
    pub refresh_seconds: i64,
    pub allow_private_address: bool,
    pub created_at: i64,
    pub updated_at: i64,
}

/// One address that lists are fetched from. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct SourceRow {
    pub anchor_id: String,
    pub url: String,
    pub attempted_at: Option<i64>,
    pub succeeded_at: Option<i64>,
    /// Since the last success.
    pub failures: i64,
    pub error: Option<String>,
}

/// One list, without its DER (see [`list_der`]). Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ListRow {
    pub anchor_id: String,
    pub place: String,
    /// SHA-256 of the DER, hex.
    pub digest: String,
    pub issuer: String,
    pub entries: i64,
    pub this_update: i64,
    pub next_update: i64,
    /// Absent when somebody uploaded it.
    pub source: Option<String>,
    pub stored_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, partner_id, certificate, spki_fingerprint, subject, not_after, intermediates, names, mappings, revocation, ",
            "grace_seconds, refresh_seconds, allow_private_address <> 0 AS allow_private_address, created_at, updated_at ",
            "FROM trust_anchors ",
            $rest
        )
    };
}

/// The anchor `id`.
pub async fn get(from: impl Read, id: &str) -> Result<Option<AnchorRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE id = $1")).bind(id)).await
}

/// Every anchor, by id.
pub async fn all(from: impl Read) -> Result<Vec<AnchorRow>, Fault> {
    from.rows(sqlx::query_as(select!("ORDER BY id"))).await
}

/// Writes the anchor, in place of the one of this id if there is one.
pub async fn put(tx: &mut Tx, row: &AnchorRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO trust_anchors (id, partner_id, certificate, spki_fingerprint, subject, not_after, intermediates, names,
             mappings, revocation, grace_seconds, refresh_seconds, allow_private_address, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (id) DO UPDATE
         SET partner_id = excluded.partner_id, certificate = excluded.certificate,
             spki_fingerprint = excluded.spki_fingerprint, subject = excluded.subject, not_after = excluded.not_after,
             intermediates = excluded.intermediates, names = excluded.names, mappings = excluded.mappings,
             revocation = excluded.revocation, grace_seconds = excluded.grace_seconds,
             refresh_seconds = excluded.refresh_seconds, allow_private_address = excluded.allow_private_address,
             updated_at = excluded.updated_at",
    )
    .bind(&row.id)
    .bind(&row.partner_id)
    .bind(&row.certificate)
    .bind(&row.spki_fingerprint)
    .bind(&row.subject)
    .bind(row.not_after)
    .bind(to_json_list(&row.intermediates)?)
    .bind(to_json_list(&row.names)?)
    .bind(to_json_list(&row.mappings)?)
    .bind(row.revocation.as_str())
    .bind(row.grace_seconds)
    .bind(row.refresh_seconds)
    .bind(i64::from(row.allow_private_address))
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::TrustAnchor, &row.id, now).await
}

/// Forgets the anchor, its addresses and its lists. `false` when there is none of that id.
pub async fn remove(tx: &mut Tx, id: &str, now: UnixSeconds) -> Result<bool, Fault> {
    let done = sqlx::query("DELETE FROM trust_anchors WHERE id = $1").bind(id).execute(tx.connection()).await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::TrustAnchor, id, now).await?;
    Ok(true)
}

/// The addresses of every anchor, by anchor.
pub async fn all_sources(from: impl Read) -> Result<Vec<SourceRow>, Fault> {
    from.rows(sqlx::query_as(
        "SELECT anchor_id, url, attempted_at, succeeded_at, failures, error FROM trust_anchor_sources ORDER BY anchor_id, url",
    ))
    .await
}

/// The addresses of one anchor.
pub async fn sources(from: impl Read, anchor: &str) -> Result<Vec<SourceRow>, Fault> {
    from.rows(
        sqlx::query_as(
            "SELECT anchor_id, url, attempted_at, succeeded_at, failures, error FROM trust_anchor_sources
             WHERE anchor_id = $1 ORDER BY url",
        )
        .bind(anchor),
    )
    .await
}

/// Makes these the anchor's addresses. Lists that came from others stay: what they revoke is revoked wherever the next one is.
pub async fn set_sources(tx: &mut Tx, anchor: &str, urls: &[String]) -> Result<(), Fault> {
    for stale in sources(&mut *tx, anchor).await?.into_iter().filter(|source| !urls.contains(&source.url)) {
        sqlx::query("DELETE FROM trust_anchor_sources WHERE anchor_id = $1 AND url = $2")
            .bind(anchor)
            .bind(&stale.url)
            .execute(tx.connection())
            .await?;
    }
    for url in urls {
        sqlx::query("INSERT INTO trust_anchor_sources (anchor_id, url) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(anchor)
            .bind(url)
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

/// Takes the next attempt at an address, unless another node was quicker: `seen` is the attempt that the caller knew of.
pub async fn claim(tx: &mut Tx, source: &SourceRow, now: UnixSeconds) -> Result<bool, Fault> {
    let done = sqlx::query(
        "UPDATE trust_anchor_sources SET attempted_at = $4
         WHERE anchor_id = $1 AND url = $2 AND COALESCE(attempted_at, -1) = COALESCE($3, -1)",
    )
    .bind(&source.anchor_id)
    .bind(&source.url)
    .bind(source.attempted_at)
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes down how an attempt ended: `None`, well.
pub async fn attempted(
    tx: &mut Tx,
    anchor: &str,
    url: &str,
    error: Option<&str>,
    now: UnixSeconds,
) -> Result<(), Fault> {
    let statement = match error {
        None => {
            "UPDATE trust_anchor_sources SET attempted_at = $3, succeeded_at = $3, failures = 0, error = NULL
             WHERE anchor_id = $1 AND url = $2"
        }
        Some(_) => {
            "UPDATE trust_anchor_sources SET attempted_at = $3, failures = failures + 1, error = $4
             WHERE anchor_id = $1 AND url = $2"
        }
    };
    let query = sqlx::query(statement).bind(anchor).bind(url).bind(now.0);
    let query = if error.is_some() { query.bind(error) } else { query };
    query.execute(tx.connection()).await?;
    Ok(())
}

/// The lists of every anchor.
pub async fn all_lists(from: impl Read) -> Result<Vec<ListRow>, Fault> {
    from.rows(sqlx::query_as(
        "SELECT anchor_id, place, digest, issuer, entries, this_update, next_update, source, stored_at FROM trust_anchor_lists
         ORDER BY anchor_id, place",
    ))
    .await
}

/// The lists of one anchor.
pub async fn lists(from: impl Read, anchor: &str) -> Result<Vec<ListRow>, Fault> {
    from.rows(
        sqlx::query_as(
            "SELECT anchor_id, place, digest, issuer, entries, this_update, next_update, source, stored_at
             FROM trust_anchor_lists WHERE anchor_id = $1 ORDER BY place",
        )
        .bind(anchor),
    )
    .await
}

/// The DER of a list.
pub async fn list_der(from: impl Read, anchor: &str, place: &str) -> Result<Option<Vec<u8>>, Fault> {
    let row: Option<(Vec<u8>,)> = from
        .row(
            sqlx::query_as("SELECT der FROM trust_anchor_lists WHERE anchor_id = $1 AND place = $2")
                .bind(anchor)
                .bind(place),
        )
        .await?;
    Ok(row.map(|(der,)| der))
}

/// Stores a list in its place.
pub async fn put_list(tx: &mut Tx, row: &ListRow, der: &[u8], now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO trust_anchor_lists (anchor_id, place, digest, issuer, entries, this_update, next_update, source, stored_at, der)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (anchor_id, place) DO UPDATE
         SET digest = excluded.digest, issuer = excluded.issuer, entries = excluded.entries,
             this_update = excluded.this_update, next_update = excluded.next_update, source = excluded.source,
             stored_at = excluded.stored_at, der = excluded.der",
    )
    .bind(&row.anchor_id)
    .bind(&row.place)
    .bind(&row.digest)
    .bind(&row.issuer)
    .bind(row.entries)
    .bind(row.this_update)
    .bind(row.next_update)
    .bind(&row.source)
    .bind(row.stored_at)
    .bind(der)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::TrustAnchorLists, &row.anchor_id, now).await
}

/// Drops the list in this place: its signer is trusted no more.
pub async fn remove_list(tx: &mut Tx, anchor: &str, place: &str, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query("DELETE FROM trust_anchor_lists WHERE anchor_id = $1 AND place = $2")
        .bind(anchor)
        .bind(place)
        .execute(tx.connection())
        .await?;
    tx.changed(ChangeKind::TrustAnchorLists, anchor, now).await
}
