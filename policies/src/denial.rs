//! Why not: a closed list with stable codes.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::limit::LimitState;
use crate::method::AuthMethodSet;
use crate::route::ScopeRequirement;
use crate::scope::ScopeSet;

/// A refusal that is the caller's doing (4xx).
///
/// What is told to the outside is made from the variant alone; [`Denial::detail`] is for the log and the audit record.
/// To the outside `CredentialUnknown`, `CredentialExpired` and `CredentialRevoked` must look alike, or a guesser learns
/// which guesses were once good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// Nothing was presented.
    NoCredential,
    /// No such credential, or its secret was wrong.
    CredentialUnknown {
        /// Inside message.
        detail: String,
    },
    /// Its validity is over, or has not begun.
    CredentialExpired {
        /// Inside message.
        detail: String,
    },
    /// It was revoked, or its client or partner is disabled.
    CredentialRevoked {
        /// Inside message.
        detail: String,
    },
    /// Two credentials name two clients.
    CredentialMismatch {
        /// Inside message.
        detail: String,
    },
    /// The token is malformed, its signature or claims are wrong (RFC 6750 §3.1 `invalid_token`).
    InvalidToken {
        /// Inside message.
        detail: String,
    },
    /// What was proved is none of the route's alternatives.
    MethodNotAccepted {
        /// The alternatives.
        accepted: Vec<AuthMethodSet>,
        /// What was proved.
        proved: AuthMethodSet,
    },
    /// Called from outside an allowlist.
    SourceNotAllowed {
        /// Where from.
        source: IpAddr,
        /// Inside message: whose allowlist.
        detail: String,
    },
    /// A scope is missing (RFC 6750 §3.1 `insufficient_scope`).
    InsufficientScope {
        /// What the route asks for.
        required: ScopeRequirement,
        /// What the principal holds.
        granted: ScopeSet,
    },
    /// Too fast. Nothing was spent.
    Throttled {
        /// When one request will pass again: the longest of the limits that said no.
        retry_after: Duration,
        /// All limits of the request: see [`Denial::limits`].
        limits: Vec<LimitState>,
    },
    /// The period's count is used up. Nothing was spent.
    QuotaExceeded {
        /// When the next period begins: the longest of the limits that said no.
        retry_after: Duration,
        /// All limits of the request: see [`Denial::limits`].
        limits: Vec<LimitState>,
    },
    /// No such method and path on this listener.
    RouteNotFound {
        /// Inside message.
        detail: String,
    },
}

impl Denial {
    /// The code in answers, metrics and audit records. Never changes.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::CredentialUnknown { .. } => "credential_unknown",
            Self::CredentialExpired { .. } => "credential_expired",
            Self::CredentialRevoked { .. } => "credential_revoked",
            Self::CredentialMismatch { .. } => "credential_mismatch",
            Self::InvalidToken { .. } => "invalid_token",
            Self::MethodNotAccepted { .. } => "method_not_accepted",
            Self::SourceNotAllowed { .. } => "source_not_allowed",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::Throttled { .. } => "throttled",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::RouteNotFound { .. } => "route_not_found",
        }
    }

    /// The inside message: for the log and the audit record, never for the answer.
    #[must_use]
    pub fn detail(&self) -> Cow<'_, str> {
        match self {
            Self::NoCredential => Cow::Borrowed("no credential was presented"),
            Self::CredentialUnknown { detail }
            | Self::CredentialExpired { detail }
            | Self::CredentialRevoked { detail }
            | Self::CredentialMismatch { detail }
            | Self::InvalidToken { detail }
            | Self::SourceNotAllowed { detail, .. }
            | Self::RouteNotFound { detail } => Cow::Borrowed(detail),
            Self::MethodNotAccepted { accepted, proved } => {
                Cow::Owned(format!("proved {proved}, accepted: {}", alternatives(accepted)))
            }
            Self::InsufficientScope { required, granted } => {
                let granted: &dyn fmt::Display = if granted.is_empty() { &"none" } else { granted };
                Cow::Owned(format!("required {required}, granted: {granted}"))
            }
            Self::Throttled { retry_after, limits } => {
                let wait = retry_after.as_secs_f64();
                Cow::Owned(format!("throttled, one request passes in {wait:.3} s{}", violated_list(limits)))
            }
            Self::QuotaExceeded { retry_after, limits } => {
                let wait = retry_after.as_secs();
                Cow::Owned(format!("quota used up, next period in {wait} s{}", violated_list(limits)))
            }
        }
    }

    /// How long to wait before another try makes sense (RFC 9110 §10.2.3), if waiting helps at all.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::QuotaExceeded { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

impl Denial {
    /// How every limit of a request stood that was denied for one of them; empty for other denials.
    #[must_use]
    pub fn limits(&self) -> &[LimitState] {
        match self {
            Self::Throttled { limits, .. } | Self::QuotaExceeded { limits, .. } => limits,
            _ => &[],
        }
    }

    /// The limits that said no.
    pub fn violated(&self) -> impl Iterator<Item = &LimitState> {
        self.limits().iter().filter(|limit| limit.is_violated())
    }
}

fn violated_list(limits: &[LimitState]) -> String {
    let violated = limits.iter().filter(|limit| limit.is_violated());
    violated.map(|limit| format!("; {limit}")).collect()
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail())
    }
}

impl std::error::Error for Denial {}

/// `mutual_tls+api_key or bearer`.
pub(crate) fn alternatives(accepted: &[AuthMethodSet]) -> String {
    accepted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
