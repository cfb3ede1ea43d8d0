//! Who stands between callers and a listener, and is believed about them.

use std::sync::Arc;

use policies::TrustedProxies;
use serde::{Deserialize, Serialize};

/// `proxy_protocol` of a listener as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolFile {
    /// The load balancers: CIDRs or addresses.
    pub from: Vec<String>,
}

/// Reads a list of proxies; what is wrong with it goes to `fault`.
pub(super) fn proxies(
    field: &str,
    list: &[String],
    everyone: bool,
    fault: &mut impl FnMut(String),
) -> Option<Arc<TrustedProxies>> {
    let mut cidrs = Vec::with_capacity(list.len());
    let mut good = true;
    for text in list {
        match policies::parse_cidr(text) {
            Ok(cidr) => cidrs.push(cidr),
            Err(error) => {
                good = false;
                fault(format!("{field}: {error}"));
            }
        }
    }
    if !good {
        return None;
    }
    match TrustedProxies::new(cidrs, everyone) {
        Ok(proxies) => Some(Arc::new(proxies)),
        Err(error) => {
            let hint = " (insecure_trust_everyone = true takes them, and lets every caller choose his own address)";
            fault(format!("{field}: {error}{}", if list.is_empty() { "" } else { hint }));
            None
        }
    }
}
