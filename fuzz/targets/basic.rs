//! The Authorization header and the form of the token endpoint: readings of a secret, or a refusal.
#![no_main]

#[path = "../../src/oauth/form.rs"]
mod form;
#[path = "../../src/oauth/presented.rs"]
mod presented;

/// Stands in for the answers, which are not under test.
mod answer {
    pub(super) struct ErrorAnswer;

    impl ErrorAnswer {
        pub(super) fn invalid_request(_: &'static str) -> Self {
            Self
        }

        pub(super) fn invalid_client(_: Option<policies::ClientId>, _: policies::Denial) -> Self {
            Self
        }
    }
}

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (head, body) = data.split_at(data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len()));
    let Ok(form) = form::Form::parse(body.get(1..).unwrap_or_default()) else { return };
    let mut headers = HeaderMap::new();
    if !head.is_empty() {
        let Ok(value) = HeaderValue::from_bytes(head) else { return };
        headers.append(AUTHORIZATION, value);
    }
    if let Ok(presented) = presented::Presented::read(&headers, &form) {
        // Two readings of one header at the most, and none that is empty or endless.
        assert!((1..=2).contains(&presented.readings.len()));
        for reading in &presented.readings {
            assert!(reading.secret.len() <= 256 && reading.client.len() <= data.len());
        }
    }
});
