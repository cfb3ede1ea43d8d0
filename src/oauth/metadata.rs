//! What clients and verifiers can find out about us: RFC 8414, OpenID Connect Discovery, the JWK Set.

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use policies::{Policy, RESERVED_RESOURCE_SERVER};
use serde::Serialize;

use super::OAuth;
use super::answer;
use super::endpoint::Endpoint;

/// How long a copy may be used. A verifier that meets an unknown key asks again anyway.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300");
const CLIENT_AUTHENTICATION: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// Authorization server metadata (RFC 8414 §2). Members that would be empty are left out (§3.2).
#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    /// Asked for by the RFC, though nothing here has an authorization endpoint: `none` is the registered value that returns
    /// nothing. Without it strict readers refuse the document.
    response_types_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// RFC 8705 §3.3: tokens that are fetched over a connection with a client certificate are bound to it.
    tls_client_certificate_bound_access_tokens: bool,
    #[serde(flatten)]
    open_id: Option<OpenId>,
}

/// What OpenID Connect Discovery 1.0 §3 asks for besides. There are no ID tokens; the libraries that read this document look
/// for these members all the same.
#[derive(Serialize)]
struct OpenId {
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 1],
}

impl OAuth {
    /// `/.well-known/oauth-authorization-server` and, with `open_id`, `/.well-known/openid-configuration`.
    pub(super) fn metadata(&self, open_id: bool) -> Response<Bytes> {
        let view = self.snapshot.policy();
        let at = |endpoint: Endpoint| format!("{}{}", self.issuer.origin, endpoint.path());
        let metadata = Metadata {
            issuer: &self.issuer.identifier,
            token_endpoint: at(Endpoint::Token),
            jwks_uri: at(Endpoint::Jwks),
            scopes_supported: public_scopes(&view.policy),
            response_types_supported: ["none"],
            grant_types_supported: ["client_credentials"],
            token_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            revocation_endpoint: at(Endpoint::Revoke),
            revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            introspection_endpoint: at(Endpoint::Introspect),
            introspection_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            tls_client_certificate_bound_access_tokens: true,
            open_id: open_id.then(|| OpenId {
                subject_types_supported: ["public"],
                id_token_signing_alg_values_supported: [self.keys.ring().active.algorithm().as_str()],
            }),
        };
        match serde_json::to_vec(&metadata) {
            Ok(body) => answer::document(body.into(), CACHE_CONTROL),
            Err(_) => answer::empty(http::StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// `/.well-known/jwks.json`.
    pub(super) fn jwks(&self) -> Response<Bytes> {
        answer::document(self.keys.ring().document.clone(), CACHE_CONTROL)
    }
}

/// The scopes that documents declare; those of the administration are nobody's business.
fn public_scopes(policy: &Policy) -> Vec<String> {
    let servers = policy.resource_servers.iter().filter(|server| server.identifier != RESERVED_RESOURCE_SERVER);
    servers
        .flat_map(|server| server.scopes.iter().map(|scope| format!("{}/{}", server.identifier, scope.name)))
        .collect()
}

/// Who we are: the `iss` of our tokens, byte for byte as configured, and where our endpoints are.
#[derive(Clone, Debug)]
pub(super) struct IssuerIdentity {
    pub(super) identifier: String,
    /// Scheme and authority.
    pub(super) origin: String,
    /// Empty, or `/` and more: RFC 8414 §3.1 puts it behind the well-known path.
    pub(super) path: String,
}

impl IssuerIdentity {
    /// `None` unless it is an `https` (or, for trying things out, `http`) URL without query, fragment and final `/` (RFC 8414 §2).
    pub(super) fn parse(identifier: &str) -> Option<Self> {
        let uri: Uri = identifier.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "https" | "http"))?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let origin = format!("{scheme}://{authority}");
        let path = identifier.strip_prefix(&origin)?.to_owned();
        if identifier.contains(['?', '#']) || path.ends_with('/') {
            return None;
        }
        Some(Self { identifier: identifier.to_owned(), origin, path })
    }
}
