//! How much of what each client used, hour by hour.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::page::{self, Listed};
use super::problem::Problem;
use super::query::StrictQuery;
use crate::failure::Refusal;
use crate::store::usage::{self, Dimension, UsageFilter, UsageRow};
use crate::usage::{HOUR_SECONDS, hour_of};

/// How long a question waits for what is counted and not yet written. When the disk is slow, what is there must do.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);
/// The running hour and the 23 before it.
const FROM_DEFAULT_SECONDS: i64 = 23 * HOUR_SECONDS;
/// Octets of a digest in a row's id.
const ID_BYTES: usize = 16;

/// Which rows, and how finely.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageQuery {
    /// Hours that begin at or after this instant, in seconds since the Unix epoch; the last 24 when absent.
    from: Option<i64>,
    /// Hours that begin before this instant; to the running one when absent.
    to: Option<i64>,
    /// What rows are told apart by, with commas between: some of `hour`, `partner`, `client`, `credential`, `route`, `method`,
    /// `outcome` and `listener`. What is left out is summed up. All of them when absent.
    by: Option<String>,
    partner: Option<String>,
    client: Option<String>,
    credential: Option<String>,
    /// The id of a route.
    route: Option<String>,
    /// The method of HTTP.
    method: Option<String>,
    /// `allowed`, or the code of a denial.
    outcome: Option<String>,
    listener: Option<String>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// Requests that were counted together. What rows are not told apart by is null.
#[derive(Serialize, ToSchema)]
pub(super) struct UsageItem {
    /// The same for the same hour, client, …: who imports a row twice can tell.
    id: String,
    /// The beginning of the hour, in seconds since the Unix epoch.
    hour: Option<i64>,
    /// Whether the hour is over: the row then stays as it is.
    complete: bool,
    /// Empty when nobody was authenticated; `*` where too much was counted to be told apart.
    client: Option<String>,
    partner: Option<String>,
    /// `api-key:4fG…`, several with blanks between; `access-token` for all tokens together.
    credential: Option<String>,
    /// The route's id; empty where there was none, the endpoint's name for endpoints of the server's own.
    route: Option<String>,
    method: Option<String>,
    outcome: Option<String>,
    listener: Option<String>,
    requests: i64,
    /// Bytes of bodies, without heads and TLS.
    request_bytes: i64,
    response_bytes: i64,
    /// From the request's head to the answer's, summed up, in microseconds.
    micros: i64,
    /// How many requests took up to 0.1, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 5000 milliseconds, and longer; each request
    /// is in one class.
    latency: Vec<i64>,
}

/// List what was used, in the order of `by`
#[utoipa::path(get, path = "/v1/usage", operation_id = "list_usage", tag = "Usage", params(UsageQuery),
    responses((status = 200, description = "Requests, bytes and latency", body = Listed<UsageItem>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<UsageQuery>,
) -> Result<Json<Listed<UsageItem>>, Problem> {
    let now = state.registry.clock.now();
    let limit = page::limit(query.limit)?;
    let by = dimensions(query.by.as_deref())?;
    let after = query.after.as_deref().map(|cursor| read_cursor(cursor, by.len())).transpose()?;
    let only = [
        (Dimension::Partner, query.partner),
        (Dimension::Client, query.client),
        (Dimension::Credential, query.credential),
        (Dimension::Route, query.route),
        (Dimension::Method, query.method),
        (Dimension::Outcome, query.outcome),
        (Dimension::Listener, query.listener),
    ];
    // What is known of an hour is whole only when all that was counted in it is written.
    let _ = tokio::time::timeout(FLUSH_PATIENCE, state.usage.flush()).await;
    let filter = UsageFilter {
        from: query.from.unwrap_or_else(|| hour_of(now).saturating_sub(FROM_DEFAULT_SECONDS)),
        to: query.to.unwrap_or(i64::MAX),
        only: only.into_iter().filter_map(|(dimension, value)| Some((dimension, value?))).collect(),
        by: by.clone(),
        after,
        limit,
    };
    let running = hour_of(now);
    let rows = usage::list(&state.store, &filter).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|count| count >= limit);
    let next = rows.last().filter(|_| full).map(|row| cursor(row, &by));
    let is_over = filter.to <= running;
    let items = rows.into_iter().map(|row| item(row, &by, running, is_over)).collect();
    Ok(Json(Listed { items, next }))
}

fn dimensions(by: Option<&str>) -> Result<Vec<Dimension>, Refusal> {
    let Some(by) = by else { return Ok(Dimension::ALL.to_vec()) };
    let mut dimensions = Vec::new();
    for name in by.split(',') {
        let known = Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == name);
        match known.filter(|dimension| !dimensions.contains(dimension)) {
            Some(dimension) => dimensions.push(dimension),
            None => {
                let names = Dimension::ALL.map(Dimension::as_str).join(", ");
                return Err(Refusal::invalid("invalid_by", format!("`by` is some of {names}, each once.")));
            }
        }
    }
    Ok(dimensions)
}

fn cursor(row: &UsageRow, by: &[Dimension]) -> String {
    let values: Vec<String> = by.iter().map(|dimension| dimension.of(row)).collect();
    URL_SAFE_NO_PAD.encode(serde_json::json!(values).to_string())
}

fn read_cursor(text: &str, values: usize) -> Result<Vec<String>, Refusal> {
    let read = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice::<Vec<String>>(&json).ok());
    read.filter(|read| read.len() == values)
        .ok_or_else(|| Refusal::invalid("invalid_cursor", "Give the `next` of an earlier list, unchanged."))
}

fn item(row: UsageRow, by: &[Dimension], running: i64, is_over: bool) -> UsageItem {
    let text = |dimension: Dimension| by.contains(&dimension).then(|| dimension.of(&row));
    let has_hour = by.contains(&Dimension::Hour);
    UsageItem {
        id: id(&row, by),
        hour: has_hour.then_some(row.hour),
        complete: if has_hour { row.hour < running } else { is_over },
        client: text(Dimension::Client),
        partner: text(Dimension::Partner),
        credential: text(Dimension::Credential),
        route: text(Dimension::Route),
        method: text(Dimension::Method),
        outcome: text(Dimension::Outcome),
        listener: text(Dimension::Listener),
        requests: row.requests,
        request_bytes: row.request_bytes,
        response_bytes: row.response_bytes,
        micros: row.micros,
        latency: row.latency.to_vec(),
    }
}

fn id(row: &UsageRow, by: &[Dimension]) -> String {
    let mut named = Vec::new();
    for dimension in by {
        named.extend([dimension.as_str().as_bytes(), b"=", dimension.of(row).as_bytes(), b"\0"].concat());
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &named);
    digest.as_ref().iter().take(ID_BYTES).map(|octet| format!("{octet:02x}")).collect()
}
