//! The OCSP responder on the PKI listener, over its sockets.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::{OcspQuery, OcspReply, OcspStatus, RevocationReason};
use portcullis::authority::Selector;
use portcullis::registry::Actor;

use crate::harness::{Answer, Gateway, GatewayOptions, Partner, RawConnection, new_certificate};

/// A question about the partner's certificate.
fn question(acme: &Partner, nonce: Option<&[u8]>) -> OcspQuery {
    OcspQuery::new(&acme.identity.chain[0], &acme.identity.chain[1], nonce).unwrap()
}

async fn send(gateway: &Gateway, head: &str, body: &[u8]) -> Answer {
    let mut raw = RawConnection::plain(gateway).await;
    let host = gateway.address("pki");
    let head = format!("{head}Host: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
    raw.send(&[head.as_bytes(), body].concat()).await;
    raw.answer().await
}

async fn post(gateway: &Gateway, body: &[u8]) -> Answer {
    send(gateway, "POST /ocsp HTTP/1.1\r\nContent-Type: application/ocsp-request\r\n", body).await
}

async fn get(gateway: &Gateway, path: &str) -> Answer {
    let mut raw = RawConnection::plain(gateway).await;
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.address("pki")).as_bytes()).await;
    raw.answer().await
}

fn read(gateway: &Gateway, question: &OcspQuery, answer: &Answer) -> OcspReply {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/ocsp-response")));
    let now = time::OffsetDateTime::from_unix_timestamp(gateway.clock.now().0).unwrap();
    question.read(&answer.body, now).unwrap()
}

async fn revoke(gateway: &Gateway, serial: &str) {
    let selector = Selector::Certificate(serial.parse().unwrap());
    gateway.authority().revoke(selector, RevocationReason::KeyCompromise, &Actor::local()).await.unwrap();
}

#[tokio::test]
async fn a_revocation_is_told_the_moment_it_returns() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let plain = question(&acme, None);
    let with_nonce = question(&acme, Some(&[3; 32]));
    let path = format!("/ocsp/{}", STANDARD.encode(plain.der()).replace('/', "%2F").replace('+', "%2B"));
    for question in [&plain, &with_nonce] {
        let reply = read(&gateway, question, &post(&gateway, &question.der()).await);
        assert_eq!(reply.status, OcspStatus::Good);
    }
    assert_eq!(read(&gateway, &plain, &get(&gateway, &path).await).status, OcspStatus::Good);
    revoke(&gateway, &acme.serial).await;
    let at = time::OffsetDateTime::from_unix_timestamp(gateway.clock.now().0).unwrap();
    let revoked = OcspStatus::Revoked { at, reason: RevocationReason::KeyCompromise };
    for question in [&plain, &with_nonce] {
        assert_eq!(read(&gateway, question, &post(&gateway, &question.der()).await).status, revoked);
    }
    assert_eq!(read(&gateway, &plain, &get(&gateway, &path).await).status, revoked);
    // Another process that revokes is heard of by the feed.
    let beside = gateway.foundation_beside().await;
    let other = beside.authority.issue(new_certificate(&acme.client_id), &Actor::local()).await.unwrap();
    let der = pki::pem_certificates(other.certificate_pem.as_bytes()).unwrap().remove(0);
    let about = OcspQuery::new(&der, &acme.identity.chain[1], None).unwrap();
    assert_eq!(read(&gateway, &about, &post(&gateway, &about.der()).await).status, OcspStatus::Good);
}

#[tokio::test]
async fn every_road_to_the_responder_leads_there() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    // A nonce of slashes: `//` in the path, which proxies and clients treat in their own ways.
    let asked = question(&acme, Some(&[0xff; 32]));
    let text = STANDARD.encode(asked.der());
    assert!(text.contains("//"));
    let encoded = text.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    let bare = text.trim_end_matches('=').to_owned();
    for path in
        [format!("/ocsp/{encoded}"), format!("/ocsp/{text}"), format!("/ocsp//{encoded}"), format!("/ocsp/{bare}")]
    {
        let reply = read(&gateway, &asked, &get(&gateway, &path).await);
        assert!(reply.status == OcspStatus::Good && reply.nonce_matches, "{path}");
    }
    for head in ["POST /ocsp HTTP/1.1\r\n", "POST /ocsp/ HTTP/1.1\r\nContent-Type: application/ocsp-request\r\n"] {
        let reply = read(&gateway, &asked, &send(&gateway, head, &asked.der()).await);
        assert_eq!(reply.status, OcspStatus::Good, "{head}");
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_told_in_ocsp() {
    let gateway = Gateway::start().await;
    let malformed = [0x30, 3, 0x0a, 1, 1];
    for body in [&b""[..], b"no DER", &[0x30; 8 * 1024], &[0x30; 8 * 1024 + 1]] {
        let answer = post(&gateway, body).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, &malformed[..]), "{} bytes", body.len());
    }
    assert_eq!(get(&gateway, "/ocsp/AAAA").await.body, malformed[..]);
    for (head, status) in [
        ("POST /ocsp HTTP/1.1\r\nContent-Type: text/plain\r\n", 415),
        ("DELETE /ocsp HTTP/1.1\r\n", 405),
        ("POST /ocsp/x HTTP/1.1\r\n", 405),
    ] {
        assert_eq!(send(&gateway, head, b"").await.status, status, "{head}");
    }
    assert_eq!(get(&gateway, "/ocsp").await.status, 404);
}

#[tokio::test]
async fn signers_are_shown_before_they_lapse() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let issuers = admin.get("/v1/issuers", &[]).await.json();
    let issuers = issuers["items"].as_array().unwrap();
    for issuer in issuers {
        let answered_for = issuer["kind"] != "root";
        assert_eq!(issuer["ocsp"], answered_for, "{issuer}");
        assert_eq!(issuer["ocsp_signer"].is_string(), answered_for, "{issuer}");
    }
    let ready = admin.get("/readyz", &[]).await;
    assert_eq!(ready.status, 200);
    assert_eq!(signers_ready(&ready), [true, true]);
    let metrics = String::from_utf8(admin.get("/metrics", &[]).await.body.to_vec()).unwrap();
    assert!(metrics.contains("portcullis_ocsp_signer_not_after_seconds{issuer="), "{metrics}");
    // Nobody renewed them: a quarter of their life is left, and the load balancer hears of it before a client does.
    gateway.advance(Duration::from_secs(11 * 86_400));
    let mut admin = gateway.admin().await;
    let lapsing = admin.get("/readyz", &[]).await;
    assert_eq!((lapsing.status.as_u16(), signers_ready(&lapsing)), (503, [false, false].to_vec()));
    assert!(gateway.authority().renew_ocsp_signers().await);
    assert_eq!(signers_ready(&admin.get("/readyz", &[]).await), [true, true]);
}

fn signers_ready(answer: &Answer) -> Vec<bool> {
    let checks = answer.json();
    let signers = checks["checks"].as_array().unwrap().iter().filter(|check| check["name"] == "ocsp");
    signers.map(|check| check["ok"].as_bool().unwrap()).collect()
}

#[tokio::test]
async fn the_responder_limits_addresses_too() {
    let gateway = Gateway::start_with(GatewayOptions::default().configure(|config| {
        config.limits.exempt.clear();
        config.limits.requests_per_address = portcullis::config::Rate { per_second: 0.001, burst: 2 };
    }))
    .await;
    for status in [200, 200, 429] {
        assert_eq!(post(&gateway, b"").await.status, status);
    }
}
