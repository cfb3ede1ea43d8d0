//! Clients: the machines of a partner, each the same under every method (RFC 6749 §2.2).

use std::collections::HashMap;

use policies::{ClientId, Scope, ScopeSet};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Actor, Registry, administrators, bounds, partner};
use crate::failure::{Failure, Refusal};
use crate::snapshot::resolve;
use crate::store::client::{self, ClientFilter, ClientRow};
use crate::store::partner::PartnerRow;
use crate::store::{self, Read};

mod import;

/// What a new client is to be.
#[derive(Clone, Debug, Default)]
pub struct NewClient {
    pub id: String,
    pub partner: String,
    pub description: Option<String>,
    pub scopes: Vec<String>,
    /// Network names or CIDRs. Empty: from anywhere.
    pub networks: Vec<String>,
    pub usage_plan: Option<String>,
}

/// A client, as people see it. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Client)]
pub struct ClientView {
    pub id: String,
    pub partner: String,
    pub description: Option<String>,
    /// Whether it may be let in; its partner has a say in it.
    pub enabled: bool,
    /// Whether an operator switched it off.
    pub disabled_by_operator: bool,
    /// Whether its partner is off.
    pub partner_disabled: bool,
    /// `policy` when a document declares it; changes are then made there.
    pub managed_by: Option<String>,
    /// The policy version that stopped declaring it.
    pub withdrawn_by: Option<i64>,
    pub scopes: Vec<String>,
    pub networks: Vec<String>,
    pub usage_plan: Option<String>,
    /// Tokens issued before this instant are revoked.
    pub tokens_not_before: Option<i64>,
    pub created_at: i64,
}

impl ClientView {
    fn new(row: ClientRow, partner_in_force: bool) -> Self {
        Self {
            enabled: row.in_force() && partner_in_force,
            disabled_by_operator: !row.enabled,
            partner_disabled: !partner_in_force,
            id: row.id,
            partner: row.partner_id,
            description: row.description,
            managed_by: row.managed_by,
            withdrawn_by: row.withdrawn_by,
            scopes: row.scopes,
            networks: row.networks,
            usage_plan: row.usage_plan,
            tokens_not_before: row.tokens_not_before,
            created_at: row.created_at,
        }
    }
}

impl Registry {
    /// Adds a client to a partner. Its scopes, networks and plan must be in the policy in force.
    pub async fn create_client(&self, actor: &Actor, new: NewClient) -> Result<ClientView, Failure> {
        let id: ClientId =
            new.id.parse().map_err(|error| Refusal::invalid("invalid_client_id", format!("{error}.")))?;
        bounds::optional_line("description", new.description.as_deref(), bounds::REMARK_CHARS_MAX)?;
        bounds::list("scopes", &new.scopes, bounds::SCOPES_MAX)?;
        bounds::list("networks", &new.networks, bounds::NETWORKS_MAX)?;
        let scopes = scope_set(&new.scopes)?;
        let now = self.clock.now();
        let (mut tx, view) = self.begin().await?;
        let partner = partner::found(&mut tx, &new.partner).await?;
        if client::get(&mut tx, id.as_str()).await?.is_some() {
            return Err(Refusal::conflict("client_exists", format!("There is a client {id} already.")).into());
        }
        let row = ClientRow {
            id: id.to_string(),
            partner_id: new.partner,
            description: new.description,
            enabled: true,
            managed_by: None,
            withdrawn_by: None,
            scopes: scopes.iter().map(ToString::to_string).collect(),
            networks: new.networks,
            usage_plan: new.usage_plan,
            tokens_not_before: None,
            created_at: now.0,
        };
        if let Err(unknown) = resolve::client(&view.policy, &row, true) {
            let message = format!("The client {id} would refer to what the policy in force does not have.");
            return Err(Refusal::invalid("unknown_reference", message).with_details(unknown).into());
        }
        client::insert(&mut tx, &row, now).await?;
        let detail = json!({
            "partner": row.partner_id, "scopes": row.scopes, "networks": row.networks, "usage_plan": row.usage_plan,
        });
        actor.record(&mut tx, &self.clock, "client.create", &row.id, &detail).await?;
        self.commit(tx).await?;
        Ok(ClientView::new(row, partner.in_force()))
    }

    /// Clients by id.
    pub async fn clients(&self, filter: &ClientFilter) -> Result<Vec<ClientView>, Failure> {
        let rows = client::list(&self.store, filter).await?;
        let mut partners: HashMap<String, bool> = HashMap::new();
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let in_force = match partners.get(&row.partner_id) {
                Some(in_force) => *in_force,
                None => {
                    let partner = store::partner::get(&self.store, &row.partner_id).await?;
                    let in_force = partner.as_ref().is_some_and(PartnerRow::in_force);
                    partners.insert(row.partner_id.clone(), in_force);
                    in_force
                }
            };
            views.push(ClientView::new(row, in_force));
        }
        Ok(views)
    }

    /// The client `id`.
    pub async fn client(&self, id: &str) -> Result<ClientView, Failure> {
        let row = found(&self.store, id).await?;
        let partner = partner::found(&self.store, &row.partner_id).await?;
        Ok(ClientView::new(row, partner.in_force()))
    }

    /// Switches a client off, or on again. Allowed for clients that a document declares too: it is the emergency brake. What
    /// the policy withdrew only the policy brings back.
    ///
    /// Off also revokes the tokens issued until now: switched on again, the client must ask for new ones.
    ///
    /// # Errors
    /// `client_not_found`, `withdrawn_by_policy`, and `last_administrator` when nobody could switch it on again.
    pub async fn set_client_enabled(&self, actor: &Actor, id: &str, enabled: bool) -> Result<ClientView, Failure> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let mut row = found(&mut tx, id).await?;
        let partner = partner::found(&mut tx, &row.partner_id).await?;
        if enabled && let Some(version) = row.withdrawn_by {
            return Err(partner::withdrawn("client", id, version).into());
        }
        if !enabled {
            administrators::keep_one(&mut tx, |client| client.id == id).await?;
        }
        if row.enabled != enabled {
            row.enabled = enabled;
            client::update(&mut tx, &row, now).await?;
            if !enabled {
                client::revoke_tokens_before(&mut tx, id, now.plus(1), now).await?;
            }
            let action = if enabled { "client.enable" } else { "client.disable" };
            actor.record(&mut tx, &self.clock, action, id, &json!({})).await?;
        }
        self.commit(tx).await?;
        Ok(ClientView::new(row, partner.in_force()))
    }
}

pub(super) async fn found(from: impl Read, id: &str) -> Result<ClientRow, Failure> {
    let row = client::get(from, id).await?;
    row.ok_or_else(|| Refusal::not_found("client_not_found", format!("There is no client {id:?}.")).into())
}

/// Checked, sorted and without doubles.
pub(super) fn scope_set(texts: &[String]) -> Result<ScopeSet, Refusal> {
    let scopes = texts.iter().map(|text| text.parse::<Scope>());
    scopes.collect::<Result<_, _>>().map_err(|error| Refusal::invalid("invalid_scope", format!("{error}.")))
}
