//! JSON Web Keys, and what we sign.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};

use super::*;
use crate::oauth::jwt::{Algorithm, KeyFault, SigningKey};

fn rsa_jwk(pair: &RsaKeyPair) -> Value {
    let public = RsaPublicKeyComponents::from(pair.public_key());
    json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(public.n), "e": URL_SAFE_NO_PAD.encode(public.e), "kid": "r"})
}

fn input(algorithm: &str) -> String {
    let header = json!({"alg": algorithm, "typ": "at+jwt"}).to_string();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(honest_claims().to_string()))
}

fn verifies(key: &VerificationKey, input: &str, signature: &[u8]) -> Result<(), TokenFault> {
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    UnverifiedToken::parse(&token).unwrap().verify_signature(key).map(drop)
}

#[test]
fn rsa_with_all_its_algorithms() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let jwk = rsa_jwk(&pair);
    let key = VerificationKey::from_jwk(&jwk).unwrap();
    let schemes: [(&str, &'static dyn RsaEncoding); 6] = [
        ("RS256", &RSA_PKCS1_SHA256),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
        ("PS256", &RSA_PSS_SHA256),
        ("PS384", &RSA_PSS_SHA384),
        ("PS512", &RSA_PSS_SHA512),
    ];
    for (name, scheme) in schemes {
        let input = input(name);
        let mut signature = vec![0; 256];
        pair.sign(scheme, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        assert_eq!(verifies(&key, &input, &signature), Ok(()), "{name}");
        assert_eq!(verifies(&key, &input, &signature[1..]), Err(TokenFault::Signature));
        // The key's own `alg` decides (RFC 8725 §3.1).
        let only = VerificationKey::from_jwk(&changed(jwk.clone(), json!({"alg": name}))).unwrap();
        assert_eq!(verifies(&only, &input, &signature), Ok(()));
        let other = if name == "PS256" { "RS256" } else { "PS256" };
        let other = VerificationKey::from_jwk(&changed(jwk.clone(), json!({"alg": other}))).unwrap();
        assert_eq!(verifies(&other, &input, &signature), Err(TokenFault::Algorithm), "{name}");
    }
}

#[test]
fn p384_and_ed25519() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let key = VerificationKey::from_jwk(&json!({"kty": "EC", "crv": "P-384", "x": x, "y": y})).unwrap();
    let text = input("ES384");
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    assert_eq!(verifies(&key, &text, signature.as_ref()), Ok(()));

    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let key = VerificationKey::from_jwk(&json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA"})).unwrap();
    let text = input("EdDSA");
    assert_eq!(verifies(&key, &text, pair.sign(text.as_bytes()).as_ref()), Ok(()));
    assert_eq!(verifies(&key, &text, &[0; 64]), Err(TokenFault::Signature));
}

#[test]
fn keys_that_are_not_used() {
    let good = serde_json::to_value(Forge::new().jwk).unwrap();
    let refused = |changes: Value| VerificationKey::from_jwk(&changed(good.clone(), changes)).unwrap_err();
    assert_eq!(refused(json!({"kty": "oct", "k": "c2VjcmV0"})), KeyFault::Kind);
    assert_eq!(refused(json!({"kty": "RSA"})), KeyFault::Kind, "a curve on an RSA key");
    assert_eq!(refused(json!({"kty": null})), KeyFault::Malformed("kty"));
    assert_eq!(refused(json!({"crv": "P-384"})), KeyFault::Malformed("x"));
    assert_eq!(refused(json!({"crv": "P-521"})), KeyFault::Kind);
    assert_eq!(refused(json!({"crv": "secp256k1"})), KeyFault::Kind);
    assert_eq!(refused(json!({"use": "enc"})), KeyFault::Use);
    assert_eq!(refused(json!({"use": 1})), KeyFault::Use);
    assert_eq!(refused(json!({"key_ops": ["sign"]})), KeyFault::Use);
    assert_eq!(refused(json!({"key_ops": "verify"})), KeyFault::Use);
    assert_eq!(refused(json!({"alg": "ES384"})), KeyFault::Algorithm);
    assert_eq!(refused(json!({"alg": "HS256"})), KeyFault::Algorithm);
    assert_eq!(refused(json!({"alg": "none"})), KeyFault::Algorithm);
    assert_eq!(refused(json!({"kid": 7})), KeyFault::Malformed("kid"));
    assert_eq!(refused(json!({"kid": "k".repeat(257)})), KeyFault::Malformed("kid"));
    assert_eq!(refused(json!({"d": "AAAA"})), KeyFault::Private);
    assert_eq!(refused(json!({"y": null})), KeyFault::Malformed("y"));
    let zero = URL_SAFE_NO_PAD.encode([0; 32]);
    assert_eq!(refused(json!({"x": zero, "y": zero})), KeyFault::Malformed("x"), "not on the curve");
    assert!(VerificationKey::from_jwk(&changed(good.clone(), json!({"use": null, "alg": null, "kid": null}))).is_ok());
    assert!(VerificationKey::from_jwk(&changed(good.clone(), json!({"key_ops": ["verify"]}))).is_ok());
    for wrong in [json!(null), json!([]), json!("key"), json!({})] {
        assert!(VerificationKey::from_jwk(&wrong).is_err());
    }
}

#[test]
fn weak_rsa_keys() {
    let good = rsa_jwk(&RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let refused = |changes: Value| VerificationKey::from_jwk(&changed(good.clone(), changes)).unwrap_err();
    let modulus = |octets: &[u8]| json!({"n": URL_SAFE_NO_PAD.encode(octets)});
    let odd = |length: usize, first: u8| {
        let mut octets = vec![0xff; length];
        octets[0] = first;
        octets
    };
    assert_eq!(refused(modulus(&odd(128, 0xff))), KeyFault::Weak, "1024 bits");
    assert_eq!(refused(modulus(&odd(256, 0x7f))), KeyFault::Weak, "2047 bits");
    assert_eq!(refused(modulus(&[&[0; 200][..], &odd(128, 0xff)].concat())), KeyFault::Weak, "zeros do not count");
    assert_eq!(refused(modulus(&odd(1025, 0xff))), KeyFault::Weak, "too long");
    assert_eq!(refused(modulus(&[0xfe; 256])), KeyFault::Weak, "even");
    assert_eq!(refused(modulus(&[])), KeyFault::Weak);
    for exponent in [&[][..], &[1], &[3], &[1, 0, 0], &[1, 0, 0, 0, 1]] {
        assert_eq!(refused(json!({"e": URL_SAFE_NO_PAD.encode(exponent)})), KeyFault::Weak, "{exponent:?}");
    }
}

#[test]
fn thumbprint_of_rfc_7638() {
    // The example of RFC 7638 §3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst\
             n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91\
             CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let jwk = PublicJwk::rsa(&URL_SAFE_NO_PAD.decode(n).unwrap(), &[1, 0, 1]).unwrap();
    assert_eq!(jwk.kid, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn what_we_sign_verifies_and_hides_its_key() {
    let elliptic = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    for (algorithm, der) in
        [(Algorithm::Es256, elliptic.to_pkcs8v1().unwrap().as_ref()), (Algorithm::Rs256, rsa.as_ref())]
    {
        let key = SigningKey::from_pkcs8(algorithm, der).unwrap();
        let token = key.sign(&honest_claims()).unwrap();
        let unverified = UnverifiedToken::parse(&token).unwrap();
        assert_eq!((unverified.algorithm(), unverified.key_id()), (algorithm, Some(key.key_id())));
        assert!(unverified.verify_signature(key.verification_key()).unwrap().check(&OURS).is_ok());
        let published = serde_json::to_value(key.public_jwk()).unwrap();
        assert_eq!(published["use"], "sig");
        assert_eq!(published["alg"], algorithm.as_str());
        assert!(published.get("d").is_none());
        assert!(format!("{key:?}").ends_with("hidden)"));
        assert!(SigningKey::from_pkcs8(Algorithm::EdDsa, der).is_err());
    }
    assert!(SigningKey::from_pkcs8(Algorithm::Rs256, elliptic.to_pkcs8v1().unwrap().as_ref()).is_err());
    assert!(SigningKey::from_pkcs8(Algorithm::Es256, rsa.as_ref()).is_err());
}
