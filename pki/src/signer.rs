//! What signs for an authority: a key in this process, in a token, or in another machine.

use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, VerificationAlgorithm};

use crate::der;
use crate::error::Error;
use crate::key::{KeyAlgorithm, PrivateKey, PublicKey};

/// A key that signs, wherever its private half lies. Only what is to be signed goes in, and only a signature comes out.
///
/// Signing may take long (a token, a network): never call it on a thread that must not wait.
pub trait Signer: Send + Sync {
    /// The public half. Its kind alone fixes the algorithm of every signature, see [`Signer::sign`].
    fn public_key(&self) -> &PublicKey;

    /// Signs the message, hash and all: ECDSA with SHA-256 (P-256) or SHA-384 (P-384) as a DER Ecdsa-Sig-Value (RFC 3279
    /// §2.2.3), Ed25519 (RFC 8032), RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2).
    ///
    /// # Errors
    /// [`Error::Crypto`]; [`Error::Signer`] when the key cannot be reached or refuses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;

    /// Whether [`Signer::sign_digest`] works. Where it does not, a revocation list must fit into memory to be signed.
    fn signs_digests(&self) -> bool {
        false
    }

    /// The same signature, of a message that only its hash is left of. Never with Ed25519, which hashes in two passes.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    fn sign_digest(&self, _digest: &Digest) -> Result<Vec<u8>, Error> {
        Err(Error::Crypto("signing a hash"))
    }
}

impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        PrivateKey::public_key(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        PrivateKey::sign(self, message)
    }

    fn signs_digests(&self) -> bool {
        digest_algorithm(self.algorithm()).is_some()
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        PrivateKey::sign_digest(self, digest)
    }
}

impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        (**self).sign(message)
    }

    fn signs_digests(&self) -> bool {
        (**self).signs_digests()
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        (**self).sign_digest(digest)
    }
}

/// Signs, and verifies the signature before anybody sees it: a computing fault while signing with RSA gives the key away, and a
/// token that signs with another key than it shows would make certificates that nobody accepts.
pub(crate) fn sign_verified(signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, Error> {
    let signature = signer.sign(message)?;
    let public = signer.public_key();
    match public.verify(verification(public.algorithm()), message, &signature) {
        true => Ok(signature),
        false => Err(Error::Crypto("checking its own signature")),
    }
}

/// As [`sign_verified`], of a message's hash.
pub(crate) fn sign_digest_verified(signer: &dyn Signer, digest: &Digest) -> Result<Vec<u8>, Error> {
    let signature = signer.sign_digest(digest)?;
    let public = signer.public_key();
    match public.verify_digest(verification(public.algorithm()), digest, &signature) {
        true => Ok(signature),
        false => Err(Error::Crypto("checking its own signature")),
    }
}

/// The hash inside the signatures of this kind of key; `None` where it is not a hash of the message alone.
pub(crate) fn digest_algorithm(kind: KeyAlgorithm) -> Option<&'static digest::Algorithm> {
    match kind {
        KeyAlgorithm::EcdsaP384 => Some(&digest::SHA384),
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            Some(&digest::SHA256)
        }
        KeyAlgorithm::Ed25519 => None,
    }
}

/// Puts an ECDSA signature as tokens give it (PKCS#11 v2.40 §2.3.1: r and s, each as long as the field) into DER.
///
/// # Errors
/// [`Error::Signer`] when it is not of P-256 or P-384.
pub fn ecdsa_signature_der(raw: &[u8]) -> Result<Vec<u8>, Error> {
    if !matches!(raw.len(), 64 | 96) {
        return Err(Error::Signer(format!("it gave {} octets, which is no signature of P-256 or P-384", raw.len())));
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    Ok(der::tlv(der::SEQUENCE, &[der::unsigned_integer(r), der::unsigned_integer(s)].concat()))
}

/// The algorithm that keys of this kind sign with.
pub(crate) fn signature_algorithm(kind: KeyAlgorithm) -> &'static rcgen::SignatureAlgorithm {
    match kind {
        KeyAlgorithm::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => &rcgen::PKCS_RSA_SHA256,
    }
}

fn verification(kind: KeyAlgorithm) -> &'static dyn VerificationAlgorithm {
    match kind {
        KeyAlgorithm::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
        KeyAlgorithm::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1,
        KeyAlgorithm::Ed25519 => &signature::ED25519,
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => &signature::RSA_PKCS1_2048_8192_SHA256,
    }
}
