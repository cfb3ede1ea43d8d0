//! Subject and authority key identifiers.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

use crate::error::Error;
use crate::text;

/// Foreign authorities choose the length; longer than a SHA-512 is somebody's mistake.
const MAX_OCTETS: usize = 64;

/// The octets of a subjectKeyIdentifier (RFC 5280 §4.2.1.2): names the key that signed a certificate.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<[u8]>);

impl KeyId {
    /// Takes the identifier that a certificate carries, 1 to 64 octets.
    pub fn from_bytes(octets: &[u8]) -> Result<Self, Error> {
        if octets.is_empty() || octets.len() > MAX_OCTETS {
            return Err(Error::InvalidKeyId);
        }
        Ok(Self(octets.into()))
    }

    /// RFC 7093 §2 method 1: the first 160 bits of SHA-256 over the value of the subjectPublicKey BIT STRING (not over the whole
    /// SubjectPublicKeyInfo, and not SHA-1).
    pub(crate) fn of_subject_public_key(bits: &[u8]) -> Self {
        Self(digest::digest(&digest::SHA256, bits).as_ref()[..20].into())
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_hex(f, &self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(&text::read_hex(text).ok_or(Error::InvalidKeyId)?)
    }
}

text::serde_as_text!(KeyId);
