//! The only place where the parts are put together: start, reload, drain.

mod admin_routes;
pub mod demo;
mod distribution;
mod endpoints;
pub mod export;
pub mod folder_lock;
pub mod initialise;
pub mod offline_root;
mod readiness;
mod tasks;
mod tls_cells;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use endpoints::Endpoints;

use crate::admin::{self, AdminState};
use crate::audit::Audit;
use crate::authority::{
    Authority, AuthoritySettings, KeyDirectory, PIN_CREDENTIAL, Passphrase, Pin, Token, TokenSettings,
};
use crate::clock::Clock;
use crate::config::{ClientCertificates, Config, ListenerConfig, Serves, SigningAlgorithm};
use crate::failure::{Failure, Fault};
use crate::gateway::limits::{AddressLimiter, AddressLimits, Keeper, Limits, Quotas, Throttles};
use crate::gateway::{self, DecisionIds, Explainer, ForwardAuth, Gate, GateParts, Leaks, Meters, Services, Upstreams};
use crate::inventory::{ExpiryWatch, ListenerCertificate, Sightings};
use crate::listen::{ListenLimits, Listening, Serving};
use crate::oauth::jwt::Algorithm;
use crate::oauth::{OAuth, OAuthConfig};
use crate::openapi::{GatewayDocs, PublishedListener, Site};
use crate::registry::{KeyRules, Pepper, Registry};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::store::audit_log::AuditLog;
use crate::telemetry;
use crate::usage::Usage;
use tls_cells::TlsCells;

/// A disk that takes no more audit records must not keep the server from stopping.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sockets that are bound and not yet served.
pub struct Sockets(Vec<Listening>);

impl Sockets {
    /// Binds every listener of the configuration.
    pub async fn bind(config: &Config) -> Result<Self, Fault> {
        let mut sockets = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            sockets.push(Listening::bind(listener.clone()).await?);
        }
        Ok(Self(sockets))
    }

    /// Where they are.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::of(self.0.iter().map(|listening| &*listening.listener))
    }
}

/// The parts that work on files and the database alone: what `init`, `demo` and `serve` have in common.
#[derive(Clone)]
pub struct Foundation {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub store: Store,
    pub snapshot: Arc<Snapshot>,
    pub pepper: Arc<Pepper>,
    pub registry: Registry,
    pub authority: Authority,
    pub passphrase: Passphrase,
}

impl Foundation {
    /// Opens the data folder. `endpoints` gives the addresses that go into certificates.
    pub async fn open(
        config: Config,
        clock: Clock,
        passphrase: Passphrase,
        endpoints: &Endpoints,
    ) -> Result<Self, Failure> {
        let store = Store::open(&config.database()).await?;
        let snapshot = Snapshot::load(&store, &clock).await?;
        let pepper = Arc::new(Pepper::load(&config.pepper())?);
        let registry = Registry {
            store: store.clone(),
            snapshot: Arc::clone(&snapshot),
            clock: clock.clone(),
            pepper: Arc::clone(&pepper),
            environment: config.environment.clone(),
            keys: KeyRules {
                max_ttl_seconds: config.keys.max_ttl_seconds,
                imported_max_ttl_seconds: Some(config.keys.imported_max_ttl_seconds),
            },
        };
        let settings = Self::settings(&config, endpoints);
        let keys = keys(&config, &passphrase).await?;
        let authority = Authority::open(settings, keys, store.clone(), Arc::clone(&snapshot), clock.clone()).await?;
        Ok(Self { config: Arc::new(config), clock, store, snapshot, pepper, registry, authority, passphrase })
    }
}

impl Foundation {
    fn settings(config: &Config, endpoints: &Endpoints) -> AuthoritySettings {
        AuthoritySettings {
            trust_domain: config.trust_domain.clone(),
            pki_url: Some(config.pki.public_url.clone().unwrap_or_else(|| endpoints.pki.clone())),
            crl_lifetime_seconds: config.pki.crl_lifetime_seconds,
            ocsp_lifetime_seconds: config.pki.ocsp_lifetime_seconds,
            crl_partitions: config.pki.crl_partitions,
            issuances_per_minute: config.pki.issuances_per_minute,
        }
    }
}

