//! What is said in answer, and how it is written.

use time::OffsetDateTime;

use super::certificate_id::CertificateId;
use super::{oid, tag};
use crate::der::{self, tlv};
use crate::error::Error;
use crate::issuer::whole_seconds;
use crate::revocation::RevocationReason;

/// What is known of one certificate (RFC 6960 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspStatus {
    /// Issued, and not revoked.
    Good,
    Revoked {
        at: OffsetDateTime,
        reason: RevocationReason,
    },
    /// The authority never issued it. It goes out as revoked for ever (§2.2, §4.4.8): a responder that says `good` of a serial
    /// number it has never seen vouches for whatever a stolen key has signed.
    NotIssued,
    /// Another authority's, of which this answer can say nothing.
    Unknown,
}

/// A signed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OcspAnswer {
    /// OCSPResponse.
    pub der: Vec<u8>,
    /// Since when what it says is known to be so.
    pub this_update: OffsetDateTime,
    /// When something newer will be known at the latest: it must not be used after that.
    pub next_update: OffsetDateTime,
}

/// An answer that says nothing about a certificate (RFC 6960 §2.3). It is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspRefusal {
    /// The question cannot be read.
    MalformedRequest,
    /// Ours was the fault.
    InternalError,
    /// Ask again later.
    TryLater,
    /// The certificates are of authorities that nothing is known of here (RFC 5019 §2.2.3).
    Unauthorized,
}

impl OcspRefusal {
    /// OCSPResponseStatus.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::MalformedRequest => 1,
            Self::InternalError => 2,
            Self::TryLater => 3,
            Self::Unauthorized => 6,
        }
    }

    /// The OCSPResponse.
    pub fn der(self) -> Vec<u8> {
        tlv(der::SEQUENCE, &tlv(tag::ENUMERATED, &[self.code()]))
    }

    /// The kebab-case name, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed-request",
            Self::InternalError => "internal-error",
            Self::TryLater => "try-later",
            Self::Unauthorized => "unauthorized",
        }
    }
}

impl OcspStatus {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Revoked { .. } => "revoked",
            Self::NotIssued => "not-issued",
            Self::Unknown => "unknown",
        }
    }

    /// ```text
    /// CertStatus  ::= CHOICE { good [0] IMPLICIT NULL, revoked [1] IMPLICIT RevokedInfo, unknown [2] IMPLICIT NULL }
    /// RevokedInfo ::= SEQUENCE { revocationTime GeneralizedTime, revocationReason [0] EXPLICIT CRLReason OPTIONAL }
    /// ```
    fn der(self) -> Result<Vec<u8>, Error> {
        let revoked = |at: OffsetDateTime, reason: RevocationReason| -> Result<Vec<u8>, Error> {
            let mut info = time(at)?;
            // As in a list (RFC 5280 §5.3.1), `unspecified` is said by leaving the reason out.
            if reason != RevocationReason::Unspecified {
                info.extend(tlv(tag::context(0), &tlv(tag::ENUMERATED, &[reason.code()])));
            }
            Ok(tlv(tag::context(1), &info))
        };
        match self {
            Self::Good => Ok(tlv(tag::implicit(0), &[])),
            Self::Unknown => Ok(tlv(tag::implicit(2), &[])),
            Self::Revoked { at, reason } => revoked(at, reason),
            // RFC 6960 §2.2 wants exactly this of a certificate that was never issued: on hold since 1970.
            Self::NotIssued => revoked(OffsetDateTime::UNIX_EPOCH, RevocationReason::CertificateHold),
        }
    }
}

/// When what is said holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) produced_at: OffsetDateTime,
    pub(super) this_update: OffsetDateTime,
    pub(super) next_update: OffsetDateTime,
}

/// ```text
/// ResponseData   ::= SEQUENCE { version [0] DEFAULT v1, responderID ResponderID, producedAt GeneralizedTime,
///                               responses SEQUENCE OF SingleResponse, responseExtensions [1] EXPLICIT Extensions OPTIONAL }
/// ResponderID    ::= CHOICE { byName [1] Name, byKey [2] KeyHash }
/// SingleResponse ::= SEQUENCE { certID CertID, certStatus CertStatus, thisUpdate GeneralizedTime,
///                               nextUpdate [0] EXPLICIT GeneralizedTime OPTIONAL, singleExtensions [1] … OPTIONAL }
/// ```
pub(super) fn response_data(
    responder_key_hash: &[u8],
    answers: &[(&CertificateId, OcspStatus)],
    nonce: Option<&[u8]>,
    window: Window,
) -> Result<Vec<u8>, Error> {
    let mut responses = Vec::new();
    for (id, status) in answers {
        let next_update = tlv(tag::context(0), &time(window.next_update)?);
        let single = [id.der(), &status.der()?, &time(window.this_update)?, &next_update].concat();
        responses.extend(tlv(der::SEQUENCE, &single));
    }
    let mut extensions = Vec::new();
    if let Some(nonce) = nonce {
        extensions.extend(extension(oid::NONCE, &tlv(tag::OCTET_STRING, nonce)));
    }
    // §4.4.8: says that "revoked" may mean "never issued"; obligatory where it does.
    if answers.iter().any(|(_, status)| *status == OcspStatus::NotIssued) {
        extensions.extend(extension(oid::EXTENDED_REVOKE, &tlv(tag::NULL, &[])));
    }
    let mut data = tlv(tag::context(2), &tlv(tag::OCTET_STRING, responder_key_hash));
    data.extend(time(window.produced_at)?);
    data.extend(tlv(der::SEQUENCE, &responses));
    if !extensions.is_empty() {
        data.extend(tlv(tag::context(1), &tlv(der::SEQUENCE, &extensions)));
    }
    Ok(tlv(der::SEQUENCE, &data))
}

/// `BasicOCSPResponse ::= SEQUENCE { tbsResponseData, signatureAlgorithm, signature BIT STRING, certs [0] EXPLICIT SEQUENCE OF
/// Certificate OPTIONAL }`, in its two wrappers.
pub(super) fn successful(data: &[u8], algorithm: &[u8], signature: &[u8], certificate: &[u8]) -> Vec<u8> {
    let signature = tlv(der::BIT_STRING, &[&[0], signature].concat());
    let certificates = tlv(tag::context(0), &tlv(der::SEQUENCE, certificate));
    let basic = tlv(der::SEQUENCE, &[data, algorithm, &signature, &certificates].concat());
    let bytes = [tlv(der::OBJECT_IDENTIFIER, oid::BASIC), tlv(tag::OCTET_STRING, &basic)].concat();
    let bytes = tlv(tag::context(0), &tlv(der::SEQUENCE, &bytes));
    tlv(der::SEQUENCE, &[tlv(tag::ENUMERATED, &[0]), bytes].concat())
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(der::SEQUENCE, &[tlv(der::OBJECT_IDENTIFIER, id), tlv(tag::OCTET_STRING, value)].concat())
}

/// GeneralizedTime without fractions, in UTC (RFC 5280 §4.1.2.5.2).
fn time(at: OffsetDateTime) -> Result<Vec<u8>, Error> {
    let at = whole_seconds(at)?;
    if !(0..=9999).contains(&at.year()) {
        return Err(Error::InvalidTime);
    }
    let (month, day, hour) = (u8::from(at.month()), at.day(), at.hour());
    let text = format!("{:04}{month:02}{day:02}{hour:02}{:02}{:02}Z", at.year(), at.minute(), at.second());
    Ok(tlv(tag::GENERALIZED_TIME, text.as_bytes()))
}
