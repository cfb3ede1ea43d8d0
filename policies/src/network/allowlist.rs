//! The networks one client, credential or route may be called from.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::Network;

/// Where a call may come from: anywhere, or any of some networks. A clone costs one reference count.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Allowlist(Option<Arc<[Arc<Network>]>>);

impl Allowlist {
    /// No restriction.
    #[must_use]
    pub const fn anywhere() -> Self {
        Self(None)
    }

    /// Any of `networks`. An empty list is *nowhere*: only [`Allowlist::anywhere`] lifts the restriction, so that a
    /// list that lost its last entry closes instead of opening.
    #[must_use]
    pub fn of(networks: Vec<Arc<Network>>) -> Self {
        Self(Some(networks.into()))
    }

    /// Whether a call from `ip` is allowed.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.is_none() || self.matching(ip).is_some()
    }

    /// The first network that holds `ip`; `None` also when there is no restriction.
    #[must_use]
    pub fn matching(&self, ip: IpAddr) -> Option<&Network> {
        self.networks().find(|network| network.contains(ip))
    }

    /// The entry that decides about `ip`, for people: `, in acme-offices (203.0.113.0/24)`. Empty where there is no restriction.
    #[must_use]
    pub(crate) fn verdict(&self, ip: IpAddr) -> String {
        if self.is_anywhere() {
            return String::new();
        }
        if let Some(network) = self.matching(ip) {
            let entry = network.entry_of(ip).map_or_else(String::new, |cidr| format!(" ({cidr})"));
            return format!(", in {}{entry}", network.name());
        }
        let left_out = self.networks().find_map(|network| Some((network.name(), network.exception_of(ip)?)));
        left_out.map_or_else(
            || ", in none of them".to_owned(),
            |(name, except)| format!(", left out of {name} by its exception {except}"),
        )
    }

    /// Whether some address is allowed by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.is_anywhere(), other.is_anywhere()) {
            (true, true) => true,
            (true, false) => other.networks().any(|network| !network.is_nowhere()),
            (false, true) => self.networks().any(|network| !network.is_nowhere()),
            (false, false) => self.networks().any(|one| other.networks().any(|other| one.overlaps(other))),
        }
    }

    /// Whether there is no restriction.
    #[must_use]
    pub const fn is_anywhere(&self) -> bool {
        self.0.is_none()
    }

    /// The networks, in the order given; none if there is no restriction.
    pub fn networks(&self) -> impl Iterator<Item = &Network> {
        self.0.iter().flat_map(|networks| networks.iter()).map(Arc::as_ref)
    }

    /// The names of the networks.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.networks().map(Network::name)
    }
}

impl fmt::Display for Allowlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_anywhere() {
            return f.write_str("anywhere");
        }
        let names: Vec<&str> = self.names().collect();
        if names.is_empty() { f.write_str("nowhere") } else { f.write_str(&names.join(", ")) }
    }
}

impl fmt::Debug for Allowlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Allowlist({self})")
    }
}
