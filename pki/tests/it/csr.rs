use pki::{KeyAlgorithm, RequestedName};

use crate::harness::{Hierarchy, Openssl, client_id, client_request, code, parse_csr};

const P256: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";

#[test]
fn requests_of_openssl_become_certificates() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    for (arguments, algorithm) in [
        (format!("{P256} -sha256"), KeyAlgorithm::EcdsaP256),
        // The key's kind must come from the key: after the signature's identifier this would be P-384.
        (format!("{P256} -sha384"), KeyAlgorithm::EcdsaP256),
        (format!("{P256} -sha512"), KeyAlgorithm::EcdsaP256),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha256".into(), KeyAlgorithm::EcdsaP384),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384".into(), KeyAlgorithm::EcdsaP384),
        ("-newkey rsa:2048 -sha256".into(), KeyAlgorithm::Rsa2048),
        ("-newkey rsa:2048 -sha512".into(), KeyAlgorithm::Rsa2048),
        (
            "-newkey rsa:2048 -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest".into(),
            KeyAlgorithm::Rsa2048,
        ),
        ("-newkey rsa:3072 -sha384".into(), KeyAlgorithm::Rsa3072),
        ("-newkey ed25519".into(), KeyAlgorithm::Ed25519),
    ] {
        let request = parse_csr(&openssl.csr(&arguments)).unwrap_or_else(|error| panic!("{arguments}: {error}"));
        assert_eq!(request.public_key().algorithm(), algorithm, "{arguments}");
        assert_eq!(request.common_name(), Some("acme-orders"));
        request.check_identity(&client_id()).unwrap();
        let leaf = hierarchy.issue(&hierarchy.clients, client_request(request.public_key()));
        let verified = openssl.verify(&hierarchy, &hierarchy.clients, &leaf.der, "-purpose sslclient");
        assert!(verified.ok, "{arguments}: {}", verified.text);
        let of = |command: &str| openssl.must(command);
        assert_eq!(of("x509 -in leaf.pem -noout -pubkey"), of("pkey -in key.pem -pubout"), "{arguments}");
    }
}

