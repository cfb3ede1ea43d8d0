//! The request by which the holder of a certificate asks for the next one.

use crate::certificate;
use crate::cms::{attribute, san_extension};
use crate::der::{BIT_STRING, OBJECT_IDENTIFIER, SEQUENCE, tlv};
use crate::error::Error;
use crate::key::{KeyAlgorithm, PrivateKey};

const INTEGER: u8 = 0x02;
const NULL: u8 = 0x05;
/// `[0]` constructed: the attributes of a CertificationRequestInfo.
const ATTRIBUTES: u8 = 0xa0;
/// 1.2.840.113549.1.9.14 (RFC 2985 §5.4.2).
pub(crate) const ID_EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// 2.5.29.17 (RFC 5280 §4.2.1.6).
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// A certificate request (RFC 2986, DER) for `key` with the subject and the subjectAltName of a certificate, as RFC 7030 §4.2.2
/// asks for a renewal.
///
/// # Errors
/// [`Error::MalformedCertificate`]; [`Error::Crypto`].
pub fn renewal_request(key: &PrivateKey, certificate_der: &[u8]) -> Result<Vec<u8>, Error> {
    let certificate = certificate::parse(certificate_der)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| Error::MalformedCertificate("an extension is damaged"))?
        .and_then(|_| certificate.extensions().iter().find(|extension| extension.oid.as_bytes() == SUBJECT_ALT_NAME));
    let wishes = names.map(|names| attribute(ID_EXTENSION_REQUEST, &tlv(SEQUENCE, &san_extension(names.value))));
    let info = [
        tlv(INTEGER, &[0]),
        certificate.subject().as_raw().to_vec(),
        key.public_key().spki_der().to_vec(),
        tlv(ATTRIBUTES, &wishes.unwrap_or_default()),
    ]
    .concat();
    let info = tlv(SEQUENCE, &info);
    let signature = tlv(BIT_STRING, &[&[0], key.sign(&info)?.as_slice()].concat());
    Ok(tlv(SEQUENCE, &[info, algorithm(key.algorithm()), signature].concat()))
}

/// The AlgorithmIdentifier that [`PrivateKey`] signs with.
fn algorithm(kind: KeyAlgorithm) -> Vec<u8> {
    let plain = |identifier: &[u8]| tlv(SEQUENCE, &tlv(OBJECT_IDENTIFIER, identifier));
    match kind {
        // 1.2.840.10045.4.3.2 and .3 (RFC 5758 §3.2).
        KeyAlgorithm::EcdsaP256 => plain(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]),
        KeyAlgorithm::EcdsaP384 => plain(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]),
        // 1.3.101.112 (RFC 8410 §3).
        KeyAlgorithm::Ed25519 => plain(&[0x2b, 0x65, 0x70]),
        // 1.2.840.113549.1.1.11, with NULL parameters (RFC 4055 §5).
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            let identifier = tlv(OBJECT_IDENTIFIER, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]);
            tlv(SEQUENCE, &[identifier, tlv(NULL, &[])].concat())
        }
    }
}
