//! A connection and the requests on it: a small HTTP/1.1 client that knows when each byte was sent and what it cost.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;
use super::wire::{Bytes, Counted, Meter};

/// Nothing that is measured takes longer.
const PATIENCE: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

type Body = Full<bytes::Bytes>;
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// A request that can be sent again and again.
#[derive(Clone, Debug)]
pub(super) struct Question {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: bytes::Bytes,
}

impl Question {
    pub(super) fn get(endpoint: &Endpoint) -> Self {
        Self::new(Method::GET, endpoint, bytes::Bytes::new())
    }

    pub(super) fn post(endpoint: &Endpoint, content_type: &'static str, body: impl Into<bytes::Bytes>) -> Self {
        Self::new(Method::POST, endpoint, body.into())
            .with(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    fn new(method: Method, endpoint: &Endpoint, body: bytes::Bytes) -> Self {
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(&endpoint.authority) {
            headers.insert(header::HOST, host);
        }
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("portcullis-compare/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        Self { method, path: endpoint.path.clone(), headers, body }
    }

    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn request(&self) -> Result<Request<Body>, CallError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .body(Full::new(self.body.clone()))
            .map_err(|error| CallError::new(Stage::Request, error.to_string()))?;
        request.headers_mut().clone_from(&self.headers);
        Ok(request)
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// From Retry-After, if it is in seconds.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: bytes::Bytes,
}

impl Answer {
    /// The gate let the request through. What the service behind it then said is its own affair, if it is not a failure.
    pub(super) fn is_served(&self) -> bool {
        !self.is_denied()
            && !self.is_throttled()
            && !self.status.is_server_error()
            && self.status != StatusCode::MISDIRECTED_REQUEST
    }

    pub(super) fn is_denied(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// `401 method_not_accepted`, for people.
    pub(super) fn described(&self) -> String {
        let body = self.json().unwrap_or_default();
        let code = ["code", "error", "message"].into_iter().find_map(|member| body.get(member)?.as_str());
        format!("{} {}", self.status.as_u16(), code.unwrap_or(self.status.canonical_reason().unwrap_or_default()))
            .chars()
            .filter(|character| !character.is_control())
            .collect()
    }
}

/// How far a call came that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connect,
    Handshake,
    Request,
}

/// A call without an answer.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", match stage { Stage::Connect => "no connection", Stage::Handshake => "the TLS handshake failed", Stage::Request => "no answer" })]
pub(super) struct CallError {
    pub(super) stage: Stage,
    pub(super) reason: String,
}

impl CallError {
    fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, reason: reason.into() }
    }
}

/// Where, and as whom.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) endpoint: Endpoint,
    pub(super) tls: TlsConnector,
}

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agreed {
    pub version: String,
    pub cipher_suite: String,
    pub key_exchange: String,
}

/// How long a new connection took to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) began: Instant,
    pub(super) tcp: Duration,
    /// Until the client could send: in TLS 1.3 the server checks the client's certificate after that.
    pub(super) tls: Duration,
    pub(super) bytes: Bytes,
}

/// One open connection.
pub(super) struct Line {
    sender: SendRequest<Body>,
    /// Moves the bytes; `None` when the connection is over.
    driver: Option<Driver>,
    meter: Meter,
    pub(super) resumed: bool,
    pub(super) agreed: Agreed,
    /// The peer's address, when it is this machine.
    pub(super) local_peer: Option<std::net::SocketAddr>,
}

impl Door {
    /// A new connection.
    pub(super) async fn open(&self) -> Result<(Line, Opening), CallError> {
        timeout(PATIENCE, self.open_patiently())
            .await
            .unwrap_or_else(|_| Err(CallError::new(Stage::Connect, format!("none within {} s", PATIENCE.as_secs()))))
    }

    async fn open_patiently(&self) -> Result<(Line, Opening), CallError> {
        let began = Instant::now();
        let tcp = TcpStream::connect(self.endpoint.addresses.as_slice())
            .await
            .map_err(|error| CallError::new(Stage::Connect, format!("{}: {error}", self.endpoint.authority)))?;
        let connected = began.elapsed();
        let _ = tcp.set_nodelay(true);
        let local_peer = match (tcp.local_addr(), tcp.peer_addr()) {
            (Ok(local), Ok(peer)) if local.ip() == peer.ip() => Some(peer),
            _ => None,
        };
        let (counted, meter) = Counted::new(tcp);
        let stream = self
            .tls
            .connect(self.endpoint.name.clone(), counted)
            .await
            .map_err(|error| CallError::new(Stage::Handshake, error.to_string()))?;
        let opening =
            Opening { began, tcp: connected, tls: began.elapsed().saturating_sub(connected), bytes: meter.bytes() };
        let session = stream.get_ref().1;
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let named = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
        let agreed = Agreed {
            version: named(session.protocol_version().map(|version| format!("{version:?}"))),
            cipher_suite: named(session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()))),
            key_exchange: named(session.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()))),
        };
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| CallError::new(Stage::Handshake, error.to_string()))?;
        Ok((Line { sender, driver: Some(Box::pin(driver)), meter, resumed, agreed, local_peer }, opening))
    }
}

impl Line {
    /// Bytes since the connection began.
    pub(super) fn bytes(&self) -> Bytes {
        self.meter.bytes()
    }

    /// Sends a request and reads the whole answer. An error means that the connection is gone.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<Answer, CallError> {
        let silent = || CallError::new(Stage::Request, format!("none within {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, self.ask_patiently(question)).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn ask_patiently(&mut self, question: &Question) -> Result<Answer, CallError> {
        let Some(driver) = &mut self.driver else {
            return Err(CallError::new(Stage::Request, "the connection is closed"));
        };
        let request = question.request()?;
        let sender = &mut self.sender;
        let mut answer = pin!(async {
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>((head, Limited::new(body, ANSWER_BYTES_MAX).collect().await))
        });
        // One task does both: no wake-up of another lies between the answer and the clock.
        let outcome = tokio::select! {
            biased;
            outcome = &mut answer => outcome,
            _ = driver => {
                self.driver = None;
                // The server may have closed behind an answer that is already here.
                answer.await
            }
        };
        let (head, body) = outcome.map_err(|error| CallError::new(Stage::Request, chain(&error)))?;
        let body = body.map_err(|error| CallError::new(Stage::Request, error.to_string()))?.to_bytes();
        let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer { status: head.status, retry_after: retry_after.map(Duration::from_secs), body })
    }
}

/// hyper says what failed, its sources say why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
