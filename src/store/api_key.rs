//! `api_keys`: the public part and an HMAC of each key; the key itself is nowhere.

use policies::UnixSeconds;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::import::ROWS_AT_ONCE;
use super::{ChangeKind, Page, Read, Tx, stored_names};
use crate::failure::Fault;

pub mod listed;

stored_names! {
    /// What a key was stored from.
    KeyHash, "hash algorithm of a key" {
        /// From the key itself.
        Hmac => "hmac",
        /// From its SHA-256: the key was brought along from a place that did not have it either.
        Sha256 => "sha256",
    }
}

/// One key. Times are seconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct ApiKeyRow {
    /// The public part.
    pub id: String,
    pub client_id: String,
    pub name: Option<String>,
    /// `pc_<env>_<id>`.
    pub prefix: String,
    /// The last four characters, for people to tell keys apart.
    pub last4: String,
    /// HMAC-SHA-256 under the server's pepper, 32 bytes.
    pub hmac: Vec<u8>,
    #[sqlx(try_from = "String")]
    pub hash_algorithm: KeyHash,
    /// The import that brought it; `None`: it was made here.
    pub import_id: Option<i64>,
    #[sqlx(json(nullable))]
    pub scopes: Option<Vec<String>>,
    #[sqlx(json(nullable))]
    pub networks: Option<Vec<String>>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub revocation_reason: Option<String>,
    /// The key that a rotation put in its place.
    pub replaced_by: Option<String>,
}

impl ApiKeyRow {
    /// Whether it opens the door at `now`.
    pub fn live_at(&self, now: UnixSeconds) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now.0 < end)
    }
}

impl std::fmt::Debug for ApiKeyRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ApiKeyRow")
            .field("id", &self.id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Keys that are there for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unused {
    pub since: UnixSeconds,
    pub now: UnixSeconds,
}

/// Which keys to list, newest first. Empty: all.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyFilter {
    pub client: Option<String>,
    /// Those that end before this instant.
    pub ends_before: Option<UnixSeconds>,
    /// Those that are live, older than this instant, and let nobody in since.
    pub unused: Option<Unused>,
    /// Those that were replaced and let somebody in after that: whoever sends them has not changed over.
    pub replaced_in_use: bool,
    pub page: Page,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, client_id, name, prefix, last4, hmac, hash_algorithm, import_id, scopes, networks, created_at, expires_at, ",
            "revoked_at, revocation_reason, replaced_by FROM api_keys ",
            $rest
        )
    };
}

/// The key with the public part `id`.
pub async fn get(from: impl Read, id: &str) -> Result<Option<ApiKeyRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE id = $1")).bind(id)).await
}

/// Keys, newest first.
pub async fn list(from: impl Read, filter: &ApiKeyFilter) -> Result<Vec<ApiKeyRow>, Fault> {
    let mut query = QueryBuilder::<Sqlite>::new(select!("WHERE 1 = 1"));
    if let Some(client) = &filter.client {
        query.push(" AND client_id = ").push_bind(client);
    }
    if let Some(before) = filter.ends_before {
        query.push(" AND expires_at < ").push_bind(before.0);
    }
    if let Some(unused) = filter.unused {
        query.push(" AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ").push_bind(unused.now.0);
        query.push(") AND created_at < ").push_bind(unused.since.0);
        query.push(
            " AND NOT EXISTS (SELECT 1 FROM credential_sightings s
                              WHERE s.kind = 'api-key' AND s.id = api_keys.id AND s.last_seen_at >= ",
        );
        query.push_bind(unused.since.0).push(")");
    }
    if filter.replaced_in_use {
        query.push(
            " AND replaced_by IS NOT NULL AND EXISTS
                (SELECT 1 FROM api_keys successor JOIN credential_sightings s ON s.kind = 'api-key' AND s.id = api_keys.id
                 WHERE successor.id = api_keys.replaced_by AND s.last_seen_at > successor.created_at)",
        );
    }
    query.push(" ORDER BY created_at DESC, id LIMIT ").push_bind(filter.page.limit());
    query.push(" OFFSET ").push_bind(filter.page.offset());
    from.rows(query.build_query_as()).await
}

