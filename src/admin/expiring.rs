//! What ends soon, of every kind: the question of whoever looks after partners.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use policies::UnixSeconds;
use serde::Deserialize;
use utoipa::IntoParams;

use super::AdminState;
use super::page::{self, Listed};
use super::problem::Problem;
use super::query::StrictQuery;
use crate::failure::Refusal;
use crate::registry::Expiry;
use crate::store::expiring::{self, ExpiringRow};

/// Thirty days.
const WITHIN_SECONDS_DEFAULT: u32 = 30 * 86_400;

/// How far to look.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpiringQuery {
    /// Ends within so many seconds from now; thirty days when absent.
    within_seconds: Option<u32>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// List live credentials that end soon, the next first
#[utoipa::path(get, path = "/v1/expiring", operation_id = "list_expiring", tag = "Status", params(ExpiringQuery),
    responses((status = 200, description = "Certificates, API keys and client secrets", body = Listed<ExpiringRow>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<ExpiringQuery>,
) -> Result<Json<Listed<ExpiringRow>>, Problem> {
    let page = page::page(query.limit, query.after.as_deref())?;
    let now = state.registry.clock.now();
    let until = now.plus(query.within_seconds.unwrap_or(WITHIN_SECONDS_DEFAULT).into());
    Ok(Json(Listed::of(expiring::list(&state.store, now, until, page).await?, page)))
}

/// The end of a new credential: at an instant or after a time, not both.
pub(super) fn expiry(ttl_seconds: Option<i64>, expires_at: Option<i64>) -> Result<Option<Expiry>, Problem> {
    match (ttl_seconds, expires_at) {
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("contradiction", "Give ttl_seconds or expires_at, not both.").into())
        }
        (Some(seconds), None) => Ok(Some(Expiry::After(seconds))),
        (None, Some(instant)) => Ok(Some(Expiry::At(UnixSeconds(instant)))),
        (None, None) => Ok(None),
    }
}
