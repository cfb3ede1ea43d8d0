//! When each credential last let somebody in, and the questions to the register that lean on it.

use std::time::Duration;

use crate::harness::{Gateway, Http, Identity, Method, Session, SessionOptions, borrowed, new_certificate};

/// The objects of an admin list, page by page.
async fn list(admin: &mut Session, path: &str) -> Vec<serde_json::Value> {
    let answer = admin.get(path, &[]).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

async fn ids(admin: &mut Session, query: &str) -> Vec<String> {
    let items = list(admin, &format!("/v1/certificates?{query}")).await;
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_lets_somebody_in_is_seen_and_what_is_denied_is_not() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let start = gateway.clock.now().0;
    gateway.advance(Duration::from_secs(10));
    for method in Method::ALL {
        let (mut session, headers) = acme.prepare(&gateway, method, Http::One).await;
        let answer = session.get(&acme.path, &borrowed(&headers)).await;
        assert_eq!(answer.status, 200, "{method:?}: {answer:?}");
    }
    let refused = Identity::issue(&gateway, new_certificate("acme-orders")).await;
    let mut session =
        gateway.session_with(SessionOptions { identity: Some(refused.clone()), ..Default::default() }).await;
    assert_eq!(session.get("/nowhere", &[]).await.status, 404);
    gateway.app.sightings.flush().await.unwrap();

    let mut admin = gateway.admin().await;
    let certificate = admin.get(&format!("/v1/certificates/{}", acme.serial), &[]).await.json();
    assert_eq!(certificate["last_seen_at"], start + 10);
    assert_eq!(certificate["last_seen_source"], "127.0.0.1");
    assert!(certificate["last_seen_route"].as_str().unwrap().contains(&acme.path), "{certificate}");
    let keys = list(&mut admin, "/v1/api-keys?client=acme-orders").await;
    assert_eq!((&keys[0]["last_seen_at"], &keys[0]["last_seen_source"]), (&(start + 10).into(), &"127.0.0.1".into()));
    let secrets = list(&mut admin, "/v1/client-secrets?client=acme-orders").await;
    assert_eq!(secrets[0]["last_seen_at"], start + 10, "the token endpoint took it");
    let other = admin.get(&format!("/v1/certificates/{}", refused.serial()), &[]).await.json();
    assert!(other["last_seen_at"].is_null(), "a request that found no route is no use of it");
}

#[tokio::test]
async fn the_register_is_searched_by_use_issuer_key_and_end() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let start = gateway.clock.now().0;
    let rsa = portcullis::authority::NewCertificate {
        key_algorithm: pki::KeyAlgorithm::Rsa2048,
        lifetime_seconds: Some(86_400),
        ..new_certificate("acme-orders")
    };
    let rsa = Identity::issue(&gateway, rsa).await;
    let mut session = gateway.session_with(SessionOptions { identity: Some(rsa.clone()), ..Default::default() }).await;
    assert_eq!(session.get(&acme.path, &[]).await.status, 200);
    gateway.advance(Duration::from_secs(3600));
    let (mut session, headers) = acme.prepare(&gateway, Method::Certificate, Http::One).await;
    assert_eq!(session.get(&acme.path, &borrowed(&headers)).await.status, 200);
    gateway.app.sightings.flush().await.unwrap();

    let mut admin = gateway.admin().await;
    let (acme, rsa) = (acme.serial, rsa.serial());
    let of = |query: &str| format!("client=acme-orders&{query}");
    assert_eq!(ids(&mut admin, &of("key_type=rsa-2048")).await, [rsa.clone()]);
    assert_eq!(ids(&mut admin, &of(&format!("last_seen_before={}", start + 60))).await, [rsa.clone()]);
    assert_eq!(ids(&mut admin, &of(&format!("last_seen_after={}", start + 60))).await, [acme.clone()]);
    assert_eq!(ids(&mut admin, &of("source=127.0.0.0/8")).await, [acme.clone(), rsa.clone()], "the latest first");
    assert!(ids(&mut admin, &of("source=192.0.2.1")).await.is_empty());
    assert!(ids(&mut admin, &of("never_seen=true")).await.is_empty());
    assert_eq!(ids(&mut admin, &of(&format!("expires_before={}", start + 2 * 86_400))).await, [rsa.clone()]);
    assert_eq!(
        ids(&mut admin, &of(&format!("expires_after={start}"))).await,
        [rsa.clone(), acme.clone()],
        "the next to end first"
    );
    let issuers = list(&mut admin, "/v1/issuers").await;
    let issuing = issuers.iter().find(|issuer| issuer["kind"] == "issuing").unwrap()["id"].as_str().unwrap();
    assert_eq!(ids(&mut admin, &of(&format!("issuer={issuing}"))).await.len(), 2);
    assert!(ids(&mut admin, &of("kind=server")).await.is_empty());
    assert!(!ids(&mut admin, "kind=server").await.is_empty());

    // Page by page, whatever the order.
    for query in ["source=127.0.0.1", "expires_after=1", "kind=client"] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("/v1/certificates?{}&limit=1{after}", of(query)), &[]).await.json();
            found.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(found, ids(&mut admin, &of(query)).await, "{query}");
        assert_eq!(found.len(), 2);
        // A place in one order means nothing in another.
        if query != "kind=client" {
            let answer = admin.get(&format!("/v1/certificates?limit=1{after}"), &[]).await;
            assert_eq!(answer.problem(), (422, "invalid_cursor".to_owned()), "{query}");
        }
    }
    for (query, code) in [
        ("never_seen=true&source=127.0.0.1", "contradiction"),
        ("source=here", "invalid_source"),
        ("issuer=me", "invalid_issuer"),
        ("kind=fish", "unknown_kind"),
    ] {
        assert_eq!(
            admin.get(&format!("/v1/certificates?{query}"), &[]).await.problem(),
            (422, code.to_owned()),
            "{query}"
        );
    }
}

/// The end of the server writes what is in memory; the next one shows it.
#[tokio::test]
async fn a_restart_keeps_what_was_seen() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let (mut session, headers) = acme.prepare(&gateway, Method::Certificate, Http::One).await;
    gateway.advance(Duration::from_secs(5));
    assert_eq!(session.get(&acme.path, &borrowed(&headers)).await.status, 200);
    drop(session);
    let gateway = gateway.restart().await;
    let certificate = gateway.admin().await.get(&format!("/v1/certificates/{}", acme.serial), &[]).await.json();
    assert_eq!(certificate["last_seen_at"], gateway.clock.now().0);
}
