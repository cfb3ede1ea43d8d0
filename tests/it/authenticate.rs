//! Three ways in, one client.

use std::time::Duration;

use crate::harness::{Gateway, Http, Identity, Method, Partner, Session, SessionOptions};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn each_credential_opens_the_same_door() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for method in Method::ALL {
        for http in [Http::One, Http::Two] {
            let (mut session, headers) = acme.prepare(&gateway, method, http).await;
            let answer = session.get(&acme.path, &crate::harness::borrowed(&headers)).await;
            assert_eq!(answer.status, 200, "{method:?} {http:?} {answer:?}");
            assert_eq!(answer.body, r#"{"message": "hello world!"}"#);
            assert!(answer.header("x-portcullis-decision-id").is_some());
        }
    }
}

#[tokio::test]
async fn no_credential_is_unauthorized_and_told_what_would_do() {
    let gateway = Gateway::start().await;
    let answer = gateway.session().await.get("/test/hello-world", &[]).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["message"], "Unauthorized");
    assert_eq!(answer.code(), "no_credential");
    let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges.len(), 3, "{challenges:?}");
}

#[tokio::test]
async fn a_bad_credential_fails_the_request_whatever_else_is_presented() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let options = SessionOptions { identity: Some(acme.identity.clone()), ..SessionOptions::default() };
    let mut session = Session::open(&gateway, "gateway", options).await.unwrap();
    assert_eq!(session.get(&acme.path, &[]).await.status, 200);
    for bad in [("x-api-key", "pc_test_nonsense"), ("authorization", "Bearer nonsense"), ("authorization", "Basic YTpi")] {
        let answer = session.get(&acme.path, &[bad]).await;
        assert_eq!(answer.status, 401, "{bad:?}: {answer:?}");
    }
    let twice = session.get(&acme.path, &[("x-api-key", &acme.api_key), ("x-api-key", &acme.api_key)]).await;
    assert_eq!((twice.status.as_u16(), twice.code().as_str()), (400, "duplicate_credential"));
    let in_url = session.get("/test/hello-world?access_token=abc", &[]).await;
    assert_eq!((in_url.status.as_u16(), in_url.code().as_str()), (400, "credential_in_url"));
}

#[tokio::test]
async fn credentials_presented_together_must_be_of_one_client() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let other = Partner::create(&gateway, "globex", "globex-orders").await;
    let options = SessionOptions { identity: Some(acme.identity.clone()), ..SessionOptions::default() };
    let mut session = Session::open(&gateway, "gateway", options).await.unwrap();
    let same = session.get("/test/both", &[("x-api-key", &acme.api_key)]).await;
    assert_eq!(same.status, 200, "{same:?}");
    let mixed = session.get("/test/both", &[("x-api-key", &other.api_key)]).await;
    assert_eq!((mixed.status.as_u16(), mixed.code().as_str()), (403, "credential_mismatch"));
    let alone = session.get("/test/both", &[]).await;
    assert_eq!((alone.status.as_u16(), alone.code().as_str()), (401, "method_not_accepted"));
    let token = other.token(&gateway).await;
    let mixed = session.get(&acme.path, &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(mixed.code(), "credential_mismatch");
}

#[tokio::test]
async fn the_mtls_listener_lets_nobody_in_without_a_certificate() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let with = SessionOptions { identity: Some(acme.identity.clone()), ..SessionOptions::default() };
    let mut session = Session::open(&gateway, "mtls", with).await.unwrap();
    assert_eq!(session.get(&acme.path, &[]).await.status, 200);
    // In TLS 1.3 the refusal arrives with the first read.
    if let Ok(mut session) = Session::open(&gateway, "mtls", SessionOptions::default()).await {
        assert!(session.send("GET", &acme.path, &[("x-api-key", &acme.api_key)], "").await.is_err());
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_get_through_the_handshake() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).unwrap();
    let identity = Identity { chain: vec![certificate.der().to_vec()], key_pkcs8: key.serialize_der() };
    let options = SessionOptions { identity: Some(identity), ..SessionOptions::default() };
    if let Ok(mut session) = Session::open(&gateway, "gateway", options).await {
        assert!(session.send("GET", &acme.path, &[], "").await.is_err());
    }
}

#[tokio::test]
async fn every_credential_ends_with_its_life_on_open_connections_too() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let (mut by_certificate, _) = acme.prepare(&gateway, Method::Certificate, Http::One).await;
    assert_eq!(by_certificate.get(&acme.path, &[]).await.status, 200);
    let (mut by_token, headers) = acme.prepare(&gateway, Method::Token, Http::Two).await;
    let headers = crate::harness::borrowed(&headers);
    assert_eq!(by_token.get(&acme.path, &headers).await.status, 200);
    gateway.advance(Duration::from_secs(3600 + 31));
    assert_eq!(by_token.get(&acme.path, &headers).await.code(), "invalid_token");
    assert_eq!(by_certificate.get(&acme.path, &[]).await.status, 200);
    gateway.advance(400 * DAY);
    let expired = by_certificate.get(&acme.path, &[]).await;
    assert_eq!((expired.status.as_u16(), expired.code().as_str()), (401, "credential_unknown"));
}

#[tokio::test]
async fn unknown_expired_and_revoked_keys_look_alike_outside_and_differ_inside() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut admin = gateway.admin().await;
    let mut made = Vec::new();
    for ttl in [60, 86_400] {
        let body = serde_json::json!({ "client": acme.client_id, "ttl_seconds": ttl });
        made.push(admin.post_json("/v1/api-keys", &body).await.json());
    }
    let revoke = format!("/v1/api-keys/{}/revoke", made[1]["id"].as_str().unwrap());
    assert_eq!(admin.post_json(&revoke, &serde_json::json!({})).await.status, 200);
    gateway.advance(Duration::from_secs(61));
    let mut unknown = acme.api_key.clone();
    // Another installation's key: right shape and checksum, never issued here.
    unknown.clear();
    unknown.push_str(&portcullis::registry::PresentedApiKey::example("test"));
    let mut session = gateway.session().await;
    let mut bodies = Vec::new();
    let mut inside = Vec::new();
    for key in [unknown.as_str(), made[0]["api_key"].as_str().unwrap(), made[1]["api_key"].as_str().unwrap()] {
        let answer = session.get(&acme.path, &[("x-api-key", key)]).await;
        assert_eq!(answer.status, 401);
        let mut body = answer.json();
        let id = body["decision_id"].take();
        let trail = admin.get(&format!("/v1/audit?kind=decision&id={}", id.as_str().unwrap()), &[]).await;
        inside.push(trail.json()["items"][0]["outcome"].as_str().unwrap().to_owned());
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    assert_eq!(inside, ["credential_unknown", "credential_expired", "credential_revoked"]);
}
