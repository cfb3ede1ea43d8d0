use pki::{Error, KeyAlgorithm, PrivateKey, PublicKey, ecdsa_signature_der, pem_certificates, pkcs12};

use crate::harness::{Hierarchy, Openssl, code, key};

const PASSPHRASE: &str = "correct-horse-battery-staple";

#[test]
fn openssl_opens_our_keys_and_we_open_its() {
    let openssl = Openssl::new();
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048] {
        let key = key(algorithm);
        let file = key.encrypt(PASSPHRASE.as_bytes()).unwrap();
        assert!(file.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        openssl.write("ours.pem", &file);
        openssl.must(&format!("pkcs8 -in ours.pem -passin pass:{PASSPHRASE} -out plain.pem"));
        let opened = PrivateKey::from_pkcs8_pem(&String::from_utf8(openssl.read("plain.pem")).unwrap()).unwrap();
        assert_eq!(opened.public_key(), key.public_key(), "{algorithm}");
        assert!(!openssl.run("pkcs8 -in ours.pem -passin pass:wrong -out nothing.pem").ok);

        openssl.write("plain.pem", key.to_pkcs8_pem().as_bytes());
        openssl.must(&format!("pkcs8 -topk8 -in plain.pem -v2 aes-256-cbc -passout pass:{PASSPHRASE} -out theirs.pem"));
        let theirs = String::from_utf8(openssl.read("theirs.pem")).unwrap();
        let opened = PrivateKey::decrypt(&theirs, PASSPHRASE.as_bytes()).unwrap();
        assert_eq!(opened.public_key(), key.public_key(), "{algorithm}");
        assert_eq!(opened.to_pkcs8_der(), PrivateKey::from_pkcs8_der(&opened.to_pkcs8_der()).unwrap().to_pkcs8_der());
    }
}

#[test]
fn the_encryption_is_the_one_that_is_promised() {
    let openssl = Openssl::new();
    let key = key(KeyAlgorithm::EcdsaP256);
    let (one, two) = (key.encrypt(b"a").unwrap(), key.encrypt(b"a").unwrap());
    assert_ne!(one, two, "salt and IV are fresh each time");
    let dump = openssl.write("key.pem", one).must("asn1parse -in key.pem");
    for fact in ["PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", ":0927C0"] {
        assert!(dump.contains(fact), "{fact} in {dump}");
    }
}

#[test]
fn wrong_passphrases_and_damage_are_refused_without_a_word_about_the_key() {
    let key = key(KeyAlgorithm::EcdsaP256);
    let file = key.encrypt(b"right").unwrap();
    assert_eq!(PrivateKey::decrypt(&file, b"wrong").unwrap_err(), Error::WrongPassphrase);
    assert_eq!(PrivateKey::decrypt(&file, b"").unwrap_err(), Error::WrongPassphrase);
    assert_eq!(code(key.encrypt(b"")), "empty_passphrase");
    assert_eq!(code(PrivateKey::decrypt(&key.to_pkcs8_pem(), b"right")), "malformed_key");
    assert_eq!(code(PrivateKey::from_pkcs8_pem(&file)), "malformed_key");
    assert_eq!(code(PrivateKey::from_pem(&file)), "malformed_key");
    assert_eq!(code(PrivateKey::from_pkcs8_pem("")), "malformed_key");
    assert_eq!(code(PrivateKey::from_pkcs8_der(b"nonsense")), "malformed_key");
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let openssl = Openssl::new();
    for (arguments, wanted) in [
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "weak_key"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", "malformed_key"),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", "malformed_key"),
        ("-algorithm X25519", "malformed_key"),
    ] {
        openssl.must(&format!("genpkey {arguments} -out key.pem"));
        let text = String::from_utf8(openssl.read("key.pem")).unwrap();
        assert_eq!(code(PrivateKey::from_pkcs8_pem(&text)), wanted, "{arguments}");
    }
}

#[test]
fn every_algorithm_can_be_made_and_read_back() {
    for algorithm in KeyAlgorithm::ALL {
        let key = key(algorithm);
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        let again = PrivateKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
    }
    assert_eq!(code("rsa-1024".parse::<KeyAlgorithm>()), "unknown_algorithm");
}

