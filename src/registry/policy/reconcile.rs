//! What a policy means for the partners and clients that stand in the registry. Pure: rows in, writes out.

use std::collections::{HashMap, HashSet};

use policies::{DeclaredClient, DeclaredPartner, Policy, UnixSeconds};
use serde::Serialize;
use utoipa::ToSchema;

use crate::snapshot::resolve;
use crate::store::client::ClientRow;
use crate::store::partner::PartnerRow;

/// In `managed_by` of what a document declares.
const POLICY: &str = "policy";

/// What happens to one partner or client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Effect {
    /// `partner` or `client`.
    pub what: &'static str,
    pub id: String,
    /// `create`, `update`, `withdraw` (no longer declared: off, and still listed) or `restore` (declared again).
    pub action: &'static str,
    /// What a reader should know besides.
    pub note: Option<String>,
}

/// A row to be written.
#[derive(Debug)]
pub(super) enum Write {
    InsertPartner(PartnerRow),
    UpdatePartner(PartnerRow),
    WithdrawPartner(PartnerRow),
    InsertClient(ClientRow),
    UpdateClient(ClientRow),
    WithdrawClient(ClientRow),
}

/// The writes that bring the registry in line, and what stands against it.
#[derive(Debug, Default)]
pub(super) struct Reconciliation {
    /// Partners before their clients.
    pub(super) writes: Vec<Write>,
    pub(super) effects: Vec<Effect>,
    pub(super) conflicts: Vec<String>,
}

impl Reconciliation {
    /// Compares `version` of the policy with the rows that stand.
    pub(super) fn of(
        version: i64,
        policy: &Policy,
        partners: Vec<PartnerRow>,
        clients: Vec<ClientRow>,
        now: UnixSeconds,
    ) -> Self {
        let mut this = Self::default();
        for row in partners.iter().filter(|row| row.managed_by.is_none()) {
            if let Err(unknown) = resolve::partner(policy, row) {
                this.conflicts.extend(unknown.into_iter().map(|fault| format!("partner {}: {fault}", row.id)));
            }
        }
        let mut partners: HashMap<String, PartnerRow> = partners.into_iter().map(|row| (row.id.clone(), row)).collect();
        for declared in &policy.partners {
            this.take_partner(declared, partners.remove(declared.id.as_str()), now);
        }
        this.leave_partners(version, partners.into_values(), &clients);

        let declared_partners: HashSet<&str> = policy.partners.iter().map(|partner| partner.id.as_str()).collect();
        let mut clients: HashMap<String, ClientRow> = clients.into_iter().map(|row| (row.id.clone(), row)).collect();
        for declared in &policy.clients {
            if !declared_partners.contains(declared.partner.as_str()) {
                this.conflicts
                    .push(format!("client {} is of partner {}, which is not declared", declared.id, declared.partner));
            }
            this.take_client(declared, clients.remove(declared.id.as_str()), now);
        }
        this.leave_clients(version, policy, clients.into_values());
        this
    }

    /// A credential that is narrowed to a network which goes away would be refused everywhere: someone must decide that.
    pub(super) fn check_networks(&mut self, what: &str, policy: &Policy, networks: Option<&[String]>) {
        if let Some(networks) = networks
            && let Err(unknown) = resolve::allowlist(policy, networks)
        {
            self.conflicts.extend(unknown.into_iter().map(|fault| format!("{what}: {fault}")));
        }
    }

    fn take_partner(&mut self, declared: &DeclaredPartner, standing: Option<PartnerRow>, now: UnixSeconds) {
        let Some(old) = standing else {
            self.writes.push(Write::InsertPartner(PartnerRow {
                id: declared.id.to_string(),
                name: declared.name.clone(),
                contact: declared.contact.clone(),
                enabled: true,
                managed_by: Some(POLICY.into()),
                withdrawn_by: None,
                networks: declared.networks.clone(),
                usage_plan: declared.usage_plan.clone(),
                created_at: now.0,
            }));
            self.note("partner", declared.id.as_str(), "create", None);
            return;
        };
        if old.managed_by.is_none() {
            // Documents may name a partner of the registry with their clients, but not take it over.
            if !is_only_named(declared) {
                self.conflicts
                    .push(format!("partner {} was created in the registry; a document cannot declare it too", old.id));
            }
            return;
        }
        let mut row = old.clone();
        row.withdrawn_by = None;
        // What no document says any more does not hold any more; a name and a contact harm nobody by standing on.
        row.networks.clone_from(&declared.networks);
        row.usage_plan.clone_from(&declared.usage_plan);
        if !is_only_named(declared) {
            row.name.clone_from(&declared.name);
            row.contact.clone_from(&declared.contact);
        }
        if row != old {
            self.note("partner", &row.id, action(old.withdrawn_by), switched_off(row.enabled));
            self.writes.push(Write::UpdatePartner(row));
        }
    }

