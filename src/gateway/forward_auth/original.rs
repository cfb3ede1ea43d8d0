//! The request that the client made to the proxy, as each dialect tells it. One header set each, and no guessing: what is
//! missing, comes twice or cannot be read makes the whole unreadable.

use std::net::IpAddr;

use http::header::{AsHeaderName, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use ipnet::IpNet;

use super::callers::{Caller, SECRET};
use super::certificate;
use crate::config::Dialect;
use crate::listen::PeerCertificate;

/// Set by a proxy that makes one for each request of its clients, where the settings say so.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-portcullis-request-id");
const REQUEST_ID_BYTES: std::ops::RangeInclusive<usize> = 8..=128;
/// Addresses in one X-Forwarded-For.
const HOPS_MAX: usize = 32;
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
    pub certificate: Option<PeerCertificate>,
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
                value(headers, "X-Original-Host")?,
                address(single(headers, "X-Real-IP")?, "X-Real-IP")?,
            ),
            Dialect::Traefik | Dialect::Caddy => (
                method(single(headers, "X-Forwarded-Method")?)?,
                uri(single(headers, "X-Forwarded-Uri")?, "X-Forwarded-Uri")?,
                value(headers, "X-Forwarded-Host")?,
                forwarded_for(single(headers, "X-Forwarded-For")?, &caller.trusted_proxies)?,
            ),
            Dialect::Envoy => (
                parts.method.clone(),
                behind_prefix(&parts.uri)?,
                authority(parts)?,
                // Envoy adds its own address to the X-Forwarded-For of its questions.
                address(single(headers, "X-Real-IP")?, "X-Real-IP")?,
            ),
        };
        let certificate = certificate::forwarded(caller.certificate, headers)?;
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

fn value<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<HeaderValue, Unreadable>
where
    &'static str: AsHeaderName,
{
    let mut values: http::header::ValueIter<'a, HeaderValue> = headers.get_all(name).iter();
    let value = values.next().filter(|value| !value.is_empty()).ok_or(Unreadable::Missing(name))?;
    if values.next().is_some() {
        return Err(Unreadable::Twice(name));
    }
    Ok(value.clone())
}

/// The text of a header that must come, and once.
fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|value| !value.is_empty()).ok_or(Unreadable::Missing(name))?;
    if values.next().is_some() {
        return Err(Unreadable::Twice(name));
    }
    value.to_str().map_err(|_| Unreadable::Malformed(name))
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
        None => value(&parts.headers, "host"),
    }
}

/// An address alone: no port, no zone, no list.
pub(super) fn address(text: &str, name: &'static str) -> Result<IpAddr, Unreadable> {
    text.parse().map(policies::canonical).map_err(|_| Unreadable::Malformed(name))
}

/// From the right, past the proxies that are trusted, to the address that nobody of them vouches for any more: whatever stands
/// left of it the client wrote (CVE-2022-24112).
fn forwarded_for(text: &str, trusted: &[IpNet]) -> Result<IpAddr, Unreadable> {
    const NAME: &str = "X-Forwarded-For";
    if text.split(',').count() > HOPS_MAX {
        return Err(Unreadable::Malformed(NAME));
    }
    let hops: Vec<IpAddr> = text.split(',').map(|hop| address(hop.trim(), NAME)).collect::<Result<_, _>>()?;
    let vouched = |hop: &&IpAddr| trusted.iter().any(|network| network.contains(*hop));
    let first = hops.iter().rev().find(|hop| !vouched(hop)).or(hops.first());
    first.copied().ok_or(Unreadable::Missing(NAME))
}

fn request_id(headers: &HeaderMap) -> Result<String, Unreadable> {
    const NAME: &str = "X-Portcullis-Request-Id";
    let mut values = headers.get_all(REQUEST_ID).iter();
    let value = values.next().ok_or(Unreadable::Missing(NAME))?;
    if values.next().is_some() {
        return Err(Unreadable::Twice(NAME));
    }
    let text = value.to_str().map_err(|_| Unreadable::Malformed(NAME))?;
    if !REQUEST_ID_BYTES.contains(&text.len()) {
        return Err(Unreadable::Malformed(NAME));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
