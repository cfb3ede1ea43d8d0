//! A certificate authority: its certificate and the key that signs for it.

mod authority;
mod cross;
mod lint;
mod load;
mod prepare;
mod request;
mod template;
mod trial;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest};
use time::OffsetDateTime;

use crate::certificate::IssuedCertificate;
use crate::der;
use crate::error::Error;
use crate::key::PublicKey;
use crate::key_id::KeyId;
use crate::pem;
use crate::profile::ExtendedKeyUsage;
use crate::serial::Serial;
use crate::signer::{self, Signer};
use crate::thumbprint::Thumbprint;

pub use prepare::Prepared;
pub use request::authority_request;
pub use trial::Linted;

pub(crate) use authority::extended_key_usages;
pub(crate) use prepare::whole_seconds;

use template::Blank;

/// An authority that issues certificates and signs revocation lists.
///
/// Made by [`Issuer::self_signed`], [`Issuer::subordinate`] or [`Issuer::load`]; each of them proves that the key fits and that
/// what it signs will chain.
pub struct Issuer {
    der: Vec<u8>,
    facts: Facts,
    public: PublicKey,
    signer: Arc<dyn Signer>,
    /// rcgen's view of the authority, with a signer that does not sign.
    blank: rcgen::Issuer<'static, Blank>,
}

/// What the authority's own certificate says.
#[derive(Debug, Clone)]
struct Facts {
    serial: Serial,
    thumbprint: Thumbprint,
    subject: String,
    subject_der: Vec<u8>,
    key_id: KeyId,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    path_length: Option<u32>,
    /// `None`: the extension is absent, so every usage is allowed.
    extended_key_usage: Option<Vec<ExtendedKeyUsage>>,
    signs_crls: bool,
    self_issued: bool,
}

impl Issuer {
    /// Signs what [`Issuer::prepare`] made, after the trial of [`Issuer::lint`]. The octets that are signed are the octets that
    /// were checked.
    ///
    /// # Errors
    /// Those of [`Issuer::lint`] and [`Issuer::sign_linted`].
    pub fn sign(&self, prepared: Prepared) -> Result<IssuedCertificate, Error> {
        self.sign_linted(self.lint(prepared)?)
    }

    /// The authority's certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// The authority's certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        pem::pem_certificate(&self.der)
    }

    /// The authority's public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The subject, for people: `CN=Portcullis Root 3f9a2c1b`.
    pub fn subject(&self) -> &str {
        &self.facts.subject
    }

    /// The subject's DER Name; what OCSP hashes as issuerNameHash.
    pub fn subject_der(&self) -> &[u8] {
        &self.facts.subject_der
    }

    /// The serial number of the authority's own certificate.
    pub fn serial(&self) -> Serial {
        self.facts.serial
    }

    /// SHA-256 of the authority's own certificate.
    pub fn thumbprint(&self) -> Thumbprint {
        self.facts.thumbprint
    }

    /// What certificates and lists of this authority carry as authorityKeyIdentifier.
    pub fn key_id(&self) -> &KeyId {
        &self.facts.key_id
    }

    /// First second of validity of the authority.
    pub fn not_before(&self) -> OffsetDateTime {
        self.facts.not_before
    }

    /// Last second of validity of the authority, and so of everything it issues.
    pub fn not_after(&self) -> OffsetDateTime {
        self.facts.not_after
    }

    /// Whether its certificate has cRLSign.
    pub fn signs_crls(&self) -> bool {
        self.facts.signs_crls
    }

    /// Whether its subject is its issuer: a root.
    pub fn is_root(&self) -> bool {
        self.facts.self_issued
    }

    /// Whether it may issue authorities below itself.
    pub(crate) fn issues_authorities(&self) -> bool {
        self.facts.path_length != Some(0)
    }

    /// The hash that [`Issuer::sign_digest`] takes; `None` when only whole messages can be signed.
    pub(crate) fn signs_digest_of(&self) -> Option<&'static digest::Algorithm> {
        signer::digest_algorithm(self.public.algorithm()).filter(|_| self.signer.signs_digests())
    }

    pub(crate) fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        signer::sign_digest_verified(&self.signer, digest)
    }

    pub(crate) fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        signer::sign_verified(&self.signer, message)
    }

    /// Signs what is laid out, with the DER AlgorithmIdentifier that it names, and puts both together.
    pub(crate) fn sign_tbs(&self, tbs: &[u8], algorithm: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(der::signed(tbs, algorithm, &signer::sign_verified(&self.signer, tbs)?))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("subject", &self.facts.subject)
            .field("key_id", &self.facts.key_id)
            .finish_non_exhaustive()
    }
}
