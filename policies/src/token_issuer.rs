//! Whose access tokens are taken besides our own.

use std::collections::BTreeMap;
use std::fmt;

use crate::client::ClientId;

/// Signature algorithms (RFC 7518 §3.1, RFC 8037) that a document may allow. No `none`, and no HMAC: with a public key
/// as the secret anybody could sign (RFC 8725 §2.1).
pub const TOKEN_ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// Allowed if a document names none.
pub const DEFAULT_TOKEN_ALGORITHMS: [&str; 2] = ["RS256", "ES256"];
/// Clock difference forgiven if a document does not say.
pub const DEFAULT_LEEWAY_SECONDS: u32 = 30;
/// Most clock difference that may be forgiven: each second also prolongs a token's life.
pub const MAX_LEEWAY_SECONDS: u32 = 60;

/// An external authorization server: a Cognito pool, Keycloak, Auth0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssuer {
    /// The `iss` claim (RFC 7519 §4.1.1), compared byte for byte.
    pub issuer: String,
    /// Where its keys are (RFC 7517 §5): https, or http on a loopback address.
    pub jwks_uri: String,
    /// Which claims its tokens carry.
    pub profile: TokenProfile,
    /// The `aud` values that mean us; empty for Cognito, whose access tokens carry none.
    pub audiences: Vec<String>,
    /// Signature algorithms allowed, of [`TOKEN_ALGORITHMS`].
    pub algorithms: Vec<String>,
    /// The issuer's client id to ours.
    pub clients: BTreeMap<String, ClientId>,
    /// A PEM file with the roots to verify `jwks_uri` with; the system's if absent.
    pub ca_file: Option<String>,
    /// Clock difference forgiven, at most [`MAX_LEEWAY_SECONDS`].
    pub leeway_seconds: u32,
}

/// The shape of an issuer's access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenProfile {
    /// RFC 9068: `typ: at+jwt`, `aud`, `client_id`, `scope`.
    Rfc9068,
    /// Cognito: `token_use: access`, `client_id`, no `aud`.
    Cognito,
    /// Any other JWT with an `aud`.
    Generic,
}

impl TokenProfile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Rfc9068, Self::Cognito, Self::Generic];

    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rfc9068 => "rfc9068",
            Self::Cognito => "cognito",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for TokenProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
