//! One root under another, while one follows the other.

use rcgen::{DistinguishedName, DnType, DnValue};
use time::OffsetDateTime;
use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;

use super::prepare::Contents;
use super::{Facts, Issuer};
use crate::certificate::{self, IssuedCertificate};
use crate::distribution_points::DistributionPoints;
use crate::error::Error;
use crate::key::PublicKey;
use crate::profile::{Profile, ProfileKind};
use crate::serial::Serial;

/// What a cross-certificate puts between this root and a leaf: itself and an issuing authority.
const LEVELS_BELOW: u32 = 2;

impl Issuer {
    /// Certifies another root's name and key under this one (RFC 4210 §4.4): by the old root for the new one (NewWithOld), so
    /// that who has only the old one installed reaches what the new one signs; by the new root for the old one (OldWithNew) for
    /// the others. `root` is the other's certificate in DER.
    ///
    /// Name, key and subjectKeyIdentifier are the other's, byte for byte, so that everything it signed chains to either. It ends
    /// with the first of the two roots. `urls` are those of this root.
    ///
    /// # Errors
    /// [`Error::ProfileMismatch`] unless the profile is that of cross-certificates; [`Error::NotAnAuthority`] when `root` is no
    /// self-signed authority or its name cannot be copied; [`Error::KeyReused`] for this root itself;
    /// [`Error::IssuerNotPermitted`] when this is no root, or its path length leaves no room for an issuing authority below;
    /// [`Error::OutlivesIssuer`] when either has ended.
    pub fn cross_certify(
        &self,
        profile: &Profile,
        root: &[u8],
        serial: Serial,
        urls: &DistributionPoints,
        now: OffsetDateTime,
    ) -> Result<IssuedCertificate, Error> {
        if profile.kind() != ProfileKind::Cross {
            return Err(Error::ProfileMismatch { profile: profile.kind().as_str(), request: "cross" });
        }
        if !self.is_root() || self.facts.path_length.is_some_and(|length| length < LEVELS_BELOW) {
            return Err(Error::IssuerNotPermitted(profile.kind().as_str()));
        }
        let certificate = certificate::parse(root)?;
        let public_key = PublicKey::from_spki_der(certificate.public_key().raw)?;
        let other = Facts::read(&certificate, &public_key)?;
        let refuse = |why: &str| Error::NotAnAuthority(why.into());
        if !crate::link::is_issued_by(root, root) {
            return Err(refuse("it is not a root: it did not sign itself"));
        }
        if other.key_id != *public_key.key_id() {
            return Err(refuse("its key identifier is not made as here, so what it signed would not chain"));
        }
        if other.subject_der == self.facts.subject_der {
            return Err(refuse("both roots have one name, which verifiers cannot tell apart"));
        }
        let left = other.not_after - now;
        if left < time::Duration::SECOND {
            return Err(Error::OutlivesIssuer { not_after: other.not_after });
        }
        let contents = Contents {
            subject: copied(&certificate)?,
            subject_alt_names: Vec::new(),
            ocsp_nocheck: false,
            public_key: &public_key,
            lifetime: Some(profile.default_lifetime().min(left)),
            serial,
            urls,
        };
        let issued = self.sign(self.lay_out(profile, &contents, now)?)?;
        match certificate::parse(&issued.der)?.subject().as_raw() == other.subject_der {
            true => Ok(issued),
            false => Err(refuse("its name has a form that cannot be copied exactly")),
        }
    }
}

/// The subject, attribute by attribute. That it came out the same is checked on the signed bytes.
fn copied(certificate: &X509Certificate<'_>) -> Result<DistinguishedName, Error> {
    let refuse = || Error::NotAnAuthority("its name has a form that cannot be copied".into());
    let mut name = DistinguishedName::new();
    for attribute in certificate.subject().iter_attributes() {
        let kind: Vec<u64> = attribute.attr_type().iter().ok_or_else(refuse)?.collect();
        let text = attribute.as_str().map_err(|_| refuse())?;
        let value = match attribute.attr_value().header.tag() {
            Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
            Tag::PrintableString => DnValue::PrintableString(text.try_into().map_err(|_| refuse())?),
            _ => return Err(refuse()),
        };
        name.push(DnType::from_oid(&kind), value);
    }
    Ok(name)
}
