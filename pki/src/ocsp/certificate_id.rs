//! How a certificate is named without being sent.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use super::{oid, tag};
use crate::certificate;
use crate::der::{self, Reader};
use crate::error::Error;
use crate::issuer::Issuer;
use crate::serial::Serial;

/// A CertID (RFC 6960 §4.1.1): digests of the issuer's name and key, and the serial number.
///
/// Two are equal when they are equal octet for octet: an answer repeats the question's, and some clients compare no other way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateId {
    der: Box<[u8]>,
    hash: IdHash,
    issuer_name: Box<[u8]>,
    issuer_key: Box<[u8]>,
    serial: Serial,
}

/// SHA-1 names here, it signs nothing: RFC 5019 §2.1.1 has clients use it, and nobody gains by two issuers of one digest, since
/// the answer is signed by the one that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum IdHash {
    Sha1,
    Sha256,
}

/// An authority as questions name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspIssuer {
    sha1: Digests,
    sha256: Digests,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Digests {
    name: Box<[u8]>,
    key: Box<[u8]>,
}

impl CertificateId {
    /// The serial number asked about.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// `sha1` or `sha256`: what the issuer is named with.
    pub fn hash_name(&self) -> &'static str {
        match self.hash {
            IdHash::Sha1 => "sha1",
            IdHash::Sha256 => "sha256",
        }
    }

    /// The octets, as they were asked.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Names the certificate with this serial number under an authority, by SHA-256.
    pub(super) fn new(issuer: &OcspIssuer, serial: Serial) -> Self {
        let algorithm = der::tlv(
            der::SEQUENCE,
            &[der::tlv(der::OBJECT_IDENTIFIER, oid::SHA256), der::tlv(tag::NULL, &[])].concat(),
        );
        let Digests { name, key } = &issuer.sha256;
        let content = [
            algorithm,
            der::tlv(tag::OCTET_STRING, name),
            der::tlv(tag::OCTET_STRING, key),
            der::tlv(tag::INTEGER, &integer(&serial)),
        ]
        .concat();
        Self {
            der: der::tlv(der::SEQUENCE, &content).into(),
            hash: IdHash::Sha256,
            issuer_name: name.clone(),
            issuer_key: key.clone(),
            serial,
        }
    }

    /// ```text
    /// CertID ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, issuerNameHash OCTET STRING, issuerKeyHash OCTET STRING,
    ///                       serialNumber CertificateSerialNumber }
    /// ```
    pub(super) fn parse(whole: &[u8]) -> Result<Self, Error> {
        let damaged = Error::MalformedOcsp("a CertID in it is damaged");
        let mut fields = Reader::only(whole, der::SEQUENCE).ok_or(damaged.clone())?;
        let parts = (|| {
            let algorithm = fields.take(der::SEQUENCE)?;
            let (name, key) = (fields.take(tag::OCTET_STRING)?, fields.take(tag::OCTET_STRING)?);
            let serial = fields.take(tag::INTEGER)?;
            fields.is_empty().then_some((algorithm, name, key, serial))
        })();
        let (algorithm, name, key, serial) = parts.ok_or(damaged.clone())?;
        let mut algorithm = Reader::new(algorithm);
        let hash = match algorithm.take(der::OBJECT_IDENTIFIER).ok_or(damaged.clone())? {
            oid::SHA1 => IdHash::Sha1,
            oid::SHA256 => IdHash::Sha256,
            _ => return Err(Error::MalformedOcsp("a CertID in it is neither of SHA-1 nor of SHA-256")),
        };
        // NULL or nothing (RFC 4055 §2.1, RFC 5754 §2): both are in use.
        let parameters = algorithm.optional(tag::NULL).ok_or(damaged.clone())?;
        if parameters.is_some_and(|null| !null.is_empty()) || !algorithm.is_empty() {
            return Err(damaged);
        }
        if name.len() != hash.octets() || key.len() != hash.octets() {
            return Err(Error::MalformedOcsp("a digest in it has not the length of its algorithm"));
        }
        let serial = Serial::from_der_integer(serial)
            .map_err(|_| Error::MalformedOcsp("a serial number in it is none that a certificate can have"))?;
        Ok(Self { der: whole.into(), hash, issuer_name: name.into(), issuer_key: key.into(), serial })
    }
}

impl IdHash {
    fn octets(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

impl OcspIssuer {
    /// Digests the authority's name and key.
    pub fn of(issuer: &Issuer) -> Self {
        Self::from_parts(issuer.subject_der(), issuer.public_key().subject_public_key())
    }

    /// The same from an authority's certificate in DER.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`].
    pub fn of_certificate(der: &[u8]) -> Result<Self, Error> {
        let certificate = certificate::parse(der)?;
        Ok(Self::from_parts(certificate.subject().as_raw(), &certificate.public_key().subject_public_key.data))
    }

    /// Whether the certificate asked about is this authority's. Name *and* key must fit: two generations may share a name, and
    /// cross-signed authorities share a key.
    pub fn issued(&self, id: &CertificateId) -> bool {
        let own = match id.hash {
            IdHash::Sha1 => &self.sha1,
            IdHash::Sha256 => &self.sha256,
        };
        own.name == id.issuer_name && own.key == id.issuer_key
    }

    fn from_parts(subject: &[u8], key: &[u8]) -> Self {
        let digests = |algorithm| Digests {
            name: digest::digest(algorithm, subject).as_ref().into(),
            key: digest::digest(algorithm, key).as_ref().into(),
        };
        Self { sha1: digests(&SHA1_FOR_LEGACY_USE_ONLY), sha256: digests(&SHA256) }
    }
}

/// SHA-1 over the value of the subjectPublicKey BIT STRING: a KeyHash (RFC 6960 §4.2.1).
pub(super) fn key_hash(subject_public_key: &[u8]) -> Vec<u8> {
    digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, subject_public_key).as_ref().to_vec()
}

/// The content octets of a non-negative INTEGER.
fn integer(serial: &Serial) -> Vec<u8> {
    let octets = serial.as_bytes();
    let sign = octets.first().is_some_and(|first| first & 0x80 != 0);
    [if sign { &[0][..] } else { &[] }, octets].concat()
}
