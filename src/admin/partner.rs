//! Partners: the companies.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::body::{Body, Created, Nothing};
use super::operator::Operator;
use super::page::{self, Listed};
use super::path_part::PathPart;
use super::problem::Problem;
use super::query::StrictQuery;
use crate::registry::partner::{self, PartnerView};

/// A partner to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPartner {
    /// Short name: a-z, 0-9 and `-`.
    #[schema(example = "acme", pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    id: String,
    /// For people; the id when absent.
    #[schema(example = "Acme Ltd")]
    name: Option<String>,
    /// Whom to call.
    contact: Option<String>,
    /// Networks or CIDRs that any of its clients may call from, besides being one of the client's. Empty: anywhere.
    #[serde(default)]
    networks: Vec<String>,
    /// The usage plan that its clients share, besides each one's own. Absent: unlimited.
    usage_plan: Option<String>,
}

/// Which part of the list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PartnerQuery {
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// List partners by id
#[utoipa::path(get, path = "/v1/partners", operation_id = "list_partners", tag = "Partners", params(PartnerQuery),
    responses((status = 200, description = "Partners", body = Listed<PartnerView>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<PartnerQuery>,
) -> Result<Json<Listed<PartnerView>>, Problem> {
    let page = page::page(query.limit, query.after.as_deref())?;
    Ok(Json(Listed::of(state.registry.partners(page).await?, page)))
}

/// Add a partner
#[utoipa::path(post, path = "/v1/partners", operation_id = "create_partner", tag = "Partners", request_body = NewPartner,
    responses((status = 201, description = "The partner", body = PartnerView)))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(new): Body<NewPartner>,
) -> Result<Created<PartnerView>, Problem> {
    let new = partner::NewPartner {
        id: new.id,
        name: new.name,
        contact: new.contact,
        networks: new.networks,
        usage_plan: new.usage_plan,
    };
    Ok(Created(state.registry.create_partner(&actor, new).await?))
}

/// Show a partner
#[utoipa::path(get, path = "/v1/partners/{id}", operation_id = "show_partner", tag = "Partners",
    params(("id" = String, Path, description = "The partner's id")),
    responses((status = 200, description = "The partner", body = PartnerView)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<PartnerView>, Problem> {
    Ok(Json(state.registry.partner(&id).await?))
}

/// Switch a partner off
///
/// At once, with all its clients, whatever they present. The tokens issued until now are revoked as well.
#[utoipa::path(post, path = "/v1/partners/{id}/disable", operation_id = "disable_partner", tag = "Partners",
    params(("id" = String, Path, description = "The partner's id")),
    responses((status = 200, description = "The partner as it now stands", body = PartnerView)))]
pub(super) async fn disable(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<PartnerView>, Problem> {
    Ok(Json(state.registry.set_partner_enabled(&actor, &id, false).await?))
}

/// Switch a partner on again
#[utoipa::path(post, path = "/v1/partners/{id}/enable", operation_id = "enable_partner", tag = "Partners",
    params(("id" = String, Path, description = "The partner's id")),
    responses((status = 200, description = "The partner as it now stands", body = PartnerView)))]
pub(super) async fn enable(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<PartnerView>, Problem> {
    Ok(Json(state.registry.set_partner_enabled(&actor, &id, true).await?))
}
