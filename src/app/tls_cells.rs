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
use crate::config::{ListenerConfig, Serves};
use crate::failure::{Failure, Fault};
use crate::listen::{Listening, ServerIdentity, TlsSettings, TrustAnchors, server_config};

/// Largest certificate or key file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

pub(super) struct TlsCells {
    cells: HashMap<String, (ListenerConfig, Arc<ArcSwap<ServerConfig>>)>,
    renewing: Mutex<()>,
}

impl TlsCells {
    pub(super) async fn new(foundation: &Foundation, sockets: &[Listening]) -> Result<Self, Failure> {
        let mut cells = HashMap::new();
        for listening in sockets {
            let config = &listening.listener.config;
            if config.serves != Serves::Pki {
                let made = make(foundation, config).await?;
                cells.insert(config.name.clone(), (config.clone(), Arc::new(ArcSwap::from_pointee(made))));
            }
        }
        Ok(Self { cells, renewing: Mutex::new(()) })
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
            made.push((cell, make(foundation, config).await?));
        }
        for (cell, config) in made {
            cell.store(Arc::new(config));
        }
        Ok(())
    }
}

async fn make(foundation: &Foundation, config: &ListenerConfig) -> Result<ServerConfig, Failure> {
    let identity = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => from_files(certificate, key)?,
        _ => {
            // One certificate for all of our listeners, so that each start issues at most one.
            let mut names: Vec<String> = Vec::new();
            for listener in &foundation.config.listeners {
                for hostname in &listener.hostnames {
                    if listener.certificate.is_none() && !names.contains(hostname) {
                        names.push(hostname.clone());
                    }
                }
            }
            let own = foundation.authority.server_certificate(&names).await?;
            ServerIdentity { chain: own.chain, key_pkcs8: own.key_pkcs8 }
        }
    };
    let anchors = TrustAnchors::new(foundation.authority.trust_anchors().client)?;
    Ok(server_config(&TlsSettings {
        mode: config.client_certificates,
        identity: &identity,
        anchors: &anchors,
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
