use std::sync::Arc;

use pki::{DistributionPoints, Error, Issuer, KeyAlgorithm, PrivateKey, Profile, ProfileKind, PublicKey, Signer};
use time::Duration;

use crate::harness::{Hierarchy, NOW, Openssl, at, client_request, code, key, now, serial, urls};

/// OpenSSL makes a foreign authority of this subject and these extensions; returns its certificate and key.
fn foreign(openssl: &Openssl, newkey: &str, subject: &str, extensions: &[&str]) -> (Vec<u8>, PrivateKey) {
    let extensions: String = extensions.iter().map(|extension| format!(" -addext {extension}")).collect();
    let make = format!("req -x509 -nodes {newkey} -days 3650 -subj {subject} -keyout ca.key -out ca.pem{extensions}");
    openssl.must(&make);
    let key = PrivateKey::from_pem(&String::from_utf8(openssl.read("ca.key")).unwrap()).unwrap();
    (openssl.read("ca.pem"), key)
}

const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
const SIGNS: &str = "keyUsage=critical,keyCertSign,cRLSign";

/// OpenSSL dates its certificates by the clock.
fn today() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc() + Duration::minutes(1)
}

#[test]
fn each_generation_has_its_own_name() {
    let (one, two) = (Hierarchy::new(), Hierarchy::new());
    assert_ne!(one.root.subject(), two.root.subject());
    assert_ne!(one.clients.subject(), two.clients.subject());
    let digits = &one.clients.key_id().to_string()[..8];
    assert_eq!(one.clients.subject(), format!("CN=Example Clients {digits}"));
    assert!(one.root.is_root() && !one.clients.is_root());
}

#[test]
fn an_authority_survives_a_restart() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let fresh = key(KeyAlgorithm::EcdsaP256);
    let file = fresh.encrypt(b"correct horse").unwrap();
    let made = Issuer::subordinate(
        &hierarchy.root,
        &Profile::builtin(ProfileKind::Issuing),
        "Kept",
        fresh,
        serial(),
        &urls(),
        now(),
    )
    .unwrap();
    let key_again = || PrivateKey::decrypt(&file, b"correct horse").unwrap();
    let loaded = Issuer::load(made.certificate_pem().as_bytes(), key_again(), now()).unwrap();
    assert_eq!(loaded.key_id(), made.key_id());
    assert_eq!(loaded.thumbprint(), made.thumbprint());
    assert!(loaded.signs_crls());
    Issuer::load(made.certificate_der(), key_again(), now()).unwrap();
    let leaf = hierarchy.issue(&loaded, client_request(key(KeyAlgorithm::EcdsaP256).public_key()));
    assert!(openssl.verify(&hierarchy, &loaded, &leaf.der, "-purpose sslclient").ok);

    let load = |now| code(Issuer::load(made.certificate_der(), key_again(), now));
    assert_eq!(load(made.not_after()), "outlives_issuer");
    assert_eq!(load(made.not_before() - Duration::SECOND), "issuer_not_yet_valid");
    let other = Issuer::load(made.certificate_der(), key(KeyAlgorithm::EcdsaP256), now());
    assert_eq!(code(other), "key_mismatch");
    let two = [made.certificate_pem(), hierarchy.root.certificate_pem()].concat();
    assert_eq!(code(Issuer::load(two.as_bytes(), key_again(), now())), "malformed_pem");
}

#[test]
fn foreign_authorities_of_every_kind_are_taken_up() {
    let openssl = Openssl::new();
    for newkey in [EC, "-newkey ec -pkeyopt ec_paramgen_curve:P-384", "-newkey rsa:2048", "-newkey rsa:4096"] {
        let (pem, key) = foreign(&openssl, newkey, "/C=AE/O=Foreign/OU=PKI/CN=Foreign", &[SIGNS]);
        let issuer = Issuer::load(&pem, key, today()).unwrap();
        let leaf_key = crate::harness::key(KeyAlgorithm::EcdsaP256);
        let request = client_request(leaf_key.public_key());
        let profile = Profile::builtin(ProfileKind::Client);
        let prepared = issuer.prepare(&profile, request, serial(), &DistributionPoints::default(), today()).unwrap();
        let leaf = issuer.sign(prepared).unwrap();
        openssl
            .write("leaf.pem", leaf.pem())
            .must(&format!("verify -attime {} -CAfile ca.pem -purpose sslclient leaf.pem", today().unix_timestamp()));
    }
}

