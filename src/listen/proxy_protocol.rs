//! The PROXY protocol, version 2 (haproxy's `doc/proxy-protocol.txt`, §2.2): what a load balancer that passes TCP on says of the
//! caller, before the first byte of TLS.
//!
//! A listener either requires it of every connection, and takes connections from its load balancers only, or it does not know it.
//! There is nothing between: where it is optional, whoever connects directly chooses his address. Version 1 is text without a
//! length, and is not read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The whole header with its addresses and extensions: what the specification's smallest receive buffer holds.
pub const HEADER_BYTES_MAX: usize = 232;
/// The signature, the command, the family and the length.
pub const PREFIX_BYTES: usize = 16;
/// The header is the first thing that a load balancer sends. Who takes longer holds a place for nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(1);

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_LOCAL: u8 = 0x20;
const VERSION_PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// Checksum of the whole header (§2.2.3).
const TYPE_CRC32C: u8 = 0x03;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// The load balancer's own: a health check (`LOCAL`).
    Local,
    /// The one of a caller at this address, in canonical form.
    From(IpAddr),
}

/// Why a header was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    #[error("the connection does not begin with the PROXY protocol, version 2")]
    Signature,
    #[error("the PROXY header has an unknown version or command")]
    Command,
    #[error("the PROXY header speaks of something else than TCP over IPv4 or IPv6")]
    Family,
    #[error("the PROXY header is longer than {HEADER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the PROXY header is cut off, or does not end where it says")]
    Length,
    #[error("the source address in the PROXY header is none that could call")]
    Address,
    #[error("the PROXY header fails its own checksum")]
    Checksum,
    #[error("no PROXY header came in time")]
    Timeout,
    #[error("the connection ended before its PROXY header")]
    Ended,
}

/// Reads the header and not one byte more.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Proxied, ProxyFault> {
    read_within(HEADER_TIMEOUT, stream).await
}

async fn read_within<S: AsyncRead + Unpin>(limit: Duration, stream: &mut S) -> Result<Proxied, ProxyFault> {
    let read = async {
        let mut bytes = [0_u8; HEADER_BYTES_MAX];
        let (prefix, rest) = bytes.split_at_mut(PREFIX_BYTES);
        stream.read_exact(prefix).await.map_err(|_| ProxyFault::Ended)?;
        let length = rest_of(prefix)?;
        let rest = rest.get_mut(..length).ok_or(ProxyFault::TooLong)?;
        stream.read_exact(rest).await.map_err(|_| ProxyFault::Ended)?;
        parse(bytes.get(..PREFIX_BYTES + length).unwrap_or_default())
    };
    tokio::time::timeout(limit, read).await.unwrap_or(Err(ProxyFault::Timeout))
}

/// How many bytes follow the first [`PREFIX_BYTES`].
fn rest_of(prefix: &[u8]) -> Result<usize, ProxyFault> {
    if prefix.get(..SIGNATURE.len()) != Some(SIGNATURE) {
        return Err(ProxyFault::Signature);
    }
    let Some([_, _, high, low]) = prefix.get(SIGNATURE.len()..PREFIX_BYTES) else { return Err(ProxyFault::Length) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if PREFIX_BYTES + length > HEADER_BYTES_MAX { Err(ProxyFault::TooLong) } else { Ok(length) }
}

/// Reads one whole header.
///
/// # Errors
/// Everything but a header that a load balancer would send for a TCP connection. A header that is strange in one thing is not
/// believed in the others.
pub fn parse(header: &[u8]) -> Result<Proxied, ProxyFault> {
    let length = rest_of(header.get(..PREFIX_BYTES.min(header.len())).unwrap_or_default())?;
    let (prefix, rest) = header.split_at_checked(PREFIX_BYTES).ok_or(ProxyFault::Length)?;
    if rest.len() != length {
        return Err(ProxyFault::Length);
    }
    let (command, family) = match prefix.get(SIGNATURE.len()..) {
        Some([command, family, ..]) => (*command, *family),
        _ => return Err(ProxyFault::Length),
    };
    match command {
        // §2.2: what stands after it is to be passed over, whatever it is.
        VERSION_LOCAL => return Ok(Proxied::Local),
        VERSION_PROXY => {}
        _ => return Err(ProxyFault::Command),
    }
    // Source, destination, and a port of each.
    let (source, extensions): (IpAddr, &[u8]) = match family {
        TCP_OVER_IPV4 => {
            let (addresses, extensions) = rest.split_first_chunk::<12>().ok_or(ProxyFault::Length)?;
            let [a, b, c, d, ..] = *addresses;
            (Ipv4Addr::new(a, b, c, d).into(), extensions)
        }
        TCP_OVER_IPV6 => {
            let (addresses, extensions) = rest.split_first_chunk::<36>().ok_or(ProxyFault::Length)?;
            let (source, _) = addresses.split_first_chunk::<16>().ok_or(ProxyFault::Length)?;
            (Ipv6Addr::from(*source).into(), extensions)
        }
        _ => return Err(ProxyFault::Family),
    };
    check_extensions(header, extensions)?;
    let source = policies::canonical(source);
    let could_call = !source.is_unspecified() && !source.is_multicast() && source != IpAddr::V4(Ipv4Addr::BROADCAST);
    if could_call { Ok(Proxied::From(source)) } else { Err(ProxyFault::Address) }
}

/// Type, length, value, up to the very end; a checksum must be right. What else they say is not used: who calls is proved in TLS,
/// not here.
fn check_extensions(header: &[u8], extensions: &[u8]) -> Result<(), ProxyFault> {
    let mut rest = extensions;
    let mut checked = false;
    while let Some(([kind, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, after) = after.split_at_checked(length).ok_or(ProxyFault::Length)?;
        if *kind == TYPE_CRC32C {
            let stored: [u8; 4] = value.try_into().map_err(|_| ProxyFault::Length)?;
            let at = header.len() - after.len() - value.len();
            if checked || crc32c_without(header, at) != u32::from_be_bytes(stored) {
                return Err(ProxyFault::Checksum);
            }
            checked = true;
        }
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(ProxyFault::Length) }
}

/// CRC-32C (RFC 9260, appendix A) of the header with the four bytes at `at`, where the checksum itself stands, taken as zero.
fn crc32c_without(header: &[u8], at: usize) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for (index, byte) in header.iter().enumerate() {
        crc ^= if (at..at + 4).contains(&index) { 0 } else { u32::from(*byte) };
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ REVERSED_POLYNOMIAL } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests;
