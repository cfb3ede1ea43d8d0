use std::path::Path;

use pki::{Error, PublicKey, VerifiedRequest};

use crate::harness::Openssl;

/// A file of `tests/weak-keys`, whose README says where each is from.
fn vector(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weak-keys").join(name)).unwrap()
}

fn public_key(pem: &[u8]) -> Result<PublicKey, Error> {
    let openssl = Openssl::new();
    openssl.write("key.pem", pem).must("pkey -pubin -in key.pem -pubout -outform DER -out key.der");
    PublicKey::from_spki_der(&openssl.read("key.der"))
}

#[test]
fn keys_that_are_known_to_be_weak_are_refused_by_name() {
    for (file, name) in [
        ("debian.pem", "Debian's broken OpenSSL could make (CVE-2008-0166)"),
        ("debian-2.pem", "Debian's broken OpenSSL could make (CVE-2008-0166)"),
        ("roca.pem", "ROCA, CVE-2017-15361"),
        ("fermat.pem", "Fermat's method, CVE-2022-26320"),
    ] {
        let refused = public_key(&vector(file)).unwrap_err();
        assert_eq!(refused.code(), "weak_key", "{file}");
        assert!(refused.to_string().contains(name), "{file}: {refused}");
    }
}

#[test]
fn a_request_for_a_weak_key_is_refused_although_its_signature_is_good() {
    let openssl = Openssl::new();
    openssl.write("weak.csr", vector("fermat.csr")).must("req -in weak.csr -noout -verify");
    let refused = VerifiedRequest::parse(&vector("fermat.csr")).unwrap_err();
    assert!(refused.code() == "weak_key" && refused.to_string().contains("Fermat"), "{refused}");
}