#[test]
fn a_foreign_authority_without_key_identifier_still_chains() {
    let openssl = Openssl::new();
    openssl.write("minimal.cnf", "[req]\ndistinguished_name=dn\n[dn]\n");
    let subject = "/CN=Old";
    let extensions = ["basicConstraints=critical,CA:TRUE", SIGNS, "subjectKeyIdentifier=none"];
    let (pem, key) = foreign(&openssl, &format!("{EC} -config minimal.cnf"), subject, &extensions);
    let shown = openssl.must("x509 -in ca.pem -noout -text");
    assert!(!shown.contains("Subject Key Identifier"), "{shown}");
    let issuer = Issuer::load(&pem, key, today()).unwrap();
    let leaf_key = crate::harness::key(KeyAlgorithm::EcdsaP256);
    let prepared = issuer
        .prepare(
            &Profile::builtin(ProfileKind::Client),
            client_request(leaf_key.public_key()),
            serial(),
            &DistributionPoints::default(),
            today(),
        )
        .unwrap();
    let leaf = issuer.sign(prepared).unwrap();
    let seen = pki::ClientCertificate::parse(&leaf.der).unwrap();
    assert_eq!(seen.issuer_key_id.as_ref(), Some(issuer.key_id()));
    openssl.write("leaf.pem", leaf.pem()).must("verify -CAfile ca.pem -purpose sslclient leaf.pem");
}

