//! `client_secrets`: an HMAC of each OAuth client secret; the secret itself is nowhere.

use policies::UnixSeconds;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::import::ROWS_AT_ONCE;
use super::{ChangeKind, Page, Read, Tx};
use crate::failure::Fault;

pub mod listed;

/// One secret. Times are seconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct ClientSecretRow {
    pub id: String,
    pub client_id: String,
    pub name: Option<String>,
    /// The last four characters, for people to tell secrets apart.
    pub last4: String,
    /// HMAC-SHA-256 under the server's pepper, 32 bytes.
    pub hmac: Vec<u8>,
    /// Network names or CIDRs that it may be used from. `None`: wherever its client may call from.
    #[sqlx(json(nullable))]
    pub networks: Option<Vec<String>>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub revocation_reason: Option<String>,
}

impl ClientSecretRow {
    /// Whether it opens the door at `now`.
    pub fn live_at(&self, now: UnixSeconds) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now.0 < end)
    }
}

impl std::fmt::Debug for ClientSecretRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("ClientSecretRow");
        debug.field("id", &self.id).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, client_id, name, last4, hmac, networks, created_at, expires_at, revoked_at, revocation_reason ",
            "FROM client_secrets ",
            $rest
        )
    };
}

/// The secret `id`.
pub async fn get(from: impl Read, id: &str) -> Result<Option<ClientSecretRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE id = $1")).bind(id)).await
}

/// Every secret of a client, newest first. A client has few: two live ones and those that were.
pub async fn of_client(from: impl Read, client: &str) -> Result<Vec<ClientSecretRow>, Fault> {
    from.rows(sqlx::query_as(select!("WHERE client_id = $1 ORDER BY created_at DESC, id")).bind(client)).await
}

/// Secrets of all clients, newest first.
pub async fn list(from: impl Read, page: Page) -> Result<Vec<ClientSecretRow>, Fault> {
    let select = sqlx::query_as(select!("ORDER BY created_at DESC, id LIMIT $1 OFFSET $2"));
    from.rows(select.bind(page.limit()).bind(page.offset())).await
}

/// The secrets that open the door at `now`, but only from networks of their own.
pub async fn live_with_networks(from: impl Read, now: UnixSeconds) -> Result<Vec<ClientSecretRow>, Fault> {
    let select = sqlx::query_as(select!(
        "WHERE networks IS NOT NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) ORDER BY id"
    ));
    from.rows(select.bind(now.0)).await
}

/// Adds a secret.
pub async fn insert(tx: &mut Tx, row: &ClientSecretRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO client_secrets (id, client_id, name, last4, hmac, networks, created_at, expires_at, revoked_at,
                                     revocation_reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&row.id)
    .bind(&row.client_id)
    .bind(&row.name)
    .bind(&row.last4)
    .bind(&row.hmac)
    .bind(row.networks.as_deref().map(super::to_json_list).transpose()?)
    .bind(row.created_at)
    .bind(row.expires_at)
    .bind(row.revoked_at)
    .bind(&row.revocation_reason)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::ClientSecret, &row.client_id, now).await
}

/// Adds the secrets of one import, with one entry in the feed for all of them.
pub async fn insert_import(
    tx: &mut Tx,
    rows: &[ClientSecretRow],
    import_id: i64,
    now: UnixSeconds,
) -> Result<(), Fault> {
    for some in rows.chunks(ROWS_AT_ONCE) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO client_secrets (id, client_id, name, last4, hmac, created_at, expires_at, import_id) ",
        );
        insert.push_values(some, |mut values, row| {
            values.push_bind(&row.id).push_bind(&row.client_id).push_bind(&row.name).push_bind(&row.last4);
            values.push_bind(&row.hmac).push_bind(row.created_at).push_bind(row.expires_at).push_bind(import_id);
        });
        insert.build().execute(tx.connection()).await?;
    }
    tx.changed(ChangeKind::ClientSecretImport, &import_id.to_string(), now).await
}

/// Revokes. `false` when there is no such secret or it was revoked before: the first instant and reason stand.
pub async fn revoke(tx: &mut Tx, id: &str, reason: &str, now: UnixSeconds) -> Result<bool, Fault> {
    let client: Option<String> = sqlx::query_scalar(
        "UPDATE client_secrets SET revoked_at = $2, revocation_reason = $3 WHERE id = $1 AND revoked_at IS NULL
         RETURNING client_id",
    )
    .bind(id)
    .bind(now.0)
    .bind(reason)
    .fetch_optional(tx.connection())
    .await?;
    let Some(client) = client else { return Ok(false) };
    tx.changed(ChangeKind::ClientSecret, &client, now).await?;
    Ok(true)
}
