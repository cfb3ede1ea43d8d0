//! RSA keys that everybody may have: the guessable ones of Debian's broken OpenSSL, and those whose private half was published.
//!
//! The sets hold 40 bits of the SHA-256 of each modulus, so that 2.6 million keys take 7 MB; `scripts/weak-keys` makes them, and
//! says how a file is laid out. One sound key in 400 000 is taken for a listed one, and its owner makes another.

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::num_bigint::BigUint;

const DEBIAN: Set = Set(include_bytes!("../../../data/debian.weak"));
const PUBLISHED: Set = Set(include_bytes!("../../../data/published.weak"));

const MAGIC: &[u8] = b"weakset1";
/// Magic, number of hashes, three parameters and a zero octet.
const HEAD_OCTETS: usize = 16;

/// Where a key is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// CVE-2008-0166: only the process id went into the generator, for two years.
    Debian,
    /// Firmware, repositories, the npm library `keypair` (CVE-2021-41117).
    Published,
}

/// Where the key with this modulus is known from, if it is.
pub(super) fn origin(modulus: &BigUint) -> Option<Origin> {
    let hash = digest(&SHA256, &modulus.to_bytes_be());
    let hash = hash.as_ref();
    if DEBIAN.holds(hash) {
        return Some(Origin::Debian);
    }
    PUBLISHED.holds(hash).then_some(Origin::Published)
}

struct Set(&'static [u8]);

impl Set {
    /// A set that cannot be read holds everything: no key passes unchecked.
    fn holds(&self, hash: &[u8]) -> bool {
        self.find(hash).unwrap_or(true)
    }

    fn find(&self, hash: &[u8]) -> Option<bool> {
        let head = self.0.get(..HEAD_OCTETS)?;
        let (hash_bits, block_bits, parameter) = match *head.strip_prefix(MAGIC)?.get(4..)? {
            [hash_bits, block_bits, parameter, 0] => {
                (u32::from(hash_bits), u32::from(block_bits), u32::from(parameter))
            }
            _ => return None,
        };
        let rest_bits = hash_bits.checked_sub(block_bits)?;
        let wanted = u64::from_be_bytes(hash.get(..8)?.try_into().ok()?) >> 64u32.checked_sub(hash_bits)?;
        let block = usize::try_from(wanted >> rest_bits).ok()?;
        let wanted = wanted & ((1 << rest_bits) - 1);
        let table = HEAD_OCTETS + 4 * block;
        let (from, to) = (self.number(table)?, self.number(table + 4)?);
        let stream = self.0.get(HEAD_OCTETS + 4 * ((1 << block_bits) + 1)..)?;
        let mut bits = Bits { stream, at: from };
        let mut next = 0;
        while bits.at < to {
            let distance = (bits.ones()? << parameter) + bits.number(parameter)?;
            let value = next + distance;
            if value >= wanted {
                return Some(value == wanted);
            }
            next = value + 1;
        }
        Some(false)
    }

    fn number(&self, at: usize) -> Option<usize> {
        let octets = self.0.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(octets)).ok()
    }
}

/// Most significant first.
struct Bits {
    stream: &'static [u8],
    at: usize,
}

impl Bits {
    fn bit(&mut self) -> Option<u64> {
        let octet = self.stream.get(self.at / 8)?;
        let bit = octet >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit.into())
    }

    fn ones(&mut self) -> Option<u64> {
        let mut count = 0;
        while self.bit()? == 1 {
            count += 1;
        }
        Some(count)
    }

    fn number(&mut self, bits: u32) -> Option<u64> {
        (0..bits).try_fold(0, |number, _| Some(number << 1 | self.bit()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every hash of a set, as often as it stands there.
    fn hashes(set: &Set) -> Vec<u64> {
        let octet = |at: usize| u32::from(set.0[at]);
        let (hash_bits, block_bits, parameter) = (octet(12), octet(13), octet(14));
        let rest_bits = hash_bits - block_bits;
        let stream = &set.0[HEAD_OCTETS + 4 * ((1 << block_bits) + 1)..];
        let mut hashes = Vec::new();
        for block in 0..1u64 << block_bits {
            let table = HEAD_OCTETS + 4 * usize::try_from(block).unwrap();
            let mut bits = Bits { stream, at: set.number(table).unwrap() };
            let mut next = 0;
            while bits.at < set.number(table + 4).unwrap() {
                let value = next + (bits.ones().unwrap() << parameter) + bits.number(parameter).unwrap();
                hashes.push(block << rest_bits | value);
                next = value + 1;
            }
        }
        hashes
    }

    #[test]
    fn the_sets_are_whole_and_sorted_and_find_what_they_hold() {
        for (set, count) in [(DEBIAN, 1_348_571), (PUBLISHED, 1_269_184)] {
            let hashes = hashes(&set);
            assert_eq!((hashes.len(), set.number(8)), (count, Some(count)));
            assert!(hashes.windows(2).all(|pair| pair[0] < pair[1]));
            for hash in hashes.iter().step_by(9973) {
                assert!(set.holds(&(hash << 24).to_be_bytes()), "{hash:x}");
                if hashes.binary_search(&(hash + 1)).is_err() {
                    assert!(!set.holds(&((hash + 1) << 24).to_be_bytes()), "{hash:x}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_set_lets_nothing_pass() {
        for damaged in [&[][..], b"weakset1", &DEBIAN.0[..HEAD_OCTETS], &DEBIAN.0[..1 << 15], &[0; 64]] {
            let damaged: &'static [u8] = Box::leak(damaged.to_vec().into_boxed_slice());
            assert!(Set(damaged).holds(&[0xff; 32]));
        }
    }
}
