//! Bytes to [`Connection`]s: accept, TLS, who is at the other end, and the HTTP requests that come over it.
//!
//! This module knows addresses, certificates and framing; it does not know what a request may do. That is the
//! [`Handler`]'s, which the gateway implements.

mod accept;
mod caller;
mod connection;
mod framing;
mod one_task;
pub mod proxy_protocol;
mod serve;
mod silent_hints;
mod tls;
mod verifier;

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};

pub use accept::{ListenLimits, Listener, Listening, Serving};
pub use connection::{Connection, PeerCertificate, Protocol};
pub use framing::{HEADERS_MAX, StrictHttp1, Verdicts, Violation};
pub use tls::{ServerIdentity, TlsSettings, server_config};
pub use verifier::{ChainVerdict, ClientVerifier, Grace, TrustAnchors, verify_chain};

/// What answers the requests of a connection.
pub trait Handler: Send + Sync + 'static {
    /// `violation` is set when the bytes of the request were ambiguous: the request is then a stand-in whose only right
    /// answer is a refusal, after which the connection closes.
    fn handle(
        &self,
        connection: Arc<Connection>,
        request: Request<Incoming>,
        violation: Option<Violation>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Counts a handshake from an address; `false` closes the socket before any cryptography is spent on it.
    fn may_handshake(&self, listener: &str, source: std::net::IpAddr) -> bool;
}
