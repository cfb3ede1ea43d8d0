//! The identity that a client certificate carries.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::text;

const MAX_SEGMENT: usize = 128;

/// `spiffe://<trust-domain>/partner/<partner>/client/<client>`, the one URI in a client certificate's subjectAltName.
///
/// Reading is strict: exactly these five parts, the characters that SPIFFE-ID §2 allows and no others. A wildcard, a percent
/// escape, `..`, a port or a query would let two texts mean one client, or one text mean many.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    trust_domain: String,
    partner: String,
    client: String,
}

impl SpiffeId {
    /// Builds the identity from its parts.
    ///
    /// # Errors
    /// [`Error::InvalidSpiffeId`] when the trust domain is not a lower-case DNS-like name, or when a part is empty, longer than
    /// 128 characters, made of dots, or holds anything but letters, digits, `-`, `_` and `.`.
    pub fn new(trust_domain: &str, partner: &str, client: &str) -> Result<Self, Error> {
        let refuse = |why| Error::InvalidSpiffeId {
            text: text::shown(&format!("spiffe://{trust_domain}/partner/{partner}/client/{client}")),
            why,
        };
        check_trust_domain(trust_domain).map_err(refuse)?;
        check_segment(partner).map_err(refuse)?;
        check_segment(client).map_err(refuse)?;
        Ok(Self { trust_domain: trust_domain.into(), partner: partner.into(), client: client.into() })
    }

    /// The trust domain: one installation, or one environment of it.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The partner company.
    pub fn partner(&self) -> &str {
        &self.partner
    }

    /// The client of that partner (RFC 6749 §2.2).
    pub fn client(&self) -> &str {
        &self.client
    }
}

fn check_trust_domain(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 255 {
        return Err("the trust domain must have 1 to 255 characters");
    }
    if !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.')) {
        return Err("the trust domain may hold only lower-case letters, digits, `-`, `_` and `.`");
    }
    if name.split('.').any(str::is_empty) {
        return Err("the trust domain has an empty label");
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), &'static str> {
    if segment.is_empty() || segment.len() > MAX_SEGMENT {
        return Err("partner and client must have 1 to 128 characters");
    }
    if !segment.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')) {
        return Err("partner and client may hold only letters, digits, `-`, `_` and `.`");
    }
    if segment.bytes().all(|c| c == b'.') {
        return Err("partner and client may not be made of dots");
    }
    Ok(())
}

impl FromStr for SpiffeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why| Error::InvalidSpiffeId { text: text::shown(text), why };
        let rest = text.strip_prefix("spiffe://").ok_or_else(|| refuse("it does not begin with spiffe://"))?;
        let mut parts = rest.split('/');
        let mut next = || parts.next().unwrap_or_default();
        let (trust_domain, partner_word, partner, client_word, client) = (next(), next(), next(), next(), next());
        if (partner_word, client_word) != ("partner", "client") || parts.next().is_some() {
            return Err(refuse("the path has another shape"));
        }
        check_trust_domain(trust_domain).map_err(refuse)?;
        check_segment(partner).map_err(refuse)?;
        check_segment(client).map_err(refuse)?;
        Ok(Self { trust_domain: trust_domain.into(), partner: partner.into(), client: client.into() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/partner/{}/client/{}", self.trust_domain, self.partner, self.client)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({self})")
    }
}

text::serde_as_text!(SpiffeId);
