//! The accept loop: caps first, then TLS, then HTTP. Nothing is spent on an address that is over its share.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::{counter, gauge};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Handler;
use super::connection::{Connection, PeerCertificate, Protocol};
use super::proxy_protocol::{self, Proxied};
use super::serve;
use crate::config::{ListenerConfig, Serves, canonical_hostname};
use crate::failure::Fault;
use crate::snapshot::Snapshot;

/// Pause after `accept` fails (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What one listener may cost.
#[derive(Clone, Copy, Debug)]
pub struct ListenLimits {
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub handshake_timeout: Duration,
    pub head_timeout: Duration,
}

/// A listener's settings and the address it got.
#[derive(Debug)]
pub struct Listener {
    pub config: ListenerConfig,
    pub address: SocketAddr,
}

impl Listener {
    /// `https://api.example.com:8443`, by the first hostname: under any other name the certificate would not fit. The bound
    /// address stands there only when it is one of the hostnames, or when there is none.
    pub fn url(&self) -> String {
        let scheme = if self.config.serves == Serves::Pki { "http" } else { "https" };
        let (bound, port) = (self.address.ip().to_string(), self.address.port());
        match self.config.hostnames.first() {
            Some(first) if !self.config.hostnames.contains(&bound) => match first.contains(':') {
                true => format!("{scheme}://[{first}]:{port}"),
                false => format!("{scheme}://{first}:{port}"),
            },
            _ => format!("{scheme}://{}", self.address),
        }
    }
}

/// A bound socket. Its address is known, so that URLs with it can be made before anything is served.
pub struct Listening {
    pub listener: Arc<Listener>,
    socket: TcpListener,
}

/// How a bound socket is served.
pub struct Serving<H> {
    /// `None`: plain HTTP. A later `store` into the cell takes effect with the next handshake.
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    pub snapshot: Arc<Snapshot>,
    pub limits: ListenLimits,
    pub handler: Arc<H>,
    pub draining: CancellationToken,
    /// Connections live here until they have answered.
    pub tasks: TaskTracker,
}

struct Shared<H> {
    listener: Arc<Listener>,
    tls: Option<Arc<ArcSwap<ServerConfig>>>,
    snapshot: Arc<Snapshot>,
    limits: ListenLimits,
    handler: Arc<H>,
    draining: CancellationToken,
    open: AtomicUsize,
    per_address: Mutex<HashMap<IpAddr, usize>>,
}

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

impl Listening {
    /// Binds the listener's address.
    pub async fn bind(config: ListenerConfig) -> Result<Self, Fault> {
        let socket = TcpListener::bind(config.address).await.map_err(|error| {
            Fault::new(format!("listener {:?} cannot use {}: {error}", config.name, config.address))
        })?;
        let address = socket.local_addr()?;
        Ok(Self { listener: Arc::new(Listener { config, address }), socket })
    }

