use super::*;
use crate::store::issuer::{IssuerKind, IssuerState};
use crate::store::sighting::{SightingKind, SightingRow};

impl House {
    async fn rotate(&self, order: Rotate) -> Result<Rotation, Failure> {
        self.authority.rotate(order, &admin()).await
    }

    async fn step(&self, kind: IssuerKind) -> Rotation {
        self.rotate(order(kind)).await.unwrap()
    }

    async fn to(&self, kind: IssuerKind, to: IssuerState) -> Result<Rotation, Failure> {
        self.rotate(Rotate { to: Some(to), ..order(kind) }).await
    }

    fn states(&self, kind: &str) -> Vec<&'static str> {
        let of_kind = self.authority.issuers().into_iter().filter(|issuer| issuer.kind == kind);
        let mut states: Vec<_> = of_kind.map(|issuer| issuer.state).collect();
        // Those of one second stand in the order of their ids.
        states.sort_unstable();
        states
    }

    async fn see(&self, issued: &Issued, at: i64) {
        let row = SightingRow {
            kind: SightingKind::Certificate,
            id: format!("{}/{}", issued.certificate.issuer, issued.certificate.id),
            last_seen_at: at,
            source: "203.0.113.7".into(),
            route: None,
            chain: Some(issued.certificate.issuer.clone()),
        };
        let mut tx = self.store.begin().await.unwrap();
        store::sighting::put_all(&mut tx, &[row]).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn anchors(&self) -> (usize, usize) {
        let anchors = self.authority.trust_anchors();
        (anchors.roots.len(), anchors.issuing.len())
    }

    fn verify(&self, roots: &str, issued: &Issued, at: UnixSeconds) -> Output {
        let ca = self.write("roots.pem", roots);
        let leaf = self.write("leaf.pem", &issued.certificate_pem);
        let chain = self.write("chain.pem", &issued.chain_pem);
        let at = at.0.to_string();
        openssl(&[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-attime",
            &at,
            "-CAfile",
            &ca,
            "-untrusted",
            &chain,
            &leaf,
        ])
    }
}

fn order(kind: IssuerKind) -> Rotate {
    Rotate { kind, to: None, dry_run: false, force: false, brought: Brought::default() }
}

fn steps(rotation: &Rotation) -> Vec<&'static str> {
    rotation.steps.iter().map(|step| step.step).collect()
}

#[tokio::test]
async fn an_issuing_authority_is_followed_step_by_step() {
    let house = House::new().await;
    let old = house.issue().await;
    assert_eq!(steps(&house.step(IssuerKind::Issuing).await), ["prepare"]);
    assert_eq!((house.states("issuing"), house.anchors()), (vec!["active", "prepared"], (1, 1)));
    assert_eq!(house.issue().await.certificate.issuer, old.certificate.issuer, "what is prepared issues nothing");

    assert_eq!(steps(&house.step(IssuerKind::Issuing).await), ["trust"]);
    assert_eq!((house.states("issuing"), house.anchors()), (vec!["active", "trusted"], (1, 2)));

    assert_eq!(steps(&house.step(IssuerKind::Issuing).await), ["activate"]);
    assert_eq!((house.states("issuing"), house.anchors()), (vec!["active", "retiring"], (1, 2)));
    let new = house.issue().await;
    assert_ne!(new.certificate.issuer, old.certificate.issuer);
    let subjects: Vec<_> = house.authority.issuers().into_iter().map(|issuer| issuer.subject).collect();
    assert_eq!(subjects.iter().collect::<std::collections::BTreeSet<_>>().len(), subjects.len(), "{subjects:?}");
    for issued in [&old, &new] {
        let done = house.verify(&house.authority.root_pem(), issued, NOW);
        assert!(done.status.success(), "{}", said(&done));
        assert!(house.entry(issued).unwrap().revoked.is_none());
    }
    // The one that retires still tells of what it issued.
    house.revoke(&old, "superseded").await;
    let retiring = house.authority.issuers().into_iter().find(|issuer| issuer.state == "retiring").unwrap();
    assert!(retiring.crl.unwrap().number >= 1 && retiring.signs);
}

