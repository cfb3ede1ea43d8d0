//! What the partner revoked, and where its lists come from.

use super::*;

#[tokio::test]
async fn what_the_partner_revoked_is_refused_at_once_on_open_connections_too() {
    let house = House::new().await;
    let revoked = house.leaf(&Leaf::uri(ORDERS));
    let kept = house.leaf(&Leaf { serial: 0x1002, ..Leaf::uri(ORDERS) });
    let path = house.gateway.demo.path.clone();
    let mut sessions = Vec::new();
    for (identity, good) in [(&revoked, false), (&kept, true), (&house.gateway.acme().identity, true)] {
        for http in Http::BOTH {
            let options = SessionOptions { identity: Some(identity.clone()), http, ..SessionOptions::default() };
            let mut session = house.gateway.session_with(options).await;
            assert_eq!(session.status(&path, &[]).await, 200);
            sessions.push((session, good));
        }
    }
    // A session that could resume.
    let tls = tls_config(&house.gateway, Some(&revoked), Http::One);
    let options = || SessionOptions { tls: Some(tls.clone()), ..SessionOptions::default() };
    assert_eq!(house.gateway.session_with(options()).await.status(&path, &[]).await, 200);
    house.refresh(house.issuing.list_pem(2, 0, &[0x1001])).await.unwrap();
    for (mut session, good) in sessions {
        if good {
            assert_eq!(session.status(&path, &[]).await, 200);
        } else {
            session.closed().await;
        }
    }
    let mut resumed = house.gateway.session_with(options()).await;
    assert!(resumed.resumed, "the test is about a session that the verifier never sees");
    assert_eq!(resumed.status(&path, &[]).await, 401);
    House::denied(&house.ask(&revoked).await, "credential_revoked");
    house.accepts(&kept).await;
    // A list that was there before does not bring it back, nor does a restart.
    assert!(
        matches!(house.refresh(house.issuing.list_pem(1, 0, &[])).await, Err(Failure::Refused(refusal)) if refusal.code == "crl_older")
    );
    let gateway = house.gateway.restart().await;
    assert_eq!(ask(&gateway, &revoked).await.0, 401);
    assert_eq!(ask(&gateway, &kept).await.0, 200);
}

#[tokio::test]
async fn an_authority_between_that_was_revoked_takes_its_certificates_along() {
    let house = House::bare().await;
    // Its serial, as the root's list would name it.
    let serial = pki::ClientCertificate::parse(&house.issuing.der()).unwrap().serial;
    let leaf = house.leaf(&Leaf::uri(ORDERS));
    house.import(house.anchor()).await;
    house.accepts(&leaf).await;
    let list = house.root.list_of(2, 0, &[serial.as_bytes()]);
    house.refresh(pki::pem_crl(&list)).await.unwrap();
    House::denied(&house.ask(&leaf).await, "credential_revoked");
}

#[tokio::test]
async fn a_missing_or_lapsed_list_denies_unless_the_anchor_says_otherwise() {
    let house = House::bare().await;
    let leaf = house.leaf(&Leaf::uri(ORDERS));
    let with = |crl: Option<String>, revocation: &str, grace: u32| NewAnchor {
        crl_pem: crl,
        revocation: Some(revocation.to_owned()),
        grace_seconds: Some(grace),
        replace: true,
        ..house.anchor()
    };
    let view = house.import(with(None, "required", 0)).await;
    assert_eq!(view.authorities.iter().map(|authority| authority.revocation_list).collect::<Vec<_>>(), ["missing"; 2]);
    House::denied(&house.ask(&leaf).await, "Acme Machines is missing");
    house.import(with(None, "best-effort", 0)).await;
    house.accepts(&leaf).await;
    // The issuer's list alone does not tell whether the issuer still stands.
    house.import(with(Some(house.issuing.list_pem(1, 0, &[])), "required", 0)).await;
    House::denied(&house.ask(&leaf).await, "Acme Root is missing");
    house.import(with(Some(house.root.list_pem(1, 0, &[])), "required", 0)).await;
    house.accepts(&leaf).await;
    house.gateway.advance(Duration::from_secs(86_400));
    House::denied(&house.ask(&leaf).await, "has lapsed");
    house.import(with(None, "required", 3_600)).await;
    house.accepts(&leaf).await;
    house.gateway.advance(Duration::from_secs(3_600));
    House::denied(&house.ask(&leaf).await, "has lapsed");
    house.import(with(None, "best-effort", 0)).await;
    house.accepts(&leaf).await;
    // What stands on a list is refused in either case, lapsed or not.
    house.import(with(Some(house.issuing.list_pem(2, 0, &[0x1001])), "best-effort", 0)).await;
    House::denied(&house.ask(&leaf).await, "credential_revoked");
}

