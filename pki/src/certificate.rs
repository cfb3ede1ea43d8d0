//! A certificate that was issued here.

use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::der;
use crate::error::Error;
use crate::key_id::KeyId;
use crate::pem;
use crate::serial::Serial;
use crate::thumbprint::{SpkiFingerprint, Thumbprint};

/// A signed certificate and the facts that the register keeps about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuedCertificate {
    /// Unique under its issuer.
    pub serial: Serial,
    /// SHA-256 of the DER.
    pub thumbprint: Thumbprint,
    /// The certificate.
    pub der: Vec<u8>,
    /// First second of validity, in UTC.
    pub not_before: OffsetDateTime,
    /// Last second of validity, in UTC.
    pub not_after: OffsetDateTime,
    /// SHA-256 of the certified key.
    pub spki_fingerprint: SpkiFingerprint,
    /// The subject, for people: `O=Acme, CN=acme-orders`.
    pub subject: String,
    /// The authority's key. (issuer_key_id, serial) is what a gate looks up.
    pub issuer_key_id: KeyId,
}

impl IssuedCertificate {
    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        pem::pem_certificate(&self.der)
    }
}

/// Reads a certificate and insists that nothing follows it.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| Error::MalformedCertificate("it is not X.509"))?;
    if !rest.is_empty() {
        return Err(Error::MalformedCertificate("something follows it"));
    }
    if !der::is_canonical_envelope(der) {
        return Err(Error::MalformedCertificate("its two signature algorithms differ, or it is not DER"));
    }
    Ok(certificate)
}
