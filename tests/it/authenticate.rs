//! Three ways in, one client.

use std::time::Duration;

use portcullis::authority::NewCertificate;
use portcullis::config::ClientCertificates;
use portcullis::registry::api_key::{NewApiKey, PresentedApiKey};
use portcullis::registry::{Actor, Expiry};

use crate::harness::{
    Gateway, GatewayOptions, Http, Identity, Method, Partner, Session, SessionOptions, borrowed, new_certificate,
};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn each_credential_opens_the_same_door() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for method in Method::ALL {
        for http in Http::BOTH {
            let (mut session, headers) = acme.prepare(&gateway, method, http).await;
            let answer = session.get(&acme.path, &borrowed(&headers)).await;
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
    for bad in
        [("x-api-key", "pc_test_nonsense"), ("authorization", "Bearer nonsense"), ("authorization", "Basic YTpi")]
    {
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
    let headers = borrowed(&headers);
    assert_eq!(by_token.get(&acme.path, &headers).await.status, 200);
    gateway.advance(Duration::from_secs(3600 + 31));
    assert_eq!(by_token.get(&acme.path, &headers).await.code(), "invalid_token");
    assert_eq!(by_certificate.get(&acme.path, &[]).await.status, 200);
    gateway.advance(400 * DAY);
    let expired = by_certificate.get(&acme.path, &[]).await;
    assert_eq!((expired.status.as_u16(), expired.code().as_str()), (401, "credential_unknown"));
}

#[tokio::test]
async fn a_credential_lives_exactly_as_long_as_it_says() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let new = NewCertificate { lifetime_seconds: Some(3600), ..new_certificate(&acme.client_id) };
    let identity = Identity::issue(&gateway, new).await;
    let leaf = pki::ClientCertificate::parse(&identity.chain[0]).unwrap();
    let expiry = Some(Expiry::After(leaf.not_after - gateway.clock.now().0));
    let key =
        Partner::new_key(&gateway, NewApiKey { client: acme.client_id.clone(), expiry, ..NewApiKey::default() }).await;
    for http in Http::BOTH {
        let clock_to_last_second = Duration::from_secs(u64::try_from(leaf.not_after - gateway.clock.now().0).unwrap());
        let open = || SessionOptions { identity: Some(identity.clone()), http, ..SessionOptions::default() };
        if http == Http::One {
            gateway.advance(clock_to_last_second);
        }
        let mut session = gateway.session_with(open()).await;
        // notAfter is the last second that is good (RFC 5280 §4.1.2.5); an expiry is the first that is not.
        assert_eq!(session.get(&acme.path, &[]).await.status, 200, "{http:?}");
        assert_eq!(acme.ask_token(&mut session, "").await.status, 200, "{http:?}: at the token endpoint");
        let mut plain = gateway.session().await;
        assert_eq!(plain.get(&acme.path, &[("x-api-key", &key)]).await.code(), "credential_unknown");
        if http == Http::Two {
            gateway.advance(Duration::from_secs(1));
            assert_eq!(session.get(&acme.path, &[]).await.code(), "credential_unknown");
            assert_eq!(acme.ask_token(&mut session, "").await.status, 401);
            if let Ok(mut session) = Session::open(&gateway, "gateway", open()).await {
                assert_eq!(session.status(&acme.path, &[]).await, 0, "no handshake with an expired certificate");
            }
        }
    }
}

#[tokio::test]
async fn a_client_may_send_its_leaf_alone() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    // Half of the clients in the field are configured with it and nothing else.
    let alone = Identity { chain: acme.identity.chain[..1].to_vec(), ..acme.identity.clone() };
    for listener in ["gateway", "mtls"] {
        for http in Http::BOTH {
            let options = SessionOptions { identity: Some(alone.clone()), http, ..SessionOptions::default() };
            let mut session = Session::open(&gateway, listener, options).await.unwrap();
            assert_eq!(session.get(&acme.path, &[]).await.status, 200, "{listener} {http:?}");
        }
    }
}

