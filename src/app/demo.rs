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

/// The identifier that the sample policy is written for.
const SAMPLE_IDENTIFIER: &str = "https://127.0.0.1:8443/test";
const SAMPLE: &str = include_str!("../../policies/samples/three-methods.toml");
const CLIENT: &str = "acme-orders";
const PATH: &str = "/test/hello-world";
const POLICY_FILE: &str = "demo.toml";

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

/// Makes what is missing and writes `demo.json` with the addresses of this run.
pub async fn prepare(foundation: &Foundation, endpoints: &Endpoints) -> Result<Demo, Failure> {
    let data = &foundation.config.data;
    let earlier = read(data);
    let scope = policy(foundation, endpoints, earlier.as_ref()).await?;
    let folder = data.join("acme");
    if !folder.is_dir() {
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(Fault::from)?;
    }
    if !folder.join("client.key").exists() {
        issue_into(foundation, CLIENT, &folder, "client").await?;
    }
    let mut demo = Demo {
        gateway: endpoints.gateway.clone(),
        mtls: endpoints.mtls.clone().unwrap_or_default(),
        admin: endpoints.admin.clone(),
        pki: endpoints.pki.clone(),
        ca: "ca.pem".to_owned(),
        client_id: CLIENT.to_owned(),
        client_certificate: "acme/client.crt".to_owned(),
        client_key: "acme/client.key".to_owned(),
        pkcs12: "acme/client.p12".to_owned(),
        api_key: String::new(),
        client_secret: String::new(),
        scope,
        token_url: format!("{}/oauth2/token", endpoints.gateway),
        admin_certificate: "admin/admin.crt".to_owned(),
        admin_key: "admin/admin.key".to_owned(),
        path: PATH.to_owned(),
    };
    match earlier {
        // What was issued once stays, revoked or not: a demo that heals itself would hide what revocation does.
        Some(earlier) => (demo.api_key, demo.client_secret) = (earlier.api_key, earlier.client_secret),
        None => {
            let actor = Actor::local();
            let name = Some("demo".to_owned());
            let key = NewApiKey { client: CLIENT.to_owned(), name: name.clone(), ..NewApiKey::default() };
            let key = foundation.registry.create_api_key(&actor, key).await?;
            // A secret of a start that was cut short was never told to anyone; only two may live.
            for lost in foundation.registry.client_secrets(CLIENT).await? {
                if lost.status == "active" {
                    foundation.registry.revoke_client_secret(&actor, &lost.id, "superseded").await?;
                }
            }
            let secret = NewClientSecret { client: CLIENT.to_owned(), name, ..NewClientSecret::default() };
            let secret = foundation.registry.create_client_secret(&actor, secret).await?;
            demo.api_key = key.key.expose_secret().to_owned();
            demo.client_secret = secret.secret.expose_secret().to_owned();
        }
    }
    let text = serde_json::to_string_pretty(&demo).map_err(Fault::from)?;
    write_secret(&data.join("demo.json"), text.as_bytes())?;
    Ok(demo)
}

fn read(data: &Path) -> Option<Demo> {
    serde_json::from_slice(&std::fs::read(data.join("demo.json")).ok()?).ok()
}

/// Applies the sample policy to a new folder; an old one keeps what is in force. Returns the scope of the demo's route.
async fn policy(foundation: &Foundation, endpoints: &Endpoints, earlier: Option<&Demo>) -> Result<String, Failure> {
    if let Some(earlier) = earlier {
        return Ok(earlier.scope.clone());
    }
    let identifier = format!("{}/test", endpoints.gateway);
    let file = foundation.config.data.join("policies").join(POLICY_FILE);
    if foundation.snapshot.policy().version == 0 {
        let text = SAMPLE.replace(SAMPLE_IDENTIFIER, &identifier);
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
