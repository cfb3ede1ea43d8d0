//! One link of a chain: what an authority's key signed.

use x509_parser::asn1_rs::BitString;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::certificate;
use crate::error::Error;
use crate::key::PublicKey;
use crate::signature;

/// Whether `certificate` names `issuer` as its issuer and carries a signature by its key (both DER).
///
/// This is one link only: dates, constraints and usages are the path's. A weak key or a weak hash signs nothing.
pub fn is_issued_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let (Ok(certificate), Ok(issuer)) = (certificate::parse(certificate), certificate::parse(issuer)) else {
        return false;
    };
    certificate.issuer().as_raw() == issuer.subject().as_raw()
        && verifies(
            issuer.public_key(),
            &certificate.signature_algorithm,
            &certificate.signature_value,
            certificate.tbs_certificate.as_ref(),
        )
}

/// Whether a certificate's keyUsage (DER), if it has one, lets its key sign certificates (RFC 5280 §6.1.4 n). TLS libraries
/// build paths without asking.
pub fn may_sign_certificates(certificate: &[u8]) -> bool {
    certificate::parse(certificate).is_ok_and(|certificate| match certificate.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    })
}

/// Subject and issuer of a certificate (DER), as their octets; `None` when it cannot be read.
pub fn raw_names(certificate: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let certificate = certificate::parse(certificate).ok()?;
    Some((certificate.subject().as_raw().to_vec(), certificate.issuer().as_raw().to_vec()))
}

/// The name of a certificate's issuer, for people.
///
/// # Errors
/// [`Error::MalformedCertificate`].
pub fn issuer_name(certificate: &[u8]) -> Result<String, Error> {
    Ok(certificate::parse(certificate)?.issuer().to_string())
}

/// Verifies a signature over `message` by a key that was not checked yet.
pub(crate) fn verifies(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    message: &[u8],
) -> bool {
    PublicKey::from_spki_der(key.raw).and_then(|key| signature::verify(algorithm, signature, message, &key)).is_ok()
}
