//! What every certificate issued here must be, read from the finished certificate alone: the last look before it is signed.
//!
//! The checks on a request say what was meant; these say what came out. Each finding has a name, as in zlint and pkilint, which
//! judge the same profiles from outside in the tests.

mod canonical;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_PKIX_AUTHORITY_INFO_ACCESS, OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_CERTIFICATE_POLICIES, OID_X509_EXT_CRL_DISTRIBUTION_POINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, Oid, asn1_rs::oid,
};
use x509_parser::x509::X509Version;

use crate::certificate;
use crate::der;
use crate::distribution_points::check_url;
use crate::error::Error;
use crate::issuer;
use crate::key::{KeyAlgorithm, PublicKey};
use crate::profile::{Profile, ProfileKind};
use crate::serial::Serial;
use crate::spiffe_id::SpiffeId;

/// id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1).
const OCSP_NOCHECK: Oid<'static> = oid!(1.3.6.1.5.5.7.48.1.5);
/// noRevAvail (RFC 9608): a certificate that ends before anybody would ask.
const NO_REVOCATION: Oid<'static> = oid!(2.5.29.56);
/// BR §7.1: at least 64 random bits.
const SERIAL_OCTETS_MIN: usize = 8;
/// RFC 5280 §4.1.2.5: until then UTCTime, from then on GeneralizedTime.
const FIRST_YEAR_OF_GENERALIZED_TIME: i32 = 2050;

/// Reads a certificate (DER) as a stranger would and holds it against its profile.
///
/// It must be canonical DER to the last octet, name no algorithm in two ways, and hold exactly the extensions that RFC 5280
/// asks for, each with the criticality that it asks for, and none that is not known here.
///
/// # Errors
/// [`Error::Lint`] with the finding.
pub fn lint(certificate_der: &[u8], profile: &Profile) -> Result<(), Error> {
    canonical::check(certificate_der).map_err(Error::Lint)?;
    let certificate = certificate::parse(certificate_der).map_err(|_| Error::Lint("its encoding"))?;
    let lint = Lint { certificate: &certificate, profile, leaf: profile.path_length().is_none() };
    lint.serial_and_dates()?;
    lint.key(certificate_der)?;
    lint.names()?;
    lint.extensions()
}

/// The one signature AlgorithmIdentifier (RFC 5480, RFC 8410, RFC 4055 §5) that keys of this kind are used with here.
pub(crate) fn signature_algorithm_der(kind: KeyAlgorithm) -> &'static [u8] {
    match kind {
        KeyAlgorithm::EcdsaP256 => &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
        KeyAlgorithm::EcdsaP384 => &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3],
        KeyAlgorithm::Ed25519 => &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70],
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0]
        }
    }
}

fn ensure(holds: bool, finding: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Lint(finding)) }
}

struct Lint<'a> {
    certificate: &'a X509Certificate<'a>,
    profile: &'a Profile,
    leaf: bool,
}

