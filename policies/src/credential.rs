//! What a client proves itself with, as far as a decision needs to know it: never the secret.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::client::ClientId;
use crate::method::AuthMethod;
use crate::network::Allowlist;
use crate::scope::ScopeSet;
use crate::time::UnixSeconds;

/// The kind of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// An X.509 certificate with extended key usage clientAuth (RFC 5280 §4.2.1.12).
    ClientCertificate,
    /// An API key.
    ApiKey,
    /// A client secret, shown to the token endpoint only (RFC 6749 §2.3.1).
    ClientSecret,
    /// An access token (RFC 6749 §1.4), ours or an external issuer's.
    AccessToken,
}

impl CredentialKind {
    /// The name in JSON and on screen, kebab-case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCertificate => "client-certificate",
            Self::ApiKey => "api-key",
            Self::ClientSecret => "client-secret",
            Self::AccessToken => "access-token",
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Names one credential in messages and audit records: kind and public id (serial, key id, `jti`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CredentialRef {
    /// What it is.
    pub kind: CredentialKind,
    /// Its public identifier.
    pub id: Arc<str>,
}

impl fmt::Display for CredentialRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// Whether a credential counts at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialStatus {
    /// It does.
    Active,
    /// Its validity has not begun.
    NotYetValid,
    /// Its validity is over.
    Expired,
    /// It was taken back, whatever its dates say.
    Revoked,
}

impl CredentialStatus {
    /// The name in JSON and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for CredentialStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The status of a credential that is valid from `not_before` up to, but not including, `not_after`; `None` is
/// unbounded.
///
/// Revocation wins over dates, so that a report never calls a stolen certificate merely expired. `not_after` is
/// exclusive as `exp` is (RFC 7519 §4.1.4); an X.509 notAfter is inclusive (RFC 5280 §4.1.2.5) and its reader adds one
/// second.
#[must_use]
pub fn status_at(
    not_before: Option<UnixSeconds>,
    not_after: Option<UnixSeconds>,
    revoked: bool,
    now: UnixSeconds,
) -> CredentialStatus {
    if revoked {
        CredentialStatus::Revoked
    } else if not_after.is_some_and(|end| now >= end) {
        CredentialStatus::Expired
    } else if not_before.is_some_and(|start| now < start) {
        CredentialStatus::NotYetValid
    } else {
        CredentialStatus::Active
    }
}

/// One credential whose possession was just shown: by a signature, an HMAC or the TLS handshake.
///
/// Whoever makes a `Proof` vouches for that. The rest, whether it still counts and for what, is decided here on every
/// request.
#[derive(Debug, Clone)]
pub struct Proof {
    /// How it was shown.
    pub method: AuthMethod,
    /// Which credential.
    pub credential: CredentialRef,
    /// The client it was issued to.
    pub client: ClientId,
    /// Its status now, not when the connection began.
    pub status: CredentialStatus,
    /// Narrows the client's scopes; `None` leaves them. It can never add one.
    pub scopes: Option<ScopeSet>,
    /// Narrows the client's networks; `None` leaves them.
    pub networks: Option<Allowlist>,
}
