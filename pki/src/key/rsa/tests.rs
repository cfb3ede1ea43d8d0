use x509_parser::num_bigint::BigUint;

use super::{ROCA_PRIMES, SMALL_FACTORS_BELOW, check, kind_of, remainder};
use crate::der;
use crate::key::{KeyAlgorithm, PrivateKey};

const INTEGER: u8 = 2;

fn public_key(modulus: &BigUint, exponent: &BigUint) -> Vec<u8> {
    let integer = |number: &BigUint| {
        let octets = number.to_bytes_be();
        let sign: &[u8] = if octets[0] & 0x80 == 0 { &[] } else { &[0] };
        der::tlv(INTEGER, &[sign, octets.as_slice()].concat())
    };
    der::tlv(der::SEQUENCE, &[integer(modulus), integer(exponent)].concat())
}

fn refusal(modulus: &BigUint, exponent: u32) -> String {
    check(&public_key(modulus, &exponent.into())).unwrap_err().to_string()
}

fn two_to(power: u32) -> BigUint {
    BigUint::from(2u32).pow(power)
}

/// The first number from `start` on, in steps, that has no small factor.
fn without_small_factors(start: BigUint, step: &BigUint) -> BigUint {
    let mut number = start;
    while (2..SMALL_FACTORS_BELOW).any(|factor| remainder(&number, factor) == 0) {
        number += step;
    }
    number
}

#[test]
fn real_keys_pass() {
    for (algorithm, bits) in [(KeyAlgorithm::Rsa2048, 2048), (KeyAlgorithm::Rsa4096, 4096)] {
        let key = PrivateKey::generate(algorithm).unwrap();
        assert_eq!(key.public_key().bits(), bits);
        assert_eq!(key.public_key().algorithm(), algorithm);
    }
}

#[test]
fn odd_sizes_count_as_the_kind_below() {
    let step = BigUint::from(2u32);
    for (bits, kind) in [(2056, KeyAlgorithm::Rsa2048), (3064, KeyAlgorithm::Rsa2048), (8192, KeyAlgorithm::Rsa4096)] {
        // Far from a square, as the product of two close primes would be.
        let modulus = without_small_factors(two_to(bits - 1) + two_to(bits - 3) + two_to(bits - 9) + 1u32, &step);
        let key = public_key(&modulus, &65537u32.into());
        assert_eq!(check(&key).unwrap(), (kind, bits.into()));
        assert_eq!(kind_of(&key), Some(kind));
    }
}

#[test]
fn sizes_out_of_bounds_are_refused() {
    let one = BigUint::from(1u32);
    assert!(refusal(&(two_to(1023) + &one), 65537).contains("1024 bits is too short"));
    assert!(refusal(&(two_to(2046) + &one), 65537).contains("2047 bits is too short"));
    assert!(refusal(&(two_to(2048) + &one), 65537).contains("2049 bits is not a whole number"));
    assert!(refusal(&(two_to(8192) + &one), 65537).contains("8193 bits"));
    assert_eq!(kind_of(&public_key(&two_to(1023), &one)), None);
}

#[test]
fn bad_exponents_are_refused() {
    let modulus = two_to(2047) + two_to(2045) + 1u32;
    for exponent in [0, 1, 2, 3, 17, 65535, 65538] {
        assert!(refusal(&modulus, exponent).contains("exponent"), "{exponent}");
    }
    let huge = check(&public_key(&modulus, &(two_to(256) + 1u32))).unwrap_err();
    assert!(huge.to_string().contains("exponent"));
}

#[test]
fn small_factors_are_found() {
    let odd = two_to(2040) + two_to(2030) + 1u32;
    assert!(refusal(&(two_to(2047) + 2u32), 65537).contains("small factor"));
    for factor in [129u32, 251, 187] {
        let modulus = &odd * factor;
        assert_eq!(modulus.bits(), 2048, "{factor}");
        assert!(refusal(&modulus, 65537).contains("small factor"), "{factor}");
    }
}

#[test]
fn the_broken_generator_is_recognised() {
    let product = ROCA_PRIMES.iter().fold(BigUint::from(2u32), |product, prime| product * prime);
    let power = BigUint::from(65537u32).modpow(&123_456_789u32.into(), &product);
    let start = (two_to(2047) + two_to(2043)) / &product * &product + power;
    let modulus = without_small_factors(start, &product);
    assert_eq!(modulus.bits(), 2048);
    assert!(refusal(&modulus, 65537).contains("ROCA"));
}

#[test]
fn close_primes_are_found() {
    let two = BigUint::from(2u32);
    let p = without_small_factors(two_to(1023) + two_to(1022) + 1u32, &two);
    assert!(refusal(&(&p * &p), 65537).contains("factored"), "a square");
    for gap in [2u32, 1 << 20] {
        let q = without_small_factors(&p + gap, &two);
        assert!(refusal(&(&p * q), 65537).contains("factored"), "{gap}");
    }
    let far = without_small_factors(&p + two_to(1000), &two);
    assert!(check(&public_key(&(&p * far), &65537u32.into())).is_ok());
}

#[test]
fn damage_is_refused() {
    for damaged in [&[][..], b"junk", &[0x30, 0], &[0x30, 4, 2, 0, 2, 0], &[0x30, 6, 2, 1, 0x80, 2, 1, 3]] {
        assert_eq!(check(damaged).unwrap_err().code(), "malformed_key", "{damaged:?}");
    }
    let mut trailing = public_key(&two_to(2047), &65537u32.into());
    trailing.push(0);
    assert_eq!(check(&trailing).unwrap_err().code(), "malformed_key");
}
