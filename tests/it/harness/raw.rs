use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::gateway::Gateway;
use super::session::{Answer, PATIENCE, SessionOptions, connect_tls};

/// Bytes: what no HTTP library would send.
pub(crate) struct RawConnection {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl RawConnection {
    pub(crate) async fn open(gateway: &Gateway, options: &SessionOptions) -> Self {
        Self::over(connect_tls(gateway, "gateway", options).await.unwrap())
    }

    pub(crate) fn over(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: Box::new(stream), read: Vec::new() }
    }

    /// To the PKI listener, which has no TLS.
    pub(crate) async fn plain(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.address("pki")).await.unwrap();
        Self { stream: Box::new(stream), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends to a server that may have gone.
    pub(crate) async fn send_if_open(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next answer, or nothing when the connection ends before its head.
    pub(crate) async fn answer_if_open(&mut self) -> Option<Answer> {
        if self.read.is_empty() && self.more().await.is_err() {
            return None;
        }
        Some(self.answer().await)
    }

    /// The next answer; its body must have a length.
    pub(crate) async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.expect("an answer in time")
    }

    /// Whether the server closes the connection without another word.
    pub(crate) async fn is_closed(&mut self) -> bool {
        assert!(self.read.is_empty(), "more came: {:?}", String::from_utf8_lossy(&self.read));
        let mut byte = [0];
        match tokio::time::timeout(PATIENCE, self.stream.read(&mut byte)).await {
            // A peer that leaves without close_notify has left as well.
            Ok(Ok(0) | Err(_)) => true,
            Ok(Ok(_)) | Err(_) => false,
        }
    }

    /// Reads to the end of the connection; what came before must not say 2xx.
    pub(crate) async fn ends_without_success(&mut self, what: &str) {
        let reading = async { while self.more().await.is_ok() {} };
        tokio::time::timeout(PATIENCE, reading).await.expect("the connection ends in time");
        if let Some((status, ..)) = head(&self.read) {
            assert!(!status.is_success(), "{what}: {}", String::from_utf8_lossy(&self.read));
        }
    }

    async fn read_answer(&mut self) -> Answer {
        loop {
            if let Some((status, headers, start)) = head(&self.read) {
                let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
                while self.read.len() < start + length {
                    self.more().await.unwrap();
                }
                let rest = self.read.split_off(start + length);
                let body = Bytes::copy_from_slice(&self.read[start..]);
                self.read = rest;
                return Answer { status, headers, body };
            }
            self.more().await.unwrap();
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).await?;
        if count == 0 {
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            return Err(io::Error::other(format!("the connection ended after {so_far:?}")));
        }
        self.read.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}

fn head(bytes: &[u8]) -> Option<(StatusCode, HeaderMap, usize)> {
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut lines);
    let httparse::Status::Complete(start) = response.parse(bytes).unwrap() else { return None };
    let mut headers = HeaderMap::new();
    for line in response.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(line.value).unwrap());
    }
    Some((StatusCode::from_u16(response.code.unwrap()).unwrap(), headers, start))
}
