//! Client certificates.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ipnet::IpNet;
use pki::{KeyAlgorithm, KeyId, RevocationReason};
use policies::UnixSeconds;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::body::{Body, Created};
use super::operator::Operator;
use super::page::{self, Listed};
use super::path_part::PathPart;
use super::problem::Problem;
use super::query::StrictQuery;
use crate::authority::{
    CertificateName, CertificateQuery, CertificateView, Issued, NewCertificate, NewSignature, Revoked, Selector,
};
use crate::failure::Refusal;
use crate::store::certificate::CertificateKind;

/// A request that is sent again under the same value is not done again (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A certificate to issue, with a key that is made here.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCertificate)]
pub(super) struct CertificateOrder {
    #[schema(example = "acme-orders")]
    client: String,
    /// 90 days when absent, at most 398 days.
    lifetime_seconds: Option<u32>,
    /// `ecdsa-p256` when absent; `ecdsa-p384`, `ed25519`, `rsa-2048`, `rsa-3072`, `rsa-4096`.
    #[schema(value_type = Option<String>, example = "ecdsa-p256")]
    key_algorithm: Option<KeyAlgorithm>,
    /// Some of the client's scopes; absent: all of them, also those it is granted later.
    scopes: Option<Vec<String>>,
    /// Networks or CIDRs that it may be used from, besides being one of the client's.
    networks: Option<Vec<String>>,
    /// Whether a PKCS#12 file is wanted too, which takes half a second; yes when absent.
    pkcs12: Option<bool>,
}

/// A certificate to issue for a key that the partner made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SigningOrder {
    #[schema(example = "acme-orders")]
    client: String,
    /// PKCS#10, PEM. Only its key is taken.
    csr: String,
    /// 90 days when absent, at most 398 days.
    lifetime_seconds: Option<u32>,
    /// Some of the client's scopes; absent: all of them, also those it is granted later.
    scopes: Option<Vec<String>>,
    /// Networks or CIDRs that it may be used from, besides being one of the client's.
    networks: Option<Vec<String>>,
}

/// A new certificate. The key is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedCertificate {
    #[serde(flatten)]
    certificate: CertificateView,
    certificate_pem: String,
    /// The authorities between the certificate and the root: what a client sends after its own.
    chain_pem: String,
    /// PKCS#8, unencrypted; absent when the partner made the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_pem: Option<String>,
    /// Certificate, chain and key in one file (RFC 7292), Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Byte)]
    pkcs12: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pkcs12_password: Option<String>,
}

impl From<Issued> for IssuedCertificate {
    fn from(issued: Issued) -> Self {
        let key = issued.key.as_ref();
        let pkcs12 = key.and_then(|key| key.pkcs12.as_ref());
        Self {
            private_key_pem: key.map(|key| key.private_key_pem.expose_secret().to_owned()),
            pkcs12: pkcs12.map(|pkcs12| STANDARD.encode(&*pkcs12.file)),
            pkcs12_password: pkcs12.map(|pkcs12| pkcs12.password.expose_secret().to_owned()),
            certificate: CertificateView { pem: None, ..issued.certificate },
            certificate_pem: issued.certificate_pem,
            chain_pem: issued.chain_pem,
        }
    }
}

/// What to revoke: exactly one of the first five.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    /// Hex, any case, colons allowed; `issuer/serial` where two authorities used one serial.
    serial: Option<String>,
    /// SHA-256 of the DER, hex.
    thumbprint: Option<String>,
    /// Every certificate of this client.
    client: Option<String>,
    /// Every certificate of all clients of this partner.
    partner: Option<String>,
    /// Every certificate that this authority issued to clients; its key id.
    issuer: Option<String>,
    /// RFC 5280 §5.3.1 in kebab-case; `unspecified` when absent. `key-compromise` also blocks the keys, and revokes every other
    /// certificate of them.
    #[schema(value_type = Option<String>, example = "key-compromise")]
    reason: Option<RevocationReason>,
}

