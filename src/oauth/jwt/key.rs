//! Public keys: read from a JSON Web Key (RFC 7517, 7518 §6, 8037), written as one, and used to verify.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;

use super::json;
use super::{Algorithm, KeyFault, MAX_KEY_ID_BYTES, TokenFault};

/// Shorter moduli can be factored with effort that states have.
const RSA_MODULUS_BITS_MIN: usize = 2048;
/// Longer ones let an issuer make every verification slow.
const RSA_MODULUS_BITS_MAX: usize = 8192;
/// F4. `e = 1` would make every padded digest its own signature; small exponents help forgers of sloppy paddings.
const RSA_EXPONENT_MIN: u64 = 65_537;
/// Long exponents make every verification slow.
const RSA_EXPONENT_OCTETS_MAX: usize = 4;
/// The uncompressed form of a point (SEC 1 §2.3.3).
const UNCOMPRESSED_POINT: u8 = 4;

/// A public key and the algorithms it may be used with. Parsed once, used for every token.
#[derive(Clone)]
pub struct VerificationKey {
    key_id: Option<String>,
    usable: Vec<(Algorithm, ParsedPublicKey)>,
}

impl VerificationKey {
    /// Reads one key of a JWK Set.
    ///
    /// Accepted are RSA of 2048 to 8192 bits, P-256, P-384 and Ed25519, when `use`, `key_ops` and `alg` allow what we want of
    /// them: a key for RSA-PSS is not used for PKCS #1, nor one for encryption at all (RFC 8725 §3.1). `x5c` and its kin are
    /// not looked at.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyFault> {
        let key_id = match jwk.get("kid") {
            None => None,
            Some(Value::String(name)) if name.len() <= MAX_KEY_ID_BYTES => Some(name.clone()),
            Some(_) => return Err(KeyFault::Malformed("kid")),
        };
        if jwk.get("d").is_some() {
            return Err(KeyFault::Private);
        }
        if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
            return Err(KeyFault::Use);
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
            Some(_) => return Err(KeyFault::Use),
        }
        let declared = match jwk.get("alg") {
            None => None,
            Some(Value::String(name)) => Some(name.parse::<Algorithm>().map_err(|_| KeyFault::Algorithm)?),
            Some(_) => return Err(KeyFault::Malformed("alg")),
        };
        let parsed = match (text(jwk, "kty")?, jwk.get("crv").and_then(Value::as_str)) {
            ("RSA", None) => rsa(jwk)?,
            ("EC", Some("P-256")) => vec![(Algorithm::Es256, elliptic(jwk, &ECDSA_P256_SHA256_FIXED, 32)?)],
            ("EC", Some("P-384")) => vec![(Algorithm::Es384, elliptic(jwk, &ECDSA_P384_SHA384_FIXED, 48)?)],
            ("OKP", Some("Ed25519")) => {
                let point = ParsedPublicKey::new(&ED25519, octets_exactly(jwk, "x", 32)?);
                vec![(Algorithm::EdDsa, point.map_err(|_| KeyFault::Malformed("x"))?)]
            }
            _ => return Err(KeyFault::Kind),
        };
        let usable: Vec<_> = parsed
            .into_iter()
            .filter(|(algorithm, _)| declared.is_none_or(|declared| declared == *algorithm))
            .collect();
        if usable.is_empty() {
            return Err(KeyFault::Algorithm);
        }
        Ok(Self { key_id, usable })
    }

    /// The key's name in its set.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether a token with this algorithm may be checked with this key.
    pub fn supports(&self, algorithm: Algorithm) -> bool {
        self.usable.iter().any(|(usable, _)| *usable == algorithm)
    }

    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), TokenFault> {
        let (_, key) = self.usable.iter().find(|(usable, _)| *usable == algorithm).ok_or(TokenFault::Algorithm)?;
        key.verify_sig(message, signature).map_err(|_| TokenFault::Signature)
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.usable.iter().map(|(algorithm, _)| algorithm).collect();
        write!(formatter, "VerificationKey({:?}, {algorithms:?})", self.key_id)
    }
}

