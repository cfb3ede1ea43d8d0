//! One GET of one partner's revocation list, and nothing that the other side could make more of it.
//!
//! The address was given by an operator, but what answers there is the partner's: it may be slow, endless, or lead elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A million entries with reasons take 53 MB.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// From the look-up of the name to the last byte, redirects included.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;
/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Redirects that are followed, each on the same host.
const REDIRECTS_MAX: usize = 3;
const URL_BYTES_MAX: usize = 1_024;

/// Where a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListAddress {
    uri: Uri,
    is_tls: bool,
    /// Lower case, without brackets.
    host: String,
    port: u16,
}

impl ListAddress {
    /// Reads `http://…` or `https://…` without user and fragment. Plain HTTP is what lists are published by (RFC 5280 §4.2.1.13): they
    /// are signed.
    ///
    /// # Errors
    /// A sentence for people.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("{url:?} {why}"));
        if url.len() > URL_BYTES_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains('#') {
            return refuse("is not an address that lists could be fetched from");
        }
        let Ok(uri) = url.parse::<Uri>() else { return refuse("is not an address") };
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return refuse("must begin with http:// or https://"),
        };
        let Some(authority) = uri.authority() else { return refuse("names no host") };
        // `http://pki.partner.example@10.0.0.1/`: what looks like the host is a user name.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return refuse("must name a host and no user");
        }
        // `:99999` and `:` are read as no port at all, and then another would be asked.
        if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none() {
            return refuse("has no valid port");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { is_tls, host, port, uri })
    }

    /// Refuses an address literal that is not to be asked; a name is looked up at each fetch.
    pub(super) fn check_literal(&self, allow_private: bool) -> Result<(), String> {
        match self.host.parse::<IpAddr>() {
            Ok(ip) if !allow_private && !policies::is_public_address(ip) => Err(not_public(ip)),
            _ => Ok(()),
        }
    }

    /// Where the answer leads, if that is the same host and no step down from TLS.
    fn redirected(&self, location: Option<&header::HeaderValue>) -> Result<Self, String> {
        let location = location.and_then(|value| value.to_str().ok()).ok_or("a redirect without Location")?;
        let origin = format!(
            "{}://{}",
            self.uri.scheme_str().unwrap_or_default(),
            self.uri.authority().map_or("", |own| own.as_str())
        );
        let next = match location.strip_prefix('/') {
            Some(rest) if !rest.starts_with('/') => Self::parse(&format!("{origin}{location}"))?,
            _ => Self::parse(location)?,
        };
        if next.host != self.host {
            return Err(format!("it redirects to another host: {}", shown(&next.host)));
        }
        let same_service = next.port == self.port && next.is_tls == self.is_tls;
        let upgraded = !self.is_tls && self.port == 80 && next.is_tls && next.port == 443;
        if same_service || upgraded {
            Ok(next)
        } else {
            Err("it redirects to another port or away from https".to_owned())
        }
    }

    async fn addresses(&self, allow_private: bool) -> Result<Vec<SocketAddr>, String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<_> = found.map_err(|error| format!("looking up {}: {error}", shown(&self.host)))?.collect();
        // The very addresses that were looked at are connected to: a name that says something else the next time gains nothing.
        let allowed = |address: &SocketAddr| allow_private || policies::is_public_address(address.ip());
        match (found.iter().copied().filter(allowed).take(ADDRESSES_MAX).collect::<Vec<_>>(), found.first()) {
            (none, Some(first)) if none.is_empty() => Err(not_public(first.ip())),
            (none, None) if none.is_empty() => Err(format!("{} has no address", shown(&self.host))),
            (addresses, _) => Ok(addresses),
        }
    }

    async fn connect(&self, allow_private: bool) -> Result<TcpStream, String> {
        let mut failed = "no address could be reached".to_owned();
        for address in self.addresses(allow_private).await? {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = format!("connecting to {address}: {error}"),
                Err(_) => failed = format!("connecting to {address}: no answer within {CONNECT_TIMEOUT:?}"),
            }
        }
        Err(failed)
    }
}

/// The body of the answer, which must be 200.
///
/// # Errors
/// A sentence for the operator.
pub(super) async fn fetch(address: &ListAddress, allow_private: bool) -> Result<Bytes, String> {
    tokio::time::timeout(TIMEOUT, follow(address, allow_private))
        .await
        .unwrap_or_else(|_| Err(format!("no whole answer within {TIMEOUT:?}")))
}

