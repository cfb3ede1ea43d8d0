//! Keys that more than one client has certified.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AdminState;
use super::page::Listed;
use super::problem::Problem;
use crate::store::certificate::shared_key;

/// Whoever has one of these clients' keys can be each of them.
#[derive(Serialize, ToSchema)]
pub(super) struct SharedKey {
    /// SHA-256 of the SubjectPublicKeyInfo, hex.
    id: String,
    /// The clients with a good certificate for it, in order; at least two.
    clients: Vec<String>,
}

/// List keys that good certificates of several clients have in common
#[utoipa::path(get, path = "/v1/shared-keys", operation_id = "list_shared_keys", tag = "Certificates",
    responses((status = 200, description = "At most 100 keys", body = Listed<SharedKey>)))]
pub(super) async fn list(State(state): State<Arc<AdminState>>) -> Result<Json<Listed<SharedKey>>, Problem> {
    let now = state.registry.clock.now();
    let shared = shared_key::list(&state.store, now).await?;
    Ok(Json(Listed::whole(shared.into_iter().map(|(id, clients)| SharedKey { id, clients }).collect())))
}
