//! The path of a request, before anybody is known: what passes has one spelling, and decoding it changes no segment.
#![no_main]

#[path = "../../src/gateway/path.rs"]
mod path;

use path::NormalPath;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(normal) = NormalPath::parse(text) else { return };
    // The bytes that are matched are the bytes that came.
    assert_eq!(normal.as_str(), text);
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8().expect("what passes is UTF-8");
    assert_eq!(decoded.split('/').count(), text.split('/').count());
    assert!(decoded.split('/').all(|segment| segment != "." && segment != ".."));
    assert!(decoded == text || NormalPath::parse(&decoded).is_err(), "one place, one spelling");
});
