//! One generation of an authority follows another while clients go on, and a tainted one is denied on the spot.

use portcullis::authority::{Brought, Rotate, Rotation};
use portcullis::registry::Actor;
use portcullis::store::issuer::{IssuerKind, IssuerState};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::harness::{
    Gateway, GatewayOptions, Hints, Http, Identity, Session, SessionOptions, connect_tls, new_certificate,
    tls_config_trusting,
};

async fn rotate(gateway: &Gateway, kind: IssuerKind, to: IssuerState, force: bool) -> Rotation {
    let order = Rotate { kind, to: Some(to), dry_run: false, force, brought: Brought::default() };
    gateway.authority().rotate(order, &Actor::local()).await.unwrap()
}

fn with(identity: &Identity, http: Http) -> SessionOptions {
    SessionOptions { identity: Some(identity.clone()), http, ..SessionOptions::default() }
}

/// Waits until the listeners' configuration has followed the authorities: the next handshake shows it.
async fn until(gateway: &Gateway, what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what}: {:?}", gateway.authority().issuers());
}

/// The names in the server's CertificateRequest, as this client saw them: DER.
async fn hints(gateway: &Gateway) -> Vec<Vec<u8>> {
    let seen = Hints::default();
    let options = SessionOptions { tls: Some(seen.config(gateway)), ..SessionOptions::default() };
    drop(connect_tls(gateway, "gateway", &options).await.unwrap());
    seen.names()
}

#[tokio::test]
async fn a_listener_can_ask_for_certificates_without_saying_whose() {
    let options = GatewayOptions::default().configure(|config| {
        for listener in &mut config.listeners {
            listener.certificate_hints = false;
        }
    });
    let gateway = Gateway::start_with(options).await;
    assert!(hints(&gateway).await.is_empty());
    let acme = gateway.acme();
    let mut session = gateway.session_with(with(&acme.identity, Http::Two)).await;
    assert_eq!(session.status(&acme.path, &[]).await, 200);
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

#[tokio::test]
async fn old_and_new_chains_are_let_in_while_both_are_trusted() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let old = Identity::issue(&gateway, new_certificate(&acme.client_id)).await;
    let mut kept = gateway.session_with(with(&old, Http::Two)).await;
    assert_eq!(kept.status(&acme.path, &[]).await, 200);
    let before = hints(&gateway).await;

    rotate(&gateway, IssuerKind::Issuing, IssuerState::Trusted, false).await;
    until(&gateway, "both names in the hints", async || hints(&gateway).await.len() == before.len() + 1).await;
    let both = hints(&gateway).await;
    assert!(before.iter().all(|name| both.contains(name)), "the old name stays");

    rotate(&gateway, IssuerKind::Issuing, IssuerState::Active, false).await;
    let new = Identity::issue(&gateway, new_certificate(&acme.client_id)).await;
    assert_ne!(old.chain[1], new.chain[1]);
    for http in Http::BOTH {
        for identity in [&old, &new] {
            // The whole chain, and the leaf alone as many clients send it.
            for chain in [identity.chain.clone(), identity.chain[..1].to_vec()] {
                let identity = Identity { chain, ..identity.clone() };
                let mut session = gateway.session_with(with(&identity, http)).await;
                assert_eq!(session.status(&acme.path, &[]).await, 200);
            }
        }
    }
    assert_eq!(kept.status(&acme.path, &[]).await, 200, "a connection outlives the change");
    assert_eq!(hints(&gateway).await, both);

    // Whoever was last seen with the new chain goes on without the old one.
    gateway.clock.advance(std::time::Duration::from_secs(5));
    let mut session = gateway.session_with(with(&new, Http::One)).await;
    assert_eq!(session.status(&acme.path, &[]).await, 200);
    gateway.app.sightings.flush().await.unwrap();
    let dry = Rotate { kind: IssuerKind::Issuing, to: None, dry_run: true, force: false, brought: Brought::default() };
    let dry = gateway.authority().rotate(dry, &Actor::local()).await.unwrap();
    let moved = dry.clients.iter().find(|client| client.client == acme.client_id).unwrap();
    assert!(!moved.would_break && moved.replacement_last_seen_at == Some(gateway.clock.now().0), "{moved:?}");
    let chain = pki::CaCertificate::parse(&old.chain[1]).unwrap().key_id.map(|id| id.to_string());
    assert_eq!((&moved.last_seen_chain, moved.last_seen_from.as_deref()), (&chain, Some("127.0.0.1")), "{moved:?}");
    assert!(dry.clients[0].would_break, "the administrator has the old one alone: {dry:?}");

    // Forced: the old one goes although it is in use.
    let removed = rotate(&gateway, IssuerKind::Issuing, IssuerState::Removed, true).await;
    assert!(removed.would_break >= 1 && removed.connections_closed >= 1, "{removed:?}");
    assert!(matches!(kept.status(&acme.path, &[]).await, 0 | 401), "its connection is closed");
    refused(&gateway, &old).await;
    let mut session = gateway.session_with(with(&new, Http::Two)).await;
    assert_eq!(session.status(&acme.path, &[]).await, 200);
    until(&gateway, "the old name is gone", async || hints(&gateway).await.len() == before.len()).await;
    let gateway = gateway.restart().await;
    refused(&gateway, &old).await;
    let mut session = gateway.session_with(with(&new, Http::One)).await;
    assert_eq!(session.status(&acme.path, &[]).await, 200);
}