#[tokio::test]
async fn the_last_step_names_who_would_break_and_refuses() {
    let house = House::new().await;
    let old = house.issue().await;
    house.see(&old, NOW.0 - 60).await;
    house.to(IssuerKind::Issuing, IssuerState::Active).await.unwrap();
    let dry = house.rotate(Rotate { dry_run: true, ..order(IssuerKind::Issuing) }).await.unwrap();
    assert_eq!((steps(&dry), dry.would_break, dry.old.as_str()), (vec!["remove"], 1, old.certificate.issuer.as_str()));
    let client = &dry.clients[0];
    assert_eq!(
        (client.client.as_str(), client.partner.as_deref(), client.certificates, client.last_seen_at),
        ("acme-orders", Some("acme"), 1, Some(NOW.0 - 60))
    );
    assert_eq!(client.last_seen_from.as_deref(), Some("203.0.113.7"));
    assert_eq!(client.last_seen_chain.as_deref(), Some(old.certificate.issuer.as_str()));
    assert_eq!(dry.overlap_until, Some(old.certificate.not_after));
    assert_eq!(house.states("issuing"), ["active", "retiring"], "a dry run changes nothing");

    match house.rotate(order(IssuerKind::Issuing)).await.unwrap_err() {
        Failure::Refused(refusal) => {
            assert_eq!(refusal.code, "issuer_in_use");
            assert!(refusal.details[0].contains("acme-orders: 1 live"), "{:?}", refusal.details);
        }
        fault => panic!("{fault}"),
    }
    // A replacement in a drawer changes nothing; one that is in use does.
    let new = house.issue().await;
    assert_eq!(code(house.rotate(order(IssuerKind::Issuing)).await), "issuer_in_use");
    house.see(&new, NOW.0).await;
    let dry = house.rotate(Rotate { dry_run: true, ..order(IssuerKind::Issuing) }).await.unwrap();
    assert_eq!((dry.would_break, dry.clients[0].replacement_last_seen_at), (0, Some(NOW.0)));
    assert_eq!(steps(&house.step(IssuerKind::Issuing).await), ["remove"]);
    assert_eq!((house.states("issuing"), house.anchors()), (vec!["active"], (1, 1)));
    assert!(house.entry(&old).unwrap().revoked.is_some(), "nothing of a removed authority is accepted");
    assert!(house.entry(&new).unwrap().revoked.is_none());
    let audit = store::audit_change::list(&house.store, &Default::default()).await.unwrap();
    let actions: Vec<_> = audit.iter().map(|row| row.action.as_str()).collect();
    for action in ["issuer.prepare", "issuer.trust", "issuer.activate", "issuer.remove"] {
        assert!(actions.contains(&action), "{actions:?}");
    }
}

#[tokio::test]
async fn the_overlap_lasts_until_the_longest_leaf_has_ended() {
    let house = House::new().await;
    let old = house.issue().await;
    house.to(IssuerKind::Issuing, IssuerState::Active).await.unwrap();
    let left = old.certificate.not_after - NOW.0;
    house.clock.advance(std::time::Duration::from_secs(left as u64));
    assert_eq!(code(house.to(IssuerKind::Issuing, IssuerState::Removed).await), "issuer_in_use");
    house.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(steps(&house.to(IssuerKind::Issuing, IssuerState::Removed).await.unwrap()), ["remove"]);
}

#[tokio::test]
async fn force_shuts_out_and_says_whom() {
    let house = House::new().await;
    let old = house.issue().await;
    house.to(IssuerKind::Issuing, IssuerState::Active).await.unwrap();
    let done = house.rotate(Rotate { force: true, ..order(IssuerKind::Issuing) }).await.unwrap();
    assert_eq!((steps(&done), done.would_break), (vec!["remove"], 1));
    assert!(house.entry(&old).unwrap().revoked.is_some());
}

