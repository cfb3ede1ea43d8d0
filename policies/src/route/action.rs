//! What a permitted request does.

use std::fmt;

use crate::url::HttpUrl;

/// Most headers of a mock.
pub const MAX_MOCK_HEADERS: usize = 32;
/// Longest body of a mock, in bytes.
pub const MAX_MOCK_BODY_BYTES: usize = 256 * 1024;
/// Time an upstream has to answer unless a route says otherwise (API Gateway allows 29).
pub const DEFAULT_TIMEOUT_SECONDS: u32 = 30;
/// Most time a route may give its upstream.
pub const MAX_TIMEOUT_SECONDS: u32 = 3_600;
/// Time to connect to an upstream unless a route says otherwise.
pub const DEFAULT_CONNECT_TIMEOUT_SECONDS: u32 = 5;
/// Most time a route may give a connect.
pub const MAX_CONNECT_TIMEOUT_SECONDS: u32 = 60;

/// What happens once there is a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Answer from the document.
    Mock(Mock),
    /// Forward.
    Proxy(Proxy),
    /// A service of Portcullis itself, such as the admin API. No document can spell it, so no policy can expose one.
    Service(&'static str),
}

/// A fixed answer (API Gateway's MOCK integration).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mock {
    /// 200 to 599.
    pub status: u16,
    /// Names and values; framing and hop-by-hop headers are refused.
    pub headers: Vec<(String, String)>,
    /// Sent as it is.
    pub body: String,
}

/// Forwarding to an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `http(s)://host[:port][/base]`, without credentials, query or fragment.
    pub upstream: String,
    /// For the whole exchange.
    pub timeout_seconds: u32,
    /// For the connection alone.
    pub connect_timeout_seconds: u32,
    /// Whether the upstream sees the caller's Host instead of its own.
    pub preserve_host: bool,
}

impl Proxy {
    /// Forwarding with the default timeouts.
    ///
    /// # Errors
    /// What is wrong with `upstream`.
    pub fn to(upstream: &str) -> Result<Self, String> {
        let url = HttpUrl::parse(upstream)?;
        if url.has_query {
            return Err("an upstream has no query".to_owned());
        }
        Ok(Self {
            upstream: upstream.to_owned(),
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
            connect_timeout_seconds: DEFAULT_CONNECT_TIMEOUT_SECONDS,
            preserve_host: false,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mock(mock) => {
                write!(f, "mock {} {:?}", mock.status, mock.body)?;
                mock.headers.iter().try_for_each(|(name, value)| write!(f, " {name}: {value}"))
            }
            Self::Proxy(proxy) => {
                let host = if proxy.preserve_host { ", host preserved" } else { "" };
                let (upstream, total, connect) =
                    (&proxy.upstream, proxy.timeout_seconds, proxy.connect_timeout_seconds);
                write!(f, "proxy {upstream}, {total} s, connect {connect} s{host}")
            }
            Self::Service(name) => write!(f, "service {name}"),
        }
    }
}

/// A final status that an HTTP server may send (RFC 9110 §15): 1xx would leave the caller waiting.
pub(crate) fn check_mock_status(status: i64) -> Option<u16> {
    u16::try_from(status).ok().filter(|status| (200..=599).contains(status))
}

/// Refuses what would break the framing of the answer, or end in response splitting (CWE-113).
pub(crate) fn check_mock_header(name: &str, value: &str) -> Result<(), String> {
    const FRAMING: [&str; 9] = [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let is_token =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !is_token {
        return Err(format!("{name:?} is not a header name"));
    }
    if FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("header {name:?} belongs to the connection and cannot be set"));
    }
    let is_value = value.bytes().all(|byte| byte == b'\t' || (0x20..0x7F).contains(&byte)) && value.trim() == value;
    if is_value {
        Ok(())
    } else {
        Err(format!("the value of header {name:?} must be visible ASCII without line breaks or blanks at its ends"))
    }
}
