//! Taking up an authority that already exists, ours after a restart or an imported one.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::prepare::{Contents, whole_seconds};
use super::{Issuer, Linted};
use crate::certificate;
use crate::distribution_points::DistributionPoints;
use crate::error::Error;
use crate::key::{KeyAlgorithm, PrivateKey, PublicKey};
use crate::name;
use crate::pem;
use crate::profile::{Profile, ProfileKind};
use crate::serial::Serial;
use crate::signature;
use crate::signer::Signer;

impl Issuer {
    /// Takes up an authority from its certificate, PEM (one block) or DER, and its key.
    ///
    /// Beyond reading it, this issues a throw-away certificate in memory and checks that it chains: an imported authority whose
    /// name cannot be copied exactly is found here, and not by a partner's verifier.
    ///
    /// # Errors
    /// [`Error::KeyMismatch`]; [`Error::NotAnAuthority`] with the reason; [`Error::OutlivesIssuer`] when it has ended and
    /// [`Error::IssuerNotYetValid`] when it has not begun at `now`; the errors of reading.
    pub fn load(certificate: &[u8], key: impl Signer + 'static, now: OffsetDateTime) -> Result<Self, Error> {
        let der = one_certificate(certificate)?;
        let issuer = Self::assemble(der, Arc::new(key))?;
        if issuer.is_root() {
            issuer.check_signed_by(&issuer.der)?;
        }
        let now = whole_seconds(now)?;
        if now < issuer.facts.not_before {
            return Err(Error::IssuerNotYetValid { not_before: issuer.facts.not_before });
        }
        if now >= issuer.facts.not_after {
            return Err(Error::OutlivesIssuer { not_after: issuer.facts.not_after });
        }
        issuer.probe(now)?;
        Ok(issuer)
    }

    /// Checks that this authority's certificate was signed by the parent with this certificate, in DER or PEM. The parent may be
    /// a root whose key is elsewhere.
    ///
    /// # Errors
    /// [`Error::NotAnAuthority`] when name or signature do not fit.
    pub fn check_signed_by(&self, parent: &[u8]) -> Result<(), Error> {
        let refuse = |why: &str| Error::NotAnAuthority(why.into());
        let parent = one_certificate(parent)?;
        let (parent, own) = (certificate::parse(&parent)?, certificate::parse(&self.der)?);
        if own.issuer().as_raw() != parent.subject().as_raw() {
            return Err(refuse("its issuer has another name than the parent"));
        }
        let key = PublicKey::from_spki_der(parent.public_key().raw)?;
        signature::verify(&own.signature_algorithm, &own.signature_value, own.tbs_certificate.as_ref(), &key)
            .map_err(|_| refuse("its signature does not verify with the parent's key, or uses SHA-1"))
    }

    fn probe(&self, now: OffsetDateTime) -> Result<(), Error> {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        let kinds = [ProfileKind::Client, ProfileKind::Server, ProfileKind::Issuing, ProfileKind::ServerIssuing];
        let permitted = kinds.into_iter().map(Profile::builtin).find(|profile| self.check_permitted(profile).is_ok());
        let Some(profile) = permitted else {
            return Err(Error::NotAnAuthority(
                "its extendedKeyUsage allows neither client nor server certificates".into(),
            ));
        };
        let contents = Contents {
            subject: name::distinguished_name("probe", None)?,
            subject_alt_names: Vec::new(),
            ocsp_nocheck: false,
            public_key: key.public_key(),
            lifetime: Some(Duration::SECOND),
            serial: Serial::from_random([0; 16]),
            urls: &DistributionPoints::default(),
        };
        let chains = || {
            // It names nobody, lives a second and is dropped here: of what the lint asks, it has nothing.
            let probe = self.sign_linted(Linted(self.lay_out(&profile, &contents, now)?))?;
            let (authority, probe) = (certificate::parse(&self.der)?, certificate::parse(&probe.der)?);
            probe.verify_signature(Some(authority.public_key())).map_err(|_| Error::Crypto("checking the probe"))
        };
        chains().map_err(|error| Error::NotAnAuthority(format!("what it issues would not chain to it: {error}")))
    }
}

fn one_certificate(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    if pem::is_der(bytes) {
        return Ok(bytes.to_vec());
    }
    match pem::pem_certificates(bytes)?.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(Error::MalformedPem("give exactly one certificate, that of the authority")),
    }
}
