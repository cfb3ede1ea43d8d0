//! `partners`: the companies.

use policies::UnixSeconds;
use sqlx::FromRow;

use super::{ChangeKind, Page, Read, Tx};
use crate::failure::Fault;

/// One partner. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PartnerRow {
    pub id: String,
    pub name: String,
    pub contact: Option<String>,
    /// The operator's switch. In force are those with `enabled` and no `withdrawn_by`.
    pub enabled: bool,
    /// `policy` when a document declares it.
    pub managed_by: Option<String>,
    /// The policy version that stopped declaring it.
    pub withdrawn_by: Option<i64>,
    /// Network names or CIDRs that any of its clients may call from. Empty: anywhere.
    #[sqlx(json)]
    pub networks: Vec<String>,
    /// The usage plan that its clients share.
    pub usage_plan: Option<String>,
    pub created_at: i64,
}

impl PartnerRow {
    /// Whether its clients may be let in at all.
    pub fn in_force(&self) -> bool {
        self.enabled && self.withdrawn_by.is_none()
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, contact, enabled <> 0 AS enabled, managed_by, withdrawn_by, networks, usage_plan, created_at ",
            "FROM partners ",
            $rest
        )
    };
}

/// The partner `id`.
pub async fn get(from: impl Read, id: &str) -> Result<Option<PartnerRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE id = $1")).bind(id)).await
}

/// Partners by id.
pub async fn list(from: impl Read, page: Page) -> Result<Vec<PartnerRow>, Fault> {
    let select = sqlx::query_as(select!("ORDER BY id LIMIT $1 OFFSET $2"));
    from.rows(select.bind(page.limit()).bind(page.offset())).await
}

/// Every partner: what the snapshot and a policy need whole.
pub async fn all(from: impl Read) -> Result<Vec<PartnerRow>, Fault> {
    from.rows(sqlx::query_as(select!("ORDER BY id"))).await
}

/// Adds a partner.
pub async fn insert(tx: &mut Tx, row: &PartnerRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO partners (id, name, contact, enabled, managed_by, withdrawn_by, networks, usage_plan, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&row.id)
    .bind(&row.name)
    .bind(&row.contact)
    .bind(i64::from(row.enabled))
    .bind(&row.managed_by)
    .bind(row.withdrawn_by)
    .bind(super::to_json_list(&row.networks)?)
    .bind(&row.usage_plan)
    .bind(row.created_at)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Partner, &row.id, now).await
}

/// Writes everything but `id` and `created_at`.
pub async fn update(tx: &mut Tx, row: &PartnerRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE partners
         SET name = $2, contact = $3, enabled = $4, managed_by = $5, withdrawn_by = $6, networks = $7, usage_plan = $8
         WHERE id = $1",
    )
    .bind(&row.id)
    .bind(&row.name)
    .bind(&row.contact)
    .bind(i64::from(row.enabled))
    .bind(&row.managed_by)
    .bind(row.withdrawn_by)
    .bind(super::to_json_list(&row.networks)?)
    .bind(&row.usage_plan)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Partner, &row.id, now).await
}
