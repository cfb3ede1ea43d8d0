//! Authorities of partners: they speak for their own clients, and for nobody else, whatever they sign.

/// Revocation lists of partners.
mod lists;

use std::time::Duration;

use pki::RevocationReason;
use portcullis::authority::{AnchorView, NewAnchor, Selector};
use portcullis::failure::Failure;
use portcullis::registry::Actor;
use portcullis::registry::client::NewClient;
use rcgen::ExtendedKeyUsagePurpose;

use crate::harness::{
    Gateway, Http, Identity, Leaf, ListServer, Partner, PartnerAuthority, Session, SessionOptions, new_certificate,
    tls_config,
};

const ORDERS: &str = "spiffe://acme.example/m2m/orders";

/// A partner's root, the authority below it that issues, and a gateway that trusts them for `acme-orders`.
struct House {
    gateway: Gateway,
    root: PartnerAuthority,
    issuing: PartnerAuthority,
}

impl House {
    async fn new() -> Self {
        let house = Self::bare().await;
        house.import(house.anchor()).await;
        house
    }

    async fn bare() -> Self {
        let root = PartnerAuthority::root("Acme Root");
        let issuing = root.below("Acme Machines", None);
        Self { gateway: Gateway::start().await, root, issuing }
    }

    fn anchor(&self) -> NewAnchor {
        NewAnchor {
            id: "acme-ca".to_owned(),
            partner: "acme".to_owned(),
            certificate_pem: self.root.pem(),
            intermediates_pem: Some(self.issuing.pem()),
            names: vec!["uri:spiffe://acme.example/m2m/".to_owned(), "dns:.m2m.acme.example".to_owned()],
            mappings: vec![
                "uri:spiffe://acme.example/m2m/{name}=acme-{name}".to_owned(),
                "dns:{name}.m2m.acme.example=acme-{name}".to_owned(),
            ],
            crl_pem: Some(self.root.list_pem(1, 0, &[]) + &self.issuing.list_pem(1, 0, &[])),
            ..NewAnchor::default()
        }
    }

    async fn import(&self, anchor: NewAnchor) -> AnchorView {
        self.gateway.authority().import_anchor(anchor, &Actor::local()).await.unwrap()
    }

