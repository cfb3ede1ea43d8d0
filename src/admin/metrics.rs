use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;

use super::AdminState;

/// Prometheus' text format 0.0.4.
pub(super) async fn show(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (state.metrics)())
}
