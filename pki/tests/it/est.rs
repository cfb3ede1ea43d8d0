use pki::KeyAlgorithm;

use crate::harness::{Hierarchy, Openssl, client_id, code, key, parse_csr};

#[test]
fn openssl_reads_certificates_out_of_cms() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let (root, clients) = (hierarchy.root.certificate_der(), hierarchy.clients.certificate_der());
    let cms = pki::certs_only_cms(&[root, clients, root]);
    let printed = openssl.write("ca.p7", &cms).must("pkcs7 -inform DER -in ca.p7 -print_certs");
    let found = pki::pem_certificates(printed.as_bytes()).unwrap();
    assert_eq!(found.len(), 2, "each certificate once");
    assert!(found.iter().any(|der| der == root) && found.iter().any(|der| der == clients));
    // The newer reader is the stricter one.
    openssl.must("cms -cmsout -inform DER -in ca.p7 -print -noout");
    assert_eq!(cms, pki::certs_only_cms(&[clients, root]), "DER has one encoding");
}

#[test]
fn the_wishes_for_a_request_name_key_and_identity() {
    let openssl = Openssl::new();
    let parse = |wishes: &[u8]| openssl.write("wishes.der", wishes).must("asn1parse -inform DER -in wishes.der -i");
    let known = parse(&pki::csr_attributes(Some(&client_id())));
    for part in ["id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256", "Extension Request", "Subject Alternative Name"] {
        assert!(known.contains(part), "{part}: {known}");
    }
    let stranger = parse(&pki::csr_attributes(None));
    assert!(stranger.contains("prime256v1") && !stranger.contains("Extension Request"), "{stranger}");
}

#[test]
fn a_renewal_repeats_subject_and_names() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key()).der;
    let identity = client_id();
    let request = |arguments: &str| {
        openssl.must(&format!(
            "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout key.pem -out csr.pem {arguments}"
        ));
        pki::check_same_names(&parse_csr(&openssl.read("csr.pem")).unwrap(), &leaf)
    };
    request(&format!("-subj /O=Acme/CN=acme-orders -addext subjectAltName=URI:{identity}")).unwrap();
    // Another string type is the same name.
    request(&format!("-subj /O=Acme/CN=acme-orders -addext subjectAltName=URI:{identity} -nameopt RFC2253 -utf8"))
        .unwrap();
    for arguments in [
        format!("-subj /O=Acme/CN=acme-stock -addext subjectAltName=URI:{identity}"),
        format!("-subj /CN=acme-orders -addext subjectAltName=URI:{identity}"),
        format!("-subj /CN=acme-orders/O=Acme -addext subjectAltName=URI:{identity}"),
        "-subj /O=Acme/CN=acme-orders".to_owned(),
        format!("-subj /O=Acme/CN=acme-orders -addext subjectAltName=URI:{identity},DNS:api.acme.example"),
        "-subj /O=Acme/CN=acme-orders -addext subjectAltName=DNS:api.acme.example".to_owned(),
    ] {
        assert_eq!(code(request(&arguments)), "names_differ", "{arguments}");
    }
}

#[test]
fn a_request_made_from_a_certificate_renews_it() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key()).der;
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048] {
        let next = key(algorithm);
        let der = pki::renewal_request(&next, &leaf).unwrap();
        let text = openssl.write("csr.pem", pki::pem_request(&der)).must("req -in csr.pem -noout -verify -text");
        assert!(text.contains(&format!("URI:{}", client_id())), "{algorithm}: {text}");
        let request = parse_csr(&der).unwrap();
        assert_eq!(request.public_key(), next.public_key());
        pki::check_same_names(&request, &leaf).unwrap();
    }
}
