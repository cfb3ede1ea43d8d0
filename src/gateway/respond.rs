//! The one place where a refusal or a failure of the data plane becomes HTTP. Two presets: `standard` is RFC 9457 problem
//! details with RFC 6750 challenges; `aws` is the exact bodies and statuses of API Gateway, for clients that match on them.

use std::time::Duration;

use axum::body::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::Response;
use policies::{AuthMethod, AuthMethodSet, Denial, ErrorStyle, LimitState, LimitSubject, Route, ScopeRequirement};
use serde_json::json;

use super::limit_headers::{self, ProblemType};
use super::stop::{Malformed, Stop, UpstreamFault};
use crate::failure::{self, RefusalKind};

pub(super) const DECISION_ID: HeaderName = HeaderName::from_static("x-portcullis-decision-id");
const REALM: &str = "portcullis";

/// What the answer's form depends on.
pub(super) struct Asked {
    head: bool,
    bearer: bool,
    api_key: bool,
    est: bool,
}

impl Asked {
    pub(super) fn of(parts: &Parts) -> Self {
        Self {
            head: parts.method == Method::HEAD,
            bearer: parts.headers.contains_key(http::header::AUTHORIZATION),
            api_key: parts.headers.contains_key("x-api-key"),
            est: parts.uri.path().starts_with(super::est::PREFIX),
        }
    }
}

impl Asked {
    /// Whether the answer goes without a body: that is the question's method, where a proxy asks for its client.
    pub(super) fn with_head(mut self, head: bool) -> Self {
        self.head = head;
        self
    }
}

/// An answer before it is written down.
struct Refusal {
    status: StatusCode,
    /// Stable; what unknown, expired and revoked have in common, so that a stranger cannot tell which keys exist.
    code: &'static str,
    message: &'static str,
    detail: String,
    /// Of a limit that is reached: its problem type and the names of the limits that said no.
    limited: Option<(ProblemType, Vec<String>)>,
    retry_after: Option<Duration>,
    challenges: Vec<String>,
    allow: Option<&'static str>,
    close: bool,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message,
            detail: detail.into(),
            limited: None,
            retry_after: None,
            challenges: Vec::new(),
            allow: None,
            close: false,
        }
    }
}

/// Marks an answer of an action with the decision that allowed it.
pub(super) fn pass(mut response: Response<Body>, decision_id: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(decision_id) {
        response.headers_mut().insert(DECISION_ID, value);
    }
    response
}

/// Turns a stop into its answer, in the style of the route if one was found.
pub(super) fn respond(stop: &Stop, asked: &Asked, route: Option<&Route>, decision_id: &str) -> Response<Body> {
    let style = route.map_or(ErrorStyle::Standard, |route| route.errors);
    let accepted = route.map_or(&[][..], |route| route.accept.as_slice());
    let refusal = match stop {
        Stop::Malformed(malformed) => of_malformed(malformed),
        Stop::Denied(denial) => of_denial(denial, accepted, asked),
        Stop::AddressLimited { retry_after } => {
            let mut refusal = Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "throttled",
                "Too Many Requests",
                "This address sends too many requests, or too many with bad credentials.",
            );
            refusal.retry_after = Some(*retry_after);
            refusal
        }
        Stop::Upstream(fault) => of_upstream(fault),
        Stop::Refused(refused) => of_refused(refused, asked),
        Stop::NotOffered(offered) => {
            Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_offered", "Not Implemented", *offered)
        }
        Stop::Fault(fault) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal Server Error", fault.outside())
        }
    };
    match (style, stop) {
        (ErrorStyle::Aws, Stop::Denied(denial)) => aws(denial, refusal, accepted, asked, decision_id),
        (ErrorStyle::Aws, Stop::AddressLimited { .. } | Stop::Upstream(_) | Stop::Fault(_)) => {
            let kind = aws_type(refusal.status);
            aws_body(refusal.status, refusal.message, kind, &refusal, asked, decision_id)
        }
        _ => problem(&refusal, asked, decision_id),
    }
}