#[tokio::test]
async fn old_and_new_roots_reach_old_and_new_leaves() {
    let house = House::new().await;
    let (old_root, old) = (house.authority.root_pem(), house.issue().await);
    house.to(IssuerKind::Root, IssuerState::Trusted).await.unwrap();
    assert_eq!(house.anchors().0, 2);
    let both = house.authority.root_pem();
    let published = house.authority.answer(&http::Method::GET, "/ca.pem", None).into_body().read().await.unwrap();
    assert_eq!(published, both.as_bytes());
    assert!(both.starts_with(&old_root) && both.len() > old_root.len(), "partners get both");
    house.to(IssuerKind::Root, IssuerState::Active).await.unwrap();
    house.to(IssuerKind::Issuing, IssuerState::Active).await.unwrap();
    let new = house.issue().await;
    // Issued under the old root again after it was followed: not possible, so the new leaf is the new root's.
    let new_root = house.authority.root_pem().strip_suffix(&old_root).unwrap().to_owned();
    assert_eq!(
        new.chain_pem.matches("BEGIN CERTIFICATE").count(),
        2,
        "its authority, and the old root's word for the new"
    );
    for (roots, issued, holds) in [
        (&old_root, &old, true),
        (&old_root, &new, true),
        (&new_root, &new, true),
        (&both, &old, true),
        (&both, &new, true),
        // The chain that was handed out before the change knows nothing of the new root.
        (&new_root, &old, false),
    ] {
        let done = house.verify(roots, issued, NOW);
        assert_eq!(done.status.success(), holds, "{}", said(&done));
    }
    // The old root cannot go while something is below it.
    assert_eq!(code(house.to(IssuerKind::Root, IssuerState::Removed).await), "issuers_below");
    assert_eq!(
        code(house.rotate(Rotate { force: true, to: Some(IssuerState::Removed), ..order(IssuerKind::Root) }).await),
        "issuers_below"
    );
}

#[tokio::test]
async fn without_the_roots_key_the_next_generation_waits_for_its_certificate() {
    let house = House::new().await;
    let root_key = house.path().join("keys/root.key");
    let away = house.path().join("root.key");
    std::fs::rename(&root_key, &away).unwrap();
    let asked = house.step(IssuerKind::Issuing).await;
    let again = house.step(IssuerKind::Issuing).await;
    assert_eq!(steps(&asked), ["request"]);
    let request = asked.request_pem.unwrap();
    assert_eq!(again.request_spki_sha256, asked.request_spki_sha256, "asking twice makes one key");
    assert_eq!(house.states("issuing"), ["active"]);
    assert_eq!(code(house.to(IssuerKind::Root, IssuerState::Prepared).await), "root_key_elsewhere");

    // The ceremony, with the key that was taken away.
    let pem = std::fs::read_to_string(&away).unwrap();
    let key = pki::PrivateKey::decrypt(&pem, PASSPHRASE.as_bytes()).unwrap();
    let now = OffsetDateTime::from_unix_timestamp(NOW.0).unwrap();
    let root = pki::Issuer::load(house.authority.root_pem().as_bytes(), key, now).unwrap();
    let asked = pki::VerifiedRequest::parse(request.as_bytes()).unwrap();
    let sign = |kind: pki::ProfileKind, key: &pki::PublicKey| {
        let (profile, serial) = (pki::Profile::builtin(kind), random_serial().unwrap());
        root.certify_authority(&profile, "Next", key, serial, &Default::default(), now).unwrap().pem()
    };
    let bring = |certificate: String| {
        let brought = Brought { certificate: Some(certificate), ..Brought::default() };
        house.rotate(Rotate { brought, ..order(IssuerKind::Issuing) })
    };
    let other = pki::PrivateKey::generate(pki::KeyAlgorithm::EcdsaP256).unwrap();
    assert_eq!(code(bring(sign(pki::ProfileKind::Issuing, other.public_key())).await), "key_not_here");
    assert_eq!(code(bring(sign(pki::ProfileKind::ServerIssuing, asked.public_key())).await), "wrong_authority");
    let done = bring(sign(pki::ProfileKind::Issuing, asked.public_key())).await.unwrap();
    assert_eq!(steps(&done), ["prepare"]);
    house.to(IssuerKind::Issuing, IssuerState::Active).await.unwrap();
    let new = house.issue().await;
    let verified = house.verify(&house.authority.root_pem(), &new, NOW);
    assert!(verified.status.success(), "{}", said(&verified));
    let house = house.reopen().await;
    assert_eq!(house.states("issuing"), ["active", "retiring"]);
    assert!(house.authority.issuers().iter().filter(|issuer| issuer.kind != "root").all(|issuer| issuer.signs));
}

