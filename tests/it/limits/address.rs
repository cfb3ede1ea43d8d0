//! What one address may cost, whoever it is.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use portcullis::config::Rate;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{SECOND, retry_after};
use crate::harness::{Gateway, GatewayOptions, RawConnection, SessionOptions, connect_tls};

fn per_address(change: impl Fn(&mut portcullis::config::LimitSettings) + Send + Sync + 'static) -> GatewayOptions {
    GatewayOptions::default().configure(move |config| {
        config.limits.exempt.clear();
        change(&mut config.limits);
    })
}

fn rate(per_second: f64, burst: u32) -> Rate {
    Rate { per_second, burst }
}

#[tokio::test]
async fn an_address_has_a_share_of_requests_whoever_it_is() {
    let gateway = Gateway::start_with(per_address(|limits| limits.requests_per_address = rate(0.5, 6))).await;
    let acme = gateway.acme();
    let key = [("x-api-key", acme.api_key.as_str())];
    let mut session = gateway.session().await;
    // What is asked for, and by whom, does not matter yet.
    for path in ["/test/hello-world", "/nowhere", "/docs", "/oauth2/token", "/test/hello-world"] {
        assert_ne!(session.get(path, &[]).await.status, 429, "{path}");
    }
    assert_eq!(session.get(&acme.path, &key).await.status, 200);
    for (path, headers) in [(acme.path.as_str(), &key[..]), ("/oauth2/token", &[]), ("/nowhere", &[]), ("/docs", &[])] {
        let denied = session.get(path, headers).await;
        assert_eq!(denied.problem(), (429, "throttled".to_owned()), "{path}");
        assert_eq!(retry_after(&denied), 2);
    }
    let mut elsewhere = gateway.session_from([127, 0, 0, 2]).await;
    assert_eq!(elsewhere.get(&acme.path, &key).await.status, 200, "another address has its own");
    gateway.advance(2 * SECOND);
    assert_eq!(session.get(&acme.path, &key).await.status, 200);
    assert_eq!(session.get(&acme.path, &key).await.status, 429);
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_told_to_wait_and_what_is_good_still_passes() {
    let gateway = Gateway::start_with(per_address(|limits| limits.failures_per_address = rate(0.1, 5))).await;
    let acme = gateway.acme();
    let key = [("x-api-key", acme.api_key.as_str())];
    let wrong = [("authorization", "Basic YWNtZS1vcmRlcnM6d3Jvbmc=")];
    let mut session = gateway.session().await;
    let mut elsewhere = gateway.session_from([127, 0, 0, 2]).await;
    // Presenting nothing, or something good that may not do this, is no failure.
    for _ in 0..20 {
        assert_eq!(session.get(&acme.path, &[]).await.status, 401);
        assert_eq!(session.get("/test/both", &key).await.status, 401);
        assert_eq!(session.get(&acme.path, &key).await.status, 200);
    }
    for _ in 0..3 {
        assert_eq!(session.get(&acme.path, &[("x-api-key", "pc_test_wrong")]).await.status, 401);
    }
    assert_eq!(session.get(&acme.path, &[("authorization", "Bearer wrong")]).await.status, 401);
    let form = "grant_type=client_credentials";
    assert_eq!(session.post_form("/oauth2/token", &wrong, form).await.status, 401);
    assert_eq!(session.get(&acme.path, &key).await.status, 200, "five failures are its burst");
    let told = session.get(&acme.path, &[("x-api-key", "pc_test_wrong")]).await;
    assert_eq!(told.problem(), (429, "throttled".to_owned()), "the sixth failure");
    assert_eq!(session.post_form("/oauth2/token", &wrong, form).await.status, 429, "by whatever method");
    // Neither the client nor its neighbours behind one address are locked out: a stranger could do that to anybody.
    assert_eq!(session.get(&acme.path, &key).await.status, 200, "a good key from the same address");
    let basic = acme.basic();
    assert_eq!(session.post_form("/oauth2/token", &[("authorization", &basic)], form).await.status, 200);
    assert_eq!(elsewhere.get(&acme.path, &[("x-api-key", "pc_test_wrong")]).await.status, 401, "each has its own");
    gateway.advance(Duration::from_secs(retry_after(&told)));
    assert_eq!(session.get(&acme.path, &[("x-api-key", "pc_test_wrong")]).await.status, 401, "it has waited");
}

#[tokio::test]
async fn handshakes_of_one_address_are_counted_before_any_cryptography() {
    let gateway = Gateway::start_with(per_address(|limits| limits.handshakes_per_address = rate(1.0, 3))).await;
    let acme = gateway.acme();
    let options = SessionOptions::default();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(gateway.session().await);
    }
    assert!(connect_tls(&gateway, "gateway", &options).await.is_err(), "the fourth");
    for _ in 0..3 {
        assert!(connect_tls(&gateway, "admin", &options).await.is_ok(), "each listener counts by itself");
    }
    assert!(connect_tls(&gateway, "admin", &options).await.is_err());
    let elsewhere = SessionOptions { source: Some(IpAddr::from([127, 0, 0, 2])), ..SessionOptions::default() };
    assert!(connect_tls(&gateway, "gateway", &elsewhere).await.is_ok());
    for session in &mut open {
        assert_eq!(session.get(&acme.path, &[("x-api-key", &acme.api_key)]).await.status, 200, "open ones go on");
    }
    gateway.advance(SECOND);
    assert!(connect_tls(&gateway, "gateway", &options).await.is_ok());
    assert!(connect_tls(&gateway, "gateway", &options).await.is_err());
}

