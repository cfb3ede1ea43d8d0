//! RFC 7515, RFC 8725 §3: the shape of the token, the header and the signature.

use aws_lc_rs::hmac;
use base64::engine::general_purpose::URL_SAFE;

use super::*;
use crate::oauth::jwt::MAX_TOKEN_BYTES;

#[test]
fn the_honest_token_is_taken() {
    let forge = Forge::new();
    let token = forge.with(json!({}));
    let unverified = UnverifiedToken::parse(&token).unwrap();
    assert_eq!(unverified.issuer(), Some(ISSUER));
    assert_eq!(unverified.key_id(), Some(forge.jwk.kid.as_str()));
    assert_eq!(unverified.algorithm().as_str(), "ES256");
    assert!(forge.accepts(&token));
    let claims = forge.judge(&token, &OURS).unwrap();
    assert_eq!(claims.client, "acme-orders");
    assert_eq!(claims.scopes.to_string(), SCOPE);
    assert_eq!(claims.issued_at, Some(UnixSeconds(NOW.0 - 10)));
    assert_eq!(claims.lifetime.expires_at(), UnixSeconds(NOW.0 + 3600));
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let forge = Forge::new();
    for name in ["none", "None", "NONE", "nOnE", "", " none", "es256", "ES256 ", "ES512", "ES256K", "dir"] {
        let signed = forge.with_header(json!({"alg": name}));
        assert_eq!(UnverifiedToken::parse(&signed).unwrap_err(), TokenFault::Algorithm, "{name:?}");
        let (input, _) = signed.rsplit_once('.').unwrap();
        assert!(UnverifiedToken::parse(&format!("{input}.")).is_err(), "{name:?} without a signature");
    }
    for value in [json!(null), json!(7), json!(["ES256"]), json!({"alg": "ES256"})] {
        let mut header = forge.header();
        header["alg"] = value;
        assert_eq!(UnverifiedToken::parse(&forge.sign(&header, &honest_claims())).unwrap_err(), TokenFault::Algorithm);
    }
    let mut absent = forge.header();
    absent.as_object_mut().unwrap().remove("alg");
    assert!(!forge.accepts(&forge.sign(&absent, &honest_claims())));
}

#[test]
fn the_public_key_is_no_shared_secret() {
    let forge = Forge::new();
    let public = serde_json::to_vec(&forge.jwk).unwrap();
    for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        for secret in [public.as_slice(), forge.pair.public_key().as_ref(), b""] {
            let header = URL_SAFE_NO_PAD.encode(changed(forge.header(), json!({"alg": name})).to_string());
            let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(honest_claims().to_string()));
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), input.as_bytes());
            let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(UnverifiedToken::parse(&token).unwrap_err(), TokenFault::Algorithm);
        }
    }
}

#[test]
fn a_key_is_only_used_with_its_algorithm() {
    let forge = Forge::new();
    for name in ["RS256", "PS256", "ES384", "EdDSA"] {
        let token = forge.with_header(json!({"alg": name}));
        let refused = UnverifiedToken::parse(&token).unwrap().verify_signature(&forge.key).unwrap_err();
        assert_eq!(refused, TokenFault::Algorithm, "{name}");
    }
}

#[test]
fn extensions_that_must_be_understood_are_not() {
    let forge = Forge::new();
    for changes in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": "exp"}),
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"enc": "A256GCM"}),
        json!({"cty": "JWT"}),
        json!({"cty": "jwt"}),
    ] {
        let token = forge.with_header(changes.clone());
        assert!(matches!(UnverifiedToken::parse(&token).unwrap_err(), TokenFault::Header(_)), "{changes}");
    }
    let mut null = forge.header();
    null["crit"] = Value::Null;
    assert!(!forge.accepts(&forge.sign(&null, &honest_claims())), "even null");
}

#[test]
fn keys_that_the_token_brings_along_are_not_looked_at() {
    let (forge, attacker) = (Forge::new(), Forge::new());
    let own_key = json!({"jwk": attacker.jwk, "jku": "https://attacker.example/jwks", "x5u": "https://attacker.example/x",
        "x5c": ["MIIB"], "x5t": "AAAA"});
    assert!(!forge.accepts(&attacker.with_header(own_key.clone())));
    // From the honest issuer they are noise, as in some issuers' tokens.
    assert!(forge.accepts(&forge.with_header(own_key)));
}

#[test]
fn key_names_are_short_strings() {
    let forge = Forge::new();
    for kid in [json!(1), json!(true), json!(["a"]), json!({}), json!("k".repeat(257))] {
        let token = forge.with_header(json!({"kid": kid}));
        assert_eq!(UnverifiedToken::parse(&token).unwrap_err(), TokenFault::Header("kid"));
    }
    for kid in ["../../dev/null", "' OR 1=1 --", "\u{0}", &"k".repeat(256)] {
        let token = forge.with_header(json!({"kid": kid}));
        assert_eq!(UnverifiedToken::parse(&token).unwrap().key_id(), Some(kid), "a name like any other");
    }
}

