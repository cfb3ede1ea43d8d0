use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use policies::{Document, UnixSeconds};
use portcullis::app::demo::{self, Demo};
use portcullis::app::initialise::{NewInstallation, initialise, lay_folder};
use portcullis::app::{App, Foundation, Sockets, find_passphrase};
use portcullis::clock::Clock;
use portcullis::config::Config;
use portcullis::registry::Actor;
use tempfile::TempDir;

use super::partner::Partner;
use super::session::{Identity, Session, SessionOptions};

/// 2027-01-15: every test begins here.
pub(crate) const START: UnixSeconds = UnixSeconds(1_800_000_000);

/// What a test may change before the start.
#[derive(Default)]
pub(crate) struct GatewayOptions {
    /// Replaces the demo's policy. `{server}` stands for the resource server's identifier.
    pub policy: Option<String>,
    /// Changes the configuration.
    pub configure: Option<fn(&mut Config)>,
}

/// A running server, its clock and its folder.
pub(crate) struct Gateway {
    pub app: App,
    pub clock: Clock,
    pub demo: Demo,
    data: PathBuf,
    folder: TempDir,
}

impl Gateway {
    /// The demo: `acme-orders` with its three credentials, as `portcullis demo` makes it.
    pub(crate) async fn start() -> Self {
        Self::start_with(GatewayOptions::default()).await
    }

    pub(crate) async fn start_with(options: GatewayOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(template(), &data);
        Self::on(folder, data, Clock::manual(START), options).await
    }

    async fn on(folder: TempDir, data: PathBuf, clock: Clock, options: GatewayOptions) -> Self {
        let mut config = Config::load(&data).unwrap();
        if let Some(configure) = options.configure {
            configure(&mut config);
        }
        let passphrase = find_passphrase(&config).unwrap();
        let sockets = Sockets::bind(&config).await.unwrap();
        let endpoints = sockets.endpoints();
        let foundation = Foundation::open(config, clock.clone(), passphrase, &endpoints).await.unwrap();
        let demo = demo::prepare(&foundation, &endpoints).await.unwrap();
        let gateway = Self { app: App::start(foundation, sockets).await.unwrap(), clock, demo, data, folder };
        if let Some(policy) = options.policy {
            gateway.apply(&policy).await;
        }
        gateway
    }

    /// Drains, and starts again on the same folder with the same clock.
    pub(crate) async fn restart(self) -> Self {
        let Self { app, clock, data, folder, .. } = self;
        app.drain().await;
        Self::on(folder, data, clock, GatewayOptions::default()).await
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The identifier of the demo's resource server.
    pub(crate) fn server(&self) -> &str {
        self.demo.scope.rsplit_once('/').unwrap().0
    }

    /// Puts a policy in force; `{server}` and `{scope}` are filled in.
    pub(crate) async fn apply(&self, text: &str) {
        let text = text.replace("{server}", self.server()).replace("{scope}", &self.demo.scope);
        let documents = vec![Document { name: "test.toml".to_owned(), text }];
        self.app.foundation.registry.apply_policy(&Actor::local(), documents, None, None).await.unwrap();
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

    /// The addresses of the listeners, by name.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        let listed = self.app.endpoints.listeners.iter().find(|listed| listed.name == listener).unwrap();
        listed.url.rsplit_once("//").unwrap().1.parse().unwrap()
    }

    /// A connection to the gateway without a client certificate.
    pub(crate) async fn session(&self) -> Session {
        Session::open(self, "gateway", SessionOptions::default()).await.unwrap()
    }

    /// A connection to the admin listener with the administrator's certificate.
    pub(crate) async fn admin(&self) -> Session {
        let options = SessionOptions { identity: Some(self.admin_identity()), ..SessionOptions::default() };
        Session::open(self, "admin", options).await.unwrap()
    }
}

/// A folder with a CA and an administrator, made once: key derivation is slow on purpose.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
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
        exempt_loopback: true,
    };
    let config = lay_folder(folder.path(), &new).unwrap();
    let passphrase = find_passphrase(&config).unwrap();
    let sockets = Sockets::bind(&config).await.unwrap();
    let foundation = initialise(config, Clock::manual(START), passphrase, &sockets.endpoints()).await.unwrap();
    foundation.store.close().await;
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
