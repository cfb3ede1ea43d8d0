use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policies::TokenProfile;
use serde_json::{Value, json};

use super::{Rules, Verdict, judge, keys};
use crate::oauth::jwt::{Algorithm, SigningKey};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://gate.example.com";

const RULES: Rules<'_> = Rules { issuer: None, profile: TokenProfile::Rfc9068, audiences: &[], at: NOW };

struct Issuer {
    key: SigningKey,
    pkcs8: Vec<u8>,
}

impl Issuer {
    fn new() -> Self {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pkcs8 = document.as_ref().to_vec();
        Self { key: SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8).unwrap(), pkcs8 }
    }

    fn jwk(&self) -> Value {
        serde_json::to_value(self.key.public_jwk()).unwrap()
    }

    fn jwks(&self) -> Vec<u8> {
        json!({"keys": [self.jwk()]}).to_string().into_bytes()
    }

    fn token(&self, changes: Value) -> String {
        let mut claims = json!({
            "iss": ISSUER, "sub": "acme-orders", "aud": "https://api.example.com", "client_id": "acme-orders",
            "jti": "1", "iat": NOW, "exp": NOW + 3600, "scope": "https://api.example.com/read",
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        self.key.sign(&claims).unwrap()
    }

    /// A signed token with any header and any payload.
    fn sign(&self, header: &str, payload: &str) -> String {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8).unwrap();
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn judge(&self, token: &str, rules: &Rules<'_>) -> &'static str {
        word(&judge(token, &keys(&self.jwks()).unwrap(), rules))
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted { .. } => "accepted",
        Verdict::SignatureRefused { .. } => "signature",
        Verdict::ClaimsRefused { .. } => "claims",
    }
}

#[test]
fn an_honest_token_is_accepted() {
    let issuer = Issuer::new();
    let audiences = ["https://api.example.com".to_owned()];
    let rules = Rules { issuer: Some(ISSUER), audiences: &audiences, ..RULES };
    assert_eq!(issuer.judge(&issuer.token(json!({})), &rules), "accepted");
    let single = keys(issuer.jwk().to_string().as_bytes()).unwrap();
    assert_eq!(word(&judge(&issuer.token(json!({})), &single, &RULES)), "accepted");
}

#[test]
fn a_signature_is_refused_before_anything_is_read() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let token = issuer.token(json!({}));
    let (input, _) = token.rsplit_once('.').unwrap();
    let foreign = other.token(json!({}));
    let signature = foreign.rsplit_once('.').unwrap().1;
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
    for (what, token) in [
        ("another's signature", format!("{input}.{signature}")),
        ("no signature", format!("{input}.")),
        ("another's token", foreign),
        ("an unsigned token", none),
        ("expired and another's", other.token(json!({"exp": NOW - 1}))),
        ("no token at all", "hello".to_owned()),
    ] {
        assert_eq!(issuer.judge(&token, &RULES), "signature", "{what}");
    }
}

#[test]
fn claims_are_refused_after_a_good_signature() {
    let issuer = Issuer::new();
    let judge = |changes: Value, rules: &Rules<'_>| issuer.judge(&issuer.token(changes), rules);
    assert_eq!(judge(json!({"exp": NOW - 31}), &RULES), "claims");
    assert_eq!(judge(json!({"iat": NOW + 31}), &RULES), "claims");
    assert_eq!(judge(json!({"client_id": null}), &RULES), "claims");
    assert_eq!(judge(json!({"iss": null}), &RULES), "claims");
    assert_eq!(judge(json!({}), &Rules { issuer: Some("https://other.example.com"), ..RULES }), "claims");
    let audiences = ["https://other.example.com".to_owned()];
    assert_eq!(judge(json!({}), &Rules { audiences: &audiences, ..RULES }), "claims");
    assert_eq!(judge(json!({}), &Rules { at: NOW + 7200, ..RULES }), "claims");
    let id_token = issuer.sign(r#"{"alg":"ES256","typ":"JWT"}"#, r#"{"iss":"a","sub":"a"}"#);
    assert_eq!(issuer.judge(&id_token, &RULES), "claims");
}

#[test]
fn what_was_signed_may_be_no_claims_at_all() {
    let issuer = Issuer::new();
    for payload in ["hello", "[]", r#"{"a":1,"a":2}"#] {
        let token = issuer.sign(r#"{"alg":"ES256"}"#, payload);
        assert_eq!(issuer.judge(&token, &RULES), "claims", "{payload}");
        let (input, signature) = token.rsplit_once('.').unwrap();
        let broken = format!("{input}.{}", signature.chars().rev().collect::<String>());
        assert_eq!(issuer.judge(&broken, &RULES), "signature", "{payload}");
    }
}

#[test]
fn the_token_names_its_key() {
    let (one, two) = (Issuer::new(), Issuer::new());
    let set = keys(json!({"keys": [one.jwk(), two.jwk()]}).to_string().as_bytes()).unwrap();
    assert_eq!(word(&judge(&two.token(json!({})), &set, &RULES)), "accepted");
    let nameless = one.sign(r#"{"alg":"ES256","typ":"at+jwt"}"#, "{}");
    assert_eq!(word(&judge(&nameless, &set, &RULES)), "signature", "with two keys, which one?");
    assert_eq!(one.judge(&nameless, &RULES), "claims");
}

#[test]
fn key_sets_that_hold_nothing_usable_are_an_error() {
    for (document, why) in [
        ("", "not JSON"),
        ("{}", "not a JSON Web Key Set"),
        (r#"{"keys":[]}"#, "no key"),
        (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "no key in it that can be used"),
    ] {
        assert!(keys(document.as_bytes()).unwrap_err().contains(why), "{document}");
    }
}
