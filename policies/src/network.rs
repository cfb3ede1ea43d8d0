//! Where a caller may come from: CIDRs with exceptions.

mod allowlist;
mod public;
mod ranges;

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::text::{self, InvalidText};
pub use allowlist::Allowlist;
pub use public::is_public_address;
use ranges::Ranges;

/// Most CIDRs in one network, exceptions counted separately.
pub const MAX_CIDRS: usize = 100_000;

/// The one form in which addresses are compared: an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is the IPv4 address.
///
/// A dual-stack socket sees `::ffff:203.0.113.7` where an IPv4 socket sees `203.0.113.7`; without folding, one of the
/// two walks around an exception or is kept out of its own network.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// A named set of addresses: CIDRs (RFC 4632) minus exceptions.
#[derive(Clone, PartialEq, Eq)]
pub struct Network {
    name: String,
    cidrs: Vec<IpNet>,
    except: Vec<IpNet>,
    ranges: Ranges,
}

impl Network {
    /// A network of `cidrs` without `except`; IPv4-mapped entries become IPv4.
    ///
    /// # Errors
    /// A name outside the grammar, no CIDR at all, more than [`MAX_CIDRS`], or host bits set.
    pub fn new(name: &str, cidrs: Vec<IpNet>, except: Vec<IpNet>) -> Result<Self, InvalidText> {
        if !text::is_name(name) {
            return Err(InvalidText::new("network name", name, text::NAME_GRAMMAR));
        }
        if cidrs.is_empty() || cidrs.len() > MAX_CIDRS || except.len() > MAX_CIDRS {
            return Err(InvalidText::new("network", name, "1 to 100000 CIDRs, at most 100000 exceptions"));
        }
        let cidrs = cidrs.into_iter().map(check_cidr).collect::<Result<Vec<_>, _>>()?;
        let except = except.into_iter().map(check_cidr).collect::<Result<Vec<_>, _>>()?;
        let ranges = Ranges::of(&cidrs, &except);
        Ok(Self { name: name.to_owned(), cidrs, except, ranges })
    }

    /// The name that clients and routes refer to.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it includes, as given, in canonical form.
    #[must_use]
    pub fn cidrs(&self) -> &[IpNet] {
        &self.cidrs
    }

    /// What it leaves out again.
    #[must_use]
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }

    /// Whether it holds every address of IPv4 or of IPv6, however it is written.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.ranges.hold_a_family()
    }

    /// Whether its exceptions take all of its CIDRs.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The CIDR that holds a canonical address.
    pub(crate) fn entry_of(&self, ip: IpAddr) -> Option<&IpNet> {
        holding(&self.cidrs, canonical(ip))
    }

    /// The exception that holds a canonical address.
    pub(crate) fn exception_of(&self, ip: IpAddr) -> Option<&IpNet> {
        holding(&self.except, canonical(ip))
    }

    /// Whether some address is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.ranges.intersects(&other.ranges)
    }

    /// Whether `ip` is inside a CIDR and outside every exception. One search, however long the lists are.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.ranges.contains(canonical(ip))
    }
}

/// For explanations only: a list is looked through, and a long one is not worth it for each of a flood of denials.
fn holding(cidrs: &[IpNet], ip: IpAddr) -> Option<&IpNet> {
    const MAX_LOOKED_THROUGH: usize = 1_000;
    if cidrs.len() > MAX_LOOKED_THROUGH { None } else { cidrs.iter().find(|cidr| cidr.contains(&ip)) }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("name", &self.name)
            .field("cidrs", &self.cidrs)
            .field("except", &self.except)
            .finish()
    }
}

/// Reads `203.0.113.0/24` or a single address, and canonicalises it.
///
/// # Errors
/// Anything that is not an address with an optional prefix length, host bits that are set (`203.0.113.7/24` might mean
/// the host or the network, and guessing wrong opens 255 addresses), and zone ids (`fe80::1%eth0` names an interface of
/// one machine, not a partner).
pub fn parse_cidr(cidr: &str) -> Result<IpNet, InvalidText> {
    if cidr.contains('%') {
        return Err(InvalidText::new("CIDR", cidr, "zone ids are not allowed"));
    }
    let parsed = match cidr.parse::<IpAddr>() {
        Ok(host) => Some(IpNet::from(host)),
        // `IpNet` alone would read the prefix length `+24` or `024`.
        Err(_) => cidr
            .rsplit_once('/')
            .filter(|(_, length)| {
                length.bytes().all(|byte| byte.is_ascii_digit()) && (*length == "0" || !length.starts_with('0'))
            })
            .and_then(|_| cidr.parse::<IpNet>().ok()),
    };
    check_cidr(parsed.ok_or_else(|| InvalidText::new("CIDR", cidr, "write it like 203.0.113.0/24 or 2001:db8::/48"))?)
}

/// Refuses host bits, folds IPv4-mapped networks.
fn check_cidr(cidr: IpNet) -> Result<IpNet, InvalidText> {
    if cidr.addr() != cidr.network() {
        let (network, host) = (cidr.trunc(), IpNet::from(cidr.addr()));
        let expected = format!("host bits are set; the network is {network}, the one host is {host}");
        return Err(InvalidText::new("CIDR", &cidr.to_string(), expected));
    }
    const MAPPED_PREFIX_BITS: u8 = 96;
    if let (IpNet::V6(mapped), IpAddr::V4(address)) = (cidr, canonical(cidr.addr()))
        && let Some(length) = mapped.prefix_len().checked_sub(MAPPED_PREFIX_BITS)
        && let Ok(folded) = Ipv4Net::new(address, length)
    {
        return Ok(IpNet::V4(folded));
    }
    Ok(cidr)
}