/// A running server.
pub struct App {
    pub endpoints: Endpoints,
    pub foundation: Foundation,
    pub gate: Arc<Gate>,
    pub explainer: Arc<Explainer>,
    pub oauth: Arc<OAuth>,
    pub audit: Audit,
    pub sightings: Sightings,
    pub usage: Usage,
    pub expiry: ExpiryWatch,
    tls: Arc<TlsCells>,
    throttle_keeper: Arc<Keeper>,
    draining: CancellationToken,
    connections: TaskTracker,
    background: TaskTracker,
    audit_writer: JoinHandle<()>,
}

impl App {
    /// Serves on the sockets until [`App::drain`].
    pub async fn start(foundation: Foundation, sockets: Sockets) -> Result<Self, Failure> {
        let config = Arc::clone(&foundation.config);
        let endpoints = sockets.endpoints();
        let metrics = telemetry::metrics()?;
        let draining = CancellationToken::new();
        let audit_log = AuditLog::open(&config.audit_database()).await?;
        let (audit, audit_writer) = Audit::start(audit_log.clone(), &config.audit, foundation.clock.clone());
        let oauth = Arc::new(
            OAuth::new(
                OAuthConfig {
                    issuer: config.oauth.issuer.clone().unwrap_or_else(|| endpoints.gateway.clone()),
                    token_ttl_seconds: config.oauth.token_ttl_seconds,
                    algorithm: match config.oauth.algorithm {
                        SigningAlgorithm::Es256 => Algorithm::Es256,
                        SigningAlgorithm::Rs256 => Algorithm::Rs256,
                    },
                    cognito_errors: config.oauth.cognito_errors,
                    folder: config.data.clone(),
                },
                foundation.store.clone(),
                Arc::clone(&foundation.snapshot),
                foundation.clock.clone(),
                Arc::clone(&foundation.pepper),
                foundation.passphrase.expose(),
            )
            .await?,
        );
        let tls = Arc::new(TlsCells::new(&foundation, &sockets.0).await?);
        // Its failure is in the log and in /readyz: a gate that cannot tell others of revocations still refuses by itself.
        foundation.authority.renew_ocsp_signers().await;
        let expiry = ExpiryWatch::new(
            config.expiry.clone(),
            config.environment.clone(),
            foundation.store.clone(),
            foundation.authority.clone(),
            foundation.clock.clone(),
            listener_certificates(&config),
        )?;
        let throttles = Arc::new(Throttles::new(
            foundation.clock.clone(),
            foundation.pepper.throttle_seed(),
            config.limits.throttle_buckets_max,
        ));
        let (snapshot, store) = (Arc::clone(&foundation.snapshot), foundation.store.clone());
        let throttle_keeper = Keeper::open(Arc::clone(&throttles), snapshot, store, &config.data).await?;
        let throttle_keeper = Arc::new(throttle_keeper);
        let limits =
            Arc::new(Limits { throttles: Arc::clone(&throttles), quotas: Quotas::new(foundation.store.clone()) });
        let usage = Usage::new(foundation.store.clone(), config.usage, foundation.clock.clone());
        let readiness = readiness::Readiness::new(&foundation, audit.clone());
        let explainer = Arc::new(Explainer {
            snapshot: Arc::clone(&foundation.snapshot),
            oauth: Arc::clone(&oauth),
            clock: foundation.clock.clone(),
            listeners: config.listeners.iter().map(Into::into).collect(),
            admin_routes: admin_routes::table()?,
            limits: Arc::clone(&limits),
        });
        let admin = admin::router(AdminState {
            registry: foundation.registry.clone(),
            authority: foundation.authority.clone(),
            oauth: Arc::clone(&oauth),
            snapshot: Arc::clone(&foundation.snapshot),
            store: foundation.store.clone(),
            audit: audit.clone(),
            audit_log,
            expiry: expiry.clone(),
            usage: usage.clone(),
            explainer: Arc::clone(&explainer),
            quotas: limits.quotas.clone(),
            readiness: readiness.probe(),
            metrics: Arc::new(move || metrics.render()),
            endpoints: endpoints.listed(),
            listeners: config.listeners.iter().map(ListenerConfig::facts).collect(),
            enrollment: endpoints.enrollment(&config),
        });
        let sightings = Sightings::new(foundation.store.clone(), foundation.clock.clone());
        let gate = Arc::new(Gate::new(GateParts {
            snapshot: Arc::clone(&foundation.snapshot),
            oauth: Arc::clone(&oauth),
            authority: foundation.authority.clone(),
            pepper: Arc::clone(&foundation.pepper),
            clock: foundation.clock.clone(),
            audit: audit.clone(),
            recorded_denials: AddressLimiter::new(config.audit.denials_per_address, foundation.clock.clone()),
            meters: Meters::new(),
            addresses: AddressLimits::new(
                &config.limits,
                config.listeners.iter().map(|listener| listener.name.as_str()),
                &foundation.clock,
            ),
            limits,
            sightings: sightings.clone(),
            usage: usage.clone(),
            upstreams: Upstreams::new(),
            leaks: Leaks::load(&config.keys.leak_reporters, foundation.registry.clone())?,
            services: Services::default().with(admin_routes::SERVICE, admin),
            forward_auth: ForwardAuth::load(&config.forward_auth, sockets.0.iter().map(|socket| &*socket.listener))?,
            admin_routes: admin_routes::table()?,
            pages: pages(&endpoints, &config),
            body_bytes_max: config.limits.body_bytes_max,
            limit_fields: config.limits.fields,
            ids: DecisionIds::new()?,
            draining: draining.clone(),
        }));
        let distribution =
            Arc::new(distribution::Distribution { authority: foundation.authority.clone(), gate: Arc::clone(&gate) });
        let (connections, background) = (TaskTracker::new(), TaskTracker::new());
        let limits = ListenLimits {
            connections_max: config.limits.connections_max,
            connections_per_address_max: config.limits.connections_per_address_max,
            handshake_timeout: config.limits.handshake_timeout,
            head_timeout: config.limits.head_timeout,
        };
        for listening in sockets.0 {
            let name = listening.listener.config.name.clone();
            let url = listening.listener.url();
            let (snapshot, draining, tasks) = (Arc::clone(&foundation.snapshot), draining.clone(), connections.clone());
            if listening.listener.config.serves == Serves::Pki {
                let handler = Arc::clone(&distribution);
                background.spawn(listening.run(Serving { tls: None, snapshot, limits, handler, draining, tasks }));
            } else {
                let (cell, handler) = (tls.cell(&name)?, Arc::clone(&gate));
                background.spawn(listening.run(Serving {
                    tls: Some(cell),
                    snapshot,
                    limits,
                    handler,
                    draining,
                    tasks,
                }));
            }
            tracing::info!(listener = %name, url = %url, "listening");
        }
        tasks::spawn(&background, &foundation, &gate, &tls, &oauth, &draining);
        background.spawn(sightings.clone().run(draining.clone()));
        background.spawn(Arc::clone(&throttle_keeper).run(draining.clone()));
        background.spawn(usage.clone().run(draining.clone()));
        background.spawn(expiry.clone().run(draining.clone()));
        endpoints.write(&config.data)?;
        // What changed while it stood still (`ca rotate --offline`) is handed out from now on.
        initialise::write_roots(&foundation)?;
        Ok(Self {
            endpoints,
            foundation,
            gate,
            explainer,
            oauth,
            audit,
            sightings,
            usage,
            expiry,
            tls,
            throttle_keeper,
            draining,
            connections,
            background,
            audit_writer,
        })
    }

