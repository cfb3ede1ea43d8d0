//! API keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::body::{Body, Created};
use super::expiring::expiry;
use super::operator::Operator;
use super::page::{self, Listed};
use super::path_part::PathPart;
use super::problem::Problem;
use super::query::StrictQuery;
use crate::registry::api_key::{ApiKeyView, CreatedApiKey, NewApiKey};
use crate::store::api_key::{ApiKeyFilter, Unused};

/// How long a replaced key goes on when nothing is said.
const GRACE_SECONDS_DEFAULT: i64 = 86_400;

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
pub(super) struct ApiKeyOrder {
    #[schema(example = "acme-orders")]
    client: String,
    /// For people to tell keys apart.
    name: Option<String>,
    /// It ends so many seconds from now. Not together with `expires_at`; with neither it never ends by itself.
    ttl_seconds: Option<i64>,
    /// It ends at this instant, in seconds since the Unix epoch.
    expires_at: Option<i64>,
    /// Some of the client's scopes; absent: all of them, also those it is granted later.
    scopes: Option<Vec<String>>,
    /// Networks or CIDRs that it may be used from, besides being one of the client's.
    networks: Option<Vec<String>>,
}

/// A key, the only time that it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApiKeyWithText)]
pub(super) struct MadeApiKey {
    #[serde(flatten)]
    view: ApiKeyView,
    /// What the client sends in `x-api-key`. It is stored nowhere.
    api_key: String,
}

/// How to replace a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// How long the old key goes on; a day when absent, and never longer than it would have.
    grace_seconds: Option<i64>,
}

/// Why a key or secret is ended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ending {
    /// For the audit log.
    #[schema(example = "key-compromise")]
    reason: Option<String>,
}

impl Ending {
    /// What was said, or that nothing was.
    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("unspecified")
    }
}

/// Which keys.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeyQuery {
    /// Those of this client only.
    client: Option<String>,
    /// Live ones that let nobody in for so many seconds, and are older.
    unused_for_seconds: Option<u32>,
    /// Replaced ones that let somebody in since: whoever sends them has not changed over to the new one.
    #[serde(default)]
    #[param(required = false)]
    replaced_in_use: bool,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

impl From<CreatedApiKey> for MadeApiKey {
    fn from(created: CreatedApiKey) -> Self {
        Self { view: created.view, api_key: created.key.expose_secret().to_owned() }
    }
}

/// List API keys, newest first
#[utoipa::path(get, path = "/v1/api-keys", operation_id = "list_api_keys", tag = "API keys", params(ApiKeyQuery),
    responses((status = 200, description = "Keys, without their text", body = Listed<ApiKeyView>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<ApiKeyQuery>,
) -> Result<Json<Listed<ApiKeyView>>, Problem> {
    let page = page::page(query.limit, query.after.as_deref())?;
    let now = state.registry.clock.now();
    let unused = query.unused_for_seconds.map(|seconds| Unused { since: now.plus(-i64::from(seconds)), now });
    let filter = ApiKeyFilter {
        client: query.client,
        unused,
        replaced_in_use: query.replaced_in_use,
        page,
        ..ApiKeyFilter::default()
    };
    Ok(Json(Listed::of(state.registry.api_keys(&filter).await?, page)))
}

/// Make an API key
///
/// The key is in the answer and nowhere else.
#[utoipa::path(post, path = "/v1/api-keys", operation_id = "create_api_key", tag = "API keys", request_body = ApiKeyOrder,
    responses((status = 201, description = "The key", body = MadeApiKey)))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(order): Body<ApiKeyOrder>,
) -> Result<Created<MadeApiKey>, Problem> {
    let new = NewApiKey {
        client: order.client,
        name: order.name,
        expiry: expiry(order.ttl_seconds, order.expires_at)?,
        scopes: order.scopes,
        networks: order.networks,
    };
    Ok(Created(state.registry.create_api_key(&actor, new).await?.into()))
}

/// Show an API key
#[utoipa::path(get, path = "/v1/api-keys/{id}", operation_id = "show_api_key", tag = "API keys",
    params(("id" = String, Path, description = "The public part of the key")),
    responses((status = 200, description = "The key, without its text", body = ApiKeyView)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<ApiKeyView>, Problem> {
    Ok(Json(state.registry.api_key(&id).await?))
}

/// Replace an API key
///
/// The successor has the same name, narrowing and length of life. The old key goes on for a while, so that nothing breaks.
#[utoipa::path(post, path = "/v1/api-keys/{id}/rotate", operation_id = "rotate_api_key", tag = "API keys",
    params(("id" = String, Path, description = "The public part of the old key")), request_body = Rotation,
    responses((status = 201, description = "The new key", body = MadeApiKey)))]
pub(super) async fn rotate(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(rotation): Body<Rotation>,
) -> Result<Created<MadeApiKey>, Problem> {
    let grace_seconds = rotation.grace_seconds.unwrap_or(GRACE_SECONDS_DEFAULT);
    Ok(Created(state.registry.rotate_api_key(&actor, &id, grace_seconds).await?.into()))
}

/// Revoke an API key
///
/// When this answers, the key opens nothing any more. Revoking again is no error.
#[utoipa::path(post, path = "/v1/api-keys/{id}/revoke", operation_id = "revoke_api_key", tag = "API keys",
    params(("id" = String, Path, description = "The public part of the key")), request_body = Ending,
    responses((status = 200, description = "The key as it now stands", body = ApiKeyView)))]
pub(super) async fn revoke(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(ending): Body<Ending>,
) -> Result<Json<ApiKeyView>, Problem> {
    Ok(Json(state.registry.revoke_api_key(&actor, &id, ending.reason()).await?))
}
