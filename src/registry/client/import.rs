//! Clients in bulk: what a policy document is too small for.

use std::collections::{HashMap, HashSet};

use policies::ClientId;
use serde_json::json;

use super::{NewClient, scope_set};
use crate::failure::{Failure, Refusal};
use crate::registry::import::{RowFaults, check_size};
use crate::registry::{Actor, ImportOutcome, ImportTerms, Registry, bounds, partner};
use crate::snapshot::{PolicyView, resolve};
use crate::store::client::{self, ClientRow};
use crate::store::import::{self, ImportKind};

impl Registry {
    /// Adds clients. One that stands already, of the same partner and with the same grants, stays as it is.
    ///
    /// # Errors
    /// `import_refused` with every row that is wrong; nothing of the part is then imported.
    pub async fn import_clients(
        &self,
        actor: &Actor,
        terms: ImportTerms,
        clients: Vec<NewClient>,
    ) -> Result<ImportOutcome, Failure> {
        check_size(clients.len())?;
        let now = self.clock.now();
        let (mut tx, view) = self.begin().await?;
        let mut partners: HashMap<String, bool> = HashMap::new();
        let (mut rows, mut faults, mut unchanged) = (Vec::with_capacity(clients.len()), RowFaults::default(), 0);
        let mut seen: HashSet<String> = HashSet::with_capacity(clients.len());
        for (number, new) in (terms.first_row..).zip(clients) {
            let known = match partners.get(&new.partner) {
                Some(known) => *known,
                None => match partner::found(&mut tx, &new.partner).await {
                    Ok(_) => *partners.entry(new.partner.clone()).or_insert(true),
                    Err(Failure::Refused(_)) => *partners.entry(new.partner.clone()).or_insert(false),
                    Err(fault) => return Err(fault),
                },
            };
            if !known {
                faults.note(number, &format!("There is no partner {:?}.", new.partner));
                continue;
            }
            let row = match row(&view, new, now.0) {
                Ok(row) => row,
                Err(refusal) => {
                    let more = refusal.details.join("; ");
                    faults.note(number, format!("{refusal} {more}").trim_end());
                    continue;
                }
            };
            if !seen.insert(row.id.clone()) {
                faults.note(number, &format!("The client {} stands twice in this part.", row.id));
            } else if view.client(&row.id).is_none() {
                rows.push(row);
            } else {
                match client::get(&mut tx, &row.id).await? {
                    Some(standing) if is_same(&standing, &row) => unchanged += 1,
                    _ => faults.note(number, &format!("There is another client {} already.", row.id)),
                }
            }
        }
        faults.check()?;
        let outcome = ImportOutcome { imported: rows.len(), unchanged };
        if terms.check_only || rows.is_empty() {
            return Ok(outcome);
        }
        let import_id = import::insert(&mut tx, ImportKind::Client, rows.len(), &actor.name, now).await?;
        client::insert_import(&mut tx, &rows, import_id, now).await?;
        let detail = json!({ "clients": outcome.imported, "unchanged": outcome.unchanged });
        actor.record(&mut tx, &self.clock, "client.import", &import_id.to_string(), &detail).await?;
        self.commit(tx).await?;
        Ok(outcome)
    }
}

fn row(view: &PolicyView, new: NewClient, created_at: i64) -> Result<ClientRow, Refusal> {
    let id: ClientId = new.id.parse().map_err(|error| Refusal::invalid("invalid_client_id", format!("{error}.")))?;
    bounds::optional_line("description", new.description.as_deref(), bounds::REMARK_CHARS_MAX)?;
    bounds::list("scopes", &new.scopes, bounds::SCOPES_MAX)?;
    bounds::list("networks", &new.networks, bounds::NETWORKS_MAX)?;
    let scopes = scope_set(&new.scopes)?;
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
        created_at,
    };
    match resolve::client(&view.policy, &row, true) {
        Ok(_) => Ok(row),
        Err(unknown) => {
            let message = format!("The client {id} would refer to what the policy in force does not have.");
            Err(Refusal::invalid("unknown_reference", message).with_details(unknown))
        }
    }
}

/// Whether it is the same machine with the same grants.
fn is_same(standing: &ClientRow, new: &ClientRow) -> bool {
    standing.managed_by.is_none()
        && standing.partner_id == new.partner_id
        && standing.description == new.description
        && standing.scopes == new.scopes
        && standing.networks == new.networks
        && standing.usage_plan == new.usage_plan
}
