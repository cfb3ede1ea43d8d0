/// How a node follows the changes.
mod feed;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use policies::UnixSeconds;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::api_key::ApiKeyRow;
use crate::store::certificate::{CertificateKind, Reservation, change_key};
use crate::store::client::ClientRow;
use crate::store::client_secret::ClientSecretRow;
use crate::store::issuer::{IssuerKind, IssuerRow, IssuerState};
use crate::store::partner::PartnerRow;
use crate::store::policy::{PolicyRow, StoredDocument};
use crate::store::revoked_token::RevokedTokenRow;
use crate::store::{ChangeKind, Tx, api_key, certificate, client, client_secret, issuer, partner, policy, revocation};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const ISSUER: &str = "aabbccdd";
const POLICY: &str = r#"
    [[resource_server]]
    identifier = "https://api.example.com/test"
    name = "Mock API"
    scopes = [{ name = "read", description = "Read" }]

    [[network]]
    name = "offices"
    cidrs = ["203.0.113.0/24"]

    [[network]]
    name = "lab"
    cidrs = ["198.51.100.0/24"]
"#;

struct Fixture {
    _folder: TempDir,
    store: Store,
    clock: Clock,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        apply(&mut tx, 1, POLICY).await;
        partner::insert(&mut tx, &acme(), NOW).await.unwrap();
        for id in ["acme-orders", "acme-stock"] {
            client::insert(&mut tx, &machine(id), NOW).await.unwrap();
        }
        let row = IssuerRow {
            key_id: ISSUER.into(),
            kind: IssuerKind::Issuing,
            state: IssuerState::Active,
            state_since: 0,
            tainted_at: None,
            subject: "CN=Issuing".into(),
            certificate: vec![1],
            key_location: None,
            crl_partitions: 1,
            not_after: NOW.0 + 1000,
            crl_number: 0,
            created_at: NOW.0,
        };
        issuer::insert(&mut tx, &row, NOW).await.unwrap();
        tx.commit().await.unwrap();
        Self { _folder: folder, store, clock: Clock::manual(NOW) }
    }

    async fn load(&self) -> Arc<Snapshot> {
        Snapshot::load(&self.store, &self.clock).await.unwrap()
    }

    async fn begin(&self) -> Tx {
        self.store.begin().await.unwrap()
    }
}

async fn apply(tx: &mut Tx, version: i64, text: &str) {
    let row = PolicyRow {
        version,
        documents: vec![StoredDocument { name: "policy.toml".into(), text: text.into() }],
        comment: None,
        applied_by: "local".into(),
        applied_at: NOW.0,
        restored: None,
    };
    policy::insert(tx, &row, NOW).await.unwrap();
}

fn acme() -> PartnerRow {
    PartnerRow {
        id: "acme".into(),
        name: "Acme".into(),
        contact: None,
        enabled: true,
        managed_by: None,
        withdrawn_by: None,
        networks: vec![],
        usage_plan: None,
        created_at: NOW.0,
    }
}

fn machine(id: &str) -> ClientRow {
    ClientRow {
        id: id.into(),
        partner_id: "acme".into(),
        description: None,
        enabled: true,
        managed_by: None,
        withdrawn_by: None,
        scopes: vec!["https://api.example.com/test/read".into()],
        networks: vec!["offices".into()],
        usage_plan: None,
        tokens_not_before: None,
        created_at: NOW.0,
    }
}

fn key_row(id: &str) -> ApiKeyRow {
    ApiKeyRow {
        hash_algorithm: api_key::KeyHash::Hmac,
        import_id: None,
        id: id.into(),
        client_id: "acme-orders".into(),
        name: None,
        prefix: format!("pc_test_{id}"),
        last4: "abcd".into(),
        hmac: vec![7; 32],
        scopes: None,
        networks: None,
        created_at: NOW.0,
        expires_at: None,
        revoked_at: None,
        revocation_reason: None,
        replaced_by: None,
    }
}

async fn reserve(tx: &mut Tx, serial: &str) {
    let reservation = Reservation {
        issuer_key_id: ISSUER.into(),
        serial: serial.into(),
        client_id: Some("acme-orders".into()),
        kind: CertificateKind::Client,
        subject: "CN=acme-orders".into(),
        spki_fingerprint: "ff".into(),
        not_before: NOW,
        not_after: NOW.plus(1000),
        scopes: None,
        networks: Some(vec!["lab".into()]),
        profile: "client".to_owned(),
        key_algorithm: "ecdsa-p256".to_owned(),
        crl_partition: 0,
        replaces: None,
        enrollment_id: None,
        tbs: b"tbs".to_vec(),
    };
    certificate::insert_reserved(tx, &reservation, NOW).await.unwrap();
}

async fn issue(tx: &mut Tx, serial: &str) {
    reserve(tx, serial).await;
    let thumbprint = Thumbprint::of(serial.as_bytes()).to_string();
    assert!(certificate::mark_issued(tx, ISSUER, serial, b"tbs", b"der", &thumbprint, NOW).await.unwrap());
}

