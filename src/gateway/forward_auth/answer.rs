//! What the proxies understand. Traefik, Caddy and Envoy hand on whatever is not 2xx; nginx takes 401 and 403 and turns all else
//! into 500 (nginx/nginx#941), so that what was really meant travels in headers, from which the shipped snippet makes it again.

use axum::body::Body;
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Limited};
use hyper::Response;
use policies::Permit;

use super::ext_authz;
use crate::config::Dialect;
use crate::gateway::{identity_headers, respond};
use crate::listen::PeerCertificate;

/// The status that the client is to get.
const STATUS: HeaderName = HeaderName::from_static("x-portcullis-status");
/// The body that goes with it.
const BODY: HeaderName = HeaderName::from_static("x-portcullis-body");
/// The content type of it: nginx keeps the one of its own page.
const BODY_TYPE: HeaderName = HeaderName::from_static("x-portcullis-body-type");
/// nginx reads an answer's head into a buffer of 4 KiB by default: with a longer one it would fail the request.
const BODY_BYTES_MAX: usize = 2048;
/// Header lines that Envoy takes off the request before it passes it on.
const REMOVED: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// Who asks, for the proxy to hand on to its upstream.
pub(super) fn allowed(
    dialect: Dialect,
    permit: &Permit,
    certificate: Option<&PeerCertificate>,
    decision_id: &str,
) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    identity_headers::set(headers, permit.principal(), certificate, decision_id);
    // Of a header that is not here, some proxies leave what the client sent (CVE-2026-40575): so that it is here.
    let missing: Vec<&str> =
        identity_headers::NAMES.iter().copied().filter(|name| !headers.contains_key(*name)).collect();
    for name in &missing {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(""));
    }
    let removed = missing.iter().chain(identity_headers::CONSUMED).copied().collect::<Vec<_>>().join(",");
    if dialect == Dialect::Envoy
        && let Ok(removed) = HeaderValue::from_str(&removed)
    {
        headers.insert(REMOVED, removed);
    }
    respond::pass(response, decision_id)
}

/// The answer in a dialect. `sent` are the headers that the client sent, as far as they are known.
pub(super) async fn told(dialect: Dialect, response: Response<Body>, sent: Option<&HeaderMap>) -> Response<Body> {
    match dialect {
        Dialect::EnvoyGrpc => ext_authz::told(response, sent).await,
        _ if response.status().is_success() => response,
        _ => denied(dialect, response).await,
    }
}

async fn denied(dialect: Dialect, mut response: Response<Body>) -> Response<Body> {
    // It was meant for the client's connection; this one is the proxy's, and kept.
    response.headers_mut().remove(CONNECTION);
    if dialect != Dialect::Nginx || response.status().is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let meant = parts.status;
    parts.headers.insert(STATUS, HeaderValue::from(meant.as_u16()));
    if meant != StatusCode::UNAUTHORIZED {
        parts.status = StatusCode::FORBIDDEN;
    }
    if let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await
        && let Ok(text) = HeaderValue::from_bytes(&body.to_bytes())
    {
        parts.headers.insert(BODY, text);
        if let Some(kind) = parts.headers.get(CONTENT_TYPE).cloned() {
            parts.headers.insert(BODY_TYPE, kind);
        }
    }
    // nginx reads the head of this answer alone.
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}
