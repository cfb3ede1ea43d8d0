//! One generation of an authority follows another.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AdminState;
use super::body::Body;
use super::operator::Operator;
use super::path_part::PathPart;
use super::problem::Problem;
use crate::authority::{Brought, ImportedList, Rotate, Rotation};
use crate::failure::Refusal;
use crate::store::issuer::{IssuerKind, IssuerState};

/// What to rotate, and how far.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationOrder {
    kind: Kind,
    /// One step when absent.
    to: Option<Target>,
    /// Say what would be done and who would break, and do nothing.
    dry_run: Option<bool>,
    /// Remove an authority although clients break by it, or activate a root without a cross-certificate.
    force: Option<bool>,
    /// PEM: the certificate that a ceremony made for the next generation.
    certificate: Option<String>,
    /// PEM: the first revocation list of a root that is brought.
    list: Option<String>,
    /// PEM: what that root and the one before certified of each other.
    cross: Option<Vec<String>>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = IssuerKind)]
enum Kind {
    Root,
    Issuing,
    ServerIssuing,
}

/// The state that the next generation is to reach; `removed` is for the last one.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = RotationTarget)]
enum Target {
    Prepared,
    Trusted,
    Active,
    Removed,
}

/// A revocation list that a ceremony signed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListOrder {
    /// PEM.
    list: String,
}

/// The list that is published now.
#[derive(Serialize, ToSchema)]
pub(super) struct ListTaken {
    /// Key id of its authority, hex.
    id: String,
    number: i64,
    this_update: i64,
    next_update: i64,
}

/// Move the generations of an authority on
///
/// prepared, trusted, active, retiring, removed: one step a call unless `to` says how far. With `dry_run` nothing is done. The last
/// step is refused while a client would be shut out by it, unless forced.
#[utoipa::path(post, path = "/v1/issuers/rotate", operation_id = "rotate_issuers", tag = "Certificates",
    request_body = RotationOrder,
    responses((status = 200, description = "What was done, who depends on the old generation, and what comes next", body = Rotation)))]
pub(super) async fn rotate(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(order): Body<RotationOrder>,
) -> Result<Json<Rotation>, Problem> {
    let order = Rotate {
        kind: match order.kind {
            Kind::Root => IssuerKind::Root,
            Kind::Issuing => IssuerKind::Issuing,
            Kind::ServerIssuing => IssuerKind::ServerIssuing,
        },
        to: order.to.map(|to| match to {
            Target::Prepared => IssuerState::Prepared,
            Target::Trusted => IssuerState::Trusted,
            Target::Active => IssuerState::Active,
            Target::Removed => IssuerState::Removed,
        }),
        dry_run: order.dry_run.unwrap_or(false),
        force: order.force.unwrap_or(false),
        brought: brought(order.certificate, order.list, order.cross.unwrap_or_default())?,
    };
    Ok(Json(state.authority.rotate(order, &actor).await?))
}

fn brought(certificate: Option<String>, list: Option<String>, cross: Vec<String>) -> Result<Brought, Refusal> {
    if certificate.is_none() && (list.is_some() || !cross.is_empty()) {
        let message = "A list and cross-certificates belong to the certificate of a root: give that too.";
        return Err(Refusal::invalid("certificate_missing", message));
    }
    Ok(Brought { certificate, list, cross })
}

/// Publish a root's revocation list that a ceremony signed
#[utoipa::path(post, path = "/v1/issuers/{id}/crl", operation_id = "import_issuer_crl", tag = "Certificates",
    params(("id" = String, Path, description = "Key id of the root, hex")), request_body = ListOrder,
    responses((status = 200, description = "What is published now", body = ListTaken)))]
pub(super) async fn import_list(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(order): Body<ListOrder>,
) -> Result<Json<ListTaken>, Problem> {
    let ImportedList { id, number, this_update, next_update } =
        state.authority.import_root_list(&id, order.list.as_bytes(), &actor).await?;
    Ok(Json(ListTaken { id, number, this_update, next_update }))
}
