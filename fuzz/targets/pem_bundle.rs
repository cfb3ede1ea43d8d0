//! A file of certificates, and what is read from each.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(certificates) = pki::pem_certificates(data) else { return };
    for pair in certificates.windows(2) {
        let _ = pki::is_issued_by(&pair[0], &pair[1]);
    }
    for certificate in &certificates {
        let _ = pki::CaCertificate::parse(certificate);
        let _ = pki::may_sign_certificates(certificate);
        let _ = pki::distribution_addresses(certificate);
        let _ = pki::issuer_name(certificate);
    }
});
