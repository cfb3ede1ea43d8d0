//! How the certificates of a client are renewed with themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use pki::KeyChange;
use serde::Deserialize;
use utoipa::ToSchema;

use super::AdminState;
use super::body::Body;
use super::operator::Operator;
use super::path_part::PathPart;
use super::problem::Problem;
use crate::registry::{NewRenewalTerms, RenewalTerms};

/// Terms of renewal to set. They replace all that stood.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRenewalTerms)]
pub(super) struct TermsOrder {
    /// How long after its end a certificate still renews itself, and does nothing else; 0 when absent, at most 90 days.
    #[serde(default)]
    #[schema(example = 604_800)]
    grace_seconds: i64,
    /// How long a certificate stays good beside its successor; absent: until its own end.
    overlap_seconds: Option<i64>,
    /// `required` or `allowed`; absent: as the profile says.
    #[schema(value_type = Option<String>, example = "required")]
    key_change: Option<KeyChange>,
}

/// Show how a client renews its certificates
#[utoipa::path(get, path = "/v1/clients/{id}/renewal", operation_id = "show_client_renewal", tag = "Clients",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The terms", body = RenewalTerms)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(id): PathPart<String>,
) -> Result<Json<RenewalTerms>, Problem> {
    Ok(Json(state.registry.renewal_terms(&id).await?))
}

/// Set how a client renews its certificates
///
/// With `POST /v1/certificates/{serial}/renew` or EST simplereenroll, over a connection with the certificate itself.
#[utoipa::path(post, path = "/v1/clients/{id}/renewal", operation_id = "set_client_renewal", tag = "Clients",
    params(("id" = String, Path, description = "The client's id")), request_body = TermsOrder,
    responses((status = 200, description = "The terms as they now stand", body = RenewalTerms)))]
pub(super) async fn set(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
    Body(order): Body<TermsOrder>,
) -> Result<Json<RenewalTerms>, Problem> {
    let terms = NewRenewalTerms {
        grace_seconds: order.grace_seconds,
        overlap_seconds: order.overlap_seconds,
        key_change: order.key_change,
    };
    Ok(Json(state.registry.set_renewal_terms(&actor, &id, terms).await?))
}