    /// Reads certificates again and makes new TLS configurations. Open connections stay.
    pub async fn reload_tls(&self) -> Result<(), Failure> {
        self.tls.renew(&self.foundation).await
    }

    /// Stops accepting, lets open requests finish within the drain timeout, and writes what is still in memory.
    pub async fn drain(self) {
        let Self {
            foundation,
            gate,
            explainer,
            audit,
            sightings,
            usage,
            draining,
            connections,
            background,
            audit_writer,
            oauth,
            tls,
            throttle_keeper,
            ..
        } = self;
        tracing::info!("draining");
        draining.cancel();
        connections.close();
        background.close();
        let timeout = foundation.config.limits.drain_timeout;
        if tokio::time::timeout(timeout, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "connections still open after the drain timeout are cut");
        }
        let _ = tokio::time::timeout(timeout, background.wait()).await;
        if let Err(fault) = throttle_keeper.save(true).await {
            tracing::warn!(
                fault = fault.inside(),
                "the state of the throttles could not be saved: what was in use begins spent"
            );
        }
        if let Err(fault) = gate.limits().quotas.give_back().await {
            tracing::warn!(fault = fault.inside(), "unused quota could not be given back");
        }
        if let Err(fault) = sightings.flush().await {
            tracing::warn!(fault = fault.inside(), "the last sightings of credentials could not be written");
        }
        if let Err(fault) = usage.flush().await {
            tracing::warn!(fault = fault.inside(), "the last usage could not be written");
        }
        if tokio::time::timeout(AUDIT_TIMEOUT, audit.flush()).await.is_err() {
            tracing::error!(lost = audit.waiting(), "the audit log cannot be written: these records are lost");
        }
        drop((gate, explainer, audit, oauth, tls, throttle_keeper));
        audit_writer.abort();
        foundation.store.close().await;
        tracing::info!("stopped");
    }
}

