//! The admin API over mutual TLS: JSON out, JSON or a problem (RFC 9457) back.

mod tls;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::error::CliError;
use super::query::Query;

/// Long enough for a node at the other side of the world.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An RSA-4096 key on a busy machine takes some seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What the server gives in one page at most.
const PAGE_MAX: usize = 1_000;

/// A client of one server; keeps its connection between calls.
pub(super) struct AdminApi {
    connection: Connection,
    tls: TlsConnector,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// Some of a list, and whether there is more.
pub(super) struct Listing {
    pub(super) items: Vec<Value>,
    pub(super) has_more: bool,
}

/// Any answer, good or bad.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The Date header.
    pub(super) date: Option<String>,
    pub(super) body: Bytes,
}

impl AdminApi {
    /// Reads the certificates and the key; nothing is sent yet.
    pub(super) fn new(connection: Connection) -> Result<Self, CliError> {
        let tls = tls::connector(&connection)?;
        Ok(Self { connection, tls, sender: None })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Value, CliError> {
        let answer = self.ask(path).await?;
        json(answer)
    }

    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Result<Value, CliError> {
        let request = self.request(Method::POST, path, Some(body))?;
        json(self.send(request).await?)
    }

    /// A POST whose repetition the server answers with the first answer.
    pub(super) async fn post_once(&mut self, path: &str, body: &Value) -> Result<Value, CliError> {
        let mut request = self.request(Method::POST, path, Some(body))?;
        let key = uuid::Uuid::now_v7().to_string();
        let key = key.parse().map_err(|_| CliError::new("a header cannot be made"))?;
        request.headers_mut().insert("idempotency-key", key);
        json(self.send(request).await?)
    }

    /// Follows `next` until `limit` items are there or none are left.
    pub(super) async fn list(&mut self, path: &str, query: &Query, limit: usize) -> Result<Listing, CliError> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let page = query
                .clone()
                .with("limit", Some((limit - items.len()).clamp(1, PAGE_MAX)))
                .with("after", after.as_deref());
            let mut answer = self.get(&page.on(path)).await?;
            let Some(Value::Array(page)) = answer.get_mut("items").map(Value::take) else {
                return Err(CliError::new(format!(
                    "the server's answer to {path} is not a list: it is of another version than this program"
                )));
            };
            items.extend(page);
            // A part may be empty and still not the last.
            after = answer.get("next").and_then(Value::as_str).map(str::to_owned);
            let is_full = items.len() >= limit;
            if after.is_none() || is_full {
                let has_more = is_full && (after.is_some() || items.len() > limit);
                items.truncate(limit);
                return Ok(Listing { items, has_more });
            }
        }
    }

    /// A GET whose answer is judged by the caller.
    pub(super) async fn ask(&mut self, path: &str) -> Result<Answer, CliError> {
        let was_open = self.sender.is_some();
        let request = self.request(Method::GET, path, None)?;
        match self.send(request).await {
            // The server ends idle connections when it likes; a question can be asked again.
            Err(_) if was_open => {
                let request = self.request(Method::GET, path, None)?;
                self.send(request).await
            }
            answered => answered,
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>, CliError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| CliError::new(error.to_string()))?,
            None => Vec::new(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.connection.authority)
            .header(header::ACCEPT, "application/json, application/problem+json")
            .header(header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request
            .body(Full::new(body.into()))
            .map_err(|error| CliError::new(format!("{path:?} cannot be asked for: {error}")))
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, CliError> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        let url = &self.connection.url;
        let silent = |_| CliError::new(format!("{url} did not answer within {} s", ANSWER_TIMEOUT.as_secs()));
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| tls::broken(&self.connection, &error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| CliError::new(format!("the answer of {url} broke off: {error}")))?;
            let date = head.headers.get(header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
            Ok::<_, CliError>(Answer { status: head.status, date, body: body.to_bytes() })
        };
        let answer = timeout(ANSWER_TIMEOUT, answer).await.map_err(silent)??;
        self.sender = Some(sender);
        Ok(answer)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, CliError> {
        let Connection { url, host, port, .. } = &self.connection;
        let unreachable = |why: String| {
            CliError::new(format!("no server answers at {url}: start it with `portcullis serve` or `portcullis demo`"))
                .with_details([why])
        };
        let connect = async {
            let tcp =
                TcpStream::connect((host.as_str(), *port)).await.map_err(|error| unreachable(error.to_string()))?;
            let _ = tcp.set_nodelay(true);
            let name = ServerName::try_from(host.clone())
                .map_err(|_| CliError::new(format!("{host:?} in {url} is neither a DNS name nor an address")))?;
            self.tls.connect(name, tcp).await.map_err(|error| tls::refused(&self.connection, &error))
        };
        let stream = timeout(CONNECT_TIMEOUT, connect)
            .await
            .map_err(|_| unreachable(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())))??;
        let (sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| tls::broken(&self.connection, &error))?;
        // Its errors come out of the requests that run over it.
        tokio::spawn(driver);
        Ok(sender)
    }
}

fn json(answer: Answer) -> Result<Value, CliError> {
    let parsed = serde_json::from_slice::<Value>(&answer.body);
    if !answer.status.is_success() {
        return Err(problem(answer.status, parsed.ok()));
    }
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    parsed.map_err(|error| CliError::new(format!("the server's answer is not JSON: {error}")))
}

/// What the server refused, in its words, with what to do where we know better than it.
fn problem(status: StatusCode, body: Option<Value>) -> CliError {
    let body = body.unwrap_or_default();
    let text = |member: &str| body.get(member).and_then(Value::as_str);
    // The gate's own refusals have only the name of the status in `message`.
    let message = text("message").filter(|message| Some(*message) != text("title"));
    let sentence = message.or_else(|| text("detail")).or_else(|| text("message")).or_else(|| text("title"));
    let sentence = sentence.map_or_else(|| format!("the server answered {status}"), super::table::plain);
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            Some("the server does not accept this administrator's certificate: see --certificate")
        }
        StatusCode::FORBIDDEN if text("code") == Some("insufficient_scope") => {
            Some("this administrator's client lacks portcullis/admin.read or portcullis/admin.write")
        }
        StatusCode::MISDIRECTED_REQUEST => {
            Some("the admin listener does not answer to this name: use one of its `hostnames` in --admin")
        }
        _ => None,
    };
    let details = body.get("details").and_then(Value::as_array).into_iter().flatten().map(super::table::shown);
    let place: Vec<_> =
        ["code", "decision_id"].into_iter().filter_map(|name| Some(format!("{name}: {}", text(name)?))).collect();
    CliError::new(sentence)
        .with_details(details)
        .with_details(hint.map(str::to_owned))
        .with_details((!place.is_empty()).then(|| super::table::plain(&place.join(", "))))
        .with_problem(body)
}

#[cfg(test)]
mod tests;
