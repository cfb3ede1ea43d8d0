//! One GET of one JWK Set (RFC 7517 §5), and nothing that the other side could make more of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::failure::Fault;

/// From the look-up of the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A hundred RSA-4096 keys with their certificate chains fit.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest head of the answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Largest file of trust anchors.
const CA_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Fetches one issuer's keys. The address comes from the policy, never from a token.
#[derive(Debug)]
pub(super) struct JwksClient {
    uri: Uri,
    ca_file: Option<PathBuf>,
    timeout: Duration,
}

impl JwksClient {
    /// `https`, or `http` to a loopback address written as a number: keys that came over a readable wire prove nothing.
    pub(super) fn new(uri: &str, ca_file: Option<PathBuf>) -> Result<Self, Fault> {
        let parsed: Uri = uri.parse().map_err(|_| Fault::new(format!("jwks_uri {uri:?} is not a URI")))?;
        let host = parsed.host().unwrap_or_default();
        let has_userinfo = parsed.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let secure = match parsed.scheme_str() {
            Some("https") => !host.is_empty(),
            Some("http") => is_loopback(host),
            _ => false,
        };
        if !secure || has_userinfo {
            return Err(Fault::new(format!(
                "jwks_uri {uri:?} must be https (or http to 127.0.0.1 or [::1]) without user"
            )));
        }
        Ok(Self { uri: parsed, ca_file, timeout: TIMEOUT })
    }

    /// For tests that wait for the timeout.
    #[cfg(test)]
    pub(super) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The body of the answer, which must be 200: a redirect is not followed, since whoever can make the issuer redirect
    /// would else choose our keys.
    pub(super) async fn fetch(&self) -> Result<Bytes, Fault> {
        let fetched = tokio::time::timeout(self.timeout, self.exchange()).await;
        let fetched = fetched.unwrap_or_else(|_| Err(Fault::new(format!("no answer within {:?}", self.timeout))));
        fetched.map_err(|fault| fault.context(&format!("fetching {}", self.uri)))
    }

    async fn exchange(&self) -> Result<Bytes, Fault> {
        let connector = HttpsConnectorBuilder::new().with_tls_config(self.tls().await?).https_or_http().enable_http1();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector.wrap_connector(tcp));
        let request = Request::get(self.uri.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| Fault::new(error.to_string()))?;
        let response = client.request(request).await.map_err(|error| Fault::new(with_causes(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(Fault::new(format!("the answer is {}", response.status())));
        }
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| Fault::new(format!("the body: {error}")))?.to_bytes())
    }

    /// Read anew for each fetch, which is rare, so that a renewed file of trust anchors needs no restart.
    async fn tls(&self) -> Result<ClientConfig, Fault> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Fault::new(format!("TLS: {error}")))?;
        let Some(path) = &self.ca_file else {
            return Ok(builder.with_webpki_roots().with_no_client_auth());
        };
        let unreadable = |error: String| Fault::new(format!("the trust anchors in {}: {error}", path.display()));
        let length = tokio::fs::metadata(path).await.map_err(|error| unreadable(error.to_string()))?.len();
        if length > CA_FILE_BYTES_MAX {
            return Err(unreadable(format!("larger than {CA_FILE_BYTES_MAX} bytes")));
        }
        let pem = tokio::fs::read(path).await.map_err(|error| unreadable(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unreadable("there is none".to_owned()));
        }
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Whether the host of a URI is a loopback address, written as one: `localhost` is whatever a resolver says.
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// hyper's errors say what happened only in their causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
