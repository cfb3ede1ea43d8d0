//! The commands that work on files and serve: `init`, `demo`, `serve`.

mod announce;
mod given;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::folder_lock::FolderLock;
use crate::app::initialise::{self, NewInstallation};
use crate::app::offline_root::{self, Step};
use crate::app::{App, Endpoints, Foundation, Sockets, demo, find_passphrase, is_initialised};
use crate::clock::Clock;
use crate::config::{Config, Serves};
use crate::failure::{Failure, Fault, Refusal};
use crate::telemetry;

/// Where a demo listens unless told otherwise.
const DEMO_DATA: &str = "portcullis-demo";
const GATEWAY: &str = "127.0.0.1:8443";
const MTLS: &str = "127.0.0.1:8444";
const ADMIN: &str = "127.0.0.1:9443";
const PKI: &str = "127.0.0.1:8080";

/// Make a CA, a sample policy, a partner with one credential of each kind, and serve them
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis demo\n  portcullis demo --data /tmp/gate --gateway 127.0.0.1:0 --mtls 127.0.0.1:0 --admin 127.0.0.1:0 --pki 127.0.0.1:0"
)]
pub(super) struct DemoArgs {
    /// Address of the gateway, client certificates optional [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR")]
    pub(super) gateway: Option<SocketAddr>,
    /// Address of the gateway, client certificates required [default: 127.0.0.1:8444]
    #[arg(long, value_name = "ADDR")]
    pub(super) mtls: Option<SocketAddr>,
    /// Address of the admin API and the console [default: 127.0.0.1:9443]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) admin: Option<String>,
    /// Address of CRLs and CA certificates, plain HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(super) pki: Option<SocketAddr>,
}

/// Make a data folder: configuration, CA and the first administrator
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis --data /var/lib/portcullis init --hostname api.example.com --trust-domain example.com \\\n    --pki-url http://pki.example.com\n  portcullis --data /var/lib/portcullis serve\n\nWith the root's key on another machine (see `portcullis ca ceremony --help`):\n  portcullis --data /var/lib/portcullis init --hostname api.example.com --ceremony /media/stick\n\nWith the keys in a PKCS#11 token:\n  portcullis --data /var/lib/portcullis init --hostname api.example.com \\\n    --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token gate --pin-file /etc/portcullis/pin"
)]
pub(super) struct InitArgs {
    /// Name or address by which clients reach the gateway; repeat for more. The first one is written into certificates
    #[arg(long, value_name = "HOST")]
    pub(super) hostname: Vec<String>,
    /// SPIFFE trust domain of the client identities [default: the first hostname, or portcullis.internal]
    #[arg(long, value_name = "DOMAIN")]
    pub(super) trust_domain: Option<String>,
    /// Short word in API keys: pc_WORD_… [default: live]
    #[arg(long, value_name = "WORD")]
    pub(super) environment: Option<String>,
    /// File with the passphrase of the CA's keys [default: made in DATA/keys/passphrase]
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
    /// Address of the gateway, client certificates optional [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDR")]
    pub(super) gateway: Option<SocketAddr>,
    /// Address of the gateway, client certificates required [default: 0.0.0.0:8444]
    #[arg(long, value_name = "ADDR")]
    pub(super) mtls: Option<SocketAddr>,
    /// Address of the admin API and the console [default: 127.0.0.1:9443]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) admin: Option<String>,
    /// Address of CRLs and CA certificates, plain HTTP [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDR")]
    pub(super) pki: Option<SocketAddr>,
    /// Where others fetch CRLs and CA certificates, as written into certificates [default: the first hostname and PKI port]
    #[arg(long, value_name = "URL")]
    pub(super) pki_url: Option<String>,
    /// `iss` of the access tokens [default: the first hostname and gateway port]
    #[arg(long, value_name = "URL")]
    pub(super) issuer: Option<String>,
    /// The root's key stays elsewhere: put the requests of our authorities into this folder, or take up the certificates that
    /// `ca ceremony sign-issuing` has put there
    #[arg(long, value_name = "DIR")]
    pub(super) ceremony: Option<PathBuf>,
    /// PKCS#11 library of the token in which the CA's keys are made; without it they are encrypted files
    #[arg(long, value_name = "LIBRARY", requires = "pkcs11_token")]
    pub(super) pkcs11_module: Option<PathBuf>,
    /// Label of that token; it must be initialised, with a user PIN
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub(super) pkcs11_token: Option<String>,
    /// File with the user PIN of the token [default: the systemd credential portcullis-pkcs11-pin]
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pub(super) pin_file: Option<PathBuf>,
}

/// A checked address, as text: clap wants one type for all options of one name, and `--admin` elsewhere takes a URL.
fn address(text: &str) -> Result<String, String> {
    text.parse::<SocketAddr>().map(|address| address.to_string()).map_err(|error| error.to_string())
}

fn parsed(address: &str) -> Result<SocketAddr, Refusal> {
    address
        .parse()
        .map_err(|_| Refusal::invalid("address", format!("{address:?} is not an address like 127.0.0.1:9443")))
}

impl DemoArgs {
    fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_deref().and_then(|address| address.parse().ok())
    }
}

