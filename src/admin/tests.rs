//! The control plane as its callers meet it: requests into the router, over a database and authorities of their own.

mod audit;
mod credential;
mod document;
mod guard;
mod pages;
mod policy;
mod refusal;
mod registry;
mod rotation;
mod trust_anchor;
mod usage;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use policies::{RouteTable, UnixSeconds};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tower::ServiceExt as _;

use super::*;
use crate::authority::{AuthoritySettings, KeyDirectory, Names, Passphrase};
use crate::clock::Clock;
use crate::config::{AuditAllowed, AuditSettings, ClientCertificates, Serves, UsageSettings};
use crate::gateway::{Caller, ExplainedListener, Explainer};
use crate::oauth::OAuthConfig;
use crate::oauth::jwt::Algorithm;
use crate::registry::{Actor, Pepper};

const NOW: UnixSeconds = UnixSeconds(1_795_500_000);
const PASSPHRASE: &str = "correct horse battery staple";
const SCOPE: &str = "https://api.example.com/test/read";
const POLICY: &str = r#"
[[resource_server]]
identifier = "https://api.example.com/test"
name = "Test"
scopes = [{ name = "read", description = "Read" }]

[[network]]
name = "offices"
cidrs = ["203.0.113.0/24"]

[[route]]
methods = ["GET"]
path = "/test"
accept = [["api_key"]]
scopes = { any = ["https://api.example.com/test/read"] }
action = { mock = { status = 200, body = "{}" } }
"#;

