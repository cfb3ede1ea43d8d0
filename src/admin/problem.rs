//! How the control plane refuses: problem details (RFC 9457) with a stable code.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::{Failure, Fault, Refusal, RefusalKind};
use crate::gateway::Caller;

/// A refusal or failure on its way out. [`write`] gives it a body: only there is the decision's id known.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<String>,
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Always `about:blank`: the code says more.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The name of the status.
    title: String,
    status: u16,
    /// Stable, for programs: `client_not_found`.
    code: &'static str,
    /// What is wrong, and what to do about it. The gate's own refusals have only the name of the status here.
    message: String,
    /// What is wrong, and what to do about it.
    detail: String,
    /// One line for each further fault, such as those of a policy document.
    #[schema(required = false)]
    details: Vec<String>,
    /// Under this id the audit log tells more.
    decision_id: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Vec::new() }
    }

    /// A body or query that cannot be read.
    pub(super) fn malformed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            RefusalKind::Unauthorized => StatusCode::UNAUTHORIZED,
        };
        Self { status, code: refusal.code, message: refusal.message, details: refusal.details }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        tracing::error!(fault = fault.inside(), "an administrative request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", fault.outside())
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Fault(fault) => fault.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The outermost layer: writes problems, and keeps every answer out of caches. Keys and certificates pass here.
pub(super) async fn write(request: Request, next: Next) -> Response {
    let decision_id = request.extensions().get::<Caller>().map(|caller| caller.decision_id.to_string());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = ProblemBody {
            kind: "about:blank",
            title: problem.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: problem.status.as_u16(),
            code: problem.code,
            detail: problem.message.clone(),
            message: problem.message,
            details: problem.details,
            decision_id,
        };
        *response.body_mut() = serde_json::to_vec(&body).map(Body::from).unwrap_or_default();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The gate lets more paths through than there are.
pub(super) async fn no_such_route(request: Request) -> Problem {
    nothing_at(request.uri().path())
}

pub(super) fn nothing_at(path: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "route_not_found", format!("There is nothing at {path}."))
}

pub(super) async fn no_such_method(method: Method, request: Request) -> Problem {
    let message = format!("{} cannot be asked with {method}.", request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