impl Lint<'_> {
    fn serial_and_dates(&self) -> Result<(), Error> {
        ensure(self.certificate.version() == X509Version::V3, "it is not of version 3")?;
        let raw = self.certificate.raw_serial();
        let positive = raw.first().is_some_and(|first| first & 0x80 == 0) && raw.iter().any(|octet| *octet != 0);
        ensure(positive && raw.len() <= 20, "a serial number that is not positive or too long")?;
        let serial = Serial::from_der_integer(raw).map_err(|_| Error::Lint("the serial number"))?;
        ensure(serial.as_bytes().len() >= SERIAL_OCTETS_MIN, "a serial number that can be guessed")?;
        let (begin, end) = (self.certificate.validity().not_before, self.certificate.validity().not_after);
        ensure(begin < end, "a validity that is empty")?;
        let longest = self.profile.max_lifetime() + self.profile.backdate();
        ensure(end.timestamp() - begin.timestamp() <= longest.whole_seconds(), "a validity longer than the profile's")?;
        let right_type = |time: x509_parser::time::ASN1Time| {
            time.is_utctime() == (time.to_datetime().year() < FIRST_YEAR_OF_GENERALIZED_TIME)
        };
        ensure(right_type(begin) && right_type(end), "a date in the wrong type of time")
    }

    fn key(&self, certificate_der: &[u8]) -> Result<(), Error> {
        let key = PublicKey::from_spki_der(self.certificate.public_key().raw)
            .map_err(|_| Error::Lint("a key that is weak or damaged"))?;
        ensure(self.profile.check_key(key.algorithm()).is_ok(), "a kind of key that the profile does not allow")?;
        let id = self.extension(&OID_X509_EXT_SUBJECT_KEY_IDENTIFIER)?;
        let fits = matches!(id.map(X509Extension::parsed_extension),
            Some(ParsedExtension::SubjectKeyIdentifier(id)) if id.0 == key.key_id().as_bytes());
        ensure(fits, "a subjectKeyIdentifier that is not the key's (RFC 7093 §2)")?;
        let (_, algorithm) = der::unsigned(certificate_der)?;
        let known = KeyAlgorithm::ALL.iter().any(|kind| signature_algorithm_der(*kind) == algorithm);
        ensure(known, "a signature algorithm with wrong parameters")
    }

    fn names(&self) -> Result<(), Error> {
        let subject = self.certificate.subject();
        ensure(self.certificate.issuer().iter_attributes().next().is_some(), "an issuer without a name")?;
        ensure(subject.iter_common_name().count() == 1, "a subject without one common name")?;
        let names = self.extension(&OID_X509_EXT_SUBJECT_ALT_NAME)?;
        let names: &[GeneralName<'_>] = match names.map(X509Extension::parsed_extension) {
            Some(ParsedExtension::SubjectAlternativeName(names)) => &names.general_names,
            Some(_) => return Err(Error::Lint("a subjectAltName that is damaged")),
            None => &[],
        };
        match self.profile.kind() {
            ProfileKind::Client => {
                let identity = match names {
                    [GeneralName::URI(uri)] => uri.parse::<SpiffeId>().is_ok(),
                    _ => false,
                };
                ensure(identity, "a client without exactly one identity")
            }
            ProfileKind::Server => {
                let fits = |name: &GeneralName<'_>| match name {
                    GeneralName::DNSName(name) => !name.contains('*') && name.to_ascii_lowercase() == **name,
                    GeneralName::IPAddress(octets) => matches!(octets.len(), 4 | 16),
                    _ => false,
                };
                ensure(!names.is_empty() && names.iter().all(fits), "a server without exact names")
            }
            ProfileKind::Root
            | ProfileKind::Cross
            | ProfileKind::Issuing
            | ProfileKind::ServerIssuing
            | ProfileKind::Ocsp => ensure(names.is_empty(), "a subjectAltName where there should be none"),
        }
    }

    fn extensions(&self) -> Result<(), Error> {
        ensure(self.certificate.extensions_map().is_ok(), "an extension that stands in it twice")?;
        for extension in self.certificate.extensions() {
            let critical = criticality(&extension.oid).ok_or(Error::Lint("an extension that is not known here"))?;
            ensure(extension.critical == critical, "an extension with the wrong criticality")?;
            ensure(extension.parsed_extension().error().is_none(), "an extension that is damaged")?;
        }
        self.constraints()?;
        self.usages()?;
        self.authority_key_id()?;
        self.addresses()?;
        let responder = self.profile.kind() == ProfileKind::Ocsp;
        ensure(self.extension(&OCSP_NOCHECK)?.is_some() == responder, "ocsp-nocheck in the wrong place (RFC 6960)")
    }

    fn constraints(&self) -> Result<(), Error> {
        let basic = self.certificate.basic_constraints().ok().flatten();
        let fits = basic.is_some_and(|basic| {
            basic.value.ca != self.leaf && basic.value.path_len_constraint == self.profile.path_length().map(u32::from)
        });
        ensure(fits, "the basicConstraints")
    }

    fn usages(&self) -> Result<(), Error> {
        let usage = self.extension(&OID_X509_EXT_KEY_USAGE)?.ok_or(Error::Lint("the keyUsage is missing"))?;
        // digitalSignature alone, or keyCertSign and cRLSign; a named bit list ends with its last set bit (X.690 §11.2.2).
        let wanted: &[u8] = if self.leaf { &[3, 2, 7, 0x80] } else { &[3, 2, 1, 6] };
        ensure(usage.value == wanted, "the keyUsage")?;
        let purposes = self.certificate.extended_key_usage().ok().flatten();
        let purposes = purposes.map(|purposes| issuer::extended_key_usages(purposes.value)).unwrap_or_default();
        ensure(purposes == self.profile.extended_key_usage(), "the extendedKeyUsage")
    }

    fn authority_key_id(&self) -> Result<(), Error> {
        let id = self.extension(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER)?.map(X509Extension::parsed_extension);
        let fits = match id {
            // With the issuer's name and serial in it, no cross-signed path would be found.
            Some(ParsedExtension::AuthorityKeyIdentifier(id)) => {
                id.key_identifier.as_ref().is_some_and(|id| !id.0.is_empty())
                    && id.authority_cert_issuer.is_none()
                    && id.authority_cert_serial.is_none()
            }
            _ => false,
        };
        ensure(fits, "an authorityKeyIdentifier that is not the key's alone")
    }

    fn addresses(&self) -> Result<(), Error> {
        let points = self.extension(&OID_X509_EXT_CRL_DISTRIBUTION_POINTS)?;
        let access = self.extension(&OID_PKIX_AUTHORITY_INFO_ACCESS)?;
        let unasked = self.profile.kind() == ProfileKind::Ocsp || self.extension(&NO_REVOCATION)?.is_some();
        ensure(!unasked || points.is_none(), "an address of a list for a certificate without status")?;
        let fetched = |name: &GeneralName<'_>| matches!(name, GeneralName::URI(uri) if check_url(uri).is_ok());
        match points.map(X509Extension::parsed_extension) {
            None => {}
            Some(ParsedExtension::CRLDistributionPoints(points)) => {
                for point in points.iter() {
                    let fits = match &point.distribution_point {
                        Some(DistributionPointName::FullName(names)) => names.len() == 1 && names.iter().all(fetched),
                        _ => false,
                    };
                    ensure(fits && point.reasons.is_none() && point.crl_issuer.is_none(), "the address of a list")?;
                }
            }
            Some(_) => return Err(Error::Lint("the address of a list")),
        }
        match access.map(X509Extension::parsed_extension) {
            None => Ok(()),
            Some(ParsedExtension::AuthorityInfoAccess(access)) => {
                let all = access.accessdescs.iter().all(|access| fetched(&access.access_location));
                ensure(all && !access.accessdescs.is_empty(), "an address in authorityInfoAccess")
            }
            Some(_) => Err(Error::Lint("an address in authorityInfoAccess")),
        }
    }

    fn extension(&self, oid: &Oid<'_>) -> Result<Option<&X509Extension<'_>>, Error> {
        self.certificate.get_extension_unique(oid).map_err(|_| Error::Lint("an extension that stands in it twice"))
    }
}

/// Whether an extension must be critical (RFC 5280 §4.2.1); `None` for one that is not issued here.
fn criticality(oid: &Oid<'_>) -> Option<bool> {
    let critical = [OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE];
    let plain = [
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        // The subject is never empty here.
        OID_X509_EXT_SUBJECT_ALT_NAME,
        OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
        OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
        OID_X509_EXT_CERTIFICATE_POLICIES,
        OID_PKIX_AUTHORITY_INFO_ACCESS,
        OCSP_NOCHECK,
        NO_REVOCATION,
    ];
    if critical.contains(oid) {
        return Some(true);
    }
    plain.contains(oid).then_some(false)
}
