//! Reads a laid-out certificate back with another parser before it is signed.
//!
//! What counts is what the certificate says, not what was asked of the encoder: other authorities checked the request and then
//! signed something else (GHSA-g892-p242-8g86).

use std::net::IpAddr;

use rcgen::{CertificateParams, DnType, DnValue, SanType};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::x509::X509Version;

use super::prepare::Window;
use crate::certificate;
use crate::error::Error;
use crate::key::PublicKey;
use crate::key_id::KeyId;
use crate::profile::Profile;
use crate::serial::Serial;

pub(super) struct Expected<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) issuer_key_id: &'a KeyId,
    pub(super) profile: &'a Profile,
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
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let wanted = &params.subject_alt_names;
    ensure(
        names.len() == wanted.len() && names.iter().zip(wanted).all(|(name, wanted)| same(name, wanted)),
        "the names",
    )?;
    let mut common_names = certificate.subject().iter_common_name().map(|name| name.as_str().ok());
    let wanted = match params.distinguished_name.get(&DnType::CommonName) {
        Some(DnValue::Utf8String(name)) => Some(name.as_str()),
        _ => None,
    };
    ensure(
        wanted.is_some() && common_names.next() == Some(wanted) && common_names.next().is_none(),
        "the common name",
    )?;
    Ok(certificate.subject().to_string())
}

fn check_extensions(
    certificate: &X509Certificate<'_>,
    expected: &Expected<'_>,
    ensure: &impl Fn(bool, &'static str) -> Result<(), Error>,
) -> Result<(), Error> {
    let basic = certificate.basic_constraints().ok().flatten();
    let path_length = expected.profile.path_length().map(u32::from);
    let basic_fits = |basic: &x509_parser::extensions::BasicConstraints| {
        basic.ca == path_length.is_some() && basic.path_len_constraint == path_length
    };
    ensure(basic.is_some_and(|basic| basic.critical && basic_fits(basic.value)), "the basic constraints")?;
    let usage = certificate.key_usage().ok().flatten();
    let usage_fits = |usage: &x509_parser::extensions::KeyUsage| match path_length.is_some() {
        true => usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature(),
        false => usage.flags == 1,
    };
    ensure(usage.is_some_and(|usage| usage.critical && usage_fits(usage.value)), "the key usage")?;
    let purposes = certificate.extended_key_usage().map_err(|_| Error::Lint("the extended key usage"))?;
    let purposes = purposes.map(|purposes| super::extended_key_usages(purposes.value)).unwrap_or_default();
    ensure(purposes == expected.profile.extended_key_usage(), "the extended key usage")?;
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

fn same(name: &GeneralName<'_>, wanted: &SanType) -> bool {
    match (name, wanted) {
        (GeneralName::URI(name), SanType::URI(wanted)) | (GeneralName::DNSName(name), SanType::DnsName(wanted)) => {
            *name == wanted.as_str()
        }
        (GeneralName::IPAddress(octets), SanType::IpAddress(IpAddr::V4(wanted))) => *octets == wanted.octets(),
        (GeneralName::IPAddress(octets), SanType::IpAddress(IpAddr::V6(wanted))) => *octets == wanted.octets(),
        _ => false,
    }
}