#[test]
fn openssl_reads_our_pkcs12() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa2048] {
        let key = key(algorithm);
        let leaf = hierarchy.issue_client(key.public_key());
        let chain = [hierarchy.clients.certificate_der(), hierarchy.root.certificate_der()];
        let file = pkcs12(&leaf.der, &chain, &key, PASSPHRASE, "acme-orders").unwrap();
        openssl.write("client.p12", &*file);
        let info = openssl.must(&format!("pkcs12 -in client.p12 -passin pass:{PASSPHRASE} -info -nodes"));
        assert!(info.contains("PBES2, PBKDF2, AES-256-CBC, Iteration 250000, PRF hmacWithSHA256"), "{info}");
        assert!(info.contains("MAC: sha256, Iteration 250000"), "{info}");
        assert!(info.contains("friendlyName: acme-orders"), "{info}");
        openssl.must(&format!("pkcs12 -in client.p12 -passin pass:{PASSPHRASE} -nodes -nocerts -out key.pem"));
        let read = PrivateKey::from_pem(&String::from_utf8(openssl.read("key.pem")).unwrap()).unwrap();
        assert_eq!(read.public_key(), key.public_key());
        openssl.must(&format!("pkcs12 -in client.p12 -passin pass:{PASSPHRASE} -nokeys -out certs.pem"));
        let mut certificates = pem_certificates(&openssl.read("certs.pem")).unwrap();
        certificates.sort();
        let mut wanted = vec![leaf.der.clone(), chain[0].to_vec(), chain[1].to_vec()];
        wanted.sort();
        assert_eq!(certificates, wanted);
        openssl.must(&format!("pkcs12 -in client.p12 -passin pass:{PASSPHRASE} -nokeys -clcerts -out own.pem"));
        assert_eq!(pem_certificates(&openssl.read("own.pem")).unwrap(), [leaf.der]);
        assert!(!openssl.run("pkcs12 -in client.p12 -passin pass:wrong -noout").ok);
    }
}

#[test]
fn pkcs12_packs_only_what_belongs_together() {
    let hierarchy = Hierarchy::new();
    let (key, other) = (key(KeyAlgorithm::EcdsaP256), key(KeyAlgorithm::EcdsaP256));
    let leaf = hierarchy.issue_client(key.public_key());
    assert_eq!(code(pkcs12(&leaf.der, &[], &other, PASSPHRASE, "a")), "key_mismatch");
    assert_eq!(code(pkcs12(&leaf.der, &[], &key, "", "a")), "empty_passphrase");
    assert_eq!(code(pkcs12(&leaf.der, &[b"junk"], &key, PASSPHRASE, "a")), "malformed_certificate");
}

#[test]
fn bundles_are_read_whole_or_not_at_all() {
    let hierarchy = Hierarchy::new();
    let (root, clients) = (hierarchy.root.certificate_pem(), hierarchy.clients.certificate_pem());
    let bundle = format!("subject=root\n{root}\n# issuing\n{clients}");
    let read = pem_certificates(bundle.as_bytes()).unwrap();
    assert_eq!(read, [hierarchy.root.certificate_der(), hierarchy.clients.certificate_der()]);
    assert_eq!(code(pem_certificates(b"")), "malformed_pem");
    let key = key(KeyAlgorithm::EcdsaP256).to_pkcs8_pem();
    assert_eq!(code(pem_certificates(format!("{root}{}", *key).as_bytes())), "private_key_sent");
    assert_eq!(code(pem_certificates(root.replace("CERTIFICATE", "X509 CRL").as_bytes())), "malformed_pem");
    assert_eq!(code(pem_certificates(root.replacen('M', "*", 1).as_bytes())), "malformed_pem");
    assert_eq!(code(pem_certificates(&vec![b'\n'; 1024 * 1024 + 1])), "too_large");
    let many = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".repeat(1001);
    assert_eq!(code(pem_certificates(many.as_bytes())), "too_large");
}

#[test]
fn public_keys_are_made_from_the_parts_that_tokens_keep() {
    for (algorithm, head) in [(KeyAlgorithm::EcdsaP256, 26), (KeyAlgorithm::EcdsaP384, 23)] {
        let key = key(algorithm);
        let point = &key.public_key().spki_der()[head..];
        assert_eq!(point[0], 4, "an uncompressed point");
        assert_eq!(&PublicKey::from_ec_point(algorithm, point).unwrap(), key.public_key());
        assert_eq!(code(PublicKey::from_ec_point(algorithm, &point[1..])), "weak_key");
    }
    assert_eq!(code(PublicKey::from_ec_point(KeyAlgorithm::Rsa2048, &[4])), "malformed_key");
    let rsa = key(KeyAlgorithm::Rsa2048);
    // SEQUENCE { SEQUENCE { OID, NULL }, BIT STRING { SEQUENCE { INTEGER (00 and 256 octets), INTEGER 65537 } } }
    let modulus = &rsa.public_key().spki_der()[33..33 + 256];
    let made = PublicKey::from_rsa_numbers(modulus, &[1, 0, 1]).unwrap();
    assert_eq!(&made, rsa.public_key());
    assert_eq!(&PublicKey::from_rsa_numbers(&[&[0, 0], modulus].concat(), &[0, 1, 0, 1]).unwrap(), rsa.public_key());
}

#[test]
fn signatures_of_tokens_become_der() {
    let mut raw = [0; 64];
    (raw[31], raw[32]) = (1, 0x80);
    let der = ecdsa_signature_der(&raw).unwrap();
    assert_eq!(der[..7], [0x30, 38, 2, 1, 1, 2, 33]);
    assert_eq!(der[7..9], [0, 0x80]);
    assert_eq!(code(ecdsa_signature_der(&raw[1..])), "signer_failed");
}