#[tokio::test]
async fn unknown_expired_and_revoked_keys_look_alike_outside_and_differ_inside() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let new = |seconds| NewApiKey {
        client: acme.client_id.clone(),
        expiry: Some(Expiry::After(seconds)),
        ..NewApiKey::default()
    };
    // Right shape and checksum, never issued here.
    let unknown = PresentedApiKey::example("test");
    let expired = Partner::new_key(&gateway, new(60)).await;
    let revoked = Partner::new_key(&gateway, new(86_400)).await;
    let id = PresentedApiKey::parse(&revoked).unwrap().id();
    gateway.registry().revoke_api_key(&Actor::local(), id, "lost").await.unwrap();
    gateway.advance(Duration::from_secs(61));
    let mut session = gateway.session().await;
    let mut outside = Vec::new();
    let mut inside = Vec::new();
    for key in [&unknown, &expired, &revoked] {
        let mut answer = session.get(&acme.path, &[("x-api-key", key)]).await;
        assert_eq!(answer.status, 401);
        inside.push(gateway.decision(answer.decision_id()).await.outcome);
        let mut body = answer.json();
        body["decision_id"].take();
        answer.headers.remove("x-portcullis-decision-id");
        answer.headers.remove("date");
        outside.push((body, answer.headers));
    }
    assert_eq!(outside[0], outside[1]);
    assert_eq!(outside[1], outside[2]);
    assert_eq!(inside, ["credential_unknown", "credential_expired", "credential_revoked"]);
}

#[tokio::test]
async fn a_certificate_of_our_own_ca_that_is_not_on_the_list_is_refused() {
    // Two installations from one backup: the CA keys are the same, and one has issued since.
    let gateway = Gateway::start().await;
    let other = Gateway::start().await;
    let stranger = Identity::issue(&other, new_certificate("acme-orders")).await;
    let options = SessionOptions { identity: Some(stranger), ..SessionOptions::default() };
    let mut there = other.session_with(options.clone()).await;
    assert_eq!(there.get("/test/hello-world", &[]).await.status, 200);
    let mut here = gateway.session_with(options).await;
    let answer = here.get("/test/hello-world", &[]).await;
    assert_eq!(answer.problem(), (401, "credential_unknown".to_owned()));
    // The name in it, and a good key beside it, change nothing.
    let with_key = here.get("/test/hello-world", &[("x-api-key", &gateway.acme().api_key)]).await;
    assert_eq!(with_key.problem(), (401, "credential_unknown".to_owned()));
}

#[tokio::test]
async fn a_listener_without_client_certificates_sees_none() {
    let options = GatewayOptions::default().configure(|config| {
        let gateway = config.listeners.iter_mut().find(|listener| listener.name == "gateway").unwrap();
        gateway.client_certificates = ClientCertificates::None;
    });
    let gateway = Gateway::start_with(options).await;
    let acme = gateway.acme();
    let (mut session, _) = acme.prepare(&gateway, Method::Certificate, Http::One).await;
    assert_eq!(session.get(&acme.path, &[]).await.problem(), (401, "no_credential".to_owned()));
    for method in [Method::ApiKey, Method::Token] {
        assert_eq!(acme.call(&gateway, method, &acme.path).await.status, 200, "{method:?}");
    }
}

#[tokio::test]
async fn credentials_have_one_place_and_one_spelling() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let token = acme.token(&gateway).await;
    let mut session = gateway.session().await;
    for good in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  {token}")] {
        assert_eq!(session.get(&acme.path, &[("authorization", &good)]).await.status, 200, "{good:.12}");
    }
    let key = &acme.api_key;
    let (id, secret) = (acme.api_key_id(), &key[key.len() - 38..]);
    for (bad, code) in [
        (("authorization", token.clone()), "invalid_token"),
        (("authorization", format!("Bearer {}", acme.api_key)), "invalid_token"),
        (("authorization", format!("Bearer {token}, Bearer {token}")), "invalid_token"),
        (("authorization", acme.basic()), "invalid_token"),
        (("authorization", "Bearer".to_owned()), "invalid_token"),
        (("x-api-key", token.clone()), "credential_unknown"),
        (("x-api-key", format!("pc_prod_{id}_{secret}")), "credential_unknown"),
        (("x-api-key", key.to_uppercase()), "credential_unknown"),
        (("x-api-key", format!("{key},{key}")), "credential_unknown"),
        (("x-api-key", String::new()), "credential_unknown"),
    ] {
        let answer = session.get(&acme.path, &[(bad.0, &bad.1)]).await;
        assert_eq!(answer.problem(), (401, code.to_owned()), "{bad:?}");
    }
    for elsewhere in [("api-key", key), ("x-amz-security-token", &token), ("cookie", &format!("x-api-key={key}"))] {
        assert_eq!(
            session.get(&acme.path, &[(elsewhere.0, elsewhere.1)]).await.code(),
            "no_credential",
            "{elsewhere:?}"
        );
    }
}
