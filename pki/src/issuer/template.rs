//! rcgen as an encoder only: it lays out what is to be signed, and never holds the key.

use rcgen::{CertificateParams, PublicKeyData, SignatureAlgorithm, SigningKey};

use crate::der;
use crate::error::Error;
use crate::key::PublicKey;
use crate::signer;

/// A signer with the authority's algorithm and public key that leaves the signature empty.
#[derive(Clone)]
pub(super) struct Blank {
    algorithm: &'static SignatureAlgorithm,
    public: Vec<u8>,
}

impl Blank {
    pub(super) fn of(key: &PublicKey) -> Self {
        Self { algorithm: signer::signature_algorithm(key.algorithm()), public: key.for_rcgen().der_bytes().to_vec() }
    }
}

impl PublicKeyData for Blank {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Blank {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// A laid-out object: the unsigned whole, what is to be signed, and the algorithm it will be signed with.
pub(super) struct Layout {
    pub(super) object: Vec<u8>,
    pub(super) tbs: Vec<u8>,
    pub(super) signature_algorithm: Vec<u8>,
}

impl Layout {
    pub(super) fn of_certificate(
        params: &CertificateParams,
        subject: &impl PublicKeyData,
        issuer: &rcgen::Issuer<'_, Blank>,
    ) -> Result<Self, Error> {
        let object = params.signed_by(subject, issuer).map_err(|_| Error::Lint("it cannot be encoded"))?;
        Self::of(object.der().to_vec())
    }

    pub(super) fn of(object: Vec<u8>) -> Result<Self, Error> {
        let (tbs, signature_algorithm) = der::unsigned(&object)?;
        let (tbs, signature_algorithm) = (tbs.to_vec(), signature_algorithm.to_vec());
        Ok(Self { object, tbs, signature_algorithm })
    }
}
