//! The trial: a certificate is signed under a throw-away key and judged whole, before the authority's own key touches it.
//!
//! As in Let's Encrypt's Boulder: a signature cannot be taken back, so what would be found in the signed certificate must be found
//! before. The throw-away key is of the authority's kind, so the trial differs from the real one in the signature alone.

use std::sync::OnceLock;

use super::{Issuer, Prepared};
use crate::certificate::{self, IssuedCertificate};
use crate::der;
use crate::error::Error;
use crate::key::{KeyAlgorithm, PrivateKey};
use crate::lint::{lint, signature_algorithm_der};
use crate::serial::Serial;
use crate::signature;
use crate::signer;
use crate::thumbprint::Thumbprint;

/// A certificate that stood the trial. Nothing else can be signed.
#[derive(Debug)]
pub struct Linted(pub(super) Prepared);

impl Linted {
    /// What will be signed.
    pub fn prepared(&self) -> &Prepared {
        &self.0
    }
}

impl Issuer {
    /// Signs the prepared octets under a throw-away key, and reads the result as a stranger would: the signature verifies, the
    /// octets are the prepared ones, and [`lint`] finds nothing.
    ///
    /// # Errors
    /// [`Error::Lint`] with the finding; [`Error::WrongIssuer`] when it was prepared by another authority.
    pub fn lint(&self, prepared: Prepared) -> Result<Linted, Error> {
        if prepared.authority != self.facts.thumbprint {
            return Err(Error::WrongIssuer);
        }
        let kind = self.public.algorithm();
        let key = throw_away(kind)?;
        let trial = signer::sign_verified(key, &prepared.tbs)?;
        let trial = der::signed(&prepared.tbs, &prepared.signature_algorithm, &trial);
        lint(&trial, &prepared.profile)?;
        let read = certificate::parse(&trial).map_err(|_| Error::Lint("its encoding"))?;
        let ensure = |holds: bool, finding| if holds { Ok(()) } else { Err(Error::Lint(finding)) };
        ensure(prepared.signature_algorithm == signature_algorithm_der(kind), "the signature algorithm")?;
        ensure(der::unsigned(&trial)?.0 == prepared.tbs, "the octets to be signed")?;
        ensure(Serial::from_der_integer(read.raw_serial()) == Ok(prepared.serial), "the serial number")?;
        ensure(read.issuer().as_raw() == self.facts.subject_der, "the issuer's name")?;
        let proved =
            signature::verify(&read.signature_algorithm, &read.signature_value, &prepared.tbs, key.public_key());
        ensure(proved.is_ok(), "the trial's signature")?;
        Ok(Linted(prepared))
    }

    /// Signs what stood the trial, those octets and no others.
    ///
    /// # Errors
    /// [`Error::WrongIssuer`] when it was prepared by another authority; [`Error::Crypto`]; [`Error::Signer`].
    pub fn sign_linted(&self, Linted(prepared): Linted) -> Result<IssuedCertificate, Error> {
        if prepared.authority != self.facts.thumbprint {
            return Err(Error::WrongIssuer);
        }
        let der = self.sign_tbs(&prepared.tbs, &prepared.signature_algorithm)?;
        Ok(IssuedCertificate {
            serial: prepared.serial,
            thumbprint: Thumbprint::of(&der),
            der,
            not_before: prepared.not_before,
            not_after: prepared.not_after,
            spki_fingerprint: prepared.spki_fingerprint,
            subject: prepared.subject,
            issuer_key_id: self.facts.key_id.clone(),
        })
    }
}

/// One for each kind and process. What it signs chains to nothing, so it need not be new each time; an RSA key takes a second.
fn throw_away(kind: KeyAlgorithm) -> Result<&'static PrivateKey, Error> {
    static KEYS: [OnceLock<PrivateKey>; KeyAlgorithm::ALL.len()] = [const { OnceLock::new() }; KeyAlgorithm::ALL.len()];
    let place = KeyAlgorithm::ALL.iter().position(|known| *known == kind);
    let cell = place.and_then(|place| KEYS.get(place)).ok_or(Error::Crypto("making a throw-away key"))?;
    if let Some(key) = cell.get() {
        return Ok(key);
    }
    let key = PrivateKey::generate(kind)?;
    Ok(cell.get_or_init(|| key))
}
