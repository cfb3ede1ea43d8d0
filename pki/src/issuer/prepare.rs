//! Everything about a certificate except its signature.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyUsagePurpose, SerialNumber,
};
use time::{Duration, OffsetDateTime, UtcOffset};

use super::template::Layout;
use super::{Issuer, lint};
use crate::distribution_points::DistributionPoints;
use crate::error::Error;
use crate::key::PublicKey;
use crate::key_id::KeyId;
use crate::leaf_request::{Identity, LeafRequest};
use crate::name;
use crate::profile::{ExtendedKeyUsage, KeyUsage, Profile};
use crate::serial::Serial;
use crate::thumbprint::{SpkiFingerprint, Thumbprint};

/// id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1).
const OCSP_NOCHECK: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
const DER_NULL: &[u8] = &[5, 0];

/// BR §7.1: at least 64 random bits.
const MIN_SERIAL_OCTETS: usize = 8;

/// A certificate that is checked and laid out, but not signed.
///
/// Between [`Issuer::prepare`] and [`Issuer::sign`] belongs the durable record of [`Prepared::tbs_der`]: after a crash the
/// register then knows every certificate that may exist, and can revoke it.
///
/// It cannot be cloned and is used up by signing: two signatures would be two certificates with one serial number.
#[derive(Debug)]
pub struct Prepared {
    pub(super) authority: Thumbprint,
    pub(super) issuer_key_id: KeyId,
    pub(super) serial: Serial,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    pub(super) subject: String,
    pub(super) spki_fingerprint: SpkiFingerprint,
    pub(super) profile: Profile,
    pub(super) tbs: Vec<u8>,
    pub(super) signature_algorithm: Vec<u8>,
}

impl Prepared {
    /// The serial number that was given.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// First second of validity, in UTC.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// Last second of validity, in UTC. Earlier than asked for when the authority ends first.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// The subject, for people.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// SHA-256 of the key to be certified.
    pub fn spki_fingerprint(&self) -> SpkiFingerprint {
        self.spki_fingerprint
    }

    /// The authority that will sign.
    pub fn issuer_key_id(&self) -> &KeyId {
        &self.issuer_key_id
    }

    /// The DER TBSCertificate (RFC 5280 §4.1.2) whose exact octets will be signed.
    pub fn tbs_der(&self) -> &[u8] {
        &self.tbs
    }
}

impl Issuer {
    /// Checks a request against a profile and lays the certificate out. Nothing is signed.
    ///
    /// notBefore is `now` less the profile's backdating, but not before the authority's own. notAfter is `now` plus the lifetime,
    /// cut at the authority's own notAfter.
    ///
    /// # Errors
    /// [`Error::ProfileMismatch`], [`Error::IssuerNotPermitted`], [`Error::KeyNotAllowed`], [`Error::KeyReused`],
    /// [`Error::LifetimeTooLong`], [`Error::OutlivesIssuer`] when the authority has ended, [`Error::WeakSerial`], and the errors
    /// of names and addresses.
    pub fn prepare(
        &self,
        profile: &Profile,
        request: LeafRequest,
        serial: Serial,
        urls: &DistributionPoints,
        now: OffsetDateTime,
    ) -> Result<Prepared, Error> {
        if request.identity.profile_kind() != profile.kind() {
            let (profile, request) = (profile.kind().as_str(), request.identity.profile_kind().as_str());
            return Err(Error::ProfileMismatch { profile, request });
        }
        // Nobody can ask about the one who answers: a responder's certificate carries no addresses (RFC 6960 §4.2.2.2.1).
        let responder = request.identity == Identity::Ocsp;
        let nothing = DistributionPoints::default();
        self.lay_out(
            profile,
            &Contents {
                subject: name::distinguished_name(&request.common_name, request.organization.as_deref())?,
                subject_alt_names: request.identity.subject_alt_names()?,
                ocsp_nocheck: responder,
                public_key: &request.public_key,
                lifetime: request.lifetime,
                serial,
                urls: if responder { &nothing } else { urls },
            },
            now,
        )
    }

    pub(super) fn lay_out(
        &self,
        profile: &Profile,
        contents: &Contents<'_>,
        now: OffsetDateTime,
    ) -> Result<Prepared, Error> {
        self.check_permitted(profile)?;
        if *contents.public_key == self.public {
            return Err(Error::KeyReused);
        }
        let window = Window { not_before: self.facts.not_before, not_after: self.facts.not_after };
        let validity = window.within(profile, contents.lifetime, now)?;
        let params = certificate_params(profile, contents, &validity)?;
        let layout = Layout::of_certificate(&params, contents.public_key.for_rcgen(), &self.blank)?;
        let expected = lint::Expected {
            issuer: &self.facts.subject_der,
            issuer_key_id: &self.facts.key_id,
            profile,
            params: &params,
            serial: contents.serial,
            validity,
            public_key: contents.public_key,
        };
        let subject = lint::check(&layout.object, &expected)?;
        Ok(Prepared {
            authority: self.facts.thumbprint,
            issuer_key_id: self.facts.key_id.clone(),
            serial: contents.serial,
            not_before: validity.not_before,
            not_after: validity.not_after,
            subject,
            spki_fingerprint: contents.public_key.fingerprint(),
            profile: profile.clone(),
            tbs: layout.tbs,
            signature_algorithm: layout.signature_algorithm,
        })
    }

    /// Whether its own certificate lets it issue certificates of this profile.
    ///
    /// # Errors
    /// [`Error::IssuerNotPermitted`].
    pub fn may_issue(&self, profile: &Profile) -> Result<(), Error> {
        self.check_permitted(profile)
    }