#[test]
fn members_stand_once() {
    let forge = Forge::new();
    let (header, claims) = (forge.header().to_string(), honest_claims().to_string());
    let twice = |object: &str, member: &str| format!("{},{member}}}", object.strip_suffix('}').unwrap());
    for token in [
        forge.sign_text(&twice(&header, r#""alg":"none""#), &claims),
        forge.sign_text(&twice(&header, r#""kid":"other""#), &claims),
        forge.sign_text(&twice(&header, r#""x":{"a":1,"a":2}"#), &claims),
        forge.sign_text(&header, &twice(&claims, r#""exp":9999999999"#)),
        forge.sign_text(&header, &twice(&claims, r#""\u0065xp":9999999999"#)),
        forge.sign_text(&header, &twice(&claims, r#""cnf":{"x5t#S256":"a","x5t#S256":"b"}"#)),
        forge.sign_text(&header, &twice(&claims, r#""list":[{"a":1,"a":1}]"#)),
    ] {
        assert_eq!(UnverifiedToken::parse(&token).unwrap_err(), TokenFault::Json);
    }
}

#[test]
fn header_and_payload_are_json_objects() {
    let forge = Forge::new();
    let (header, claims) = (forge.header().to_string(), honest_claims().to_string());
    for wrong in
        ["", "[]", "null", "1", "\"text\"", "{", "{}x", "{}{}", "{'a':1}", "{\"a\":1,}", "\u{feff}{}", "{\"a\":NaN}"]
    {
        assert!(!forge.accepts(&forge.sign_text(wrong, &claims)), "header {wrong:?}");
        assert!(!forge.accepts(&forge.sign_text(&header, wrong)), "payload {wrong:?}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    assert_eq!(UnverifiedToken::parse(&forge.sign_text(&header, &deep)).unwrap_err(), TokenFault::Json);
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(b"{\"a\":\"\xff\"}"));
    assert_eq!(UnverifiedToken::parse(&format!("{input}.AAAA")).unwrap_err(), TokenFault::Json, "not UTF-8");
}

#[test]
fn only_the_compact_form_of_a_jws() {
    let forge = Forge::new();
    let token = forge.with(json!({}));
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!() };
    let flattened = json!({"protected": header, "payload": payload, "signature": signature}).to_string();
    let general =
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string();
    for wrong in [
        String::new(),
        ".".into(),
        "..".into(),
        header.into(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}.{signature}"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{header}.{payload}\n.{signature}"),
        flattened,
        general,
    ] {
        assert!(!forge.accepts(&wrong), "{wrong:?}");
    }
}

#[test]
fn nothing_nested() {
    let forge = Forge::new();
    let inner = forge.with(json!({}));
    let outer = forge.sign_text(&forge.header().to_string(), &inner);
    assert!(!forge.accepts(&outer));
    let quoted = forge.sign_text(&forge.header().to_string(), &format!("{inner:?}"));
    assert!(!forge.accepts(&quoted));
}

#[test]
fn base64url_has_one_spelling() {
    let forge = Forge::new();
    // A payload length that leaves unused bits at the end of every part.
    let (token, signature) = (0..3)
        .map(|pad| forge.with(json!({"jti": "x".repeat(pad + 1)})))
        .map(|token| (token.clone(), token.rsplit_once('.').unwrap().1.to_owned()))
        .find(|(token, _)| token.split('.').nth(1).unwrap().len() % 4 != 0)
        .unwrap();
    assert!(forge.accepts(&token));
    let (input, _) = token.rsplit_once('.').unwrap();
    let octets = URL_SAFE_NO_PAD.decode(&signature).unwrap();
    assert!(!forge.accepts(&format!("{input}.{}", URL_SAFE.encode(&octets))), "padding");
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let same_octets =
        alphabet.chars().filter(|c| *c != last).map(|c| format!("{}{c}", &signature[..signature.len() - 1]));
    for other in same_octets {
        assert!(!forge.accepts(&format!("{input}.{other}")), "trailing bits or another signature");
    }
    assert!(!forge.accepts(&token.replacen('_', "/", 1).replacen('-', "+", 1)) || !token.contains(['_', '-']));
}

#[test]
fn a_changed_token_is_refused() {
    let forge = Forge::new();
    let token = forge.with(json!({}));
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let forged = claims_with(json!({"client_id": "other", "sub": "other"})).to_string();
    let tampered = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(forged));
    assert_eq!(forge.judge(&tampered, &OURS).unwrap_err(), TokenFault::Signature);
    let octets = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for wrong in [&octets[..63], &octets[..32], &[], &[0; 64], &[0xff; 64], &[&octets[..], &[0]].concat()] {
        let wrong = format!("{input}.{}", URL_SAFE_NO_PAD.encode(wrong));
        assert_eq!(forge.judge(&wrong, &OURS).unwrap_err(), TokenFault::Signature);
    }
    assert_eq!(Forge::new().judge(&token, &OURS).unwrap_err(), TokenFault::Signature, "another key");
}

#[test]
fn a_signature_in_der_is_none() {
    use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let jwk = PublicJwk::p256(pair.public_key().as_ref()).unwrap();
    let key = VerificationKey::from_jwk(&serde_json::to_value(&jwk).unwrap()).unwrap();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": jwk.kid}).to_string();
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(honest_claims().to_string()));
    let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(UnverifiedToken::parse(&token).unwrap().verify_signature(&key).unwrap_err(), TokenFault::Signature);
}

#[test]
fn long_tokens_are_refused_unread() {
    let forge = Forge::new();
    let token = forge.with(json!({"padding": "x".repeat(MAX_TOKEN_BYTES)}));
    assert_eq!(UnverifiedToken::parse(&token).unwrap_err(), TokenFault::TooLong);
    assert_eq!(UnverifiedToken::parse(&".".repeat(MAX_TOKEN_BYTES + 1)).unwrap_err(), TokenFault::TooLong);
    assert!(forge.accepts(&forge.with(json!({"padding": "x".repeat(8000)}))));
}
