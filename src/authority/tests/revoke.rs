use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::certificate::{CertificateKind, Reservation};

#[tokio::test]
async fn what_was_revoked_is_refused_when_the_call_returns_and_its_connections_are_closed() {
    let house = House::new().await;
    let (issued, other) = (house.issue().await, house.issue().await);
    let connection = |issued: &Issued| {
        let (token, view) = (CancellationToken::new(), &issued.certificate);
        let (issuer, serial) = (view.issuer.parse().unwrap(), view.id.parse().unwrap());
        (house.snapshot.connections().register(&issuer, &serial, token.clone()), token)
    };
    let (one, two, untouched) = (connection(&issued), connection(&issued), connection(&other));
    let revoked = house.revoke(&issued, "key-compromise").await;
    assert_eq!((revoked.connections_closed, revoked.revoked.len()), (2, 1));
    assert!(one.1.is_cancelled() && two.1.is_cancelled() && !untouched.1.is_cancelled());
    let fact = house.entry(&issued).unwrap().revoked.unwrap();
    assert_eq!((fact.at, fact.reason.as_str()), (NOW, "key-compromise"));
    assert!(house.entry(&other).unwrap().revoked.is_none());
}

#[tokio::test]
async fn openssl_refuses_what_the_list_says() {
    let house = House::new().await;
    let (issued, other) = (house.issue().await, house.issue().await);
    house.revoke(&issued, "key-compromise").await;
    house.authority.publish_now().await.unwrap();
    let lists = house.get("/chain.crl.pem", None).await;
    let lists = house.write("chain.crl.pem", lists.body());
    let (good, text) = openssl_verifies(&house, &issued, Some(&lists));
    assert!(!good && text.contains("certificate revoked"), "{text}");
    let (good, text) = openssl_verifies(&house, &other, Some(&lists));
    assert!(good, "{text}");

    let issuing = house.issuing();
    let ca = house.write("issuing.pem", &issuing.certificate_pem);
    let list = house.write("one.crl", house.list().await);
    let output = openssl(&["crl", "-inform", "DER", "-in", &list, "-CAfile", &ca, "-noout", "-text"]);
    let text = said(&output);
    assert!(output.status.success() && text.contains("verify OK") && text.contains("Key Compromise"), "{text}");
}

#[tokio::test]
async fn the_first_revocation_stands() {
    let house = House::new().await;
    let issued = house.issue().await;
    let first = house.revoke(&issued, "superseded").await;
    house.clock.advance(std::time::Duration::from_secs(60));
    let second = house.revoke(&issued, "key-compromise").await;
    assert!(first.revoked[0].newly && !second.revoked[0].newly);
    assert_eq!(second.revoked[0], RevokedCertificate { newly: false, ..first.revoked[0].clone() });
    let shown = house.authority.show(&issued.certificate.id.parse().unwrap()).await.unwrap();
    assert_eq!(
        (shown.state, shown.revoked_at, shown.reason.as_deref()),
        (CertificateStatus::Revoked, Some(NOW.0), Some("superseded"))
    );
}

#[tokio::test]
async fn a_hold_is_no_revocation() {
    let house = House::new().await;
    let issued = house.issue().await;
    let hold = pki::RevocationReason::CertificateHold;
    assert_eq!(code(house.authority.revoke(named(&issued), hold, &admin()).await), "reason_not_permanent");
    assert!(house.entry(&issued).unwrap().revoked.is_none());
}

#[tokio::test]
async fn certificates_are_named_by_serial_thumbprint_client_or_partner() {
    let house = House::new().await;
    let reason = pki::RevocationReason::CessationOfOperation;
    let revoke = async |selector| house.authority.revoke(selector, reason, &admin()).await;
    let issued = house.issue().await;
    let upper = issued.certificate.id.to_uppercase();
    let colons: Vec<&str> = upper.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let by_serial = revoke(Selector::Certificate(colons.join(":").parse().unwrap())).await.unwrap();
    assert_eq!(by_serial.revoked[0].id, issued.certificate.id);
    let issued = house.issue().await;
    let thumbprint = issued.certificate.thumbprint.clone().unwrap().parse().unwrap();
    assert_eq!(revoke(Selector::Certificate(thumbprint)).await.unwrap().revoked[0].id, issued.certificate.id);
    assert_eq!(code(revoke(Selector::Certificate("4a".parse().unwrap())).await), "certificate_not_found");
    assert!("not hex".parse::<CertificateName>().is_err());

    let orders = [house.issue().await, house.issue().await];
    let stock = house.authority.issue(certificate_for("acme-stock"), &admin()).await.unwrap();
    let foreign = house.authority.issue(certificate_for("globex-orders"), &admin()).await.unwrap();
    let by_client = revoke(Selector::Client("acme-orders".into())).await.unwrap();
    assert_eq!(by_client.revoked.len(), orders.len());
    let by_partner = revoke(Selector::Partner("acme".into())).await.unwrap();
    assert_eq!(by_partner.revoked.iter().map(|one| &one.id).collect::<Vec<_>>(), [&stock.certificate.id]);
    assert!(house.entry(&foreign).unwrap().revoked.is_none());
    assert!(revoke(Selector::Client("acme-orders".into())).await.unwrap().revoked.is_empty());
    assert_eq!(code(revoke(Selector::Client("nobody".into())).await), "client_not_found");
    assert_eq!(code(revoke(Selector::Partner("nobody".into())).await), "partner_not_found");
}

