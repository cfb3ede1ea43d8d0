//! Every way the road can end before its action has answered. `respond` alone turns these into HTTP.

use std::time::Duration;

use policies::Denial;

use super::path::PathFault;
use crate::failure::{Failure, Fault, Refusal};
use crate::listen::Violation;

/// The first step that failed.
#[derive(Debug)]
pub(super) enum Stop {
    /// The request itself is not acceptable, whoever sent it.
    Malformed(Malformed),
    /// The caller may not.
    Denied(Denial),
    /// One address asks too much, or has failed too often; nobody knows yet who it is.
    AddressLimited { retry_after: Duration },
    /// The upstream failed.
    Upstream(UpstreamFault),
    /// An operation of ours that partners may call said no.
    Refused(Refusal),
    /// An operation of a protocol that is not offered. The sentence says what is.
    NotOffered(&'static str),
    /// We failed.
    Fault(Fault),
}

/// Why a request is refused before anyone asks who sent it. `Display` is fit for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("{0}")]
    Framing(Violation),
    #[error("{0}")]
    Path(PathFault),
    #[error("the method {0} is not allowed here")]
    Method(String),
    #[error("{method} is not allowed here; allowed is {allow}")]
    NotAllowed { method: String, allow: &'static str },
    #[error("the body has a type that is not read here; send {expected}")]
    MediaType { expected: &'static str },
    #[error("the body cannot be read: {0}")]
    Body(String),
    #[error("this server does not answer for that host name")]
    Misdirected,
    #[error("the Host header and the request target name different hosts")]
    HostMismatch,
    #[error("more than one {0} was sent; send one")]
    DuplicateCredential(&'static str),
    #[error("the {0} header holds characters that it may not")]
    CredentialEncoding(&'static str),
    #[error("credentials are taken from headers only, never from the URL")]
    CredentialInUrl,
    #[error("the request body is larger than {bytes_max} bytes")]
    BodyTooLarge { bytes_max: u64 },
    #[error("the request body could not be read")]
    BodyUnreadable,
    #[error("the request body came too slowly")]
    BodyTooSlow,
}

impl Malformed {
    /// Stable.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Framing(Violation::TooLarge) => "head_too_large",
            Self::Framing(_) => "malformed_request",
            Self::Path(_) => "malformed_path",
            Self::Method(_) | Self::NotAllowed { .. } => "method_not_allowed",
            Self::MediaType { .. } => "unsupported_media_type",
            Self::Body(_) => "malformed_body",
            Self::Misdirected => "misdirected_request",
            Self::HostMismatch => "malformed_request",
            Self::DuplicateCredential(_) => "duplicate_credential",
            Self::CredentialEncoding(_) => "malformed_credential",
            Self::CredentialInUrl => "credential_in_url",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyUnreadable => "malformed_request",
            Self::BodyTooSlow => "request_timeout",
        }
    }
}

/// What went wrong between us and an upstream. The address and reason are for the log alone.
#[derive(Debug)]
pub(super) enum UpstreamFault {
    Unreachable { upstream: String, reason: String },
    Broken { upstream: String, reason: String },
    Timeout { upstream: String, timeout: Duration },
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<UpstreamFault> for Stop {
    fn from(fault: UpstreamFault) -> Self {
        Self::Upstream(fault)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::Refused(refusal),
            Failure::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<PathFault> for Stop {
    fn from(fault: PathFault) -> Self {
        Self::Malformed(Malformed::Path(fault))
    }
}
