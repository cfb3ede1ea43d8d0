//! A public key that may be certified.

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use rcgen::PublicKeyData;
use x509_parser::asn1_rs::Tag;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_DSA, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_PKCS1_RSASSAPSS, OID_SIG_ED448, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{KeyAlgorithm, rsa};
use crate::der;
use crate::error::Error;
use crate::key_id::KeyId;
use crate::thumbprint::SpkiFingerprint;

/// id-ecPublicKey (RFC 5480 §2.1.1) and rsaEncryption (RFC 8017 §A.1), content octets.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// No accepted key is longer: RSA-8192 takes 1062 octets.
const MAX_SPKI: usize = 2048;

/// A SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) that passed every check on weak keys.
///
/// There is no way to make one around the checks, so whatever takes a `PublicKey` need not repeat them.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    bits: u64,
    spki_der: Vec<u8>,
    key_id: KeyId,
    fingerprint: SpkiFingerprint,
    rcgen: rcgen::SubjectPublicKeyInfo,
}

impl PublicKey {
    /// Reads and checks a DER SubjectPublicKeyInfo.
    ///
    /// Accepted are P-256 and P-384 (named curve, uncompressed, the point on the curve: RFC 5480), Ed25519 (RFC 8410) and RSA of
    /// 2048 to 8192 bits with an odd exponent of at least 65537, without small factors, without close primes (Fermat) and without
    /// the fingerprint of ROCA (CVE-2017-15361), as BR §6.1.1.3 asks.
    ///
    /// # Errors
    /// [`Error::WeakKey`] with what to use instead; [`Error::MalformedKey`] when it cannot be read or is not canonical DER.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_SPKI {
            return Err(Error::WeakKey("it is larger than RSA with 8192 bits: use ecdsa-p256 or rsa-3072".into()));
        }
        let (rest, spki) =
            SubjectPublicKeyInfo::from_der(der).map_err(|_| Error::MalformedKey("it is not a public key"))?;
        if !rest.is_empty() {
            return Err(Error::MalformedKey("something follows it"));
        }
        let bits = spki.subject_public_key.data.as_ref();
        let (algorithm, size) = match classify(&spki)? {
            Kind::Rsa => rsa::check(bits)?,
            Kind::Named(algorithm, size) => (algorithm, size),
        };
        // Also checks that an EC point is on its curve: off it lie the small subgroups of an invalid-curve attack.
        ParsedPublicKey::new(any_verification(algorithm), bits)
            .map_err(|_| Error::MalformedKey("the public key's value is not valid for its algorithm"))?;
        let rcgen = rcgen::SubjectPublicKeyInfo::from_der(der)
            .map_err(|_| Error::MalformedKey("the algorithm's parameters are not in the usual form"))?;
        // The certificate will carry rcgen's encoding; were it another one, fingerprints of request and certificate would differ.
        if rcgen.subject_public_key_info() != der {
            return Err(Error::MalformedKey("it is not in canonical DER"));
        }
        Ok(Self {
            algorithm,
            bits: size,
            spki_der: der.to_vec(),
            key_id: KeyId::of_subject_public_key(bits),
            fingerprint: SpkiFingerprint::of(der),
            rcgen,
        })
    }

    /// Makes it from an uncompressed point (SEC 1 §2.3.3), as tokens keep it.
    ///
    /// # Errors
    /// [`Error::MalformedKey`]; as [`PublicKey::from_spki_der`].
    pub fn from_ec_point(algorithm: KeyAlgorithm, point: &[u8]) -> Result<Self, Error> {
        let curve: &[u8] = match algorithm {
            KeyAlgorithm::EcdsaP256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
            KeyAlgorithm::EcdsaP384 => &[0x2b, 0x81, 4, 0, 0x22],
            _ => return Err(Error::MalformedKey("it has no point")),
        };
        let (kind, curve) = (der::tlv(der::OBJECT_IDENTIFIER, EC_PUBLIC_KEY), der::tlv(der::OBJECT_IDENTIFIER, curve));
        Self::from_parts(&[kind, curve].concat(), point)
    }

    /// Makes it from modulus and exponent, each most significant octet first, as tokens keep them.
    ///
    /// # Errors
    /// As [`PublicKey::from_spki_der`].
    pub fn from_rsa_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, Error> {
        let (kind, none) = (der::tlv(der::OBJECT_IDENTIFIER, RSA_ENCRYPTION), der::tlv(der::NULL, &[]));
        let numbers = [der::unsigned_integer(modulus), der::unsigned_integer(exponent)].concat();
        Self::from_parts(&[kind, none].concat(), &der::tlv(der::SEQUENCE, &numbers))
    }

    fn from_parts(algorithm: &[u8], key: &[u8]) -> Result<Self, Error> {
        let (algorithm, key) = (der::tlv(der::SEQUENCE, algorithm), der::tlv(der::BIT_STRING, &[&[0], key].concat()));
        Self::from_spki_der(&der::tlv(der::SEQUENCE, &[algorithm, key].concat()))
    }

    /// Its kind.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Its size in bits: of the field for elliptic curves, of the modulus for RSA.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// What a certificate for this key carries as subjectKeyIdentifier (RFC 7093 §2 method 1).
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// SHA-256 of the SubjectPublicKeyInfo: finds reuse of one key across partners and authorities.
    pub fn fingerprint(&self) -> SpkiFingerprint {
        self.fingerprint
    }

    /// The value of the subjectPublicKey BIT STRING: what OCSP digests.
    pub(crate) fn subject_public_key(&self) -> &[u8] {
        self.rcgen.der_bytes()
    }

    /// Verifies a signature with an algorithm that the caller has matched with this key's kind.
    pub(crate) fn verify(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        signature::UnparsedPublicKey::new(algorithm, self.rcgen.der_bytes()).verify(message, signature).is_ok()
    }

    /// The same, where only the message's hash is at hand.
    pub(crate) fn verify_digest(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        digest: &Digest,
        signature: &[u8],
    ) -> bool {
        signature::UnparsedPublicKey::new(algorithm, self.rcgen.der_bytes()).verify_digest(digest, signature).is_ok()
    }

    pub(crate) fn for_rcgen(&self) -> &rcgen::SubjectPublicKeyInfo {
        &self.rcgen
    }
}

