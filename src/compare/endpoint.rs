use std::net::SocketAddr;

use http::Uri;
use rustls::pki_types::ServerName;

use crate::failure::Refusal;

/// Where a request goes, looked up once: a name server's mood is no property of an authentication method.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) url: String,
    /// For the certificate; without brackets.
    pub(super) name: ServerName<'static>,
    pub(super) addresses: Vec<SocketAddr>,
    /// As it stands in the Host header.
    pub(super) authority: String,
    pub(super) path: String,
}

impl Endpoint {
    /// `https://host[:port][/path[?query]]`.
    pub(super) async fn look_up(url: &str) -> Result<Self, Refusal> {
        let (host, port, authority, path) = parts(url).ok_or_else(|| {
            Refusal::invalid("invalid_url", format!("{url:?} is not a URL like https://127.0.0.1:8443/test"))
        })?;
        let unknown = |why: &str| Refusal::invalid("unknown_host", format!("the host {host:?} is not known: {why}"));
        let name = ServerName::try_from(host.clone()).map_err(|error| unknown(&error.to_string()))?;
        let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), port))
            .await
            .map_err(|error| unknown(&error.to_string()))?
            .collect();
        if addresses.is_empty() {
            return Err(unknown("it has no address"));
        }
        Ok(Self { url: url.to_owned(), name, addresses, authority, path })
    }

    /// Another path at the same place.
    pub(super) fn at(&self, path: &str) -> Self {
        Self { url: format!("https://{}{path}", self.authority), path: path.to_owned(), ..self.clone() }
    }
}

/// Host without brackets, port, authority, path with query.
fn parts(url: &str) -> Option<(String, u16, String, String)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    if uri.scheme_str() != Some("https") {
        return None;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Some((host, authority.port_u16().unwrap_or(443), authority.to_string(), path))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_url_is_taken_apart() {
        let of = |url| parts(url).map(|(host, port, authority, path)| format!("{host} {port} {authority} {path}"));
        assert_eq!(of("https://[::1]:8443/a?b=c").as_deref(), Some("::1 8443 [::1]:8443 /a?b=c"));
        assert_eq!(of("https://api.example.com").as_deref(), Some("api.example.com 443 api.example.com /"));
        // Credentials in a URL end up in logs, and plain HTTP shows them to everybody.
        for wrong in ["http://a/", "https://user:secret@a/", "a:1", "https://", "/test", ""] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