impl Revocation {
    fn selector(&self) -> Result<Selector, Refusal> {
        match (&self.serial, &self.thumbprint, &self.client, &self.partner, &self.issuer) {
            (Some(serial), None, None, None, None) => Ok(Selector::Certificate(serial.parse()?)),
            (None, Some(thumbprint), None, None, None) => match thumbprint.parse()? {
                name @ CertificateName::Thumbprint(_) => Ok(Selector::Certificate(name)),
                CertificateName::Serial { .. } => {
                    let message = "A thumbprint is the SHA-256 of a certificate: 64 hexadecimal digits.";
                    Err(Refusal::invalid("invalid_thumbprint", message))
                }
            },
            (None, None, Some(client), None, None) => Ok(Selector::Client(client.clone())),
            (None, None, None, Some(partner), None) => Ok(Selector::Partner(partner.clone())),
            (None, None, None, None, Some(issuer)) => {
                let not_found = || Refusal::not_found("issuer_not_found", format!("There is no authority {issuer:?}."));
                Ok(Selector::Issuer(issuer.to_ascii_lowercase().replace(':', "").parse().map_err(|_| not_found())?))
            }
            _ => Err(Refusal::invalid(
                "ambiguous_selector",
                "Give exactly one of serial, thumbprint, client, partner and issuer.",
            )),
        }
    }
}

/// Which certificates.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Those of this client only.
    client: Option<String>,
    /// Those of this partner's clients only.
    partner: Option<String>,
    /// `issued` (good now), `revoked`, `expired`, `reserved` or `orphaned`.
    state: Option<String>,
    /// `client`, or what else is issued here: `server`, `ocsp`.
    kind: Option<String>,
    /// The key id of the authority that issued it, hex.
    issuer: Option<String>,
    /// `ecdsa-p256`, `rsa-2048`, …
    #[param(value_type = Option<String>)]
    key_type: Option<KeyAlgorithm>,
    /// Good ones that expire within so many seconds from now, the next first.
    expiring_within_seconds: Option<u32>,
    /// Those that end before this instant, whatever their state; what ends next comes first.
    expires_before: Option<i64>,
    /// Those that end at or after this instant.
    expires_after: Option<i64>,
    /// Those that last let somebody in before this instant; alone, what was not seen for longest comes first.
    last_seen_before: Option<i64>,
    /// Those that last let somebody in at or after this instant; what was seen last comes first.
    last_seen_after: Option<i64>,
    /// Those that were last seen from this address or network.
    source: Option<String>,
    /// Those that never let anybody in.
    never_seen: Option<bool>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// List certificates, newest first unless another order is asked for
///
/// A part of the list may hold fewer than `limit`, even none, and still have a `next`: each part looks at 2500 certificates at
/// most. Sightings are to the minute and some seconds late.
#[utoipa::path(get, path = "/v1/certificates", operation_id = "list_certificates", tag = "Certificates", params(ListQuery),
    responses((status = 200, description = "Certificates", body = Listed<CertificateView>)))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<Listed<CertificateView>>, Problem> {
    let limit = page::limit(query.limit)?;
    let query = CertificateQuery {
        client: query.client,
        partner: query.partner,
        state: query.state.as_deref().map(str::parse).transpose()?,
        kind: query.kind.as_deref().map(kind).transpose()?,
        issuer: query.issuer.as_deref().map(issuer).transpose()?,
        key_algorithm: query.key_type,
        expiring_within_seconds: query.expiring_within_seconds,
        expires_before: query.expires_before.map(UnixSeconds),
        expires_after: query.expires_after.map(UnixSeconds),
        last_seen_before: query.last_seen_before.map(UnixSeconds),
        last_seen_after: query.last_seen_after.map(UnixSeconds),
        source: query.source.as_deref().map(network).transpose()?,
        never_seen: query.never_seen.unwrap_or(false),
        limit: Some(limit),
        after: query.after,
    };
    let list = state.authority.list(&query).await?;
    Ok(Json(Listed { items: list.certificates, next: list.next }))
}

