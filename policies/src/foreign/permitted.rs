//! Which names an authority may speak for: our own name constraints (compare RFC 5280 §4.2.1.10).
//!
//! They are not the certificate's: those are the authority's own word, and TLS libraries have read them wrongly more than
//! once (RUSTSEC-2026-0098, RUSTSEC-2026-0099).

use std::fmt;
use std::str::FromStr;

use super::name::{ForeignName, NameKind, host};
use crate::text::InvalidText;

/// A name, or all names below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermittedName {
    /// `dns:orders.acme.example`, `uri:spiffe://acme.example/orders`, `email:orders@acme.example`.
    Exactly(ForeignName),
    /// `dns:.acme.example`: every host below, the domain itself not.
    HostsBelow(String),
    /// `uri:spiffe://acme.example/m2m/` or `uri:urn:acme:m2m:`: every URI that begins so.
    UrisBelow(String),
    /// `email:@acme.example`: every mailbox of exactly this host.
    MailboxesAt(String),
    /// `other`: names of kinds that are not judged here may stand in the certificate. They never mean a client.
    Other,
}

impl PermittedName {
    pub(super) fn contains(&self, name: &ForeignName) -> bool {
        match self {
            Self::Exactly(exact) => exact == name,
            Self::HostsBelow(suffix) => {
                name.kind() == NameKind::Dns && is_longer(name.as_str().strip_suffix(suffix.as_str()))
            }
            Self::UrisBelow(prefix) => {
                name.kind() == NameKind::Uri && is_longer(name.as_str().strip_prefix(prefix.as_str()))
            }
            Self::MailboxesAt(suffix) => {
                name.kind() == NameKind::Email && is_longer(name.as_str().strip_suffix(suffix.as_str()))
            }
            Self::Other => false,
        }
    }

    /// Whether names of this SPIFFE trust domain are among it.
    pub(super) fn is_of_trust_domain(&self, trust_domain: &str) -> bool {
        let uri = match self {
            Self::Exactly(name) if name.kind() == NameKind::Uri => name.as_str(),
            Self::UrisBelow(prefix) => prefix,
            _ => return false,
        };
        uri.strip_prefix("spiffe://").is_some_and(|rest| rest.split('/').next() == Some(trust_domain))
    }
}

fn is_longer(rest: Option<&str>) -> bool {
    rest.is_some_and(|rest| !rest.is_empty())
}

impl FromStr for PermittedName {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if text == "other" {
            return Ok(Self::Other);
        }
        read(text).ok_or_else(|| {
            let expected = "dns:host, dns:.domain, uri:scheme://host/path, uri:scheme://host/path/ (all below), \
                            email:name@host, email:@host, or other";
            InvalidText::new("permitted name", text, expected)
        })
    }
}

fn read(text: &str) -> Option<PermittedName> {
    let (kind, rest) = NameKind::split(text)?;
    let below = match kind {
        NameKind::Dns => rest.strip_prefix('.').map(|domain| {
            // Below a single label lies the whole of a top-level domain: other people's companies.
            let domain = host(domain).filter(|domain| domain.contains('.'))?;
            Some(PermittedName::HostsBelow(format!(".{domain}")))
        }),
        NameKind::Uri => rest.strip_suffix(['/', ':']).map(|base| {
            let is_urn = base.starts_with("urn:");
            // "spiffe://" and "urn:acme/" end in the right character and bound nothing.
            let bounds = is_urn == rest.ends_with(':');
            (bounds && ForeignName::new(NameKind::Uri, base).is_ok()).then(|| PermittedName::UrisBelow(rest.to_owned()))
        }),
        NameKind::Email => {
            rest.strip_prefix('@').map(|domain| Some(PermittedName::MailboxesAt(format!("@{}", host(domain)?))))
        }
        NameKind::CommonName => return None,
    };
    match below {
        Some(below) => below,
        None => ForeignName::new(kind, rest).ok().map(PermittedName::Exactly),
    }
}

impl fmt::Display for PermittedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => name.fmt(f),
            Self::HostsBelow(suffix) => write!(f, "dns:{suffix}"),
            Self::UrisBelow(prefix) => write!(f, "uri:{prefix}"),
            Self::MailboxesAt(suffix) => write!(f, "email:{suffix}"),
            Self::Other => f.write_str("other"),
        }
    }
}
