//! Partners: the companies.

use policies::PartnerId;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Actor, Registry, administrators, bounds};
use crate::failure::{Failure, Refusal};
use crate::snapshot::resolve;
use crate::store::client;
use crate::store::partner::{self, PartnerRow};
use crate::store::{Page, Read};

/// What a new partner is to be.
#[derive(Clone, Debug, Default)]
pub struct NewPartner {
    /// Short name: a-z, 0-9 and `-`.
    pub id: String,
    /// For people; the id when absent.
    pub name: Option<String>,
    /// Whom to call.
    pub contact: Option<String>,
    /// Network names or CIDRs that any of its clients may call from. Empty: anywhere.
    pub networks: Vec<String>,
    /// The usage plan that its clients share.
    pub usage_plan: Option<String>,
}

impl NewPartner {
    /// A partner of this id and name, without restrictions.
    pub fn named(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: Some(name.to_owned()), ..Self::default() }
    }
}

/// A partner, as people see it. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Partner)]
pub struct PartnerView {
    pub id: String,
    pub name: String,
    pub contact: Option<String>,
    /// Whether its clients may be let in.
    pub enabled: bool,
    /// Whether an operator switched it off.
    pub disabled_by_operator: bool,
    /// `policy` when a document declares it; changes are then made there.
    pub managed_by: Option<String>,
    /// The policy version that stopped declaring it.
    pub withdrawn_by: Option<i64>,
    /// Networks or CIDRs that any of its clients may call from, besides being one of the client's; empty: anywhere.
    pub networks: Vec<String>,
    /// The usage plan that its clients share, besides each one's own.
    pub usage_plan: Option<String>,
    pub created_at: i64,
}

impl From<PartnerRow> for PartnerView {
    fn from(row: PartnerRow) -> Self {
        Self {
            enabled: row.in_force(),
            disabled_by_operator: !row.enabled,
            id: row.id,
            name: row.name,
            contact: row.contact,
            managed_by: row.managed_by,
            withdrawn_by: row.withdrawn_by,
            networks: row.networks,
            usage_plan: row.usage_plan,
            created_at: row.created_at,
        }
    }
}

impl Registry {
    /// Adds a partner. Its networks and plan must be in the policy in force.
    pub async fn create_partner(&self, actor: &Actor, new: NewPartner) -> Result<PartnerView, Failure> {
        let id: PartnerId =
            new.id.parse().map_err(|error| Refusal::invalid("invalid_partner_id", format!("{error}.")))?;
        let name = new.name.unwrap_or_else(|| id.to_string());
        bounds::line("name", &name, bounds::NAME_CHARS_MAX)?;
        bounds::optional_line("contact", new.contact.as_deref(), bounds::CONTACT_CHARS_MAX)?;
        bounds::list("networks", &new.networks, bounds::NETWORKS_MAX)?;
        let now = self.clock.now();
        let (mut tx, view) = self.begin().await?;
        if partner::get(&mut tx, id.as_str()).await?.is_some() {
            return Err(Refusal::conflict("partner_exists", format!("There is a partner {id} already.")).into());
        }
        let row = PartnerRow {
            id: id.to_string(),
            name,
            contact: new.contact,
            enabled: true,
            managed_by: None,
            withdrawn_by: None,
            networks: new.networks,
            usage_plan: new.usage_plan,
            created_at: now.0,
        };
        if let Err(unknown) = resolve::partner(&view.policy, &row) {
            let message = format!("The partner {id} would refer to what the policy in force does not have.");
            return Err(Refusal::invalid("unknown_reference", message).with_details(unknown).into());
        }
        partner::insert(&mut tx, &row, now).await?;
        let detail = json!({
            "name": row.name, "contact": row.contact, "networks": row.networks, "usage_plan": row.usage_plan,
        });
        actor.record(&mut tx, &self.clock, "partner.create", &row.id, &detail).await?;
        self.commit(tx).await?;
        Ok(row.into())
    }

    /// Partners by id.
    pub async fn partners(&self, page: Page) -> Result<Vec<PartnerView>, Failure> {
        Ok(partner::list(&self.store, page).await?.into_iter().map(Into::into).collect())
    }

    /// The partner `id`.
    pub async fn partner(&self, id: &str) -> Result<PartnerView, Failure> {
        Ok(found(&self.store, id).await?.into())
    }

    /// Switches a partner with all its clients off, or on again. Allowed for partners that a document declares too: it is
    /// the emergency brake. What the policy withdrew only the policy brings back.
    ///
    /// Off also revokes the tokens issued until now: switched on again, its clients must ask for new ones.
    ///
    /// # Errors
    /// `partner_not_found`, `withdrawn_by_policy`, and `last_administrator` when nobody could switch it on again.
    pub async fn set_partner_enabled(&self, actor: &Actor, id: &str, enabled: bool) -> Result<PartnerView, Failure> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let mut row = found(&mut tx, id).await?;
        if enabled && let Some(version) = row.withdrawn_by {
            return Err(withdrawn("partner", id, version).into());
        }
        if !enabled {
            administrators::keep_one(&mut tx, |client| client.partner_id == id).await?;
        }
        if row.enabled != enabled {
            row.enabled = enabled;
            partner::update(&mut tx, &row, now).await?;
            if !enabled {
                client::revoke_tokens_of_partner_before(&mut tx, id, now.plus(1), now).await?;
            }
            let action = if enabled { "partner.enable" } else { "partner.disable" };
            actor.record(&mut tx, &self.clock, action, id, &json!({})).await?;
        }
        self.commit(tx).await?;
        Ok(row.into())
    }
}

pub(super) async fn found(from: impl Read, id: &str) -> Result<PartnerRow, Failure> {
    let row = partner::get(from, id).await?;
    row.ok_or_else(|| Refusal::not_found("partner_not_found", format!("There is no partner {id:?}.")).into())
}

pub(super) fn withdrawn(noun: &str, id: &str, version: i64) -> Refusal {
    let message = format!(
        "The {noun} {id} is off because policy version {version} no longer declares it. Declare it again and apply the policy."
    );
    Refusal::conflict("withdrawn_by_policy", message)
}
