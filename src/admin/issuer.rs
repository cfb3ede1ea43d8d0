//! The certificate authorities of this installation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AdminState;
use super::operator::Operator;
use super::page::Listed;
use super::path_part::PathPart;
use super::problem::Problem;
use crate::authority::{IssuerView, Tainted};

/// An authority. Times are seconds since the Unix epoch.
#[derive(Serialize, ToSchema)]
pub(super) struct Issuer {
    /// subjectKeyIdentifier, hex: what `/ca/<id>.cer` and `/crl/<id>.crl` are named after.
    id: String,
    /// `root`, `issuing` or `server-issuing`.
    kind: &'static str,
    /// `prepared`, `trusted`, `active` or `retiring`.
    state: &'static str,
    state_since: i64,
    /// Since then nothing that it issued is accepted.
    tainted_at: Option<i64>,
    subject: String,
    not_after: i64,
    created_at: i64,
    /// SHA-256 of the DER, hex.
    thumbprint: String,
    /// The file of its key in the keys folder, or a `pkcs11:` URI (RFC 7512); absent when the key is kept elsewhere.
    key_location: Option<String>,
    /// Whether its key is loaded here.
    signs: bool,
    /// Of its newest complete revocation list.
    crl_number: Option<i64>,
    crl_this_update: Option<i64>,
    crl_next_update: Option<i64>,
    /// Whether its certificates say that there is an OCSP responder to ask.
    ocsp: bool,
    /// The serial number of the certificate that signs its OCSP answers.
    ocsp_signer: Option<String>,
    /// When that certificate ends; the server renews it when a third of its life is left.
    ocsp_signer_not_after: Option<i64>,
    /// How many certificates are on it.
    crl_entries: Option<i64>,
    /// Into how many lists its revocations are divided besides, `/crl/<id>/<n>.crl`; 1: not at all.
    crl_partitions: u32,
    /// When the first of all its lists ends.
    crl_ends_first: Option<i64>,
    certificate_pem: String,
}

impl From<IssuerView> for Issuer {
    fn from(view: IssuerView) -> Self {
        let crl = view.crl.as_ref();
        Self {
            crl_number: crl.map(|crl| crl.number),
            crl_this_update: crl.map(|crl| crl.this_update),
            crl_next_update: crl.map(|crl| crl.next_update),
            ocsp: view.ocsp,
            ocsp_signer_not_after: view.ocsp_signer.as_ref().map(|signer| signer.not_after),
            ocsp_signer: view.ocsp_signer.map(|signer| signer.serial),
            crl_entries: crl.and_then(|crl| crl.entries),
            crl_partitions: view.crl_partitions,
            crl_ends_first: view.crl_ends_first.as_ref().map(|crl| crl.next_update),
            id: view.id,
            kind: view.kind,
            state: view.state,
            state_since: view.state_since,
            tainted_at: view.tainted_at,
            subject: view.subject,
            not_after: view.not_after,
            created_at: view.created_at,
            thumbprint: view.thumbprint,
            key_location: view.key_location,
            signs: view.signs,
            certificate_pem: view.certificate_pem,
        }
    }
}

/// List the authorities, the root first
#[utoipa::path(get, path = "/v1/issuers", operation_id = "list_issuers", tag = "Certificates",
    responses((status = 200, description = "Authorities", body = Listed<Issuer>)))]
pub(super) async fn list(State(state): State<Arc<AdminState>>) -> Json<Listed<Issuer>> {
    Json(Listed::whole(state.authority.issuers().into_iter().map(Issuer::from).collect()))
}

/// Deny an authority and everything it issued
///
/// For good, and at once: when this answers, this node refuses its certificates, on connections that are open as well. With a root,
/// everything below it is denied.
#[utoipa::path(post, path = "/v1/issuers/{id}/taint", operation_id = "taint_issuer", tag = "Certificates",
    params(("id" = String, Path, description = "Key id of the authority, hex")),
    responses((status = 200, description = "What was denied, and how fast", body = Tainted)))]
pub(super) async fn taint(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    PathPart(id): PathPart<String>,
) -> Result<Json<Tainted>, Problem> {
    Ok(Json(state.authority.taint(&id, &actor).await?))
}