#[test]
fn what_is_no_authority_is_refused_with_the_reason() {
    let openssl = Openssl::new();
    for (subject, extensions, reason) in [
        ("/CN=a", &["basicConstraints=critical,CA:FALSE", SIGNS][..], "CA:TRUE"),
        ("/CN=a", &["keyUsage=critical,cRLSign"], "keyCertSign"),
        ("/CN=a", &[], "keyCertSign"),
        ("/", &[SIGNS], "subject is empty"),
        ("/OU=one/OU=two/CN=a", &[SIGNS], "would not chain"),
        ("/CN=a", &[SIGNS, "nameConstraints=permitted;URI:.example.com"], "name constraints"),
        ("/CN=a", &[SIGNS, "extendedKeyUsage=codeSigning"], "extendedKeyUsage"),
    ] {
        let (pem, key) = foreign(&openssl, EC, subject, extensions);
        let refused = Issuer::load(&pem, key, today()).unwrap_err();
        assert_eq!(refused.code(), "not_an_authority", "{subject} {extensions:?}: {refused}");
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

#[test]
fn names_with_several_attributes_in_one_part_are_refused() {
    let openssl = Openssl::new();
    let (pem, key) = foreign(&openssl, &format!("{EC} -multivalue-rdn"), "/O=a+OU=b/CN=c", &[SIGNS]);
    assert_eq!(code(Issuer::load(&pem, key, today())), "not_an_authority");
}

#[test]
fn keys_that_openssl_writes_are_read() {
    let openssl = Openssl::new();
    openssl.must("ecparam -name prime256v1 -genkey -out ec.pem");
    openssl.must("genrsa -traditional -out rsa.pem 2048");
    openssl.must("genpkey -algorithm ed25519 -out ed.pem");
    for (file, label, algorithm) in [
        ("ec.pem", "EC PRIVATE KEY", KeyAlgorithm::EcdsaP256),
        ("rsa.pem", "RSA PRIVATE KEY", KeyAlgorithm::Rsa2048),
        ("ed.pem", "PRIVATE KEY", KeyAlgorithm::Ed25519),
    ] {
        let text = String::from_utf8(openssl.read(file)).unwrap();
        assert!(text.contains(&format!("BEGIN {label}")), "{text}");
        let key = PrivateKey::from_pem(&text).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let again = PrivateKey::from_pkcs8_pem(&key.to_pkcs8_pem()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
    }
}

#[test]
fn parents_are_checked() {
    let (hierarchy, other) = (Hierarchy::new(), Hierarchy::new());
    hierarchy.clients.check_signed_by(hierarchy.root.certificate_der()).unwrap();
    hierarchy.clients.check_signed_by(hierarchy.root.certificate_pem().as_bytes()).unwrap();
    hierarchy.root.check_signed_by(hierarchy.root.certificate_der()).unwrap();
    assert_eq!(code(hierarchy.clients.check_signed_by(other.root.certificate_der())), "not_an_authority");
    assert_eq!(code(hierarchy.root.check_signed_by(hierarchy.clients.certificate_der())), "not_an_authority");
    let openssl = Openssl::new();
    let (pem, key) = foreign(&openssl, EC, "/CN=a", &[SIGNS]);
    openssl.must("x509 -in ca.pem -outform DER -out ca.der");
    let mut der = openssl.read("ca.der");
    *der.last_mut().unwrap() ^= 1;
    assert_eq!(code(Issuer::load(&der, key, today())), "not_an_authority", "a damaged root");
    let (_, key) = foreign(&openssl, EC, "/CN=a", &[SIGNS]);
    assert_eq!(code(Issuer::load(&pem, key, today())), "key_mismatch");
}

#[test]
fn path_lengths_hold() {
    let hierarchy = Hierarchy::new();
    let subordinate = |parent: &Issuer, kind| {
        let (profile, key) = (Profile::builtin(kind), key(KeyAlgorithm::EcdsaP256));
        Issuer::subordinate(parent, &profile, "Below", key, serial(), &urls(), now())
    };
    assert_eq!(code(subordinate(&hierarchy.clients, ProfileKind::Issuing)), "issuer_not_permitted");
    assert_eq!(code(subordinate(&hierarchy.root, ProfileKind::Root)), "profile_mismatch");
    assert_eq!(code(subordinate(&hierarchy.root, ProfileKind::Client)), "profile_mismatch");
    let profile = Profile::builtin(ProfileKind::Issuing);
    let root = Issuer::self_signed(&profile, "Root", key(KeyAlgorithm::EcdsaP256), serial(), now());
    assert_eq!(code(root), "profile_mismatch");
    let root =
        Issuer::self_signed(&Profile::builtin(ProfileKind::Root), "Root", key(KeyAlgorithm::Ed25519), serial(), now());
    assert_eq!(code(root), "key_not_allowed");
}

#[test]
fn a_root_may_sign_for_a_key_it_never_sees() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let elsewhere = key(KeyAlgorithm::EcdsaP256);
    let profile = Profile::builtin(ProfileKind::Issuing);
    let signed = hierarchy
        .root
        .certify_authority(&profile, "Elsewhere", elsewhere.public_key(), serial(), &urls(), now())
        .unwrap();
    let issuer = Issuer::load(&signed.der, elsewhere, now()).unwrap();
    let leaf = hierarchy.issue(&issuer, client_request(key(KeyAlgorithm::EcdsaP256).public_key()));
    assert!(openssl.verify(&hierarchy, &issuer, &leaf.der, "-purpose sslclient").ok);
    let own = hierarchy.root.public_key().clone();
    assert_eq!(code(hierarchy.root.certify_authority(&profile, "Own", &own, serial(), &urls(), now())), "key_reused");
}

#[test]
fn an_authority_ends_no_later_than_its_parent() {
    let hierarchy = Hierarchy::new();
    let late = hierarchy.root.not_after() - Duration::days(10);
    let (profile, key) = (Profile::builtin(ProfileKind::Issuing), key(KeyAlgorithm::EcdsaP256));
    let issuing = Issuer::subordinate(&hierarchy.root, &profile, "Late", key, serial(), &urls(), late).unwrap();
    assert_eq!(issuing.not_after(), hierarchy.root.not_after());
    assert_eq!(hierarchy.clients.not_after(), at(NOW + 94_608_000));
}

#[test]
fn debug_hides_keys() {
    let key = key(KeyAlgorithm::EcdsaP256);
    assert_eq!(format!("{key:?}"), "PrivateKey(ecdsa-p256, hidden)");
    let shown = format!("{:?}", Hierarchy::new().clients);
    assert!(shown.starts_with("Issuer { subject: \"CN=Example Clients"), "{shown}");
    assert!(!shown.contains("PrivateKey"));
}

#[test]
fn a_subject_that_the_encoder_cannot_write_is_refused() {
    let hierarchy = Hierarchy::new();
    let key = key(KeyAlgorithm::EcdsaP256);
    let profile = Profile::builtin(ProfileKind::Issuing);
    let mut der =
        hierarchy.root.certify_authority(&profile, "Odd", key.public_key(), serial(), &urls(), now()).unwrap().der;
    let common_name = der.windows(5).rposition(|window| window == [6, 3, 0x55, 4, 3]).unwrap();
    der[common_name + 2] = 0x7b;
    assert_eq!(code(Issuer::load(&der, key, now())), "not_an_authority");
}

/// A key that lies elsewhere, as in a token: what signs is reached through an `Arc`, and may break.
struct Elsewhere {
    shown: PrivateKey,
    signs: Signs,
}

type Signs = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + Send + Sync>;

impl Signer for Elsewhere {
    fn public_key(&self) -> &PublicKey {
        self.shown.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        (self.signs)(message)
    }
}

#[test]
fn an_authority_signs_by_whatever_holds_its_key() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Rsa3072] {
        let inside = key(algorithm);
        let shown = PrivateKey::from_pkcs8_der(&inside.to_pkcs8_der()).unwrap();
        let signer: Arc<dyn Signer> =
            Arc::new(Elsewhere { shown, signs: Box::new(move |message| Signer::sign(&inside, message)) });
        let profile = Profile::builtin(ProfileKind::Issuing);
        let issuer =
            Issuer::subordinate(&hierarchy.root, &profile, "Token", signer.clone(), serial(), &urls(), now()).unwrap();
        let issuer = Issuer::load(issuer.certificate_der(), signer, now()).unwrap();
        let leaf = hierarchy.issue(&issuer, client_request(key(KeyAlgorithm::EcdsaP256).public_key()));
        assert!(openssl.verify(&hierarchy, &issuer, &leaf.der, "-purpose sslclient").ok, "{algorithm}");
    }
}

#[test]
fn a_signer_that_fails_or_signs_with_another_key_issues_nothing() {
    let made = |signs: Signs| {
        let shown = key(KeyAlgorithm::EcdsaP384);
        let profile = Profile::builtin(ProfileKind::Root);
        code(Issuer::self_signed(&profile, "Broken", Elsewhere { shown, signs }, serial(), now()))
    };
    let other = key(KeyAlgorithm::EcdsaP384);
    assert_eq!(made(Box::new(move |message| Signer::sign(&other, message))), "crypto_failed");
    assert_eq!(made(Box::new(|_| Err(Error::Signer("the token is gone".into())))), "signer_failed");
    assert_eq!(made(Box::new(|_| Ok(Vec::new()))), "crypto_failed");
}
