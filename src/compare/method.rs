//! What is compared: the three credentials, and the two that are only good together with a certificate.

/// One row of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A client certificate alone.
    MutualTls,
    /// An API key alone.
    ApiKey,
    /// An access token alone.
    Bearer,
    /// An API key over a connection with the client's certificate.
    ApiKeyWithCertificate,
    /// An access token that is bound to the client's certificate (RFC 8705 §3).
    BoundToken,
}

/// What the gate is told to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revoked {
    Certificate,
    ApiKey,
    Token,
}

impl Method {
    pub const ALL: [Self; 5] =
        [Self::MutualTls, Self::ApiKey, Self::Bearer, Self::ApiKeyWithCertificate, Self::BoundToken];

    /// For programs.
    pub fn id(self) -> &'static str {
        match self {
            Self::MutualTls => "mutual_tls",
            Self::ApiKey => "api_key",
            Self::Bearer => "bearer",
            Self::ApiKeyWithCertificate => "api_key+mutual_tls",
            Self::BoundToken => "bearer+mutual_tls",
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::MutualTls => "client certificate",
            Self::ApiKey => "API key",
            Self::Bearer => "access token",
            Self::ApiKeyWithCertificate => "API key + certificate",
            Self::BoundToken => "token bound to certificate",
        }
    }

    pub(super) fn has_certificate(self) -> bool {
        matches!(self, Self::MutualTls | Self::ApiKeyWithCertificate | Self::BoundToken)
    }

    pub(super) fn has_api_key(self) -> bool {
        matches!(self, Self::ApiKey | Self::ApiKeyWithCertificate)
    }

    pub(super) fn has_token(self) -> bool {
        matches!(self, Self::Bearer | Self::BoundToken)
    }

    /// What is taken away to see how fast the door shuts. Of the pairs it is the half that shows the most: a key can go
    /// while the certificate stays, and a certificate takes the tokens with it that are bound to it.
    pub(super) fn revoked(self) -> Revoked {
        match self {
            Self::MutualTls | Self::BoundToken => Revoked::Certificate,
            Self::ApiKey | Self::ApiKeyWithCertificate => Revoked::ApiKey,
            Self::Bearer => Revoked::Token,
        }
    }
}

impl Revoked {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::ApiKey => "API key",
            Self::Token => "token",
        }
    }
}
