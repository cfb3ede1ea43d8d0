//! Messages to a URL of the operator's, signed as Standard Webhooks 1.0 has it (`webhook-id`, `webhook-timestamp`,
//! `webhook-signature`), so that the receiver can use any of its libraries.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use policies::UnixSeconds;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::config::read_guarded_file;
use crate::failure::Fault;

/// From the look-up of the name to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What the receiver says does not matter; so much is read that the connection ends in order.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const ATTEMPTS_MAX: u32 = 5;
/// Before the second attempt; it doubles each time.
const PAUSE: Duration = Duration::from_millis(500);
/// As the specification asks.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const SECRET_PREFIX: &str = "whsec_";

/// Where messages go, and the key under which they are signed.
pub(super) struct Webhook {
    uri: Uri,
    key: hmac::Key,
    ca_file: Option<PathBuf>,
    pause: Duration,
}

impl Webhook {
    /// `https`, or `http` to a loopback address written as a number. Redirects are not followed: whoever could make the receiver
    /// redirect would learn who our partners are.
    pub(super) fn new(url: &str, secret_file: &Path, ca_file: Option<PathBuf>) -> Result<Self, Fault> {
        let uri: Uri = url.parse().map_err(|_| Fault::new("expiry.webhook_url is not a URL"))?;
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let secure = match uri.scheme_str() {
            Some("https") => !host.is_empty(),
            Some("http") => is_loopback,
            _ => false,
        };
        if !secure || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Fault::new("expiry.webhook_url must be https (or http to 127.0.0.1 or [::1]) without user"));
        }
        Ok(Self { uri, key: key(secret_file)?, ca_file, pause: PAUSE })
    }

    /// Sends one message until the receiver takes it (2xx), a few times. Its id stays the same, so that it can be told from another.
    ///
    /// # Errors
    /// A fault with the last failure.
    pub(super) async fn deliver(&self, id: &str, body: Bytes, now: UnixSeconds) -> Result<(), Fault> {
        let mut pause = self.pause;
        for attempt in 1.. {
            let sent = tokio::time::timeout(TIMEOUT, self.send(id, body.clone(), now)).await;
            let fault = match sent.unwrap_or_else(|_| Err(Fault::new(format!("no answer within {TIMEOUT:?}")))) {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if attempt >= ATTEMPTS_MAX {
                return Err(fault.context("the webhook did not take the message"));
            }
            tracing::debug!(attempt, fault = fault.inside(), "the webhook is tried again");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    async fn send(&self, id: &str, body: Bytes, now: UnixSeconds) -> Result<(), Fault> {
        let connector = HttpsConnectorBuilder::new().with_tls_config(self.tls().await?).https_or_http().enable_http1();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector.wrap_connector(tcp));
        let request = Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", now.0)
            .header("webhook-signature", self.signature(id, &body, now))
            .body(Full::new(body))
            .map_err(|error| Fault::new(error.to_string()))?;
        let response = client.request(request).await.map_err(|error| Fault::new(with_causes(&error)))?;
        let status = response.status();
        let _ = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        match status.is_success() {
            true => Ok(()),
            false => Err(Fault::new(format!("the receiver answered {status}"))),
        }
    }

    fn signature(&self, id: &str, body: &[u8], now: UnixSeconds) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(format!("{id}.{now}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign().as_ref()))
    }

    /// Read anew for each message, which is rare, so that a renewed file of trust anchors needs no restart.
    async fn tls(&self) -> Result<ClientConfig, Fault> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Fault::new(format!("TLS: {error}")))?;
        let Some(path) = &self.ca_file else {
            return Ok(builder.with_webpki_roots().with_no_client_auth());
        };
        let path = path.clone();
        let pem = tokio::task::spawn_blocking(move || read_guarded_file(&path, FILE_BYTES_MAX, false))
            .await
            .map_err(|error| Fault::new(error.to_string()))??;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let unusable = |error: String| Fault::new(format!("expiry.webhook_ca_file: {error}"));
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(Fault::new("expiry.webhook_ca_file holds no certificate"));
        }
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A URL of a chat service is a secret itself.
        formatter.debug_struct("Webhook").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

fn key(path: &Path) -> Result<hmac::Key, Fault> {
    let text = String::from_utf8(read_guarded_file(path, FILE_BYTES_MAX, true)?).map_err(|_| wrong_secret())?;
    let encoded = text.trim().strip_prefix(SECRET_PREFIX).ok_or_else(wrong_secret)?;
    let secret = STANDARD.decode(encoded).map_err(|_| wrong_secret())?;
    if !SECRET_BYTES.contains(&secret.len()) {
        return Err(wrong_secret());
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
}

fn wrong_secret() -> Fault {
    Fault::new(
        "expiry.webhook_secret_file must hold whsec_ and 24 to 64 bytes in Base64: echo whsec_$(openssl rand -base64 32)",
    )
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let write = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            Webhook::new("https://hooks.example.com/x", &file, None)
        };
        let webhook = write("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", 0o600).unwrap();
        let signed =
            webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#, UnixSeconds(1_614_265_330));
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(write("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", 0o644).is_err(), "others could read it");
        for wrong in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_%%%", ""] {
            assert!(write(wrong, 0o600).is_err(), "{wrong}");
        }
    }

    /// Answers with these statuses, one connection each; gives the heads that it was sent.
    async fn receiver(statuses: &'static [u16]) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let heads = tokio::spawn(async move {
            let mut heads = Vec::new();
            for status in statuses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut head, mut octets) = (String::new(), [0; 4096]);
                while !head.ends_with("{}") {
                    let read = stream.read(&mut octets).await.unwrap();
                    head += std::str::from_utf8(&octets[..read]).unwrap();
                }
                heads.push(head);
                let answer =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: http://127.0.0.1:1/\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            heads
        });
        (url, heads)
    }

    async fn delivered(statuses: &'static [u16]) -> (Result<(), Fault>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let (url, heads) = receiver(statuses).await;
        let webhook = Webhook { pause: Duration::ZERO, ..Webhook::new(&url, &file, None).unwrap() };
        let done = webhook.deliver("id-1", "{}".into(), UnixSeconds(1_800_000_000)).await;
        (done, heads.await.unwrap())
    }

    #[tokio::test]
    async fn a_message_is_sent_again_under_the_same_id_until_it_is_taken() {
        let (done, heads) = delivered(&[500, 302, 204]).await;
        done.unwrap();
        for head in heads {
            assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
            assert!(
                head.contains("webhook-id: id-1\r\n") && head.contains("webhook-timestamp: 1800000000\r\n"),
                "{head}"
            );
        }
    }

    #[tokio::test]
    async fn a_receiver_that_never_takes_it_is_given_up() {
        let (done, heads) = delivered(&[500, 404, 503, 400, 500]).await;
        assert_eq!(heads.len(), ATTEMPTS_MAX as usize);
        assert!(done.unwrap_err().inside().contains("500"));
    }

    #[test]
    fn messages_leave_over_tls_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        for (url, accepted) in [
            ("https://hooks.example.com/x?y=z", true),
            ("http://127.0.0.1:8000/x", true),
            ("http://[::1]:8000/", true),
            ("http://hooks.example.com/x", false),
            ("http://localhost/x", false),
            ("https://user:word@hooks.example.com/", false),
            ("ftp://127.0.0.1/", false),
            ("hooks.example.com", false),
        ] {
            assert_eq!(Webhook::new(url, &file, None).is_ok(), accepted, "{url}");
        }
    }
}
