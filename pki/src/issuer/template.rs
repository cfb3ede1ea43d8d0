//! rcgen as an encoder only: it lays out what is to be signed, and never holds the key.

use aws_lc_rs::signature::{self, VerificationAlgorithm};
use rcgen::{CertificateParams, PublicKeyData, SignatureAlgorithm, SigningKey};

use crate::der;
use crate::error::Error;
use crate::key::PrivateKey;

/// A signer with the authority's algorithm and public key that leaves the signature empty.
#[derive(Clone)]
pub(super) struct Blank {
    algorithm: &'static SignatureAlgorithm,
    public: Vec<u8>,
}

impl Blank {
    pub(super) fn of(key: &PrivateKey) -> Self {
        Self { algorithm: key.signature_algorithm(), public: key.public_key().for_rcgen().der_bytes().to_vec() }
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

/// How a signature of this algorithm is verified.
pub(super) fn verification(algorithm: &SignatureAlgorithm) -> Result<&'static dyn VerificationAlgorithm, Error> {
    let known: [(&SignatureAlgorithm, &'static dyn VerificationAlgorithm); 4] = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, &signature::ECDSA_P256_SHA256_ASN1),
        (&rcgen::PKCS_ECDSA_P384_SHA384, &signature::ECDSA_P384_SHA384_ASN1),
        (&rcgen::PKCS_ED25519, &signature::ED25519),
        (&rcgen::PKCS_RSA_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
    ];
    let found = known.into_iter().find(|(candidate, _)| *candidate == algorithm);
    found.map(|(_, verification)| verification).ok_or(Error::Crypto("choosing a signature algorithm"))
}
