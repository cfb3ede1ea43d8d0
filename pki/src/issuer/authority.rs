//! How authorities come to be: a root signs itself, a root signs the ones below it.

use std::sync::Arc;

use rcgen::PublicKeyData as _;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::RelativeDistinguishedName;

use super::prepare::{Contents, Window, certificate_params};
use super::template::{Blank, Layout};
use super::{Facts, Issuer, lint};
use crate::certificate::{self, IssuedCertificate};
use crate::der;
use crate::distribution_points::DistributionPoints;
use crate::error::Error;
use crate::key::PublicKey;
use crate::key_id::KeyId;
use crate::name::AuthorityName;
use crate::profile::{ExtendedKeyUsage, Profile, ProfileKind};
use crate::serial::Serial;
use crate::signer::{self, Signer};
use crate::thumbprint::Thumbprint;

impl Issuer {
    /// Makes a root: an authority whose certificate it signs itself.
    ///
    /// The subject's common name is `name` followed by a blank and the first eight hex digits of the key identifier, so that each
    /// generation has its own distinguished name.
    ///
    /// # Errors
    /// [`Error::ProfileMismatch`] unless the profile is a root's; [`Error::KeyNotAllowed`]; [`Error::InvalidName`].
    pub fn self_signed(
        profile: &Profile,
        name: impl Into<AuthorityName>,
        key: impl Signer + 'static,
        serial: Serial,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        if profile.kind() != ProfileKind::Root {
            return Err(Error::ProfileMismatch { profile: profile.kind().as_str(), request: "root" });
        }
        let public_key = key.public_key().clone();
        let validity = Window::unbounded(profile, None, now)?;
        let contents = Contents {
            subject: name.into().generation(public_key.key_id())?,
            subject_alt_names: Vec::new(),
            ocsp_nocheck: false,
            public_key: &public_key,
            lifetime: None,
            serial,
            // A verifier trusts a root because it was told to, so there is nothing to look up about it.
            urls: &DistributionPoints::default(),
        };
        let params = certificate_params(profile, &contents, &validity)?;
        let blank = rcgen::Issuer::from_params(&params, Blank::of(&public_key));
        let layout = Layout::of_certificate(&params, public_key.for_rcgen(), &blank)?;
        let subject_der = certificate::parse(&layout.object)?.subject().as_raw().to_vec();
        let expected = lint::Expected {
            issuer: &subject_der,
            issuer_key_id: public_key.key_id(),
            profile,
            params: &params,
            serial,
            validity,
            public_key: &public_key,
        };
        lint::check(&layout.object, &expected)?;
        let signature = signer::sign_verified(&key, &layout.tbs)?;
        Self::assemble(der::signed(&layout.tbs, &layout.signature_algorithm, &signature), Arc::new(key))
    }

    /// Makes an authority below `parent`. Its validity is cut at the parent's; its name is made as in [`Issuer::self_signed`].
    ///
    /// `urls` are those of the parent: where the parent's revocation list and certificate are found.
    ///
    /// # Errors
    /// As [`Issuer::certify_authority`].
    pub fn subordinate(
        parent: &Issuer,
        profile: &Profile,
        name: impl Into<AuthorityName>,
        key: impl Signer + 'static,
        serial: Serial,
        urls: &DistributionPoints,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let issued = parent.certify_authority(profile, name, key.public_key(), serial, urls, now)?;
        Self::assemble(issued.der, Arc::new(key))
    }

    /// Signs the certificate of an authority whose private key is elsewhere: the root key stays offline, and only a public key
    /// travels to it.
    ///
    /// # Errors
    /// [`Error::ProfileMismatch`] unless the profile is an issuing authority's; [`Error::IssuerNotPermitted`] when the path
    /// length or the key usages of this authority forbid it; [`Error::KeyReused`]; the errors of [`Issuer::prepare`].
    pub fn certify_authority(
        &self,
        profile: &Profile,
        name: impl Into<AuthorityName>,
        public_key: &PublicKey,
        serial: Serial,
        urls: &DistributionPoints,
        now: OffsetDateTime,
    ) -> Result<IssuedCertificate, Error> {
        if !matches!(profile.kind(), ProfileKind::Issuing | ProfileKind::ServerIssuing) {
            return Err(Error::ProfileMismatch { profile: profile.kind().as_str(), request: "issuing" });
        }
        let contents = Contents {
            subject: name.into().generation(public_key.key_id())?,
            subject_alt_names: Vec::new(),
            ocsp_nocheck: false,
            public_key,
            lifetime: None,
            serial,
            urls,
        };
        self.sign(self.lay_out(profile, &contents, now)?)
    }