fn of_malformed(malformed: &Malformed) -> Refusal {
    let (status, message) = match malformed {
        Malformed::Method(_) | Malformed::NotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
        Malformed::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "Misdirected Request"),
        Malformed::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Content Too Large"),
        Malformed::MediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type"),
        Malformed::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        Malformed::Framing(crate::listen::Violation::TooLarge) => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large")
        }
        _ => (StatusCode::BAD_REQUEST, "Bad Request"),
    };
    let mut refusal = Refusal::new(status, malformed.code(), message, malformed.to_string());
    refusal.allow = match malformed {
        Malformed::Method(_) => Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        Malformed::NotAllowed { allow, .. } => Some(allow),
        _ => None,
    };
    refusal.close =
        matches!(malformed, Malformed::Framing(_) | Malformed::BodyTooLarge { .. } | Malformed::BodyTooSlow);
    refusal
}

fn of_denial(denial: &Denial, accepted: &[AuthMethodSet], asked: &Asked) -> Refusal {
    let unauthorized = |code, detail: &str| Refusal::new(StatusCode::UNAUTHORIZED, code, "Unauthorized", detail);
    let forbidden = |code, detail: &str| Refusal::new(StatusCode::FORBIDDEN, code, "Forbidden", detail);
    match denial {
        Denial::NoCredential => {
            let mut refusal =
                unauthorized("no_credential", &format!("This route asks for {}.", alternatives(accepted)));
            refusal.challenges = challenges(accepted);
            refusal
        }
        Denial::InvalidToken { .. } => invalid_token(),
        // One answer for all of them: which it was stands in the audit log, under the decision id.
        Denial::CredentialUnknown { .. } | Denial::CredentialExpired { .. } | Denial::CredentialRevoked { .. } => {
            if asked.bearer && !asked.api_key {
                return invalid_token();
            }
            let mut refusal = unauthorized(
                "credential_unknown",
                "The credential is not valid: unknown, expired or revoked. Ask whoever issued it, with the decision id.",
            );
            refusal.challenges = vec![format!("ApiKey realm=\"{REALM}\"")];
            refusal
        }
        Denial::CredentialMismatch { .. } => {
            forbidden("credential_mismatch", "The credentials sent together belong to different clients.")
        }
        Denial::MethodNotAccepted { .. } => {
            let mut refusal =
                unauthorized("method_not_accepted", &format!("This route asks for {}.", alternatives(accepted)));
            refusal.challenges = challenges(accepted);
            refusal
        }
        Denial::SourceNotAllowed { .. } => {
            forbidden("source_not_allowed", "This may not be called from the address that the request comes from.")
        }
        Denial::InsufficientScope { required, .. } => {
            let mut refusal =
                forbidden("insufficient_scope", &format!("This route asks for {}.", scopes_text(required)));
            if asked.bearer {
                refusal.challenges = vec![format!(
                    "Bearer realm=\"{REALM}\", error=\"insufficient_scope\", scope=\"{}\"",
                    scope_list(required)
                )];
            }
            refusal
        }
        Denial::Throttled { retry_after, limits } => {
            let detail = match denial.violated().next().map(|limit| limit.subject) {
                Some(LimitSubject::Route) => {
                    "This route takes fewer requests per second, those of all callers together."
                }
                Some(LimitSubject::Partner) => {
                    "The partner's usage plan allows its clients together fewer requests per second."
                }
                _ => "The client's usage plan allows fewer requests per second.",
            };
            too_many("throttled", "Too Many Requests", detail, *retry_after, limits)
        }
        Denial::QuotaExceeded { retry_after, limits } => {
            let detail = match denial.violated().next().map(|limit| limit.subject) {
                Some(LimitSubject::Partner) => "The quota that the partner's clients share is spent for this period.",
                _ => "The quota of the client's usage plan is spent for this period.",
            };
            too_many("quota_exceeded", "Limit Exceeded", detail, *retry_after, limits)
        }
        Denial::RouteNotFound { .. } => Refusal::new(
            StatusCode::NOT_FOUND,
            "route_not_found",
            "Not Found",
            "There is no route for this method and path.",
        ),
    }
}

