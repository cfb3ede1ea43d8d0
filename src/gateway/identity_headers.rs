//! What an upstream may believe: headers that only we set. Every copy that a client sends is removed first, before
//! anything is decided, underscore spellings included (many upstreams read `X_Portcullis_Client` as the same variable).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use policies::Principal;

use crate::listen::PeerCertificate;

const PREFIX: &str = "x-portcullis-";
/// Managed by us beside our own prefix: addresses, hosts, certificates and method overrides that upstreams trust.
const MANAGED: &[&str] = &[
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-client-cert",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-ssl-client-cert",
    "x-ssl-client-verify",
    "x-ssl-client-dn",
    "x-consumer-username",
    "x-consumer-id",
];

/// Removes everything that a client might use to speak for us.
pub(super) fn strip(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> = headers.keys().filter(|name| is_managed(name.as_str())).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

/// Removes what an upstream says in our name: the decision id and all that may join it are ours to set in answers too.
pub(super) fn strip_answer(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> =
        headers.keys().filter(|name| folded(name.as_str()).starts_with(PREFIX)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

fn is_managed(name: &str) -> bool {
    let name = folded(name);
    name.starts_with(PREFIX) || MANAGED.contains(&name.as_ref())
}

fn folded(name: &str) -> Cow<'_, str> {
    if name.contains('_') { Cow::Owned(name.replace('_', "-")) } else { Cow::Borrowed(name) }
}

/// Says who is asking. Called last, after everything hop-by-hop is gone: a `Connection: x-portcullis-client` line must not
/// take our header away again.
pub(super) fn set(
    headers: &mut HeaderMap,
    principal: Option<&Principal>,
    certificate: Option<&PeerCertificate>,
    decision_id: &str,
) {
    insert(headers, "x-portcullis-decision-id", decision_id);
    let Some(principal) = principal else { return };
    let client = principal.client();
    insert(headers, "x-portcullis-client", client.id.as_str());
    insert(headers, "x-portcullis-partner", client.partner.as_str());
    insert(headers, "x-portcullis-method", &principal.methods().to_string());
    insert(headers, "x-portcullis-scopes", &principal.scopes().to_string());
    if let Some(leaf) = certificate.and_then(|peer| peer.chain.first()) {
        // RFC 9440 §2.1: a byte sequence of RFC 8941, DER in base64 between colons.
        insert(headers, "client-cert", &format!(":{}:", STANDARD.encode(leaf)));
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_a_managed_header_survives() {
        let mut headers = HeaderMap::new();
        for name in [
            "X-Portcullis-Client",
            "x_portcullis_client",
            "X-PORTCULLIS_Scopes",
            "x-portcullis-anything-new",
            "Client-Cert",
            "client_cert",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "Forwarded",
            "X-Real-IP",
            "X-HTTP-Method-Override",
        ] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("forged"));
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("again"));
        }
        headers.insert("x-harmless", HeaderValue::from_static("kept"));
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-harmless"]);
    }

    #[test]
    fn an_answer_keeps_all_but_what_is_ours() {
        let mut headers = HeaderMap::new();
        for name in ["x-portcullis-decision-id", "X_Portcullis_Client", "x-forwarded-for", "x-own"] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("value"));
        }
        strip_answer(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-forwarded-for", "x-own"]);
    }
}
