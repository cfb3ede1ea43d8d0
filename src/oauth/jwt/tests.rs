//! Attack tokens of the literature, each against a verifier that would take the honest one.

mod claims;
mod keys;
mod properties;
mod structure;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policies::{CredentialStatus, TokenProfile, UnixSeconds};
use serde_json::{Value, json};

use super::{Expectations, PublicJwk, TokenFault, UnverifiedToken, VerificationKey, VerifiedClaims};

const ISSUER: &str = "https://gate.example.com";
const API: &str = "https://api.example.com/test";
const SCOPE: &str = "https://api.example.com/test/hello-world";
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const OURS: Expectations<'static> =
    Expectations { issuer: ISSUER, profile: TokenProfile::Rfc9068, audiences: Some(&[API]), leeway_seconds: 30 };
const COGNITO: Expectations<'static> =
    Expectations { issuer: ISSUER, profile: TokenProfile::Cognito, audiences: Some(&[]), leeway_seconds: 30 };
const GENERIC: Expectations<'static> =
    Expectations { issuer: ISSUER, profile: TokenProfile::Generic, audiences: Some(&[API]), leeway_seconds: 30 };

/// An issuer that signs whatever it is told to.
struct Forge {
    pair: EcdsaKeyPair,
    jwk: PublicJwk,
    key: VerificationKey,
}

impl Forge {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let jwk = PublicJwk::p256(pair.public_key().as_ref()).unwrap();
        let key = VerificationKey::from_jwk(&serde_json::to_value(&jwk).unwrap()).unwrap();
        Self { pair, jwk, key }
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.jwk.kid})
    }

    fn sign_text(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// The honest token with some claims changed; `null` takes one away.
    fn with(&self, changes: Value) -> String {
        self.sign(&self.header(), &claims_with(changes))
    }

    /// The honest token with some header members changed.
    fn with_header(&self, changes: Value) -> String {
        self.sign(&changed(self.header(), changes), &claims_with(json!({})))
    }

    fn judge(&self, token: &str, expectations: &Expectations<'_>) -> Result<VerifiedClaims, TokenFault> {
        UnverifiedToken::parse(token)?.verify_signature(&self.key)?.check(expectations)
    }

    /// Whether the gate would take it now.
    fn accepts(&self, token: &str) -> bool {
        self.judge(token, &OURS).is_ok_and(|claims| claims.lifetime.status_at(NOW, false) == CredentialStatus::Active)
    }
}

fn honest_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "acme-orders", "aud": API, "client_id": "acme-orders", "scope": SCOPE, "jti": "0001",
        "iat": NOW.0 - 10, "exp": NOW.0 + 3600, "token_use": "access", "auth_time": NOW.0 - 10, "version": 2
    })
}

fn claims_with(changes: Value) -> Value {
    changed(honest_claims(), changes)
}

fn changed(mut object: Value, changes: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    object
}
