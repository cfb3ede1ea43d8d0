//! The three ways to prove oneself, in the words of OpenAPI.

use policies::{AuthMethod, AuthMethodSet, Policy, Route, ScopeRequirement};
use serde_json::{Map, Value, json};

/// The header of API keys; the gate takes them nowhere else.
const API_KEY_HEADER: &str = "x-api-key";
/// RFC 6749 §2.3.1, only at the token endpoint.
pub(super) const CLIENT_SECRET_BASIC: &str = "clientSecretBasic";

/// The name of a method's scheme.
pub(super) const fn scheme(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::MutualTls => "mutualTLS",
        AuthMethod::ApiKey => "apiKey",
        AuthMethod::Bearer => "oauth2",
    }
}

/// `components.securitySchemes`. `scopes` are whole names with their descriptions.
pub fn security_schemes(token_url: &str, scopes: Map<String, Value>) -> Value {
    json!({
        "mutualTLS": {
            "type": "mutualTLS",
            "description": "A client certificate in the TLS handshake. Browsers ask which one to use when the connection is made."
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": API_KEY_HEADER,
            "description": "An API key. It is taken from this header only, never from the URL."
        },
        "oauth2": {
            "type": "oauth2",
            "description": "A bearer token (RFC 6750) from the token endpoint.",
            "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": scopes}}
        }
    })
}

/// Every scope that the policy's resource servers know, with its description.
pub(super) fn scopes(policy: &Policy) -> Map<String, Value> {
    let servers = policy.resource_servers.iter();
    servers
        .flat_map(|server| {
            server.scopes.iter().map(move |scope| {
                let description =
                    if scope.description.is_empty() { server.name.as_str() } else { scope.description.as_str() };
                (format!("{}/{}", server.identifier, scope.name), Value::from(description))
            })
        })
        .collect()
}

/// `security` of an operation: a list of alternatives, in each of which everything must be proved together.
///
/// Scopes can only be written beside `oauth2`, where several in one alternative mean all of them. So a route that asks for any
/// one scope gives an alternative for each.
pub(super) fn requirement(route: &Route) -> Value {
    if route.is_public() {
        return json!([]);
    }
    let token_scopes: Vec<Vec<&str>> = match &route.scopes {
        ScopeRequirement::None => vec![Vec::new()],
        ScopeRequirement::All(scopes) => vec![scopes.iter().map(AsRef::as_ref).collect()],
        ScopeRequirement::Any(scopes) => scopes.iter().map(|scope| vec![scope.as_ref()]).collect(),
    };
    let alternatives = route.accept.iter().flat_map(|methods| alternatives(*methods, &token_scopes));
    alternatives.collect()
}

fn alternatives(methods: AuthMethodSet, token_scopes: &[Vec<&str>]) -> Vec<Value> {
    let with = |scopes: &[&str]| -> Value {
        let of = |method| if method == AuthMethod::Bearer { json!(scopes) } else { json!([]) };
        methods.iter().map(|method| (scheme(method).to_owned(), of(method))).collect::<Map<_, _>>().into()
    };
    if methods.contains(AuthMethod::Bearer) {
        token_scopes.iter().map(|scopes| with(scopes)).collect()
    } else {
        vec![with(&[])]
    }
}
