//! The routes under `/v1`, with their OpenAPI document. A route is served if and only if it is described.

use std::sync::Arc;

use policies::{ADMIN_READ, ADMIN_WRITE};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::ProblemBody;
use super::{
    AdminState, api_key, audit, certificate, client, client_renewal, client_secret, enrollment, expiring, expiry,
    explain, import, issuer, partner, policy, quota, rotation, shared_key, status, token, trust_anchor, usage,
};
use crate::openapi;

/// What every operation can answer besides what it is made for.
const REFUSALS: [(&str, &str); 7] = [
    ("400", "The body or the query cannot be read; the message names the field."),
    ("401", "No credential, or a bad one."),
    ("403", "The scope is missing, or the object is managed elsewhere."),
    ("404", "There is no such thing."),
    ("422", "The input is not acceptable; the message and the details say why."),
    ("429", "Too fast."),
    ("500", "The server failed. Nothing is said to be done that is not."),
];
/// And those that change something.
const WRITE_REFUSALS: [(&str, &str); 3] =
    [("409", "It contradicts what stands."), ("413", "The body is too large."), ("415", "The body is not JSON.")];
/// Questions that need a body; the gate asks the same scope for them as for reading.
const QUESTIONS: [&str; 4] = ["/v1/explain", "/v1/policies/check", "/v1/policies/plan", "/v1/tokens/inspect"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis admin API",
        description = "Partners, clients, credentials, policies and the audit log. Times are seconds since the Unix epoch, in \
            the audit log milliseconds. Lists come in parts: ask for the next one with `after`. Secrets are shown once, when \
            they are made."
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "Status", description = "This server at a glance"),
        (name = "Partners", description = "The companies"),
        (name = "Clients", description = "The machines of a partner, the same under every method (RFC 6749 §2.2)"),
        (name = "Certificates", description = "Client certificates and the authorities that issue them"),
        (name = "Trust anchors", description = "Authorities of partners, and whom their certificates mean"),
        (name = "Enrolments", description = "One-time tokens for certificate requests: the key never leaves the partner"),
        (name = "API keys", description = "Keys for the `x-api-key` header"),
        (name = "Client secrets", description = "Secrets for the token endpoint"),
        (name = "Tokens", description = "Access tokens"),
        (name = "Policies", description = "Documents, versions, and what is in force"),
        (name = "Quotas", description = "What is used of each period, and what an operator grants"),
        (name = "Explain", description = "Why a request would pass, or not"),
        (name = "Audit", description = "Who did what"),
        (name = "Usage", description = "How much of what each client used"),
    )
)]
struct Base;

/// All routes under `/v1`.
pub(super) fn api() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(status::show))
        .routes(routes!(expiring::list))
        .routes(routes!(expiry::report))
        .routes(routes!(partner::list, partner::create))
        .routes(routes!(partner::show))
        .routes(routes!(partner::disable))
        .routes(routes!(partner::enable))
        .routes(routes!(client::list, client::create))
        .routes(routes!(client::show))
        .routes(routes!(import::clients))
        .routes(routes!(client::disable))
        .routes(routes!(client::enable))
        .routes(routes!(client_renewal::show, client_renewal::set))
        .routes(routes!(certificate::list, certificate::issue))
        .routes(routes!(certificate::sign))
        .routes(routes!(certificate::revoke))
        .routes(routes!(certificate::show))
        .routes(routes!(issuer::list))
        .routes(routes!(shared_key::list))
        .routes(routes!(trust_anchor::list, trust_anchor::import))
        .routes(routes!(trust_anchor::show))
        .routes(routes!(trust_anchor::refresh))
        .routes(routes!(trust_anchor::remove))
        .routes(routes!(issuer::taint))
        .routes(routes!(rotation::rotate))
        .routes(routes!(rotation::import_list))
        .routes(routes!(enrollment::list, enrollment::create))
        .routes(routes!(enrollment::show))
        .routes(routes!(enrollment::approve))
        .routes(routes!(enrollment::deny))
        .routes(routes!(enrollment::cancel))
        .routes(routes!(api_key::list, api_key::create))
        .routes(routes!(api_key::show))
        .routes(routes!(import::api_keys))
        .routes(routes!(api_key::rotate))
        .routes(routes!(api_key::revoke))
        .routes(routes!(client_secret::list, client_secret::create))
        .routes(routes!(import::client_secrets))
        .routes(routes!(client_secret::revoke))
        .routes(routes!(token::issue))
        .routes(routes!(token::inspect))
        .routes(routes!(token::revoke))
        .routes(routes!(policy::history, policy::apply))
        .routes(routes!(policy::current))
        .routes(routes!(policy::check))
        .routes(routes!(policy::plan))
        .routes(routes!(policy::rollback))
        .routes(routes!(policy::show))
        .routes(routes!(quota::list))
        .routes(routes!(quota::extend))
        .routes(routes!(quota::reset))
        .routes(routes!(explain::explain))
        .routes(routes!(audit::list))
        .routes(routes!(audit::show))
        .routes(routes!(usage::list))
}

/// Adds what is the same for every operation: who may ask, and how it refuses. Tokens are had on the gateway's listener, not
/// on this one.
pub(super) fn finish(document: Document, token_url: &str) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["servers"] = json!([{"url": "/", "description": "The admin listener."}]);
    let scopes = [(ADMIN_READ, "Read everything"), (ADMIN_WRITE, "Change everything")];
    let scopes: Map<String, Value> = scopes.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    document["components"]["securitySchemes"] = openapi::security_schemes(token_url, scopes);
    if let Some(paths) = document["paths"].as_object_mut() {
        paths.extend(openapi::renewal_paths());
    }
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            // That says itself who may ask, and how it refuses.
            if operation.get(openapi::SERVED_BY_GATE).is_some() {
                continue;
            }
            let reads = method == "get" || QUESTIONS.contains(&path.as_str());
            operation["security"] = security(if reads { ADMIN_READ } else { ADMIN_WRITE });
            let refusals = REFUSALS.iter().chain(if method == "get" { &[][..] } else { &WRITE_REFUSALS[..] });
            for (status, text) in refusals {
                operation["responses"][status] = refusal(text);
            }
        }
    }
    document
}

/// Any one method; the client must hold the scope whichever it is.
fn security(scope: &str) -> Value {
    json!([{"mutualTLS": []}, {"apiKey": []}, {"oauth2": [scope]}])
}

fn refusal(text: &str) -> Value {
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    json!({"description": text, "content": {"application/problem+json": {"schema": schema}}})
}
