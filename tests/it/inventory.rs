//! When each credential last let somebody in, and the questions to the register that lean on it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{
    Gateway, GatewayOptions, Http, Identity, Method, Partner, Session, SessionOptions, Upstream, borrowed,
    new_certificate,
};

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
    assert_eq!(ids(&mut admin, &of("key_type=rsa-2048")).await, std::slice::from_ref(&rsa));
    assert_eq!(ids(&mut admin, &of(&format!("last_seen_before={}", start + 60))).await, std::slice::from_ref(&rsa));
    assert_eq!(ids(&mut admin, &of(&format!("last_seen_after={}", start + 60))).await, std::slice::from_ref(&acme));
    assert_eq!(ids(&mut admin, &of("source=127.0.0.0/8")).await, [acme.clone(), rsa.clone()], "the latest first");
    assert!(ids(&mut admin, &of("source=192.0.2.1")).await.is_empty());
    assert!(ids(&mut admin, &of("never_seen=true")).await.is_empty());
    assert_eq!(
        ids(&mut admin, &of(&format!("expires_before={}", start + 2 * 86_400))).await,
        std::slice::from_ref(&rsa)
    );
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

/// Settings with a webhook to `url`, whose secret lies in `folder`.
fn webhook(url: String, folder: &std::path::Path) -> GatewayOptions {
    use std::os::unix::fs::PermissionsExt;
    let secret = folder.join("webhook");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    GatewayOptions::default().configure(move |config| {
        config.expiry.webhook_url = Some(url.clone());
        config.expiry.webhook_secret_file = Some(secret.clone());
    })
}

/// What was told of a client: id and threshold.
fn told(upstream: &Upstream, client: &str) -> Vec<(String, i64)> {
    let mut told = Vec::new();
    for message in upstream.seen() {
        let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(body["type"], "expiry.notice");
        let items = body["data"]["items"].as_array().unwrap();
        told.extend(
            items
                .iter()
                .filter(|item| item["client"] == client)
                .map(|item| (item["id"].as_str().unwrap().to_owned(), item["threshold_days"].as_i64().unwrap())),
        );
    }
    told
}

const DAY: u64 = 86_400;

#[tokio::test]
async fn what_ends_is_told_once_at_each_distance_if_it_is_in_use() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start_with(webhook(format!("http://{}/hook", upstream.address), folder.path())).await;
    let acme = gateway.acme();
    let unused = Identity::issue(&gateway, new_certificate("acme-orders")).await.serial();
    gateway.app.expiry.look().await.unwrap();
    assert!(told(&upstream, "acme-orders").is_empty(), "90 days are time enough");
    let mut expected = Vec::new();
    for (days, threshold) in [(61, 30), (15, 14), (8, 7)] {
        gateway.advance(Duration::from_secs(days * DAY));
        let (mut session, headers) = acme.prepare(&gateway, Method::Certificate, Http::One).await;
        assert_eq!(session.get(&acme.path, &borrowed(&headers)).await.status, 200);
        gateway.app.sightings.flush().await.unwrap();
        gateway.app.expiry.look().await.unwrap();
        gateway.app.expiry.look().await.unwrap();
        expected.push(threshold);
        let told = told(&upstream, "acme-orders");
        assert!(told.iter().all(|(id, _)| id.ends_with(&acme.serial)), "{told:?}");
        assert_eq!(told.iter().map(|(_, threshold)| *threshold).collect::<Vec<_>>(), expected, "once each");
    }
    // Signed as Standard Webhooks has it.
    let message = upstream.seen().pop().unwrap();
    let (id, at) = (message.header("webhook-id").unwrap(), message.header("webhook-timestamp").unwrap());
    let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let signed = [format!("{id}.{at}.").as_bytes(), &message.body].concat();
    let signature = STANDARD.encode(aws_lc_rs::hmac::sign(&key, &signed).as_ref());
    assert_eq!(message.header("webhook-signature").unwrap(), format!("v1,{signature}"));

    // The report says the same, and more when it is asked.
    let admin = Identity::issue(&gateway, new_certificate("portcullis-admin")).await;
    let options = SessionOptions { identity: Some(admin), ..Default::default() };
    let mut admin = Session::open(&gateway, "admin", options).await.unwrap();
    let of_acme = |items: Vec<serde_json::Value>| -> Vec<String> {
        let certificates =
            items.into_iter().filter(|item| item["client"] == "acme-orders" && item["kind"] == "client-certificate");
        certificates.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(list(&mut admin, "/v1/shared-keys").await.is_empty());
    let used = of_acme(list(&mut admin, "/v1/expiry").await);
    assert!(used.len() == 1 && used[0].ends_with(&acme.serial), "{used:?}");
    let all = of_acme(list(&mut admin, "/v1/expiry?unused=true").await);
    assert!(all.iter().any(|id| id.ends_with(&unused)), "{all:?}");
    let own: Vec<String> = list(&mut admin, "/v1/expiry?within_seconds=864000000")
        .await
        .into_iter()
        .filter(|item| item["client"].is_null())
        .map(|item| item["kind"].as_str().unwrap().to_owned())
        .collect();
    for kind in ["root", "issuing", "server-issuing", "crl", "server-certificate"] {
        assert!(own.iter().any(|own| own == kind), "{kind} not in {own:?}");
    }
}

#[tokio::test]
async fn what_nobody_took_is_told_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there yet: the port is taken from a listener that is gone.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start_with(webhook(format!("http://{free}/hook"), folder.path())).await;
    let key = portcullis::registry::api_key::NewApiKey {
        client: "acme-orders".to_owned(),
        expiry: Some(portcullis::registry::Expiry::After(6 * DAY as i64)),
        ..Default::default()
    };
    let key = Partner::new_key(&gateway, key).await;
    let acme = gateway.acme();
    let mut session = gateway.session().await;
    assert_eq!(session.get(&acme.path, &[("x-api-key", &key)]).await.status, 200);
    gateway.app.sightings.flush().await.unwrap();
    assert!(gateway.app.expiry.look().await.is_err(), "the key ends within a week, and nobody takes the message");
    let upstream = Upstream::start_at(free).await;
    drop(session);
    let gateway = gateway.restart().await;
    gateway.app.expiry.look().await.unwrap();
    assert_eq!(told(&upstream, "acme-orders").iter().map(|(_, threshold)| *threshold).collect::<Vec<_>>(), [7]);
}
