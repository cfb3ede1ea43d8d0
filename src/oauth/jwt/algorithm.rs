//! The signature algorithms that are accepted.

use std::fmt;
use std::str::FromStr;

use super::TokenFault;

/// A JWS algorithm (RFC 7518 §3.1, RFC 8037). Asymmetric ones only: there is no `none` and no HMAC to be confused with, so
/// a public key can never be taken for a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Those that an RSA key can make.
    pub(super) const OF_RSA: [Self; 6] = [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512];

    /// The name in the `alg` member: `ES256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = TokenFault;

    /// Case-sensitive, as RFC 7515 §4.1.1 says: `nOnE` is as unknown as `none`.
    fn from_str(name: &str) -> Result<Self, TokenFault> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(TokenFault::Algorithm)
    }
}
