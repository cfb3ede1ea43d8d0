use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::clock::Clock;
use crate::failure::Refusal;

/// Sessions remembered for resumption; every resumed connection uses one up and gets another.
const SESSIONS_MAX: usize = 32;

/// A certificate chain and its key. The key is not shown by `Debug`.
#[derive(Debug)]
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// `what` names the source in errors.
    pub(super) fn from_pem(chain: &[u8], key: &[u8], what: &str) -> Result<Self, Refusal> {
        let wrong = |why: String| Refusal::invalid("invalid_identity", format!("{what}: {why}"));
        let chain = pki::pem_certificates(chain).map_err(|error| wrong(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| wrong("there is no unencrypted private key (PEM) for the certificate".to_owned()))?;
        Ok(Self { chain: chain.into_iter().map(CertificateDer::from).collect(), key })
    }

    /// The leaf, as the gate would read it.
    pub(super) fn certificate(&self) -> Option<pki::ClientCertificate> {
        pki::ClientCertificate::parse(self.chain.first()?).ok()
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// Whom a client believes, and by whose time.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    clock: Clock,
}

impl Trust {
    /// Trusts exactly these CA certificates (PEM): the machine's own are of no concern here.
    pub(super) fn new(ca_pem: &[u8], clock: &Clock) -> Result<Self, Refusal> {
        let wrong = |why: String| Refusal::invalid("invalid_ca", format!("the CA certificates cannot be used: {why}"));
        let mut roots = RootCertStore::empty();
        for certificate in pki::pem_certificates(ca_pem).map_err(|error| wrong(error.to_string()))? {
            roots.add(certificate.into()).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(Self { roots: Arc::new(roots), clock: clock.clone() })
    }

    /// TLS as `identity`, or as nobody. Connections of one connector that resumes share their sessions.
    pub(super) fn connector(&self, identity: Option<&Identity>, resumes: bool) -> Result<TlsConnector, Refusal> {
        let wrong = |error: rustls::Error| Refusal::invalid("invalid_identity", format!("TLS: {error}"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let time = Arc::new(ClockTime(self.clock.clone()));
        let builder = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match identity {
            Some(identity) => {
                builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key()).map_err(wrong)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = if resumes { Resumption::in_memory_sessions(SESSIONS_MAX) } else { Resumption::disabled() };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// The time comes in from outside here too.
#[derive(Debug)]
struct ClockTime(Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
