//! What the gateway answers itself, before any route: the authorization server and the documents for people. They stand
//! behind the same limits by address as every route.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};

use super::stop::{Malformed, Stop};
use super::trail::Trail;
use super::{Gate, enroll, est, leaks, renewal, sight};
use crate::config::Serves;
use crate::listen::Connection;
use crate::oauth::{Authenticated, AuthenticationFailed, OAuth};
use crate::snapshot::PolicyView;

/// RFC 6749 says nothing of sizes; a client-credentials request is a few hundred bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// Whoever dribbles a body byte by byte holds a connection that costs us more than it costs them.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The pages for people: given the policy in force, the listener's name, the path and the request's headers, an answer or
/// nothing.
pub type Pages = Arc<dyn Fn(&PolicyView, &str, &str, &HeaderMap) -> Option<Response<Bytes>> + Send + Sync>;

/// One of our own endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    OAuth,
    Enroll,
    Leaks,
    Page,
    Renewal,
    Est,
}

/// Whether the path is one of ours.
pub(super) fn find(oauth: &OAuth, serves: Serves, method: &str, path: &str) -> Option<Endpoint> {
    // The administrators' certificates are renewed like all others.
    if renewal::find(path).is_some() {
        return Some(Endpoint::Renewal);
    }
    if serves != Serves::Gateway {
        return None;
    }
    if path.starts_with(est::PREFIX) {
        return Some(Endpoint::Est);
    }
    if oauth.serves(path) {
        return Some(Endpoint::OAuth);
    }
    if path == enroll::PATH {
        return Some(Endpoint::Enroll);
    }
    if path == leaks::PATH {
        return Some(Endpoint::Leaks);
    }
    let page = path == "/docs" || path.starts_with("/docs/") || path == "/openapi.json";
    let reading = matches!(method, "GET" | "HEAD");
    (page && reading).then_some(Endpoint::Page)
}

impl Endpoint {
    /// What its requests are counted under.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::Enroll => "enroll",
            Self::Leaks => "leaks",
            Self::Page => "page",
            Self::Renewal => "renewal",
            Self::Est => "est",
        }
    }

    pub(super) async fn answer(
        self,
        gate: &Gate,
        connection: &Connection,
        view: &PolicyView,
        parts: Parts,
        body: Incoming,
        trail: &mut Trail<'_>,
    ) -> Result<Response<Body>, Stop> {
        if matches!(self, Self::Enroll | Self::Leaks | Self::Renewal | Self::Est) {
            count_body(&body, trail);
        }
        match self {
            Self::OAuth => {
                let bytes = read_body(body, FORM_BYTES_MAX).await?;
                trail.meter().took(bytes.len());
                let peer = connection.certificate.as_deref();
                let path = parts.uri.path().to_owned();
                let request = Request::from_parts(parts, bytes);
                let answer = gate.oauth.handle(request, connection.source, peer).await;
                let status = answer.status();
                if let Some(caller) = answer.extensions().get::<Authenticated>() {
                    trail.client(caller.client.as_str());
                    trail.hear().0.extend(caller.heard.iter().cloned());
                    if status.is_success() {
                        sight::secret(gate, connection, &caller.secret, &path);
                    }
                }
                if let Some(failed) = answer.extensions().get::<AuthenticationFailed>() {
                    let counted = gate.addresses.failure(&connection.listener.config.name, connection.source);
                    if let Some(client) = &failed.client {
                        trail.client(client.as_str());
                    }
                    trail.outcome(failed.denial.code(), Some(failed.denial.to_string()));
                    counted.map_err(|retry_after| Stop::AddressLimited { retry_after })?;
                } else if status.is_server_error() {
                    trail.outcome("internal_error", None);
                } else if status.is_client_error() {
                    trail.outcome("malformed_request", None);
                }
                Ok(answer.map(Body::from))
            }
            Self::Enroll => enroll::answer(gate, connection.source, view, &parts, body, trail).await,
            Self::Leaks => leaks::answer(gate, connection, &parts, body, trail).await,
            Self::Renewal => renewal::answer(gate, connection, view, parts, body, trail).await,
            Self::Est => est::answer(gate, connection, view, parts, body, trail).await,
            Self::Page => {
                let path = parts.uri.path();
                let page = (gate.pages)(view, &connection.listener.config.name, path, &parts.headers);
                page.map(|page| page.map(Body::from))
                    .ok_or_else(|| policies::Denial::RouteNotFound { detail: format!("no page {path}") }.into())
            }
        }
    }
}

/// Counts a body of an endpoint that takes certificate requests, by what its head says of it.
fn count_body(body: &Incoming, trail: &mut Trail<'_>) {
    if let Some(bytes) = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()) {
        trail.meter().took(bytes);
    }
}

/// A body of an endpoint of ours, whole.
pub(super) async fn read_body(body: Incoming, bytes_max: usize) -> Result<Bytes, Malformed> {
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect());
    let bytes = read.await.map_err(|_| Malformed::BodyTooSlow)?.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            Malformed::BodyTooLarge { bytes_max: bytes_max as u64 }
        } else {
            Malformed::BodyUnreadable
        }
    })?;
    Ok(bytes.to_bytes())
}