/// `demo`: prepares what is missing, says how to call it, and serves until it is told to stop.
pub(super) async fn demo(data: Option<&Path>, args: &DemoArgs) -> Result<(), Failure> {
    let data = data.unwrap_or(Path::new(DEMO_DATA));
    let given = |address: Option<SocketAddr>, default: &str| {
        address.map_or_else(|| default.parse().map_err(|_| Refusal::invalid("address", default)), Ok)
    };
    let new = NewInstallation {
        environment: "demo".to_owned(),
        trust_domain: given::TRUST_DOMAIN.to_owned(),
        hostnames: hostnames(args),
        gateway: given(args.gateway, GATEWAY)?,
        mtls: given(args.mtls, MTLS)?,
        admin: given(args.admin(), ADMIN)?,
        pki: given(args.pki, PKI)?,
        passphrase_file: None,
        pki_url: None,
        issuer: None,
        pkcs11: None,
        exempt_loopback: true,
    };
    if !is_initialised(data) {
        new.check(data)?;
    }
    let _lock = FolderLock::take(data)?;
    let mut signals = Signals::listen()?;
    let started = tokio::select! {
        started = start_demo(data, args, &new) => started?,
        // A start that is cut short is taken up by the next one.
        () = signals.stop() => return Ok(()),
    };
    until_told(started, signals).await
}

async fn start_demo(data: &Path, args: &DemoArgs, new: &NewInstallation) -> Result<App, Failure> {
    let fresh = !is_initialised(data);
    let mut config = initialise::lay_folder(data, new)?;
    telemetry::start_logging(&config.log)?;
    override_addresses(&mut config, args);
    let passphrase = find_passphrase(&config)?;
    let sockets = Sockets::bind(&config).await?;
    let endpoints = sockets.endpoints();
    if fresh {
        announce::making(data);
    }
    let foundation = initialise::initialise(config, Clock::system(), passphrase, &endpoints).await?;
    let demo = demo::prepare(&foundation, &endpoints).await?;
    let app = App::start(foundation, sockets).await?;
    demo.write(data)?;
    announce::demo(data, &demo);
    Ok(app)
}

/// `init`.
pub(super) async fn init(data: &Path, args: &InitArgs) -> Result<(), Failure> {
    // All of it is judged before the first byte is written.
    let new = if is_initialised(data) {
        given::agrees(args, &load(data)?)?;
        None
    } else {
        let new = given::new_installation(args)?;
        new.check(data)?;
        Some(new)
    };
    let _lock = FolderLock::take(data)?;
    let config = match new {
        Some(new) => initialise::lay_folder(data, &new)?,
        None => {
            announce::already(data);
            initialise::make_folders(data)?;
            load(data)?
        }
    };
    let passphrase = find_passphrase(&config)?;
    let endpoints = Endpoints::configured(&config);
    let foundation = match &args.ceremony {
        None => initialise::initialise(config, Clock::system(), passphrase, &endpoints).await?,
        Some(folder) => {
            let pki_url = config.pki.public_url.clone().unwrap_or_else(|| endpoints.pki.clone());
            match offline_root::step(config, Clock::system(), passphrase, &endpoints, folder).await? {
                Step::Whole(foundation) => *foundation,
                Step::Requested(requests) => {
                    announce::requested(data, folder, &requests, &pki_url);
                    return Ok(());
                }
            }
        }
    };
    announce::initialised(data, &foundation);
    foundation.store.close().await;
    Ok(())
}

/// `serve`.
pub(super) async fn serve(data: &Path) -> Result<(), Failure> {
    let config = load(data)?;
    let _lock = FolderLock::take(data)?;
    telemetry::start_logging(&config.log)?;
    let mut signals = Signals::listen()?;
    let started = tokio::select! {
        started = start_server(config) => started?,
        () = signals.stop() => return Ok(()),
    };
    until_told(started, signals).await
}

pub(super) fn load(data: &Path) -> Result<Config, Refusal> {
    Config::load(data).map_err(|faults| {
        Refusal::invalid("invalid_configuration", "the configuration does not fit").with_details(faults)
    })
}

async fn start_server(config: Config) -> Result<App, Failure> {
    let passphrase = find_passphrase(&config)?;
    let sockets = Sockets::bind(&config).await?;
    let endpoints = sockets.endpoints();
    let foundation = Foundation::open(config, Clock::system(), passphrase, &endpoints).await?;
    App::start(foundation, sockets).await
}

/// What a supervisor says. Heard from the first moment on, so that a start can be called off too.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Fault> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGTERM and SIGINT drain, a second one cuts the drain short; SIGHUP reads certificates again.
async fn until_told(app: App, mut signals: Signals) -> Result<(), Failure> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hangup.recv() => match app.reload_tls().await {
                Ok(()) => tracing::info!("certificates read again"),
                Err(failure) => tracing::error!(%failure, "certificates could not be read again; the old ones stay"),
            },
        }
    }
    tokio::select! {
        () = app.drain() => {}
        () = signals.stop() => tracing::warn!("told twice: open requests are cut"),
    }
    Ok(())
}

fn hostnames(args: &DemoArgs) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    for address in [args.gateway, args.mtls, args.admin()].into_iter().flatten() {
        let name = address.ip().to_string();
        if !address.ip().is_unspecified() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What is given on the command line counts for this run; the file stays as its owner left it.
fn override_addresses(config: &mut Config, args: &DemoArgs) {
    for listener in &mut config.listeners {
        let given = match (listener.name.as_str(), listener.serves) {
            ("gateway", Serves::Gateway) => args.gateway,
            ("mtls", Serves::Gateway) => args.mtls,
            ("admin", Serves::Admin) => args.admin(),
            ("pki", Serves::Pki) => args.pki,
            // One that its owner added: two cannot have one address.
            _ => None,
        };
        if let Some(address) = given {
            listener.address = address;
        }
    }
}
