//! Just enough of RFC 3986 to refuse an upstream or a JWKS address that does not mean what it seems to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest URL in a document, in bytes.
pub(crate) const MAX_URL_BYTES: usize = 2_048;

/// A checked `http` or `https` URL without credentials and fragment.
pub(crate) struct HttpUrl {
    /// Whether the scheme is `https`.
    pub(crate) is_https: bool,
    /// The address, if the host is a literal.
    pub(crate) address: Option<IpAddr>,
    /// Whether there is a `?`.
    pub(crate) has_query: bool,
}

impl HttpUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong, as a sentence for the author.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        if url.len() > MAX_URL_BYTES {
            return Err(format!("a URL has at most {MAX_URL_BYTES} bytes"));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
            return Err(format!("{url:?} holds characters that a URL does not"));
        }
        let (is_https, rest) = match url.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(format!("{url:?} must begin with https:// or http://")),
        };
        if rest.contains('#') {
            return Err(format!("{url:?} has a fragment"));
        }
        let (before_query, has_query) = rest.split_once('?').map_or((rest, false), |(before, _)| (before, true));
        let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
        // `https://partner.example@attacker.example/`: what looks like the host is a user name.
        if authority.contains('@') {
            return Err("a URL here carries no credentials".to_owned());
        }
        let address = check_authority(authority).ok_or_else(|| format!("{url:?} has no valid host and port"))?;
        let is_odd = |(position, segment): (usize, &str)| {
            matches!(segment, "." | "..") || (segment.is_empty() && position < path.matches('/').count())
        };
        if path.contains([';', '%']) || path.split('/').enumerate().any(is_odd) {
            return Err(format!("the path of {url:?} is not in normal form: no '//', dot segments, ';' or '%'"));
        }
        Ok(Self { is_https, address, has_query })
    }
}

/// `host[:port]`: the literal address if it is one, or `None` if the whole is invalid.
fn check_authority(authority: &str) -> Option<Option<IpAddr>> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (literal, after) = rest.split_once(']')?;
            let address = literal.parse::<Ipv6Addr>().ok()?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            check_port(port)?;
            return Some(Some(IpAddr::V6(address)));
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    check_port(port)?;
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    // A last label of digits makes an address, and only the dotted decimal form: 127.1 and 0177.0.0.1 mean different
    // hosts to different programs.
    if labels.clone().next_back()?.bytes().next()?.is_ascii_digit() {
        return host.parse::<Ipv4Addr>().ok().map(|address| Some(IpAddr::V4(address)));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    (host.len() <= 253 && labels.into_iter().all(is_label)).then_some(None)
}

fn check_port(port: Option<&str>) -> Option<()> {
    let Some(port) = port else { return Some(()) };
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    (is_plain && port.parse::<u16>().is_ok()).then_some(())
}
