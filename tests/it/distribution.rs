//! The PKI listener: what relying parties fetch to check our certificates elsewhere.

use pki::RevocationReason;
use portcullis::authority::Selector;
use portcullis::registry::Actor;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::harness::{Answer, Gateway, GatewayOptions, RawConnection};

async fn get(gateway: &Gateway, path: &str) -> Answer {
    let mut raw = RawConnection::plain(gateway).await;
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.address("pki")).as_bytes()).await;
    raw.answer().await
}

/// The serials on a list, hex.
fn listed(crl: &[u8]) -> Vec<String> {
    let (_, crl) = CertificateRevocationList::from_der(crl).unwrap();
    crl.iter_revoked_certificates()
        .map(|entry| entry.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        .map(|serial| serial.strip_prefix("00").map(ToOwned::to_owned).unwrap_or(serial))
        .collect()
}

#[tokio::test]
async fn a_revocation_is_on_the_list_that_the_certificate_points_to() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let root = get(&gateway, "/ca.pem").await;
    assert_eq!(root.body, std::fs::read(gateway.data().join("ca.pem")).unwrap());
    let issuer = pki::ClientCertificate::parse(&acme.identity.chain[0]).unwrap().issuer_key_id.unwrap();
    let certificate = get(&gateway, &format!("/ca/{issuer}.cer")).await;
    assert_eq!(certificate.header("content-type"), Some("application/pkix-cert"));
    assert_eq!(certificate.body, acme.identity.chain[1]);
    let path = format!("/crl/{issuer}.crl");
    let before = get(&gateway, &path).await;
    assert_eq!((before.status.as_u16(), before.header("content-type")), (200, Some("application/pkix-crl")));
    assert!(!listed(&before.body).contains(&acme.serial));
    let selector = Selector::Certificate(acme.serial.parse().unwrap());
    gateway.authority().revoke(selector, RevocationReason::KeyCompromise, &Actor::local()).await.unwrap();
    gateway.authority().publish_now().await.unwrap();
    let after = get(&gateway, &path).await;
    assert!(listed(&after.body).contains(&acme.serial), "{:?}", listed(&after.body));
    // Signed by the authority that it speaks for.
    let (_, crl) = CertificateRevocationList::from_der(&after.body).unwrap();
    let (_, authority) = X509Certificate::from_der(&acme.identity.chain[1]).unwrap();
    crl.verify_signature(authority.public_key()).unwrap();
    // The certificate itself says where to look, under the address that this installation was first given.
    let (_, leaf) = X509Certificate::from_der(&acme.identity.chain[0]).unwrap();
    assert!(format!("{:?}", leaf.extensions()).contains(&path));
}

#[tokio::test]
async fn the_pki_listener_gives_nothing_else() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for path in [
        "/",
        "/keys/root.key",
        "/ca.key",
        "/crl/",
        "/ca/%2e%2e/keys",
        "/../keys/root.key",
        "/test/hello-world",
        "/v1/status",
    ] {
        let answer = get(&gateway, path).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {answer:?}");
    }
    let host = gateway.address("pki");
    for (request, status) in [
        (format!("POST /ca.pem HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"), 405),
        (format!("GET {} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {}\r\n\r\n", acme.path, acme.api_key), 404),
        (
            format!("GET /ca.pem HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400,
        ),
        ("GET /ca.pem HTTP/1.1\r\n\r\n".to_owned(), 400),
    ] {
        let mut raw = RawConnection::plain(&gateway).await;
        raw.send(request.as_bytes()).await;
        assert_eq!(raw.answer().await.status, status, "{request}");
    }
}

#[tokio::test]
async fn the_pki_listener_limits_addresses_too() {
    let gateway = Gateway::start_with(GatewayOptions::default().configure(|config| {
        config.limits.exempt.clear();
        config.limits.requests_per_address = portcullis::config::Rate { per_second: 0.001, burst: 2 };
    }))
    .await;
    for status in [200, 200, 429] {
        assert_eq!(get(&gateway, "/ca.pem").await.status, status);
    }
}
