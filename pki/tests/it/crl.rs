use pki::{
    Crl, CrlRequest, CrlTerms, Issuer, KeyAlgorithm, PrivateKey, RevocationList, RevocationReason, RevokedEntry, Serial,
};
use time::Duration;

use crate::harness::{CRL_URL, Hierarchy, Openssl, code, key, now, serial};

fn request(number: u64, revoked: Vec<RevokedEntry>) -> CrlRequest {
    let distribution_point = Some(CRL_URL.into());
    CrlRequest { number, this_update: now(), next_update: now() + Duration::days(1), revoked, distribution_point }
}

fn entry(serial: Serial, reason: RevocationReason) -> RevokedEntry {
    RevokedEntry { serial, revoked_at: now() - Duration::hours(1), reason }
}

fn text(openssl: &Openssl, crl: &Crl) -> String {
    openssl.write("shown.crl", &crl.der).must("crl -inform DER -in shown.crl -noout -text")
}

#[test]
fn openssl_rejects_a_certificate_once_it_is_listed() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let check = |crl: &Crl| {
        openssl.write("list.pem", crl.pem());
        openssl.verify(&hierarchy, &hierarchy.clients, &leaf.der, "-purpose sslclient -crl_check -CRLfile list.pem")
    };
    let before = hierarchy.clients.sign_crl(request(1, vec![entry(serial(), RevocationReason::Superseded)])).unwrap();
    let accepted = check(&before);
    assert!(accepted.ok, "{}", accepted.text);
    let after =
        hierarchy.clients.sign_crl(request(2, vec![entry(leaf.serial, RevocationReason::KeyCompromise)])).unwrap();
    let rejected = check(&after);
    assert!(!rejected.ok && rejected.text.contains("certificate revoked"), "{}", rejected.text);
}

#[test]
fn nginx_checks_every_link_so_the_root_has_a_list_too() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let verify = |lists: [&Crl; 2]| {
        openssl.write("lists.pem", lists.map(Crl::pem).concat());
        openssl.verify(&hierarchy, &hierarchy.clients, &leaf.der, "-crl_check_all -CRLfile lists.pem")
    };
    let root = |number, revoked| {
        hierarchy.root.sign_crl(CrlRequest { distribution_point: None, ..request(number, revoked) }).unwrap()
    };
    let scoped = hierarchy.clients.sign_crl(request(1, vec![])).unwrap();
    let full = hierarchy.clients.sign_crl(CrlRequest { distribution_point: None, ..request(1, vec![]) }).unwrap();
    for list in [&scoped, &full] {
        let accepted = verify([list, &root(1, vec![])]);
        assert!(accepted.ok, "{}", accepted.text);
    }
    let revoked = vec![entry(hierarchy.clients.serial(), RevocationReason::CaCompromise)];
    let rejected = verify([&scoped, &root(2, revoked)]);
    assert!(!rejected.ok && rejected.text.contains("certificate revoked"), "{}", rejected.text);
    assert_eq!(code(hierarchy.root.sign_crl(request(1, vec![]))), "invalid_crl", "a root's list has no scope");
}

#[test]
fn a_list_of_another_address_does_not_count() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let other =
        CrlRequest { distribution_point: Some("http://pki.example.com/crl/other.crl".into()), ..request(1, vec![]) };
    openssl.write("list.pem", hierarchy.clients.sign_crl(other).unwrap().pem());
    let verified = openssl.verify(&hierarchy, &hierarchy.clients, &leaf.der, "-crl_check -CRLfile list.pem");
    assert!(!verified.ok && verified.text.contains("scope"), "{}", verified.text);
}

#[test]
fn openssl_verifies_the_signature_and_the_number_grows() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    openssl.write("ca.pem", hierarchy.clients.certificate_pem()).write("root.pem", hierarchy.root.certificate_pem());
    for number in [0, 1, 127, 128, 255, 256, u64::MAX] {
        let crl = hierarchy.clients.sign_crl(request(number, vec![])).unwrap();
        assert_eq!(crl.number, number);
        openssl.write("list.pem", crl.pem());
        let verified = openssl.must("crl -in list.pem -CAfile ca.pem -noout -crlnumber");
        assert!(verified.contains("verify OK"), "{verified}");
        let hex = verified.lines().find_map(|line| line.strip_prefix("crlNumber=0x")).unwrap();
        assert_eq!(u64::from_str_radix(hex, 16), Ok(number));
        let foreign = openssl.run("crl -in list.pem -CAfile root.pem -noout");
        assert!(!foreign.text.contains("verify OK"), "{}", foreign.text);
    }
}

