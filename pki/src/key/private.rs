//! A private key, and how it is kept.

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize, SigningKey as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::{KeyAlgorithm, PublicKey};
use crate::error::Error;
use crate::pem;

/// OWASP's figure for PBKDF2-HMAC-SHA256. Not scrypt: with N = 2^15 OpenSSL reaches its 32 MiB bound and refuses the file.
const PBKDF2_ITERATIONS: u32 = 600_000;

/// A key file that asks for more is meant to hang us.
const MAX_PBKDF2_ITERATIONS: u32 = 10_000_000;

/// A private key and its public half. It is wiped from memory when dropped, and never shown.
pub struct PrivateKey {
    pair: KeyPair,
    public: PublicKey,
}

impl PrivateKey {
    /// Makes a new key. RSA takes from 0.1 to some seconds.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, Error> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let pair = match algorithm {
            KeyAlgorithm::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyAlgorithm::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyAlgorithm::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            KeyAlgorithm::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyAlgorithm::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyAlgorithm::Rsa4096 => rsa(RsaKeySize::_4096),
        };
        Self::from_pair(pair.map_err(|_| Error::Crypto("making a key"))?)
    }

    /// Reads PKCS#8 DER (RFC 5958), unencrypted.
    ///
    /// # Errors
    /// [`Error::MalformedKey`]; [`Error::WeakKey`] for what [`PublicKey::from_spki_der`] refuses.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, Error> {
        PrivateKeyInfoRef::try_from(der).map_err(|_| Error::MalformedKey("it is not a PKCS#8 private key"))?;
        let pair = KeyPair::try_from(der)
            .map_err(|_| Error::MalformedKey("its algorithm is not supported or its values do not fit together"))?;
        Self::from_pair(pair)
    }

    /// Reads one `PRIVATE KEY` block of PEM.
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, Error> {
        match one_block(text)? {
            block if block.label == "PRIVATE KEY" => Self::from_pkcs8_der(&block.der),
            _ => Err(Error::MalformedKey("give a PRIVATE KEY block (openssl pkcs8 -topk8 -nocrypt)")),
        }
    }

    /// Reads an unencrypted key in any of the forms that OpenSSL writes: `PRIVATE KEY` (PKCS#8), `EC PRIVATE KEY` (SEC 1, RFC
    /// 5915) or `RSA PRIVATE KEY` (PKCS#1). Leading `EC PARAMETERS` are skipped. For importing an authority.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let mut blocks = pem::key_blocks(text.as_bytes())?;
        blocks.retain(|block| block.label != "EC PARAMETERS");
        let [block] = blocks.as_slice() else {
            return Err(Error::MalformedKey("give exactly one private key"));
        };
        match block.label.as_str() {
            "PRIVATE KEY" => Self::from_pkcs8_der(&block.der),
            "EC PRIVATE KEY" => {
                let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &block.der)
                    .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_ASN1_SIGNING, &block.der))
                    .map_err(|_| Error::MalformedKey("its curve is not P-256 or P-384, or it is damaged"))?;
                let der = pair.to_pkcs8v1().map_err(|_| Error::Crypto("converting a key"))?;
                Self::from_pkcs8_der(der.as_ref())
            }
            "RSA PRIVATE KEY" => {
                let pair = RsaKeyPair::from_der(&block.der)
                    .map_err(|_| Error::MalformedKey("it is not an RSA key of 2048 to 8192 bits, or it is damaged"))?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Crypto("converting a key"))?;
                Self::from_pkcs8_der(der.as_ref())
            }
            "ENCRYPTED PRIVATE KEY" => Err(Error::MalformedKey("it is encrypted: give its passphrase")),
            _ => Err(Error::MalformedKey("it is not a private key")),
        }
    }

    /// Opens what [`PrivateKey::encrypt`] or `openssl pkcs8 -topk8` wrote.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`] for a wrong passphrase and for damage, which cannot be told apart.
    pub fn decrypt(text: &str, passphrase: &[u8]) -> Result<Self, Error> {
        let block = one_block(text)?;
        if block.label != "ENCRYPTED PRIVATE KEY" {
            return Err(Error::MalformedKey("give an ENCRYPTED PRIVATE KEY block"));
        }
        let info = EncryptedPrivateKeyInfoRef::try_from(block.der.as_slice())
            .map_err(|_| Error::MalformedKey("it is not a PKCS#8 encrypted key with PBES2"))?;
        let rounds =
            info.encryption_algorithm.pbes2().and_then(|pbes2| pbes2.kdf.pbkdf2()).map(|kdf| kdf.iteration_count);
        if rounds.is_some_and(|rounds| rounds > MAX_PBKDF2_ITERATIONS) {
            return Err(Error::MalformedKey("it asks for more than ten million PBKDF2 iterations"));
        }
        let der = info.decrypt(passphrase).map_err(|_| Error::WrongPassphrase)?;
        Self::from_pkcs8_der(der.as_bytes())
    }

    /// Encrypts the key under a passphrase: PEM `ENCRYPTED PRIVATE KEY`, PBES2 (RFC 8018 §6.2) with PBKDF2-HMAC-SHA256, 600 000
    /// iterations and AES-256-CBC, which `openssl pkcs8` and Java read. Takes about 0.1 seconds.
    ///
    /// # Errors
    /// [`Error::EmptyPassphrase`].
    pub fn encrypt(&self, passphrase: &[u8]) -> Result<String, Error> {
        if passphrase.is_empty() {
            return Err(Error::EmptyPassphrase);
        }
        let failed = Error::Crypto("encrypting a key");
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        rand::fill(&mut salt).and_then(|()| rand::fill(&mut iv)).map_err(|_| failed.clone())?;
        let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ITERATIONS, &salt, iv)
            .map_err(|_| failed.clone())?;
        let encrypted = parameters.encrypt(passphrase, self.pair.serialized_der()).map_err(|_| failed.clone())?;
        let encrypted_data = OctetStringRef::new(&encrypted).map_err(|_| failed.clone())?;
        let info = EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data };
        let document = SecretDocument::try_from(info).map_err(|_| failed)?;
        Ok(pem::encode("ENCRYPTED PRIVATE KEY", document.as_bytes()))
    }

    /// PKCS#8 DER, unencrypted.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pair.serialize_der())
    }

    /// PKCS#8 PEM (`PRIVATE KEY`), unencrypted.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode("PRIVATE KEY", self.pair.serialized_der()))
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Its kind.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.public.algorithm()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.pair.sign(message).map_err(|_| Error::Crypto("signing"))
    }

    pub(crate) fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::Crypto("signing a hash");
        let der = self.pair.serialized_der();
        let ecdsa = |algorithm| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, der).map_err(|_| Error::Crypto("signing a hash"))?;
            pair.sign_digest(digest).map(|signature| signature.as_ref().to_vec()).map_err(failed)
        };
        match self.algorithm() {
            KeyAlgorithm::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyAlgorithm::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyAlgorithm::Ed25519 => Err(Error::Crypto("signing a hash")),
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| Error::Crypto("signing a hash"))?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, digest, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }

    fn from_pair(pair: KeyPair) -> Result<Self, Error> {
        let pair = match pair.is_compatible(&rcgen::PKCS_ED25519) {
            true => version_1(pair)?,
            false => pair,
        };
        let public = PublicKey::from_spki_der(&pair.subject_public_key_info())?;
        Ok(Self { pair, public })
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        // The copy inside aws-lc is wiped by itself.
        self.pair.zeroize();
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, hidden)", self.public.algorithm())
    }
}

/// Ed25519 keys come in version 2 of PKCS#8 with the public key added (RFC 5958), which OpenSSL 3.0 and older Java cannot read.
fn version_1(pair: KeyPair) -> Result<KeyPair, Error> {
    let failed = |_| Error::Crypto("converting a key");
    let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pair.serialized_der())
        .map_err(|_| Error::MalformedKey("its values do not fit together"))?;
    let der: Pkcs8V1Der<'_> = ed25519.as_der().map_err(failed)?;
    KeyPair::try_from(der.as_ref()).map_err(|_| Error::Crypto("converting a key"))
}

fn one_block(text: &str) -> Result<pem::Block, Error> {
    let mut blocks = pem::key_blocks(text.as_bytes())?;
    match (blocks.pop(), blocks.is_empty()) {
        (Some(block), true) => Ok(block),
        _ => Err(Error::MalformedKey("give exactly one private key")),
    }
}
