//! Signing tokens with a key of ours.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::{Algorithm, KeyFault, PublicJwk, VerificationKey};

/// The type of the tokens we make (RFC 9068 §2.1).
const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// A private key that signs access tokens with ES256 or RS256, and its public half.
pub struct SigningKey {
    pair: Pair,
    jwk: PublicJwk,
    verification: VerificationKey,
    /// The header of every token of this key, encoded once.
    header: String,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

#[derive(Serialize)]
struct Header<'a> {
    kid: &'a str,
    typ: &'a str,
    alg: &'a str,
}

impl SigningKey {
    /// Reads a PKCS#8 private key: P-256 for ES256, RSA of at least 2048 bits for RS256.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyFault> {
        let (pair, jwk) = match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
                let pair = pair.map_err(|_| KeyFault::Unusable)?;
                let jwk = PublicJwk::p256(pair.public_key().as_ref());
                (Pair::Es256(pair), jwk)
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyFault::Unusable)?;
                let public = RsaPublicKeyComponents::from(pair.public_key());
                let jwk = PublicJwk::rsa(&public.n, &public.e);
                (Pair::Rs256(pair), jwk)
            }
            _ => return Err(KeyFault::Algorithm),
        };
        let jwk = jwk.ok_or(KeyFault::Unusable)?;
        let published = serde_json::to_value(&jwk).map_err(|_| KeyFault::Unusable)?;
        // Through the same door as everybody else's keys: what we could not verify, we do not sign with.
        let verification = VerificationKey::from_jwk(&published)?;
        let header = Header { kid: &jwk.kid, typ: ACCESS_TOKEN_TYPE, alg: jwk.alg };
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(|_| KeyFault::Unusable)?);
        Ok(Self { pair, jwk, verification, header })
    }

    /// A compact JWS over `claims`, of type `at+jwt`.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, KeyFault> {
        let payload = serde_json::to_vec(claims).map_err(|_| KeyFault::Unusable)?;
        let mut token = String::with_capacity(self.header.len() + payload.len() * 4 / 3 + 400);
        token.push_str(&self.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => {
                let signature = pair.sign(&random, token.as_bytes()).map_err(|_| KeyFault::Unusable)?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_string(signature, &mut token);
            }
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature)
                    .map_err(|_| KeyFault::Unusable)?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_string(signature, &mut token);
            }
        }
        Ok(token)
    }

    /// The key's name: its RFC 7638 thumbprint.
    pub fn key_id(&self) -> &str {
        &self.jwk.kid
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// The public half, to be published.
    pub fn public_jwk(&self) -> &PublicJwk {
        &self.jwk
    }

    /// The public half, to verify with.
    pub fn verification_key(&self) -> &VerificationKey {
        &self.verification
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({} {}, hidden)", self.jwk.alg, self.jwk.kid)
    }
}
