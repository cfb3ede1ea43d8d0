use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::gateway::Gateway;

/// Nothing in a test takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate chain and its key, as a partner holds them.
#[derive(Clone)]
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
}

/// The HTTP version of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Http {
    #[default]
    One,
    Two,
}

#[derive(Clone, Default)]
pub(crate) struct SessionOptions {
    pub identity: Option<Identity>,
    pub http: Http,
    /// Where TLS sessions are kept; two sessions that share it resume.
    pub resumption: Option<Resumption>,
    /// SNI and Host; absent: the address.
    pub host: Option<&'static str>,
}

enum Sender {
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

/// One connection, kept for many requests.
pub(crate) struct Session {
    sender: Sender,
    authority: String,
    pub resumed: bool,
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
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// TLS to a listener, no HTTP yet.
pub(crate) async fn connect_tls(
    gateway: &Gateway,
    listener: &str,
    options: &SessionOptions,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = std::fs::read(gateway.data().join("ca.pem")).unwrap();
    for certificate in CertificateDer::pem_slice_iter(&ca) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // The client's clock is the test's too: its certificates are dated by it.
    let builder = ClientConfig::builder_with_details(provider, Arc::new(TestTime(gateway.clock.clone())))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match &options.identity {
        Some(identity) => builder
            .with_client_auth_cert(
                identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect(),
                PrivateKeyDer::try_from(identity.key_pkcs8.clone()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![match options.http {
        Http::One => b"http/1.1".to_vec(),
        Http::Two => b"h2".to_vec(),
    }];
    config.resumption = options.resumption.clone().unwrap_or_else(Resumption::disabled);
    let address = gateway.address(listener);
    let name = match options.host {
        Some(host) => ServerName::try_from(host).unwrap(),
        None => ServerName::IpAddress(address.ip().into()),
    };
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[derive(Debug)]
struct TestTime(portcullis::clock::Clock);

impl rustls::time_provider::TimeProvider for TestTime {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(self.0.now().0).unwrap())))
    }
}

impl Session {
    /// Connects to a listener by name.
    pub(crate) async fn open(gateway: &Gateway, listener: &str, options: SessionOptions) -> io::Result<Self> {
        let stream = connect_tls(gateway, listener, &options).await?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let authority = match options.host {
            Some(host) => host.to_owned(),
            None => gateway.address(listener).to_string(),
        };
        let (end, ended) = tokio::sync::watch::channel(false);
        let sender = match options.http {
            Http::One => {
                let (sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
                tokio::spawn(async move {
                    let _ = connection.await;
                    let _ = end.send(true);
                });
                Sender::One(sender)
            }
            Http::Two => {
                let (sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                        .await
                        .map_err(io::Error::other)?;
                tokio::spawn(async move {
                    let _ = connection.await;
                    let _ = end.send(true);
                });
                Sender::Two(sender)
            }
        };
        Ok(Self { sender, authority, resumed, ended })
    }

    /// Sends a request; an error means that the connection is gone.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, hyper::Error> {
        let mut builder = Request::builder().method(method);
        builder = match self.sender {
            Sender::One(_) => builder.uri(path).header("host", &self.authority),
            Sender::Two(_) => builder.uri(format!("https://{}{path}", self.authority)),
        };
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(Full::new(body.into())).unwrap();
        let exchange = async {
            let response = match &mut self.sender {
                Sender::One(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Sender::Two(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, Bytes::new()).await.unwrap()
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
}