async fn follow(address: &ListAddress, allow_private: bool) -> Result<Bytes, String> {
    let mut address = address.clone();
    for _ in 0..=REDIRECTS_MAX {
        match exchange(&address, allow_private).await? {
            Exchange::Body(body) => return Ok(body),
            Exchange::Elsewhere(next) => address = next,
        }
    }
    Err(format!("more than {REDIRECTS_MAX} redirects"))
}

enum Exchange {
    Body(Bytes),
    Elsewhere(ListAddress),
}

async fn exchange(address: &ListAddress, allow_private: bool) -> Result<Exchange, String> {
    let stream = address.connect(allow_private).await?;
    if !address.is_tls {
        return over(address, stream).await;
    }
    let name = ServerName::try_from(address.host.clone()).map_err(|_| "the host has no name for TLS".to_owned())?;
    let stream = TlsConnector::from(Arc::new(tls()?)).connect(name, stream).await;
    over(address, stream.map_err(|error| format!("TLS: {error}"))?).await
}

fn tls() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|error| format!("TLS: {error}"))?.with_webpki_roots().with_no_client_auth())
}

async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    address: &ListAddress,
    stream: S,
) -> Result<Exchange, String> {
    let broken = |error: hyper::Error| format!("HTTP: {error}");
    let (mut sender, driver) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let path = address.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, address.uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::ACCEPT, "application/pkix-crl, */*")
        .header(header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    // Both in this task: dropped together when the time is up.
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_redirection() {
            return address.redirected(response.headers().get(header::LOCATION)).map(Exchange::Elsewhere);
        }
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status()));
        }
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        body.map(|body| Exchange::Body(body.to_bytes())).map_err(|error| format!("the body: {error}"))
    };
    let mut driver = std::pin::pin!(driver);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        outcome = &mut exchange => outcome,
        _ = &mut driver => exchange.await,
    }
}

fn not_public(ip: IpAddr) -> String {
    format!("{ip} is no public address: say that private addresses are allowed, if it is meant to be asked")
}

/// Host names of redirects come from the other side.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(from: &str, to: &str) -> Result<String, String> {
        let location = header::HeaderValue::from_str(to).unwrap();
        ListAddress::parse(from)?.redirected(Some(&location)).map(|next| next.uri.to_string())
    }

    #[test]
    fn addresses_that_lead_astray_are_refused() {
        for url in [
            "",
            "pki.example/x.crl",
            "ftp://pki.example/x.crl",
            "file:///etc/passwd",
            "ldap://pki.example/",
            "http://",
            "http:///x",
            "http://user@pki.example/",
            "http://a:b@pki.example/",
            "http://pki.example/#x",
            "http://pki.example/ x",
            "http://pki.example:99999/",
        ] {
            assert!(ListAddress::parse(url).is_err(), "{url}");
        }
        let address = ListAddress::parse("HTTP://PKI.example/x.crl");
        assert!(address.is_ok_and(|address| address.host == "pki.example" && address.port == 80));
        for url in ["http://127.0.0.1/x", "http://[::1]/x", "http://[::ffff:10.0.0.1]/x", "https://169.254.169.254/x"] {
            let address = ListAddress::parse(url).unwrap();
            assert!(address.check_literal(false).is_err() && address.check_literal(true).is_ok(), "{url}");
        }
    }

    #[test]
    fn redirects_stay_on_the_host() {
        assert_eq!(redirect("http://pki.example/a", "/b?c").unwrap(), "http://pki.example/b?c");
        assert_eq!(redirect("http://pki.example/a", "https://PKI.example/b").unwrap(), "https://PKI.example/b");
        for (from, to) in [
            ("http://pki.example/a", "http://evil.example/b"),
            ("http://pki.example/a", "//evil.example/b"),
            ("http://pki.example/a", "http://pki.example.evil.example/"),
            ("http://pki.example/a", "http://pki.example@evil.example/"),
            ("http://pki.example/a", "http://pki.example:25/"),
            ("https://pki.example/a", "http://pki.example/"),
            ("http://pki.example:8080/a", "https://pki.example/"),
            ("http://pki.example/a", "b"),
        ] {
            assert!(redirect(from, to).is_err(), "{from} {to}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_asked() {
        let address = ListAddress::parse("http://localhost:9/x").unwrap();
        assert!(fetch(&address, false).await.unwrap_err().contains("no public address"));
    }
}
