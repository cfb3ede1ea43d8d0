//! One request over plain HTTP: behind TLS, what tells whether certificates are good could need itself (RFC 5280 §8).

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The body of a successful answer, at most `bytes_max`. The errors are for people.
pub(super) async fn get(url: &str, bytes_max: usize) -> Result<Bytes, String> {
    within_time(exchange(url, Method::GET, "", Bytes::new(), bytes_max)).await
}

/// The same for what is sent.
pub(super) async fn post(url: &str, content_type: &str, body: Vec<u8>, bytes_max: usize) -> Result<Bytes, String> {
    within_time(exchange(url, Method::POST, content_type, body.into(), bytes_max)).await
}

async fn within_time(exchange: impl Future<Output = Result<Bytes, String>>) -> Result<Bytes, String> {
    timeout(TIMEOUT, exchange).await.map_err(|_| format!("no answer within {} s", TIMEOUT.as_secs()))?
}

async fn exchange(
    url: &str,
    method: Method,
    content_type: &str,
    body: Bytes,
    bytes_max: usize,
) -> Result<Bytes, String> {
    let uri: Uri = url.parse().map_err(|_| "it is not a URL".to_owned())?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("it is not a plain http URL".to_owned());
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream =
        TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await.map_err(|error| error.to_string())?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(driver);
    let mut request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str());
    if !content_type.is_empty() {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("the server answered {}", response.status()));
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await.map_err(|error| error.to_string())?;
    Ok(body.to_bytes())
}
