use std::time::Duration;

use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;

fn names() -> ServerNames {
    ServerNames { dns: vec!["api.example.com".into(), "localhost".into()], ips: vec!["127.0.0.1".parse().unwrap()] }
}

async fn open(house: &House, names: ServerNames) -> Arc<ServerCertificate> {
    ServerIdentity::open(house.authority.clone(), names).await.unwrap().current()
}

#[tokio::test]
async fn openssl_and_rustls_accept_it() {
    let house = House::new().await;
    let certificate = open(&house, names()).await;
    assert_eq!(certificate.chain.len(), 2);
    let root = house.write("root.pem", house.authority.root_pem());
    let leaf = house.write("server.pem", pki::pem_certificate(&certificate.chain[0]));
    let chain = house.write("server-chain.pem", pki::pem_certificate(&certificate.chain[1]));
    let at = NOW.0.to_string();
    for name in
        [["-verify_hostname", "api.example.com"], ["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"]]
    {
        let mut arguments = vec!["verify", "-x509_strict", "-purpose", "sslserver", "-attime", &at];
        arguments.extend(["-CAfile", &root, "-untrusted", &chain]);
        arguments.extend(name);
        arguments.push(&leaf);
        let output = openssl(&arguments);
        assert!(output.status.success(), "{}", said(&output));
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider
        .key_provider
        .load_private_key(PrivatePkcs8KeyDer::from(certificate.key_pkcs8().to_vec()).into())
        .unwrap();
    rustls::sign::CertifiedKey::new(certificate.chain.clone(), key).keys_match().unwrap();
}

#[tokio::test]
async fn a_restart_keeps_it_and_other_names_or_age_replace_it() {
    let house = House::new().await;
    let first = open(&house, names()).await.thumbprint.clone();
    let house = house.reopen().await;
    assert_eq!(open(&house, names()).await.thumbprint, first);
    let more = ServerNames { dns: vec!["mtls.example.com".into(), "api.example.com".into()], ..names() };
    let second = open(&house, more.clone()).await.thumbprint.clone();
    assert_ne!(second, first);
    house.clock.advance(Duration::from_secs(59 * 86_400));
    assert_eq!(open(&house, more.clone()).await.thumbprint, second);
    house.clock.advance(Duration::from_secs(2 * 86_400));
    let third = open(&house, more.clone()).await.thumbprint.clone();
    assert_ne!(third, second);
    // A key that cannot be opened is replaced: it is not worth an outage.
    std::fs::write(house.path().join("keys/server.key"), "damaged").unwrap();
    assert_ne!(open(&house, more).await.thumbprint, third);
}

#[tokio::test]
async fn a_renewal_is_heard_and_a_revoked_one_is_not_taken_up() {
    let house = House::new().await;
    let identity = ServerIdentity::open(house.authority.clone(), names()).await.unwrap();
    let mut heard = identity.subscribe();
    let renewed = identity.renew().await.unwrap();
    heard.changed().await.unwrap();
    assert_eq!(heard.borrow().thumbprint, renewed.thumbprint);
    assert_eq!(identity.current().thumbprint, renewed.thumbprint);
    let name = renewed.thumbprint.parse().unwrap();
    house.authority.revoke(Selector::Certificate(name), "key-compromise".parse().unwrap(), &admin()).await.unwrap();
    assert_ne!(open(&house, names()).await.thumbprint, renewed.thumbprint);
    let shown = house.authority.list(&CertificateQuery::default()).await.unwrap();
    assert!(shown.certificates.iter().all(|certificate| certificate.kind == "server" && certificate.client.is_none()));
}

#[tokio::test]
async fn names_that_no_certificate_may_have_are_refused() {
    let house = House::new().await;
    for dns in [vec![], vec!["*.example.com".to_owned()], vec!["API.example.com".to_owned()], vec!["a".repeat(64)]] {
        let names = ServerNames { dns, ips: vec![] };
        let outcome = ServerIdentity::open(house.authority.clone(), names).await;
        assert!(matches!(code(outcome), "invalid_server_name" | "invalid_name"));
    }
}
