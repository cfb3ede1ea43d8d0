//! What makes an RSA key weak although it is long.

use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use self::known::Origin;
use super::KeyAlgorithm;
use crate::error::Error;

mod known;

/// BR §6.1.1.3 asks for 100 rounds.
const FERMAT_ROUNDS: u32 = 100;

/// NIST SP 800-89 §5.3.3: no factor smaller than 752.
const SMALL_FACTORS_BELOW: u32 = 752;

/// The odd primes of the ROCA fingerprint: the generator of the broken chips worked modulo the product of at least these.
const ROCA_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Checks a DER RSAPublicKey (RFC 8017 §A.1.1): its kind and the size of its modulus in bits.
pub(super) fn check(der: &[u8]) -> Result<(KeyAlgorithm, u64), Error> {
    let (rest, key) = RSAPublicKey::from_der(der).map_err(|_| Error::MalformedKey("it is not an RSA public key"))?;
    if !rest.is_empty() {
        return Err(Error::MalformedKey("something follows the RSA public key"));
    }
    let (modulus, exponent) = (unsigned(key.modulus)?, unsigned(key.exponent)?);
    let bits = modulus.bits();
    let weak = |why: String| Err(Error::WeakKey(why));
    if bits < 2048 {
        return weak(format!("RSA with {bits} bits is too short: use rsa-3072 or ecdsa-p256"));
    }
    if bits > 8192 {
        return weak(format!("RSA with {bits} bits costs every handshake too much: use rsa-4096 or ecdsa-p384"));
    }
    if bits % 8 != 0 {
        return weak(format!("an RSA modulus of {bits} bits is not a whole number of octets: use 2048, 3072 or 4096"));
    }
    // e = 3 and its like lose to bad padding (Bleichenbacher 2006, BERserk); an even one cannot be inverted.
    if exponent.bits() < 17 || exponent.bits() > 256 || !exponent.bit(0) {
        return weak("its RSA exponent is even, small or huge: use 65537".into());
    }
    if !modulus.bit(0) || (3..SMALL_FACTORS_BELOW).step_by(2).any(|n| remainder(&modulus, n) == 0) {
        return weak("its RSA modulus has a small factor: make a new key with a current library".into());
    }
    if has_roca_fingerprint(&modulus) {
        return weak(
            "it was made by a broken chip or library (ROCA, CVE-2017-15361): make a new key in software".into(),
        );
    }
    if has_close_primes(&modulus) {
        return weak(
            "its two primes are so close that it can be factored (Fermat's method, CVE-2022-26320): make a new key"
                .into(),
        );
    }
    match known::origin(&modulus) {
        Some(Origin::Debian) => {
            return weak(
                "it is one of the few keys that Debian's broken OpenSSL could make (CVE-2008-0166), and everybody has it: \
                 make a new key"
                    .into(),
            );
        }
        Some(Origin::Published) => {
            return weak("its private key was published, so that everybody has it: make a new key".into());
        }
        None => {}
    }
    Ok((kind(bits), bits))
}

/// The kind of a DER RSAPublicKey by its size alone; `None` below 2048 bits.
pub(super) fn kind_of(der: &[u8]) -> Option<KeyAlgorithm> {
    let (_, key) = RSAPublicKey::from_der(der).ok()?;
    let octets = key.modulus.iter().skip_while(|octet| **octet == 0).count() as u64;
    (octets >= 256).then(|| kind(8 * octets))
}

fn kind(bits: u64) -> KeyAlgorithm {
    match bits {
        ..3072 => KeyAlgorithm::Rsa2048,
        3072..4096 => KeyAlgorithm::Rsa3072,
        _ => KeyAlgorithm::Rsa4096,
    }
}

fn unsigned(content: &[u8]) -> Result<BigUint, Error> {
    match content {
        [] => Err(Error::MalformedKey("an RSA number is empty")),
        [first, ..] if first & 0x80 != 0 => Err(Error::MalformedKey("an RSA number is negative")),
        all => Ok(BigUint::from_bytes_be(all)),
    }
}

fn remainder(n: &BigUint, divisor: u32) -> u32 {
    (n % divisor).iter_u32_digits().next().unwrap_or(0)
}

/// Primes of the broken generator are `k·M + (65537^a mod M)`, so the modulus is a power of 65537 modulo every prime of M. For a
/// sound key the chance of that is below 2^-100.
fn has_roca_fingerprint(modulus: &BigUint) -> bool {
    ROCA_PRIMES.iter().all(|&prime| {
        let wanted = remainder(modulus, prime);
        let mut power = 1;
        loop {
            if power == wanted {
                return true;
            }
            power = power * (65537 % prime) % prime;
            if power == 1 {
                return false;
            }
        }
    })
}

/// Fermat's method: for n = a² − b² with b small, a lies just above √n.
fn has_close_primes(modulus: &BigUint) -> bool {
    let mut a = modulus.sqrt();
    if &a * &a == *modulus {
        return true;
    }
    (0..FERMAT_ROUNDS).any(|_| {
        a += 1u32;
        is_square(&(&a * &a - modulus))
    })
}

fn is_square(n: &BigUint) -> bool {
    // Most numbers are no square modulo 64, 63, 65 or 11: a hundred square roots of 8192 bits would take a while.
    let may_be = |modulus: u32| {
        let wanted = remainder(n, modulus);
        (0..modulus).any(|root| root * root % modulus == wanted)
    };
    may_be(64) && may_be(63) && may_be(65) && may_be(11) && {
        let root = n.sqrt();
        &root * &root == *n
    }
}

#[cfg(test)]
mod tests;
