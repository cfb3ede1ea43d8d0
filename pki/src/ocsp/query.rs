//! Asking, and believing an answer: for whoever checks a responder from outside.

use time::{Date, Month, OffsetDateTime, Time};
use x509_parser::asn1_rs::BitString;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AlgorithmIdentifier;

use super::certificate_id::{CertificateId, OcspIssuer};
use super::request::each_extension;
use super::response::OcspStatus;
use super::{oid, tag};
use crate::certificate;
use crate::der::{self, Reader, tlv};
use crate::error::Error;
use crate::issuer;
use crate::link;
use crate::profile::ExtendedKeyUsage;
use crate::revocation::RevocationReason;
use crate::serial::Serial;

/// A question about one certificate, by SHA-256.
#[derive(Clone, Debug)]
pub struct OcspQuery {
    id: CertificateId,
    issuer: Vec<u8>,
    nonce: Option<Vec<u8>>,
}

/// A verified answer to an [`OcspQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OcspReply {
    pub status: OcspStatus,
    pub this_update: OffsetDateTime,
    /// `None`: newer information is always at hand (RFC 6960 §4.2.2.1).
    pub next_update: Option<OffsetDateTime>,
    /// Last second of validity of the certificate whose key signed.
    pub signer_not_after: OffsetDateTime,
    /// Whether it repeats the question's nonce.
    pub nonce_matches: bool,
}

impl OcspQuery {
    /// Asks about `certificate`, issued by `issuer` (both DER). A nonce has 1 to 128 octets, 32 for preference (RFC 9654 §2.1).
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`]; [`Error::InvalidSerial`].
    pub fn new(certificate: &[u8], issuer: &[u8], nonce: Option<&[u8]>) -> Result<Self, Error> {
        let serial = Serial::from_der_integer(certificate::parse(certificate)?.raw_serial())?;
        let id = CertificateId::new(&OcspIssuer::of_certificate(issuer)?, serial);
        Ok(Self { id, issuer: issuer.to_vec(), nonce: nonce.map(<[u8]>::to_vec) })
    }

    /// Where a certificate (DER) says that its responder is (authorityInfoAccess, RFC 5280 §4.2.2.1).
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`].
    pub fn addresses(certificate: &[u8]) -> Result<Vec<String>, Error> {
        let certificate = certificate::parse(certificate)?;
        let mut addresses = Vec::new();
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityInfoAccess(access) => {
                    for description in access.iter().filter(|one| one.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP)
                    {
                        if let GeneralName::URI(uri) = description.access_location {
                            addresses.push(uri.to_owned());
                        }
                    }
                }
                ParsedExtension::ParseError { .. } => {
                    return Err(Error::MalformedCertificate("an extension is damaged"));
                }
                _ => {}
            }
        }
        Ok(addresses)
    }

    /// The OCSPRequest.
    pub fn der(&self) -> Vec<u8> {
        let list = tlv(der::SEQUENCE, &tlv(der::SEQUENCE, self.id.der()));
        let extensions = self.nonce.as_ref().map(|nonce| {
            let value = tlv(tag::OCTET_STRING, &tlv(tag::OCTET_STRING, nonce));
            let extension = tlv(der::SEQUENCE, &[tlv(der::OBJECT_IDENTIFIER, oid::NONCE), value].concat());
            tlv(tag::context(2), &tlv(der::SEQUENCE, &extension))
        });
        tlv(der::SEQUENCE, &tlv(der::SEQUENCE, &[list, extensions.unwrap_or_default()].concat()))
    }

    /// Reads an answer and verifies all of it (RFC 6960 §3.2): it is about this certificate, signed by the authority or by a
    /// delegate of it, and holds at `now`.
    ///
    /// # Errors
    /// [`Error::MalformedOcsp`]; [`Error::OcspNotBelieved`].
    pub fn read(&self, response: &[u8], now: OffsetDateTime) -> Result<OcspReply, Error> {
        let basic = basic_response(response)?;
        let signer_not_after = self.check_signature(&basic, now)?;
        let data = ResponseData::read(basic.data).ok_or(DAMAGED)?;
        let mut responses = Reader::new(data.responses);
        while !responses.is_empty() {
            let single = Single::read(responses.take(der::SEQUENCE).ok_or(DAMAGED)?).ok_or(DAMAGED)?;
            if single.id != self.id.der() {
                continue;
            }
            if single.this_update > now || single.next_update.is_some_and(|end| end < now) {
                return Err(Error::OcspNotBelieved("it does not hold now"));
            }
            let (nonce, extended_revoke) = data.extensions()?;
            let nonce_matches = self.nonce.is_some() && nonce == self.nonce;
            let never =
                OcspStatus::Revoked { at: OffsetDateTime::UNIX_EPOCH, reason: RevocationReason::CertificateHold };
            return Ok(OcspReply {
                status: if extended_revoke && single.status == never { OcspStatus::NotIssued } else { single.status },
                this_update: single.this_update,
                next_update: single.next_update,
                signer_not_after,
                nonce_matches,
            });
        }
        Err(Error::OcspNotBelieved("it is about another certificate"))
    }

    fn check_signature(&self, basic: &Basic<'_>, now: OffsetDateTime) -> Result<OffsetDateTime, Error> {
        let refuse = |why| Err(Error::OcspNotBelieved(why));
        let signer = basic.certificate.unwrap_or(&self.issuer);
        let parsed = certificate::parse(signer)?;
        if signer != self.issuer {
            let usage =
                parsed.extended_key_usage().ok().flatten().map(|usage| issuer::extended_key_usages(usage.value));
            if !usage.is_some_and(|usage| usage.contains(&ExtendedKeyUsage::OcspSigning)) {
                return refuse("its signer's certificate is not for signing OCSP answers");
            }
            if !link::is_issued_by(signer, &self.issuer) {
                return refuse("its signer is no delegate of the authority");
            }
        }
        let validity = parsed.validity();
        if now < validity.not_before.to_datetime() || now > validity.not_after.to_datetime() {
            return refuse("its signer's certificate is not valid now");
        }
        let (_, algorithm) = AlgorithmIdentifier::from_der(basic.algorithm).map_err(|_| DAMAGED)?;
        let signature = BitString::new(0, basic.signature);
        match link::verifies(parsed.public_key(), &algorithm, &signature, basic.data) {
            true => Ok(validity.not_after.to_datetime()),
            false => refuse("its signature does not verify"),
        }
    }
}

