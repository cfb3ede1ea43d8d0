//! Quotas: how much of each period is used, and what an operator changes about one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use policies::{Quota, RuleMode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::body::Body;
use super::operator::Operator;
use super::page::{self, Listed};
use super::problem::Problem;
use super::query::StrictQuery;
use crate::failure::{Failure, Refusal};
use crate::gateway::limits::{QuotaAsked, QuotaCount, QuotaSubject, quotas_of_client, quotas_of_partner};
use crate::store::quota::{self as table, QuotaFilter, QuotaRow};

/// One period of one quota. Amounts are requests, times seconds since the Unix epoch.
#[derive(Serialize, ToSchema)]
#[schema(as = QuotaPeriod)]
pub(super) struct QuotaView {
    /// `client` (all its requests), `client_route` (its requests to one route) or `partner` (all its clients together).
    subject: &'static str,
    client: Option<String>,
    partner: Option<String>,
    /// Of `client_route`: the route's id.
    route: Option<String>,
    /// The quota's name in its plan.
    #[schema(example = "monthly")]
    quota: String,
    /// `day`, `week` or `month`.
    period: &'static str,
    /// `enforce`, or `shadow` if it is only watched.
    mode: &'static str,
    time_zone: String,
    /// The plan's.
    limit: u64,
    /// Granted on top by an operator, for this period alone.
    extra: u64,
    /// Served in this period.
    used: u64,
    remaining: u64,
    starts_at: i64,
    /// When the count begins again.
    ends_at: i64,
}

impl QuotaView {
    fn new(asked: &QuotaAsked<'_>, count: QuotaCount) -> Self {
        let (client, partner, route) = match &asked.subject {
            QuotaSubject::Client(client) => (Some(client.to_string()), None, None),
            QuotaSubject::Partner(partner) => (None, Some(partner.to_string()), None),
            QuotaSubject::ClientRoute(client, route) => (Some(client.to_string()), None, Some(route.to_string())),
        };
        Self {
            subject: asked.subject.kind(),
            client,
            partner,
            route,
            quota: asked.quota.name().to_string(),
            period: asked.quota.period.as_str(),
            mode: asked.quota.mode.as_str(),
            time_zone: asked.quota.time_zone().to_owned(),
            limit: count.limit,
            extra: count.extra,
            used: count.used,
            remaining: count.remaining,
            starts_at: count.period.starts_at.0,
            ends_at: count.period.ends_at.0,
        }
    }
}

/// Whose quotas.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaQuery {
    /// Those of this client, also where it has used nothing yet.
    client: Option<String>,
    /// Those that the clients of this partner share.
    partner: Option<String>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// Which quota: of a client or of a partner.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaSelector {
    #[schema(example = "acme-orders")]
    client: Option<String>,
    partner: Option<String>,
    /// With `client`: its quota on this route.
    route: Option<String>,
    /// The quota's name; may be absent where there is only one.
    #[schema(example = "monthly")]
    quota: Option<String>,
}

/// More of this period for one client or partner.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuotaExtension)]
pub(super) struct Extension {
    client: Option<String>,
    partner: Option<String>,
    /// With `client`: its quota on this route.
    route: Option<String>,
    /// The quota's name; may be absent where there is only one.
    quota: Option<String>,
    /// Requests on top of the plan's limit.
    #[schema(minimum = 1, example = 5000)]
    amount: u64,
}

/// List the quotas of a client or partner, or all that are being used
#[utoipa::path(get, path = "/v1/quotas", operation_id = "list_quotas", tag = "Quotas", params(QuotaQuery),
    responses((status = 200, description = "The period of each quota that holds this moment", body = Listed<QuotaView>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<QuotaQuery>,
) -> Result<Json<Listed<QuotaView>>, Problem> {
    let page = page::page(query.limit, query.after.as_deref())?;
    let whose = (query.client.as_deref(), query.partner.as_deref());
    if whose != (None, None) {
        let mut items = Vec::new();
        for (subject, quota) in owned(&state, whose).await? {
            items.push(view(&state, &subject, &quota).await?);
        }
        return Ok(Json(Listed::whole(items)));
    }
    let filter = QuotaFilter { open_at: Some(state.registry.clock.now()), page, ..QuotaFilter::default() };
    let rows = table::list(&state.store, filter).await?;
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let mut items = Vec::new();
    for row in rows {
        // What no plan names any more counts nothing.
        if let Some((subject, quota)) = find(&state, &row).await? {
            items.push(view(&state, &subject, &quota).await?);
        }
    }
    let next = (count >= page.limit).then(|| page.offset.saturating_add(page.limit).to_string());
    Ok(Json(Listed { items, next }))
}

/// Grant more of the period that runs
///
/// For this period alone; the next one has the plan's limit again.
#[utoipa::path(post, path = "/v1/quotas/extend", operation_id = "extend_quota", tag = "Quotas", request_body = Extension,
    responses((status = 200, description = "The period as it now stands", body = QuotaView)))]
