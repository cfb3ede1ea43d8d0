//! Text of digits and letters only: it survives a double click, a URL and HTTP Basic unchanged.

use zeroize::Zeroizing;

use crate::failure::Fault;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The largest multiple of 62 in a byte; what lies above would favour the first digits.
const FAIR_BELOW: u8 = 248;

/// `length` random characters, log2(62) = 5.95 bits each.
pub(super) fn random(length: usize) -> Result<Zeroizing<String>, Fault> {
    let mut text = Zeroizing::new(String::with_capacity(length));
    let mut bytes = Zeroizing::new([0; 64]);
    while text.len() < length {
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| Fault::new("no randomness for a secret"))?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR_BELOW);
        for byte in fair.take(length - text.len()) {
            text.push(char::from(ALPHABET[usize::from(byte % 62)]));
        }
    }
    Ok(text)
}

/// Six characters that hold a 32-bit number, most significant first.
pub(super) fn six_digits(mut number: u32) -> [u8; 6] {
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    digits
}

/// Whether it is non-empty and all of the alphabet.
pub(super) fn is_base62(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
