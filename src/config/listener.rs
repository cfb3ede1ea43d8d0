use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policies::{Allowlist, ForwardedHeader, ListenerFacts, Network, TrustedProxies};
use serde::{Deserialize, Serialize};

use super::proxies::{ProxyProtocolFile, proxies};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Serves {
    /// The guarded routes, the token endpoint and `/docs`, over TLS.
    Gateway,
    /// The control plane, over TLS.
    Admin,
    /// CRLs and CA certificates, over plain HTTP: a CRL behind TLS could need itself.
    Pki,
}

/// Whether the TLS handshake asks for a client certificate. One mode for the whole listener: choosing it by server name
/// is how six gateways were bypassed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    None,
    Optional,
    Required,
}

/// One listener, checked.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    pub name: String,
    pub serves: Serves,
    pub address: SocketAddr,
    pub client_certificates: ClientCertificates,
    /// Whether the handshake says whose certificates are taken.
    pub certificate_hints: bool,
    /// Names and addresses it answers to, lower case, without port. Another Host or SNI gets 421.
    pub hostnames: Vec<String>,
    /// Certificate chain and key from outside (a public CA), PEM. Absent: from our own CA.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The load balancers that open every connection with the PROXY protocol, version 2; nobody else may connect. `None`: nobody
    /// speaks it here.
    pub proxy_protocol: Option<Arc<TrustedProxies>>,
    /// The proxies whose word on who called is taken, request by request. `None`: nobody's.
    pub trusted_proxies: Option<Arc<TrustedProxies>>,
    /// In which header they say it.
    pub forwarded_header: ForwardedHeader,
    /// From where it may be connected to at all, asked before TLS costs anything. Absent: from anywhere.
    pub networks: Option<Allowlist>,
}

impl ListenerConfig {
    /// What the documents of a policy are checked against.
    pub fn facts(&self) -> ListenerFacts {
        ListenerFacts {
            name: self.name.clone(),
            serves_routes: self.serves == Serves::Gateway,
            takes_certificates: self.client_certificates != ClientCertificates::None,
        }
    }
}

/// One `[[listener]]` as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerFile {
    pub name: String,
    pub serves: Serves,
    pub address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_hints: Option<bool>,
    #[serde(default)]
    pub hostnames: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_proxies: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_header: Option<ForwardedHeader>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_trust_everyone: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
}

impl ListenerFile {
    pub(super) fn check(self, data: &Path, faults: &mut Vec<String>) -> Option<ListenerConfig> {
        let name = self.name;
        let mut fault = |text: String| faults.push(format!("listener {name:?}: {text}"));
        let good_name = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !good_name {
            fault("the name must be 1 to 64 of a-z, 0-9 and '-'".to_owned());
        }
        let address = self.address.parse::<SocketAddr>();
        if address.is_err() {
            fault(format!("address {:?} is not an IP address and port, like \"0.0.0.0:8443\"", self.address));
        }
        if self.certificate.is_some() != self.key.is_some() {
            fault("certificate and key go together: give both files, or neither".to_owned());
        }
        let mode = self.client_certificates.unwrap_or(match self.serves {
            Serves::Pki => ClientCertificates::None,
            Serves::Gateway | Serves::Admin => ClientCertificates::Optional,
        });
        if self.serves == Serves::Pki && (mode != ClientCertificates::None || self.certificate.is_some()) {
            fault("the PKI listener is plain HTTP: it takes no certificates".to_owned());
        }
        if self.serves == Serves::Admin && mode == ClientCertificates::None {
            fault("the admin listener needs client_certificates = \"optional\" or \"required\"".to_owned());
        }
        if mode == ClientCertificates::None && self.certificate_hints.is_some() {
            fault("certificate_hints is of no use where no client certificate is asked for".to_owned());
        }
        if self.serves != Serves::Pki && self.hostnames.is_empty() {
            fault("hostnames must name at least one host, as clients will write it in their URLs".to_owned());
        }
        let mut hostnames = Vec::with_capacity(self.hostnames.len());
        for hostname in &self.hostnames {
            match canonical_hostname(hostname) {
                Some(hostname) => hostnames.push(hostname),
                None => fault(format!("hostname {hostname:?} is neither a DNS name nor an IP address without port")),
            }
        }
        let everyone = self.insecure_trust_everyone.unwrap_or(false);
        let list = self.proxy_protocol.as_ref().map(|table| &table.from);
        let proxy_protocol = list.and_then(|list| proxies("proxy_protocol.from", list, everyone, &mut fault));
        let list = self.trusted_proxies.as_ref().filter(|list| !list.is_empty());
        let trusted_proxies = list.and_then(|list| proxies("trusted_proxies", list, everyone, &mut fault));
        if trusted_proxies.is_none() && list.is_none() && self.forwarded_header.is_some() {
            fault("forwarded_header is of no use without trusted_proxies".to_owned());
        }
        let networks = self.networks.as_ref().and_then(|cidrs| allowlist(cidrs, &mut fault));
        Some(ListenerConfig {
            networks,
            serves: self.serves,
            address: address.ok()?,
            client_certificates: mode,
            certificate_hints: self.certificate_hints.unwrap_or(true),
            hostnames,
            certificate: self.certificate.map(|path| data.join(path)),
            key: self.key.map(|path| data.join(path)),
            proxy_protocol,
            trusted_proxies,
            forwarded_header: self.forwarded_header.unwrap_or_default(),
            name,
        })
    }
}

/// `networks = []` is refused: one reader would take it for nowhere, the next for anywhere.
fn allowlist(cidrs: &[String], fault: &mut impl FnMut(String)) -> Option<Allowlist> {
    let mut good = Vec::with_capacity(cidrs.len());
    for cidr in cidrs {
        match policies::parse_cidr(cidr) {
            Ok(cidr) => good.push(cidr),
            Err(error) => fault(format!("networks: {error}")),
        }
    }
    if cidrs.is_empty() {
        fault("networks is empty; name at least one CIDR, or leave it out for anywhere".to_owned());
    }
    match Network::new("listener", good, Vec::new()) {
        Ok(network) => Some(Allowlist::of(vec![Arc::new(network)])),
        Err(_) if cidrs.is_empty() => None,
        Err(error) => {
            fault(format!("networks: {error}"));
            None
        }
    }
}

/// Lower case, no trailing dot, IPv6 without brackets. `None` if it is neither a DNS name nor an address.
pub fn canonical_hostname(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Some(address.to_string());
    }
    let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    let good = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    good.then_some(name)
}