/// One of our public keys as it stands in our JWK Set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicJwk {
    /// The RFC 7638 thumbprint of the key: says which key it is, and cannot be given to another.
    pub kid: String,
    pub alg: &'static str,
    #[serde(rename = "use")]
    pub purpose: &'static str,
    #[serde(flatten)]
    value: KeyValue,
}

/// The members that make up the key, in the order in which RFC 7638 §3.2 digests them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum KeyValue {
    Elliptic { crv: &'static str, kty: &'static str, x: String, y: String },
    Rsa { e: String, kty: &'static str, n: String },
}

impl PublicJwk {
    /// An uncompressed P-256 point (65 octets).
    pub(super) fn p256(point: &[u8]) -> Option<Self> {
        let coordinates = point.strip_prefix(&[UNCOMPRESSED_POINT]).filter(|rest| rest.len() == 64)?;
        let (x, y) = coordinates.split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Self::named(Algorithm::Es256, KeyValue::Elliptic { crv: "P-256", kty: "EC", x, y })
    }

    /// An RSA modulus and exponent, big-endian without leading zeros.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let (e, n) = (URL_SAFE_NO_PAD.encode(exponent), URL_SAFE_NO_PAD.encode(modulus));
        Self::named(Algorithm::Rs256, KeyValue::Rsa { e, kty: "RSA", n })
    }

    fn named(algorithm: Algorithm, value: KeyValue) -> Option<Self> {
        let canonical = serde_json::to_vec(&value).ok()?;
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &canonical));
        Some(Self { kid, alg: algorithm.as_str(), purpose: "sig", value })
    }
}

fn rsa(jwk: &Value) -> Result<Vec<(Algorithm, ParsedPublicKey)>, KeyFault> {
    let (modulus, exponent) = (octets(jwk, "n")?, octets(jwk, "e")?);
    // Some issuers write the sign octet of their big integers; RFC 7518 §6.3.1.1 warns of them.
    let (modulus, exponent) = (without_leading_zeros(&modulus), without_leading_zeros(&exponent));
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let odd = modulus.last().is_some_and(|last| last % 2 == 1);
    if !(RSA_MODULUS_BITS_MIN..=RSA_MODULUS_BITS_MAX).contains(&bits) || !odd {
        return Err(KeyFault::Weak);
    }
    if exponent.len() > RSA_EXPONENT_OCTETS_MAX {
        return Err(KeyFault::Weak);
    }
    let value = exponent.iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
    if value < RSA_EXPONENT_MIN || value % 2 == 0 {
        return Err(KeyFault::Weak);
    }
    let components = RsaPublicKeyComponents { n: modulus, e: exponent };
    Algorithm::OF_RSA
        .into_iter()
        .filter_map(|algorithm| Some((algorithm, rsa_parameters(algorithm)?)))
        .map(|(algorithm, parameters)| {
            let key = components.to_parsed_public_key(parameters).map_err(|_| KeyFault::Malformed("n"))?;
            Ok((algorithm, key))
        })
        .collect()
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

/// aws-lc checks that the point lies on its curve.
fn elliptic(
    jwk: &Value,
    algorithm: &'static dyn VerificationAlgorithm,
    field_octets: usize,
) -> Result<ParsedPublicKey, KeyFault> {
    let (x, y) = (octets_exactly(jwk, "x", field_octets)?, octets_exactly(jwk, "y", field_octets)?);
    let point = [&[UNCOMPRESSED_POINT][..], &x, &y].concat();
    ParsedPublicKey::new(algorithm, point).map_err(|_| KeyFault::Malformed("x"))
}

fn without_leading_zeros(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    &octets[zeros..]
}

fn text<'a>(jwk: &'a Value, member: &'static str) -> Result<&'a str, KeyFault> {
    jwk.get(member).and_then(Value::as_str).ok_or(KeyFault::Malformed(member))
}

fn octets(jwk: &Value, member: &'static str) -> Result<Vec<u8>, KeyFault> {
    json::base64url(text(jwk, member)?).map_err(|_| KeyFault::Malformed(member))
}

fn octets_exactly(jwk: &Value, member: &'static str, length: usize) -> Result<Vec<u8>, KeyFault> {
    octets(jwk, member).and_then(
        |octets| {
            if octets.len() == length { Ok(octets) } else { Err(KeyFault::Malformed(member)) }
        },
    )
}
