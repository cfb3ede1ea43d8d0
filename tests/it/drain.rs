//! Going away politely, coming back as the same, and new certificates without either.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use tokio::net::TcpStream;

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{
    Gateway, GatewayOptions, Http, Method, Partner, SessionOptions, Upstream, borrowed, connect_tls,
    tls_config_trusting,
};

async fn with_upstream(upstream: &Upstream) -> GatewayOptions {
    let action = format!("{{ proxy = {{ upstream = \"{}\", timeout_seconds = 60 }} }}", upstream.url());
    let proxied = route("\"GET\", \"POST\"", "/up/{*rest}", &action);
    GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &proxied]))
}

#[tokio::test]
async fn open_requests_finish_idle_connections_end_and_new_ones_are_refused() {
    for http in Http::BOTH {
        let upstream = Upstream::start().await;
        let gateway = Gateway::start_with(with_upstream(&upstream).await).await;
        let acme = gateway.acme();
        let address = gateway.address("gateway");
        let mut open = Vec::new();
        let mut idle = Vec::new();
        for method in Method::ALL {
            let (mut session, headers) = acme.prepare(&gateway, method, http).await;
            open.push(tokio::spawn(async move {
                session.send("POST", "/up/hold", &borrowed(&headers), "finished").await.unwrap()
            }));
            upstream.holds().await;
            let (mut session, headers) = acme.prepare(&gateway, method, http).await;
            assert_eq!(session.get(&acme.path, &borrowed(&headers)).await.status, 200);
            idle.push(session);
        }
        let restarting = tokio::spawn(gateway.restart());
        for session in &mut idle {
            session.closed().await;
        }
        assert!(TcpStream::connect(address).await.is_err(), "{http:?}: the socket is closed");
        assert!(!restarting.is_finished(), "{http:?}: three requests are open");
        for _ in 0..open.len() {
            upstream.release();
        }
        let gateway = restarting.await.unwrap();
        for request in open {
            let answer = request.await.unwrap();
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"finished"[..]), "{http:?}");
            // What was decided last is on record all the same.
            assert_eq!(gateway.decision(answer.decision_id()).await.outcome, "allowed", "{http:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_does_not_end_holds_the_drain_up_no_longer_than_agreed() {
    let upstream = Upstream::start().await;
    let options = with_upstream(&upstream).await;
    let gateway =
        Gateway::start_with(options.configure(|config| config.limits.drain_timeout = Duration::from_secs(1))).await;
    let acme = gateway.acme();
    let (mut session, headers) = acme.prepare(&gateway, Method::ApiKey, Http::Two).await;
    let open = tokio::spawn(async move { session.status("/up/hold", &borrowed(&headers)).await });
    upstream.holds().await;
    let started = Instant::now();
    gateway.app.drain().await;
    assert!((1..10).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    open.abort();
}

#[tokio::test]
async fn a_restarted_gate_knows_the_same_credentials() {
    let options =
        GatewayOptions::default().configure(|config| config.oauth.issuer = Some("https://gate.test".to_owned()));
    let mut gateway = Gateway::start_with(options).await;
    let partner = Partner::create(&gateway, "globex", "globex-orders").await;
    let mut tokens = Vec::new();
    for partner in [&gateway.acme(), &partner] {
        tokens.push((partner.clone(), partner.token(&gateway).await));
    }
    for _ in 0..2 {
        gateway = gateway.restart().await;
        for (partner, token) in &tokens {
            for method in Method::ALL {
                let answer = partner.call(&gateway, method, &partner.path).await;
                assert_eq!(answer.status, 200, "{method:?} {answer:?}");
            }
            let bearer = format!("Bearer {token}");
            let answer = gateway.session().await.get(&partner.path, &[("authorization", &bearer)]).await;
            assert_eq!(answer.status, 200, "a token of before the restart: {answer:?}");
        }
        assert_eq!(gateway.admin().await.get("/v1/status", &[]).await.status, 200);
    }
}

struct ServerFiles {
    certificate: PathBuf,
    key: PathBuf,
}

impl ServerFiles {
    fn of(data: &Path) -> Self {
        Self { certificate: data.join("tls.crt"), key: data.join("tls.key") }
    }

    /// Writes a new self-signed certificate and returns its DER.
    fn renew(&self) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(&self.certificate, certificate.pem()).unwrap();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
        certificate.der().to_vec()
    }
}

#[tokio::test]
async fn a_certificate_that_changes_on_disk_is_shown_to_new_connections_and_drops_no_old_one() {
    let options = GatewayOptions::default().configure(|config| {
        let files = ServerFiles::of(&config.data);
        files.renew();
        let gateway = config.listeners.iter_mut().find(|listener| listener.name == "gateway").unwrap();
        gateway.certificate = Some(files.certificate);
        gateway.key = Some(files.key);
    });
    let gateway = Gateway::start_with(options).await;
    let acme = gateway.acme();
    let files = ServerFiles::of(gateway.data());
    let key = [("x-api-key", acme.api_key.as_str())];
    for http in Http::BOTH {
        let first = files.renew();
        gateway.app.reload_tls().await.unwrap();
        let second_to_come = KeyPair::generate().unwrap();
        let trusting = |certificates: &[&Vec<u8>]| {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate.as_slice().into()).unwrap();
            }
            tls_config_trusting(&gateway, roots, Some(&acme.identity), http)
        };
        let config = trusting(&[&first]);
        let options = || SessionOptions { tls: Some(Arc::clone(&config)), ..SessionOptions::default() };
        let mut old = gateway.session_with(options()).await;
        assert_eq!(old.server_chain, std::slice::from_ref(&first));
        assert_eq!(old.get(&acme.path, &[]).await.status, 200);
        assert!(gateway.session_with(options()).await.resumed);

        // Half of a change is refused whole: the key does not fit, and what is in force stays.
        std::fs::write(&files.key, second_to_come.serialize_pem()).unwrap();
        assert!(gateway.app.reload_tls().await.is_err());
        std::fs::write(&files.certificate, "no certificate").unwrap();
        assert!(gateway.app.reload_tls().await.is_err());
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(gateway.app.reload_tls().await.is_err());
        assert_eq!(gateway.session_with(options()).await.get(&acme.path, &key).await.status, 200);

        let second = files.renew();
        gateway.app.reload_tls().await.unwrap();
        let config = trusting(&[&second]);
        let fresh = SessionOptions { tls: Some(config), ..SessionOptions::default() };
        let mut new = gateway.session_with(fresh).await;
        assert_eq!(new.server_chain, std::slice::from_ref(&second));
        assert_eq!(new.get(&acme.path, &[]).await.status, 200);
        assert_eq!(old.get(&acme.path, &[]).await.status, 200, "{http:?}: the old connection goes on");
        assert!(old.is_open());
        // A ticket of before is of no use: whoever trusts the old certificate only does not get in by it.
        assert!(connect_tls(&gateway, "gateway", &options()).await.is_err(), "{http:?}");
        // The other listeners have their own certificate still.
        assert_eq!(gateway.admin().await.get("/livez", &[]).await.status, 200);
    }
}
