//! `audit_changes`: administrative changes, each written in the transaction that makes it.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Page, Read, Tx};
use crate::failure::Fault;

/// One change by a person or program.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct AuditChangeRow {
    /// UUIDv7.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// The client id of the administrator, or `local`.
    pub actor: String,
    /// The address it came from.
    pub source: Option<String>,
    /// `certificate.issue`, `api-key.revoke`, ...
    pub action: String,
    pub target: String,
    /// A JSON object; never a secret.
    pub detail: String,
}

/// Which changes to list, newest first. Empty: all.
#[derive(Clone, Debug, Default)]
pub struct AuditChangeFilter {
    pub id: Option<String>,
    pub actor: Option<String>,
    pub action: Option<String>,
    pub target: Option<String>,
    /// At or after this instant, in milliseconds.
    pub from_millis: Option<i64>,
    /// Before this instant, in milliseconds.
    pub before_millis: Option<i64>,
    /// Ids smaller than this (older): a cursor that new records do not move.
    pub before_id: Option<String>,
    pub page: Page,
}

/// Writes it down.
pub async fn insert(tx: &mut Tx, row: &AuditChangeRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO audit_changes (id, at, actor, source, action, target, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&row.id)
    .bind(row.at_millis)
    .bind(&row.actor)
    .bind(&row.source)
    .bind(&row.action)
    .bind(&row.target)
    .bind(&row.detail)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Changes, newest first.
pub async fn list(from: impl Read, filter: &AuditChangeFilter) -> Result<Vec<AuditChangeRow>, Fault> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT id, at AS at_millis, actor, source, action, target, detail FROM audit_changes WHERE 1 = 1",
    );
    if let Some(id) = &filter.id {
        query.push(" AND id = ").push_bind(id);
    }
    if let Some(actor) = &filter.actor {
        query.push(" AND actor = ").push_bind(actor);
    }
    if let Some(action) = &filter.action {
        query.push(" AND action = ").push_bind(action);
    }
    if let Some(target) = &filter.target {
        query.push(" AND target = ").push_bind(target);
    }
    if let Some(from) = filter.from_millis {
        query.push(" AND at >= ").push_bind(from);
    }
    if let Some(before) = filter.before_millis {
        query.push(" AND at < ").push_bind(before);
    }
    if let Some(before) = &filter.before_id {
        query.push(" AND id < ").push_bind(before);
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(filter.page.limit());
    query.push(" OFFSET ").push_bind(filter.page.offset());
    from.rows(query.build_query_as()).await
}

/// When the newest change was recorded, in milliseconds.
pub async fn newest_at(from: impl Read) -> Result<Option<i64>, Fault> {
    let row: Option<(Option<i64>,)> = from.row(sqlx::query_as("SELECT MAX(at) FROM audit_changes")).await?;
    Ok(row.and_then(|(at,)| at))
}