#[tokio::test]
async fn the_gates_own_certificate_follows_its_authority() {
    let house = House::new().await;
    let names = ServerNames { dns: vec!["api.example.com".into()], ips: Vec::new() };
    let identity = ServerIdentity::open(house.authority.clone(), names).await.unwrap();
    let before = identity.current();
    house.to(IssuerKind::ServerIssuing, IssuerState::Active).await.unwrap();
    assert_eq!(code(house.to(IssuerKind::ServerIssuing, IssuerState::Removed).await), "issuers_below");
    identity.follow().await.unwrap();
    let after = identity.current();
    assert_ne!((&before.thumbprint, &before.chain[1]), (&after.thumbprint, &after.chain[1]));
    identity.follow().await.unwrap();
    assert_eq!(identity.current().thumbprint, after.thumbprint, "nothing to do");
    assert_eq!(steps(&house.to(IssuerKind::ServerIssuing, IssuerState::Removed).await.unwrap()), ["remove"]);
}

#[tokio::test]
async fn a_tainted_authority_is_denied_and_issues_nothing() {
    let house = House::new().await;
    let old = house.issue().await;
    let issuer = old.certificate.issuer.clone();
    assert_eq!(code(house.authority.taint("aabb", &admin()).await), "issuer_not_found");
    let capitals = issuer.to_uppercase();
    let colons = capitals.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned());
    let tainted = house.authority.taint(&colons.collect::<Vec<_>>().join(":"), &admin()).await.unwrap();
    assert!(tainted.newly && tainted.id == issuer);
    assert!(!house.authority.taint(&issuer, &admin()).await.unwrap().newly);
    assert_eq!(house.entry(&old).unwrap().revoked.unwrap().reason.as_str(), "ca-compromise");
    let thumbprint = old.certificate.thumbprint.as_ref().unwrap().parse().unwrap();
    assert!(house.snapshot.certificate_revoked(&thumbprint), "tokens that are bound to it end with it");
    assert_eq!(house.anchors(), (1, 0));
    assert_eq!(code(house.authority.issue(certificate_for("acme-orders"), &admin()).await), "issuer_tainted");
    let shown = house.issuing();
    assert_eq!((shown.tainted_at, shown.state), (Some(NOW.0), "active"));

    // The root tells others, and goes on telling.
    for number in [2, 3] {
        house.authority.publish_root(&admin()).await.unwrap();
        let root = house.authority.issuers().into_iter().find(|issuer| issuer.kind == "root").unwrap();
        assert_eq!(root.crl.unwrap().number, number);
        let list = house.authority.crl(&root.id.parse().unwrap()).await.unwrap().unwrap();
        let list = house.write("root.crl", pki::pem_crl(&list));
        let (ca, below) =
            (house.write("ca.pem", &root.certificate_pem), house.write("below.pem", &shown.certificate_pem));
        let at = NOW.0.to_string();
        let judged = openssl(&["verify", "-attime", &at, "-crl_check", "-CRLfile", &list, "-CAfile", &ca, &below]);
        assert!(said(&judged).contains("certificate revoked"), "{}", said(&judged));
    }

    // It holds after a restart, and its successor is not touched by it.
    let house = house.reopen().await;
    assert!(house.snapshot.certificate_revoked(&thumbprint));
    assert!(house.entry(&old).unwrap().revoked.is_some());
    house.to(IssuerKind::Issuing, IssuerState::Active).await.unwrap();
    let new = house.issue().await;
    assert!(house.entry(&new).unwrap().revoked.is_none());
    assert!(house.entry(&old).unwrap().revoked.is_some());
}

#[tokio::test]
async fn with_a_tainted_root_everything_below_it_falls() {
    let house = House::new().await;
    let old = house.issue().await;
    let root = house.authority.issuers().into_iter().find(|issuer| issuer.kind == "root").unwrap();
    house.authority.taint(&root.id, &admin()).await.unwrap();
    assert!(house.entry(&old).unwrap().revoked.is_some());
    assert_eq!(code(house.authority.issue(certificate_for("acme-orders"), &admin()).await), "issuer_tainted");
}
