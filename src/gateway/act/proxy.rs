//! The reverse proxy: streams both ways over kept HTTP/1.1 connections. Everything hop-by-hop and everything a client
//! might use to speak for us goes first; our own headers come last.

use std::time::Duration;

use axum::body::Body;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Uri, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use papaya::HashMap;
use policies::{Permit, Proxy};

use super::Scene;
use crate::failure::Fault;
use crate::gateway::identity_headers;
use crate::gateway::stop::{Malformed, Stop, UpstreamFault};

/// Connections kept to one upstream.
const IDLE_PER_UPSTREAM_MAX: usize = 128;
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

type UpstreamClient = Client<HttpsConnector<HttpConnector>, Body>;

/// The pools of connections to upstreams: one for each time to connect that a route gives, of which policies allow few.
#[derive(Default)]
pub struct Upstreams {
    by_connect_timeout_seconds: HashMap<u32, UpstreamClient>,
}

impl Upstreams {
    pub fn new() -> Self {
        Self::default()
    }

    fn client(&self, connect_timeout_seconds: u32) -> UpstreamClient {
        let clients = self.by_connect_timeout_seconds.pin();
        clients.get_or_insert_with(connect_timeout_seconds, || client(connect_timeout_seconds)).clone()
    }
}

/// TLS to upstreams is verified against the public roots.
fn client(connect_timeout_seconds: u32) -> UpstreamClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(Duration::from_secs(u64::from(connect_timeout_seconds.max(1)))));
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_UPSTREAM_MAX)
        .build(connector)
}

pub(super) async fn forward(
    permit: &Permit,
    proxy: &Proxy,
    parts: Parts,
    body: Incoming,
    scene: &Scene<'_>,
) -> Result<Response<Body>, Stop> {
    if body.size_hint().lower() > scene.body_bytes_max {
        return Err(Malformed::BodyTooLarge { bytes_max: scene.body_bytes_max }.into());
    }
    let mut headers = parts.headers;
    let host = headers.get(HOST).cloned().or_else(|| authority_of(&parts.uri));
    join_cookies(&mut headers);
    strip_hop_by_hop(&mut headers);
    identity_headers::strip(&mut headers);
    // What proved the client to us is not the upstream's to see.
    headers.remove("x-api-key");
    headers.remove(AUTHORIZATION);
    headers.remove(EXPECT);
    headers.remove(CONTENT_LENGTH);
    headers.remove(HOST);
    if proxy.preserve_host
        && let Some(host) = &host
    {
        headers.insert(HOST, host.clone());
    }
    set_forwarded(&mut headers, scene, host);
    identity_headers::set(&mut headers, permit.principal(), scene.connection.certificate.as_deref(), scene.decision_id);

    // The path as it was matched: `https://host?x` has none of its own.
    let (path, query) = (parts.uri.path(), parts.uri.query().map_or_else(String::new, |query| format!("?{query}")));
    let target: Uri = format!("{}{path}{query}", proxy.upstream.trim_end_matches('/'))
        .parse()
        .map_err(|_| Fault::new(format!("the upstream address {:?} does not make a URI", proxy.upstream)))?;
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        Body::new(Limited::new(scene.meter.taking(body), usize::try_from(scene.body_bytes_max).unwrap_or(usize::MAX)))
    };
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = target;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;

    let timeout = Duration::from_secs(u64::from(proxy.timeout_seconds.max(1)));
    let client = scene.upstreams.client(proxy.connect_timeout_seconds);
    let answered = tokio::time::timeout(timeout, client.request(request)).await;
    let response = match answered {
        Err(_) => return Err(UpstreamFault::Timeout { upstream: proxy.upstream.clone(), timeout }.into()),
        Ok(Err(error)) if is_length_limit(&error) => {
            return Err(Malformed::BodyTooLarge { bytes_max: scene.body_bytes_max }.into());
        }
        Ok(Err(error)) => return Err(upstream_fault(proxy, &error)),
        Ok(Ok(response)) => response,
    };
    let (mut parts, body) = response.into_parts();
    if parts.status.is_informational() {
        // No upgrade was passed on, so that a 101 would leave the client with a connection that nobody speaks on.
        let reason = format!("the answer {} to a request without Upgrade", parts.status);
        return Err(UpstreamFault::Broken { upstream: proxy.upstream.clone(), reason }.into());
    }
    strip_hop_by_hop(&mut parts.headers);
    identity_headers::strip_answer(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(parts, Body::new(scene.meter.giving(body.map_err(axum::Error::new)))))
}

fn upstream_fault(proxy: &Proxy, error: &hyper_util::client::legacy::Error) -> Stop {
    let upstream = proxy.upstream.clone();
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    if error.is_connect() {
        UpstreamFault::Unreachable { upstream, reason }.into()
    } else {
        UpstreamFault::Broken { upstream, reason }.into()
    }
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn authority_of(uri: &Uri) -> Option<HeaderValue> {
    HeaderValue::from_str(uri.authority()?.as_str()).ok()
}

/// RFC 9110 §7.6.1: what concerns one connection only, the headers that `Connection` names included.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "http2-settings"] {
        headers.remove(name);
    }
}

/// HTTP/2 may split Cookie into crumbs; HTTP/1.1 may not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice()))
    {
        headers.insert(COOKIE, joined);
    }
}

fn set_forwarded(headers: &mut HeaderMap, scene: &Scene<'_>, host: Option<HeaderValue>) {
    if let Ok(source) = HeaderValue::from_str(&scene.connection.source.to_string()) {
        headers.insert("x-forwarded-for", source);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    if let Some(host) = host {
        headers.insert("x-forwarded-host", host);
    }
}
