//! SHA-256 digests that name a certificate or a public key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;
use crate::text;

/// SHA-256 of a certificate's DER: names one certificate and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

/// SHA-256 of a DER SubjectPublicKeyInfo: names one public key, whatever certificate carries it.
///
/// A type of its own, since a lookup of a key among certificates would never match and so never refuse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpkiFingerprint([u8; 32]);

impl Thumbprint {
    /// The form of the `cnf` claim `x5t#S256` (RFC 8705 §3.1): base64url without padding, 43 characters.
    pub fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

macro_rules! sha256_name {
    ($name:ident) => {
        impl $name {
            /// Digests the DER.
            pub fn of(der: &[u8]) -> Self {
                let mut octets = [0; 32];
                octets.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
                Self(octets)
            }

            /// The 32 octets.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(octets: [u8; 32]) -> Self {
                Self(octets)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                text::write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let octets = text::read_hex(text).ok_or(Error::InvalidThumbprint)?;
                octets.try_into().map(Self).map_err(|_| Error::InvalidThumbprint)
            }
        }

        text::serde_as_text!($name);
    };
}

sha256_name!(Thumbprint);
sha256_name!(SpkiFingerprint);