#[test]
fn an_empty_list_has_no_entries_at_all() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let shown = text(&openssl, &hierarchy.clients.sign_crl(request(7, vec![])).unwrap());
    assert!(shown.contains("No Revoked Certificates."), "{shown}");
    assert!(shown.contains("Version 2 (0x1)"));
    let key_id: Vec<String> =
        hierarchy.clients.key_id().as_bytes().iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(shown.contains(&key_id.join(":")), "{shown}");
    assert!(shown.contains("X509v3 Issuing Distribution Point: critical"));
    assert!(shown.contains("Only User Certificates"));
    assert!(shown.contains(&format!("URI:{CRL_URL}")));
    assert!(shown.contains("Last Update: Jan 15 08:00:00 2027 GMT"));
    assert!(shown.contains("Next Update: Jan 16 08:00:00 2027 GMT"));
}

#[test]
fn reasons_are_written_and_unspecified_is_not() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    for (reason, wanted) in [
        (RevocationReason::Unspecified, None),
        (RevocationReason::KeyCompromise, Some("Key Compromise")),
        (RevocationReason::CaCompromise, Some("CA Compromise")),
        (RevocationReason::AffiliationChanged, Some("Affiliation Changed")),
        (RevocationReason::Superseded, Some("Superseded")),
        (RevocationReason::CessationOfOperation, Some("Cessation Of Operation")),
        (RevocationReason::PrivilegeWithdrawn, Some("Privilege Withdrawn")),
        (RevocationReason::AaCompromise, Some("AA Compromise")),
    ] {
        let shown = text(&openssl, &hierarchy.clients.sign_crl(request(1, vec![entry(serial(), reason)])).unwrap());
        match wanted {
            Some(wanted) => assert!(shown.contains(wanted), "{shown}"),
            None => assert!(!shown.contains("Reason Code"), "{shown}"),
        }
    }
    let held = hierarchy.clients.sign_crl(request(1, vec![entry(serial(), RevocationReason::CertificateHold)]));
    assert_eq!(code(held), "reason_not_permanent");
}

#[test]
fn entries_are_ordered_unique_and_never_in_the_future() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let twice = serial();
    let at = |serial, hours| RevokedEntry {
        serial,
        revoked_at: now() + Duration::hours(hours),
        reason: RevocationReason::Unspecified,
    };
    let entries = vec![at(twice, -1), at(serial(), 5), at(twice, -2), at(serial(), -3)];
    let shown = text(&openssl, &hierarchy.clients.sign_crl(request(1, entries)).unwrap());
    let serials: Vec<&str> = shown.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: ")).collect();
    assert_eq!(serials.len(), 3, "{shown}");
    assert!(serials.is_sorted());
    let dates: Vec<&str> = shown.lines().filter_map(|line| line.trim().strip_prefix("Revocation Date: ")).collect();
    assert!(dates.contains(&"Jan 15 06:00:00 2027 GMT"), "the earlier of two: {dates:?}");
    assert!(dates.contains(&"Jan 15 08:00:00 2027 GMT"), "not after the list itself: {dates:?}");
}

#[test]
fn lists_keep_within_their_bounds() {
    let hierarchy = Hierarchy::new();
    let end = hierarchy.clients.not_after();
    let sign = |this_update, next_update| {
        hierarchy.clients.sign_crl(CrlRequest { this_update, next_update, ..request(1, vec![]) })
    };
    assert_eq!(code(sign(now(), now())), "invalid_crl");
    assert_eq!(code(sign(now(), now() - Duration::days(1))), "invalid_crl");
    assert_eq!(code(sign(end, end + Duration::days(1))), "outlives_issuer");
    assert_eq!(sign(end - Duration::hours(1), end + Duration::days(1)).unwrap().next_update, end);
    let https = CrlRequest { distribution_point: Some("https://a/b".into()), ..request(1, vec![]) };
    assert_eq!(code(hierarchy.clients.sign_crl(https)), "invalid_url");
}

#[test]
fn an_authority_without_crl_sign_signs_no_list() {
    let openssl = Openssl::new();
    openssl.must(
        "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 3650 -subj /CN=a -keyout ca.key -out ca.pem \
         -addext keyUsage=critical,keyCertSign",
    );
    let key = PrivateKey::from_pem(&String::from_utf8(openssl.read("ca.key")).unwrap()).unwrap();
    let issuer =
        Issuer::load(&openssl.read("ca.pem"), key, time::OffsetDateTime::now_utc() + Duration::minutes(1)).unwrap();
    assert!(!issuer.signs_crls());
    assert_eq!(code(issuer.sign_crl(request(1, vec![]))), "crl_not_permitted");
}

fn terms() -> CrlTerms {
    let distribution_point = Some(CRL_URL.into());
    CrlTerms { number: 1, this_update: now(), next_update: now() + Duration::days(1), distribution_point }
}

