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

use time::OffsetDateTime;

use crate::certificate::IssuedCertificate;
use crate::crl::{Crl, CrlRequest};
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

use template::{Blank, Layout};

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

    /// Signs a revocation list: version 2, with authorityKeyIdentifier and cRLNumber (RFC 5280 §5.2); an empty list has no
    /// revokedCertificates at all (§5.1.2.6).
    ///
    /// # Errors
    /// [`Error::CrlNotPermitted`]; [`Error::InvalidCrl`]; [`Error::ReasonNotPermanent`] for a hold; [`Error::OutlivesIssuer`]
    /// when the authority has ended; [`Error::InvalidUrl`].
    pub fn sign_crl(&self, request: CrlRequest) -> Result<Crl, Error> {
        if !self.facts.signs_crls {
            return Err(Error::CrlNotPermitted);
        }
        // OpenSSL and nginx hold a root against its own list, and a root has no address to match one with.
        if self.facts.self_issued && request.distribution_point.is_some() {
            return Err(Error::InvalidCrl("a root's list is for all it issued: leave the distribution point out"));
        }
        let number = request.number;
        let params =
            request.into_params(self.facts.not_after, self.facts.key_id.as_bytes(), !self.issues_authorities())?;
        let blank = params.signed_by(&self.blank).map_err(|_| Error::InvalidCrl("it cannot be encoded"))?;
        let layout = Layout::of(blank.der().to_vec())?;
        let der = self.sign_tbs(&layout.tbs, &layout.signature_algorithm)?;
        Ok(Crl { der, number, this_update: params.this_update, next_update: params.next_update })
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
    fn issues_authorities(&self) -> bool {
        self.facts.path_length != Some(0)
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
