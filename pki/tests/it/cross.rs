use pki::{AuthorityName, Issuer, KeyAlgorithm, Profile, ProfileKind, RevocationList, VerifiedRequest};
use time::Duration;

use crate::harness::{Hierarchy, NOW, Openssl, client_request, code, key, now, serial, urls};

fn cross(by: &Issuer, of: &Issuer) -> Vec<u8> {
    let profile = Profile::builtin(ProfileKind::Cross);
    by.cross_certify(&profile, of.certificate_der(), serial(), &urls(), now()).unwrap().der
}

#[test]
fn old_and_new_chains_reach_either_root() {
    let (old, new, openssl) = (Hierarchy::new(), Hierarchy::new(), Openssl::new());
    let (new_with_old, old_with_new) = (cross(&old.root, &new.root), cross(&new.root, &old.root));
    openssl
        .write("old.pem", old.root.certificate_pem())
        .write("new.pem", new.root.certificate_pem())
        .write("both.pem", [old.root.certificate_pem(), new.root.certificate_pem()].concat());
    for (name, hierarchy, bridge) in [("old", &old, &old_with_new), ("new", &new, &new_with_old)] {
        let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
        // What a server sends: one straight line, which those who trust the nearer root leave in the middle.
        let line = [hierarchy.clients.certificate_pem(), pki::pem_certificate(bridge)].concat();
        openssl.write("leaf.pem", leaf.pem()).write("line.pem", line);
        for roots in ["old", "new", "both"] {
            openssl.must(&format!(
                "verify -x509_strict -attime {} -CAfile {roots}.pem -untrusted line.pem -purpose sslclient leaf.pem",
                NOW + 60
            ));
        }
        let other = if name == "old" { "new" } else { "old" };
        openssl.write("short.pem", hierarchy.clients.certificate_pem());
        let bare = openssl.run(&format!(
            "verify -attime {} -CAfile {other}.pem -untrusted short.pem -purpose sslclient leaf.pem",
            NOW + 60
        ));
        assert!(!bare.ok, "without the bridge the other root is no use: {}", bare.text);
    }
}

#[test]
fn a_cross_certificate_is_the_other_roots_name_and_key() {
    let (old, new, openssl) = (Hierarchy::new(), Hierarchy::new(), Openssl::new());
    let der = cross(&old.root, &new.root);
    let text = openssl.x509_text(&der);
    assert!(text.contains(&format!("Subject: {}", new.root.subject())), "{text}");
    assert!(text.contains(&format!("Issuer: {}", old.root.subject())), "{text}");
    assert!(text.contains("CA:TRUE, pathlen:1"), "{text}");
    assert!(!text.contains("Extended Key Usage"), "{text}");
    assert!(pki::is_issued_by(&der, old.root.certificate_der()));
    assert!(pki::is_issued_by(new.clients.certificate_der(), &der));
    let read = pki::CaCertificate::parse(&der).unwrap();
    assert_eq!(read.key_id.as_ref(), Some(new.root.key_id()));
    assert_eq!(read.not_after, (now() + Duration::days(5 * 365)).unix_timestamp());
}

#[test]
fn it_ends_with_the_first_of_the_two() {
    let (old, new) = (Hierarchy::new(), Hierarchy::new());
    let profile = Profile::builtin(ProfileKind::Cross);
    let late = old.root.not_after() - Duration::days(10);
    for (by, of) in [(&old, &new), (&new, &old)] {
        let der = by.root.cross_certify(&profile, of.root.certificate_der(), serial(), &urls(), late).unwrap().der;
        assert_eq!(pki::CaCertificate::parse(&der).unwrap().not_after, old.root.not_after().unix_timestamp());
    }
    let after = old.root.not_after() + Duration::SECOND;
    let refused = new.root.cross_certify(&profile, old.root.certificate_der(), serial(), &urls(), after);
    assert_eq!(code(refused), "outlives_issuer");
}

