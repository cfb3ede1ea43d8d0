//! Enrolment over Secure Transport (RFC 7030, RFC 8951): the same enrolment and renewal as by the plain API, for programs that
//! speak EST. What is not offered is refused by name before anything is read (CVE-2026-30836: an operation that nobody had thought
//! of skipped the authorisation).

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::Response;
use hyper::body::Incoming;
use pki::ProfileKind;
use policies::Denial;
use zeroize::Zeroizing;

use super::enroll::NO_TOKEN;
use super::stop::{Malformed, Stop};
use super::trail::Trail;
use super::{Gate, authenticate, enroll, renewal, submission};
use crate::authority::{Enrolled, Issued};
use crate::failure::{Fault, Refusal};
use crate::listen::{Connection, PeerCertificate};
use crate::snapshot::PolicyView;

/// Under which every operation lies (RFC 8615).
pub(super) const PREFIX: &str = "/.well-known/est/";
/// RFC 7030 §3.2.2: a label chooses among the authorities or profiles of a server. Partners' certificates have one.
const LABEL: &str = ProfileKind::Client.as_str();
const CERTIFICATES: &str = "application/pkcs7-mime; smime-type=certs-only";
const CSR_ATTRIBUTES: &str = "application/csrattrs";
/// Longer credentials hold no token of ours.
const BASIC_BYTES_MAX: usize = 1024;
const PKCS10: &str = "application/pkcs10";
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    CaCerts,
    CsrAttrs,
    SimpleEnroll,
    SimpleReenroll,
    /// Full CMC (RFC 7030 §4.3), and keys made by the server (§4.4), which here never travel.
    NotOffered,
}

fn find(path: &str) -> Option<Operation> {
    let rest = path.strip_prefix(PREFIX)?;
    let name = match rest.split_once('/') {
        None => rest,
        Some((label, name)) if label == LABEL => name,
        Some(_) => return None,
    };
    match name {
        "cacerts" => Some(Operation::CaCerts),
        "csrattrs" => Some(Operation::CsrAttrs),
        "simpleenroll" => Some(Operation::SimpleEnroll),
        "simplereenroll" => Some(Operation::SimpleReenroll),
        "fullcmc" | "serverkeygen" => Some(Operation::NotOffered),
        _ => None,
    }
}

pub(super) async fn answer(
    gate: &Gate,
    connection: &Connection,
    view: &PolicyView,
    parts: Parts,
    body: Incoming,
    trail: &mut Trail<'_>,
) -> Result<Response<Body>, Stop> {
    let Some(operation) = find(parts.uri.path()) else {
        return Err(Denial::RouteNotFound { detail: format!("no EST operation at {}", parts.uri.path()) }.into());
    };
    let head = parts.method == Method::HEAD;
    let reading = head || parts.method == Method::GET;
    match operation {
        Operation::CaCerts if reading => {
            let certificates = gate.authority.ca_certificates();
            let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
            Ok(written(CERTIFICATES, &pki::certs_only_cms(&certificates), head))
        }
        Operation::CsrAttrs if reading => {
            let identity = connection.certificate.as_deref().and_then(|peer| identity(gate, peer));
            Ok(written(CSR_ATTRIBUTES, &pki::csr_attributes(identity.as_ref()), head))
        }
        Operation::SimpleReenroll if parts.method == Method::POST => {
            let current = renewal::admit(gate, connection, view, &parts, trail).await?;
            check_kind(&parts.headers)?;
            let request = submission::read(body).await?;
            let issued = renewal::renew(gate, connection, current, request, true).await?;
            certificate(&issued)
        }
        Operation::SimpleEnroll if parts.method == Method::POST => {
            simple_enroll(gate, connection, view, &parts, body, trail).await
        }
        Operation::NotOffered => {
            let message = "This server offers cacerts, csrattrs, simpleenroll and simplereenroll.";
            Err(Stop::NotOffered(message))
        }
        Operation::CaCerts | Operation::CsrAttrs => Err(renewal::not_allowed(&parts, "GET, HEAD")),
        Operation::SimpleEnroll | Operation::SimpleReenroll => Err(renewal::not_allowed(&parts, "POST")),
    }
}

