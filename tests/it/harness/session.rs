use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::authority::NewCertificate;
use portcullis::registry::Actor;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::gateway::Gateway;

/// Nothing in a test takes longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate chain and its key, as a partner holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub chain: Vec<Vec<u8>>,
    pub key_pkcs8: Vec<u8>,
}

impl Identity {
    pub(crate) fn from_pem(chain: &[u8], key: &[u8]) -> Self {
        let chain = CertificateDer::pem_slice_iter(chain).map(|der| der.unwrap().to_vec()).collect();
        Self { chain, key_pkcs8: PrivateKeyDer::from_pem_slice(key).unwrap().secret_der().to_vec() }
    }

    pub(crate) fn from_files(chain: &Path, key: &Path) -> Self {
        Self::from_pem(&std::fs::read(chain).unwrap(), &std::fs::read(key).unwrap())
    }

    /// A new one from the gateway's own CA.
    pub(crate) async fn issue(gateway: &Gateway, new: NewCertificate) -> Self {
        let issued = gateway.authority().issue(new, &Actor::local()).await.unwrap();
        let key = issued.key.unwrap().private_key_pem;
        let chain = format!("{}{}", issued.certificate_pem, issued.chain_pem);
        Self::from_pem(chain.as_bytes(), key.expose_secret().as_bytes())
    }

    /// Of the leaf, hex.
    pub(crate) fn serial(&self) -> String {
        pki::ClientCertificate::parse(&self.chain[0]).unwrap().serial.to_string()
    }
}

/// The HTTP version of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Http {
    #[default]
    One,
    Two,
}

impl Http {
    pub(crate) const BOTH: [Self; 2] = [Self::One, Self::Two];
}

#[derive(Clone, Default)]
pub(crate) struct SessionOptions {
    pub identity: Option<Identity>,
    pub http: Http,
    /// A configuration that several connections share, so that TLS sessions resume; `identity` and `http` are then its.
    pub tls: Option<Arc<ClientConfig>>,
    /// SNI and Host; absent: the address.
    pub host: Option<&'static str>,
    /// The address to come from; absent: 127.0.0.1.
    pub source: Option<IpAddr>,
    /// What is sent before TLS: what a load balancer says.
    pub before_tls: Vec<u8>,
}

type Outgoing = BoxBody<Bytes, Infallible>;

#[derive(Clone)]
enum Sender {
    One(Arc<tokio::sync::Mutex<hyper::client::conn::http1::SendRequest<Outgoing>>>),
    Two(hyper::client::conn::http2::SendRequest<Outgoing>),
}

/// One connection, kept for many requests. A clone speaks on the same connection.
#[derive(Clone)]
pub(crate) struct Session {
    sender: Sender,
    authority: String,
    pub resumed: bool,
    /// What the server showed, leaf first.
    pub server_chain: Vec<Vec<u8>>,
    ended: tokio::sync::watch::Receiver<bool>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `code` of problem details.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code, to compare both at once.
    pub(crate) fn problem(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn decision_id(&self) -> &str {
        self.header("x-portcullis-decision-id").unwrap()
    }
}

/// A client's side of TLS, with sessions kept for resumption.
pub(crate) fn tls_config(gateway: &Gateway, identity: Option<&Identity>, http: Http) -> Arc<ClientConfig> {
    tls_config_trusting(gateway, roots(gateway), identity, http)
}

fn roots(gateway: &Gateway) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let ca = std::fs::read(gateway.data().join("ca.pem")).unwrap();
    for certificate in CertificateDer::pem_slice_iter(&ca) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// For a client that does not look whom it talks to: it may then name whom it likes.
pub(crate) fn blind_tls_config(gateway: &Gateway) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&tls_config(gateway, None, Http::One));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    config.dangerous().set_certificate_verifier(Arc::new(Blind(provider)));
    Arc::new(config)
}

