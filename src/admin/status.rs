//! This server at a glance.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AdminState;
use super::listener::ListedListener;
use super::operator::Operator;
use super::problem::Problem;
use crate::store::audit_change;
use crate::store::counts::{self, Counts};

/// This server at a glance.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// Of the program.
    version: &'static str,
    /// 0 before the first.
    policy_version: i64,
    /// How far this node followed the feed of changes.
    change: i64,
    /// How long ago it was last certain to have missed nothing.
    change_confirmed_ms_ago: u64,
    /// When an administrator last changed something; later than now: the server's clock has gone back.
    newest_record_at: Option<i64>,
    /// Who is asking: the client's id.
    caller: String,
    /// The trust domain of the identities in client certificates.
    trust_domain: String,
    listeners: Vec<ListedListener>,
    counts: Counts,
}

/// Show this server at a glance
#[utoipa::path(get, path = "/v1/status", operation_id = "show_status", tag = "Status",
    responses((status = 200, description = "Versions, listeners and counts", body = Status)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
) -> Result<Json<Status>, Problem> {
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        policy_version: state.snapshot.policy().version,
        change: state.snapshot.seq().0,
        change_confirmed_ms_ago: u64::try_from(state.snapshot.age().as_millis()).unwrap_or(u64::MAX),
        newest_record_at: audit_change::newest_at(&state.store).await?.map(|millis| millis.div_euclid(1000)),
        caller: actor.name,
        trust_domain: state.authority.trust_domain().to_owned(),
        listeners: state.endpoints.clone(),
        counts: counts::live(&state.store, state.registry.clock.now()).await?,
    }))
}