fn too_many(code: &'static str, message: &'static str, detail: &str, wait: Duration, limits: &[LimitState]) -> Refusal {
    let violated = limit_headers::violated(limits).into_iter().map(str::to_owned).collect();
    let mut refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, message, detail);
    refusal.limited = Some((ProblemType::of(limits), violated));
    refusal.retry_after = Some(wait);
    refusal
}

fn invalid_token() -> Refusal {
    let mut refusal = Refusal::new(
        StatusCode::UNAUTHORIZED,
        "invalid_token",
        "Unauthorized",
        "The access token is not valid: malformed, expired, revoked, or not for this server.",
    );
    refusal.challenges = vec![format!("Bearer realm=\"{REALM}\", error=\"invalid_token\"")];
    refusal
}

fn of_upstream(fault: &UpstreamFault) -> Refusal {
    match fault {
        UpstreamFault::Timeout { .. } => Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "Gateway Timeout",
            "The service behind this route did not answer in time.",
        ),
        UpstreamFault::Unreachable { .. } => Refusal::new(
            StatusCode::BAD_GATEWAY,
            "upstream_unreachable",
            "Bad Gateway",
            "The service behind this route cannot be reached.",
        ),
        UpstreamFault::Broken { .. } => Refusal::new(
            StatusCode::BAD_GATEWAY,
            "upstream_broken",
            "Bad Gateway",
            "The service behind this route broke off its answer.",
        ),
    }
}

/// What `registry` and `authority` refuse to a partner: said as they say it, since the partner must act on it.
fn of_refused(refused: &failure::Refusal, asked: &Asked) -> Refusal {
    let (status, message) = match refused.kind {
        RefusalKind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Content"),
        RefusalKind::NotFound => (StatusCode::NOT_FOUND, "Not Found"),
        RefusalKind::Conflict => (StatusCode::CONFLICT, "Conflict"),
        RefusalKind::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
        RefusalKind::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        RefusalKind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
    };
    let lines = std::iter::once(&refused.message).chain(&refused.details).map(String::as_str);
    let mut refusal = Refusal::new(status, refused.code, message, lines.collect::<Vec<_>>().join(" "));
    if refused.kind == RefusalKind::Unauthorized {
        // RFC 7030 §3.2.3: clients of EST know Basic.
        let schemes = if asked.est { &["Basic", "Bearer"][..] } else { &["Bearer"] };
        refusal.challenges = schemes.iter().map(|scheme| format!("{scheme} realm=\"{REALM}\"")).collect();
    }
    refusal
}

fn problem(refusal: &Refusal, asked: &Asked, decision_id: &str) -> Response<Body> {
    let status_phrase = refusal.status.canonical_reason().unwrap_or(refusal.message);
    let kind =
        refusal.limited.as_ref().map_or(ProblemType { uri: "about:blank", title: status_phrase }, |limited| limited.0);
    let mut body = json!({
        "type": kind.uri,
        "title": kind.title,
        "status": refusal.status.as_u16(),
        "code": refusal.code,
        "message": refusal.message,
        "detail": refusal.detail,
        "decision_id": decision_id,
    });
    if let Some((_, violated)) = &refusal.limited {
        body["violated-policies"] = json!(violated);
    }
    let mut response = written(refusal, "application/problem+json", &body.to_string(), asked);
    for challenge in &refusal.challenges {
        if let Ok(value) = HeaderValue::from_str(challenge) {
            response.headers_mut().append(WWW_AUTHENTICATE, value);
        }
    }
    pass(response, decision_id)
}

