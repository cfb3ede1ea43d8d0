//! The demo's data: the sample policy, partner `acme` with client `acme-orders`, one credential of each kind, and
//! `demo.json`, which tells programs where everything is.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use policies::Document;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::initialise::{issue_into, write_atomically, write_secret};
use super::{Endpoints, Foundation};
use crate::failure::{Failure, Fault};
use crate::registry::Actor;
use crate::registry::api_key::NewApiKey;
use crate::registry::client_secret::NewClientSecret;
use crate::store::api_key::ApiKeyFilter;

/// The identifier that the sample policy is written for.
const SAMPLE_IDENTIFIER: &str = "https://127.0.0.1:8443/test";
const SAMPLE: &str = include_str!("../../policies/samples/three-methods.toml");
/// The sample's allowance suits a partner; whoever tries the demo out has one machine, three methods and no patience.
const SAMPLE_THROTTLE: &str = "rate = 50, burst = 100";
const DEMO_THROTTLE: &str = "rate = 500, burst = 1000";
const CLIENT: &str = "acme-orders";
const PATH: &str = "/test/hello-world";
const POLICY_FILE: &str = "demo.toml";
const CREDENTIALS_FILE: &str = "acme/credentials.json";

/// `demo.json`. Paths are relative to the data folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Demo {
    pub gateway: String,
    pub mtls: String,
    pub admin: String,
    pub pki: String,
    pub ca: String,
    pub client_id: String,
    pub client_certificate: String,
    pub client_key: String,
    pub pkcs12: String,
    pub api_key: String,
    pub client_secret: String,
    pub scope: String,
    pub token_url: String,
    pub admin_certificate: String,
    pub admin_key: String,
    pub path: String,
}

/// What the demo's client was given. It stays over restarts, revoked or not: a demo that heals itself would hide what
/// revocation does.
#[derive(Serialize, Deserialize)]
struct Credentials {
    api_key: String,
    client_secret: String,
    scope: String,
}

impl Demo {
    /// Writes `demo.json`. Programs wait for the file and then call: it comes last, when everything is served.
    pub fn write(&self, data: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(Fault::from)?;
        Ok(write_secret(&data.join("demo.json"), text.as_bytes())?)
    }
}

/// Makes what is missing. An old `demo.json` goes: its addresses may be of another run.
pub async fn prepare(foundation: &Foundation, endpoints: &Endpoints) -> Result<Demo, Failure> {
    let data = &foundation.config.data;
    let _ = std::fs::remove_file(data.join("demo.json"));
    let earlier = earlier(data);
    let scope = match &earlier {
        Some(earlier) => earlier.scope.clone(),
        None => policy(foundation, endpoints).await?,
    };
    let folder = data.join("acme");
    if !folder.is_dir() {
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(Fault::from)?;
    }
    if !folder.join("client.key").exists() {
        issue_into(foundation, CLIENT, &folder, "client", None).await?;
    }
    let credentials = match earlier {
        Some(earlier) => earlier,
        None => issue_credentials(foundation, scope).await?,
    };
    Ok(Demo {
        gateway: endpoints.gateway.clone(),
        mtls: endpoints.mtls.clone().unwrap_or_default(),
        admin: endpoints.admin.clone(),
        pki: endpoints.pki.clone(),
        ca: "ca.pem".to_owned(),
        client_id: CLIENT.to_owned(),
        client_certificate: "acme/client.crt".to_owned(),
        client_key: "acme/client.key".to_owned(),
        pkcs12: "acme/client.p12".to_owned(),
        api_key: credentials.api_key,
        client_secret: credentials.client_secret,
        scope: credentials.scope,
        token_url: format!("{}/oauth2/token", endpoints.gateway),
        admin_certificate: "admin/admin.crt".to_owned(),
        admin_key: "admin/admin.key".to_owned(),
        path: PATH.to_owned(),
    })
}

async fn issue_credentials(foundation: &Foundation, scope: String) -> Result<Credentials, Failure> {
    let actor = Actor::local();
    let name = Some("demo".to_owned());
    // Those of a start that was cut short were never told to anyone.
    for lost in foundation
        .registry
        .api_keys(&ApiKeyFilter { client: Some(CLIENT.to_owned()), ..ApiKeyFilter::default() })
        .await?
    {
        foundation.registry.revoke_api_key(&actor, &lost.id, "superseded").await?;
    }
    for lost in foundation.registry.client_secrets(CLIENT).await? {
        foundation.registry.revoke_client_secret(&actor, &lost.id, "superseded").await?;
    }
    let key = NewApiKey { client: CLIENT.to_owned(), name: name.clone(), ..NewApiKey::default() };
    let key = foundation.registry.create_api_key(&actor, key).await?;
    let secret = NewClientSecret { client: CLIENT.to_owned(), name, ..NewClientSecret::default() };
    let secret = foundation.registry.create_client_secret(&actor, secret).await?;
    let credentials = Credentials {
        api_key: key.key.expose_secret().to_owned(),
        client_secret: secret.secret.expose_secret().to_owned(),
        scope,
    };
    let text = serde_json::to_string_pretty(&credentials).map_err(Fault::from)?;
    write_secret(&foundation.config.data.join(CREDENTIALS_FILE), text.as_bytes())?;
    Ok(credentials)
}

fn earlier(data: &Path) -> Option<Credentials> {
    serde_json::from_slice(&std::fs::read(data.join(CREDENTIALS_FILE)).ok()?).ok()
}

/// Applies the sample policy to a new folder; an old one keeps what is in force. Returns the scope of the demo's route.
async fn policy(foundation: &Foundation, endpoints: &Endpoints) -> Result<String, Failure> {
    let identifier = format!("{}/test", endpoints.gateway);
    let file = foundation.config.data.join("policies").join(POLICY_FILE);
    if foundation.snapshot.policy().version == 0 {
        let text = SAMPLE.replace(SAMPLE_IDENTIFIER, &identifier).replace(SAMPLE_THROTTLE, DEMO_THROTTLE);
        write_atomically(&file, text.as_bytes(), 0o644)?;
        let documents = vec![Document { name: POLICY_FILE.to_owned(), text }];
        let comment = Some("The demo's policy");
        foundation.registry.apply_policy(&Actor::local(), documents, comment, None).await?;
        return Ok(format!("{identifier}/hello-world"));
    }
    // Cut short between the policy and demo.json: the scope is the one that the policy in force has.
    let view = foundation.snapshot.policy();
    let server = view.policy.resource_servers.first();
    Ok(format!("{}/hello-world", server.map_or(identifier.as_str(), |server| server.identifier.as_str())))
}
