//! The delegate that signs answers.

use std::fmt;

use time::{Duration, OffsetDateTime};
use x509_parser::oid_registry::{Oid, asn1_rs::oid};

use super::certificate_id::{CertificateId, OcspIssuer, key_hash};
use super::response::{self, OcspAnswer, OcspStatus, Window};
use super::tag;
use crate::certificate;
use crate::der::{self, tlv};
use crate::error::Error;
use crate::issuer::{self, Issuer, whole_seconds};
use crate::key::{KeyAlgorithm, PrivateKey};
use crate::link;
use crate::profile::ExtendedKeyUsage;
use crate::serial::Serial;
use crate::signer::sign_verified;

/// id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1).
const OCSP_NOCHECK: Oid<'static> = oid!(1.3.6.1.5.5.7.48.1.5);
/// ecdsa-with-SHA256, ecdsa-with-SHA384 (RFC 5758 §3.2), sha256WithRSAEncryption (RFC 4055 §5), as DER content octets.
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b];

/// How far thisUpdate lies in the past, for clients whose clock is behind: to them an answer from the future counts for nothing.
const BACKDATE: Duration = Duration::minutes(5);

/// A certificate that an authority issued for signing OCSP answers, and its key.
pub struct OcspSigner {
    certificate: Vec<u8>,
    key: PrivateKey,
    algorithm: Vec<u8>,
    key_hash: Vec<u8>,
    issuer: OcspIssuer,
    serial: Serial,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

impl OcspSigner {
    /// Puts certificate and key together, checking that clients will accept what they sign: the certificate was issued directly by
    /// the authority, for signing OCSP answers and nothing else, and says that nobody need ask about it.
    ///
    /// # Errors
    /// [`Error::KeyMismatch`]; [`Error::UnusableOcspSigner`]; [`Error::MalformedCertificate`].
    pub fn new(issuer: &Issuer, certificate: Vec<u8>, key: PrivateKey) -> Result<Self, Error> {
        let parsed = certificate::parse(&certificate)?;
        if parsed.public_key().raw != key.public_key().spki_der() {
            return Err(Error::KeyMismatch);
        }
        let usage = parsed.extended_key_usage().ok().flatten().map(|usage| issuer::extended_key_usages(usage.value));
        if usage.as_deref() != Some(&[ExtendedKeyUsage::OcspSigning]) {
            return Err(Error::UnusableOcspSigner("its extended key usage is not exactly OCSPSigning"));
        }
        if !parsed.extensions().iter().any(|extension| extension.oid == OCSP_NOCHECK) {
            return Err(Error::UnusableOcspSigner("it lacks ocsp-nocheck, so clients would ask about it too"));
        }
        if !link::is_issued_by(&certificate, issuer.certificate_der()) {
            return Err(Error::UnusableOcspSigner("another authority issued it"));
        }
        let serial = Serial::from_der_integer(parsed.raw_serial())?;
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
        Ok(Self {
            algorithm: algorithm(key.algorithm())?,
            key_hash: key_hash(key.public_key().subject_public_key()),
            issuer: OcspIssuer::of(issuer),
            serial,
            not_before,
            not_after,
            key,
            certificate,
        })
    }

    /// Whom it speaks for.
    pub fn issuer(&self) -> &OcspIssuer {
        &self.issuer
    }

    /// The serial number of its own certificate.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// First second of its validity.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// Last second of its validity, and so of every answer it signs.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// Signs an answer that holds for `lifetime` from `now` on, cut at the signer's own end. thisUpdate lies some minutes in the
    /// past, but not before a revocation that the answer reports.
    ///
    /// # Errors
    /// [`Error::UnusableOcspSigner`] when it has ended or not begun; [`Error::Crypto`].
    pub fn sign(
        &self,
        answers: &[(&CertificateId, OcspStatus)],
        nonce: Option<&[u8]>,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<OcspAnswer, Error> {
        let now = whole_seconds(now)?;
        if now < self.not_before || now >= self.not_after {
            return Err(Error::UnusableOcspSigner("it has ended, or not begun"));
        }
        let revoked = answers.iter().filter_map(|(_, status)| match status {
            OcspStatus::Revoked { at, .. } => Some(*at),
            _ => None,
        });
        let backdated = now.checked_sub(BACKDATE).ok_or(Error::InvalidTime)?;
        let this_update = whole_seconds(revoked.max().unwrap_or(backdated).max(backdated).min(now))?;
        let next_update = now.checked_add(lifetime).ok_or(Error::InvalidTime)?;
        let window =
            Window { produced_at: now, this_update, next_update: whole_seconds(next_update)?.min(self.not_after) };
        let data = response::response_data(&self.key_hash, answers, nonce, window)?;
        // A computing fault while signing with RSA gives the key away, so nobody sees a signature that is not one.
        let signature = match self.key.algorithm().is_rsa() {
            true => sign_verified(&self.key, &data)?,
            false => self.key.sign(&data)?,
        };
        let der = response::successful(&data, &self.algorithm, &signature, &self.certificate);
        Ok(OcspAnswer { der, this_update, next_update: window.next_update })
    }
}

impl fmt::Debug for OcspSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OcspSigner")
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The AlgorithmIdentifier of the signatures that a key makes.
fn algorithm(key: KeyAlgorithm) -> Result<Vec<u8>, Error> {
    let null = tlv(tag::NULL, &[]);
    let (id, parameters): (_, &[u8]) = match key {
        KeyAlgorithm::EcdsaP256 => (ECDSA_SHA256, &[]),
        KeyAlgorithm::EcdsaP384 => (ECDSA_SHA384, &[]),
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => (RSA_SHA256, &null),
        KeyAlgorithm::Ed25519 => return Err(Error::UnusableOcspSigner("few clients verify Ed25519: use ecdsa-p256")),
    };
    Ok(tlv(der::SEQUENCE, &[&tlv(der::OBJECT_IDENTIFIER, id), parameters].concat()))
}
