use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use policies::{Document, UnixSeconds};
use portcullis::app::demo::{self, Demo};
use portcullis::app::initialise::{NewInstallation, initialise, lay_folder};
use portcullis::app::{App, Foundation, Sockets, find_passphrase};
use portcullis::authority::Authority;
use portcullis::clock::Clock;
use portcullis::config::Config;
use portcullis::failure::Failure;
use portcullis::registry::policy::AppliedPolicy;
use portcullis::registry::{Actor, Registry};
use portcullis::store::audit_log::{AuditLog, DecisionFilter, DecisionRow};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::journal;
use super::partner::Partner;
use super::session::{Identity, Session, SessionOptions};

/// 2027-01-15T08:00:00Z: every test begins here.
pub(crate) const START: UnixSeconds = UnixSeconds(1_800_000_000);

type Configure = dyn Fn(&mut Config) + Send + Sync;

/// What a test may change before the start.
#[derive(Clone, Default)]
pub(crate) struct GatewayOptions {
    /// Replaces the demo's policy, as [`Gateway::apply`] does.
    pub policy: Option<String>,
    /// Changes the configuration, at a restart too.
    pub configure: Option<Arc<Configure>>,
}

impl GatewayOptions {
    pub(crate) fn policy(text: &str) -> Self {
        Self { policy: Some(text.to_owned()), configure: None }
    }

    #[must_use]
    pub(crate) fn configure(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.configure = Some(Arc::new(change));
        self
    }
}

/// A running server, its clock and its folder.
pub(crate) struct Gateway {
    pub app: App,
    pub clock: Clock,
    pub demo: Demo,
    data: PathBuf,
    folder: Arc<TempDir>,
    configure: Option<Arc<Configure>>,
    audit_log: OnceCell<AuditLog>,
}

impl Gateway {
    /// The demo: `acme-orders` with its three credentials, as `portcullis demo` makes it.
    pub(crate) async fn start() -> Self {
        Self::start_with(GatewayOptions::default()).await
    }

    pub(crate) async fn start_with(options: GatewayOptions) -> Self {
        journal::start();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(template(), &data);
        let gateway = Self::on(Arc::new(folder), data, Clock::manual(START), options.configure).await;
        if let Some(policy) = options.policy {
            gateway.apply(&policy).await;
        }
        gateway
    }

    async fn on(folder: Arc<TempDir>, data: PathBuf, clock: Clock, configure: Option<Arc<Configure>>) -> Self {
        let mut config = Config::load(&data).unwrap();
        if let Some(configure) = &configure {
            configure(&mut config);
        }
        let passphrase = find_passphrase(&config).unwrap();
        let sockets = Sockets::bind(&config).await.unwrap();
        let endpoints = sockets.endpoints();
        let foundation = Foundation::open(config, clock.clone(), passphrase, &endpoints).await.unwrap();
        let demo = demo::prepare(&foundation, &endpoints).await.unwrap();
        let app = App::start(foundation, sockets).await.unwrap();
        demo.write(&data).unwrap();
        Self { app, clock, demo, data, folder, configure, audit_log: OnceCell::new() }
    }

    /// Drains, and starts again on the same folder with the same clock.
    pub(crate) async fn restart(self) -> Self {
        let Self { app, clock, data, folder, configure, .. } = self;
        app.drain().await;
        Self::on(folder, data, clock, configure).await
    }

    /// Starts again on the same folder without telling the old process, as after a power cut.
    pub(crate) async fn crash(self) -> Self {
        let Self { app, clock, data, folder, configure, .. } = self;
        drop(app);
        Self::on(folder, data, clock, configure).await
    }

    /// What another process on the same folder would have: the command line beside a running server.
    pub(crate) async fn foundation_beside(&self) -> Foundation {
        let config = Config::clone(&self.app.foundation.config);
        let passphrase = find_passphrase(&config).unwrap();
        Foundation::open(config, self.clock.clone(), passphrase, &self.app.endpoints).await.unwrap()
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.app.foundation.registry
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.app.foundation.authority
    }

    /// The identifier of the demo's resource server.
    pub(crate) fn server(&self) -> &str {
        self.demo.scope.rsplit_once('/').unwrap().0
    }