#[tokio::test]
async fn lists_are_fetched_and_bounded() {
    let house = House::bare().await;
    let (server, elsewhere) = (ListServer::start().await, ListServer::start().await);
    let root = server.put("/root.crl", house.root.list(1, 0, &[]));
    let issuing = server.put("/issuing.crl", house.issuing.list(1, 0, &[]));
    let anchor = || NewAnchor {
        crl_pem: None,
        crl_urls: vec![root.clone(), issuing.clone()],
        allow_private_address: true,
        replace: true,
        ..house.anchor()
    };
    // This machine's addresses are not asked unless the operator says so.
    assert_eq!(house.refused(NewAnchor { allow_private_address: false, ..anchor() }).await, "invalid_crl_url");
    let named = |url: &str| url.replace("127.0.0.1", "localhost");
    let hidden = NewAnchor { allow_private_address: false, crl_urls: vec![named(&root), named(&issuing)], ..anchor() };
    let view = house.import(hidden).await;
    assert!(
        view.sources
            .iter()
            .all(|source| source.error.as_deref().is_some_and(|error| error.contains("no public address"))),
        "{view:?}"
    );
    assert_eq!(server.asked(), 0);

    let view = house.import(anchor()).await;
    assert!(view.sources.iter().all(|source| source.error.is_none()), "{view:?}");
    assert_eq!(server.asked(), 2);
    let leaf = house.leaf(&Leaf::uri(ORDERS));
    house.accepts(&leaf).await;
    // On schedule, and not before.
    let authority = house.gateway.authority().clone();
    server.put("/issuing.crl", house.issuing.list(2, 0, &[0x1001]));
    authority.refresh_due_anchors().await.unwrap();
    house.accepts(&leaf).await;
    let mut open =
        house.gateway.session_with(SessionOptions { identity: Some(leaf.clone()), ..SessionOptions::default() }).await;
    assert_eq!(open.status(&house.gateway.demo.path, &[]).await, 200);
    house.gateway.advance(Duration::from_secs(3_600));
    authority.refresh_due_anchors().await.unwrap();
    open.closed().await;
    House::denied(&house.ask(&leaf).await, "credential_revoked");

    // A replay, a stranger's list, no list, an error: what is held stays.
    let sick = async |what: &str| {
        let view = authority.refresh_anchor("acme-ca", None, &Actor::local()).await.unwrap();
        let error = view.sources.iter().find_map(|source| source.error.clone()).unwrap_or_default();
        assert!(error.contains(what), "{what}: {error}");
        House::denied(&house.ask(&leaf).await, "credential_revoked");
    };
    server.put("/issuing.crl", house.issuing.list(1, 0, &[]));
    sick("older").await;
    server.put("/issuing.crl", PartnerAuthority::root("Acme Machines").list(9, 0, &[]));
    sick("signature").await;
    server.put("/issuing.crl", "<html>");
    sick("revocation list").await;
    server.redirect("/issuing.crl", &elsewhere.put("/issuing.crl", house.issuing.list(9, 0, &[])));
    sick("redirects to another").await;
    assert_eq!(elsewhere.asked(), 0);
    server.put("/issuing.crl", house.issuing.list(9, 48, &[]));
    sick("future").await;
    // A redirect on the same host is followed.
    server.put("/new.crl", house.issuing.list(3, 0, &[]));
    server.redirect("/issuing.crl", "/new.crl");
    authority.refresh_anchor("acme-ca", None, &Actor::local()).await.unwrap();
    house.accepts(&leaf).await;
}
