//! The request that the client made to the proxy, as each dialect tells it. One header set each, and no guessing: what is
//! missing, comes twice or cannot be read makes the whole unreadable.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use policies::{ForwardedHeader, MAX_HOPS, TrustedProxies};

use super::callers::{Caller, SECRET};
use super::certificate;
use crate::config::Dialect;
use crate::listen::PeerCertificate;

/// Set by a proxy that makes one for each request of its clients, where the settings say so.
const REQUEST_ID: &str = "X-Portcullis-Request-Id";
const REQUEST_ID_BYTES: std::ops::RangeInclusive<usize> = 8..=128;
/// What the proxy says of its client is read here and goes no further.
const TOLD: &[&str] = &[
    "x-original-method",
    "x-original-uri",
    "x-original-host",
    "x-real-ip",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-forwarded-host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-client-cert",
    "client-cert",
    "client-cert-chain",
    "x-portcullis-request-id",
];

/// What the client asked of the proxy.
#[derive(Debug)]
pub(super) struct Original {
    pub parts: Parts,
    /// Where the client was when it reached the proxy, or the first proxy of those that are trusted.
    pub source: IpAddr,
    pub certificate: Option<Arc<PeerCertificate>>,
    pub request_id: Option<String>,
}

/// Why a question cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("there is no {0}")]
    Missing(&'static str),
    #[error("{0} comes more than once")]
    Twice(&'static str),
    #[error("{0} is malformed")]
    Malformed(&'static str),
}

impl Original {
    pub(super) fn read(dialect: Dialect, caller: &Caller, parts: &Parts) -> Result<Self, Unreadable> {
        let headers = &parts.headers;
        let (method, uri, host, source) = match dialect {
            Dialect::Nginx => (
                method(single(headers, "X-Original-Method")?)?,
                uri(single(headers, "X-Original-URI")?, "X-Original-URI")?,
                value(headers, "X-Original-Host")?.clone(),
                address(single(headers, "X-Real-IP")?, "X-Real-IP")?,
            ),
            Dialect::Traefik | Dialect::Caddy => (
                method(single(headers, "X-Forwarded-Method")?)?,
                uri(single(headers, "X-Forwarded-Uri")?, "X-Forwarded-Uri")?,
                value(headers, "X-Forwarded-Host")?.clone(),
                forwarded_for(headers, caller.trusted_proxies.as_ref())?,
            ),
            // It has no headers of its own: `ext_authz` reads it.
            Dialect::EnvoyGrpc => return Err(Unreadable::Malformed("the question")),
            Dialect::Envoy => (
                parts.method.clone(),
                behind_prefix(&parts.uri)?,
                authority(parts)?,
                // Envoy adds its own address to the X-Forwarded-For of its questions.
                address(single(headers, "X-Real-IP")?, "X-Real-IP")?,
            ),
        };
        let certificate = certificate::forwarded(caller.certificate, headers)?.map(Arc::new);
        let request_id = if caller.request_ids { Some(request_id(headers)?) } else { None };
        Ok(Self { parts: rebuilt(method, uri, host, headers.clone()), source, certificate, request_id })
    }
}

/// A request of a client, put together from what was told.
pub(super) fn rebuilt(method: Method, uri: Uri, host: HeaderValue, mut headers: HeaderMap) -> Parts {
    headers.remove(SECRET);
    for name in TOLD {
        headers.remove(*name);
    }
    headers.insert(HOST, host);
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.headers = headers;
    parts
}

/// The value of a header that must come, and once.
fn value<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h HeaderValue, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|value| !value.is_empty()).ok_or(Unreadable::Missing(name))?;
    if values.next().is_some() { Err(Unreadable::Twice(name)) } else { Ok(value) }
}

/// The text of one.
fn single<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Unreadable> {
    value(headers, name)?.to_str().map_err(|_| Unreadable::Malformed(name))
}

pub(super) fn method(text: &str) -> Result<Method, Unreadable> {
    Method::from_bytes(text.as_bytes()).map_err(|_| Unreadable::Malformed("the method"))
}

/// Path and query, nothing before and nothing behind: the library would cut a fragment off, and the upstream would still get it.
pub(super) fn uri(text: &str, name: &'static str) -> Result<Uri, Unreadable> {
    let good = text.starts_with('/') && text.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#');
    let target = good.then(|| PathAndQuery::try_from(text).ok()).flatten().ok_or(Unreadable::Malformed(name))?;
    if target.as_str() != text {
        return Err(Unreadable::Malformed(name));
    }
    Ok(Uri::from(target))
}

fn behind_prefix(asked: &Uri) -> Result<Uri, Unreadable> {
    const WHAT: &str = "the path behind /forward-auth/envoy";
    let target = asked.path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
    let rest = target.strip_prefix(super::PREFIX).and_then(|rest| rest.strip_prefix(Dialect::Envoy.as_str()));
    uri(rest.unwrap_or_default(), WHAT)
}

/// Envoy asks with the Host of its client.
fn authority(parts: &Parts) -> Result<HeaderValue, Unreadable> {
    match parts.uri.authority() {
        Some(authority) if parts.headers.contains_key(HOST) && value(&parts.headers, "host")? != authority.as_str() => {
            Err(Unreadable::Twice("the host"))
        }
        Some(authority) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| Unreadable::Malformed("the authority"))
        }
        None => value(&parts.headers, "host").cloned(),
    }
}

/// An address alone, in the spellings that are taken everywhere.
pub(super) fn address(text: &str, name: &'static str) -> Result<IpAddr, Unreadable> {
    policies::address(text).ok_or(Unreadable::Malformed(name))
}

/// The caller, by the one walk that listeners behind proxies use too. Without trusted proxies it is the last hop, which the proxy
/// that asks wrote itself; but every hop must be an address.
fn forwarded_for(headers: &HeaderMap, trusted: Option<&TrustedProxies>) -> Result<IpAddr, Unreadable> {
    const NAME: &str = "X-Forwarded-For";
    let line = single(headers, NAME)?;
    let mut hops = line.split(',').map(|hop| address(hop.trim_matches([' ', '\t']), NAME));
    match trusted {
        Some(trusted) => {
            let peer = hops.next_back().ok_or(Unreadable::Missing(NAME))??;
            let caller = ForwardedHeader::XForwardedFor.caller([line.as_bytes()], peer, trusted);
            caller.map_err(|_| Unreadable::Malformed(NAME))
        }
        None if line.split(',').count() > MAX_HOPS => Err(Unreadable::Malformed(NAME)),
        None => hops.try_fold(None, |_, hop| hop.map(Some))?.ok_or(Unreadable::Missing(NAME)),
    }
}

pub(super) fn request_id(headers: &HeaderMap) -> Result<String, Unreadable> {
    let text = single(headers, REQUEST_ID)?;
    if !REQUEST_ID_BYTES.contains(&text.len()) {
        return Err(Unreadable::Malformed(REQUEST_ID));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
