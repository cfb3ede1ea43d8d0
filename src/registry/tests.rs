use std::time::Duration;

use policies::{Document, UnixSeconds};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::client::NewClient;
use super::client_secret::{self, NewClientSecret};
use super::partner::NewPartner;
use super::*;
use crate::failure::{Refusal, RefusalKind};
use crate::store::audit_change::{self, AuditChangeFilter};
use crate::store::{Page, client::ClientFilter};

pub(super) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
pub(super) const READ: &str = "https://api.example.com/test/read";
pub(super) const WRITE: &str = "https://api.example.com/test/write";
pub(super) const POLICY: &str = r#"
[[resource_server]]
identifier = "https://api.example.com/test"
name = "Mock API"
scopes = [{ name = "read", description = "Read" }, { name = "write", description = "Write" }]

[[network]]
name = "offices"
cidrs = ["203.0.113.0/24"]

[[network]]
name = "lab"
cidrs = ["198.51.100.0/24"]

[[usage_plan]]
name = "standard"
throttle = { rate = 50, burst = 100 }
"#;

/// A registry with [`POLICY`] in force, partner `acme` and its client `acme-orders`, on a clock that stands still.
pub(super) struct Fixture {
    _folder: TempDir,
    pub(super) registry: Registry,
    pub(super) actor: Actor,
}

impl Fixture {
    pub(super) async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
        let clock = Clock::manual(NOW);
        let snapshot = Snapshot::load(&store, &clock).await.unwrap();
        let pepper = Arc::new(Pepper::load_or_create(&folder.path().join("pepper")).unwrap());
        let registry =
            Registry { store, snapshot, clock, pepper, environment: "test".into(), keys: KeyRules::default() };
        Self { _folder: folder, registry, actor: Actor { name: "ops".into(), source: Some([192, 0, 2, 1].into()) } }
    }

    pub(super) async fn new() -> Self {
        let fixture = Self::empty().await;
        fixture.registry.apply_policy(&fixture.actor, documents(POLICY), None, Some(0)).await.unwrap();
        fixture.registry.create_partner(&fixture.actor, NewPartner::named("acme", "Acme")).await.unwrap();
        fixture.registry.create_client(&fixture.actor, machine("acme-orders")).await.unwrap();
        fixture
    }

    pub(super) fn enabled(&self, client: &str) -> bool {
        self.registry.snapshot.policy().client(client).is_some_and(|entry| entry.client.enabled)
    }

    pub(super) async fn actions(&self) -> Vec<String> {
        let rows = audit_change::list(&self.registry.store, &AuditChangeFilter::default()).await.unwrap();
        rows.into_iter().map(|row| row.action).collect()
    }

    pub(super) fn wait(&self, seconds: u64) {
        assert!(self.registry.clock.advance(Duration::from_secs(seconds)));
    }
}

pub(super) fn documents(text: &str) -> Vec<Document> {
    vec![Document::new("policy.toml", text)]
}

pub(super) fn machine(id: &str) -> NewClient {
    NewClient {
        id: id.into(),
        partner: "acme".into(),
        description: None,
        scopes: vec![READ.into()],
        networks: vec!["offices".into()],
        usage_plan: Some("standard".into()),
    }
}

