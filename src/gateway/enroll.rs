//! `POST /v1/enroll`: a partner's certificate request in, its certificate out. What stands in `Authorization` is the one-time
//! token that the operator sent.

use std::net::IpAddr;

use axum::body::Body;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::Response;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::endpoints::read_body;
use super::stop::{Malformed, Stop};
use super::trail::Trail;
use super::{Gate, renewal};
use crate::authority::{CertificateView, Enrolled, Issued};
use crate::failure::{Fault, Refusal};
use crate::snapshot::PolicyView;

/// Where partners send their requests.
pub const PATH: &str = "/v1/enroll";
/// The code of a request without a token, which is no failed attempt.
pub(super) const NO_TOKEN: &str = "no_credential";
/// A request has at most 16 KiB; in JSON, with its line ends escaped, it is a little longer.
const BODY_BYTES_MAX: usize = 32 * 1024;
/// RFC 8555 §9.1.
const PEM_CHAIN: &str = "application/pem-certificate-chain";
const JSON: &str = "application/json";
const READ: &str = "application/pkcs10 (PEM or DER), or application/json with {\"csr\": \"…\"}";

/// A request in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    csr: String,
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer {
    status: &'static str,
    #[serde(flatten)]
    certificate: CertificateView,
    certificate_pem: String,
    chain_pem: String,
}

/// Answers a request.
pub(super) async fn answer(
    gate: &Gate,
    source: IpAddr,
    view: &PolicyView,
    parts: &Parts,
    body: Incoming,
    trail: &mut Trail<'_>,
) -> Result<Response<Body>, Stop> {
    if parts.method != Method::POST {
        return Err(renewal::not_allowed(parts, "POST"));
    }
    let token = bearer(&parts.headers).ok_or_else(|| {
        Stop::Refused(Refusal::unauthorized(NO_TOKEN, "Send the enrolment token in Authorization: Bearer."))
    })?;
    admit(gate, source, view, token, trail).await?;
    let body = read_body(body, BODY_BYTES_MAX).await?;
    let request = read_request(&parts.headers, &body)?;
    let enrolled = gate.authority.enroll(&gate.pepper, token, &request, source).await?;
    match enrolled {
        Enrolled::Issued(issued) => {
            if let Some(client) = &issued.certificate.client {
                trail.client(client);
            }
            show(*issued, wants_json(&parts.headers))
        }
        Enrolled::Pending { enrollment, retry_after_seconds } => {
            trail.outcome("allowed", Some(format!("enrolment {enrollment} waits for approval")));
            let body = json!({
                "status": "pending",
                "enrollment": enrollment,
                "retry_after_seconds": retry_after_seconds,
                "message": "A second person must approve this. Send the same request with the same token again later.",
            });
            let mut response = written(StatusCode::ACCEPTED, JSON, body.to_string());
            response.headers_mut().insert(RETRY_AFTER, retry_after_seconds.into());
            Ok(response)
        }
    }
}

/// A token is a credential: it counts from where its client may call, and from where the certificate that it is for may be used.
/// Returns whose it is.
pub(super) async fn admit(
    gate: &Gate,
    source: IpAddr,
    view: &PolicyView,
    token: &str,
    trail: &mut Trail<'_>,
) -> Result<String, Stop> {
    let holder = gate.authority.enrollment_holder(&gate.pepper, token).await?;
    // A client that is gone has no networks; the authority refuses it.
    if let Some(entry) = view.client(&holder.client) {
        let narrowed = holder.networks.as_deref().map(|networks| view.allowlist(networks));
        let narrowed = narrowed.iter().map(|networks| (format!("enrolment {}", holder.enrollment), networks));
        if let Err(denial) = policies::check_caller(&entry.client, narrowed, source, trail.hear()) {
            trail.client(&holder.client);
            return Err(denial.into());
        }
    }
    Ok(holder.client)
}

fn show(issued: Issued, as_json: bool) -> Result<Response<Body>, Stop> {
    if !as_json {
        return Ok(written(StatusCode::OK, PEM_CHAIN, issued.certificate_pem + &issued.chain_pem));
    }
    let answer = Answer {
        status: "issued",
        certificate: CertificateView { pem: None, ..issued.certificate },
        certificate_pem: issued.certificate_pem,
        chain_pem: issued.chain_pem,
    };
    let body = serde_json::to_string(&answer).map_err(Fault::from)?;
    Ok(written(StatusCode::OK, JSON, body))
}

fn written(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1). That there is one such header, the target has checked.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// The PKCS#10 in a body. Tools that send a file give it all kinds of types, so what is no container is taken as the file.
fn read_request(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        JSON => {
            let order: Order = serde_json::from_slice(body).map_err(|error| Malformed::Body(error.to_string()))?;
            Ok(order.csr.into_bytes())
        }
        ""
        | "application/pkcs10"
        | "application/x-pem-file"
        | "application/octet-stream"
        | "text/plain"
        | "application/x-www-form-urlencoded" => Ok(body.to_vec()),
        _ => Err(Malformed::MediaType { expected: READ }),
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).any(|accept| {
        accept.split(',').any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON))
    })
}