/// How many of the client's keys that were made here open the door at `now`.
pub async fn count_live(from: impl Read, client: &str, now: UnixSeconds) -> Result<i64, Fault> {
    let select = sqlx::query_as(
        "SELECT COUNT(*) FROM api_keys
         WHERE client_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND import_id IS NULL",
    );
    let row: Option<(i64,)> = from.row(select.bind(client).bind(now.0)).await?;
    Ok(row.map_or(0, |(count,)| count))
}

/// The keys that open the door at `now`, but only from networks of their own.
pub async fn live_with_networks(from: impl Read, now: UnixSeconds) -> Result<Vec<ApiKeyRow>, Fault> {
    let select = sqlx::query_as(select!(
        "WHERE networks IS NOT NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) ORDER BY id"
    ));
    from.rows(select.bind(now.0)).await
}

/// Adds a key.
pub async fn insert(tx: &mut Tx, row: &ApiKeyRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO api_keys (id, client_id, name, prefix, last4, hmac, scopes, networks, created_at, expires_at, revoked_at,
                               revocation_reason, replaced_by, hash_algorithm, import_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(&row.id)
    .bind(&row.client_id)
    .bind(&row.name)
    .bind(&row.prefix)
    .bind(&row.last4)
    .bind(&row.hmac)
    .bind(row.scopes.as_deref().map(super::to_json_list).transpose()?)
    .bind(row.networks.as_deref().map(super::to_json_list).transpose()?)
    .bind(row.created_at)
    .bind(row.expires_at)
    .bind(row.revoked_at)
    .bind(&row.revocation_reason)
    .bind(&row.replaced_by)
    .bind(row.hash_algorithm.as_str())
    .bind(row.import_id)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::ApiKey, &row.id, now).await
}

/// Adds the keys of one import, with one entry in the feed for all of them.
pub async fn insert_import(tx: &mut Tx, rows: &[ApiKeyRow], import_id: i64, now: UnixSeconds) -> Result<(), Fault> {
    for some in rows.chunks(ROWS_AT_ONCE) {
        let lists = some.iter().map(|row| {
            let scopes = row.scopes.as_deref().map(super::to_json_list).transpose()?;
            Ok((row, scopes, row.networks.as_deref().map(super::to_json_list).transpose()?))
        });
        let lists: Vec<_> = lists.collect::<Result<_, Fault>>()?;
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO api_keys (id, client_id, name, prefix, last4, hmac, scopes, networks, created_at, expires_at,
                                   hash_algorithm, import_id) ",
        );
        insert.push_values(lists, |mut values, (row, scopes, networks)| {
            values.push_bind(&row.id).push_bind(&row.client_id).push_bind(&row.name).push_bind(&row.prefix);
            values.push_bind(&row.last4).push_bind(&row.hmac).push_bind(scopes).push_bind(networks);
            values.push_bind(row.created_at).push_bind(row.expires_at).push_bind(row.hash_algorithm.as_str());
            values.push_bind(import_id);
        });
        insert.build().execute(tx.connection()).await?;
    }
    tx.changed(ChangeKind::ApiKeyImport, &import_id.to_string(), now).await
}

/// Notes the successor and brings the end nearer. A later end than the one that stands is not taken: a rotation must not
/// lengthen a key's life.
pub async fn replace(
    tx: &mut Tx,
    id: &str,
    replaced_by: &str,
    expires_at: UnixSeconds,
    now: UnixSeconds,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE api_keys
         SET replaced_by = $2, expires_at = CASE WHEN expires_at < $3 THEN expires_at ELSE $3 END
         WHERE id = $1",
    )
    .bind(id)
    .bind(replaced_by)
    .bind(expires_at.0)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::ApiKey, id, now).await
}

/// Revokes. `false` when there is no such key or it was revoked before: the first instant and reason stand.
pub async fn revoke(tx: &mut Tx, id: &str, reason: &str, now: UnixSeconds) -> Result<bool, Fault> {
    let done =
        sqlx::query("UPDATE api_keys SET revoked_at = $2, revocation_reason = $3 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id)
            .bind(now.0)
            .bind(reason)
            .execute(tx.connection())
            .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::ApiKey, id, now).await?;
    Ok(true)
}
