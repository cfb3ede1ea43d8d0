//! Renewal by the certificate itself, on every listener that asks for certificates: the gate judges it like any credential, but
//! for one thing. Within the grace of its client, a certificate that has ended still opens this one door.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::Response;
use hyper::body::Incoming;
use pki::{ClientCertificate, Serial};
use policies::{
    Action, Allowlist, AuthMethod, AuthMethodSet, Denial, ErrorStyle, Permit, Principal, Proof, Route, RouteRules,
    ScopeRequirement, Spent, UnixSeconds,
};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::stop::{Malformed, Stop};
use super::target::Target;
use super::trail::Trail;
use super::{Gate, authenticate, sight, submission};
use crate::authority::{CertificateName, CertificateView, Issued, Renewal};
use crate::failure::{Fault, Refusal};
use crate::listen::Connection;
use crate::registry::Actor;
use crate::snapshot::PolicyView;

const COLLECTION: &str = "/v1/certificates/";
const RENEW: &str = "/renew";
const RENEWAL_INFO: &str = "/renewal-info";
/// How long a client should wait before it asks for its window again (RFC 9773 §4.3).
const RENEWAL_INFO_SECONDS: u32 = 6 * 3_600;
const PEM_CHAIN: &str = "application/pem-certificate-chain";

/// Which of the two is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Renew,
    Info,
}

/// Whether renewal is at the path, and of which certificate: as it was named.
pub(super) fn find(path: &str) -> Option<(Operation, &str)> {
    let rest = path.strip_prefix(COLLECTION)?;
    let found = rest.strip_suffix(RENEW).map(|name| (Operation::Renew, name));
    let found = found.or_else(|| rest.strip_suffix(RENEWAL_INFO).map(|name| (Operation::Info, name)));
    found.filter(|(_, name)| !name.is_empty() && !name.contains('/'))
}

pub(super) async fn answer(
    gate: &Gate,
    connection: &Connection,
    view: &PolicyView,
    parts: Parts,
    body: Incoming,
    trail: &mut Trail<'_>,
) -> Result<Response<Body>, Stop> {
    let Some((operation, name)) = find(parts.uri.path()) else {
        return Err(Denial::RouteNotFound { detail: format!("no page {}", parts.uri.path()) }.into());
    };
    match operation {
        Operation::Renew if parts.method == Method::POST => {
            let current = admit(gate, connection, view, &parts, trail).await?;
            check_is_current(name, current.certificate)?;
            let request = submission::read(body).await?;
            let issued = renew(gate, connection, current, request, false).await?;
            certificate(&issued, &parts.headers)
        }
        Operation::Info if matches!(parts.method, Method::GET | Method::HEAD) => {
            let serial: Serial =
                name.parse().map_err(|error: pki::Error| Refusal::invalid(error.code(), format!("{error}.")))?;
            let window = gate.authority.renewal_window(&serial).ok_or_else(|| {
                Refusal::not_found("certificate_not_found", "No certificate of that serial was issued here.")
            })?;
            // RFC 9773 §4.2, and in its spelling: there are clients for it.
            let mut answer = json!({
                "suggestedWindow": { "start": moment(window.start)?, "end": moment(window.end)? },
            });
            if let Some(explanation) = window.explanation {
                answer["explanation"] = explanation.into();
            }
            let mut response = written("application/json", answer.to_string(), parts.method == Method::HEAD);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RENEWAL_INFO_SECONDS));
            Ok(response)
        }
        Operation::Renew => Err(not_allowed(&parts, "POST")),
        Operation::Info => Err(not_allowed(&parts, "GET, HEAD")),
    }
}

pub(super) fn not_allowed(parts: &Parts, allow: &'static str) -> Stop {
    Malformed::NotAllowed { method: parts.method.to_string(), allow }.into()
}

/// A certificate of ours that may be renewed by who holds it. Made by [`admit`] alone.
pub(super) struct Current<'a> {
    permit: Permit,
    pub(super) certificate: &'a ClientCertificate,
}

/// Judges the certificate of the connection, and all else that was presented, as every route does: client, networks, status now.
/// No scope is asked for, and no quota is spent: a client that has used its quota up must not lose its certificate too.
pub(super) async fn admit<'a>(
    gate: &Gate,
    connection: &'a Connection,
    view: &PolicyView,
    parts: &Parts,
    trail: &mut Trail<'_>,
) -> Result<Current<'a>, Stop> {
    let route = Arc::clone(&ROUTE);
    trail.route(&route);
    check_not_from_a_page(&parts.headers)?;
    let target = Target::read(connection, parts)?;
    let certificate = connection.certificate.as_deref().map(|peer| &peer.certificate).ok_or(Denial::NoCredential)?;
    let principal = authenticate::authenticate_to_renew(gate, view, &target, gate.clock.now()).await?;
    trail.principal(&principal);
    // A partner's authority renews its own. Its certificate may name our issuer and a serial of ours: whose that is would be renewed.
    if !gate.snapshot.is_ours(certificate) {
        let detail = format!("certificate {} was not issued here, and is not renewed here", certificate.serial);
        return Err(Denial::CredentialUnknown { detail }.into());
    }
    let entitlement = policies::entitle(principal, route, connection.source, trail.hear())?;
    let permit = entitlement.admit(Spent::unlimited(), trail.hear())?;
    sight::proofs(gate, connection, proofs(&permit), &permit.route().id, gate.clock.now());
    Ok(Current { permit, certificate })
}

