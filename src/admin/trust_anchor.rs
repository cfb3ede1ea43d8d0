//! Authorities of partners.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AdminState;
use super::body::{Body, Created, Nothing};
use super::operator::Operator;
use super::page::Listed;
use super::path_part::PathPart;
use super::problem::Problem;
use crate::authority::{AnchorView, NewAnchor};

/// An authority of a partner to import.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTrustAnchor)]
pub(super) struct AnchorOrder {
    /// The operator's name for it.
    #[schema(example = "acme-ca", pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    id: String,
    /// Whose authority it is. It makes none but this partner's clients.
    #[schema(example = "acme")]
    partner: String,
    /// PEM, exactly one certificate.
    certificate: String,
    /// PEM: authorities below it. Their lists count, and clients need not send them.
    intermediates: Option<String>,
    /// What its certificates may be named: `dns:host`, `dns:.domain` (below), `uri:scheme://host/path`,
    /// `uri:scheme://host/path/` (below), `email:name@host`, `email:@host`, `other`. A certificate with any other name is refused.
    #[serde(default)]
    names: Vec<String>,
    /// Which client a name means: `kind:name=client` with kind `dns`, `uri`, `email` or `cn`, or with `{name}` once on both sides.
    #[schema(example = json!(["uri:spiffe://acme.example/m2m/{name}=acme-{name}"]))]
    mappings: Vec<String>,
    /// Where its revocation lists are fetched from, `http` or `https`.
    #[serde(default)]
    crl_urls: Vec<String>,
    /// PEM: its revocation lists of today.
    crl: Option<String>,
    /// `required` when absent: a missing or lapsed list denies. `best-effort`: only what stands on a list is refused.
    revocation: Option<String>,
    /// How long a list still counts after its end; 0 when absent, at most 30 days.
    grace_seconds: Option<u32>,
    /// How often lists are fetched; an hour when absent.
    refresh_seconds: Option<u32>,
    /// Whether lists may be fetched from addresses that are not on the Internet.
    #[serde(default)]
    allow_private_address: bool,
    /// Whether it takes the place of the anchor of this id.
    #[serde(default)]
    replace: bool,
}

/// Lists to take in place of fetching them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    /// PEM.
    crl: Option<String>,
}

/// What the removal of an anchor did.
#[derive(Serialize, ToSchema)]
pub(super) struct RemovedAnchor {
    id: String,
    /// Open connections of its certificates that were closed.
    connections_closed: usize,
}

/// List the authorities of partners by id
#[utoipa::path(get, path = "/v1/trust-anchors", operation_id = "list_trust_anchors", tag = "Trust anchors",
    responses((status = 200, description = "Authorities of partners", body = Listed<AnchorView>)))]
pub(super) async fn list(State(state): State<Arc<AdminState>>) -> Result<Json<Listed<AnchorView>>, Problem> {
    Ok(Json(Listed::whole(state.authority.anchors().await?)))
}

/// Import an authority of a partner
///
/// Its lists are fetched before this answers; what went wrong with that stands in `sources`.
#[utoipa::path(post, path = "/v1/trust-anchors", operation_id = "import_trust_anchor", tag = "Trust anchors", request_body = AnchorOrder,
    responses((status = 201, description = "The authority, in force", body = AnchorView)))]
pub(super) async fn import(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(order): Body<AnchorOrder>,
) -> Result<Created<AnchorView>, Problem> {
    let new = NewAnchor {
        id: order.id,
        partner: order.partner,
        certificate_pem: order.certificate,
        intermediates_pem: order.intermediates,
        names: order.names,
        mappings: order.mappings,
        crl_urls: order.crl_urls,
        crl_pem: order.crl,
        revocation: order.revocation,
        grace_seconds: order.grace_seconds,
        refresh_seconds: order.refresh_seconds,
        allow_private_address: order.allow_private_address,
        replace: order.replace,
    };
    Ok(Created(state.authority.import_anchor(new, &actor).await?))
}

/// Show an authority of a partner
#[utoipa::path(get, path = "/v1/trust-anchors/{id}", operation_id = "show_trust_anchor", tag = "Trust anchors",
    params(("id" = String, Path, description = "The anchor's id")),
    responses((status = 200, description = "The authority", body = AnchorView)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<AnchorView>, Problem> {
    Ok(Json(state.authority.anchor(&id).await?))
}

/// Take new revocation lists of it
///
/// Those in the body, or those at its addresses. When this answers, what stands on them is refused, on connections that are open
/// as well. A list that is older than the one held is refused.
#[utoipa::path(post, path = "/v1/trust-anchors/{id}/refresh", operation_id = "refresh_trust_anchor", tag = "Trust anchors",
    params(("id" = String, Path, description = "The anchor's id")), request_body = Refresh,
    responses((status = 200, description = "The authority with its lists", body = AnchorView)))]
pub(super) async fn refresh(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(order): Body<Refresh>,
) -> Result<Json<AnchorView>, Problem> {
    Ok(Json(state.authority.refresh_anchor(&id, order.crl.map(String::into_bytes), &actor).await?))
}

/// Trust an authority of a partner no more
///
/// When this answers, its certificates open nothing, and their connections are closed.
#[utoipa::path(post, path = "/v1/trust-anchors/{id}/remove", operation_id = "remove_trust_anchor", tag = "Trust anchors",
    params(("id" = String, Path, description = "The anchor's id")),
    responses((status = 200, description = "What was closed", body = RemovedAnchor)))]
pub(super) async fn remove(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<RemovedAnchor>, Problem> {
    let connections_closed = state.authority.remove_anchor(&id, &actor).await?;
    Ok(Json(RemovedAnchor { id, connections_closed }))
}