    /// Accepts until draining begins.
    pub async fn run<H: Handler>(self, serving: Serving<H>) {
        let Serving { tls, snapshot, limits, handler, draining, tasks } = serving;
        let shared = Arc::new(Shared {
            listener: self.listener,
            tls,
            snapshot,
            limits,
            handler,
            draining: draining.clone(),
            open: AtomicUsize::new(0),
            per_address: Mutex::new(HashMap::new()),
        });
        loop {
            let accepted = tokio::select! {
                () = draining.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Some(place) = Place::take(&shared, policies::canonical(peer.ip())) {
                        tasks.spawn(connection(Arc::clone(&shared), place, stream, peer));
                    }
                }
                Err(error) => {
                    tracing::warn!(listener = %shared.listener.config.name, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One of the places that a listener and an address have; given back on drop.
struct Place<H> {
    shared: Arc<Shared<H>>,
    /// Whose share it counts in. `None`: a load balancer has not said yet for whom it connects.
    source: Option<IpAddr>,
}

impl<H: Handler> Place<H> {
    /// A place for a connection from `peer`. Of a load balancer that will say for whom it connects, only the listener's.
    fn take(shared: &Arc<Shared<H>>, peer: IpAddr) -> Option<Self> {
        if shared.open.load(Ordering::Relaxed) >= shared.limits.connections_max {
            refuse(&shared.listener, "listener_full");
            return None;
        }
        let proxies = shared.listener.config.proxy_protocol.as_ref();
        if proxies.is_some_and(|proxies| !proxies.contains(peer)) {
            refuse(&shared.listener, "not_a_load_balancer");
            return None;
        }
        let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        gauge!("portcullis_connections_open", "listener" => shared.listener.config.name.clone()).set(open as f64);
        let mut place = Self { shared: Arc::clone(shared), source: None };
        (proxies.is_some() || place.claim(peer)).then_some(place)
    }

    /// Counts the place as one of `source`; `false` when that address has had its share.
    fn claim(&mut self, source: IpAddr) -> bool {
        let shared = &self.shared;
        if shared.listener.config.networks.as_ref().is_some_and(|networks| !networks.contains(source)) {
            refuse(&shared.listener, "address_not_allowed");
            return false;
        }
        if shared.tls.is_some() && !shared.handler.may_handshake(&shared.listener.config.name, source) {
            refuse(&shared.listener, "handshake_rate");
            return false;
        }
        let mut addresses = shared.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let household = household(source);
        let count = addresses.entry(household).or_insert(0);
        if *count >= shared.limits.connections_per_address_max {
            refuse(&shared.listener, "address_full");
            return false;
        }
        *count += 1;
        drop(addresses);
        self.source = Some(source);
        true
    }
}

fn refuse(listener: &Listener, reason: &'static str) {
    counter!("portcullis_connections_refused_total", "listener" => listener.config.name.clone(), "reason" => reason)
        .increment(1);
}

impl<H> Drop for Place<H> {
    fn drop(&mut self) {
        if let Some(source) = self.source {
            let mut addresses = self.shared.per_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = addresses.get_mut(&household(source)) {
                *count -= 1;
                if *count == 0 {
                    addresses.remove(&household(source));
                }
            }
        }
        let open = self.shared.open.fetch_sub(1, Ordering::Relaxed) - 1;
        gauge!("portcullis_connections_open", "listener" => self.shared.listener.config.name.clone()).set(open as f64);
    }
}

/// What one subscriber has: an IPv4 address, or an IPv6 /64.
fn household(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

async fn connection<H: Handler>(shared: Arc<Shared<H>>, mut place: Place<H>, mut stream: TcpStream, peer: SocketAddr) {
    let Some(source) = source(&shared, &mut place, &mut stream, peer).await else { return };
    // Small answers must not wait for the next segment.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        id: NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed),
        listener: Arc::clone(&shared.listener),
        source,
        peer,
        protocol: Protocol::Http1,
        server_name: None,
        certificate: None,
        closing: CancellationToken::new(),
    };
    let served = serve::Served {
        handler: &shared.handler,
        draining: &shared.draining,
        head_timeout: shared.limits.head_timeout,
    };
    let Some(tls) = &shared.tls else {
        served.plain(Arc::new(connection), stream).await;
        return;
    };
    let acceptor = TlsAcceptor::from(tls.load_full());
    let stream = tokio::select! {
        () = shared.draining.cancelled() => return,
        accepted = tokio::time::timeout(shared.limits.handshake_timeout, acceptor.accept(stream)) => match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
                if matches!(cause, Some(rustls::Error::NoCertificatesPresented)) {
                    // After a change of authorities: clients that choose by the hints, and found none of theirs.
                    counter!("portcullis_certificates_missing_total", "listener" => shared.listener.config.name.clone())
                        .increment(1);
                }
                return handshake_failed(&shared.listener, source, &error.to_string());
            }
            Err(_) => return handshake_failed(&shared.listener, source, "the handshake took too long"),
        },
    };
    let session = stream.get_ref().1;
    connection.server_name = session.server_name().and_then(canonical_hostname).map(Into::into);
    if session.alpn_protocol() == Some(b"h2") {
        connection.protocol = Protocol::Http2;
    }
    counter!(
        "portcullis_handshakes_total",
        "listener" => shared.listener.config.name.clone(),
        "kind" => if session.handshake_kind() == Some(rustls::HandshakeKind::Resumed) { "resumed" } else { "full" }
    )
    .increment(1);
    let mut registration = (None, None);
    if let Some(chain) = session.peer_certificates().filter(|chain| !chain.is_empty()) {
        let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
        match pki::ClientCertificate::parse(&chain[0]) {
            Ok(certificate) => {
                // Registered before the first request is judged: a revocation in between is not lost.
                let closing = connection.closing.clone();
                let connections = shared.snapshot.connections();
                let by_name = certificate
                    .issuer_key_id
                    .as_ref()
                    .map(|issuer| connections.register(issuer, &certificate.serial, closing.clone()));
                let by_chain = (!shared.snapshot.is_ours(&certificate))
                    .then(|| connections.register_foreign(chain.as_slice().into(), closing));
                registration = (by_name, by_chain);
                connection.certificate = Some(Arc::new(PeerCertificate::new(certificate, chain)));
            }
            Err(error) => return handshake_failed(&shared.listener, source, &error.to_string()),
        }
    }
    let connection = Arc::new(connection);
    match connection.protocol {
        Protocol::Http1 => served.http1(connection, stream).await,
        Protocol::Http2 => served.http2(connection, stream).await,
    }
    drop(registration);
    drop(place);
}

/// Whose connection it is: the peer's, or whose a load balancer says. `None`: nobody may have it.
async fn source<H: Handler>(
    shared: &Shared<H>,
    place: &mut Place<H>,
    stream: &mut TcpStream,
    peer: SocketAddr,
) -> Option<IpAddr> {
    let listener = &shared.listener;
    let peer = policies::canonical(peer.ip());
    if listener.config.proxy_protocol.is_none() {
        return Some(peer);
    }
    let proxied = tokio::select! {
        () = shared.draining.cancelled() => return None,
        proxied = proxy_protocol::read(stream) => proxied,
    };
    let source = match proxied {
        Ok(Proxied::Local) => peer,
        Ok(Proxied::From(source)) => source,
        Err(fault) => {
            refuse(listener, "proxy_header");
            tracing::debug!(listener = %listener.config.name, %peer, %fault, "no PROXY header that could be believed");
            return None;
        }
    };
    place.claim(source).then_some(source)
}

fn handshake_failed(listener: &Listener, source: IpAddr, reason: &str) {
    counter!("portcullis_handshakes_failed_total", "listener" => listener.config.name.clone()).increment(1);
    tracing::debug!(listener = %listener.config.name, %source, reason, "TLS handshake failed");
}