/// In the handshake or with 401: never served.
async fn refused(gateway: &Gateway, identity: &Identity) {
    for http in Http::BOTH {
        if let Ok(mut session) = Session::open(gateway, "gateway", with(identity, http)).await {
            let status = session.status(&gateway.acme().path, &[]).await;
            assert!(matches!(status, 0 | 401), "{status}");
        }
    }
}

#[tokio::test]
async fn the_gate_is_recognised_by_either_root() {
    let gateway = Gateway::start().await;
    let old_root = gateway.authority().root_pem();
    rotate(&gateway, IssuerKind::Root, IssuerState::Active, false).await;
    rotate(&gateway, IssuerKind::ServerIssuing, IssuerState::Active, false).await;
    let both = gateway.authority().root_pem();
    let new_root = both.strip_suffix(&old_root).unwrap().to_owned();
    let reaches = async |pem: &str| {
        let tls = tls_config_trusting(&gateway, roots(pem), None, Http::One);
        connect_tls(&gateway, "gateway", &SessionOptions { tls: Some(tls), ..SessionOptions::default() }).await.is_ok()
    };
    until(&gateway, "the new root's chain is shown", async || reaches(&new_root).await).await;
    assert!(reaches(&old_root).await, "who has only the old root goes on, by what it says of the new one");
    assert!(reaches(&both).await);
    until(&gateway, "ca.pem follows", async || {
        std::fs::read(gateway.data().join("ca.pem")).unwrap() == both.as_bytes()
    })
    .await;
}

#[tokio::test]
async fn a_tainted_authority_is_denied_on_open_connections_at_once() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let old = Identity::issue(&gateway, new_certificate(&acme.client_id)).await;
    let issuer = pki::ClientCertificate::parse(&old.chain[0]).unwrap().issuer_key_id.unwrap().to_string();
    rotate(&gateway, IssuerKind::Issuing, IssuerState::Active, false).await;
    let new = Identity::issue(&gateway, new_certificate(&acme.client_id)).await;
    for http in Http::BOTH {
        let mut bystander = gateway.session_with(with(&new, http)).await;
        let mut open = gateway.session_with(with(&old, http)).await;
        // The first round taints; in the second the handshake or the first request is refused already.
        let first = open.status(&acme.path, &[]).await;
        let tainted = gateway.authority().taint(&issuer, &Actor::local()).await.unwrap();
        assert_eq!(tainted.newly, first == 200, "{tainted:?}");
        assert_eq!(tainted.newly, tainted.connections_closed > 0, "{tainted:?}");
        let status = open.status(&acme.path, &[]).await;
        assert!(matches!(status, 0 | 401), "{status}");
        assert_eq!(bystander.status(&acme.path, &[]).await, 200);
        refused(&gateway, &old).await;
    }
    let shown = gateway.authority().issuers().into_iter().find(|shown| shown.id == issuer).unwrap();
    assert!(shown.tainted_at.is_some());
}
