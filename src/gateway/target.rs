//! What is under judgement: where it comes from, what it asks for, what it presents. Read once, in one spelling.

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, Uri};

use super::path::NormalPath;
use super::stop::{Malformed, Stop};
use crate::config::canonical_hostname;
use crate::listen::{Connection, HEADERS_MAX, PeerCertificate};

/// Names of query parameters in which clients of other gateways send credentials. In a URL they end up in logs.
const CREDENTIAL_PARAMETERS: &[&str] = &["access_token", "api_key", "apikey", "x-api-key"];

/// The request under judgement.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub listener: &'a str,
    pub method: &'a Method,
    pub path: NormalPath<'a>,
    pub presented: Presented<'a>,
}

/// What arrived, not yet believed.
#[derive(Debug, Default)]
pub(super) struct Presented<'a> {
    pub certificate: Option<&'a PeerCertificate>,
    pub api_key: Option<&'a str>,
    pub authorization: Option<PresentedAuthorization<'a>>,
}

/// The Authorization header.
#[derive(Clone, Copy)]
pub(super) enum PresentedAuthorization<'a> {
    Bearer(&'a str),
    /// A scheme that no route takes.
    Other,
}

/// A token must not reach a log by way of `Debug`.
impl std::fmt::Debug for PresentedAuthorization<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Bearer(_) => "Bearer",
            Self::Other => "Other",
        })
    }
}

impl<'a> Target<'a> {
    /// Reads the target, or says why the request is refused whoever sent it.
    pub(super) fn read(connection: &'a Connection, parts: &'a Parts) -> Result<Self, Stop> {
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(Malformed::Method(parts.method.to_string()).into());
        }
        check_host(connection, &parts.uri, &parts.headers)?;
        let path = NormalPath::parse(parts.uri.path())?;
        // HTTP/2 has no request line that would keep these out.
        if parts.uri.query().is_some_and(|query| !query.bytes().all(|byte| (0x21..0x7f).contains(&byte))) {
            return Err(Malformed::Framing(crate::listen::Violation::RequestLine).into());
        }
        if parts.headers.len() > HEADERS_MAX {
            return Err(Malformed::Framing(crate::listen::Violation::TooLarge).into());
        }
        if credential_in_query(parts.uri.query()) {
            return Err(Malformed::CredentialInUrl.into());
        }
        let presented = Presented {
            certificate: connection.certificate.as_deref(),
            api_key: single(&parts.headers, &HeaderName::from_static("x-api-key"), "x-api-key header")?,
            authorization: single(&parts.headers, &AUTHORIZATION, "Authorization header")?.map(authorization),
        };
        Ok(Self { listener: &connection.listener.config.name, method: &parts.method, path, presented })
    }
}

/// The value of a header that may come once: of two, one program reads the first and another the last.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName, what: &'static str) -> Result<Option<&'a str>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed::DuplicateCredential(what));
    }
    first.to_str().map(Some).map_err(|_| Malformed::CredentialEncoding(what))
}

fn authorization(value: &str) -> PresentedAuthorization<'_> {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            PresentedAuthorization::Bearer(token.trim_matches(' '))
        }
        _ => PresentedAuthorization::Other,
    }
}

fn credential_in_query(query: Option<&str>) -> bool {
    query.is_some_and(|query| {
        query.split('&').any(|pair| {
            let name = pair.split('=').next().unwrap_or(pair);
            let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            CREDENTIAL_PARAMETERS.iter().any(|parameter| name.eq_ignore_ascii_case(parameter))
        })
    })
}

/// One listener answers for its own names only, and Host, `:authority` and an absolute target must agree: which of them
/// counts differs between programs.
fn check_host(connection: &Connection, uri: &Uri, headers: &HeaderMap) -> Result<(), Malformed> {
    let mut hosts = headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(Malformed::Framing(crate::listen::Violation::Host));
    }
    let ours = &connection.listener.config.hostnames;
    let header = match header {
        Some(value) => Some(place_of(ours, value.to_str().map_err(|_| Malformed::Misdirected)?)?),
        None => None,
    };
    let authority = match uri.authority() {
        Some(authority) => Some(place_of(ours, authority.as_str())?),
        None => None,
    };
    match (header, authority) {
        (Some(header), Some(authority)) if header != authority => return Err(Malformed::HostMismatch),
        (None, None) => return Err(Malformed::Framing(crate::listen::Violation::Host)),
        _ => {}
    }
    if connection.server_name.as_ref().is_some_and(|name| !ours.iter().any(|known| **known == **name)) {
        return Err(Malformed::Misdirected);
    }
    Ok(())
}

/// Which of our hosts `host[:port]` names.
fn place_of(ours: &[String], text: &str) -> Result<usize, Malformed> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(Malformed::Misdirected)?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    // What follows the host is a port and nothing else: of `ours:443, other` and `ours:443@other`, some programs take the other.
    let digits = if port.is_empty() { "" } else { port.strip_prefix(':').ok_or(Malformed::Misdirected)? };
    if !digits.is_empty() && (!digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.parse::<u16>().is_err()) {
        return Err(Malformed::Misdirected);
    }
    let place = |host: &str| ours.iter().position(|name| name == host);
    // Most clients write the name as we do; only the others cost an allocation.
    place(host).or_else(|| canonical_hostname(host).and_then(|host| place(&host))).ok_or(Malformed::Misdirected)
}