/// Enrolment with a one-time token (RFC 7030 §3.2.3). What EST calls the password is the token, whatever user name comes with it.
async fn simple_enroll(
    gate: &Gate,
    connection: &Connection,
    view: &PolicyView,
    parts: &Parts,
    body: Incoming,
    trail: &mut Trail<'_>,
) -> Result<Response<Body>, Stop> {
    let token = token(&parts.headers).ok_or_else(|| {
        let message = "Send the enrolment token in Authorization: as the password of Basic, or as Bearer.";
        Refusal::unauthorized(NO_TOKEN, message)
    })?;
    check_kind(&parts.headers)?;
    let client = enroll::admit(gate, connection.source, view, &token, trail).await?;
    // A certificate that comes along must be good too, and the client's that the token is for.
    if let Some(peer) = &connection.certificate {
        authenticate::check_beside(gate, view, peer, &client)?;
    }
    let request = submission::read(body).await?;
    match gate.authority.enroll(&gate.pepper, &token, &request, connection.source).await? {
        Enrolled::Issued(issued) => {
            if let Some(client) = &issued.certificate.client {
                trail.client(client);
            }
            certificate(&issued)
        }
        Enrolled::Pending { enrollment, retry_after_seconds } => {
            trail.outcome("allowed", Some(format!("enrolment {enrollment} waits for approval")));
            // RFC 7030 §4.2.3.
            let mut response =
                Response::new(Body::from("A second person must approve this. Send the same request again later.\n"));
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds));
            Ok(response)
        }
    }
}

/// The token of `Authorization`. That there is one such header at most, the target has checked.
fn token(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Zeroizing::new(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") || rest.len() > BASIC_BYTES_MAX {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(rest).ok()?);
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

/// Whom the certificate of the connection names, where it is one of ours that stands: then the wishes can name it too.
fn identity(gate: &Gate, peer: &PeerCertificate) -> Option<pki::SpiffeId> {
    let certificate = &peer.certificate;
    let entry = gate.snapshot.certificate(certificate.issuer_key_id.as_ref()?, &certificate.serial)?;
    let ours = entry.thumbprint == Some(certificate.thumbprint) && entry.revoked.is_none();
    certificate.spiffe_id.clone().filter(|_| ours)
}

/// RFC 7030 §4.2.1. Also what keeps pages in browsers out: they may not send this type to another site unasked.
fn check_kind(headers: &HeaderMap) -> Result<(), Stop> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(PKCS10) {
        true => Ok(()),
        false => Err(Malformed::MediaType { expected: PKCS10 }.into()),
    }
}

/// The certificate alone (RFC 7030 §4.2.3): the authorities are had by `cacerts`.
fn certificate(issued: &Issued) -> Result<Response<Body>, Stop> {
    let leaf = pki::pem_certificates(issued.certificate_pem.as_bytes())
        .map_err(|error| Fault::new(format!("our own certificate cannot be read: {error}")))?;
    let leaf: Vec<&[u8]> = leaf.iter().map(Vec::as_slice).collect();
    Ok(written(CERTIFICATES, &pki::certs_only_cms(&leaf), false))
}

/// Base64 in one line: strongSwan cannot read another (RFC 8951 §3.1 allows both). The encoding is named although RFC 8951 has
/// receivers pass over it: older clients ask for it.
fn written(kind: &'static str, der: &[u8], head: bool) -> Response<Body> {
    let text = STANDARD.encode(der);
    let length = text.len();
    let mut response = Response::new(if head { Body::empty() } else { Body::from(text) });
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("base64"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::{Operation, find, token};

    #[test]
    fn the_token_is_the_password_or_the_bearer_s() {
        let of = |value: &str| {
            let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value.parse().unwrap())]);
            token(&headers).map(|token| token.to_string())
        };
        assert_eq!(of("Bearer pe_demo_1"), Some("pe_demo_1".to_owned()));
        assert_eq!(
            of("basic YW55Om9uZTpwZV9kZW1vXzE="),
            Some("one:pe_demo_1".to_owned()),
            "what follows the first colon"
        );
        assert_eq!(of("Basic OnBlX2RlbW9fMQ=="), Some("pe_demo_1".to_owned()), "without a user name");
        for wrong in ["Basic", "Basic !", "Basic YW55", "Digest x", "Bearer"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn operations_are_found_with_and_without_the_label() {
        for (name, operation) in [
            ("cacerts", Operation::CaCerts),
            ("csrattrs", Operation::CsrAttrs),
            ("simpleenroll", Operation::SimpleEnroll),
            ("simplereenroll", Operation::SimpleReenroll),
            ("fullcmc", Operation::NotOffered),
            ("serverkeygen", Operation::NotOffered),
        ] {
            assert_eq!(find(&format!("/.well-known/est/{name}")), Some(operation));
            assert_eq!(find(&format!("/.well-known/est/client/{name}")), Some(operation));
            assert_eq!(find(&format!("/.well-known/est/other/{name}")), None);
        }
        for path in
            ["/.well-known/est/", "/.well-known/est", "/.well-known/est/client/", "/.well-known/est/client/x/cacerts"]
        {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
