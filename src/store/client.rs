//! `clients`: the machines of a partner, the same under every method (RFC 6749 §2.2).

use policies::UnixSeconds;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::import::ROWS_AT_ONCE;
use super::{ChangeKind, Page, Read, Tx};
use crate::failure::Fault;

pub mod listed;

/// One client. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ClientRow {
    pub id: String,
    pub partner_id: String,
    pub description: Option<String>,
    /// The operator's switch. In force are those with `enabled` and no `withdrawn_by`, of a partner in force.
    pub enabled: bool,
    /// `policy` when a document declares it.
    pub managed_by: Option<String>,
    /// The policy version that stopped declaring it.
    pub withdrawn_by: Option<i64>,
    #[sqlx(json)]
    pub scopes: Vec<String>,
    /// Network names or CIDRs. Empty: from anywhere.
    #[sqlx(json)]
    pub networks: Vec<String>,
    pub usage_plan: Option<String>,
    /// Tokens issued before this instant are revoked.
    pub tokens_not_before: Option<i64>,
    pub created_at: i64,
}

impl ClientRow {
    /// Whether it may be let in, as far as its own row says; its partner's must agree.
    pub fn in_force(&self) -> bool {
        self.enabled && self.withdrawn_by.is_none()
    }
}

/// Which clients to list. Empty: all.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    pub partner: Option<String>,
    pub page: Page,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, partner_id, description, enabled <> 0 AS enabled, managed_by, withdrawn_by, scopes, networks, ",
            "usage_plan, tokens_not_before, created_at FROM clients ",
            $rest
        )
    };
}

/// The client `id`.
pub async fn get(from: impl Read, id: &str) -> Result<Option<ClientRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE id = $1")).bind(id)).await
}

/// Clients by id.
pub async fn list(from: impl Read, filter: &ClientFilter) -> Result<Vec<ClientRow>, Fault> {
    let mut query = QueryBuilder::<Sqlite>::new(select!("WHERE 1 = 1"));
    if let Some(partner) = &filter.partner {
        query.push(" AND partner_id = ").push_bind(partner);
    }
    query.push(" ORDER BY id LIMIT ").push_bind(filter.page.limit()).push(" OFFSET ").push_bind(filter.page.offset());
    from.rows(query.build_query_as()).await
}

/// Every client that holds this scope.
pub async fn with_scope(from: impl Read, scope: &str) -> Result<Vec<ClientRow>, Fault> {
    // The list is JSON, and a scope holds no character that JSON escapes. LIKE finds too many (it folds case, and a scope may
    // hold its wildcards), never too few.
    let select = sqlx::query_as(select!("WHERE scopes LIKE $1 ORDER BY id")).bind(format!("%\"{scope}\"%"));
    let mut rows: Vec<ClientRow> = from.rows(select).await?;
    rows.retain(|row| row.scopes.iter().any(|held| held == scope));
    Ok(rows)
}

/// Every client: what a policy needs whole.
pub async fn all(from: impl Read) -> Result<Vec<ClientRow>, Fault> {
    from.rows(sqlx::query_as(select!("ORDER BY id"))).await
}

/// Every client of a partner.
pub async fn all_of_partner(from: impl Read, partner: &str) -> Result<Vec<ClientRow>, Fault> {
    from.rows(sqlx::query_as(select!("WHERE partner_id = $1 ORDER BY id")).bind(partner)).await
}

/// Adds a client.
pub async fn insert(tx: &mut Tx, row: &ClientRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO clients (id, partner_id, description, enabled, managed_by, withdrawn_by, scopes, networks, usage_plan,
                              tokens_not_before, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&row.id)
    .bind(&row.partner_id)
    .bind(&row.description)
    .bind(i64::from(row.enabled))
    .bind(&row.managed_by)
    .bind(row.withdrawn_by)
    .bind(super::to_json_list(&row.scopes)?)
    .bind(super::to_json_list(&row.networks)?)
    .bind(&row.usage_plan)
    .bind(row.tokens_not_before)
    .bind(row.created_at)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Client, &row.id, now).await
}

/// Adds the clients of one import, with one entry in the feed for all of them.
pub async fn insert_import(tx: &mut Tx, rows: &[ClientRow], import_id: i64, now: UnixSeconds) -> Result<(), Fault> {
    for some in rows.chunks(ROWS_AT_ONCE) {
        let lists =
            some.iter().map(|row| Ok((row, super::to_json_list(&row.scopes)?, super::to_json_list(&row.networks)?)));
        let lists: Vec<_> = lists.collect::<Result<_, Fault>>()?;
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO clients (id, partner_id, description, enabled, scopes, networks, usage_plan, created_at, import_id) ",
        );
        insert.push_values(lists, |mut values, (row, scopes, networks)| {
            values.push_bind(&row.id).push_bind(&row.partner_id).push_bind(&row.description);
            values.push_bind(i64::from(row.enabled)).push_bind(scopes).push_bind(networks);
            values.push_bind(&row.usage_plan).push_bind(row.created_at).push_bind(import_id);
        });
        insert.build().execute(tx.connection()).await?;
    }
    tx.changed(ChangeKind::ClientImport, &import_id.to_string(), now).await
}

/// Writes everything but `id`, `tokens_not_before` and `created_at`.
pub async fn update(tx: &mut Tx, row: &ClientRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE clients SET partner_id = $2, description = $3, enabled = $4, managed_by = $5, withdrawn_by = $6, scopes = $7,
                            networks = $8, usage_plan = $9
         WHERE id = $1",
    )
    .bind(&row.id)
    .bind(&row.partner_id)
    .bind(&row.description)
    .bind(i64::from(row.enabled))
    .bind(&row.managed_by)
    .bind(row.withdrawn_by)
    .bind(super::to_json_list(&row.scopes)?)
    .bind(super::to_json_list(&row.networks)?)
    .bind(&row.usage_plan)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Client, &row.id, now).await
}

/// Revokes the client's tokens issued before `instant`. Never moves back: an older instant changes nothing.
/// `false` when there is no such client.
pub async fn revoke_tokens_before(
    tx: &mut Tx,
    id: &str,
    instant: UnixSeconds,
    now: UnixSeconds,
) -> Result<bool, Fault> {
    let done = sqlx::query(
        "UPDATE clients
         SET tokens_not_before = CASE WHEN tokens_not_before > $2 THEN tokens_not_before ELSE $2 END
         WHERE id = $1",
    )
    .bind(id)
    .bind(instant.0)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::Client, id, now).await?;
    Ok(true)
}

/// As [`revoke_tokens_before`], for every client of a partner.
pub async fn revoke_tokens_of_partner_before(
    tx: &mut Tx,
    partner: &str,
    instant: UnixSeconds,
    now: UnixSeconds,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE clients
         SET tokens_not_before = CASE WHEN tokens_not_before > $2 THEN tokens_not_before ELSE $2 END
         WHERE partner_id = $1",
    )
    .bind(partner)
    .bind(instant.0)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Partner, partner, now).await
}
