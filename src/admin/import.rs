//! Clients, keys and secrets that are brought along from elsewhere, many in one request.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use policies::UnixSeconds;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::AdminState;
use super::body::Body;
use super::client::ClientOrder;
use super::expiring::expiry;
use super::operator::Operator;
use super::problem::Problem;
use crate::failure::Refusal;
use crate::registry::api_key::{ForeignKey, ImportedApiKey};
use crate::registry::client_secret::ImportedClientSecret;
use crate::registry::{Expiry, ImportOutcome, ImportTerms, NewClient};

/// Keys to bring along.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeyImport {
    /// At most 10,000.
    keys: Vec<ImportedKey>,
    /// The number of the first one, for messages when an import comes in parts; 1 when absent.
    first_row: Option<u64>,
    /// Judge all and change nothing.
    #[serde(default)]
    check_only: bool,
    /// Keys without an end of their own end so many seconds from now.
    ttl_seconds: Option<i64>,
    /// Or at this instant, in seconds since the Unix epoch.
    expires_at: Option<i64>,
}

/// A key as it is known elsewhere: its text or its SHA-256.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportedKey {
    #[schema(example = "acme-orders")]
    client: String,
    /// 8 to 256 visible ASCII characters.
    #[schema(format = Password)]
    key: Option<String>,
    /// The SHA-256 of the key, in hex or base64.
    sha256: Option<String>,
    /// How it ends, when only its hash is known: for people.
    last4: Option<String>,
    name: Option<String>,
    /// In seconds since the Unix epoch.
    expires_at: Option<i64>,
    /// As with a new key.
    scopes: Option<Vec<String>>,
    networks: Option<Vec<String>>,
}

/// Secrets to bring along.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientSecretImport {
    /// At most 10,000.
    secrets: Vec<ImportedSecret>,
    /// The number of the first one, for messages when an import comes in parts; 1 when absent.
    first_row: Option<u64>,
    /// Judge all and change nothing.
    #[serde(default)]
    check_only: bool,
    /// Secrets without an end of their own end so many seconds from now.
    ttl_seconds: Option<i64>,
    /// Or at this instant, in seconds since the Unix epoch.
    expires_at: Option<i64>,
}

/// A secret that a client uses already with another authorization server.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportedSecret {
    #[schema(example = "acme-orders")]
    client: String,
    /// 16 to 256 visible ASCII characters.
    #[schema(format = Password)]
    secret: String,
    name: Option<String>,
    /// In seconds since the Unix epoch.
    expires_at: Option<i64>,
}

/// Clients to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientImport {
    /// At most 10,000.
    clients: Vec<ClientOrder>,
    /// The number of the first one, for messages when an import comes in parts; 1 when absent.
    first_row: Option<u64>,
    /// Judge all and change nothing.
    #[serde(default)]
    check_only: bool,
}

fn terms(first_row: Option<u64>, check_only: bool) -> ImportTerms {
    ImportTerms { first_row: first_row.unwrap_or(1), check_only }
}

fn own_or(own: Option<i64>, common: Option<Expiry>) -> Option<Expiry> {
    own.map(|instant| Expiry::At(UnixSeconds(instant))).or(common)
}

impl ImportedKey {
    fn read(self, number: u64, common: Option<Expiry>) -> Result<ImportedApiKey, Refusal> {
        let wrong = |what: &str| Refusal::invalid("invalid_key", format!("Row {number}: {what}"));
        let key = match (self.key, self.sha256) {
            (Some(text), None) => ForeignKey::Text(SecretString::from(text)),
            (None, Some(hash)) => {
                ForeignKey::Sha256(sha256(&hash).ok_or_else(|| wrong("sha256 is not 32 octets in hex or base64."))?)
            }
            _ => return Err(wrong("give key or sha256, one of them.")),
        };
        Ok(ImportedApiKey {
            client: self.client,
            key,
            name: self.name,
            expiry: own_or(self.expires_at, common),
            scopes: self.scopes,
            networks: self.networks,
            last4: self.last4,
        })
    }
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    if text.len() == 64 {
        return pki::read_hex(text)?.try_into().ok();
    }
    let text = text.trim_end_matches('=');
    STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?.try_into().ok()
}

/// Import API keys
///
/// Keys that were made elsewhere open the door as they are. What stands already counts as unchanged, so that an import that broke
/// off can be run again; one row that is wrong refuses the whole request, and the details name every wrong row.
#[utoipa::path(post, path = "/v1/api-keys/import", operation_id = "import_api_keys", tag = "API keys",
    request_body = ApiKeyImport,
    responses((status = 200, description = "How many were new", body = ImportOutcome)))]
pub(super) async fn api_keys(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(import): Body<ApiKeyImport>,
) -> Result<Json<ImportOutcome>, Problem> {
    let terms = terms(import.first_row, import.check_only);
    let common = expiry(import.ttl_seconds, import.expires_at)?;
    let keys = (terms.first_row..).zip(import.keys).map(|(number, key)| key.read(number, common));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    Ok(Json(state.registry.import_api_keys(&actor, terms, keys).await?))
}

/// Import client secrets
///
/// Secrets that clients use already with another authorization server. As with keys.
#[utoipa::path(post, path = "/v1/client-secrets/import", operation_id = "import_client_secrets", tag = "Client secrets",
    request_body = ClientSecretImport,
    responses((status = 200, description = "How many were new", body = ImportOutcome)))]
pub(super) async fn client_secrets(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(import): Body<ClientSecretImport>,
) -> Result<Json<ImportOutcome>, Problem> {
    let common = expiry(import.ttl_seconds, import.expires_at)?;
    let secrets = import.secrets.into_iter().map(|secret| ImportedClientSecret {
        client: secret.client,
        secret: SecretString::from(secret.secret),
        name: secret.name,
        expiry: own_or(secret.expires_at, common),
    });
    let terms = terms(import.first_row, import.check_only);
    Ok(Json(state.registry.import_client_secrets(&actor, terms, secrets.collect()).await?))
}

/// Import clients
///
/// Many clients at once. As with keys: what stands already, the same, counts as unchanged.
#[utoipa::path(post, path = "/v1/clients/import", operation_id = "import_clients", tag = "Clients",
    request_body = ClientImport,
    responses((status = 200, description = "How many were new", body = ImportOutcome)))]
pub(super) async fn clients(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(import): Body<ClientImport>,
) -> Result<Json<ImportOutcome>, Problem> {
    let terms = terms(import.first_row, import.check_only);
    let clients = import.clients.into_iter().map(NewClient::from).collect();
    Ok(Json(state.registry.import_clients(&actor, terms, clients).await?))
}
