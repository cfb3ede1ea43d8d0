//! Why a token or a key is refused.

use thiserror::Error;

/// Why a token is refused. For the log and for `token inspect`; the caller of the gate only ever reads `invalid_token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenFault {
    #[error("the token is longer than {} bytes", super::MAX_TOKEN_BYTES)]
    TooLong,
    #[error("the token is not a compact JWS: three parts, divided by two dots")]
    NotCompact,
    #[error("a part of the token is not canonical base64url without padding")]
    Encoding,
    #[error("the header or the payload is not a JSON object whose members have different names")]
    Json,
    #[error("the header member {0} is not acceptable")]
    Header(&'static str),
    #[error("the algorithm is not one of those that are accepted here")]
    Algorithm,
    #[error("no key of the issuer fits the token")]
    NoKey,
    #[error("the signature does not verify")]
    Signature,
    #[error("the claim {0} is missing")]
    MissingClaim(&'static str),
    #[error("the claim {0} has a form that is not acceptable")]
    MalformedClaim(&'static str),
    #[error("the token is of another issuer")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token is not an access token")]
    NotAccessToken,
}

impl TokenFault {
    /// Whether the signature was good and only the claims were refused.
    pub fn is_about_claims(self) -> bool {
        matches!(
            self,
            Self::MissingClaim(_) | Self::MalformedClaim(_) | Self::Issuer | Self::Audience | Self::NotAccessToken
        )
    }
}

/// Why a JSON Web Key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyFault {
    #[error("the key's member {0} is missing or malformed")]
    Malformed(&'static str),
    #[error("the key is of a kind that is not accepted")]
    Kind,
    #[error("the key is not for signatures")]
    Use,
    #[error("the key's algorithm is not accepted or does not fit its kind")]
    Algorithm,
    #[error("the key is too weak")]
    Weak,
    #[error("the private half is published with the key")]
    Private,
    #[error("the private key is not usable for this algorithm")]
    Unusable,
}