/// The refusal that this must have ended with.
#[track_caller]
pub(super) fn refusal<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> Refusal {
    match outcome {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_client_is_in_force_when_its_creation_returns() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let entry = registry.snapshot.policy().client("acme-orders").unwrap();
    assert!(entry.client.enabled && entry.client.usage_plan.is_some());
    assert_eq!(entry.client.scopes.to_string(), READ);

    let view = registry.set_client_enabled(actor, "acme-orders", false).await.unwrap();
    assert!(!view.enabled && view.disabled_by_operator);
    assert!(!fixture.enabled("acme-orders"));
    let not_before = registry.snapshot.policy().client("acme-orders").unwrap().tokens_not_before;
    assert_eq!(not_before, Some(NOW.plus(1)));
    registry.set_client_enabled(actor, "acme-orders", true).await.unwrap();
    assert!(fixture.enabled("acme-orders"));

    let view = registry.set_partner_enabled(actor, "acme", false).await.unwrap();
    assert!(!view.enabled);
    assert!(!fixture.enabled("acme-orders"));
    let view = registry.client("acme-orders").await.unwrap();
    assert!(!view.enabled && view.partner_disabled && !view.disabled_by_operator);
    registry.set_partner_enabled(actor, "acme", true).await.unwrap();
    assert!(fixture.enabled("acme-orders"));
    assert_eq!(registry.clients(&ClientFilter::default()).await.unwrap().len(), 1);
    assert_eq!(registry.partners(Page::default()).await.unwrap().len(), 1);

    let mut actions = fixture.actions().await;
    actions.sort();
    let expected = [
        "client.create",
        "client.disable",
        "client.enable",
        "partner.create",
        "partner.disable",
        "partner.enable",
        "policy.apply",
    ];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn nothing_is_written_when_a_creation_is_refused() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let before = registry.store.newest_change().await.unwrap();
    let audited = fixture.actions().await.len();
    let create = async |change: fn(&mut NewClient)| {
        let mut new = machine("acme-stock");
        change(&mut new);
        refusal(registry.create_client(actor, new).await)
    };
    assert_eq!(create(|new| new.id = "acme-orders".into()).await.code, "client_exists");
    assert_eq!(create(|new| new.id = "../etc".into()).await.code, "invalid_client_id");
    assert_eq!(create(|new| new.partner = "nobody".into()).await.code, "partner_not_found");
    assert_eq!(create(|new| new.description = Some("a\nb".into())).await.code, "text_not_plain");
    assert_eq!(create(|new| new.scopes = vec!["no scope".into()]).await.code, "invalid_scope");
    assert_eq!(create(|new| new.scopes = vec![READ.into(); 51]).await.code, "list_too_long");
    let refused = create(|new| {
        new.scopes = vec!["https://api.example.com/test/delete".into()];
        new.networks = vec!["moon".into()];
        new.usage_plan = Some("gold".into());
    })
    .await;
    assert_eq!((refused.code, refused.details.len()), ("unknown_reference", 3), "{:?}", refused.details);

    let partner = refusal(registry.create_partner(actor, NewPartner::named("acme", "Acme")).await);
    assert_eq!((partner.kind, partner.code), (RefusalKind::Conflict, "partner_exists"));
    assert_eq!(
        refusal(registry.create_partner(actor, NewPartner::named("Acme/x", "Acme")).await).code,
        "invalid_partner_id"
    );
    assert_eq!(
        refusal(registry.create_partner(actor, NewPartner::named("beta", &"x".repeat(129))).await).code,
        "text_too_long"
    );
    assert_eq!(refusal(registry.client("nobody").await).kind, RefusalKind::NotFound);
    assert_eq!(registry.store.newest_change().await.unwrap(), before);
    assert_eq!(fixture.actions().await.len(), audited);
}

/// A process that ends before the commit: nothing of it is to be found, in no table and in no memory.
#[tokio::test]
async fn a_crash_before_the_commit_leaves_nothing() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let before = registry.store.newest_change().await.unwrap();
    let (mut tx, _) = registry.begin().await.unwrap();
    let mut row = client::found(&mut tx, "acme-orders").await.unwrap();
    row.enabled = false;
    crate::store::client::update(&mut tx, &row, NOW).await.unwrap();
    actor.record(&mut tx, &registry.clock, "client.disable", "acme-orders", &serde_json::json!({})).await.unwrap();
    drop(tx);
    registry.snapshot.catch_up(&registry.store).await.unwrap();
    assert!(fixture.enabled("acme-orders"));
    assert!(registry.client("acme-orders").await.unwrap().enabled);
    assert_eq!(registry.store.newest_change().await.unwrap(), before);
    assert!(!fixture.actions().await.contains(&"client.disable".to_owned()));
}

#[tokio::test]
async fn two_secrets_may_live_at_once() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let new = || NewClientSecret { client: "acme-orders".into(), ..NewClientSecret::default() };
    let first = registry.create_client_secret(actor, new()).await.unwrap();
    let second = registry
        .create_client_secret(actor, NewClientSecret { expiry: Some(Expiry::After(60)), ..new() })
        .await
        .unwrap();
    assert_eq!(refusal(registry.create_client_secret(actor, new()).await).code, "too_many_secrets");
    let text = first.secret.expose_secret();
    assert_eq!(text.len(), 48);
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let held = registry.snapshot.client_secrets("acme-orders");
    assert_eq!(held.len(), 2);
    assert!(held.iter().any(|entry| entry.hmac == client_secret::mac(&registry.pepper, text)));
    assert!(!held.iter().any(|entry| entry.hmac == client_secret::mac(&registry.pepper, &text[1..])));

    // One expires, and its place is free.
    fixture.wait(60);
    let own = |text: &str| NewClientSecret { value: Some(SecretString::from(text)), ..new() };
    let third = registry.create_client_secret(actor, own("an_own+secret_of_24_chars_")).await.unwrap();
    assert_eq!((third.view.last4.as_str(), third.view.status), ("ars_", "active"));
    assert_eq!(refusal(registry.create_client_secret(actor, new()).await).code, "too_many_secrets");
    let revoked = registry.revoke_client_secret(actor, &third.view.id, "superseded").await.unwrap();
    assert_eq!(revoked.status, "revoked");
    let entry = registry.snapshot.client_secrets("acme-orders");
    assert!(entry.iter().find(|entry| *entry.id == *third.view.id).unwrap().revoked);
    for bad in ["short", &"x".repeat(65), "a secret with 24 chars !!"] {
        assert_eq!(refusal(registry.create_client_secret(actor, own(bad)).await).code, "invalid_secret");
    }
    let again = registry.create_client_secret(actor, own("an_own+secret_of_24_chars_")).await;
    assert_eq!(refusal(again).code, "secret_used_before");
    let mut statuses: Vec<_> =
        registry.client_secrets("acme-orders").await.unwrap().into_iter().map(|view| (view.id, view.status)).collect();
    statuses.sort();
    let mut expected = vec![(first.view.id, "active"), (second.view.id, "expired"), (third.view.id, "revoked")];
    expected.sort();
    assert_eq!(statuses, expected);
    assert_eq!(registry.all_client_secrets(Page::first(2)).await.unwrap().len(), 2);
    assert_eq!(refusal(registry.client_secrets("nobody").await).code, "client_not_found");
    assert_eq!(refusal(registry.revoke_client_secret(actor, "x", "why").await).code, "client_secret_not_found");
}

