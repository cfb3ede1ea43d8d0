//! Whether this node lives, and whether it should be sent requests.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use super::AdminState;

/// A database that takes longer than this to say where it is, is not there.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// One thing that must be right.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// For people. Everybody can read it.
    pub detail: String,
}

/// Asks the parts that can answer at once.
pub type Probe = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<Check>,
}

/// 200 as long as requests are answered at all.
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// 200 when every check is right, 503 with the same body when one is not.
pub(super) async fn ready(State(state): State<Arc<AdminState>>) -> Response {
    let mut checks = vec![database(&state).await];
    checks.extend((state.readiness)());
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks })).into_response()
}

async fn database(state: &AdminState) -> Check {
    let asked = tokio::time::timeout(DATABASE_PATIENCE, state.store.newest_change()).await;
    let (ok, detail) = match asked {
        Ok(Ok(seq)) => (true, format!("at change {}", seq.0)),
        Ok(Err(fault)) => {
            tracing::warn!(fault = fault.inside(), "the database does not answer");
            (false, "does not answer".to_owned())
        }
        Err(_) => (false, format!("did not answer within {} s", DATABASE_PATIENCE.as_secs())),
    };
    Check { name: "database", ok, detail }
}
