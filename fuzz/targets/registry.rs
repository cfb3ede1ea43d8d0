//! The files of the register that read keys, and what they lean on.

#[path = "../../src/registry/base62.rs"]
pub mod base62;
pub mod api_key;

/// Stands in for the keyed hash.
pub struct Pepper;

impl Pepper {
    pub fn hmac(&self, _: &str, _: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}
