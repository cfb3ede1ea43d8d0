use std::path::{Path, PathBuf};

use ipnet::IpNet;
use policies::TrustedProxies;
use serde::{Deserialize, Serialize};

use super::listener::canonical_hostname;

/// More proxies than this have one configuration that somebody lost track of.
const CALLERS_MAX: usize = 64;

/// How a proxy puts its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// nginx `auth_request`.
    Nginx,
    /// Traefik `ForwardAuth`.
    Traefik,
    /// Caddy `forward_auth`.
    Caddy,
    /// Envoy `ext_authz` over HTTP.
    Envoy,
    /// Envoy `ext_authz` over gRPC.
    EnvoyGrpc,
}

impl Dialect {
    pub const ALL: [Self; 5] = [Self::Nginx, Self::Traefik, Self::Caddy, Self::Envoy, Self::EnvoyGrpc];

    /// As it stands in the settings and in the path of its endpoint.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
            Self::EnvoyGrpc => "envoy-grpc",
        }
    }
}

/// By which header a proxy hands on the certificate that a client proved to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedCertificate {
    /// By none: what looks like one was sent by the client.
    #[default]
    None,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    ClientCert,
    /// `X-Forwarded-Client-Cert`, as Envoy writes it.
    Xfcc,
}

/// A proxy that may ask on behalf of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardAuthSettings {
    /// In the audit and in metrics.
    pub name: String,
    pub dialects: Vec<Dialect>,
    /// The client whose certificate it shows.
    pub client: Option<String>,
    /// File with the secret that it sends; one a line, two while it is changed.
    pub secret_file: Option<PathBuf>,
    /// The hosts that it serves, lower case, without port. A request for another one is denied.
    pub hostnames: Vec<String>,
    pub client_certificate: ForwardedCertificate,
    /// Whether it sets `X-Portcullis-Request-Id`, so that a question asked twice is paid for once.
    pub request_ids: bool,
    /// Proxies in front of it: their addresses are passed over in `X-Forwarded-For`.
    pub trusted_proxies: Option<TrustedProxies>,
}

/// One `[[forward_auth]]` as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuthFile {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialects: Option<Vec<Dialect>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    #[serde(default)]
    pub hostnames: Vec<String>,
    #[serde(default)]
    pub client_certificate: ForwardedCertificate,
    #[serde(default)]
    pub request_ids: bool,
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
}

impl ForwardAuthFile {
    fn check(self, data: &Path, faults: &mut Vec<String>) -> ForwardAuthSettings {
        let name = self.name;
        let mut fault = |text: String| faults.push(format!("forward_auth {name:?}: {text}"));
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(word) {
            fault("the name must be 1 to 64 of a-z, 0-9 and '-'".to_owned());
        }
        if self.client.is_none() && self.secret_file.is_none() {
            // Whoever reaches the listener could ask in anybody's name.
            fault("give client (by certificate), secret_file, or both: how does it prove itself?".to_owned());
        }
        let dialects = self.dialects.unwrap_or_else(|| Dialect::ALL.to_vec());
        if dialects.is_empty() {
            fault("dialects must name one at least".to_owned());
        }
        if self.hostnames.is_empty() {
            fault("hostnames must name the hosts that the proxy serves".to_owned());
        }
        let mut hostnames = Vec::with_capacity(self.hostnames.len());
        for hostname in &self.hostnames {
            match canonical_hostname(hostname) {
                Some(hostname) => hostnames.push(hostname),
                None => fault(format!("hostname {hostname:?} is neither a DNS name nor an IP address without port")),
            }
        }
        let trusted_proxies = (!self.trusted_proxies.is_empty())
            .then(|| {
                TrustedProxies::new(self.trusted_proxies, false)
                    .map_err(|error| fault(format!("trusted_proxies: {error}")))
            })
            .and_then(Result::ok);
        ForwardAuthSettings {
            dialects,
            client: self.client,
            secret_file: self.secret_file.map(|path| data.join(path)),
            hostnames,
            client_certificate: self.client_certificate,
            request_ids: self.request_ids,
            trusted_proxies,
            name,
        }
    }
}

pub(super) fn check(files: Vec<ForwardAuthFile>, data: &Path, faults: &mut Vec<String>) -> Vec<ForwardAuthSettings> {
    if files.len() > CALLERS_MAX {
        faults.push(format!("there may be {CALLERS_MAX} [[forward_auth]] at most"));
    }
    let callers: Vec<_> = files.into_iter().map(|file| file.check(data, faults)).collect();
    for (index, caller) in callers.iter().enumerate() {
        if callers.iter().take(index).any(|earlier| earlier.name == caller.name) {
            faults.push(format!("two [[forward_auth]] are named {:?}", caller.name));
        }
    }
    callers
}