/// API Gateway's own answers (its `UNAUTHORIZED`, `INVALID_API_KEY`, `THROTTLED`, … gateway responses).
fn aws(
    denial: &Denial,
    refusal: Refusal,
    accepted: &[AuthMethodSet],
    asked: &Asked,
    decision_id: &str,
) -> Response<Body> {
    let key_only = !accepted.is_empty() && accepted.iter().all(|set| set.contains(AuthMethod::ApiKey));
    let (status, message, kind) = match denial {
        Denial::NoCredential | Denial::MethodNotAccepted { .. } if key_only => {
            (StatusCode::FORBIDDEN, "Forbidden", "ForbiddenException")
        }
        Denial::CredentialUnknown { .. } | Denial::CredentialExpired { .. } | Denial::CredentialRevoked { .. }
            if asked.api_key && !asked.bearer =>
        {
            (StatusCode::FORBIDDEN, "Forbidden", "ForbiddenException")
        }
        Denial::SourceNotAllowed { .. } | Denial::CredentialMismatch { .. } => {
            (StatusCode::FORBIDDEN, "Forbidden", "ForbiddenException")
        }
        Denial::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests", "TooManyRequestsException"),
        Denial::QuotaExceeded { .. } => (StatusCode::TOO_MANY_REQUESTS, "Limit Exceeded", "LimitExceededException"),
        Denial::RouteNotFound { .. } => {
            (StatusCode::FORBIDDEN, "Missing Authentication Token", "MissingAuthenticationTokenException")
        }
        // A wrong scope is 401 there, not 403.
        _ => (StatusCode::UNAUTHORIZED, "Unauthorized", "UnauthorizedException"),
    };
    aws_body(status, message, kind, &refusal, asked, decision_id)
}

fn aws_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequestsException",
        _ => "InternalServerErrorException",
    }
}

fn aws_body(
    status: StatusCode,
    message: &str,
    kind: &'static str,
    refusal: &Refusal,
    asked: &Asked,
    decision_id: &str,
) -> Response<Body> {
    let mut response = written(refusal, "application/json", &json!({ "message": message }).to_string(), asked);
    *response.status_mut() = status;
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(decision_id) {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    pass(response, decision_id)
}

fn written(refusal: &Refusal, kind: &'static str, body: &str, asked: &Asked) -> Response<Body> {
    let length = body.len();
    let mut response = Response::new(if asked.head { Body::empty() } else { Body::from(body.to_owned()) });
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds_rounded_up(wait)));
    }
    if let Some(methods) = refusal.allow {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    if refusal.close {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Rounded down, a client that obeys would be denied again.
fn seconds_rounded_up(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn alternatives(accepted: &[AuthMethodSet]) -> String {
    accepted
        .iter()
        .map(|set| set.iter().map(spoken).collect::<Vec<_>>().join(" together with "))
        .collect::<Vec<_>>()
        .join(", or ")
}

fn spoken(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::MutualTls => "a client certificate",
        AuthMethod::ApiKey => "an API key in x-api-key",
        AuthMethod::Bearer => "an access token in Authorization: Bearer",
    }
}

/// One challenge for each method the route takes (RFC 9110 §11.6.1).
fn challenges(accepted: &[AuthMethodSet]) -> Vec<String> {
    let takes = |method| accepted.iter().any(|set| set.contains(method));
    let mut challenges = Vec::new();
    if takes(AuthMethod::Bearer) {
        challenges.push(format!("Bearer realm=\"{REALM}\""));
    }
    if takes(AuthMethod::ApiKey) {
        challenges.push(format!("ApiKey realm=\"{REALM}\""));
    }
    if takes(AuthMethod::MutualTls) {
        challenges.push(format!("MutualTLS realm=\"{REALM}\""));
    }
    challenges
}

fn scope_list(required: &ScopeRequirement) -> String {
    match required {
        ScopeRequirement::None => String::new(),
        ScopeRequirement::Any(scopes) | ScopeRequirement::All(scopes) => scopes.to_string(),
    }
}

fn scopes_text(required: &ScopeRequirement) -> String {
    match required {
        ScopeRequirement::None => "no scope".to_owned(),
        ScopeRequirement::Any(scopes) if scopes.len() == 1 => format!("the scope {scopes}"),
        ScopeRequirement::Any(scopes) => format!("one of the scopes {scopes}"),
        ScopeRequirement::All(scopes) => format!("all of the scopes {scopes}"),
    }
}
