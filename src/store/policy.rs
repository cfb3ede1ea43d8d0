//! `policies`: every version that was ever in force, as its documents.

use policies::UnixSeconds;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::{ChangeKind, Page, Read, Tx};
use crate::failure::Fault;

/// A document as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Document)]
pub struct StoredDocument {
    pub name: String,
    pub text: String,
}

/// One version with its documents. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PolicyRow {
    pub version: i64,
    #[sqlx(json)]
    pub documents: Vec<StoredDocument>,
    pub comment: Option<String>,
    pub applied_by: String,
    pub applied_at: i64,
    /// The version that a rollback brought back.
    pub restored: Option<i64>,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PolicyHeader {
    pub version: i64,
    pub comment: Option<String>,
    pub applied_by: String,
    pub applied_at: i64,
    pub restored: Option<i64>,
}

/// The version in force, if any was ever applied.
pub async fn newest(from: impl Read) -> Result<Option<PolicyRow>, Fault> {
    from.row(sqlx::query_as(
        "SELECT version, documents, comment, applied_by, applied_at, restored FROM policies ORDER BY version DESC LIMIT 1",
    )).await
}

/// A version.
pub async fn get(from: impl Read, version: i64) -> Result<Option<PolicyRow>, Fault> {
    from.row(
        sqlx::query_as(
            "SELECT version, documents, comment, applied_by, applied_at, restored FROM policies WHERE version = $1",
        )
        .bind(version),
    )
    .await
}

/// Versions, newest first, without their documents.
pub async fn history(from: impl Read, page: Page) -> Result<Vec<PolicyHeader>, Fault> {
    from.rows(sqlx::query_as(
        "SELECT version, comment, applied_by, applied_at, restored FROM policies ORDER BY version DESC LIMIT $1 OFFSET $2",
    )
    .bind(page.limit())
    .bind(page.offset())).await
}

/// Adds a version. There is no update: what was once in force can always be read again.
pub async fn insert(tx: &mut Tx, row: &PolicyRow, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO policies (version, documents, comment, applied_by, applied_at, restored) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(row.version)
    .bind(serde_json::to_string(&row.documents)?)
    .bind(&row.comment)
    .bind(&row.applied_by)
    .bind(row.applied_at)
    .bind(row.restored)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Policy, &row.version.to_string(), now).await
}
