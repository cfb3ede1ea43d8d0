//! Client secrets, for the token endpoint.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::api_key::Ending;
use super::body::{Body, Created};
use super::expiring::expiry;
use super::operator::Operator;
use super::page::Listed;
use super::path_part::PathPart;
use super::problem::Problem;
use super::query::StrictQuery;
use crate::registry::client_secret::{ClientSecretView, NewClientSecret};

/// A secret to make, or to take over.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewClientSecret)]
pub(super) struct ClientSecretOrder {
    #[schema(example = "acme-orders")]
    client: String,
    /// For people to tell secrets apart.
    name: Option<String>,
    /// It ends so many seconds from now. Not together with `expires_at`; with neither it never ends by itself.
    ttl_seconds: Option<i64>,
    /// It ends at this instant, in seconds since the Unix epoch.
    expires_at: Option<i64>,
    /// Networks or CIDRs that it may be used from, besides being one of the client's.
    networks: Option<Vec<String>>,
    /// A secret that the partner has already, 24 to 64 of `A-Za-z0-9_+`; absent: one is made.
    #[schema(format = Password)]
    value: Option<String>,
}

/// A secret, the only time that it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = NewClientSecretWithText)]
pub(super) struct MadeClientSecret {
    #[serde(flatten)]
    view: ClientSecretView,
    /// It is stored nowhere.
    client_secret: String,
}

/// Whose secrets.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientSecretQuery {
    /// The client. Required: secrets are looked after client by client.
    client: String,
    /// Accepted and not needed: a client has few secrets, and all of them are listed.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// List the secrets of a client, newest first
#[utoipa::path(get, path = "/v1/client-secrets", operation_id = "list_client_secrets", tag = "Client secrets",
    params(ClientSecretQuery),
    responses((status = 200, description = "Secrets, without their text", body = Listed<ClientSecretView>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<ClientSecretQuery>,
) -> Result<Json<Listed<ClientSecretView>>, Problem> {
    super::page::limit(query.limit)?;
    Ok(Json(Listed::whole(state.registry.client_secrets(&query.client).await?)))
}

/// Make a client secret
///
/// The secret is in the answer and nowhere else. Two may live at once.
#[utoipa::path(post, path = "/v1/client-secrets", operation_id = "create_client_secret", tag = "Client secrets",
    request_body = ClientSecretOrder,
    responses((status = 201, description = "The secret", body = MadeClientSecret)))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(order): Body<ClientSecretOrder>,
) -> Result<Created<MadeClientSecret>, Problem> {
    let new = NewClientSecret {
        client: order.client,
        name: order.name,
        expiry: expiry(order.ttl_seconds, order.expires_at)?,
        networks: order.networks,
        value: order.value.map(SecretString::from),
    };
    let created = state.registry.create_client_secret(&actor, new).await?;
    let client_secret = created.secret.expose_secret().to_owned();
    Ok(Created(MadeClientSecret { view: created.view, client_secret }))
}

/// Revoke a client secret
///
/// When this answers, no token is issued for it any more. Tokens that were issued before go on: see `/v1/tokens/revoke`.
#[utoipa::path(post, path = "/v1/client-secrets/{id}/revoke", operation_id = "revoke_client_secret", tag = "Client secrets",
    params(("id" = String, Path, description = "The secret's id")), request_body = Ending,
    responses((status = 200, description = "The secret as it now stands", body = ClientSecretView)))]
pub(super) async fn revoke(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(ending): Body<Ending>,
) -> Result<Json<ClientSecretView>, Problem> {
    Ok(Json(state.registry.revoke_client_secret(&actor, &id, ending.reason()).await?))
}