    async fn refused(&self, anchor: NewAnchor) -> String {
        match self.gateway.authority().import_anchor(anchor, &Actor::local()).await {
            Err(Failure::Refused(refusal)) => refusal.code.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    async fn refresh(&self, lists: String) -> Result<AnchorView, Failure> {
        self.gateway.authority().refresh_anchor("acme-ca", Some(lists.into_bytes()), &Actor::local()).await
    }

    fn leaf(&self, leaf: &Leaf) -> Identity {
        self.issuing.issue(leaf, &[&self.issuing])
    }

    /// What a request with this certificate gets: status, and the inside reason of a refusal. 0: no handshake.
    async fn ask(&self, identity: &Identity) -> (u16, String) {
        ask(&self.gateway, identity).await
    }

    async fn accepts(&self, identity: &Identity) {
        let (status, detail) = self.ask(identity).await;
        assert_eq!(status, 200, "{detail}");
    }

    #[track_caller]
    fn denied(asked: &(u16, String), reason: &str) {
        assert_eq!(asked.0, 401, "{asked:?}");
        assert!(asked.1.contains(reason), "{asked:?} is not about {reason:?}");
    }
}

async fn ask(gateway: &Gateway, identity: &Identity) -> (u16, String) {
    let options = SessionOptions { identity: Some(identity.clone()), ..SessionOptions::default() };
    let Ok(mut session) = Session::open(gateway, "gateway", options).await else { return (0, String::new()) };
    let Ok(answer) = session.send("GET", &gateway.demo.path, &[], "").await else { return (0, String::new()) };
    let decision = gateway.decision(answer.decision_id()).await;
    (answer.status.as_u16(), format!("{} {}", decision.outcome, decision.detail.unwrap_or_default()))
}

#[tokio::test]
async fn a_certificate_of_the_partners_authority_is_its_client() {
    let house = House::new().await;
    let identity = house.leaf(&Leaf::uri(ORDERS));
    for http in Http::BOTH {
        let options = SessionOptions { identity: Some(identity.clone()), http, ..SessionOptions::default() };
        let mut session = house.gateway.session_with(options).await;
        let answer = session.get(&house.gateway.demo.path, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let decision = house.gateway.decision(answer.decision_id()).await;
        assert_eq!(decision.client.as_deref(), Some("acme-orders"));
        assert_eq!(decision.credentials.as_deref(), Some("client-certificate:acme-ca/1001"));
    }
    house.accepts(&house.leaf(&Leaf { dns: vec!["orders.m2m.acme.example".to_owned()], ..Leaf::default() })).await;
    // Without what stands between: it was imported.
    house.accepts(&house.issuing.issue(&Leaf::uri(ORDERS), &[])).await;
    // Our own certificates go on as before.
    house.accepts(&house.gateway.acme().identity).await;
}

#[tokio::test]
async fn nobody_elses_name_is_spoken() {
    let house = House::new().await;
    Partner::create(&house.gateway, "globex", "globex-orders").await;
    let both = |more: &str| Leaf { uris: vec![ORDERS.to_owned(), more.to_owned()], ..Leaf::default() };
    for (leaf, reason) in [
        (Leaf::uri("spiffe://portcullis.test/partner/acme/client/acme-orders"), "may not speak for"),
        (Leaf::uri("spiffe://portcullis.test/partner/globex/client/globex-orders"), "may not speak for"),
        (both("spiffe://portcullis.test/partner/globex/client/globex-orders"), "may not speak for"),
        (both("spiffe://globex.example/m2m/orders"), "may not speak for"),
        (Leaf { dns: vec!["globex.example".to_owned()], ..Leaf::uri(ORDERS) }, "may not speak for"),
        (Leaf { dns: vec!["*.m2m.acme.example".to_owned()], ..Leaf::default() }, "without wildcard"),
        (Leaf::uri("spiffe://acme.example/m2m/../m2m/orders"), "normal form"),
        (both("spiffe://acme.example/m2m/billing"), "both"),
        (Leaf::uri("spiffe://acme.example/m2m/unheard-of"), "has no client"),
        (Leaf { common_name: "acme-orders".to_owned(), ..Leaf::default() }, "none of its names"),
    ] {
        House::denied(&house.ask(&house.leaf(&leaf)).await, reason);
    }
    // A template that makes the id of another partner's client makes nobody.
    let reaching = NewAnchor {
        mappings: vec!["uri:spiffe://acme.example/m2m/{name}={name}".to_owned()],
        replace: true,
        ..house.anchor()
    };
    house.import(reaching).await;
    let other = house.leaf(&Leaf::uri("spiffe://acme.example/m2m/globex-orders"));
    House::denied(&house.ask(&other).await, "has no client");
}

#[tokio::test]
async fn an_authority_in_our_name_makes_none_of_our_certificates() {
    let house = House::new().await;
    let (ours, key_id) = house.gateway.issuing();
    let victim = house.gateway.acme();
    let serial: pki::Serial = victim.serial.parse().unwrap();
    // Below its own root the partner makes an authority with our name and our key identifier, and with it a copy of a
    // certificate of ours: the same serial, the same issuer, the same identity.
    let disguised = house.root.disguised(&ours, &key_id);
    let copy = Leaf {
        claimed_issuer: Some(key_id.clone()),
        claimed_serial: Some(serial.as_bytes().to_vec()),
        ..Leaf::uri("spiffe://portcullis.test/partner/acme/client/acme-orders")
    };
    House::denied(&house.ask(&disguised.issue(&copy, &[&disguised])).await, "may not speak for");
    // The claim alone, in a leaf that is otherwise good: it is the partner's client, by the partner's rules and its lists.
    let claiming = Leaf { uris: vec![ORDERS.to_owned()], ..copy };
    let identity = house.issuing.issue(&claiming, &[&house.issuing]);
    // It names an issuer that did not sign it: no path, and no handshake.
    assert_eq!(house.ask(&identity).await.0, 0);
    // Revoking ours touches theirs no more than the other way round.
    let theirs = house.leaf(&Leaf::uri(ORDERS));
    let selector = Selector::Certificate(victim.serial.parse().unwrap());
    house.gateway.authority().revoke(selector, RevocationReason::Superseded, &Actor::local()).await.unwrap();
    house.accepts(&theirs).await;
    // And such an authority is not even imported.
    for authority in [&disguised, &PartnerAuthority::root("x").disguised(&ours, b"other")] {
        let anchor = NewAnchor {
            id: "second".to_owned(),
            certificate_pem: authority.pem(),
            crl_pem: None,
            intermediates_pem: None,
            ..house.anchor()
        };
        assert_eq!(house.refused(anchor).await, "own_authority");
    }
    let anchor = NewAnchor {
        id: "second".to_owned(),
        certificate_pem: pki::pem_certificate(&ours),
        crl_pem: None,
        intermediates_pem: None,
        ..house.anchor()
    };
    assert_eq!(house.refused(anchor).await, "own_authority");
}

#[tokio::test]
async fn a_partners_certificate_renews_none_of_ours() {
    let house = House::new().await;
    let (ours, key_id) = house.gateway.issuing();
    let victim = Partner::create(&house.gateway, "globex", "globex-orders").await;
    let serial: pki::Serial = victim.serial.parse().unwrap();
    // Good for `acme-orders` in all else, it names our issuer and the serial of a certificate of globex.
    let disguised = house.root.disguised(&ours, &key_id);
    let claims =
        Leaf { claimed_issuer: Some(key_id), claimed_serial: Some(serial.as_bytes().to_vec()), ..Leaf::uri(ORDERS) };
    let identity = disguised.issue(&claims, &[&disguised]);
    let best_effort = NewAnchor { revocation: Some("best-effort".to_owned()), replace: true, ..house.anchor() };
    house.import(best_effort).await;
    house.accepts(&identity).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let options = SessionOptions { identity: Some(identity), ..SessionOptions::default() };
    let mut session = house.gateway.session_with(options).await;
    let path = format!("/v1/certificates/{}/renew", victim.serial);
    let answer = session.send("POST", &path, &[("content-type", "application/x-pem-file")], csr).await.unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    let decision = house.gateway.decision(answer.decision_id()).await;
    assert!(decision.detail.unwrap().contains("was not issued here"));
    // And the certificate of globex has not been seen.
    house.accepts(&house.leaf(&Leaf::uri(ORDERS))).await;
    let rows = house.gateway.authority().list(&portcullis::authority::CertificateQuery::default()).await.unwrap();
    assert_eq!(rows.certificates.iter().filter(|row| row.client.as_deref() == Some("globex-orders")).count(), 1);
}

#[tokio::test]
async fn two_anchors_with_one_serial_are_two() {
    let house = House::new().await;
    Partner::create(&house.gateway, "globex", "globex-orders").await;
    let other = PartnerAuthority::root("Globex Root");
    let anchor = NewAnchor {
        id: "globex-ca".to_owned(),
        partner: "globex".to_owned(),
        certificate_pem: other.pem(),
        intermediates_pem: None,
        names: vec!["uri:spiffe://globex.example/".to_owned()],
        mappings: vec!["uri:spiffe://globex.example/orders=globex-orders".to_owned()],
        crl_pem: Some(other.list_pem(1, 0, &[])),
        ..NewAnchor::default()
    };
    house.import(anchor).await;
    let (ours, theirs) =
        (house.leaf(&Leaf::uri(ORDERS)), other.issue(&Leaf::uri("spiffe://globex.example/orders"), &[]));
    house.accepts(&ours).await;
    house.accepts(&theirs).await;
    house.refresh(house.issuing.list_pem(2, 0, &[0x1001])).await.unwrap();
    House::denied(&house.ask(&ours).await, "credential_revoked");
    house.accepts(&theirs).await;
    // Each speaks for its own alone.
    House::denied(&house.ask(&other.issue(&Leaf::uri(ORDERS), &[])).await, "may not speak for");
    // The list of one says nothing of the other, though it were uploaded there.
    let list = Some(house.root.list(9, 0, &[]));
    assert!(house.gateway.authority().refresh_anchor("globex-ca", list, &Actor::local()).await.is_err());
    // One key is one anchor.
    let twice = NewAnchor {
        id: "third".to_owned(),
        certificate_pem: other.pem(),
        intermediates_pem: None,
        crl_pem: None,
        ..house.anchor()
    };
    assert_eq!(house.refused(twice).await, "anchor_exists");
    let below = NewAnchor {
        id: "third".to_owned(),
        certificate_pem: house.issuing.pem(),
        intermediates_pem: None,
        crl_pem: None,
        ..house.anchor()
    };
    assert_eq!(house.refused(below).await, "anchor_exists");
}

#[tokio::test]
async fn only_a_clients_certificate_within_its_dates_counts() {
    let house = House::new().await;
    let leaf = |purposes: Vec<ExtendedKeyUsagePurpose>| house.leaf(&Leaf { purposes, ..Leaf::uri(ORDERS) });
    assert_eq!(house.ask(&leaf(vec![ExtendedKeyUsagePurpose::ServerAuth])).await.0, 0);
    assert_eq!(house.ask(&leaf(vec![])).await.0, 0);
    house.accepts(&leaf(vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth])).await;
    let stranger = PartnerAuthority::root("Acme Root");
    assert_eq!(house.ask(&stranger.issue(&Leaf::uri(ORDERS), &[&stranger])).await.0, 0);
    // An authority below that was not imported has no list that could be asked.
    let unknown = house.root.below("Acme Shadow", None);
    House::denied(&house.ask(&unknown.issue(&Leaf::uri(ORDERS), &[&unknown])).await, "Acme Shadow is missing");
    // A connection that outlives its certificate.
    let short = house.leaf(&Leaf { days: 0, ..Leaf::uri(ORDERS) });
    assert_eq!(house.ask(&short).await.0, 200, "notAfter is the last second that is valid");
    let options = SessionOptions { identity: Some(short.clone()), ..SessionOptions::default() };
    let mut open = house.gateway.session_with(options).await;
    // In TLS 1.3 the client is done before the server has looked at the certificate; with an answer it has.
    assert_eq!(open.status(&house.gateway.demo.path, &[]).await, 200);
    house.gateway.advance(Duration::from_secs(1));
    assert_eq!(open.status(&house.gateway.demo.path, &[]).await, 401);
    assert_eq!(house.ask(&short).await.0, 0);
}

#[tokio::test]
async fn an_anchor_that_ends_or_goes_takes_its_certificates_along() {
    let house = House::bare().await;
    let short = PartnerAuthority::root_for("Acme Short", 0);
    let anchor = NewAnchor {
        certificate_pem: short.pem(),
        intermediates_pem: None,
        crl_pem: Some(short.list_pem(1, 0, &[])),
        ..house.anchor()
    };
    house.import(anchor).await;
    let leaf = short.issue(&Leaf::uri(ORDERS), &[]);
    let path = house.gateway.demo.path.clone();
    let options = || SessionOptions { identity: Some(leaf.clone()), ..SessionOptions::default() };
    let mut open = house.gateway.session_with(options()).await;
    assert_eq!(open.status(&path, &[]).await, 200);
    house.gateway.advance(Duration::from_secs(1));
    assert_eq!(open.status(&path, &[]).await, 401, "the anchor has expired");
    assert_eq!(house.ask(&leaf).await.0, 0);

    house.import(NewAnchor { replace: true, ..house.anchor() }).await;
    let leaf = house.leaf(&Leaf::uri(ORDERS));
    let mut open =
        house.gateway.session_with(SessionOptions { identity: Some(leaf.clone()), ..SessionOptions::default() }).await;
    assert_eq!(open.status(&path, &[]).await, 200);
    let tls = tls_config(&house.gateway, Some(&leaf), Http::One);
    let shared = || SessionOptions { tls: Some(tls.clone()), ..SessionOptions::default() };
    assert_eq!(house.gateway.session_with(shared()).await.status(&path, &[]).await, 200);
    let closed = house.gateway.authority().remove_anchor("acme-ca", &Actor::local()).await.unwrap();
    assert!(closed >= 1, "{closed}");
    open.closed().await;
    assert_eq!(house.ask(&leaf).await.0, 0);
    if let Ok(mut session) = Session::open(&house.gateway, "gateway", shared()).await {
        assert_ne!(session.status(&path, &[]).await, 200);
    }
    house.accepts(&house.gateway.acme().identity).await;
}

#[tokio::test]
async fn other_rules_are_in_force_on_open_connections() {
    let house = House::new().await;
    let leaf = house.leaf(&Leaf::uri(ORDERS));
    let path = house.gateway.demo.path.clone();
    let mut open =
        house.gateway.session_with(SessionOptions { identity: Some(leaf.clone()), ..SessionOptions::default() }).await;
    assert_eq!(open.status(&path, &[]).await, 200);
    house
        .import(NewAnchor {
            mappings: vec!["uri:spiffe://acme.example/m2m/other=acme-orders".to_owned()],
            replace: true,
            ..house.anchor()
        })
        .await;
    open.closed().await;
    House::denied(&house.ask(&leaf).await, "none of its names");
    assert_eq!(house.refused(house.anchor()).await, "anchor_exists");
}

#[tokio::test]
async fn no_partner_makes_administrators() {
    let house = House::bare().await;
    let scopes =
        vec!["portcullis/admin.write".to_owned(), "portcullis/admin.read".to_owned(), house.gateway.demo.scope.clone()];
    let new = NewClient { id: "acme-admin".to_owned(), partner: "acme".to_owned(), scopes, ..NewClient::default() };
    house.gateway.registry().create_client(&Actor::local(), new).await.unwrap();
    house.import(house.anchor()).await;
    let identity = house.leaf(&Leaf::uri("spiffe://acme.example/m2m/admin"));
    house.accepts(&identity).await;
    // The admin listener does not even shake hands with it.
    let options = SessionOptions { identity: Some(identity), ..SessionOptions::default() };
    match Session::open(&house.gateway, "admin", options).await {
        Err(_) => {}
        Ok(mut session) => assert_eq!(session.status("/v1/clients", &[]).await, 0),
    }
}

#[tokio::test]
async fn a_token_is_bound_to_a_partners_certificate_like_to_ours() {
    let house = House::new().await;
    let acme = house.gateway.acme();
    let identity = house.leaf(&Leaf::uri(ORDERS));
    let options = SessionOptions { identity: Some(identity.clone()), ..SessionOptions::default() };
    let mut session = house.gateway.session_with(options).await;
    let token = acme.token_over(&mut session, "").await;
    let bearer = format!("Bearer {token}");
    let path = &house.gateway.demo.path;
    assert_eq!(session.status(path, &[("authorization", &bearer)]).await, 200);
    assert_eq!(house.gateway.session().await.status(path, &[("authorization", &bearer)]).await, 401);
    // The secret of one client over the certificate of another.
    let globex = Partner::create(&house.gateway, "globex", "globex-orders").await;
    assert_eq!(globex.ask_token(&mut session, "").await.status, 401);
    house.refresh(house.issuing.list_pem(2, 0, &[0x1001])).await.unwrap();
    let own = Identity::issue(&house.gateway, new_certificate("acme-orders")).await;
    let mut other =
        house.gateway.session_with(SessionOptions { identity: Some(own), ..SessionOptions::default() }).await;
    assert_eq!(other.status(path, &[("authorization", &bearer)]).await, 401);
}
