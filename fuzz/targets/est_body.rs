//! The body of an EST or renewal request: what it holds, and the request in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(request) = pki::request_in_body(data) {
        // Nothing grows on the way.
        assert!(request.len() <= data.len());
        let _ = pki::VerifiedRequest::parse(&request);
    }
});
