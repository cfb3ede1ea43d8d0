//! The text of a key that was made elsewhere: no shape that we could check, and no public part to look it up by.

use aws_lc_rs::digest;

use crate::registry::Pepper;

/// Shorter text is guessed, not looked for.
pub(super) const IMPORTED_KEY_BYTES_MIN: usize = 8;
/// Longer text is no key.
pub(super) const IMPORTED_KEY_BYTES_MAX: usize = 256;
/// Keeps the HMACs of these keys apart from those of other secrets.
const DOMAIN: &str = "imported-api-key";

/// A key as it was presented that may be one of those made elsewhere; not yet known to be good.
#[derive(Clone, Copy)]
pub struct PresentedImportedKey<'a>(&'a str);

impl<'a> PresentedImportedKey<'a> {
    /// `None` when it is not `IMPORTED_KEY_BYTES_MIN` to `IMPORTED_KEY_BYTES_MAX` visible ASCII characters.
    pub fn parse(text: &'a str) -> Option<Self> {
        let length = IMPORTED_KEY_BYTES_MIN..=IMPORTED_KEY_BYTES_MAX;
        let good = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        good.then_some(Self(text))
    }

    /// Under what such a key is stored and looked up. What is looked up comes out of the pepper, so that nobody can learn from the
    /// time of a look-up how a key begins.
    pub fn mac(&self, pepper: &Pepper) -> [u8; 32] {
        let hash = digest::digest(&digest::SHA256, self.0.as_bytes());
        mac_of_sha256(pepper, hash.as_ref())
    }
}

/// The same for a key of which only the SHA-256 is known. One way of storing for both keeps it to one look-up.
pub(super) fn mac_of_sha256(pepper: &Pepper, sha256: &[u8]) -> [u8; 32] {
    pepper.hmac(DOMAIN, sha256)
}

impl std::fmt::Debug for PresentedImportedKey<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PresentedImportedKey(hidden)")
    }
}