#[tokio::test]
async fn no_secret_is_to_be_found_in_the_database_or_in_debug() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    let key =
        registry.create_api_key(actor, NewApiKey { client: "acme-orders".into(), ..Default::default() }).await.unwrap();
    let secret = registry
        .create_client_secret(actor, NewClientSecret { client: "acme-orders".into(), ..Default::default() })
        .await
        .unwrap();
    let presented = PresentedApiKey::parse(key.key.expose_secret()).unwrap();
    let debug = format!("{key:?} {secret:?} {registry:?} {presented:?}");
    let (_, key_secret) = key.key.expose_secret().rsplit_once('_').unwrap();
    let folder = fixture._folder.path();
    let mut found = debug.into_bytes();
    for file in ["portcullis.db", "portcullis.db-wal"] {
        found.extend(std::fs::read(folder.join(file)).unwrap());
    }
    let holds = |text: &str| found.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&key.view.id) && holds(&secret.view.id), "the search must be able to find something");
    for secret in [&key_secret[..16], &secret.secret.expose_secret()[..16]] {
        assert!(!holds(secret));
    }
}

#[test]
fn a_pepper_is_made_once_and_kept_from_others() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pepper");
    assert!(Pepper::load(&path).is_err());
    let made = Pepper::load_or_create(&path).unwrap();
    let loaded = Pepper::load_or_create(&path).unwrap();
    assert_eq!(made.hmac("api-key", b"x"), loaded.hmac("api-key", b"x"));
    assert_ne!(made.hmac("api-key", b"x"), made.hmac("client-secret", b"x"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Pepper::load_or_create(&path).unwrap_err().inside().contains("open to others"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, [1; 31]).unwrap();
    assert!(Pepper::load_or_create(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap().len(), 31, "a damaged pepper must not be replaced");
}

/// RFC 4231 gives no case with our framing; this one was computed with Python's `hmac`.
#[test]
fn the_hmac_is_of_domain_zero_and_bytes() {
    let pepper = Pepper::from_bytes(&[0x0b; 32]);
    let tag = pepper.hmac("api-key", b"Hi There");
    let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "e6491e17bb6d664b352126935515cb0c666538102b50095df9b26044aa21d23e");
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let fixture = Fixture::new().await;
    let (registry, actor) = (&fixture.registry, &fixture.actor);
    registry.create_partner(actor, NewPartner::named("portcullis", "Operators")).await.unwrap();
    for (id, partner) in [("admin", "portcullis"), ("other", "acme")] {
        let scopes = policies::ADMIN_SCOPES.iter().map(ToString::to_string).collect();
        let new = NewClient { id: id.into(), partner: partner.into(), scopes, ..NewClient::default() };
        registry.create_client(actor, new).await.unwrap();
    }
    registry.set_partner_enabled(actor, "acme", false).await.unwrap();
    assert_eq!(refusal(registry.set_client_enabled(actor, "admin", false).await).code, "last_administrator");
    assert_eq!(refusal(registry.set_partner_enabled(actor, "portcullis", false).await).code, "last_administrator");
    registry.set_client_enabled(actor, "acme-orders", false).await.unwrap();
    registry.set_partner_enabled(actor, "acme", true).await.unwrap();
    registry.set_client_enabled(actor, "admin", false).await.unwrap();
    assert_eq!(refusal(registry.set_client_enabled(actor, "other", false).await).code, "last_administrator");
}
