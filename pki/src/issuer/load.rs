//! Taking up an authority that already exists, ours after a restart or an imported one.

use time::{Duration, OffsetDateTime};

use super::Issuer;
use super::prepare::{Contents, whole_seconds};
use crate::certificate;
use crate::distribution_points::DistributionPoints;
use crate::error::Error;
use crate::key::{KeyAlgorithm, PrivateKey};
use crate::name;
use crate::pem;
use crate::profile::{Profile, ProfileKind};
use crate::serial::Serial;

impl Issuer {
    /// Takes up an authority from its certificate, PEM (one block) or DER, and its key.
    ///
    /// Beyond reading it, this issues a throw-away certificate in memory and checks that it chains: an imported authority whose
    /// name cannot be copied exactly is found here, and not by a partner's verifier.
    ///
    /// # Errors
    /// [`Error::KeyMismatch`]; [`Error::NotAnAuthority`] with the reason; [`Error::OutlivesIssuer`] when it has ended and
    /// [`Error::IssuerNotYetValid`] when it has not begun at `now`; the errors of reading.
    pub fn load(certificate: &[u8], key: PrivateKey, now: OffsetDateTime) -> Result<Self, Error> {
        let der = match pem::is_der(certificate) {
            true => certificate.to_vec(),
            false => match pem::pem_certificates(certificate)?.as_slice() {
                [one] => one.clone(),
                _ => return Err(Error::MalformedPem("give exactly one certificate, that of the authority")),
            },
        };
        let issuer = Self::assemble(der, key)?;
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
            let probe = self.sign(self.lay_out(&profile, &contents, now)?)?;
            let (authority, probe) = (certificate::parse(&self.der)?, certificate::parse(&probe.der)?);
            probe.verify_signature(Some(authority.public_key())).map_err(|_| Error::Crypto("checking the probe"))
        };
        chains().map_err(|error| Error::NotAnAuthority(format!("what it issues would not chain to it: {error}")))
    }
}