    /// Puts a policy in force; `{server}` and `{scope}` are the demo's.
    pub(crate) async fn apply(&self, text: &str) -> AppliedPolicy {
        self.try_apply(text).await.unwrap_or_else(|failure| panic!("{failure:#?}"))
    }

    pub(crate) async fn try_apply(&self, text: &str) -> Result<AppliedPolicy, Failure> {
        let text = text.replace("{server}", self.server()).replace("{scope}", &self.demo.scope);
        let documents = vec![Document { name: "test.toml".to_owned(), text }];
        self.registry().apply_policy(&Actor::local(), documents, None, None).await
    }

    pub(crate) fn advance(&self, by: Duration) {
        assert!(self.clock.advance(by));
    }

    pub(crate) fn acme(&self) -> Partner {
        Partner::of_demo(self)
    }

    pub(crate) fn admin_identity(&self) -> Identity {
        Identity::from_files(&self.data.join("admin/admin.crt"), &self.data.join("admin/admin.key"))
    }

    /// Where a client on this machine reaches the listener.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        let listed = self.app.endpoints.listeners.iter().find(|listed| listed.name == listener).unwrap();
        let (host, port) = listed.url.rsplit_once("//").unwrap().1.rsplit_once(':').unwrap();
        let host = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        SocketAddr::new(host, port.parse().unwrap())
    }

    /// A connection to the gateway without a client certificate.
    pub(crate) async fn session(&self) -> Session {
        self.session_with(SessionOptions::default()).await
    }

    pub(crate) async fn session_with(&self, options: SessionOptions) -> Session {
        Session::open(self, "gateway", options).await.unwrap()
    }

    /// A connection to the gateway from another address of this machine.
    pub(crate) async fn session_from(&self, source: [u8; 4]) -> Session {
        self.session_with(SessionOptions { source: Some(source.into()), ..SessionOptions::default() }).await
    }

    /// A connection to the admin listener with the administrator's certificate.
    pub(crate) async fn admin(&self) -> Session {
        let options = SessionOptions { identity: Some(self.admin_identity()), ..SessionOptions::default() };
        Session::open(self, "admin", options).await.unwrap()
    }

    /// What the audit log says, newest first.
    pub(crate) async fn decisions(&self, filter: DecisionFilter) -> Vec<DecisionRow> {
        self.app.audit.flush().await;
        let open = async || AuditLog::open(&self.app.foundation.config.audit_database()).await.unwrap();
        let log = self.audit_log.get_or_init(open).await;
        log.list(&DecisionFilter { limit: 1000, ..filter }).await.unwrap()
    }

    /// The audit record of one decision.
    pub(crate) async fn decision(&self, id: &str) -> DecisionRow {
        let filter = DecisionFilter { id: Some(id.to_owned()), ..DecisionFilter::default() };
        let mut rows = self.decisions(filter).await;
        assert_eq!(rows.len(), 1, "decision {id}");
        rows.remove(0)
    }
}

/// A folder that has been through a first start: the CA, an administrator, the demo, all keys. Made once, since key
/// derivation and PKCS#12 are slow on purpose.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
                runtime.block_on(make_template())
            })
            .join()
            .unwrap()
        })
        .path()
}

async fn make_template() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let new = NewInstallation {
        environment: "test".to_owned(),
        trust_domain: "portcullis.test".to_owned(),
        hostnames: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        gateway: free,
        mtls: free,
        admin: free,
        pki: free,
        passphrase_file: None,
        pki_url: None,
        issuer: None,
        pkcs11: None,
        exempt_loopback: true,
    };
    let config = lay_folder(folder.path(), &new).unwrap();
    let passphrase = find_passphrase(&config).unwrap();
    let sockets = Sockets::bind(&config).await.unwrap();
    let endpoints = sockets.endpoints();
    let foundation = initialise(config, Clock::manual(START), passphrase, &endpoints).await.unwrap();
    demo::prepare(&foundation, &endpoints).await.unwrap();
    App::start(foundation, sockets).await.unwrap().drain().await;
    folder
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
