//! Clients: the machines of a partner.

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
use crate::registry::client::{ClientView, NewClient};
use crate::store::client::ClientFilter;

/// A client to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewClient)]
pub(super) struct ClientOrder {
    #[schema(example = "acme-orders", pattern = "^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$")]
    id: String,
    /// The partner it belongs to.
    #[schema(example = "acme")]
    partner: String,
    description: Option<String>,
    /// All it may ever be granted.
    #[serde(default)]
    scopes: Vec<String>,
    /// Names of networks, or CIDRs. Empty: from anywhere.
    #[serde(default)]
    networks: Vec<String>,
    /// Absent: unlimited.
    usage_plan: Option<String>,
}

impl From<ClientOrder> for NewClient {
    fn from(order: ClientOrder) -> Self {
        Self {
            id: order.id,
            partner: order.partner,
            description: order.description,
            scopes: order.scopes,
            networks: order.networks,
            usage_plan: order.usage_plan,
        }
    }
}

/// Which clients.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientQuery {
    /// Those of this partner only.
    partner: Option<String>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// List clients by id
#[utoipa::path(get, path = "/v1/clients", operation_id = "list_clients", tag = "Clients", params(ClientQuery),
    responses((status = 200, description = "Clients", body = Listed<ClientView>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<ClientQuery>,
) -> Result<Json<Listed<ClientView>>, Problem> {
    let page = page::page(query.limit, query.after.as_deref())?;
    let filter = ClientFilter { partner: query.partner, page };
    Ok(Json(Listed::of(state.registry.clients(&filter).await?, page)))
}

/// Add a client to a partner
#[utoipa::path(post, path = "/v1/clients", operation_id = "create_client", tag = "Clients", request_body = ClientOrder,
    responses((status = 201, description = "The client", body = ClientView)))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(order): Body<ClientOrder>,
) -> Result<Created<ClientView>, Problem> {
    Ok(Created(state.registry.create_client(&actor, order.into()).await?))
}

/// Show a client
#[utoipa::path(get, path = "/v1/clients/{id}", operation_id = "show_client", tag = "Clients",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = ClientView)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<ClientView>, Problem> {
    Ok(Json(state.registry.client(&id).await?))
}

/// Switch a client off
///
/// At once, whatever it presents. The tokens issued to it until now are revoked as well.
#[utoipa::path(post, path = "/v1/clients/{id}/disable", operation_id = "disable_client", tag = "Clients",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client as it now stands", body = ClientView)))]
pub(super) async fn disable(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<ClientView>, Problem> {
    Ok(Json(state.registry.set_client_enabled(&actor, &id, false).await?))
}

/// Switch a client on again
#[utoipa::path(post, path = "/v1/clients/{id}/enable", operation_id = "enable_client", tag = "Clients",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client as it now stands", body = ClientView)))]
pub(super) async fn enable(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<ClientView>, Problem> {
    Ok(Json(state.registry.set_client_enabled(&actor, &id, true).await?))
}
