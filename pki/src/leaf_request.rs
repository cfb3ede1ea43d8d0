//! What is to be certified.

use std::net::IpAddr;

use rcgen::SanType;
use rcgen::string::Ia5String;
use time::Duration;

use crate::error::Error;
use crate::key::PublicKey;
use crate::profile::ProfileKind;
use crate::spiffe_id::SpiffeId;
use crate::text;

/// A certificate that is asked for. Nothing in it comes from a certificate request unseen: the caller has decided each field.
#[derive(Debug, Clone)]
pub struct LeafRequest {
    /// For people to read; 1 to 64 characters. Nothing is ever authorised by it.
    pub common_name: String,
    /// The partner's name, for people; 1 to 64 characters.
    pub organization: Option<String>,
    /// Whom the certificate names.
    pub identity: Identity,
    /// The key to certify; from a [`crate::VerifiedRequest`] when the partner made it.
    pub public_key: PublicKey,
    /// From `now` on; `None` for the profile's default. Fractions of a second are dropped.
    pub lifetime: Option<Duration>,
}

/// Whom a certificate names, in its subjectAltName.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A partner's client.
    Client(SpiffeId),
    /// The gateway under these names and addresses, at least one.
    Server { dns: Vec<String>, ips: Vec<IpAddr> },
    /// An OCSP responder, which needs no name.
    Ocsp,
}

impl Identity {
    /// The kind of profile that fits.
    pub fn profile_kind(&self) -> ProfileKind {
        match self {
            Self::Client(_) => ProfileKind::Client,
            Self::Server { .. } => ProfileKind::Server,
            Self::Ocsp => ProfileKind::Ocsp,
        }
    }

    pub(crate) fn subject_alt_names(&self) -> Result<Vec<SanType>, Error> {
        let ia5 = |text: &str| Ia5String::try_from(text).map_err(|_| Error::Lint("a name that is not ASCII"));
        match self {
            Self::Client(id) => Ok(vec![SanType::URI(ia5(&id.to_string())?)]),
            Self::Server { dns, ips } => {
                if dns.is_empty() && ips.is_empty() {
                    let why = "give at least one DNS name or address";
                    return Err(Error::InvalidServerName { text: String::new(), why });
                }
                let dns = dns.iter().map(|name| {
                    check_dns_name(name)?;
                    Ok(SanType::DnsName(ia5(name)?))
                });
                dns.chain(ips.iter().map(|ip| Ok(SanType::IpAddress(*ip)))).collect()
            }
            Self::Ocsp => Ok(Vec::new()),
        }
    }
}

/// RFC 1123 host names in lower case. No wildcards: a listener's host names are exact.
fn check_dns_name(name: &str) -> Result<(), Error> {
    let refuse = |why| Err(Error::InvalidServerName { text: text::shown(name), why });
    if name.is_empty() || name.len() > 253 {
        return refuse("a name has 1 to 253 characters");
    }
    if name.parse::<IpAddr>().is_ok() {
        return refuse("it is an address: give it among the addresses");
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return refuse("each label has 1 to 63 characters, and the name ends without a dot");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return refuse("a label begins or ends with a hyphen");
        }
        if !label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-') {
            return refuse("it may hold only lower-case letters, digits and hyphens (no wildcard)");
        }
    }
    Ok(())
}
