//! An OCSP request, as it comes by POST.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = pki::OcspRequest::parse(data);
});
