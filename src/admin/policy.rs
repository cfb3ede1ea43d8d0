//! Policies: checked, planned, applied and brought back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use policies::{Document, DocumentFault, Policy};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::body::{Body, Created};
use super::operator::Operator;
use super::page::{self, Listed};
use super::path_part::PathPart;
use super::problem::Problem;
use super::query::StrictQuery;
use crate::failure::Refusal;
use crate::registry::policy::{AppliedPolicy, Effect, PolicyPlan, PolicyVersionView};

/// A policy document as it is written.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyDocument {
    /// A file name, for messages.
    #[schema(example = "acme.toml")]
    name: String,
    /// TOML.
    text: String,
}

/// Documents to look at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Documents {
    /// All of them: together they are the policy.
    documents: Vec<PolicyDocument>,
}

/// Documents to put in force.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPolicy {
    /// All of them: together they are the policy.
    documents: Vec<PolicyDocument>,
    /// For the history.
    comment: Option<String>,
    /// Refused when another version is in force: give `current_version` of the plan.
    expected_version: Option<i64>,
}

/// An older version to bring back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    version: i64,
}

/// What is wrong with documents; nothing when they are good.
#[derive(Serialize, ToSchema)]
pub(super) struct Checked {
    faults: Vec<Fault>,
    /// What is well formed and probably not meant: rules that nobody can pass, things that nobody uses, patterns that take from one
    /// another. Said of documents without faults, with what stands in the registry and on which listeners this server answers.
    warnings: Vec<Fault>,
}

/// A fault and its place.
#[derive(Serialize, ToSchema)]
#[schema(as = DocumentFault)]
pub(super) struct Fault {
    document: String,
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    message: String,
}

/// A version that is now in force.
#[derive(Serialize, ToSchema)]
#[schema(as = AppliedPolicy)]
pub(super) struct Applied {
    /// The version.
    id: i64,
    /// The documents were in force already, and no version was added.
    unchanged: bool,
    effects: Vec<Effect>,
}

impl From<AppliedPolicy> for Applied {
    fn from(applied: AppliedPolicy) -> Self {
        Self { id: applied.version, unchanged: applied.unchanged, effects: applied.effects }
    }
}

/// Which part of the history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// List the versions of the policy, newest first
#[utoipa::path(get, path = "/v1/policies", operation_id = "policy_history", tag = "Policies", params(HistoryQuery),
    responses((status = 200, description = "Versions, without their documents", body = Listed<PolicyVersionView>)))]
pub(super) async fn history(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<HistoryQuery>,
) -> Result<Json<Listed<PolicyVersionView>>, Problem> {
    let page = page::page(query.limit, query.after.as_deref())?;
    Ok(Json(Listed::of(state.registry.policy_history(page).await?, page)))
}

/// Show the policy in force
#[utoipa::path(get, path = "/v1/policies/current", operation_id = "show_current_policy", tag = "Policies",
    responses((status = 200, description = "The version in force, with its documents", body = PolicyVersionView)))]
pub(super) async fn current(State(state): State<Arc<AdminState>>) -> Result<Json<PolicyVersionView>, Problem> {
    let version = state.snapshot.policy().version;
    if version == 0 {
        return Err(Refusal::not_found("policy_not_found", "No policy was ever applied: everything is denied.").into());
    }
    Ok(Json(state.registry.policy_version(version).await?))
}

/// Show a version of the policy
#[utoipa::path(get, path = "/v1/policies/{version}", operation_id = "show_policy", tag = "Policies",
    params(("version" = i64, Path, description = "The version")),
    responses((status = 200, description = "The version, with its documents", body = PolicyVersionView)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(version): PathPart<i64>,
) -> Result<Json<PolicyVersionView>, Problem> {
    Ok(Json(state.registry.policy_version(version).await?))
}

/// Check documents
///
/// 200 whether they are good or not; every fault is listed, and of good ones what is probably not meant.
#[utoipa::path(post, path = "/v1/policies/check", operation_id = "check_policy", tag = "Policies", request_body = Documents,
    responses((status = 200, description = "What is wrong with them", body = Checked)))]
pub(super) async fn check(
    State(state): State<Arc<AdminState>>,
    Body(body): Body<Documents>,
) -> Result<Json<Checked>, Problem> {
    let documents = documents(body.documents);
    let faults = Policy::parse(&documents).err().unwrap_or_default();
    let warnings = match faults.is_empty() {
        true => state.registry.lint_policy(&documents, state.listeners.to_vec()).await?,
        false => Vec::new(),
    };
    let told = |found: Vec<DocumentFault>| found.into_iter().map(Fault::from).collect();
    Ok(Json(Checked { faults: told(faults), warnings: told(warnings) }))
}

impl From<DocumentFault> for Fault {
    fn from(fault: DocumentFault) -> Self {
        Self { document: fault.document, line: fault.line, column: fault.column, message: fault.message }
    }
}

/// Say what an apply would do
#[utoipa::path(post, path = "/v1/policies/plan", operation_id = "plan_policy", tag = "Policies", request_body = Documents,
    responses((status = 200, description = "What would change", body = PolicyPlan)))]
pub(super) async fn plan(
    State(state): State<Arc<AdminState>>,
    Body(body): Body<Documents>,
) -> Result<Json<PolicyPlan>, Problem> {
    Ok(Json(state.registry.plan_policy(&documents(body.documents)).await?))
}

/// Put documents in force
///
/// When this answers, this node judges by them.
#[utoipa::path(post, path = "/v1/policies", operation_id = "apply_policy", tag = "Policies", request_body = NewPolicy,
    responses((status = 201, description = "The new version", body = Applied)))]
pub(super) async fn apply(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(new): Body<NewPolicy>,
) -> Result<Created<Applied>, Problem> {
    let applied = state
        .registry
        .apply_policy(&actor, documents(new.documents), new.comment.as_deref(), new.expected_version)
        .await?;
    Ok(Created(applied.into()))
}

/// Bring an older version back, as a new one
#[utoipa::path(post, path = "/v1/policies/rollback", operation_id = "rollback_policy", tag = "Policies", request_body = Rollback,
    responses((status = 201, description = "The new version", body = Applied)))]
pub(super) async fn rollback(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(body): Body<Rollback>,
) -> Result<Created<Applied>, Problem> {
    Ok(Created(state.registry.rollback_policy(&actor, body.version).await?.into()))
}

fn documents(documents: Vec<PolicyDocument>) -> Vec<Document> {
    documents.into_iter().map(|document| Document::new(document.name, document.text)).collect()
}
