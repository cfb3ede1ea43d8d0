//! Serial numbers in one canonical form.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::text;

/// RFC 5280 §4.1.2.2: conforming authorities use at most 20 octets.
const MAX_OCTETS: usize = 20;

/// A certificate's serial number (RFC 5280 §4.1.2.2): a non-negative integer of at most 20 octets.
///
/// DER, `openssl`, Java and databases write one serial in different ways (`00` sign octet or not, colons, case). A lookup that
/// compares such forms misses, and a revoked certificate passes. So there is one form here: no leading zero octet, except for
/// zero itself. The order is numeric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; MAX_OCTETS]);

impl Serial {
    /// Makes a serial of 16 random octets.
    ///
    /// The top bit is cleared, so that DER needs no sign octet, and the next one is set, so that the length never varies. 126
    /// random bits are left, where 64 would do (CA/Browser Forum BR §7.1). The octets must come from a cryptographic generator.
    pub fn from_random(mut random: [u8; 16]) -> Self {
        random[0] = random[0] & 0x7f | 0x40;
        let mut octets = [0; MAX_OCTETS];
        octets[4..].copy_from_slice(&random);
        Self(octets)
    }

    /// Reads the content octets of a DER INTEGER, with their `00` sign octet if there is one.
    ///
    /// # Errors
    /// [`Error::InvalidSerial`] when the integer is empty, negative, padded or longer than 20 octets. Padding is refused and not
    /// folded: two encodings of one number would give one certificate two thumbprints.
    pub fn from_der_integer(content: &[u8]) -> Result<Self, Error> {
        match content {
            [] => Err(Error::InvalidSerial("it is empty")),
            [first, ..] if first & 0x80 != 0 => Err(Error::InvalidSerial("it is negative")),
            [0, next, ..] if next & 0x80 == 0 => Err(Error::InvalidSerial("it is padded with zeros")),
            [0, rest @ ..] => Self::from_octets(rest),
            all => Self::from_octets(all),
        }
    }

    /// The octets, most significant first, without leading zeros (a single zero octet for zero).
    pub fn as_bytes(&self) -> &[u8] {
        let zeros = self.0.iter().take_while(|octet| **octet == 0).count();
        &self.0[zeros.min(MAX_OCTETS - 1)..]
    }

    fn from_octets(octets: &[u8]) -> Result<Self, Error> {
        let start = MAX_OCTETS
            .checked_sub(octets.len())
            .ok_or(Error::InvalidSerial("it is longer than the 20 octets of RFC 5280"))?;
        let mut padded = [0; MAX_OCTETS];
        padded[start..].copy_from_slice(octets);
        Ok(Self(padded))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_hex(f, self.as_bytes())
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl FromStr for Serial {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A number may be written with an odd count of digits, unlike a digest.
        let odd = text.len() % 2 == 1 && !text.contains(':');
        let even = if odd { format!("0{text}") } else { text.to_owned() };
        let octets =
            text::read_hex(&even).ok_or(Error::InvalidSerial("give hexadecimal digits, with or without colons"))?;
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        Self::from_octets(&octets[zeros..])
    }
}

text::serde_as_text!(Serial);
