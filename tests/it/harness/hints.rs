use std::sync::{Arc, Mutex};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::gateway::Gateway;
use super::session::{Http, tls_config};

/// A client that looks which authorities the server asks for (RFC 8446 §4.2.4), and shows no certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints(Arc<Mutex<Vec<Vec<u8>>>>);

impl Hints {
    pub(crate) fn config(&self, gateway: &Gateway) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&tls_config(gateway, None, Http::One));
        config.client_auth_cert_resolver = Arc::new(self.clone());
        Arc::new(config)
    }

    /// Their names, DER, sorted.
    pub(crate) fn names(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}

impl ResolvesClientCert for Hints {
    fn resolve(&self, names: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut names: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
        names.sort();
        *self.0.lock().unwrap() = names;
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}
