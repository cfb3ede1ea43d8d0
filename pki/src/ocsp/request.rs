//! What relying parties ask.

use super::certificate_id::CertificateId;
use super::{oid, tag};
use crate::der::{self, Reader};
use crate::error::Error;

/// A question about one certificate takes about 110 octets; signed by its sender, with a chain, some thousand.
const MAX_REQUEST: usize = 8 * 1024;
/// How many certificates one question may be about: each costs a look-up and a place in what is signed.
const MAX_CERTIFICATES: usize = 20;
/// RFC 9654 §2.1: longer or empty nonces are malformed.
const MAX_NONCE: usize = 128;

/// An OCSPRequest (RFC 6960 §4.1). A signature on it is not looked at: everybody may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OcspRequest {
    /// What is asked about: at least one, at most [`OcspRequest::MAX_CERTIFICATES`].
    pub certificates: Vec<CertificateId>,
    /// Makes the answer the answer to this question and no older one (RFC 9654): 1 to 128 octets.
    pub nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// More octets are refused unread.
    pub const MAX_OCTETS: usize = MAX_REQUEST;
    /// More certificates in one question are refused.
    pub const MAX_CERTIFICATES: usize = MAX_CERTIFICATES;

    /// Reads DER.
    ///
    /// ```text
    /// OCSPRequest ::= SEQUENCE { tbsRequest TBSRequest, optionalSignature [0] EXPLICIT Signature OPTIONAL }
    /// TBSRequest  ::= SEQUENCE { version [0] EXPLICIT Version DEFAULT v1, requestorName [1] EXPLICIT GeneralName OPTIONAL,
    ///                            requestList SEQUENCE OF Request, requestExtensions [2] EXPLICIT Extensions OPTIONAL }
    /// ```
    ///
    /// # Errors
    /// [`Error::MalformedOcsp`]; [`Error::TooLarge`]. Both are `malformedRequest` to the one who asks.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_REQUEST {
            return Err(Error::TooLarge { what: "the OCSP request", limit: "8 KiB" });
        }
        let damaged = Error::MalformedOcsp("it is not DER of an OCSPRequest");
        let parts = (|| {
            let mut request = Reader::only(der, der::SEQUENCE)?;
            let tbs = request.take(der::SEQUENCE)?;
            let _signature = request.optional(tag::context(0))?;
            let mut tbs = request.is_empty().then_some(Reader::new(tbs))?;
            let version = tbs.optional(tag::context(0))?;
            let _requestor = tbs.optional(tag::context(1))?;
            let list = tbs.take(der::SEQUENCE)?;
            let extensions = tbs.optional(tag::context(2))?;
            tbs.is_empty().then_some((version, list, extensions))
        })();
        let (version, list, extensions) = parts.ok_or(damaged)?;
        // [0] { INTEGER 0 }: the default, which some write out all the same.
        if version.is_some_and(|version| version != [tag::INTEGER, 1, 0]) {
            return Err(Error::MalformedOcsp("it is of an unknown version"));
        }
        Ok(Self { certificates: certificates(list)?, nonce: extensions.map(nonce).transpose()?.flatten() })
    }
}

/// `Request ::= SEQUENCE { reqCert CertID, singleRequestExtensions [0] EXPLICIT Extensions OPTIONAL }`
fn certificates(list: &[u8]) -> Result<Vec<CertificateId>, Error> {
    let damaged = || Error::MalformedOcsp("its list of certificates is damaged");
    let mut list = Reader::new(list);
    let mut certificates = Vec::new();
    while !list.is_empty() {
        if certificates.len() == MAX_CERTIFICATES {
            return Err(Error::MalformedOcsp("it asks about more than 20 certificates"));
        }
        let mut request = Reader::new(list.take(der::SEQUENCE).ok_or_else(damaged)?);
        let id = request.element().ok_or_else(damaged)?;
        let extensions = request.optional(tag::context(0)).ok_or_else(damaged)?;
        if !request.is_empty() {
            return Err(damaged());
        }
        if let Some(extensions) = extensions {
            // Where a question about one certificate should be passed on to, say. None of them changes our answer.
            each_extension(extensions, |_, _| Ok(false))?;
        }
        certificates.push(CertificateId::parse(id.whole)?);
    }
    match certificates.is_empty() {
        true => Err(Error::MalformedOcsp("it asks about no certificate")),
        false => Ok(certificates),
    }
}

fn nonce(extensions: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut found = None;
    each_extension(extensions, |id, value| {
        if id != oid::NONCE {
            return Ok(false);
        }
        // RFC 9654 §2.1: Nonce ::= OCTET STRING (SIZE (1..128)), inside the OCTET STRING of every extension.
        let mut value = Reader::new(value);
        let nonce = value.take(tag::OCTET_STRING).filter(|_| value.is_empty());
        let nonce = nonce.ok_or(Error::MalformedOcsp("its nonce is damaged"))?;
        if nonce.is_empty() || nonce.len() > MAX_NONCE {
            return Err(Error::MalformedOcsp("its nonce has not 1 to 128 octets"));
        }
        match found.replace(nonce.to_vec()) {
            Some(_) => Err(Error::MalformedOcsp("it has two nonces")),
            None => Ok(true),
        }
    })?;
    Ok(found)
}

/// Gives identifier and value of each to `known`, which says whether it knows it. A critical one that is not known makes the
/// whole request one that cannot be answered (RFC 5280 §4.2).
pub(super) fn each_extension(
    extensions: &[u8],
    mut known: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
) -> Result<(), Error> {
    let damaged = || Error::MalformedOcsp("an extension in it is damaged");
    let mut list = Reader::only(extensions, der::SEQUENCE).ok_or_else(damaged)?;
    while !list.is_empty() {
        let mut extension = Reader::new(list.take(der::SEQUENCE).ok_or_else(damaged)?);
        let id = extension.take(der::OBJECT_IDENTIFIER).ok_or_else(damaged)?;
        let critical = extension.optional(tag::BOOLEAN).ok_or_else(damaged)?;
        let value = extension.take(tag::OCTET_STRING).ok_or_else(damaged)?;
        if !extension.is_empty() || critical.is_some_and(|flag| flag.len() != 1) {
            return Err(damaged());
        }
        if !known(id, value)? && critical.is_some_and(|flag| flag != [0]) {
            return Err(Error::MalformedOcsp("it has an unknown critical extension"));
        }
    }
    Ok(())
}
