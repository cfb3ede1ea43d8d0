//! The report of what ends soon.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::AdminState;
use super::page::{self, Listed};
use super::problem::Problem;
use super::query::StrictQuery;
use crate::inventory::ExpiryItem;

/// Thirty days.
const WITHIN_SECONDS_DEFAULT: u32 = 30 * 86_400;

/// How far to look, and at what.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpiryQuery {
    /// Ends within so many seconds from now; thirty days when absent.
    within_seconds: Option<u32>,
    /// Also credentials that let nobody in lately (`expiry.in_use_days`); no when absent.
    unused: Option<bool>,
    /// 1 to 1000 credentials; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// Report what ends soon: authorities, lists, signers and server certificates, then the credentials in use
///
/// What is the installation's own stands in the first part, whole, beside at most `limit` credentials.
#[utoipa::path(get, path = "/v1/expiry", operation_id = "report_expiry", tag = "Status", params(ExpiryQuery),
    responses((status = 200, description = "What ends", body = Listed<ExpiryItem>)))]
pub(super) async fn report(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<ExpiryQuery>,
) -> Result<Json<Listed<ExpiryItem>>, Problem> {
    let page = page::page(query.limit, query.after.as_deref())?;
    let within = query.within_seconds.unwrap_or(WITHIN_SECONDS_DEFAULT);
    let part = state.expiry.report(within, query.unused.unwrap_or(false), page).await?;
    Ok(Json(Listed { items: part.items, next: part.next.map(|next| next.to_string()) }))
}
