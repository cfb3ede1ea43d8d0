//! Reads a laid-out certificate back with another parser before it is signed.
//!
//! What counts is what the certificate says, not what was asked of the encoder: other authorities checked the request and then
//! signed something else (GHSA-g892-p242-8g86).

use rcgen::{CertificateParams, IsCa};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Version;

use super::prepare::Window;
use crate::certificate;
use crate::error::Error;
use crate::key::PublicKey;
use crate::key_id::KeyId;
use crate::serial::Serial;

pub(super) struct Expected<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) issuer_key_id: &'a KeyId,
    pub(super) params: &'a CertificateParams,
    pub(super) serial: Serial,
    pub(super) validity: Window,
    pub(super) public_key: &'a PublicKey,
}

/// Returns the subject as text.
pub(super) fn check(der: &[u8], expected: &Expected<'_>) -> Result<String, Error> {
    let certificate = certificate::parse(der).map_err(|_| Error::Lint("its encoding"))?;
    let params = expected.params;
    let ensure = |holds: bool, what| if holds { Ok(()) } else { Err(Error::Lint(what)) };
    ensure(certificate.version() == X509Version::V3, "the version")?;
    ensure(Serial::from_der_integer(certificate.raw_serial()) == Ok(expected.serial), "the serial number")?;
    // Byte for byte: some verifiers compare names no other way, and rcgen drops repeated attributes of imported authorities.
    ensure(certificate.issuer().as_raw() == expected.issuer, "the issuer's name")?;
    let validity = certificate.validity();
    ensure(validity.not_before.to_datetime() == expected.validity.not_before, "notBefore")?;
    ensure(validity.not_after.to_datetime() == expected.validity.not_after, "notAfter")?;
    ensure(validity.not_before < validity.not_after, "a validity that is empty")?;
    ensure(certificate.public_key().raw == expected.public_key.spki_der(), "the public key")?;
    ensure(certificate.extensions_map().is_ok(), "a repeated extension")?;
    check_extensions(&certificate, expected, &ensure)?;
    let names = certificate.subject_alternative_name().map_err(|_| Error::Lint("the subjectAltName"))?;
    let count = names.map_or(0, |names| names.value.general_names.len());
    ensure(count == params.subject_alt_names.len(), "the number of names")?;
    Ok(certificate.subject().to_string())
}

fn check_extensions(
    certificate: &X509Certificate<'_>,
    expected: &Expected<'_>,
    ensure: &impl Fn(bool, &'static str) -> Result<(), Error>,
) -> Result<(), Error> {
    let params = expected.params;
    let is_ca = matches!(params.is_ca, IsCa::Ca(_));
    let basic = certificate.basic_constraints().ok().flatten();
    ensure(basic.is_some_and(|basic| basic.critical && basic.value.ca == is_ca), "the basic constraints")?;
    let usage = certificate.key_usage().ok().flatten();
    let usage_fits = |usage: &x509_parser::extensions::KeyUsage| match is_ca {
        true => usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature(),
        false => usage.flags == 1,
    };
    ensure(usage.is_some_and(|usage| usage.critical && usage_fits(usage.value)), "the key usage")?;
    let purposes = certificate.extended_key_usage().map_err(|_| Error::Lint("the extended key usage"))?;
    let count = purposes.map_or(0, |purposes| super::authority::extended_key_usages(purposes.value).len());
    ensure(count == params.extended_key_usages.len(), "the extended key usage")?;
    let mut key_ids = (false, false);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => key_ids.0 = id.0 == expected.public_key.key_id().as_bytes(),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                let key = id.key_identifier.as_ref().map(|id| id.0);
                key_ids.1 = key == Some(expected.issuer_key_id.as_bytes())
                    && id.authority_cert_issuer.is_none()
                    && id.authority_cert_serial.is_none();
            }
            _ => {}
        }
    }
    ensure(key_ids == (true, true), "the key identifiers")
}
