//! The `x-api-key` header, before anything is looked up: a key of the right shape and checksum, or none.
#![no_main]

mod registry;

/// Stands in for our failures, which are not under test.
mod failure {
    pub struct Fault;

    impl Fault {
        pub fn new(_: impl Into<String>) -> Self {
            Self
        }
    }
}

use registry::api_key::presented::PresentedApiKey;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(key) = PresentedApiKey::parse(text) {
        assert!(text.contains(key.id()) && text.starts_with("pc_"));
        assert!(!format!("{key:?}").contains(text), "no secret in Debug");
        // A checksum forgives no change of one character.
        let mut wrong = text.to_owned();
        let last = if wrong.ends_with('0') { "1" } else { "0" };
        wrong.replace_range(text.len() - 1.., last);
        assert!(PresentedApiKey::parse(&wrong).is_none());
    }
});