/// The listeners whose certificate comes from elsewhere: nobody here renews it.
fn listener_certificates(config: &Config) -> Vec<ListenerCertificate> {
    let listeners = config.listeners.iter();
    listeners
        .filter_map(|listener| {
            let path = config.data.join(listener.certificate.as_ref()?);
            Some(ListenerCertificate { listener: listener.name.clone(), path })
        })
        .collect()
}

/// Each gateway listener describes itself first: its own address is the one that the reader has reached.
fn pages(endpoints: &Endpoints, config: &Config) -> gateway::Pages {
    let published: Vec<PublishedListener> = endpoints
        .listeners
        .iter()
        .filter(|listed| config.listeners.iter().any(|own| own.name == listed.name && own.serves == Serves::Gateway))
        .map(|listed| PublishedListener {
            name: listed.name.clone(),
            url: listed.url.clone(),
            description: match listed.client_certificates {
                ClientCertificates::None => "without client certificates",
                ClientCertificates::Optional => "client certificates optional",
                ClientCertificates::Required => "a client certificate is required",
            }
            .to_owned(),
        })
        .collect();
    let docs: HashMap<String, GatewayDocs> = published
        .iter()
        .map(|own| {
            let others = published.iter().filter(|other| other.name != own.name).cloned();
            let itself = PublishedListener { url: "/".to_owned(), ..own.clone() };
            let site = Site {
                title: "Portcullis: guarded routes".to_owned(),
                token_url: "/oauth2/token".to_owned(),
                listeners: std::iter::once(itself).chain(others).collect(),
            };
            (own.name.clone(), GatewayDocs::new(site))
        })
        .collect();
    Arc::new(move |view, listener, path, headers| docs.get(listener)?.answer(path, headers, view.version, &view.policy))
}

/// Finds the passphrase of the CA's keys: the configured file, or a systemd credential. Never an argument or a variable,
/// which other processes can read.
pub fn find_passphrase(config: &Config) -> Result<Passphrase, Failure> {
    if let Some(path) = &config.passphrase_file {
        return Passphrase::from_file(path);
    }
    Passphrase::from_credentials_directory()?.ok_or_else(|| {
        crate::failure::Refusal::invalid(
            "no_passphrase",
            format!(
                "there is no passphrase for the CA's keys: set passphrase_file in {}, or give the systemd credential \
                 portcullis-passphrase",
                config.data.join(crate::config::CONFIG_FILE_NAME).display()
            ),
        )
        .into()
    })
}

/// Where the authorities' keys lie: the folder, and the token where the settings name one.
async fn keys(config: &Config, passphrase: &Passphrase) -> Result<KeyDirectory, Failure> {
    let keys = KeyDirectory::new(config.keys(), passphrase.clone());
    let Some(settings) = &config.pki.pkcs11 else { return Ok(keys) };
    let pin = match &settings.pin_file {
        Some(path) => Pin::from_file(path)?,
        None => Pin::from_credentials_directory()?.ok_or_else(|| {
            let message = format!(
                "there is no PIN for the token: set pki.pkcs11.pin_file in {}, or give the systemd credential {PIN_CREDENTIAL}",
                config.data.join(crate::config::CONFIG_FILE_NAME).display()
            );
            crate::failure::Refusal::invalid("no_pin", message)
        })?,
    };
    let settings = TokenSettings { module: settings.module.clone(), label: settings.token.clone() };
    let token = tokio::task::spawn_blocking(move || Token::open(&settings, pin)).await;
    Ok(keys.with_token(token.map_err(|error| Fault::new(format!("opening the token: {error}")))??))
}

/// Whether `data` holds a configuration already.
pub fn is_initialised(data: &Path) -> bool {
    data.join(crate::config::CONFIG_FILE_NAME).exists()
}
