use pki::{CrlRequest, DistributionPoints, KeyAlgorithm, RevocationList, RevocationReason, RevokedEntry, is_issued_by};
use time::Duration;

use crate::harness::{CRL_URL, Hierarchy, Openssl, at, client_request, code, key, now, serial};

fn request(revoked: Vec<RevokedEntry>) -> CrlRequest {
    CrlRequest {
        number: 7,
        this_update: now(),
        next_update: now() + Duration::days(1),
        revoked,
        distribution_point: Some(CRL_URL.into()),
    }
}

#[test]
fn our_own_list_tells_who_is_revoked_since_when_and_why() {
    let hierarchy = Hierarchy::new();
    let revoked = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let other = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let entry = RevokedEntry {
        serial: revoked.serial,
        revoked_at: now() - Duration::hours(1),
        reason: RevocationReason::KeyCompromise,
    };
    let crl = hierarchy.clients.sign_crl(request(vec![entry])).unwrap();
    for bytes in [crl.der.clone(), crl.pem().into_bytes()] {
        let [list] = <[_; 1]>::try_from(RevocationList::read_all(&bytes).unwrap()).unwrap();
        assert!(list.names(hierarchy.clients.certificate_der()));
        list.verify(hierarchy.clients.certificate_der()).unwrap();
        assert_eq!((list.this_update(), list.next_update(), list.len()), (now(), now() + Duration::days(1), 1));
        let found = list.revocation(&revoked.der).unwrap().unwrap();
        assert_eq!((found.revoked_at, found.reason), (now() - Duration::hours(1), RevocationReason::KeyCompromise));
        assert_eq!(list.revocation(&other.der), Ok(None));
        assert_eq!(list.covers(&other.der), Ok(true));
        assert_eq!(list.covers(hierarchy.clients.certificate_der()), Ok(false), "it is about end entities only");
    }
}

#[test]
fn a_list_of_another_authority_or_a_changed_one_does_not_verify() {
    let hierarchy = Hierarchy::new();
    let crl = hierarchy.clients.sign_crl(request(vec![])).unwrap();
    let list = RevocationList::parse(&crl.der).unwrap();
    for other in [&hierarchy.root, &hierarchy.servers] {
        assert!(!list.names(other.certificate_der()));
        assert_eq!(code(list.verify(other.certificate_der())), "invalid_crl");
    }
    // The copy of the algorithm's name between the signed part and the signature is not signed; the signed copy decides.
    let signed_part = 4 + 3 + usize::from(crl.der[6]);
    for position in (0..signed_part).chain(signed_part + 12..crl.der.len()) {
        let mut changed = crl.der.clone();
        changed[position] ^= 1;
        let accepted =
            RevocationList::parse(&changed).is_ok_and(|list| list.verify(hierarchy.clients.certificate_der()).is_ok());
        assert!(!accepted, "octet {position} can be changed");
    }
    for length in 0..crl.der.len() {
        assert!(RevocationList::parse(&crl.der[..length]).is_err());
    }
    assert_eq!(code(RevocationList::parse(&[&crl.der[..], &[0]].concat())), "invalid_crl");
}

#[test]
fn the_lists_of_two_generations_with_one_name_are_told_apart() {
    let openssl = Openssl::new();
    let generation = |name: &str| {
        openssl.must(&format!(
            "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 30 -subj /CN=one -keyout {name}.key -out {name}.pem"
        ));
        pki::pem_certificates(&openssl.read(&format!("{name}.pem"))).unwrap().remove(0)
    };
    let (old, new) = (generation("old"), generation("new"));
    let with_key_id = openssl_list(&openssl, "new", "authorityKeyIdentifier=keyid");
    let list = RevocationList::parse(&with_key_id).unwrap();
    assert_eq!((list.names(&old), list.names(&new)), (false, true));
    let without = RevocationList::parse(&openssl_list(&openssl, "new", "")).unwrap();
    assert_eq!((without.names(&old), without.names(&new)), (true, true));
    assert_eq!((code(without.verify(&old)), without.verify(&new)), ("invalid_crl", Ok(())));
}

#[test]
fn a_list_that_points_elsewhere_says_nothing() {
    let hierarchy = Hierarchy::new();
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let elsewhere =
        CrlRequest { distribution_point: Some("http://pki.example.com/crl/other.crl".into()), ..request(vec![]) };
    let list = RevocationList::parse(&hierarchy.clients.sign_crl(elsewhere).unwrap().der).unwrap();
    assert_eq!(list.covers(&leaf.der), Ok(false));
    let prepared = hierarchy.clients.prepare(
        &pki::Profile::builtin(pki::ProfileKind::Client),
        client_request(key(KeyAlgorithm::EcdsaP256).public_key()),
        serial(),
        &DistributionPoints::default(),
        now(),
    );
    let pointless = hierarchy.clients.sign(prepared.unwrap()).unwrap();
    let scoped = RevocationList::parse(&hierarchy.clients.sign_crl(request(vec![])).unwrap().der).unwrap();
    assert_eq!(scoped.covers(&pointless.der), Ok(false), "the certificate says of no address that its list is there");
    let full = CrlRequest { distribution_point: None, ..request(vec![]) };
    let full = RevocationList::parse(&hierarchy.clients.sign_crl(full).unwrap().der).unwrap();
    assert_eq!(full.covers(&pointless.der), Ok(true));
}

