//! Why a request would pass, or not.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::AdminState;
use super::body::Body;
use crate::gateway::{ExplainAnswer, ExplainRequest};

/// Explain a decision
///
/// Judges the described request as the gate would, step by step. Nothing is called and nothing is spent.
#[utoipa::path(post, path = "/v1/explain", operation_id = "explain", tag = "Explain", request_body = ExplainRequest,
    responses((status = 200, description = "The decision and its steps", body = ExplainAnswer)))]
pub(super) async fn explain(
    State(state): State<Arc<AdminState>>,
    Body(request): Body<ExplainRequest>,
) -> Json<ExplainAnswer> {
    Json(state.explainer.explain(&request).await)
}