#[test]
fn der_and_common_variations_of_pem_are_read() {
    let openssl = Openssl::new();
    let pem = String::from_utf8(openssl.csr(P256)).unwrap();
    openssl.must("req -in csr.pem -outform DER -out csr.der");
    let der = openssl.read("csr.der");
    assert_eq!(parse_csr(&der).unwrap().der(), der);
    parse_csr(pem.replace('\n', "\r\n").as_bytes()).unwrap();
    parse_csr(pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST").as_bytes()).unwrap();
    parse_csr(openssl.must("req -in csr.pem -text").as_bytes()).unwrap();
}

#[test]
fn weak_and_unsupported_keys_are_refused_by_name() {
    let openssl = Openssl::new();
    openssl.must("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3 -out cubic.pem");
    for (arguments, hint) in [
        ("-newkey rsa:1024 -sha256", "1024 bits is too short: use rsa-3072"),
        ("-newkey rsa:2047 -sha256", "2047 bits is too short"),
        ("-key cubic.pem -sha256", "exponent"),
        ("-newkey rsa-pss -pkeyopt rsa_keygen_bits:2048 -sha256", "RSA-PSS"),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-521 -sha512", "P-521"),
        ("-newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -sha256", "use ecdsa-p256"),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit -sha256", "named curve"),
        ("-newkey ed448", "Ed448"),
    ] {
        let refused = parse_csr(&openssl.csr(arguments)).unwrap_err();
        assert_eq!(refused.code(), "weak_key", "{arguments}: {refused}");
        assert!(refused.to_string().contains(hint), "{arguments}: {refused}");
    }
}

#[test]
fn weak_signatures_are_refused() {
    let openssl = Openssl::new();
    for (arguments, hash) in [
        ("-newkey rsa:2048 -sha1", "SHA-1"),
        ("-newkey rsa:2048 -md5", "MD5"),
        ("-newkey rsa:2048 -sha224", "SHA-224"),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha1", "SHA-1"),
        ("-newkey rsa:2048 -sha1 -sigopt rsa_padding_mode:pss", "SHA-1"),
    ] {
        let refused = parse_csr(&openssl.csr(arguments)).unwrap_err();
        assert_eq!(refused.code(), "weak_signature", "{arguments}: {refused}");
        assert!(refused.to_string().contains(hash), "{arguments}: {refused}");
    }
}

#[test]
fn a_salt_of_another_length_is_named() {
    let request =
        Openssl::new().csr("-newkey rsa:2048 -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:max");
    let refused = parse_csr(&request).unwrap_err();
    assert!(refused.to_string().contains("rsa_pss_saltlen:digest"), "{refused}");
}

#[test]
fn requests_for_an_authority_are_refused() {
    let openssl = Openssl::new();
    for extension in [
        "basicConstraints=critical,CA:TRUE",
        "basicConstraints=CA:TRUE,pathlen:0",
        "keyUsage=keyCertSign",
        "keyUsage=critical,digitalSignature,cRLSign",
    ] {
        let request = openssl.csr(&format!("{P256} -addext {extension}"));
        assert_eq!(code(parse_csr(&request)), "ca_requested", "{extension}");
    }
    parse_csr(&openssl.csr(&format!("{P256} -addext basicConstraints=CA:FALSE -addext keyUsage=digitalSignature")))
        .unwrap();
}

#[test]
fn a_signature_by_another_key_proves_nothing() {
    let openssl = Openssl::new();
    for newkey in [P256, "-newkey rsa:2048", "-newkey ed25519"] {
        openssl.csr(newkey);
        openssl.must("req -in csr.pem -outform DER -out csr.der");
        let mut der = openssl.read("csr.der");
        *der.last_mut().unwrap() ^= 1;
        assert_eq!(code(parse_csr(&der)), "possession_not_proved", "{newkey}");
    }
    // The subject is signed too: replacing it must break the proof.
    openssl.csr(P256);
    openssl.must("req -in csr.pem -outform DER -out csr.der");
    let mut der = openssl.read("csr.der");
    let position = der.windows(4).position(|window| window == b"Acme").unwrap();
    der[position] = b'B';
    assert_eq!(code(parse_csr(&der)), "possession_not_proved");
}

#[test]
fn the_form_is_strict() {
    let openssl = Openssl::new();
    let pem = openssl.csr(P256);
    openssl.must("req -in csr.pem -outform DER -out csr.der");
    let der = openssl.read("csr.der");
    let key = openssl.read("key.pem");
    assert_eq!(code(parse_csr(&[der.as_slice(), &[0]].concat())), "malformed_csr");
    assert_eq!(code(parse_csr(&der[..der.len() - 1])), "malformed_csr");
    assert_eq!(code(parse_csr(&[])), "malformed_pem");
    assert_eq!(code(parse_csr(b"hello")), "malformed_pem");
    assert_eq!(code(parse_csr(&[0xff, 0xfe])), "malformed_pem");
    assert_eq!(code(parse_csr(&[pem.as_slice(), &pem].concat())), "malformed_pem");
    assert_eq!(code(parse_csr(&[pem.as_slice(), &key].concat())), "private_key_sent");
    assert_eq!(code(parse_csr(&[pem.as_slice(), &vec![b'\n'; 16 * 1024]].concat())), "too_large");
    let cut = String::from_utf8(pem.clone()).unwrap().replace("-----END CERTIFICATE REQUEST-----", "");
    assert_eq!(code(parse_csr(cut.as_bytes())), "malformed_pem");
    openssl.must("req -x509 -key key.pem -subj /CN=x -out cert.pem");
    assert_eq!(code(parse_csr(&openssl.read("cert.pem"))), "malformed_pem");
}

#[test]
fn a_request_for_somebody_else_is_refused_loudly() {
    let openssl = Openssl::new();
    let id = client_id();
    let with = |names: &str| parse_csr(&openssl.csr(&format!("{P256} -addext subjectAltName={names}"))).unwrap();
    with(&format!("URI:{id}")).check_identity(&id).unwrap();
    let others = "DNS:acme.example,email:ops@acme.example,IP:192.0.2.1,otherName:1.2.3.4;UTF8:x";
    assert_eq!(
        with(others).requested_names(),
        [
            RequestedName::Dns("acme.example".into()),
            RequestedName::Email("ops@acme.example".into()),
            RequestedName::Ip(vec![192, 0, 2, 1]),
            RequestedName::Other,
        ]
    );
    for name in others.split(',') {
        for names in [name.to_owned(), format!("URI:{id},{name}")] {
            let refused = with(&names).check_identity(&id).unwrap_err();
            assert_eq!(refused.code(), "name_not_allowed", "{names}");
            assert!(refused.to_string().contains(&id.to_string()), "{refused}");
        }
    }
    for names in [
        "URI:spiffe://api.example.com/partner/bank/client/bank-payments".to_owned(),
        format!("URI:{id},URI:spiffe://api.example.com/partner/bank/client/bank-payments"),
        "URI:https://acme.example".to_owned(),
        format!("URI:{id}/"),
        "URI:spiffe://API.example.com/partner/acme/client/acme-orders".to_owned(),
    ] {
        let refused = with(&names).check_identity(&id).unwrap_err();
        assert_eq!(refused.code(), "identity_mismatch", "{names}");
    }
    openssl.write(
        "other.cnf",
        "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=spiffe://api.example.com/partner/bank/client/b\n",
    );
    openssl
        .must("req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -config other.cnf -keyout k -out csr.pem");
    assert_eq!(code(parse_csr(&openssl.read("csr.pem")).unwrap().check_identity(&id)), "identity_mismatch");
}

#[test]
fn unknown_extensions_and_attributes_are_passed_over() {
    let openssl = Openssl::new();
    let request = openssl
        .csr(&format!("{P256} -addext 1.2.3.4.5=ASN1:UTF8String:hello -addext extendedKeyUsage=serverAuth,clientAuth"));
    let request = parse_csr(&request).unwrap();
    assert!(request.requested_names().is_empty());
    let config = "[req]\ndistinguished_name=dn\nattributes=at\nprompt=no\n[dn]\nCN=a\n[at]\nchallengePassword=secret\nunstructuredName=x\n";
    openssl.write("attributes.cnf", config);
    openssl.must(
        "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -config attributes.cnf -keyout k -out csr.pem",
    );
    parse_csr(&openssl.read("csr.pem")).unwrap();
}