#[tokio::test]
async fn a_serial_of_two_authorities_must_be_said_with_its_issuer() {
    let house = House::new().await;
    let mut tx = house.store.begin().await.unwrap();
    let issuers: Vec<String> = house.authority.issuers().into_iter().map(|issuer| issuer.id).collect();
    for issuer in &issuers[1..] {
        let reservation = Reservation {
            issuer_key_id: issuer.clone(),
            serial: "4a4b".into(),
            client_id: Some("acme-orders".into()),
            kind: CertificateKind::Client,
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
        store::certificate::insert_reserved(&mut tx, &reservation, NOW).await.unwrap();
    }
    tx.commit().await.unwrap();
    let reason = pki::RevocationReason::Superseded;
    let revoke = async |name: String| {
        house.authority.revoke(Selector::Certificate(name.parse().unwrap()), reason, &admin()).await
    };
    match revoke("4A:4B".into()).await.unwrap_err() {
        Failure::Refused(refusal) => {
            assert_eq!((refusal.code, refusal.details.len()), ("certificate_ambiguous", 2));
            assert_eq!(revoke(refusal.details[0].clone()).await.unwrap().revoked.len(), 1);
        }
        Failure::Fault(fault) => panic!("{fault}"),
    }
}

/// Whatever order they come in: after a client was cut off, no certificate that was asked for before is good.
#[tokio::test]
async fn a_revocation_overtakes_no_issuance() {
    let house = House::new().await;
    let admin = admin();
    let issues =
        futures_util::future::join_all((0..6).map(|_| house.authority.issue(certificate_for("acme-orders"), &admin)));
    let cut = async {
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        let reason = pki::RevocationReason::PrivilegeWithdrawn;
        house.authority.revoke(Selector::Client("acme-orders".into()), reason, &admin).await.unwrap()
    };
    let (issued, cut) = tokio::join!(issues, cut);
    for one in &cut.revoked {
        let shown = house.authority.show(&one.id.parse().unwrap()).await.unwrap();
        assert_eq!(shown.state, CertificateStatus::Revoked);
    }
    for outcome in issued {
        match outcome {
            Ok(issued) => {
                let revoked = cut.revoked.iter().any(|one| one.id == issued.certificate.id);
                assert_eq!(house.entry(&issued).unwrap().revoked.is_some(), revoked);
            }
            Err(Failure::Refused(refusal)) => assert_eq!(refusal.code, "revoked_meanwhile"),
            Err(Failure::Fault(fault)) => panic!("{fault}"),
        }
    }
}

/// A node that cannot take up its own change (a newer one wrote to the feed) must still tell the others.
#[tokio::test]
async fn what_is_not_in_force_here_still_comes_onto_the_list() {
    let house = House::new().await;
    let issued = house.issue().await;
    house.authority.publish_promptly().await;
    let before = house.list().await;
    let mut tx = house.store.begin().await.unwrap();
    sqlx::query("INSERT INTO changes (kind, key, at) VALUES ('portal', 'x', 0)")
        .execute(tx.connection())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let reason = pki::RevocationReason::KeyCompromise;
    for _ in 0..2 {
        assert!(matches!(house.authority.revoke(named(&issued), reason, &admin()).await, Err(Failure::Fault(_))));
        assert!(house.entry(&issued).unwrap().revoked.is_some());
    }
    house.authority.publish_promptly().await;
    let after = house.list().await;
    assert!(after != before);
    let lists = house.get("/chain.crl.pem", None).await;
    let lists = house.write("chain.crl.pem", lists.body());
    let (good, text) = openssl_verifies(&house, &issued, Some(&lists));
    assert!(!good && text.contains("certificate revoked"), "{text}");
}

#[tokio::test]
async fn a_compromised_key_is_blocked_and_ends_every_certificate_of_it() {
    let house = House::new().await;
    // The same partner may have one key for two of its clients.
    let request = openssl_request(&house, "shared", &[]);
    let one = house.sign("acme-orders", request.clone()).await.unwrap();
    let two = house.sign("acme-stock", request.clone()).await.unwrap();
    let other = house.issue().await;
    let token = CancellationToken::new();
    let (issuer, serial) = (two.certificate.issuer.parse().unwrap(), two.certificate.id.parse().unwrap());
    let _open = house.snapshot.connections().register(&issuer, &serial, token.clone());

    let revoked = house.revoke(&one, "key-compromise").await;
    assert_eq!((revoked.count, revoked.keys_blocked, revoked.connections_closed), (2, 1, 1));
    let named: Vec<_> = revoked.revoked.iter().map(|one| (one.id.as_str(), one.newly, one.same_key)).collect();
    assert_eq!(named, [(one.certificate.id.as_str(), true, false), (two.certificate.id.as_str(), true, true)]);
    assert!(token.is_cancelled());
    for issued in [&one, &two] {
        assert_eq!(house.entry(issued).unwrap().revoked.unwrap().reason, pki::RevocationReason::KeyCompromise);
        let thumbprint = issued.certificate.thumbprint.clone().unwrap().parse().unwrap();
        assert!(house.snapshot.certificate_revoked(&thumbprint), "tokens that are bound to it end");
    }
    assert!(house.entry(&other).unwrap().revoked.is_none());
    assert!(!house.snapshot.certificate_revoked(&other.certificate.thumbprint.clone().unwrap().parse().unwrap()));
    assert_eq!(code(house.sign("acme-orders", request).await), "key_compromised");
    let again = house.revoke(&one, "key-compromise").await;
    assert_eq!((again.count, again.keys_blocked), (1, 0));
    let house = house.reopen().await;
    assert!(house.snapshot.certificate_revoked(&one.certificate.thumbprint.clone().unwrap().parse().unwrap()));
}

#[tokio::test]
async fn a_compromise_that_is_told_late_blocks_the_key_too() {
    let house = House::new().await;
    let request = openssl_request(&house, "late", &[]);
    let one = house.sign("acme-orders", request.clone()).await.unwrap();
    house.revoke(&one, "superseded").await;
    let two = house.sign("acme-orders", request.clone()).await.unwrap();
    let revoked = house.revoke(&one, "key-compromise").await;
    assert_eq!((revoked.count, revoked.keys_blocked), (2, 1));
    assert_eq!(revoked.revoked[0].reason, "superseded", "the first reason stands");
    assert!(house.entry(&two).unwrap().revoked.is_some());
    assert_eq!(code(house.sign("acme-orders", request).await), "key_compromised");
}

#[tokio::test]
async fn all_that_an_authority_issued_is_revoked_at_once() {
    let house = House::new().await;
    let issued =
        [house.issue().await, house.authority.issue(certificate_for("globex-orders"), &admin()).await.unwrap()];
    let reason = pki::RevocationReason::CaCompromise;
    let root = house.authority.issuers()[0].id.parse().unwrap();
    let nothing = house.authority.revoke(Selector::Issuer(root), reason, &admin()).await.unwrap();
    assert_eq!(nothing.count, 0, "the root issued nothing to clients");
    let issuing: KeyId = house.issuing().id.parse().unwrap();
    let revoked = house.authority.revoke(Selector::Issuer(issuing), reason, &admin()).await.unwrap();
    assert_eq!((revoked.count, revoked.keys_blocked), (2, 0));
    assert!(issued.iter().all(|one| house.entry(one).unwrap().revoked.is_some()));
    let unknown = Selector::Issuer("abcd".parse().unwrap());
    assert_eq!(code(house.authority.revoke(unknown, reason, &admin()).await), "issuer_not_found");
}

#[tokio::test]
async fn a_selector_of_thousands_is_revoked_whole() {
    let house = House::new().await;
    let mut tx = house.store.begin().await.unwrap();
    for number in 0..2100 {
        let reservation = Reservation {
            issuer_key_id: house.issuing().id,
            serial: format!("40{number:030x}"),
            client_id: Some("acme-orders".into()),
            kind: CertificateKind::Client,
            profile: "client".into(),
            subject: "CN=acme-orders".into(),
            key_algorithm: "ecdsa-p256".into(),
            spki_fingerprint: format!("{number:064x}"),
            not_before: NOW,
            not_after: UnixSeconds(NOW.0 + DAY),
            scopes: None,
            networks: None,
            crl_partition: 0,
            replaces: None,
            enrollment_id: None,
            tbs: Vec::new(),
        };
        store::certificate::insert_reserved(&mut tx, &reservation, NOW).await.unwrap();
    }
    tx.commit().await.unwrap();
    let reason = pki::RevocationReason::CessationOfOperation;
    let revoked = house.authority.revoke(Selector::Client("acme-orders".into()), reason, &admin()).await.unwrap();
    assert_eq!((revoked.count, revoked.revoked.len()), (2100, 1000));
    let again = house.authority.revoke(Selector::Client("acme-orders".into()), reason, &admin()).await.unwrap();
    assert_eq!(again.count, 0);
}

#[tokio::test]
async fn connections_are_counted_whoever_follows_the_feed() {
    let house = House::new().await;
    let (snapshot, store) = (house.snapshot.clone(), house.store.clone());
    let follower = tokio::spawn(async move {
        loop {
            snapshot.catch_up(&store).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..20 {
        let issued = house.issue().await;
        let (issuer, serial) = (issued.certificate.issuer.parse().unwrap(), issued.certificate.id.parse().unwrap());
        let _open = house.snapshot.connections().register(&issuer, &serial, CancellationToken::new());
        assert_eq!(house.revoke(&issued, "superseded").await.connections_closed, 1);
    }
    follower.abort();
}
