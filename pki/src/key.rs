//! Keys: which kinds are accepted, how private ones are made and kept, how public ones are checked.

mod private;
mod public;
mod rsa;

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::text;

pub use private::PrivateKey;
pub use public::PublicKey;

pub(crate) use public::kind_of;

/// The kinds of keys that certificates are issued for, written in kebab-case: `ecdsa-p256`.
///
/// An RSA key of another size counts as the largest kind that is not larger than it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// NIST P-256: the default; every TLS client of the last ten years has it.
    EcdsaP256,
    /// NIST P-384: for roots.
    EcdsaP384,
    /// Small and fast, but not in Windows' TLS and old Java.
    Ed25519,
    /// 112 bits of strength, which NIST allows until 2030.
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

impl KeyAlgorithm {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// The kebab-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
        }
    }

    /// Whether it is RSA of any size.
    pub fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        known.ok_or_else(|| Error::UnknownAlgorithm(text::shown(text)))
    }
}

text::serde_as_text!(KeyAlgorithm);