#[derive(Debug)]
struct Blind(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub(crate) fn tls_config_trusting(
    gateway: &Gateway,
    roots: RootCertStore,
    identity: Option<&Identity>,
    http: Http,
) -> Arc<ClientConfig> {
    tls_config_of(gateway, roots, identity, http, rustls::DEFAULT_VERSIONS)
}

/// A client that cannot speak TLS 1.3.
pub(crate) fn tls12_config(gateway: &Gateway, identity: Option<&Identity>, http: Http) -> Arc<ClientConfig> {
    tls_config_of(gateway, roots(gateway), identity, http, &[&rustls::version::TLS12])
}

fn tls_config_of(
    gateway: &Gateway,
    roots: RootCertStore,
    identity: Option<&Identity>,
    http: Http,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // The client's clock is the test's too: its certificates are dated by it.
    let builder = ClientConfig::builder_with_details(provider, Arc::new(TestTime(gateway.clock.clone())))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder
            .with_client_auth_cert(
                identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect(),
                PrivateKeyDer::try_from(identity.key_pkcs8.clone()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![match http {
        Http::One => b"http/1.1".to_vec(),
        Http::Two => b"h2".to_vec(),
    }];
    config.resumption = Resumption::in_memory_sessions(16);
    Arc::new(config)
}

/// TLS to a listener, no HTTP yet.
pub(crate) async fn connect_tls(
    gateway: &Gateway,
    listener: &str,
    options: &SessionOptions,
) -> io::Result<TlsStream<TcpStream>> {
    let config = match &options.tls {
        Some(config) => Arc::clone(config),
        None => tls_config(gateway, options.identity.as_ref(), options.http),
    };
    let address = gateway.address(listener);
    let name = match options.host {
        Some(host) => ServerName::try_from(host).unwrap(),
        None => ServerName::IpAddress(address.ip().into()),
    };
    let socket = TcpSocket::new_v4()?;
    if let Some(source) = options.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let mut stream = socket.connect(address).await?;
    stream.write_all(&options.before_tls).await?;
    let connecting = TlsConnector::from(config).connect(name, stream);
    tokio::time::timeout(PATIENCE, connecting).await.expect("a handshake in time")
}

#[derive(Debug)]
struct TestTime(portcullis::clock::Clock);

impl rustls::time_provider::TimeProvider for TestTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(self.0.now().0).unwrap())))
    }
}

impl Session {
    /// Connects to a listener by name.
    pub(crate) async fn open(gateway: &Gateway, listener: &str, options: SessionOptions) -> io::Result<Self> {
        let stream = connect_tls(gateway, listener, &options).await?;
        let tls = stream.get_ref().1;
        let resumed = tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let server_chain = tls.peer_certificates().unwrap().iter().map(|der| der.to_vec()).collect();
        let two = tls.alpn_protocol() == Some(b"h2");
        let authority = match options.host {
            Some(host) => host.to_owned(),
            None => gateway.address(listener).to_string(),
        };
        let (end, ended) = tokio::sync::watch::channel(false);
        let sender = if two {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (sender, connection) = handshake.await.map_err(io::Error::other)?;
            tokio::spawn(async move {
                let _ = connection.await;
                let _ = end.send(true);
            });
            Sender::Two(sender)
        } else {
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
            let (sender, connection) = handshake.await.map_err(io::Error::other)?;
            tokio::spawn(async move {
                let _ = connection.await;
                let _ = end.send(true);
            });
            Sender::One(Arc::new(tokio::sync::Mutex::new(sender)))
        };
        Ok(Self { sender, authority, resumed, server_chain, ended })
    }

    /// Sends a request; an error means that the connection is gone.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, hyper::Error> {
        let body = Full::new(body.into()).boxed();
        let exchange = async {
            let (parts, body) = self.start(method, path, headers, body).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    /// Sends a request and returns with the head of the answer; both bodies may still be on their way.
    pub(crate) async fn start(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Outgoing,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let mut builder = Request::builder().method(method);
        builder = match self.sender {
            Sender::One(_) => builder.uri(path).header("host", &self.authority),
            Sender::Two(_) => builder.uri(format!("https://{}{path}", self.authority)),
        };
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        self.transmit(builder.body(body).unwrap()).await
    }

    /// Sends a request exactly as the test made it.
    pub(crate) async fn transmit(&self, request: Request<Outgoing>) -> Result<Response<Incoming>, hyper::Error> {
        let exchange = async {
            match &self.sender {
                Sender::One(sender) => {
                    let mut sender = sender.lock().await;
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Two(sender) => {
                    let mut sender = sender.clone();
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    /// Names another host than the one that it reached, in Host or `:authority`: what a proxy says of its client.
    pub(crate) fn speak_of(&mut self, host: &str) {
        host.clone_into(&mut self.authority);
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, Bytes::new()).await.unwrap()
    }

    /// Status of a GET; 0 when the connection is gone.
    pub(crate) async fn status(&mut self, path: &str, headers: &[(&str, &str)]) -> u16 {
        self.send("GET", path, headers, Bytes::new()).await.map_or(0, |answer| answer.status.as_u16())
    }

    pub(crate) async fn post_json(&mut self, path: &str, body: &serde_json::Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await.unwrap()
    }

    pub(crate) async fn post_form(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send("POST", path, &all, body.to_owned()).await.unwrap()
    }

    /// Waits until the server has closed the connection.
    pub(crate) async fn closed(&mut self) {
        tokio::time::timeout(PATIENCE, self.ended.wait_for(|ended| *ended)).await.expect("closed in time").unwrap();
    }

    pub(crate) fn is_open(&self) -> bool {
        !*self.ended.borrow()
    }
}