pub(super) async fn extend(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(order): Body<Extension>,
) -> Result<Json<QuotaView>, Problem> {
    let Extension { client, partner, route, quota, amount } = order;
    let (subject, quota) = select(&state, &QuotaSelector { client, partner, route, quota }).await?;
    let asked = QuotaAsked { subject, quota: &quota };
    let count = state.quotas.extend(&actor, &state.registry.clock, &asked, amount).await?;
    Ok(Json(QuotaView::new(&asked, count)))
}

/// Begin the count of the period that runs again
///
/// What was granted on top of the plan's limit stays granted.
#[utoipa::path(post, path = "/v1/quotas/reset", operation_id = "reset_quota", tag = "Quotas", request_body = QuotaSelector,
    responses((status = 200, description = "The period as it now stands", body = QuotaView)))]
pub(super) async fn reset(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(selector): Body<QuotaSelector>,
) -> Result<Json<QuotaView>, Problem> {
    let (subject, quota) = select(&state, &selector).await?;
    let asked = QuotaAsked { subject, quota: &quota };
    let count = state.quotas.reset(&actor, &state.registry.clock, &asked).await?;
    Ok(Json(QuotaView::new(&asked, count)))
}

type Owned = (QuotaSubject, Quota);

async fn view(state: &AdminState, subject: &QuotaSubject, quota: &Quota) -> Result<QuotaView, Failure> {
    let asked = QuotaAsked { subject: subject.clone(), quota };
    Ok(QuotaView::new(&asked, state.quotas.count(&asked, state.registry.clock.now()).await?))
}

/// Every quota of a client or a partner that is not off.
async fn owned(state: &AdminState, whose: (Option<&str>, Option<&str>)) -> Result<Vec<Owned>, Failure> {
    let policy = state.snapshot.policy();
    let owned = |asked: Vec<QuotaAsked<'_>>| {
        let counted = asked.into_iter().filter(|asked| asked.quota.mode != RuleMode::Off);
        counted.map(|asked| (asked.subject, asked.quota.clone())).collect()
    };
    match whose {
        (Some(client), None) => {
            let entry = policy.client(client).ok_or_else(|| {
                Refusal::not_found("client_not_found", format!("There is no client {client:?} in force."))
            })?;
            Ok(owned(quotas_of_client(&entry.client)))
        }
        (None, Some(partner)) => {
            let shown = state.registry.partner(partner).await?;
            let id =
                shown.id.parse().map_err(|_| Refusal::not_found("partner_not_found", "There is no such partner."))?;
            let plan = shown.usage_plan.as_deref().and_then(|name| policy.policy.usage_plans.get(name));
            Ok(plan.map_or_else(Vec::new, |plan| owned(quotas_of_partner(&id, plan))))
        }
        _ => Err(Refusal::invalid("ambiguous_selector", "Give exactly one of client and partner.").into()),
    }
}

/// The one quota that is meant.
async fn select(state: &AdminState, selector: &QuotaSelector) -> Result<Owned, Failure> {
    let all = owned(state, (selector.client.as_deref(), selector.partner.as_deref())).await?;
    let route = selector.route.as_deref().unwrap_or("");
    let of_route: Vec<Owned> = all.into_iter().filter(|(subject, _)| subject.route() == route).collect();
    let is_meant = |quota: &Quota| selector.quota.as_deref().is_none_or(|name| name == &**quota.name());
    let names: Vec<String> = of_route.iter().map(|(_, quota)| quota.name().to_string()).collect();
    let mut meant: Vec<Owned> = of_route.into_iter().filter(|(_, quota)| is_meant(quota)).collect();
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    match meant.len() {
        1 => meant.pop().ok_or_else(|| Refusal::not_found("quota_not_found", "There is no such quota.").into()),
        0 => Err(Refusal::not_found("quota_not_found", format!("There is no such quota; there are: {there}.")).into()),
        _ => Err(Refusal::invalid("ambiguous_selector", format!("Say which quota: {there}.")).into()),
    }
}

/// The quota that a row counts, as the policy in force has it.
async fn find(state: &AdminState, row: &QuotaRow) -> Result<Option<Owned>, Failure> {
    let whose = match row.subject_kind.as_str() {
        "partner" => (None, Some(row.subject.as_str())),
        _ => (Some(row.subject.as_str()), None),
    };
    let all = match owned(state, whose).await {
        Err(Failure::Refused(_)) => return Ok(None),
        all => all?,
    };
    Ok(all.into_iter().find(|(subject, quota)| {
        subject.kind() == row.subject_kind
            && subject.route() == row.route
            && **quota.name() == *row.name
            && quota.period.as_str() == row.period
            && quota.mode.as_str() == row.mode
    }))
}