#[test]
fn only_another_root_is_certified_and_only_by_a_root() {
    let (old, new) = (Hierarchy::new(), Hierarchy::new());
    let profile = Profile::builtin(ProfileKind::Cross);
    let cross = |by: &Issuer, of: &[u8]| code(by.cross_certify(&profile, of, serial(), &urls(), now()));
    assert_eq!(cross(&old.clients, new.root.certificate_der()), "issuer_not_permitted");
    assert_eq!(cross(&old.root, new.clients.certificate_der()), "not_an_authority");
    assert_eq!(cross(&old.root, old.root.certificate_der()), "not_an_authority");
    assert_eq!(cross(&old.root, b"nonsense"), "malformed_certificate");
    let root = Profile::builtin(ProfileKind::Root);
    let refused = old.root.cross_certify(&root, new.root.certificate_der(), serial(), &urls(), now());
    assert_eq!(code(refused), "profile_mismatch");
    let leaf = old.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    assert_eq!(cross(&old.root, &leaf.der), "not_an_authority");
}

#[test]
fn a_root_without_room_below_it_certifies_no_other() {
    let (openssl, new) = (Openssl::new(), Hierarchy::new());
    openssl.must(
        "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-384 -days 7000 -subj /CN=Narrow -keyout ca.key \
         -out ca.pem -addext basicConstraints=critical,CA:TRUE,pathlen:1 -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    let key = pki::PrivateKey::from_pem(&String::from_utf8(openssl.read("ca.key")).unwrap()).unwrap();
    let today = time::OffsetDateTime::now_utc() + Duration::minutes(1);
    let narrow = Issuer::load(&openssl.read("ca.pem"), key, today).unwrap();
    let profile = Profile::builtin(ProfileKind::Cross);
    let refused = narrow.cross_certify(&profile, new.root.certificate_der(), serial(), &urls(), today);
    assert_eq!(code(refused), "issuer_not_permitted");
}

#[test]
fn an_authoritys_request_is_read_by_openssl_and_by_us() {
    let (hierarchy, openssl, elsewhere) = (Hierarchy::new(), Openssl::new(), key(KeyAlgorithm::EcdsaP256));
    let name = AuthorityName { common_name: "Example Clients".into(), organization: Some("Example".into()) };
    let der = pki::authority_request(&elsewhere, &name).unwrap();
    let text = openssl.write("ca.csr", pki::pem_request(&der)).must("req -in ca.csr -noout -text -verify");
    assert!(text.contains("O = Example, CN = Example Clients"), "{text}");
    assert!(!text.contains("CA:TRUE"), "the ceremony decides what it is: {text}");
    let request = VerifiedRequest::parse(pki::pem_request(&der).as_bytes()).unwrap();
    assert_eq!(request.public_key(), elsewhere.public_key());
    assert_eq!(request.common_name(), Some("Example Clients"));
    let profile = Profile::builtin(ProfileKind::Issuing);
    let signed =
        hierarchy.root.certify_authority(&profile, name, request.public_key(), serial(), &urls(), now()).unwrap();
    let issuer = Issuer::load(&signed.der, elsewhere, now()).unwrap();
    let leaf = hierarchy.issue(&issuer, client_request(key(KeyAlgorithm::EcdsaP256).public_key()));
    assert!(openssl.verify(&hierarchy, &issuer, &leaf.der, "-purpose sslclient").ok);
}

#[test]
fn a_list_is_carried_on_from_the_one_before() {
    let hierarchy = Hierarchy::new();
    let sign = |number, revoked| {
        let request = pki::CrlRequest {
            number,
            this_update: now(),
            next_update: now() + Duration::days(365),
            revoked,
            distribution_point: None,
        };
        RevocationList::parse(&hierarchy.root.sign_crl(request).unwrap().der).unwrap()
    };
    let mut revoked: Vec<_> = (0..3)
        .map(|age| pki::RevokedEntry {
            serial: serial(),
            revoked_at: now() - Duration::days(age),
            reason: pki::RevocationReason::CaCompromise,
        })
        .collect();
    revoked.sort_by_key(|entry| entry.serial);
    let first = sign(7, revoked.clone());
    assert_eq!((first.number(), first.entries().unwrap()), (Some(7), revoked.clone()));
    let second = sign(8, first.entries().unwrap());
    assert_eq!((second.number(), second.entries().unwrap()), (Some(8), revoked));
}
