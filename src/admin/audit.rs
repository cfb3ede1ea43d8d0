//! Who did what: the gate's decisions, and the changes of administrators.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::page::{self, Listed};
use super::path_part::PathPart;
use super::problem::Problem;
use super::query::StrictQuery;
use crate::failure::Refusal;
use crate::store::Page;
use crate::store::audit_change::{self, AuditChangeFilter, AuditChangeRow};
use crate::store::audit_log::{DecisionFilter, DecisionRow};

/// How long a query waits for decisions that are still on their way to the log.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Which log.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuditKind {
    /// What the gate decided.
    #[default]
    Decision,
    /// What administrators changed.
    Change,
}

/// Which records.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// `decision` when absent, or `change`.
    #[param(inline)]
    kind: Option<AuditKind>,
    /// Decisions about this client; changes of this client.
    client: Option<String>,
    /// Decisions about this partner's clients; changes of this partner.
    partner: Option<String>,
    /// Decisions only: `allowed`, or the code of a denial.
    outcome: Option<String>,
    /// Decisions only: whether to leave out what was allowed.
    denied: Option<bool>,
    /// Decisions only: whether to list only what a rule in shadow would have denied.
    shadow: Option<bool>,
    /// Changes only: who made them.
    actor: Option<String>,
    /// Changes only: `certificate.revoke`, `policy.apply`, …
    action: Option<String>,
    /// At or after this instant, in milliseconds since the Unix epoch.
    since: Option<i64>,
    /// Before this instant, in milliseconds since the Unix epoch.
    until: Option<i64>,
    /// The record with this id: for decisions the `decision_id` of an answer.
    id: Option<String>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// A record of either log.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum AuditRecord {
    Decision(DecisionRow),
    Change(ChangeRecord),
}

/// What an administrator changed.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangeRecord {
    id: String,
    /// Milliseconds since the Unix epoch.
    at: i64,
    /// The client id of the administrator, or `local`.
    actor: String,
    /// The address it came from.
    source: Option<String>,
    /// `certificate.issue`, `api-key.revoke`, …
    action: String,
    target: String,
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

impl From<AuditChangeRow> for ChangeRecord {
    fn from(row: AuditChangeRow) -> Self {
        Self {
            detail: serde_json::from_str(&row.detail).unwrap_or(serde_json::Value::Null),
            id: row.id,
            at: row.at_millis,
            actor: row.actor,
            source: row.source,
            action: row.action,
            target: row.target,
        }
    }
}

/// List audit records, newest first
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_audit", tag = "Audit", params(AuditQuery),
    responses((status = 200, description = "Records of one kind", body = Listed<AuditRecord>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<AuditQuery>,
) -> Result<Json<Listed<AuditRecord>>, Problem> {
    let limit = page::limit(query.limit)?;
    let records: Vec<(String, AuditRecord)> = match query.kind.unwrap_or_default() {
        AuditKind::Decision => decisions(&state, query, limit).await?,
        AuditKind::Change => changes(&state, query, limit).await?,
    };
    // Ids are UUIDv7: their order is that of time, and stays while new records come in.
    let full = u32::try_from(records.len()).is_ok_and(|count| count >= limit);
    let next = records.last().filter(|_| full).map(|(id, _)| id.clone());
    Ok(Json(Listed { items: records.into_iter().map(|(_, record)| record).collect(), next }))
}

/// One decision, and how it came about.
#[derive(Serialize, ToSchema)]
pub(super) struct DecisionAccount {
    #[serde(flatten)]
    decision: DecisionRow,
    /// Every step in order, with what was compared then; the last one that failed denied it. Null for what was simply allowed, and
    /// for decisions older than the newest million that were not.
    #[schema(value_type = Option<Vec<Object>>)]
    steps: Option<serde_json::Value>,
}

/// Show one decision with its steps
///
/// By the `decision_id` of an answer.
#[utoipa::path(get, path = "/v1/audit/{decision_id}", operation_id = "show_decision", tag = "Audit",
    params(("decision_id" = String, Path, description = "The decision's id")),
    responses((status = 200, description = "The decision and its steps", body = DecisionAccount)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<DecisionAccount>, Problem> {
    let _ = tokio::time::timeout(FLUSH_PATIENCE, state.audit.flush()).await;
    let filter = DecisionFilter { id: Some(id.clone()), limit: 1, ..DecisionFilter::default() };
    let Some(decision) = state.audit_log.list(&filter).await?.pop() else {
        let message = "No decision has this id, or its record is past its retention.";
        return Err(Refusal::not_found("decision_not_found", message).into());
    };
    let steps = state.audit_log.account(&id).await?;
    let steps = steps.and_then(|steps| serde_json::from_str(&steps).ok());
    Ok(Json(DecisionAccount { decision, steps }))
}

async fn decisions(state: &AdminState, query: AuditQuery, limit: u32) -> Result<Vec<(String, AuditRecord)>, Problem> {
    misplaced(&[("actor", query.actor.is_some()), ("action", query.action.is_some())], "change")?;
    // Whoever has just been denied wants to read why. When the disk is slow, what is there must do.
    let _ = tokio::time::timeout(FLUSH_PATIENCE, state.audit.flush()).await;
    let filter = DecisionFilter {
        id: query.id,
        client: query.client,
        partner: query.partner,
        outcome: query.outcome,
        denied_only: query.denied.unwrap_or(false),
        shadow_only: query.shadow.unwrap_or(false),
        since: query.since,
        until: query.until,
        before: query.after,
        limit,
    };
    let rows = state.audit_log.list(&filter).await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), AuditRecord::Decision(row))).collect())
}

async fn changes(state: &AdminState, query: AuditQuery, limit: u32) -> Result<Vec<(String, AuditRecord)>, Problem> {
    let of_decisions =
        [("outcome", query.outcome.is_some()), ("denied", query.denied.is_some()), ("shadow", query.shadow.is_some())];
    misplaced(&of_decisions, "decision")?;
    if query.client.is_some() && query.partner.is_some() {
        return Err(
            Refusal::invalid("contradiction", "A change has one target: give client or partner, not both.").into()
        );
    }
    let filter = AuditChangeFilter {
        id: query.id,
        actor: query.actor,
        action: query.action,
        target: query.client.or(query.partner),
        from_millis: query.since,
        before_millis: query.until,
        before_id: query.after,
        page: Page::first(limit),
    };
    let rows = audit_change::list(&state.store, &filter).await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), AuditRecord::Change(row.into()))).collect())
}

/// A filter that does nothing here would be taken for one that found nothing.
fn misplaced(filters: &[(&str, bool)], belongs_to: &str) -> Result<(), Refusal> {
    match filters.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            Err(Refusal::invalid("contradiction", format!("{name} is a filter of kind={belongs_to} only.")))
        }
        None => Ok(()),
    }
}
