//! Answers to the question whether one certificate is still good (OCSP: RFC 6960, with the profile of RFC 5019).
//!
//! The answers are signed by a delegate: a certificate for that purpose alone, issued directly by the authority that is asked
//! about (RFC 6960 §4.2.2.2), so that the authority's own key is not at work for everybody who asks. Nothing here knows what is
//! revoked; the caller says so for each certificate.

mod certificate_id;
mod query;
mod request;
mod response;
mod signer;

pub use certificate_id::{CertificateId, OcspIssuer};
pub use query::{OcspQuery, OcspReply};
pub use request::OcspRequest;
pub use response::{OcspAnswer, OcspRefusal, OcspStatus};
pub use signer::OcspSigner;

/// id-pkix-ocsp and what lies below it (RFC 6960 appendix B), as DER content octets.
pub(crate) mod oid {
    pub(crate) const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    pub(crate) const NONCE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2];
    pub(crate) const EXTENDED_REVOKE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 9];
    pub(crate) const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
    pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
}

/// The tags that questions and answers are made of.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    /// `[n]` constructed.
    pub(crate) const fn context(number: u8) -> u8 {
        0xa0 | number
    }
    /// `[n]` primitive: an implicitly tagged NULL.
    pub(crate) const fn implicit(number: u8) -> u8 {
        0x80 | number
    }
}
