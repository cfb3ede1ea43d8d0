//! Who called, where a proxy stands between: the hops of `X-Forwarded-For` and of `Forwarded` (RFC 7239), walked from the right.
//!
//! Each proxy appends the address that it was called from. So the right end was written by the proxy that calls us, and the left
//! end by whoever called first, who may write there what he likes. From the right, the first address that is not itself a trusted
//! proxy is the caller; nothing to its left is believed (APISIX CVE-2022-24112 and many others read the left end).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::network::{Network, canonical};
use crate::text::InvalidText;

/// Most hops of one request. A chain of proxies has a handful; more is somebody who makes us work.
pub const MAX_HOPS: usize = 32;

/// The header in which the proxies of a listener say who called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, what nearly every proxy writes.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// The header's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// Who called, by the lines of this header that `peer` sent: `peer` is a proxy that is trusted. Without a line it calls for
    /// itself. When every hop is trusted, the one farthest away is the caller.
    ///
    /// # Errors
    /// More than one line: of two, one program reads the first and another the last. Any hop that is not an address, whoever
    /// wrote it: a request whose way cannot be read was made by nobody that we could name.
    pub fn caller<'a>(
        self,
        lines: impl IntoIterator<Item = &'a [u8]>,
        peer: IpAddr,
        trusted: &TrustedProxies,
    ) -> Result<IpAddr, ForwardedFault> {
        let mut lines = lines.into_iter();
        let Some(line) = lines.next() else { return Ok(canonical(peer)) };
        if lines.next().is_some() {
            return Err(ForwardedFault::Repeated);
        }
        let line = std::str::from_utf8(line).map_err(|_| ForwardedFault::Hop)?;
        let mut walk = Walk { trusted, farthest: None, caller: None, hops: 0 };
        match self {
            Self::XForwardedFor => {
                for hop in line.split(',') {
                    walk.hop(address(hop.trim_matches([' ', '\t'])).ok_or(ForwardedFault::Hop)?)?;
                }
            }
            Self::Forwarded => {
                let mut rest = line;
                while let Some((hop, after)) = element(rest) {
                    walk.hop(hop)?;
                    match after {
                        Some(after) => rest = after,
                        None => return walk.end(),
                    }
                }
                return Err(ForwardedFault::Hop);
            }
        }
        walk.end()
    }
}

impl fmt::Display for ForwardedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::Forwarded => "Forwarded",
        })
    }
}

/// Why nobody can say who called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForwardedFault {
    /// The header came more than once.
    #[error("the header that names the caller was sent more than once")]
    Repeated,
    /// Something in it is not an address.
    #[error("the header that names the caller holds something that is not an address")]
    Hop,
    /// More than [`MAX_HOPS`].
    #[error("the header that names the caller has more than {MAX_HOPS} hops")]
    TooMany,
}

/// The proxies whose word on who called is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Network);

impl TrustedProxies {
    /// These networks. `everyone` must say so where they are all of IPv4 or all of IPv6: then every caller chooses his own
    /// address, and no allowlist means anything (oauth2-proxy CVE-2026-40575 trusted all by default).
    ///
    /// # Errors
    /// None, too many, host bits set, or everyone without saying so.
    pub fn new(cidrs: Vec<IpNet>, everyone: bool) -> Result<Self, InvalidText> {
        let network = Network::new("trusted-proxies", cidrs, Vec::new())?;
        if network.is_everyone() && !everyone {
            let expected =
                "they hold every address of a family, so that every caller could choose his own; name the proxies";
            let text = network.cidrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(InvalidText::new("list of trusted proxies", &text, expected));
        }
        Ok(Self(network))
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(ip)
    }

    /// The networks, as given.
    #[must_use]
    pub fn cidrs(&self) -> &[IpNet] {
        self.0.cidrs()
    }
}

/// From left to right with the result of right to left: the last hop that is not trusted, or the first of all.
struct Walk<'t> {
    trusted: &'t TrustedProxies,
    farthest: Option<IpAddr>,
    caller: Option<IpAddr>,
    hops: usize,
}

impl Walk<'_> {
    fn hop(&mut self, hop: IpAddr) -> Result<(), ForwardedFault> {
        self.hops += 1;
        if self.hops > MAX_HOPS {
            return Err(ForwardedFault::TooMany);
        }
        self.farthest.get_or_insert(hop);
        if !self.trusted.contains(hop) {
            self.caller = Some(hop);
        }
        Ok(())
    }

    fn end(self) -> Result<IpAddr, ForwardedFault> {
        self.caller.or(self.farthest).ok_or(ForwardedFault::Hop)
    }
}

/// One address as proxies write it, canonical: `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:4711`. Nothing else is one: no host names, no zone ids (they name an interface of one machine), no other
/// bases or lengths (`0x7f.1` is 127.0.0.1 to some programs), no blanks.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    // Longer than any of them; `fe80::1%eth0` must not come as far as a parser that takes it.
    const MAX_BYTES: usize = 64;
    if text.len() > MAX_BYTES || text.contains('%') {
        return None;
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(canonical(ip));
    }
    if let Some(bare) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return bare.parse::<std::net::Ipv6Addr>().ok().map(|ip| canonical(ip.into()));
    }
    // A port is a plain number: `SocketAddr` alone would read `+80`.
    let (_, port) = text.rsplit_once(':')?;
    let plain = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse::<SocketAddr>().ok()).flatten().map(|place| canonical(place.ip()))
}

/// The `for` of the first element of `text` (RFC 7239 §4), and what follows the comma, if there is one.
fn element(text: &str) -> Option<(IpAddr, Option<&str>)> {
    let mut rest = text;
    let mut found = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") && found.replace(node(value)?).is_some() {
            return None;
        }
        let after = after.trim_start_matches([' ', '\t']);
        match after.as_bytes().first() {
            None => return found.map(|hop| (hop, None)),
            Some(b',') => return found.map(|hop| (hop, after.get(1..))),
            Some(b';') => rest = after.get(1..)?,
            Some(_) => return None,
        }
    }
}

/// A token or a quoted string without escapes, and the rest.
fn value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"')?;
        let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\');
        return plain.then_some((value, rest));
    }
    let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// RFC 7239 §6: IPv6 stands in brackets here, and a port may be hidden behind a name. An unknown or hidden address names nobody.
fn node(text: &str) -> Option<IpAddr> {
    let bare =
        text.rsplit_once(":_").filter(|(_, hidden)| hidden.bytes().all(is_hidden)).map_or(text, |(bare, _)| bare);
    let v6_without_brackets = !bare.starts_with('[') && bare.matches(':').count() > 1;
    if v6_without_brackets { None } else { address(bare) }
}

fn is_hidden(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
