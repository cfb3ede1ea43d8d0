//! Hex, text that is safe to show, and the text form of the identifier newtypes.

use std::fmt;

/// Writes octets as lower-case hex without separators.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

/// Reads hex in any case, either bare or with one colon between each pair of digits (as `openssl x509 -text` prints it).
/// `None` when anything else is in the text, digits are odd in number, or there are none.
#[must_use]
pub fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
    if text.contains(':') {
        return text
            .split(':')
            .map(|pair| match *pair.as_bytes() {
                [high, low] => Some(digit(high)? << 4 | digit(low)?),
                _ => None,
            })
            .collect();
    }
    let digits = text.bytes().map(digit).collect::<Option<Vec<u8>>>()?;
    if digits.is_empty() || digits.len() % 2 != 0 {
        return None;
    }
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Text that came from outside, made safe for an error message: escaped, and cut after 120 characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(120).flat_map(char::escape_debug).collect();
    if text.chars().nth(120).is_some() {
        shown.push('…');
    }
    shown
}

/// Serialises a type by its `Display` and reads it by its `FromStr`, so that JSON, TOML and SQL see one text form.
macro_rules! serde_as_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;
