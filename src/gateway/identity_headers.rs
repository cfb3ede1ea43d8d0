//! What an upstream may believe: headers that only we set. Every copy that a client sends is removed first, before
//! anything is decided, underscore spellings included (many upstreams read `X_Portcullis_Client` as the same variable).

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use policies::Principal;

use crate::listen::PeerCertificate;

const PREFIX: &str = "x-portcullis-";
/// What [`set`] sets.
pub(super) const NAMES: &[&str] = &[
    "x-portcullis-decision-id",
    "x-portcullis-client",
    "x-portcullis-partner",
    "x-portcullis-method",
    "x-portcullis-scopes",
    "client-cert",
];
/// What a proxy that asks us about a request takes off before the upstream: credentials, and what was told to us alone.
pub(super) const CONSUMED: &[&str] = &[
    "x-api-key",
    "authorization",
    "x-portcullis-caller-secret",
    "x-portcullis-request-id",
    "client-cert-chain",
    "x-forwarded-client-cert",
];
/// Families of headers by which some proxy or other tells an upstream who is calling, from where, and for what.
const MANAGED_PREFIXES: &[&str] = &[
    PREFIX,
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-client-cert",
    "x-consumer-",
    "x-credential-",
    "x-envoy-",
    "x-forwarded-",
    "x-original-",
    "x-ssl-",
    "ssl-client-",
];
/// Single ones of the kind, and method overrides.
const MANAGED: &[&str] = &[
    "cf-connecting-ip",
    "client-cert",
    "client-cert-chain",
    "fastly-client-ip",
    "forwarded",
    "remote-user",
    "true-client-ip",
    "x-api-key",
    "x-azure-clientip",
    "x-client-dn",
    "x-client-ip",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
    "x-remote-user",
    "x-rewrite-url",
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

/// Whether some upstream may take it for one of [`NAMES`], in whatever spelling.
pub(super) fn is_ours(name: &str) -> bool {
    let name = folded(name);
    name.starts_with(PREFIX) || name == "client-cert"
}

fn is_managed(name: &str) -> bool {
    let name = folded(name);
    MANAGED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || MANAGED.contains(&name.as_ref())
}

/// Upstreams that read headers as variables fold every other character: `X_Real.IP` is HTTP_X_REAL_IP to them.
fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.replace(|character: char| !character.is_ascii_alphanumeric(), "-"))
    }
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
    if let Some(field) = certificate.and_then(PeerCertificate::client_cert_field) {
        headers.insert("client-cert", field);
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
            "X.Portcullis.Client",
            "Remote-User",
            "X-Forwarded-User",
            "x-envoy-original-path",
            "X_Api_Key",
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
        let mut kept: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["x-forwarded-for", "x-own"]);
    }
}
