//! The paths of the authorization server.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Token,
    Revoke,
    Introspect,
    Jwks,
    ServerMetadata,
    OpenIdConfiguration,
}

const SERVER_METADATA: &str = "/.well-known/oauth-authorization-server";
const OPEN_ID_CONFIGURATION: &str = "/.well-known/openid-configuration";

impl Endpoint {
    /// Its path.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Token => "/oauth2/token",
            Self::Revoke => "/oauth2/revoke",
            Self::Introspect => "/oauth2/introspect",
            Self::Jwks => "/.well-known/jwks.json",
            Self::ServerMetadata => SERVER_METADATA,
            Self::OpenIdConfiguration => OPEN_ID_CONFIGURATION,
        }
    }

    /// The endpoint at `path`. The metadata of an issuer with a path stands also where RFC 8414 §3.1 (behind the well-known
    /// path) and OpenID Connect Discovery §4 (before it) look for it.
    pub(super) fn at(path: &str, issuer_path: &str) -> Option<Self> {
        let plain =
            [Self::Token, Self::Revoke, Self::Introspect, Self::Jwks, Self::ServerMetadata, Self::OpenIdConfiguration];
        if let Some(endpoint) = plain.into_iter().find(|endpoint| endpoint.path() == path) {
            return Some(endpoint);
        }
        if issuer_path.is_empty() {
            None
        } else if path.strip_prefix(SERVER_METADATA) == Some(issuer_path) {
            Some(Self::ServerMetadata)
        } else if path.strip_prefix(issuer_path) == Some(OPEN_ID_CONFIGURATION)
            || path.strip_prefix(OPEN_ID_CONFIGURATION) == Some(issuer_path)
        {
            Some(Self::OpenIdConfiguration)
        } else {
            None
        }
    }

    /// The methods it answers to.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Token => "POST, OPTIONS",
            Self::Revoke | Self::Introspect => "POST",
            Self::Jwks | Self::ServerMetadata | Self::OpenIdConfiguration => "GET, HEAD",
        }
    }
}