    /// Puts a certificate and its key together, checking that they fit and that the certificate is an authority's.
    pub(super) fn assemble(der: Vec<u8>, signer: Arc<dyn Signer>) -> Result<Self, Error> {
        let certificate = certificate::parse(&der)?;
        let public = PublicKey::from_spki_der(certificate.public_key().raw)?;
        if public != *signer.public_key() {
            return Err(Error::KeyMismatch);
        }
        let facts = Facts::read(&certificate, &public)?;
        let unusable =
            |_| Error::NotAnAuthority("its name has a form that cannot be copied into what it issues".into());
        let blank = rcgen::Issuer::from_ca_cert_der(&der.as_slice().into(), Blank::of(&public)).map_err(unusable)?;
        debug_assert_eq!(blank.key().der_bytes(), public.for_rcgen().der_bytes());
        Ok(Self { facts, public, signer, blank, der })
    }
}

impl Facts {
    pub(super) fn read(certificate: &X509Certificate<'_>, public: &PublicKey) -> Result<Self, Error> {
        let refuse = |why: &str| Error::NotAnAuthority(why.into());
        let extensions = certificate.extensions_map().map_err(|_| refuse("an extension stands in it twice"))?;
        if extensions.values().any(|extension| extension.parsed_extension().error().is_some()) {
            return Err(refuse("an extension in it is damaged"));
        }
        let basic = certificate.basic_constraints().ok().flatten().map(|basic| basic.value);
        let Some(basic) = basic.filter(|basic| basic.ca) else {
            return Err(refuse("it is not a CA certificate (basicConstraints lacks CA:TRUE)"));
        };
        // rustls accepts an issuing authority without keyCertSign; OpenSSL and others refuse what it issues.
        let usage = certificate.key_usage().ok().flatten().map(|usage| usage.value);
        let Some(usage) = usage.filter(|usage| usage.key_cert_sign()) else {
            return Err(refuse("its keyUsage lacks keyCertSign"));
        };
        if certificate.subject().iter_attributes().next().is_none() {
            return Err(refuse("its subject is empty"));
        }
        // rcgen panics on an empty RDN and on an attribute type outside the arcs 0.0 to 2.39, which X.500 has none of.
        let odd_type = |rdn: &RelativeDistinguishedName<'_>| {
            rdn.iter().next().is_none()
                || rdn.iter().any(|part| part.attr_type().as_bytes().first().is_none_or(|arc| *arc >= 120))
        };
        if certificate.subject().iter_rdn().any(odd_type) {
            return Err(refuse("its subject has an attribute type that does not exist"));
        }
        let mut key_id = None;
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => key_id = Some(KeyId::from_bytes(id.0)?),
                ParsedExtension::NameConstraints(_) => {
                    return Err(refuse("it has name constraints, which rustls and other verifiers judge differently"));
                }
                _ => {}
            }
        }
        Ok(Self {
            serial: Serial::from_der_integer(certificate.raw_serial())?,
            thumbprint: Thumbprint::of(certificate.as_raw()),
            subject: certificate.subject().to_string(),
            subject_der: certificate.subject().as_raw().to_vec(),
            // An imported authority may lack the extension; rcgen then takes the first 160 bits of the whole key's SHA-256.
            key_id: match key_id {
                Some(id) => id,
                None => KeyId::from_bytes(&public.fingerprint().as_bytes()[..20])?,
            },
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            path_length: basic.path_len_constraint,
            extended_key_usage: certificate
                .extended_key_usage()
                .ok()
                .flatten()
                .map(|usage| extended_key_usages(usage.value)),
            signs_crls: usage.crl_sign(),
            self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
        })
    }
}

/// The extended key usages of a certificate; each unknown one counts as one `Other`.
pub(crate) fn extended_key_usages(usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Vec<ExtendedKeyUsage> {
    let others = usage.other.len()
        + [usage.code_signing, usage.email_protection, usage.time_stamping].iter().filter(|set| **set).count();
    [
        (usage.server_auth, ExtendedKeyUsage::ServerAuth),
        (usage.client_auth, ExtendedKeyUsage::ClientAuth),
        (usage.ocsp_signing, ExtendedKeyUsage::OcspSigning),
        (usage.any, ExtendedKeyUsage::Any),
    ]
    .into_iter()
    .filter_map(|(set, usage)| set.then_some(usage))
    .chain(std::iter::repeat_n(ExtendedKeyUsage::Other, others))
    .collect()
}
