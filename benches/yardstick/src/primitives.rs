//! The floor under every handshake: what its cryptography costs by itself.

use std::hint::black_box;

use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use crate::Error;
use crate::processor;

const ROUNDS: u32 = 20_000;

pub fn run() -> Result<(), Error> {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref())?;
    let message = [7_u8; 130];
    let signed = key.sign(&random, &message)?;
    let public = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
    let peer = EphemeralPrivateKey::generate(&X25519, &random)?.compute_public_key()?;
    let sign = each(|| key.sign(&random, &message).is_ok());
    let verify = each(|| public.verify(&message, signed.as_ref()).is_ok());
    let agree = each(|| {
        let Ok(own) = EphemeralPrivateKey::generate(&X25519, &random) else { return false };
        let other = UnparsedPublicKey::new(&X25519, peer.as_ref());
        own.compute_public_key().is_ok() && agree_ephemeral(own, other, (), |secret| Ok::<_, ()>(secret[0])).is_ok()
    });
    println!("{}", json!({ "p256_sign_us": sign, "p256_verify_us": verify, "x25519_us": agree }));
    Ok(())
}

/// CPU microseconds of one.
fn each(mut work: impl FnMut() -> bool) -> f64 {
    for _ in 0..ROUNDS / 10 {
        black_box(work());
    }
    let before = processor::own_nanos();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    (processor::own_nanos() - before) as f64 / 1e3 / f64::from(ROUNDS)
}
