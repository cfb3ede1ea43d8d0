use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use pki::ClientCertificate;
use tokio_util::sync::CancellationToken;

use super::accept::Listener;

/// The HTTP version that ALPN settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// A client certificate whose key was proved in the handshake and whose chain ended at one of our anchors. Whether it may
/// do anything is asked again on every request: a resumed session never saw the verifier.
#[derive(Debug)]
pub struct PeerCertificate {
    pub certificate: ClientCertificate,
    /// Leaf first, as the peer sent it (DER).
    pub chain: Vec<Vec<u8>>,
    /// Written once for all requests of a connection.
    field: OnceLock<Option<HeaderValue>>,
}

impl PeerCertificate {
    /// `chain` begins with the certificate itself.
    pub fn new(certificate: ClientCertificate, chain: Vec<Vec<u8>>) -> Self {
        Self { certificate, chain, field: OnceLock::new() }
    }

    /// The value of `Client-Cert` (RFC 9440 §2.1): a byte sequence of RFC 8941, DER in base64 between colons.
    pub fn client_cert_field(&self) -> Option<HeaderValue> {
        let written = || HeaderValue::from_str(&format!(":{}:", STANDARD.encode(self.chain.first()?))).ok();
        self.field.get_or_init(written).clone()
    }
}

/// One accepted connection, as a request is judged by it. A clone with another source stands for a caller behind a trusted proxy.
#[derive(Clone, Debug)]
pub struct Connection {
    pub id: u64,
    pub listener: Arc<Listener>,
    /// The address that is judged: the peer's, IPv4-mapped IPv6 folded.
    pub source: IpAddr,
    pub peer: SocketAddr,
    pub protocol: Protocol,
    /// Canonical SNI; `None` when the client sent none (it does not for IP addresses).
    pub server_name: Option<Arc<str>>,
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Cancelled when the connection must go: its certificate was revoked.
    pub closing: CancellationToken,
}
