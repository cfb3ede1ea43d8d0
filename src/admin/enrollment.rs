//! Enrolments: one-time tokens for certificate requests.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use pki::KeyAlgorithm;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::instructions::{Instructions, Invitation};
use super::AdminState;
use super::body::{Body, Created, Nothing};
use super::operator::Operator;
use super::page::{self, Listed};
use super::path_part::PathPart;
use super::problem::Problem;
use super::query::StrictQuery;
use crate::failure::Refusal;
use crate::registry::{EnrollmentView, NewEnrollment};
use crate::store::enrollment::{EnrollmentFilter, EnrollmentState};

mod instructions;

/// Where partners send their requests.
#[derive(Clone, Debug)]
pub struct EnrollmentPlace {
    pub url: String,
    /// Whether the listener has a certificate of our own CA, which partners must be given the root of.
    pub own_server_certificate: bool,
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEnrollment)]
pub(super) struct EnrollmentOrder {
    #[schema(example = "acme-orders")]
    client: String,
    /// How long the token may be used; a day when absent, at most 30 days.
    ttl_seconds: Option<i64>,
    /// Whether somebody else than you must approve the request before anything is issued.
    needs_approval: Option<bool>,
    /// `client` when absent.
    #[schema(example = "client")]
    profile: Option<String>,
    /// The kinds of keys that are taken; absent: all that the profile allows. The texts for the partner make the first.
    #[schema(value_type = Option<Vec<String>>, example = json!(["ecdsa-p256"]))]
    key_algorithms: Option<Vec<KeyAlgorithm>>,
    /// Of the certificate: 90 days when absent, at most 398 days.
    lifetime_seconds: Option<u32>,
    /// Some of the client's scopes; absent: all of them, also those it is granted later.
    scopes: Option<Vec<String>>,
    /// Networks or CIDRs that the certificate may be used from, besides being one of the client's.
    networks: Option<Vec<String>>,
    /// For people: a ticket, whom it was sent to.
    remark: Option<String>,
}

/// A token, the only time that it is shown, and the texts to send to the partner.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeEnrollment {
    #[serde(flatten)]
    enrollment: EnrollmentView,
    /// It is stored nowhere.
    token: String,
    /// Where the request goes: `POST`, with `Authorization: Bearer` and the token.
    url: String,
    instructions: Instructions,
}

/// Which enrolments.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrollmentQuery {
    /// Those of this client only.
    client: Option<String>,
    /// `open`, `pending`, `approved`, `signing`, `issued`, `denied` or `cancelled`; what has expired is among the first three.
    state: Option<String>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// An approval.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    /// For the record: how you made sure whose key it is.
    remark: Option<String>,
}

/// A refusal of a waiting request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrollmentDenial {
    /// The partner reads it.
    reason: String,
}

/// List enrolments, newest first
#[utoipa::path(get, path = "/v1/enrollments", operation_id = "list_enrollments", tag = "Enrolments", params(EnrollmentQuery),
    responses((status = 200, description = "Enrolments, without their tokens", body = Listed<EnrollmentView>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<EnrollmentQuery>,
) -> Result<Json<Listed<EnrollmentView>>, Problem> {
    let page = page::page(query.limit, query.after.as_deref())?;
    let standing = query.state.map(|text| {
        EnrollmentState::try_from(text).map_err(|_| {
            let message = "There is no such state of an enrolment. There are open, pending, approved, signing, issued, denied \
                           and cancelled.";
            Refusal::invalid("unknown_state", message)
        })
    });
    let filter = EnrollmentFilter { client: query.client, state: standing.transpose()?, page };
    Ok(Json(Listed::of(state.registry.enrollments(&filter).await?, page)))
}

/// Make a one-time token for a certificate request
///
/// The token is in the answer and nowhere else, alone and inside the texts for the partner. It is good for one key of one client.
#[utoipa::path(post, path = "/v1/enrollments", operation_id = "create_enrollment", tag = "Enrolments",
    request_body = EnrollmentOrder,
    responses((status = 201, description = "The token, and what to send to the partner", body = MadeEnrollment)))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(order): Body<EnrollmentOrder>,
) -> Result<Created<MadeEnrollment>, Problem> {
    let key = order.key_algorithms.as_ref().and_then(|kinds| kinds.first().copied());
    let new = NewEnrollment {
        client: order.client,
        ttl_seconds: order.ttl_seconds,
        needs_approval: order.needs_approval.unwrap_or(false),
        profile: order.profile,
        key_algorithms: order.key_algorithms,
        lifetime_seconds: order.lifetime_seconds,
        scopes: order.scopes,
        networks: order.networks,
        remark: order.remark,
    };
    let created = state.registry.create_enrollment(&actor, new).await?;
    let token = created.token.expose_secret().to_owned();
    let instructions = Instructions::of(&Invitation {
        client: &created.view.client,
        token: &token,
        url: &state.enrollment.url,
        root_pem: &state.authority.root_pem(),
        own_server_certificate: state.enrollment.own_server_certificate,
        key: key.unwrap_or(KeyAlgorithm::EcdsaP256),
    });
    Ok(Created(MadeEnrollment { enrollment: created.view, token, url: state.enrollment.url.clone(), instructions }))
}

/// Show an enrolment
#[utoipa::path(get, path = "/v1/enrollments/{id}", operation_id = "show_enrollment", tag = "Enrolments",
    params(("id" = String, Path, description = "The enrolment's id")),
    responses((status = 200, description = "The enrolment", body = EnrollmentView)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<EnrollmentView>, Problem> {
    Ok(Json(state.registry.enrollment(&id).await?))
}

/// Approve a waiting request
///
/// Not by the one who made the token. The certificate is issued at once, and the partner has it when it asks next.
#[utoipa::path(post, path = "/v1/enrollments/{id}/approve", operation_id = "approve_enrollment", tag = "Enrolments",
    params(("id" = String, Path, description = "The enrolment's id")), request_body = Approval,
    responses((status = 200, description = "The enrolment as it now stands", body = EnrollmentView)))]
pub(super) async fn approve(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(approval): Body<Approval>,
) -> Result<Json<EnrollmentView>, Problem> {
    Ok(Json(state.authority.approve_enrollment(&id, approval.remark.as_deref(), &actor).await?))
}

/// Turn a waiting request down
#[utoipa::path(post, path = "/v1/enrollments/{id}/deny", operation_id = "deny_enrollment", tag = "Enrolments",
    params(("id" = String, Path, description = "The enrolment's id")), request_body = EnrollmentDenial,
    responses((status = 200, description = "The enrolment as it now stands", body = EnrollmentView)))]
pub(super) async fn deny(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(denial): Body<EnrollmentDenial>,
) -> Result<Json<EnrollmentView>, Problem> {
    Ok(Json(state.registry.deny_enrollment(&actor, &id, &denial.reason).await?))
}

/// Take a token back
///
/// Before anything was issued with it; a certificate is revoked instead. Again is no error.
#[utoipa::path(post, path = "/v1/enrollments/{id}/cancel", operation_id = "cancel_enrollment", tag = "Enrolments",
    params(("id" = String, Path, description = "The enrolment's id")),
    responses((status = 200, description = "The enrolment as it now stands", body = EnrollmentView)))]
pub(super) async fn cancel(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<EnrollmentView>, Problem> {
    Ok(Json(state.registry.cancel_enrollment(&actor, &id).await?))
}