#[tokio::test]
async fn connections_of_one_address_have_a_number() {
    let options = GatewayOptions::default().configure(|config| config.limits.connections_per_address_max = 2);
    let gateway = Gateway::start_with(options).await;
    let options = SessionOptions::default();
    let first = connect_tls(&gateway, "gateway", &options).await.unwrap();
    let _second = connect_tls(&gateway, "gateway", &options).await.unwrap();
    assert!(connect_tls(&gateway, "gateway", &options).await.is_err());
    assert!(gateway.session_from([127, 0, 0, 2]).await.is_open());
    drop(first);
    // The server notices when it reads; until then the place is taken.
    while connect_tls(&gateway, "gateway", &options).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn exempt_networks_are_not_counted() {
    let gateway = Gateway::start_with(per_address(|limits| {
        limits.requests_per_address = rate(0.001, 2);
        limits.failures_per_address = rate(0.001, 2);
        limits.handshakes_per_address = rate(0.001, 2);
        limits.exempt = vec!["127.0.0.2/32".parse().unwrap()];
    }))
    .await;
    let mut exempt = gateway.session_from([127, 0, 0, 2]).await;
    for _ in 0..10 {
        assert_eq!(exempt.get("/nowhere", &[("x-api-key", "wrong")]).await.status, 404);
        assert_eq!(exempt.get("/test/hello-world", &[("x-api-key", "wrong")]).await.status, 401);
        assert!(gateway.session_from([127, 0, 0, 2]).await.is_open());
    }
    let mut counted = gateway.session_from([127, 0, 0, 3]).await;
    assert_eq!(counted.get("/nowhere", &[]).await.status, 404);
    assert_eq!(counted.get("/nowhere", &[]).await.status, 404);
    assert_eq!(counted.get("/nowhere", &[]).await.status, 429);
}

#[tokio::test]
async fn connections_that_say_nothing_end() {
    let options = GatewayOptions::default().configure(|config| {
        config.limits.handshake_timeout = SECOND;
        config.limits.head_timeout = SECOND;
    });
    let gateway = Gateway::start_with(options).await;
    let acme = gateway.acme();
    let started = Instant::now();
    let mut silent = TcpStream::connect(gateway.address("gateway")).await.unwrap();
    let mut half_a_head = RawConnection::open(&gateway, &SessionOptions::default()).await;
    half_a_head.send(b"GET /test/hello-world HTTP/1.1\r\nHost: loc").await;
    let mut nothing_more = gateway.session().await;
    assert_eq!(nothing_more.get(&acme.path, &[("x-api-key", &acme.api_key)]).await.status, 200);
    let mut nothing_on_pki = RawConnection::plain(&gateway).await;
    assert_eq!(tokio::time::timeout(30 * SECOND, silent.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    half_a_head.ends_without_success("half a head").await;
    nothing_more.closed().await;
    nothing_on_pki.ends_without_success("nothing at all").await;
    assert!(started.elapsed() < 15 * SECOND, "{:?}", started.elapsed());
}