fn certificate_of(snapshot: &Snapshot, serial: &str) -> Option<Arc<CertificateEntry>> {
    snapshot.certificate(&ISSUER.parse().unwrap(), &serial.parse().unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_empty_database_denies_everything() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
    let snapshot = Snapshot::load(&store, &Clock::manual(NOW)).await.unwrap();
    assert_eq!((snapshot.policy().version, snapshot.seq()), (0, Seq(0)));
    assert!(snapshot.policy().client("acme-orders").is_none());
    assert!(snapshot.client_secrets("acme-orders").is_empty());
    assert!(!snapshot.policy().allowlist(&["offices".into()]).contains(ip("203.0.113.5")));
}

#[tokio::test]
async fn a_load_and_a_catch_up_see_the_same() {
    let fixture = Fixture::new().await;
    let followed = fixture.load().await;
    let mut tx = fixture.begin().await;
    issue(&mut tx, "51").await;
    api_key::insert(&mut tx, &key_row("k1"), NOW).await.unwrap();
    let secret = ClientSecretRow {
        networks: None,
        id: "s1".into(),
        client_id: "acme-orders".into(),
        name: None,
        last4: "wxyz".into(),
        hmac: vec![9; 32],
        created_at: NOW.0,
        expires_at: Some(NOW.0 + 5),
        revoked_at: None,
        revocation_reason: None,
    };
    client_secret::insert(&mut tx, &secret, NOW).await.unwrap();
    let token =
        RevokedTokenRow { jti: "t1".into(), client_id: "acme-orders".into(), expires_at: NOW.0, revoked_at: NOW.0 };
    store::revoked_token::insert(&mut tx, &token, NOW).await.unwrap();
    tx.commit().await.unwrap();

    assert!(followed.api_key("k1").is_none());
    let applied = followed.catch_up(&fixture.store).await.unwrap();
    assert_eq!(applied, Applied { seq: fixture.store.newest_change().await.unwrap(), connections_closed: 0 });
    for snapshot in [followed, fixture.load().await] {
        assert_eq!(snapshot.seq(), applied.seq);
        assert_eq!(snapshot.api_key("k1").unwrap().hmac, [7; 32]);
        let secrets = snapshot.client_secrets("acme-orders");
        assert_eq!((secrets.len(), secrets[0].expires_at), (1, Some(NOW.plus(5))));
        assert!(snapshot.token_revoked("t1") && !snapshot.token_revoked("t2"));
        let entry = certificate_of(&snapshot, "51").unwrap();
        assert_eq!(
            (entry.client.as_str(), entry.state, entry.revoked),
            ("acme-orders", CertificateState::Issued, None)
        );
        assert_eq!(entry.thumbprint, Some(Thumbprint::of(b"51")));
        assert_eq!(entry.narrowing.networks.as_deref(), Some(&["lab".to_owned()][..]));
        assert!(entry.narrowing.scopes.is_none());
        assert!(certificate_of(&snapshot, "52").is_none());
        let client = snapshot.policy().client("acme-orders").unwrap();
        assert!(client.client.enabled && client.client.networks.contains(ip("203.0.113.5")));
        assert!(!client.client.networks.contains(ip("198.51.100.5")));
    }

    let mut tx = fixture.begin().await;
    store::revoked_token::prune(&mut tx, NOW.plus(61)).await.unwrap();
    tx.commit().await.unwrap();
    let snapshot = fixture.load().await;
    assert!(!snapshot.token_revoked("t1"));
}

#[tokio::test]
async fn a_revocation_closes_the_live_connections_of_its_certificate_only() {
    let fixture = Fixture::new().await;
    let mut tx = fixture.begin().await;
    issue(&mut tx, "51").await;
    issue(&mut tx, "52").await;
    tx.commit().await.unwrap();
    let snapshot = fixture.load().await;
    let issuer = ISSUER.parse().unwrap();
    let tokens: Vec<CancellationToken> = (0..3).map(|_| CancellationToken::new()).collect();
    let first = snapshot.connections().register(&issuer, &"51".parse().unwrap(), tokens[0].clone());
    let second = snapshot.connections().register(&issuer, &"51".parse().unwrap(), tokens[1].clone());
    let _other = snapshot.connections().register(&issuer, &"52".parse().unwrap(), tokens[2].clone());
    assert_eq!(snapshot.connections().count(), 3);
    drop(first);
    assert_eq!(snapshot.connections().count(), 2);

    let mut tx = fixture.begin().await;
    revocation::insert(&mut tx, ISSUER, "51", "key-compromise", NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(snapshot.catch_up(&fixture.store).await.unwrap().connections_closed, 1);
    assert_eq!(tokens.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>(), [false, true, false]);
    let fact = certificate_of(&snapshot, "51").unwrap().revoked.unwrap();
    assert_eq!(fact, RevocationFact { at: NOW, reason: pki::RevocationReason::KeyCompromise });
    drop(second);
    assert_eq!(snapshot.connections().count(), 1);
    assert_eq!(snapshot.catch_up(&fixture.store).await.unwrap().connections_closed, 0);
}

#[tokio::test]
async fn what_was_reserved_and_never_issued_counts_as_revoked() {
    let fixture = Fixture::new().await;
    let mut tx = fixture.begin().await;
    reserve(&mut tx, "61").await;
    tx.commit().await.unwrap();
    let snapshot = fixture.load().await;
    let entry = certificate_of(&snapshot, "61").unwrap();
    assert_eq!((entry.state, entry.thumbprint, entry.revoked.is_some()), (CertificateState::Reserved, None, true));

    let mut tx = fixture.begin().await;
    certificate::orphan_reserved(&mut tx, NOW).await.unwrap();
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    let entry = certificate_of(&snapshot, "61").unwrap();
    assert_eq!((entry.state, entry.revoked.is_some()), (CertificateState::Orphaned, true));
}

#[tokio::test]
async fn a_partner_takes_all_its_clients_with_it() {
    let fixture = Fixture::new().await;
    let snapshot = fixture.load().await;
    let enabled = |snapshot: &Snapshot| {
        ["acme-orders", "acme-stock"].map(|id| snapshot.policy().client(id).unwrap().client.enabled)
    };
    assert_eq!(enabled(&snapshot), [true, true]);
    let mut tx = fixture.begin().await;
    partner::update(&mut tx, &PartnerRow { enabled: false, ..acme() }, NOW).await.unwrap();
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    assert_eq!(enabled(&snapshot), [false, false]);
    // A client that is written while its partner is off stays off.
    let mut tx = fixture.begin().await;
    client::update(&mut tx, &machine("acme-orders"), NOW).await.unwrap();
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    assert_eq!(enabled(&snapshot), [false, false]);
    let mut tx = fixture.begin().await;
    partner::update(&mut tx, &acme(), NOW).await.unwrap();
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    assert_eq!(enabled(&snapshot), [true, true]);
}

#[tokio::test]
async fn a_client_with_an_unknown_network_is_closed_and_not_open_to_the_world() {
    let fixture = Fixture::new().await;
    let mut tx = fixture.begin().await;
    let row = ClientRow { networks: vec!["offices".into(), "gone".into()], ..machine("acme-orders") };
    client::update(&mut tx, &row, NOW).await.unwrap();
    let row = ClientRow { networks: vec!["offices".into(), "192.0.2.0/24".into()], ..machine("acme-stock") };
    client::update(&mut tx, &row, NOW).await.unwrap();
    tx.commit().await.unwrap();
    let snapshot = fixture.load().await;
    let entry = snapshot.policy().client("acme-orders").unwrap();
    assert!(!entry.client.enabled);
    assert!(!entry.client.networks.contains(ip("203.0.113.5")) && !entry.client.networks.contains(ip("8.8.8.8")));
    assert!(entry.client.scopes.is_empty());
    let entry = snapshot.policy().client("acme-stock").unwrap();
    assert!(entry.client.enabled);
    assert!(entry.client.networks.contains(ip("192.0.2.7")) && !entry.client.networks.contains(ip("8.8.8.8")));
}

#[tokio::test]
async fn an_allowlist_of_unknown_names_or_none_is_nowhere() {
    let fixture = Fixture::new().await;
    let view = fixture.load().await.policy();
    let allows = |names: &[&str], source| {
        view.allowlist(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).contains(ip(source))
    };
    assert!(allows(&["offices"], "203.0.113.5"));
    assert!(allows(&["offices", "2001:db8::/48"], "2001:db8::1"));
    assert!(allows(&["192.0.2.1"], "192.0.2.1") && !allows(&["192.0.2.1"], "192.0.2.2"));
    assert!(!allows(&["offices", "gone"], "203.0.113.5"));
    assert!(!allows(&[], "203.0.113.5"));
}

#[tokio::test]
async fn policy_and_clients_swap_together() {
    let fixture = Fixture::new().await;
    let snapshot = fixture.load().await;
    let old = snapshot.policy();
    let mut tx = fixture.begin().await;
    apply(&mut tx, 2, &POLICY.replace("203.0.113.0/24", "192.0.2.0/24")).await;
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    let new = snapshot.policy();
    assert_eq!((old.version, new.version), (1, 2));
    let reaches = |view: &PolicyView, source| view.client("acme-orders").unwrap().client.networks.contains(ip(source));
    // A request that began under the old version ends under it.
    assert!(reaches(&old, "203.0.113.5") && !reaches(&old, "192.0.2.5"));
    assert!(!reaches(&new, "203.0.113.5") && reaches(&new, "192.0.2.5"));
}