#[test]
fn openssl_lists_are_read() {
    let openssl = Openssl::new();
    openssl.must("req -x509 -nodes -newkey rsa:2048 -days 30 -subj /CN=rsa -keyout ca.key -out ca.pem");
    let ca = pki::pem_certificates(&openssl.read("ca.pem")).unwrap().remove(0);
    openssl.must("req -new -nodes -newkey rsa:2048 -subj /CN=leaf -keyout leaf.key -out leaf.csr");
    openssl.must("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 0x00f1 -days 3 -out leaf.pem");
    let leaf = pki::pem_certificates(&openssl.read("leaf.pem")).unwrap().remove(0);
    openssl.write("index.txt", "R\t300101000000Z\t270101000000Z,keyCompromise\t00F1\tunknown\t/CN=leaf\n");
    let list = RevocationList::parse(&openssl_list(&openssl, "ca", "")).unwrap();
    list.verify(&ca).unwrap();
    let found = list.revocation(&leaf).unwrap().unwrap();
    assert_eq!((found.revoked_at, found.reason), (at(1_798_761_600), RevocationReason::KeyCompromise));
    assert!(is_issued_by(&leaf, &ca) && !is_issued_by(&ca, &leaf) && is_issued_by(&ca, &ca));
}

#[test]
fn what_cannot_decide_alone_is_refused() {
    let openssl = Openssl::new();
    openssl.must(
        "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 30 -subj /CN=ca -keyout ca.key -out ca.pem",
    );
    for (extensions, why) in [
        ("1.2.3.4=critical,ASN1:UTF8:x", "unknown critical"),
        ("2.5.29.27=critical,DER:020101", "delta"),
        ("issuingDistributionPoint=critical,@point\n[point]\nindirectCRL=TRUE", "indirect"),
        ("issuingDistributionPoint=critical,@point\n[point]\nonlysomereasons=keyCompromise", "reasons"),
        ("issuingDistributionPoint=critical,@point\n[point]\nfullname=DNS:a.example", "address"),
        ("issuingDistributionPoint=critical,@point\n[point]\nrelativename=dn\n[dn]\nCN=a", "address"),
    ] {
        let refused = RevocationList::parse(&openssl_list(&openssl, "ca", extensions)).unwrap_err();
        assert!(refused.to_string().contains(why), "{extensions}: {refused}");
    }
    RevocationList::parse(&openssl_list(&openssl, "ca", "1.2.3.4=ASN1:UTF8:x")).unwrap();
}

#[test]
fn a_list_of_version_1_is_read() {
    let openssl = Openssl::new();
    openssl.must(
        "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 30 -subj /CN=ca -keyout ca.key -out ca.pem",
    );
    let ca = pki::pem_certificates(&openssl.read("ca.pem")).unwrap().remove(0);
    openssl.write("index.txt", "");
    // Without `crlnumber` openssl writes a list of version 1.
    openssl.write("ca.cnf", "[ca]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=1\n");
    openssl.must("ca -gencrl -config ca.cnf -name ca -cert ca.pem -keyfile ca.key -out list.pem");
    let list = RevocationList::read_all(&openssl.read("list.pem")).unwrap().remove(0);
    list.verify(&ca).unwrap();
}

#[test]
fn an_authority_that_may_not_sign_lists_cannot() {
    let openssl = Openssl::new();
    openssl.must(
        "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 30 -subj /CN=ca -keyout ca.key -out ca.pem \
         -addext keyUsage=critical,keyCertSign",
    );
    let ca = pki::pem_certificates(&openssl.read("ca.pem")).unwrap().remove(0);
    let list = RevocationList::parse(&openssl_list(&openssl, "ca", "")).unwrap();
    assert_eq!(code(list.verify(&ca)), "crl_not_permitted");
}

#[test]
fn files_hold_lists_and_nothing_else() {
    let hierarchy = Hierarchy::new();
    let crl = hierarchy.clients.sign_crl(request(vec![])).unwrap();
    assert_eq!(RevocationList::read_all([crl.pem(), crl.pem()].concat().as_bytes()).unwrap().len(), 2);
    for wrong in
        ["".to_owned(), "hello".to_owned(), hierarchy.clients.certificate_pem(), crl.pem().replace("X509 CRL", "CRL")]
    {
        assert_eq!(code(RevocationList::read_all(wrong.as_bytes())), "malformed_pem", "{wrong}");
    }
}

/// A list that `openssl ca` signs for `{name}.pem`, of what stands in index.txt, with a number and these extensions.
fn openssl_list(openssl: &Openssl, name: &str, extensions: &str) -> Vec<u8> {
    if !openssl.path("index.txt").exists() {
        openssl.write("index.txt", "");
    }
    openssl.write("crlnumber", "01\n").write(
        "ca.cnf",
        format!(
            "[ca]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=1\ncrl_extensions=extensions\n\
             [extensions]\n{extensions}\n"
        ),
    );
    openssl.must(&format!("ca -gencrl -config ca.cnf -name ca -cert {name}.pem -keyfile {name}.key -out list.pem"));
    openssl.must("crl -in list.pem -outform DER -out list.der");
    openssl.read("list.der")
}
