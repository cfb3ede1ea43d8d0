//! The rustls configuration of one listener.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{ServerConfig, sign::CertifiedKey};
use zeroize::Zeroizing;

use super::silent_hints::SilentHints;
use super::verifier::{ClientVerifier, Grace, TrustAnchors};
use crate::clock::Clock;
use crate::config::ClientCertificates;
use crate::failure::Fault;
use crate::snapshot::Snapshot;

/// The server's own certificate chain (leaf first, DER) and its key (PKCS#8 DER).
pub struct ServerIdentity {
    pub chain: Vec<Vec<u8>>,
    pub key_pkcs8: Zeroizing<Vec<u8>>,
}

/// What a listener's TLS depends on; a change of any makes a new configuration, and with it a new ticket key: a session
/// of an older trust generation cannot be resumed.
pub struct TlsSettings<'a> {
    pub mode: ClientCertificates,
    pub identity: &'a ServerIdentity,
    pub anchors: &'a TrustAnchors,
    /// Whether the request for a certificate names the anchors.
    pub hints: bool,
    /// Where the anchors of partners are, on a listener that takes them.
    pub foreign: Option<Arc<Snapshot>>,
    /// How long after its end a certificate may come to renew itself.
    pub grace: Grace,
    pub clock: &'a Clock,
}

/// Makes the configuration: TLS 1.2 and 1.3, hybrid post-quantum key exchange first, no early data.
pub fn server_config(settings: &TlsSettings<'_>) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = certified_key(settings.identity, &provider)?;
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    let builder =
        ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(ClockTime(settings.clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::new(format!("TLS versions: {error}")))?;
    let mut config = match settings.mode {
        ClientCertificates::None => builder.with_no_client_auth().with_cert_resolver(resolver),
        ClientCertificates::Optional => {
            builder.with_client_cert_verifier(verifier(settings, false, provider)?).with_cert_resolver(resolver)
        }
        ClientCertificates::Required => {
            builder.with_client_cert_verifier(verifier(settings, true, provider)?).with_cert_resolver(resolver)
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets are this listener's own: a session made where certificates are optional must not resume where they are
    // required. Who resumes is judged again on each request.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| Fault::new(format!("ticket key: {error}")))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    // 0-RTT data can be replayed.
    config.max_early_data_size = 0;
    Ok(config)
}

fn verifier(
    settings: &TlsSettings<'_>,
    mandatory: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Fault> {
    let verifier = ClientVerifier::new(settings.anchors.clone(), mandatory, provider)?;
    let verifier = verifier.with_grace(Arc::clone(&settings.grace));
    let verifier = Arc::new(match &settings.foreign {
        Some(snapshot) => verifier.with_foreign(Arc::clone(snapshot)),
        None => verifier,
    });
    Ok(match settings.hints {
        true => verifier,
        false => Arc::new(SilentHints(verifier)),
    })
}

fn certified_key(identity: &ServerIdentity, provider: &CryptoProvider) -> Result<CertifiedKey, Fault> {
    let key = PrivateKeyDer::try_from(identity.key_pkcs8.as_slice())
        .map_err(|error| Fault::new(format!("server key: {error}")))?
        .clone_key();
    let chain = identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| Fault::new(format!("server certificate and key: {error}")))
}

/// rustls asks for the time through this, so that a manual clock also turns certificates old.
#[derive(Debug)]
struct ClockTime(Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}