/// The kind of a certificate's key by its identifiers alone, without any check; `None` for kinds that are not issued here.
pub(crate) fn kind_of(spki: &SubjectPublicKeyInfo<'_>) -> Option<KeyAlgorithm> {
    match classify(spki).ok()? {
        Kind::Named(algorithm, _) => Some(algorithm),
        Kind::Rsa => rsa::kind_of(spki.subject_public_key.data.as_ref()),
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm, self.fingerprint)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki_der == other.spki_der
    }
}

impl Eq for PublicKey {}

enum Kind {
    Rsa,
    Named(KeyAlgorithm, u64),
}

fn classify(spki: &SubjectPublicKeyInfo<'_>) -> Result<Kind, Error> {
    let weak = |why: &str| Err(Error::WeakKey(why.into()));
    let algorithm = &spki.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return Ok(Kind::Rsa);
    }
    if *algorithm == OID_SIG_ED25519 {
        return Ok(Kind::Named(KeyAlgorithm::Ed25519, 255));
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let parameters = spki.algorithm.parameters.as_ref().filter(|parameters| parameters.tag() == Tag::Oid);
        let curve = parameters.and_then(|curve| curve.as_oid().ok());
        let Some(curve) = curve else {
            // CVE-2020-0601: explicit parameters let a forger choose the generator.
            return weak("its curve is not named: use a named curve (openssl -param_enc named_curve)");
        };
        let (kind, octets) = if curve == OID_EC_P256 {
            (KeyAlgorithm::EcdsaP256, 32)
        } else if curve == OID_NIST_EC_P384 {
            (KeyAlgorithm::EcdsaP384, 48)
        } else if curve == OID_NIST_EC_P521 {
            return weak("P-521 is not accepted, since many TLS stacks lack it: use ecdsa-p384");
        } else {
            return weak("its curve is not accepted: use ecdsa-p256 or ecdsa-p384");
        };
        let point = spki.subject_public_key.data.as_ref();
        if point.first() != Some(&4) || point.len() != 1 + 2 * octets {
            return weak("its point is not in uncompressed form: use openssl -conv_form uncompressed");
        }
        return Ok(Kind::Named(kind, 8 * octets as u64));
    }
    if *algorithm == OID_PKCS1_RSASSAPSS {
        return weak("a key bound to RSA-PSS is not accepted: use a plain RSA key (rsaEncryption) or ecdsa-p256");
    }
    if *algorithm == OID_SIG_ED448 {
        return weak("Ed448 is not accepted: use ed25519 or ecdsa-p384");
    }
    if *algorithm == OID_KEY_TYPE_DSA {
        return weak("DSA is not accepted: use ecdsa-p256");
    }
    weak("its algorithm is not accepted: use ecdsa-p256, ecdsa-p384, ed25519 or rsa-3072")
}

/// Any verification algorithm of the kind will do to check the key's encoding.
fn any_verification(algorithm: KeyAlgorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
        KeyAlgorithm::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1,
        KeyAlgorithm::Ed25519 => &signature::ED25519,
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => &signature::RSA_PKCS1_2048_8192_SHA256,
    }
}