const DAMAGED: Error = Error::MalformedOcsp("it is not DER of an OCSPResponse");

struct Basic<'a> {
    /// ResponseData, whole: what is signed.
    data: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    /// The first that came along.
    certificate: Option<&'a [u8]>,
}

fn basic_response(response: &[u8]) -> Result<Basic<'_>, Error> {
    let mut outer = Reader::only(response, der::SEQUENCE).ok_or(DAMAGED)?;
    match outer.take(tag::ENUMERATED).ok_or(DAMAGED)? {
        [0] => {}
        [1] => return Err(Error::OcspNotBelieved("the responder could not read the question (malformedRequest)")),
        [3] => return Err(Error::OcspNotBelieved("the responder cannot answer now (tryLater)")),
        [6] => return Err(Error::OcspNotBelieved("the responder does not speak for this authority (unauthorized)")),
        _ => return Err(Error::OcspNotBelieved("the responder failed")),
    }
    let mut read = || {
        let mut bytes = Reader::only(outer.take(tag::context(0))?, der::SEQUENCE)?;
        if bytes.take(der::OBJECT_IDENTIFIER)? != oid::BASIC {
            return None;
        }
        let mut basic = Reader::only(bytes.take(tag::OCTET_STRING)?, der::SEQUENCE)?;
        let (data, algorithm) = (basic.element()?, basic.element()?);
        let signature = basic.take(der::BIT_STRING)?.strip_prefix(&[0])?;
        let certificates = basic.optional(tag::context(0))?;
        let certificate = match certificates {
            Some(list) => Reader::only(list, der::SEQUENCE)?.element().map(|first| first.whole),
            None => None,
        };
        basic.is_empty().then_some(Basic { data: data.whole, algorithm: algorithm.whole, signature, certificate })
    };
    read().ok_or(DAMAGED)
}

struct ResponseData<'a> {
    responses: &'a [u8],
    extensions: Option<&'a [u8]>,
}

impl<'a> ResponseData<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let mut data = Reader::only(data, der::SEQUENCE)?;
        let _version = data.optional(tag::context(0))?;
        let _responder = data.element()?;
        let _produced_at = data.take(tag::GENERALIZED_TIME)?;
        let responses = data.take(der::SEQUENCE)?;
        let extensions = data.optional(tag::context(1))?;
        data.is_empty().then_some(Self { responses, extensions })
    }

    /// The nonce, and whether "revoked" may mean "never issued".
    fn extensions(&self) -> Result<(Option<Vec<u8>>, bool), Error> {
        let (mut nonce, mut extended_revoke) = (None, false);
        if let Some(extensions) = self.extensions {
            each_extension(extensions, |id, value| {
                if id == oid::NONCE {
                    nonce = Reader::new(value).take(tag::OCTET_STRING).map(<[u8]>::to_vec);
                }
                extended_revoke |= id == oid::EXTENDED_REVOKE;
                Ok(id == oid::NONCE || id == oid::EXTENDED_REVOKE)
            })?;
        }
        Ok((nonce, extended_revoke))
    }
}

struct Single<'a> {
    id: &'a [u8],
    status: OcspStatus,
    this_update: OffsetDateTime,
    next_update: Option<OffsetDateTime>,
}

impl<'a> Single<'a> {
    fn read(single: &'a [u8]) -> Option<Self> {
        let mut single = Reader::new(single);
        let (id, status) = (single.element()?.whole, single.element()?);
        let this_update = time(single.take(tag::GENERALIZED_TIME)?)?;
        let next_update = match single.optional(tag::context(0))? {
            Some(next) => Some(time(Reader::only(next, tag::GENERALIZED_TIME)?.rest())?),
            None => None,
        };
        let _extensions = single.optional(tag::context(1))?;
        let status = match status.tag {
            0x80 => OcspStatus::Good,
            0x82 => OcspStatus::Unknown,
            0xa1 => revoked(status.content)?,
            _ => return None,
        };
        single.is_empty().then_some(Self { id, status, this_update, next_update })
    }
}

fn revoked(info: &[u8]) -> Option<OcspStatus> {
    let mut info = Reader::new(info);
    let at = time(info.take(tag::GENERALIZED_TIME)?)?;
    let reason = match info.optional(tag::context(0))? {
        Some(reason) => match Reader::only(reason, tag::ENUMERATED)?.rest() {
            [code] => RevocationReason::ALL.into_iter().find(|reason| reason.code() == *code)?,
            _ => return None,
        },
        None => RevocationReason::Unspecified,
    };
    info.is_empty().then_some(OcspStatus::Revoked { at, reason })
}

/// `YYYYMMDDHHMMSSZ`.
fn time(text: &[u8]) -> Option<OffsetDateTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z').filter(|digits| digits.len() == 14)?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize| number(from, from + 2).and_then(|number| u8::try_from(number).ok());
    let date = Date::from_calendar_date(number(0, 4)?.into(), Month::try_from(small(4)?).ok()?, small(6)?).ok()?;
    Some(date.with_time(Time::from_hms(small(8)?, small(10)?, small(12)?).ok()?).assume_utc())
}
