//! A certificate request from a stranger: whatever it is, it is a request or a refusal.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(request) = pki::VerifiedRequest::parse(data) {
        // What came through carries a key that reads back as itself.
        let key = request.public_key();
        assert!(pki::PublicKey::from_spki_der(key.spki_der()).is_ok_and(|again| again == *key));
        let _ = request.check_identity(&"spiffe://example.com/partner/acme/client/orders".parse().unwrap());
    }
});