/// Issue a certificate with a new key
///
/// The key is in the answer and nowhere else. Better is `/v1/certificates/sign`, where the key never leaves its owner.
#[utoipa::path(post, path = "/v1/certificates", operation_id = "issue_certificate", tag = "Certificates",
    params(("Idempotency-Key" = Option<String>, Header, description = "A request sent again under the same value is not done again")),
    request_body = CertificateOrder,
    responses((status = 201, description = "The certificate and its key", body = IssuedCertificate)))]
pub(super) async fn issue(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    headers: HeaderMap,
    Body(order): Body<CertificateOrder>,
) -> Result<Created<IssuedCertificate>, Problem> {
    let new = NewCertificate {
        client: order.client,
        lifetime_seconds: order.lifetime_seconds,
        key_algorithm: order.key_algorithm.unwrap_or(KeyAlgorithm::EcdsaP256),
        scopes: order.scopes,
        networks: order.networks,
        pkcs12: order.pkcs12.unwrap_or(true),
        idempotency_key: idempotency_key(&headers)?,
    };
    Ok(Created(state.authority.issue(new, &actor).await?.into()))
}

/// Issue a certificate for a key that the partner made
#[utoipa::path(post, path = "/v1/certificates/sign", operation_id = "sign_certificate", tag = "Certificates",
    params(("Idempotency-Key" = Option<String>, Header, description = "A request sent again under the same value gets the same certificate")),
    request_body = SigningOrder,
    responses((status = 201, description = "The certificate", body = IssuedCertificate)))]
pub(super) async fn sign(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    headers: HeaderMap,
    Body(order): Body<SigningOrder>,
) -> Result<Created<IssuedCertificate>, Problem> {
    let new = NewSignature {
        client: order.client,
        request: order.csr.into_bytes(),
        lifetime_seconds: order.lifetime_seconds,
        scopes: order.scopes,
        networks: order.networks,
        idempotency_key: idempotency_key(&headers)?,
    };
    Ok(Created(state.authority.sign(new, &actor).await?.into()))
}

/// Show a certificate
#[utoipa::path(get, path = "/v1/certificates/{serial}", operation_id = "show_certificate", tag = "Certificates",
    params(("serial" = String, Path, description = "Serial or SHA-256 thumbprint, hex, any case, colons allowed")),
    responses((status = 200, description = "The certificate, with its PEM", body = CertificateView)))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    PathPart(name): PathPart<String>,
) -> Result<Json<CertificateView>, Problem> {
    let name: CertificateName = name.parse::<CertificateName>()?;
    Ok(Json(state.authority.show(&name).await?))
}

/// Revoke certificates
///
/// For good. When this answers, this node refuses them, on connections that are open as well. Revoking again is no error.
#[utoipa::path(post, path = "/v1/certificates/revoke", operation_id = "revoke_certificates", tag = "Certificates",
    request_body = Revocation,
    responses((status = 200, description = "What was revoked, and how fast", body = Revoked)))]
pub(super) async fn revoke(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(revocation): Body<Revocation>,
) -> Result<Json<Revoked>, Problem> {
    let reason = revocation.reason.unwrap_or(RevocationReason::Unspecified);
    Ok(Json(state.authority.revoke(revocation.selector()?, reason, &actor).await?))
}

fn kind(text: &str) -> Result<CertificateKind, Refusal> {
    CertificateKind::try_from(text.to_owned())
        .map_err(|_| Refusal::invalid("unknown_kind", "There is no such kind of certificate; most are client."))
}

fn issuer(text: &str) -> Result<KeyId, Refusal> {
    text.parse().map_err(|_| Refusal::invalid("invalid_issuer", "Name an authority by its key id, in hex."))
}

fn network(text: &str) -> Result<IpNet, Refusal> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| Refusal::invalid("invalid_source", "The source is an address or a CIDR, like 203.0.113.0/24."))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key
        .to_str()
        .map_err(|_| Refusal::invalid("invalid_idempotency_key", "An Idempotency-Key is printable ASCII."))?;
    Ok(Some(key.to_owned()))
}
