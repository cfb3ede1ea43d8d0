//! The leaf of a TLS peer: read on every connection, before anybody is known.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(certificate) = pki::ClientCertificate::parse(data) {
        let _ = certificate.is_client_only();
        let _ = pki::is_issued_by(data, data);
    }
});