fn proofs(permit: &Permit) -> &[Proof] {
    permit.principal().map(Principal::proofs).unwrap_or_default()
}

/// Has the next certificate issued. The permit is used up.
pub(super) async fn renew(
    gate: &Gate,
    connection: &Connection,
    current: Current<'_>,
    request: Vec<u8>,
    names_repeated: bool,
) -> Result<Issued, Stop> {
    let Current { permit, certificate } = current;
    let client = permit.principal().map(Principal::client).ok_or(Denial::NoCredential)?;
    let issuer =
        certificate.issuer_key_id.clone().ok_or_else(|| Fault::new("a proved certificate without its issuer"))?;
    let actor = Actor { name: client.id.to_string(), source: Some(connection.source) };
    let (serial, thumbprint) = (certificate.serial, certificate.thumbprint);
    let renewal = Renewal { issuer, serial, thumbprint, request, names_repeated };
    Ok(gate.authority.renew(renewal, &actor).await?)
}

/// The route that every renewal takes. It is code, not policy: no document can close the way by which clients keep their access,
/// or open it to other methods.
static ROUTE: LazyLock<Arc<Route>> = LazyLock::new(|| {
    Arc::new(Route {
        id: Arc::from("certificate renewal"),
        methods: vec!["POST".to_owned()],
        path: format!("{COLLECTION}{{serial}}{RENEW}"),
        accept: vec![AuthMethodSet::EMPTY.with(AuthMethod::MutualTls)],
        scopes: ScopeRequirement::None,
        networks: Allowlist::anywhere(),
        throttle: None,
        rules: RouteRules::default(),
        listeners: None,
        errors: ErrorStyle::Standard,
        action: Action::Service("renewal"),
        summary: None,
        description: None,
    })
});

/// A browser shows its certificate to us whoever made it send the request: a page could have an administrator's browser certify a
/// key of the page's (CSRF, CWE-352). Programs say nothing of where they come from, and no page of ours renews.
fn check_not_from_a_page(headers: &HeaderMap) -> Result<(), Refusal> {
    let from_a_page = headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    if from_a_page || headers.contains_key(http::header::ORIGIN) {
        let message = "A page in a browser asked this. Certificates are renewed by programs.";
        return Err(Refusal::forbidden("cross_site_request", message));
    }
    Ok(())
}

/// A certificate renews itself and no other, whosever that is (CVE-2026-39388: renewal with a different certificate).
fn check_is_current(name: &str, certificate: &ClientCertificate) -> Result<(), Refusal> {
    let same = match name.parse::<CertificateName>()? {
        CertificateName::Serial { issuer, serial } => {
            serial == certificate.serial && (issuer.is_none() || issuer == certificate.issuer_key_id)
        }
        CertificateName::Thumbprint(thumbprint) => thumbprint == certificate.thumbprint,
    };
    match same {
        true => Ok(()),
        false => {
            let message =
                format!("The certificate of this connection is {}: it renews itself only.", certificate.serial);
            Err(Refusal::forbidden("not_the_current_certificate", message))
        }
    }
}

/// A new certificate as JSON.
#[derive(Serialize)]
struct IssuedCertificate<'a> {
    #[serde(flatten)]
    certificate: &'a CertificateView,
    certificate_pem: &'a str,
    chain_pem: &'a str,
}

/// A new certificate in the form that was asked for: JSON, or the chain in PEM, leaf first (RFC 8555 §9.1).
pub(super) fn certificate(issued: &Issued, headers: &HeaderMap) -> Result<Response<Body>, Stop> {
    let wants_json = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"));
    let mut response = if wants_json {
        let view = CertificateView { pem: None, ..issued.certificate.clone() };
        let answer = IssuedCertificate {
            certificate: &view,
            certificate_pem: &issued.certificate_pem,
            chain_pem: &issued.chain_pem,
        };
        written("application/json", serde_json::to_string(&answer).map_err(Fault::from)?, false)
    } else {
        written(PEM_CHAIN, format!("{}{}", issued.certificate_pem, issued.chain_pem), false)
    };
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn written(kind: &'static str, text: String, head: bool) -> Response<Body> {
    let length = text.len();
    let mut response = Response::new(if head { Body::empty() } else { Body::from(text) });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn moment(at: UnixSeconds) -> Result<String, Fault> {
    let moment = OffsetDateTime::from_unix_timestamp(at.0).ok().and_then(|moment| moment.format(&Rfc3339).ok());
    moment.ok_or_else(|| Fault::new(format!("{} is no time", at.0)))
}

#[cfg(test)]
mod tests {
    use super::{Operation, find};

    #[test]
    fn only_the_two_paths_are_ours() {
        assert_eq!(find("/v1/certificates/5f2c/renew"), Some((Operation::Renew, "5f2c")));
        assert_eq!(find("/v1/certificates/5F:2C/renewal-info"), Some((Operation::Info, "5F:2C")));
        for path in [
            "/v1/certificates/renew",
            "/v1/certificates//renew",
            "/v1/certificates/a/b/renew",
            "/v1/certificates/a/renew/",
            "/v1/certificates/a/renewed",
            "/v1/certificates/a",
            "/v2/certificates/a/renew",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
