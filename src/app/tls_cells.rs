//! The TLS configuration in force on each listener, swapped whole when a certificate or the trust changes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::Foundation;
use crate::authority::{self, ServerNames};
use crate::config::{ListenerConfig, Serves};
use crate::failure::{Failure, Fault};
use crate::listen::{Listening, ServerIdentity, TlsSettings, TrustAnchors, server_config};

/// Largest certificate or key file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

pub(super) struct TlsCells {
    cells: HashMap<String, (ListenerConfig, Arc<ArcSwap<ServerConfig>>)>,
    /// Our own certificate, for the listeners that were given none.
    own: Arc<authority::ServerIdentity>,
    renewing: Mutex<()>,
}

impl TlsCells {
    pub(super) async fn new(foundation: &Foundation, sockets: &[Listening]) -> Result<Self, Failure> {
        let own = Arc::new(authority::ServerIdentity::open(foundation.authority.clone(), names(foundation)).await?);
        let mut cells = HashMap::new();
        for listening in sockets {
            let config = &listening.listener.config;
            if config.serves != Serves::Pki {
                let made = make(foundation, &own, config)?;
                cells.insert(config.name.clone(), (config.clone(), Arc::new(ArcSwap::from_pointee(made))));
            }
        }
        Ok(Self { cells, own, renewing: Mutex::new(()) })
    }

    /// Our own certificate: its renewal, and news of it.
    pub(super) fn own(&self) -> &Arc<authority::ServerIdentity> {
        &self.own
    }

    pub(super) fn cell(&self, listener: &str) -> Result<Arc<ArcSwap<ServerConfig>>, Fault> {
        let (_, cell) =
            self.cells.get(listener).ok_or_else(|| Fault::new(format!("no TLS configuration for {listener}")))?;
        Ok(Arc::clone(cell))
    }

    /// Makes every configuration anew. All of them are made before the first is swapped: a bad file changes nothing.
    pub(super) async fn renew(&self, foundation: &Foundation) -> Result<(), Failure> {
        let _one_at_a_time = self.renewing.lock().await;
        let mut made = Vec::with_capacity(self.cells.len());
        for (config, cell) in self.cells.values() {
            made.push((cell, make(foundation, &self.own, config)?));
        }
        for (cell, config) in made {
            cell.store(Arc::new(config));
        }
        Ok(())
    }
}

/// One certificate names every host of ours, so that each start issues at most one.
fn names(foundation: &Foundation) -> ServerNames {
    let mut names = ServerNames { dns: Vec::new(), ips: Vec::new() };
    let own = foundation.config.listeners.iter().filter(|listener| listener.certificate.is_none());
    for hostname in own.filter(|listener| listener.serves != Serves::Pki).flat_map(|listener| &listener.hostnames) {
        match hostname.parse() {
            Ok(address) if !names.ips.contains(&address) => names.ips.push(address),
            Err(_) if !names.dns.contains(hostname) => names.dns.push(hostname.clone()),
            _ => {}
        }
    }
    names
}

fn make(
    foundation: &Foundation,
    own: &authority::ServerIdentity,
    config: &ListenerConfig,
) -> Result<ServerConfig, Failure> {
    let identity = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => from_files(certificate, key)?,
        _ => {
            let current = own.current();
            ServerIdentity {
                chain: current.chain.iter().map(|der| der.to_vec()).collect(),
                key_pkcs8: current.key_pkcs8(),
            }
        }
    };
    let trusted = foundation.authority.trust_anchors();
    let anchors = trusted.roots.iter().chain(&trusted.issuing).map(|der| der.to_vec()).collect();
    Ok(server_config(&TlsSettings {
        mode: config.client_certificates,
        identity: &identity,
        anchors: &TrustAnchors::new(anchors)?,
        hints: config.certificate_hints,
        // The control plane is nobody's but ours: a partner's authority must not even reach its login.
        foreign: (config.serves == Serves::Gateway).then(|| Arc::clone(&foundation.snapshot)),
        grace: {
            let snapshot = Arc::clone(&foundation.snapshot);
            Arc::new(move || snapshot.renewal_grace_seconds_max())
        },
        clock: &foundation.clock,
    })?)
}

fn from_files(certificate: &Path, key: &Path) -> Result<ServerIdentity, Fault> {
    let read = |path: &Path| -> Result<Vec<u8>, Fault> {
        let describe = |error: std::io::Error| Fault::new(format!("cannot read {}: {error}", path.display()));
        if std::fs::metadata(path).map_err(describe)?.len() > FILE_BYTES_MAX {
            return Err(Fault::new(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
        }
        std::fs::read(path).map_err(describe)
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain
        .map_err(|error| Fault::new(format!("{}: {error:?}", certificate.display())))?
        .into_iter()
        .map(|der| der.to_vec())
        .collect();
    let text = Zeroizing::new(read(key)?);
    let key_der = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| Fault::new(format!("{} holds no private key in PEM without passphrase", key.display())))?;
    Ok(ServerIdentity { chain, key_pkcs8: Zeroizing::new(key_der.secret_der().to_vec()) })
}
