//! Answers of the OAuth endpoints: JSON that nobody may keep, and the errors of RFC 6749 §5.2.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use policies::{ClientId, Denial};
use serde::Serialize;

use crate::failure::Fault;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// RFC 7617 §2. The realm says nothing about who is known here.
const BASIC_CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"portcullis\"");
/// How long to wait after our own failure.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// In the extensions of a response whose request failed to authenticate: the gate counts these by address (RFC 6749 §2.3.1
/// asks for protection against guessing), apart from the volume of good requests.
#[derive(Clone, Debug)]
pub struct AuthenticationFailed {
    /// The client that was named, if it exists. Never count against it alone: a stranger could lock a partner out.
    pub client: Option<ClientId>,
    /// What was wrong, for the audit. The caller reads `invalid_client` whatever it was.
    pub denial: Denial,
}

/// In the extensions of a response to an authenticated client: who it was, for the audit.
#[derive(Clone, Debug)]
pub struct Authenticated {
    pub client: ClientId,
    /// The id of the secret it proved.
    pub secret: std::sync::Arc<str>,
    /// The rules in shadow that would have refused it.
    pub heard: Vec<policies::Step>,
}

/// The codes of RFC 6749 §5.2, RFC 7009 §2.2.1 and RFC 8707 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorCode {
    InvalidRequest,
    InvalidClient,
    UnsupportedGrantType,
    InvalidScope,
    InvalidTarget,
    TemporarilyUnavailable,
}

impl ErrorCode {
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// Why a request to an endpoint is not answered with what it asked for.
#[derive(Debug)]
pub(super) struct ErrorAnswer {
    pub(super) code: ErrorCode,
    /// Of the characters of RFC 6749 §5.2: no quote, no backslash. Made here, never out of what was sent.
    description: &'static str,
    status: Option<StatusCode>,
    failed: Option<Box<AuthenticationFailed>>,
}

impl ErrorAnswer {
    pub(super) fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description, status: None, failed: None }
    }

    pub(super) fn invalid_request(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    /// Unknown client, wrong secret, revoked certificate, wrong address: one answer for all (RFC 6749 §5.2).
    pub(super) fn invalid_client(client: Option<ClientId>, denial: Denial) -> Self {
        let failed = Some(Box::new(AuthenticationFailed { client, denial }));
        Self { failed, ..Self::new(ErrorCode::InvalidClient, "Client authentication failed.") }
    }

    #[must_use]
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// `cognito`: 400 also for `invalid_client`, and no description.
    pub(super) fn into_response(self, cognito: bool) -> Response<Bytes> {
        #[derive(Serialize)]
        struct Body {
            error: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            error_description: Option<&'static str>,
        }
        let status = self.status.unwrap_or(match self.code {
            ErrorCode::InvalidClient if !cognito => StatusCode::UNAUTHORIZED,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        });
        let error_description = (!cognito).then_some(self.description);
        let mut response = json(status, &Body { error: self.code.as_str(), error_description });
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, BASIC_CHALLENGE);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if let Some(failed) = self.failed {
            response.extensions_mut().insert(*failed);
        }
        response
    }
}

impl From<Fault> for ErrorAnswer {
    fn from(fault: Fault) -> Self {
        tracing::error!(error = fault.inside(), "an OAuth endpoint failed");
        Self::new(ErrorCode::TemporarilyUnavailable, "The server could not do this. Try again later.")
    }
}

/// A JSON answer that is not to be kept (RFC 6749 §5.1).
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    match serde_json::to_vec(body) {
        Ok(body) => with_headers(status, body.into(), &[(header::CONTENT_TYPE, JSON)]),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// An answer without a body that is not to be kept either.
pub(super) fn empty(status: StatusCode) -> Response<Bytes> {
    with_headers(status, Bytes::new(), &[])
}

/// A JSON document that is the same for everybody and may be kept for a while.
pub(super) fn document(body: Bytes, cache_control: HeaderValue) -> Response<Bytes> {
    let mut response = with_headers(StatusCode::OK, body, &[(header::CONTENT_TYPE, JSON)]);
    response.headers_mut().insert(header::CACHE_CONTROL, cache_control);
    response.headers_mut().remove(header::PRAGMA);
    allow_any_origin(response.headers_mut());
    response
}

/// RFC 9110 §15.5.6.
pub(super) fn method_not_allowed(allow: &'static str) -> Response<Bytes> {
    with_headers(StatusCode::METHOD_NOT_ALLOWED, Bytes::new(), &[(header::ALLOW, HeaderValue::from_static(allow))])
}

/// Lets pages of any origin read the answer, as Cognito does. What guards the endpoint is the client's secret, not the origin,
/// and browsers send no credentials of their own along with `*`.
pub(super) fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

fn with_headers(status: StatusCode, body: Bytes, headers: &[(HeaderName, HeaderValue)]) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let known = response.headers_mut();
    known.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    known.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    known.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in headers {
        known.insert(name.clone(), value.clone());
    }
    response
}