    /// Path length and extended key usage of the authority must cover the certificate: verifiers would refuse it otherwise, but
    /// not all of them, and not in the same way.
    pub(super) fn check_permitted(&self, profile: &Profile) -> Result<(), Error> {
        let refuse = Err(Error::IssuerNotPermitted(profile.kind().as_str()));
        if profile.path_length().is_some() && !self.issues_authorities() {
            return refuse;
        }
        let Some(allowed) = &self.facts.extended_key_usage else { return Ok(()) };
        if allowed.contains(&ExtendedKeyUsage::Any) {
            return Ok(());
        }
        let wanted = profile.extended_key_usage();
        match !wanted.is_empty() && wanted.iter().all(|usage| allowed.contains(usage)) {
            true => Ok(()),
            false => refuse,
        }
    }
}

/// What varies between two certificates of one profile.
pub(super) struct Contents<'a> {
    pub(super) subject: DistinguishedName,
    pub(super) subject_alt_names: Vec<rcgen::SanType>,
    pub(super) ocsp_nocheck: bool,
    pub(super) public_key: &'a PublicKey,
    pub(super) lifetime: Option<Duration>,
    pub(super) serial: Serial,
    pub(super) urls: &'a DistributionPoints,
}

/// A validity period, both ends included, in whole seconds of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl Window {
    /// The validity that the profile gives from `now` on, as far as it lies inside this window of the authority.
    pub(super) fn within(self, profile: &Profile, asked: Option<Duration>, now: OffsetDateTime) -> Result<Self, Error> {
        let wanted = Self::unbounded(profile, asked, now)?;
        let now = whole_seconds(now)?;
        if now < self.not_before {
            return Err(Error::IssuerNotYetValid { not_before: self.not_before });
        }
        if now >= self.not_after {
            return Err(Error::OutlivesIssuer { not_after: self.not_after });
        }
        Ok(Self { not_before: wanted.not_before.max(self.not_before), not_after: wanted.not_after.min(self.not_after) })
    }

    /// The same for a root, which nothing bounds.
    pub(super) fn unbounded(profile: &Profile, asked: Option<Duration>, now: OffsetDateTime) -> Result<Self, Error> {
        let lifetime = profile.lifetime(asked)?;
        let now = whole_seconds(now)?;
        let not_before = now.checked_sub(profile.backdate()).ok_or(Error::InvalidTime)?;
        let not_after = now.checked_add(lifetime).ok_or(Error::InvalidTime)?;
        match not_before.year() >= 1950 && not_after.year() <= 9999 {
            true => Ok(Self { not_before, not_after }),
            false => Err(Error::InvalidTime),
        }
    }
}

/// Certificates carry no fractions (RFC 5280 §4.1.2.5) and no time zone.
pub(crate) fn whole_seconds(time: OffsetDateTime) -> Result<OffsetDateTime, Error> {
    let utc = time.checked_to_offset(UtcOffset::UTC).ok_or(Error::InvalidTime)?;
    utc.replace_nanosecond(0).map_err(|_| Error::InvalidTime)
}

/// Every field is set here: rcgen's defaults are valid from 1975 to 4096, have no authority key identifier and no key usage, and
/// repeat the serial number for a repeated key, so that revoking one certificate kills or spares another.
pub(super) fn certificate_params(
    profile: &Profile,
    contents: &Contents<'_>,
    validity: &Window,
) -> Result<CertificateParams, Error> {
    profile.check_key(contents.public_key.algorithm())?;
    let serial = contents.serial.as_bytes();
    if serial.len() < MIN_SERIAL_OCTETS || (serial.len() == 20 && serial[0] & 0x80 != 0) {
        return Err(Error::WeakSerial { octets: serial.len() });
    }
    let mut extensions: Vec<CustomExtension> = contents.urls.authority_info_access()?.into_iter().collect();
    if contents.ocsp_nocheck {
        extensions.push(CustomExtension::from_oid_content(OCSP_NOCHECK, DER_NULL.to_vec()));
    }
    // The struct cannot be written out in full (it is non_exhaustive), so each field is assigned.
    let mut params = CertificateParams::default();
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.subject_alt_names = contents.subject_alt_names.clone();
    params.distinguished_name = contents.subject.clone();
    params.is_ca = match profile.path_length() {
        Some(length) => IsCa::Ca(BasicConstraints::Constrained(length)),
        None => IsCa::ExplicitNoCa,
    };
    params.key_usages = profile.key_usage().iter().map(|usage| key_usage(*usage)).collect();
    params.extended_key_usages = profile.extended_key_usage().iter().filter_map(|usage| purpose(*usage)).collect();
    params.name_constraints = None;
    params.crl_distribution_points = contents.urls.crl_distribution_points()?;
    params.custom_extensions = extensions;
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = KeyIdMethod::PreSpecified(contents.public_key.key_id().as_bytes().to_vec());
    Ok(params)
}

fn key_usage(usage: KeyUsage) -> KeyUsagePurpose {
    match usage {
        KeyUsage::DigitalSignature => KeyUsagePurpose::DigitalSignature,
        KeyUsage::KeyCertSign => KeyUsagePurpose::KeyCertSign,
        KeyUsage::CrlSign => KeyUsagePurpose::CrlSign,
    }
}

/// `None` for what no profile can hold.
fn purpose(usage: ExtendedKeyUsage) -> Option<ExtendedKeyUsagePurpose> {
    match usage {
        ExtendedKeyUsage::ServerAuth => Some(ExtendedKeyUsagePurpose::ServerAuth),
        ExtendedKeyUsage::ClientAuth => Some(ExtendedKeyUsagePurpose::ClientAuth),
        ExtendedKeyUsage::OcspSigning => Some(ExtendedKeyUsagePurpose::OcspSigning),
        ExtendedKeyUsage::Any | ExtendedKeyUsage::Other => None,
    }
}