/// An answer, read.
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn ok(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    #[track_caller]
    fn refused(self, status: StatusCode, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{:#}", self.body);
        assert_eq!(self.body["status"], status.as_u16());
        assert_eq!(self.body["decision_id"], "decision-1");
        self.body
    }
}

/// A server with [`POLICY`] in force, and its router.
struct Server {
    router: Router,
    state: AdminState,
    ready: Arc<AtomicBool>,
    _folder: TempDir,
}

impl Server {
    async fn new() -> Self {
        let folder = copy_of_template().await;
        let clock = Clock::manual(NOW);
        let parts = Parts::open(folder.path(), &clock).await;
        let audit_log = AuditLog::open(&folder.path().join("audit.db")).await.unwrap();
        let settings = AuditSettings {
            allowed: AuditAllowed::All,
            retention_days: 1,
            denials_per_address: crate::config::Rate { per_second: 20.0, burst: 2_000 },
        };
        let (audit, _) = Audit::start(audit_log.clone(), &settings, clock);
        let ready = Arc::new(AtomicBool::new(true));
        let probed = Arc::clone(&ready);
        let oauth = Arc::new(parts.oauth);
        let days = crate::config::ExpirySettings {
            notice_days: vec![1, 7, 14, 30],
            in_use_days: 14,
            include_unused: false,
            webhook_url: None,
            webhook_secret_file: None,
            webhook_ca_file: None,
        };
        let (store, authority) = (parts.registry.store.clone(), parts.authority.clone());
        let watch = parts.registry.clock.clone();
        let expiry = ExpiryWatch::new(days, "test".into(), store, authority, watch, Vec::new()).unwrap();
        let settings = UsageSettings { retention_days: 400, rows_max: 2_000_000 };
        let usage = Usage::new(parts.registry.store.clone(), settings, parts.registry.clock.clone());
        let quotas = Quotas::new(parts.registry.store.clone());
        let limits = crate::gateway::limits::Limits {
            throttles: Arc::new(crate::gateway::limits::Throttles::new(parts.registry.clock.clone(), [7; 16], 10_000)),
            quotas: quotas.clone(),
        };
        let explained = Explainer {
            snapshot: Arc::clone(&parts.registry.snapshot),
            oauth: Arc::clone(&oauth),
            clock: parts.registry.clock.clone(),
            listeners: vec![ExplainedListener {
                name: "gateway".to_owned(),
                serves: Serves::Gateway,
                client_certificates: ClientCertificates::Optional,
            }],
            admin_routes: RouteTable::default(),
            limits: Arc::new(limits),
        };
        let state = AdminState {
            expiry,
            usage,
            snapshot: Arc::clone(&parts.registry.snapshot),
            store: parts.registry.store.clone(),
            registry: parts.registry,
            authority: parts.authority,
            oauth,
            audit,
            audit_log,
            quotas,
            explainer: Arc::new(explained),
            readiness: Arc::new(move || {
                vec![Check { name: "test", ok: probed.load(Ordering::SeqCst), detail: String::new() }]
            }),
            metrics: Arc::new(|| "portcullis_test 1\n".to_owned()),
            listeners: Arc::new([]),
            endpoints: vec![ListedListener {
                name: "gateway".into(),
                url: "https://gate.example.com".into(),
                client_certificates: ClientCertificates::Optional,
            }],
            enrollment: EnrollmentPlace {
                url: "https://gate.example.com/v1/enroll".into(),
                own_server_certificate: true,
            },
        };
        Self { router: router(state.clone()), state, ready, _folder: folder }
    }

    /// As the gate calls: with a caller who was proved.
    async fn send(&self, mut request: Request<Body>) -> http::Response<Body> {
        request.extensions_mut().insert(Caller {
            client: Some("admin".into()),
            source: [192, 0, 2, 1].into(),
            decision_id: "decision-1".into(),
        });
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        read(self.send(request(Method::GET, path, Body::empty())).await).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_text(path, &body.to_string()).await
    }

    async fn post_text(&self, path: &str, body: &str) -> Answer {
        let mut request = request(Method::POST, path, Body::from(body.to_owned()));
        request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        read(self.send(request).await).await
    }

    /// Partner acme with the client acme-orders.
    async fn with_client() -> Self {
        let server = Self::new().await;
        server.post("/v1/partners", json!({"id": "acme", "name": "Acme Ltd"})).await.ok(StatusCode::CREATED);
        let client = json!({"id": "acme-orders", "partner": "acme", "scopes": [SCOPE]});
        server.post("/v1/clients", client).await.ok(StatusCode::CREATED);
        server
    }
}

struct Parts {
    registry: Registry,
    authority: Authority,
    oauth: OAuth,
}

impl Parts {
    async fn open(folder: &Path, clock: &Clock) -> Self {
        let store = Store::open(&folder.join("portcullis.db")).await.unwrap();
        let snapshot = Snapshot::load(&store, clock).await.unwrap();
        let pepper = Arc::new(Pepper::load_or_create(&folder.join("pepper")).unwrap());
        let (keys, settings) = (keys_in(folder), settings());
        let authority = Authority::open(settings, keys, store.clone(), snapshot.clone(), clock.clone()).await.unwrap();
        let config = OAuthConfig {
            issuer: "https://gate.example.com".into(),
            token_ttl_seconds: 3600,
            algorithm: Algorithm::Es256,
            cognito_errors: false,
            folder: folder.to_owned(),
        };
        let (kept, secret) = (snapshot.clone(), PASSPHRASE.as_bytes());
        let oauth = OAuth::new(config, store.clone(), kept, clock.clone(), pepper.clone(), secret).await.unwrap();
        let registry = Registry {
            store,
            snapshot,
            clock: clock.clone(),
            pepper,
            environment: "test".into(),
            keys: crate::registry::KeyRules::default(),
        };
        Self { registry, authority, oauth }
    }
}

/// Making the authorities derives keys for a second, so it is done once and copied.
async fn copy_of_template() -> TempDir {
    static TEMPLATE: OnceCell<TempDir> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| async {
        let folder = tempfile::tempdir().unwrap();
        let (keys, clock) = (keys_in(folder.path()), Clock::manual(NOW));
        let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
        let names = Names { common_name: "Portcullis".into(), organization: None };
        Authority::initialise(&store, &keys, &names, &settings(), &Actor::local(), &clock).await.unwrap();
        store.close().await;
        let parts = Parts::open(folder.path(), &clock).await;
        let documents = vec![policies::Document { name: "policy.toml".into(), text: POLICY.into() }];
        parts.registry.apply_policy(&Actor::local(), documents, None, None).await.unwrap();
        parts.registry.store.close().await;
        folder
    });
    let (template, copy) = (template.await.path(), tempfile::tempdir().unwrap());
    std::fs::create_dir(copy.path().join("keys")).unwrap();
    let files = ["portcullis.db", "pepper", "keys/root.key", "keys/issuing.key", "keys/server-issuing.key"];
    for file in files {
        std::fs::copy(template.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

fn keys_in(folder: &Path) -> KeyDirectory {
    KeyDirectory::new(folder.join("keys"), Passphrase::new(PASSPHRASE.into()).unwrap())
}

fn settings() -> AuthoritySettings {
    AuthoritySettings {
        trust_domain: "api.example.com".into(),
        pki_url: Some("http://pki.example.com".into()),
        crl_lifetime_seconds: 86_400,
        ocsp_lifetime_seconds: 3600,
        crl_partitions: 1,
        issuances_per_minute: 1_000_000,
    }
}

fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder().method(method).uri(path).header(header::HOST, "admin.example.com").body(body).unwrap()
}

async fn read(response: http::Response<Body>) -> Answer {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.ends_with("json");
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(
            kind,
            if status == StatusCode::SERVICE_UNAVAILABLE { "application/json" } else { "application/problem+json" }
        );
    }
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    let body = if is_json { serde_json::from_slice(&bytes).unwrap() } else { text() };
    Answer { status, body }
}