    fn leave_partners(&mut self, version: i64, rest: impl Iterator<Item = PartnerRow>, clients: &[ClientRow]) {
        let mut gone: Vec<PartnerRow> =
            rest.filter(|row| row.managed_by.is_some() && row.withdrawn_by.is_none()).collect();
        gone.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        for mut row in gone {
            let of_registry: Vec<&str> = clients
                .iter()
                .filter(|client| client.partner_id == row.id && client.managed_by.is_none())
                .map(|client| client.id.as_str())
                .collect();
            let note = (!of_registry.is_empty()).then(|| format!("also turns off {}", of_registry.join(", ")));
            self.note("partner", &row.id, "withdraw", note);
            row.withdrawn_by = Some(version);
            self.writes.push(Write::WithdrawPartner(row));
        }
    }

    fn take_client(&mut self, declared: &DeclaredClient, standing: Option<ClientRow>, now: UnixSeconds) {
        let declared_row = ClientRow {
            id: declared.id.to_string(),
            partner_id: declared.partner.to_string(),
            description: declared.description.clone(),
            enabled: true,
            managed_by: Some(POLICY.into()),
            withdrawn_by: None,
            scopes: declared.scopes.iter().map(ToString::to_string).collect(),
            networks: declared.networks.clone(),
            usage_plan: declared.usage_plan.clone(),
            tokens_not_before: None,
            created_at: now.0,
        };
        let Some(old) = standing else {
            self.note("client", &declared_row.id, "create", None);
            self.writes.push(Write::InsertClient(declared_row));
            return;
        };
        if old.managed_by.is_none() {
            self.conflicts
                .push(format!("client {} was created in the registry; a document cannot declare it too", old.id));
            return;
        }
        // The operator's switch stays as it is: no apply may let in whom someone has shut out.
        let row = ClientRow {
            enabled: old.enabled,
            tokens_not_before: old.tokens_not_before,
            created_at: old.created_at,
            ..declared_row
        };
        if row != old {
            self.note("client", &row.id, action(old.withdrawn_by), switched_off(row.enabled));
            self.writes.push(Write::UpdateClient(row));
        }
    }

    fn leave_clients(&mut self, version: i64, policy: &Policy, rest: impl Iterator<Item = ClientRow>) {
        let mut rest: Vec<ClientRow> = rest.collect();
        rest.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        for mut row in rest {
            if row.managed_by.is_none() {
                if let Err(unknown) = resolve::client(policy, &row, true) {
                    self.conflicts.extend(unknown.into_iter().map(|fault| format!("client {}: {fault}", row.id)));
                }
            } else if row.withdrawn_by.is_none() {
                self.note("client", &row.id, "withdraw", None);
                row.withdrawn_by = Some(version);
                self.writes.push(Write::WithdrawClient(row));
            }
        }
    }

    fn note(&mut self, what: &'static str, id: &str, action: &'static str, note: Option<String>) {
        self.effects.push(Effect { what, id: id.to_owned(), action, note });
    }
}

/// A partner that no document declares itself, but a client names, is known by its id alone.
fn is_only_named(declared: &DeclaredPartner) -> bool {
    declared.name == declared.id.as_str()
        && declared.contact.is_none()
        && declared.networks.is_empty()
        && declared.usage_plan.is_none()
}

fn action(withdrawn_by: Option<i64>) -> &'static str {
    if withdrawn_by.is_some() { "restore" } else { "update" }
}

fn switched_off(enabled: bool) -> Option<String> {
    (!enabled).then(|| "stays off: an operator disabled it".to_owned())
}
