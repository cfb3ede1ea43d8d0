use secrecy::ExposeSecret as _;

use super::*;
use crate::store::audit_change::{self, AuditChangeFilter};
use crate::store::certificate::{CertificateState, Reservation};

#[tokio::test]
async fn what_was_issued_is_on_the_positive_list_when_the_call_returns() {
    let house = House::new().await;
    let issued = house.issue().await;
    let entry = house.entry(&issued).unwrap();
    assert_eq!((entry.client.as_str(), entry.state), ("acme-orders", CertificateState::Issued));
    assert!(entry.revoked.is_none());
    assert_eq!(entry.thumbprint.map(|thumbprint| thumbprint.to_string()), issued.certificate.thumbprint);
    let view = &issued.certificate;
    assert_eq!((view.state, view.partner.as_deref()), (CertificateStatus::Issued, Some("acme")));
    assert_eq!((view.not_before, view.not_after), (NOW.0 - 300, NOW.0 + 90 * DAY));
    assert_eq!(view.subject, "O=acme Ltd, CN=acme-orders");
}

#[tokio::test]
async fn openssl_accepts_the_chain_the_key_and_the_pkcs12() {
    let house = House::new().await;
    let new = NewCertificate { pkcs12: true, ..certificate_for("acme-orders") };
    let issued = house.authority.issue(new, &admin()).await.unwrap();
    let (good, text) = openssl_verifies(&house, &issued, None);
    assert!(good, "{text}");

    let key = issued.key.unwrap();
    let key_file = house.write("leaf.key", key.private_key_pem.expose_secret());
    let public = said(&openssl(&["pkey", "-in", &key_file, "-pubout"]));
    assert_eq!(
        public,
        said(&openssl(&["x509", "-in", &house.write("leaf.pem", &issued.certificate_pem), "-noout", "-pubkey"]))
    );

    let pkcs12 = key.pkcs12.unwrap();
    let file = house.write("leaf.p12", &*pkcs12.file);
    let password = format!("pass:{}", pkcs12.password.expose_secret());
    let opened = said(&openssl(&["pkcs12", "-in", &file, "-nodes", "-passin", &password]));
    assert_eq!(opened.matches("BEGIN CERTIFICATE").count(), 2, "{opened}");
    assert_eq!(opened.matches("BEGIN PRIVATE KEY").count(), 1);

    let text = said(&openssl(&["x509", "-in", &house.write("leaf.pem", &issued.certificate_pem), "-noout", "-text"]));
    let id = house.issuing().id;
    for part in [
        "URI:spiffe://api.example.com/partner/acme/client/acme-orders",
        &format!("URI:http://pki.example.com/crl/{id}.crl"),
        &format!("URI:http://pki.example.com/ca/{id}.cer"),
        "TLS Web Client Authentication",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn signs_a_request_and_leaves_the_key_with_its_owner() {
    let house = House::new().await;
    let request = openssl_request(&house, "acme-orders", &[]);
    let issued = house.sign("acme-orders", request).await.unwrap();
    assert!(issued.key.is_none());
    assert!(house.entry(&issued).is_some());
    let (good, text) = openssl_verifies(&house, &issued, None);
    assert!(good, "{text}");
}

#[tokio::test]
async fn a_request_for_more_than_a_client_certificate_is_refused() {
    let house = House::new().await;
    let ca = openssl_request(&house, "ca", &["-addext", "basicConstraints=critical,CA:TRUE"]);
    assert_eq!(code(house.sign("acme-orders", ca).await), "ca_requested");
    let other = "subjectAltName=URI:spiffe://api.example.com/partner/globex/client/globex-orders";
    let other = openssl_request(&house, "other", &["-addext", other]);
    assert_eq!(code(house.sign("acme-orders", other).await), "identity_mismatch");
    assert_eq!(code(house.sign("acme-orders", b"hello".to_vec()).await), "malformed_pem");
    assert!(house.authority.list(&CertificateQuery::default()).await.unwrap().certificates.is_empty());
}

#[tokio::test]
async fn a_key_belongs_to_one_partner() {
    let house = House::new().await;
    let request = openssl_request(&house, "shared", &[]);
    let first = house.sign("acme-orders", request.clone()).await.unwrap();
    house.sign("acme-stock", request.clone()).await.unwrap();
    assert_eq!(code(house.sign("globex-orders", request.clone()).await), "key_in_use");
    let reason = "superseded".parse().unwrap();
    house.authority.revoke(Selector::Partner("acme".into()), reason, &admin()).await.unwrap();
    let moved = house.sign("globex-orders", request.clone()).await.unwrap();
    assert_ne!(moved.certificate.id, first.certificate.id);

    house.revoke(&moved, "key-compromise").await;
    for client in ["globex-orders", "acme-orders"] {
        assert_eq!(code(house.sign(client, request.clone()).await), "key_compromised");
    }
}

#[tokio::test]
async fn the_key_of_an_authority_is_nobodys_else() {
    let house = House::new().await;
    let (key, request) = (house.path().join("keys/server-issuing.key"), house.path().join("ca.csr"));
    let (key, request) = (key.display().to_string(), request.display().to_string());
    let passphrase = format!("pass:{PASSPHRASE}");
    let output =
        openssl(&["req", "-new", "-key", &key, "-passin", &passphrase, "-subj", "/CN=acme-orders", "-out", &request]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(code(house.sign("acme-orders", std::fs::read(request).unwrap()).await), "key_in_use");
}

#[tokio::test]
async fn the_same_request_under_the_same_key_is_done_once() {
    let house = House::new().await;
    let request = openssl_request(&house, "acme-orders", &[]);
    let new = NewSignature { idempotency_key: Some("k-1".into()), ..signature_for("acme-orders", request) };
    let first = house.authority.sign(new.clone(), &admin()).await.unwrap();
    let second = house.authority.sign(new.clone(), &admin()).await.unwrap();
    assert_eq!(first.certificate, second.certificate);
    assert_eq!(first.certificate_pem, second.certificate_pem);
    assert_eq!(house.authority.list(&CertificateQuery::default()).await.unwrap().certificates.len(), 1);

    let other = NewSignature { lifetime_seconds: Some(3600), ..new.clone() };
    assert_eq!(code(house.authority.sign(other, &admin()).await), "idempotency_key_reused");
    // Another administrator's key of that name is another key.
    let colleague = Actor { name: "colleague".into(), source: None };
    let third = house.authority.sign(new, &colleague).await.unwrap();
    assert_ne!(third.certificate.id, first.certificate.id);

    let new = NewCertificate { idempotency_key: Some("k-2".into()), ..certificate_for("acme-orders") };
    house.authority.issue(new.clone(), &admin()).await.unwrap();
    assert_eq!(code(house.authority.issue(new, &admin()).await), "already_issued");
    let blank = NewCertificate { idempotency_key: Some("a b".into()), ..certificate_for("acme-orders") };
    assert_eq!(code(house.authority.issue(blank, &admin()).await), "invalid_idempotency_key");
}

#[tokio::test]
async fn requests_under_one_key_at_one_time_make_one_certificate() {
    let house = House::new().await;
    let new = NewCertificate { idempotency_key: Some("k".into()), ..certificate_for("acme-orders") };
    let (admin, mut issued) = (admin(), 0);
    let calls = (0..8).map(|_| house.authority.issue(new.clone(), &admin));
    for outcome in futures_util::future::join_all(calls).await {
        match outcome {
            Ok(_) => issued += 1,
            Err(Failure::Refused(refusal)) => {
                assert!(matches!(refusal.code, "in_progress" | "already_issued"), "{refusal}")
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    assert_eq!(issued, 1);
    assert_eq!(house.authority.list(&CertificateQuery::default()).await.unwrap().certificates.len(), 1);
}

#[tokio::test]
async fn a_reservation_that_a_crash_left_is_orphaned_and_its_idempotency_key_is_free_again() {
    let house = House::new().await;
    let new = NewCertificate { idempotency_key: Some("k".into()), ..certificate_for("acme-orders") };
    let first = house.authority.issue(new.clone(), &admin()).await.unwrap();
    // As if the process had ended before the signature: the row is only reserved.
    let mut tx = house.store.begin().await.unwrap();
    sqlx::query("UPDATE certificates SET state = 'reserved', der = NULL, thumbprint = NULL")
        .execute(tx.connection())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(code(house.authority.issue(new.clone(), &admin()).await), "in_progress");

    let house = house.reopen().await;
    let shown = house.authority.show(&first.certificate.id.parse().unwrap()).await.unwrap();
    assert_eq!((shown.state, shown.pem), (CertificateStatus::Orphaned, None));
    assert!(house.entry(&first).unwrap().revoked.is_some());
    let second = house.authority.issue(new, &admin()).await.unwrap();
    assert_ne!(second.certificate.id, first.certificate.id);

    house.authority.publish_now().await.unwrap();
    let list = house.write("list.crl", house.list().await);
    let text = said(&openssl(&["crl", "-inform", "DER", "-in", &list, "-noout", "-text"]));
    assert!(text.to_lowercase().contains(&format!("serial number: {}", first.certificate.id)), "{text}");
    assert!(!text.to_lowercase().contains(&second.certificate.id), "{text}");
}

#[tokio::test]
async fn narrowing_narrows_or_is_refused() {
    let house = House::new().await;
    let read = vec!["https://api.example.com/test/read".to_owned()];
    let new = NewCertificate {
        scopes: Some(read.clone()),
        networks: Some(vec!["203.0.113.0/24".into()]),
        ..certificate_for("acme-orders")
    };
    let issued = house.authority.issue(new, &admin()).await.unwrap();
    assert_eq!(issued.certificate.scopes, Some(read));
    let narrowing = &house.entry(&issued).unwrap().narrowing;
    assert_eq!(
        narrowing.scopes.as_ref().map(ToString::to_string).as_deref(),
        Some("https://api.example.com/test/read")
    );
    assert_eq!(narrowing.networks.as_deref(), Some(&["203.0.113.0/24".to_owned()][..]));

    let beyond = Some(vec!["https://api.example.com/test/admin".to_owned()]);
    let new = NewCertificate { scopes: beyond, ..certificate_for("acme-orders") };
    assert_eq!(code(house.authority.issue(new, &admin()).await), "scope_not_granted");
    let new = NewCertificate { networks: Some(vec!["nowhere".into()]), ..certificate_for("acme-orders") };
    assert_eq!(code(house.authority.issue(new, &admin()).await), "unknown_network");
    assert_eq!(house.authority.list(&CertificateQuery::default()).await.unwrap().certificates.len(), 1);
}

#[tokio::test]
async fn who_is_not_in_force_gets_no_certificate() {
    let house = House::new().await;
    assert_eq!(code(house.authority.issue(certificate_for("nobody"), &admin()).await), "client_not_found");
    let mut tx = house.store.begin().await.unwrap();
    let mut row = store::client::get(&mut tx, "acme-orders").await.unwrap().unwrap();
    row.enabled = false;
    store::client::update(&mut tx, &row, NOW).await.unwrap();
    let mut row = store::partner::get(&mut tx, "globex").await.unwrap().unwrap();
    row.enabled = false;
    store::partner::update(&mut tx, &row, NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(code(house.authority.issue(certificate_for("acme-orders"), &admin()).await), "client_disabled");
    assert_eq!(code(house.authority.issue(certificate_for("globex-orders"), &admin()).await), "partner_disabled");
    let long = NewCertificate { lifetime_seconds: Some(400 * 86_400), ..certificate_for("acme-stock") };
    assert_eq!(code(house.authority.issue(long, &admin()).await), "lifetime_too_long");
}

#[tokio::test]
async fn an_issuance_whose_caller_goes_away_is_finished() {
    let house = House::new().await;
    let admin = admin();
    let call = house.authority.issue(certificate_for("acme-orders"), &admin);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(1), call).await.is_err());
    for _ in 0..200 {
        let list = house.authority.list(&CertificateQuery::default()).await.unwrap().certificates;
        if list.iter().any(|certificate| certificate.state == CertificateStatus::Issued) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it was never issued");
}

#[tokio::test]
async fn a_server_that_lost_its_database_to_another_hands_nothing_out() {
    let house = House::new().await;
    let reservation = Reservation {
        issuer_key_id: house.issuing().id,
        serial: "4a".into(),
        client_id: Some("acme-orders".into()),
        kind: store::certificate::CertificateKind::Client,
        subject: "CN=acme-orders".into(),
        spki_fingerprint: "00".into(),
        not_before: NOW,
        not_after: UnixSeconds(NOW.0 + DAY),
        scopes: None,
        networks: None,
        profile: "client".to_owned(),
        key_algorithm: "ecdsa-p256".to_owned(),
        crl_partition: 0,
        replaces: None,
        enrollment_id: None,
        tbs: b"tbs".to_vec(),
    };
    let mut tx = house.store.begin().await.unwrap();
    store::certificate::insert_reserved(&mut tx, &reservation, NOW).await.unwrap();
    tx.commit().await.unwrap();
    // A second server starts on the same database and takes the first one's reservation for the remains of a crash.
    let (keys, store, clock) = (keys_in(house.path()), house.store.clone(), house.clock.clone());
    Authority::open(settings(), keys, store, house.snapshot.clone(), clock).await.unwrap();
    let mut tx = house.store.begin().await.unwrap();
    let issuer = house.issuing().id;
    assert!(!store::certificate::mark_issued(&mut tx, &issuer, "4a", b"tbs", b"der", "cafe", NOW).await.unwrap());
}

#[tokio::test]
async fn each_change_leaves_its_record() {
    let house = House::new().await;
    let issued = house.issue().await;
    house.revoke(&issued, "superseded").await;
    house.revoke(&issued, "superseded").await;
    let filter = AuditChangeFilter { target: Some(issued.certificate.id.clone()), ..Default::default() };
    let records = audit_change::list(&house.store, &filter).await.unwrap();
    let actions: Vec<_> = records.iter().map(|record| (record.action.as_str(), record.actor.as_str())).collect();
    assert_eq!(actions.len(), 2);
    assert!(actions.contains(&("certificate.issue", "admin")) && actions.contains(&("certificate.revoke", "admin")));
}

#[tokio::test]
async fn issuing_unusually_fast_raises_an_alarm_and_then_stops() {
    let house = House::new().await;
    let settings = AuthoritySettings { issuances_per_minute: 4, ..settings() };
    let (keys, store, clock) = (keys_in(house.path()), house.store.clone(), house.clock.clone());
    let slow = Authority::open(settings, keys, store, house.snapshot.clone(), clock).await.unwrap();
    for _ in 0..4 {
        slow.issue(certificate_for("acme-orders"), &admin()).await.unwrap();
    }
    assert_eq!(code(slow.issue(certificate_for("acme-orders"), &admin()).await), "issuing_too_fast");
    let filter = AuditChangeFilter { action: Some("authority.issuing-fast".into()), ..Default::default() };
    let alarms = audit_change::list(&house.store, &filter).await.unwrap();
    assert_eq!(alarms.len(), 2, "at half, and at the end");
    assert!(alarms.iter().any(|alarm| alarm.detail.contains(r#""stopped":true"#)));
    // Nothing was reserved for what was refused, the gate's own certificates go on, and a minute mends it.
    assert_eq!(store::certificate::list(&house.store, &Default::default()).await.unwrap().len(), 4);
    house.clock.advance(std::time::Duration::from_secs(60));
    slow.issue(certificate_for("acme-orders"), &admin()).await.unwrap();
}

#[tokio::test]
async fn the_octets_that_were_stored_are_the_octets_that_were_signed() {
    let house = House::new().await;
    let issued = house.issue().await;
    let (issuer, serial) = (&issued.certificate.issuer, &issued.certificate.id);
    let tbs = store::certificate::tbs(&house.store, issuer, serial).await.unwrap().unwrap();
    let der = store::certificate::der(&house.store, issuer, serial).await.unwrap().unwrap();
    // SEQUENCE with a length of two octets, then the octets that were signed.
    assert_eq!(der[4..4 + tbs.len()], tbs);
}
