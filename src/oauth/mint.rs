//! Tokens that an administrator makes for a client, without the client's secret: to try a route, or to help a partner along.

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;

use super::answer::ErrorAnswer;
use super::client_authentication::AuthenticatedClient;
use super::{OAuth, grant};
use crate::failure::{Failure, Refusal};
use crate::registry::Actor;

/// A token that was just made. Its text is nowhere else.
#[derive(Debug)]
pub struct MintedToken {
    pub access_token: SecretString,
    pub expires_in: u32,
    pub jti: Arc<str>,
    /// What it allows, with a space between.
    pub scope: String,
}

impl OAuth {
    /// Makes a token of `scopes`, or of all that the client has.
    ///
    /// # Errors
    /// `client_not_found`; `client_disabled`; `scope_not_granted`; `try_again` in the second in which the client's tokens were
    /// revoked.
    pub async fn mint(&self, actor: &Actor, client: &str, scopes: Option<&[String]>) -> Result<MintedToken, Failure> {
        self.snapshot.catch_up(&self.store).await?;
        let view = self.snapshot.policy();
        let entry = view
            .client(client)
            .ok_or_else(|| Refusal::not_found("client_not_found", format!("There is no client {client:?}.")))?;
        if !entry.client.enabled {
            let message = format!("The client {client} or its partner is disabled.");
            return Err(Refusal::conflict("client_disabled", message).into());
        }
        let now = self.clock.now();
        if entry.tokens_not_before.is_some_and(|instant| instant > now) {
            let message = "The client's tokens were revoked in this very second. Try again in a second.";
            return Err(Refusal::conflict("try_again", message).into());
        }
        let requested = scopes.map(|scopes| scopes.join(" "));
        let refused = |_: ErrorAnswer| {
            let message = format!("A scope is malformed, unknown or not granted to the client {client}.");
            Refusal::invalid("scope_not_granted", message)
        };
        let grant = grant::decide(&view.policy, &entry.client.scopes, requested.as_deref(), &[]).map_err(refused)?;
        let client = AuthenticatedClient {
            entry,
            secret: Arc::from("none"),
            certificate: None,
            heard: policies::Refusals::default(),
        };
        let (text, issued) = self.sign_token(&client, &grant, now)?;
        let mut tx = self.store.begin().await?;
        let scope = grant.scopes.to_string();
        let detail = json!({ "client": issued.client.as_str(), "scope": scope, "expires_at": issued.expires_at.0 });
        actor.record(&mut tx, &self.clock, "token.issue", &issued.jti, &detail).await?;
        tx.commit().await?;
        let access_token = SecretString::from(text);
        Ok(MintedToken { access_token, expires_in: self.token_ttl_seconds, jti: issued.jti, scope })
    }
}