#[test]
fn a_list_in_pieces_is_the_list_at_once() {
    let openssl = Openssl::new();
    for algorithm in
        ["ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384", "ed25519", "rsa:2048"]
    {
        openssl.must(&format!(
            "req -x509 -nodes -newkey {algorithm} -days 3650 -subj /CN=a -keyout ca.key -out ca.pem \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        ));
        let key = PrivateKey::from_pem(&String::from_utf8(openssl.read("ca.key")).unwrap()).unwrap();
        let root = Issuer::load(&openssl.read("ca.pem"), key, now()).unwrap();
        for count in [0, 1, 2, 300] {
            let entries: Vec<_> = (0..count).map(|_| entry(serial(), RevocationReason::Superseded)).collect();
            let mut draft = root.draft_crl(&CrlTerms { distribution_point: None, ..terms() }).unwrap();
            let mut written = Vec::new();
            for entry in &entries {
                draft.push(entry, &mut written).unwrap();
            }
            assert_eq!((draft.entries(), draft.octets()), (count, written.len()));
            let mut list = draft.close();
            for piece in written.chunks(7) {
                list.feed(piece);
            }
            let signed = root.sign_drafted_crl(list).unwrap();
            let der = [signed.head, written, signed.tail].concat();
            assert_eq!(der.len(), signed.octets);
            let read = RevocationList::parse(&der).unwrap();
            read.verify(root.certificate_der()).unwrap();
            assert_eq!(read.len() as u64, count);
            openssl.write("list.der", &der);
            let verified = openssl.must("crl -inform DER -in list.der -CAfile ca.pem -noout");
            assert!(verified.contains("verify OK"), "{algorithm}: {verified}");
        }
    }
}

#[test]
fn what_was_not_written_is_not_signed() {
    let hierarchy = Hierarchy::new();
    let mut draft = hierarchy.clients.draft_crl(&terms()).unwrap();
    let mut written = Vec::new();
    draft.push(&entry(serial(), RevocationReason::Superseded), &mut written).unwrap();
    let mut short = draft.close();
    short.feed(&written[1..]);
    assert_eq!(code(hierarchy.clients.sign_drafted_crl(short)), "invalid_crl");
    let foreign = hierarchy.clients.draft_crl(&terms()).unwrap().close();
    assert_eq!(code(hierarchy.servers.sign_drafted_crl(foreign)), "wrong_issuer");
}

#[test]
fn serials_and_dates_of_every_shape_are_read_back() {
    let hierarchy = Hierarchy::new();
    let shapes = [
        "00",
        "7f",
        "80",
        "ff",
        "0100",
        "7fffffffffffffffffffffffffffffffffffffff",
        "80ffffffffffffffffffffffffffffffffffffff",
    ];
    let serials: Vec<Serial> = shapes.iter().map(|shape| shape.parse().unwrap()).collect();
    let far = CrlTerms { next_update: time::macros::datetime!(2060-01-02 03:04:05 UTC), ..terms() };
    let mut written = Vec::new();
    let mut draft = hierarchy.clients.draft_crl(&far).unwrap();
    for (index, serial) in serials.iter().enumerate() {
        let revoked_at = now() - Duration::days(30 * 365) + Duration::seconds(index as i64);
        draft
            .push(&RevokedEntry { serial: *serial, revoked_at, reason: RevocationReason::KeyCompromise }, &mut written)
            .unwrap();
    }
    let mut list = draft.close();
    list.feed(&written);
    let signed = hierarchy.clients.sign_drafted_crl(list).unwrap();
    let der = [signed.head, written, signed.tail].concat();
    let openssl = Openssl::new();
    let shown = openssl.write("shown.crl", &der).must("crl -inform DER -in shown.crl -noout -text");
    for shape in shapes {
        let wanted = format!("Serial Number: {}", shape.to_uppercase());
        assert!(shown.lines().any(|line| line.trim() == wanted), "{shape}: {shown}");
    }
    assert_eq!(RevocationList::parse(&der).unwrap().len(), shapes.len());
}

/// The measure of the issue. What is held at once is one entry: here it goes straight into the hash, and is made a second time
/// where a server would read it back.
#[test]
fn a_million_entries_need_no_room() {
    let hierarchy = Hierarchy::new();
    const ENTRIES: u128 = 1_000_000;
    let each = |write: &mut dyn FnMut(&RevokedEntry)| {
        for number in 0..ENTRIES {
            let serial = Serial::from_random((number << 64 | 0x5a5a).to_be_bytes());
            write(&entry(serial, RevocationReason::CessationOfOperation));
        }
    };
    let (mut draft, mut piece, mut most) = (hierarchy.clients.draft_crl(&terms()).unwrap(), Vec::new(), 0);
    each(&mut |entry| {
        piece.clear();
        draft.push(entry, &mut piece).unwrap();
        most = most.max(piece.capacity());
    });
    assert!(most <= 128, "{most} octets for an entry");
    let mut again = hierarchy.clients.draft_crl(&terms()).unwrap();
    let mut list = draft.close();
    each(&mut |entry| {
        piece.clear();
        again.push(entry, &mut piece).unwrap();
        list.feed(&piece);
    });
    let signed = hierarchy.clients.sign_drafted_crl(list).unwrap();
    assert_eq!(signed.entries as u128, ENTRIES);
    assert!((45_000_000..60_000_000).contains(&signed.octets), "{} octets", signed.octets);
}
