//! One version of the policy with the clients resolved against it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use policies::{Allowlist, Client, ClientRules, Document, PartnerId, PartnerTerms, Policy, ScopeSet, UnixSeconds};

use super::resolve;
use crate::failure::Fault;
use crate::store::client::{ClientRow, listed};
use crate::store::packet::{self, Packet, Portion};
use crate::store::partner::PartnerRow;
use crate::store::policy::PolicyRow;
use crate::store::{self, Store, stored};

/// What a request is judged by. The policy never changes under it; a client's row may.
pub struct PolicyView {
    /// 0 before the first policy: it denies everything.
    pub version: i64,
    pub policy: Policy,
    clients: papaya::HashMap<Arc<str>, Arc<ClientEntry>>,
}

/// A client as the gate sees it.
#[derive(Clone, Debug)]
pub struct ClientEntry {
    pub client: Arc<Client>,
    /// Tokens issued before this instant are revoked.
    pub tokens_not_before: Option<UnixSeconds>,
}

impl PolicyView {
    /// The client `id`, disabled ones too.
    pub fn client(&self, id: &str) -> Option<Arc<ClientEntry>> {
        self.clients.pin().get(id).cloned()
    }

    /// Where a credential that is narrowed to these networks (names or CIDRs) may be used from. A name that the policy does
    /// not know leaves nothing, and so does an empty list: never "from anywhere".
    pub fn allowlist(&self, names: &[String]) -> Allowlist {
        resolve::allowlist(&self.policy, names).unwrap_or_else(|unknown| {
            tracing::error!(
                ?unknown,
                "a credential is narrowed to networks that the policy does not have; it is refused"
            );
            Allowlist::of(Vec::new())
        })
    }

    pub(super) async fn newest(store: &Store) -> Result<Self, Fault> {
        let (version, policy) = Self::parse(store::policy::newest(store).await?)?;
        Self::build(version, policy, store).await
    }

    /// Reads a stored version. None at all is the policy that denies everything.
    pub(super) fn parse(row: Option<PolicyRow>) -> Result<(i64, Policy), Fault> {
        let Some(row) = row else { return Ok((0, Policy::default())) };
        let documents: Vec<Document> =
            row.documents.into_iter().map(|document| Document::new(document.name, document.text)).collect();
        let policy = Policy::parse(&documents).map_err(|faults| {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            Fault::new(format!("policy version {} has {} faults, the first: {first}", row.version, faults.len()))
        })?;
        Ok((row.version, policy))
    }

    /// Resolves every client against the policy.
    pub(super) async fn build(version: i64, policy: Policy, store: &Store) -> Result<Self, Fault> {
        let view = Self { version, policy, clients: papaya::HashMap::new() };
        let partners = store::partner::all(store).await?;
        // Resolved once each: however many clients a partner has, its networks stand in memory once.
        let partners = partners.iter().map(|row| (row.id.clone(), view.partner(row))).collect();
        view.take_in(store, Portion::All, partners).await?;
        Ok(view)
    }

    /// Looks again at some of the clients, with their partners as they now are.
    pub(super) async fn load(&self, store: &Store, portion: Portion) -> Result<(), Fault> {
        let partners = store::partner::all(store).await?;
        let partners = partners.iter().map(|row| (row.id.clone(), self.partner(row))).collect();
        self.take_in(store, portion, partners).await
    }

    async fn take_in(
        &self,
        store: &Store,
        portion: Portion,
        partners: HashMap<String, PartnerEntry>,
    ) -> Result<(), Fault> {
        let mut sharing = Sharing::default();
        let behind = |place| listed::packet(store, portion, place);
        packet::each(behind, |packet| self.take_packet(packet, &partners, &mut sharing)).await
    }

    fn take_packet(
        &self,
        packet: &Packet,
        partners: &HashMap<String, PartnerEntry>,
        sharing: &mut Sharing,
    ) -> Result<(), Fault> {
        for row in listed::read(packet)? {
            match row {
                Ok(row) => self.put(&row, partners.get(&row.partner_id).unwrap_or(&PartnerEntry::Absent), sharing),
                // What is not known is not let in.
                Err(fault) => tracing::error!(error = fault.inside(), "a client's row cannot be read; it is refused"),
            }
        }
        Ok(())
    }

    pub(super) async fn reload_client(&self, store: &Store, id: &str) -> Result<(), Fault> {
        let Some(row) = store::client::get(store, id).await? else {
            self.clients.pin().remove(id);
            return Ok(());
        };
        let partner = store::partner::get(store, &row.partner_id).await?;
        let partner = partner.map_or(PartnerEntry::Absent, |row| self.partner(&row));
        self.put(&row, &partner, &mut Sharing::default());
        Ok(())
    }

    pub(super) async fn reload_partner(&self, store: &Store, id: &str) -> Result<(), Fault> {
        let partner = store::partner::get(store, id).await?.map_or(PartnerEntry::Absent, |row| self.partner(&row));
        let mut sharing = Sharing::default();
        for row in store::client::all_of_partner(store, id).await? {
            self.put(&row, &partner, &mut sharing);
        }
        Ok(())
    }

    fn partner(&self, row: &PartnerRow) -> PartnerEntry {
        if !row.in_force() {
            return PartnerEntry::Absent;
        }
        match resolve::partner(&self.policy, row) {
            Ok(terms) => PartnerEntry::InForce(terms),
            Err(unknown) => {
                tracing::error!(
                    partner = row.id,
                    ?unknown,
                    "a partner refers to what the policy does not have; its clients are refused"
                );
                PartnerEntry::Absent
            }
        }
    }

    fn put(&self, row: &ClientRow, partner: &PartnerEntry, sharing: &mut Sharing) {
        let terms = match partner {
            PartnerEntry::InForce(terms) => Some(terms),
            PartnerEntry::Absent => None,
        };
        let enabled = row.in_force() && terms.is_some();
        let client = resolve::client(&self.policy, row, enabled);
        let client = client.map(|client| match terms {
            Some(terms) => client.under(terms),
            None => client,
        });
        let client = client.or_else(|unknown| {
            // What is switched off may refer to what is gone; what is on may not, and someone must hear of it.
            if enabled {
                tracing::error!(
                    client = row.id,
                    ?unknown,
                    "a client refers to what the policy does not have; it is refused"
                );
            }
            closed(row)
        });
        match client {
            Ok(mut client) => {
                sharing.share(&mut client);
                let entry =
                    ClientEntry { client: Arc::new(client), tokens_not_before: row.tokens_not_before.map(UnixSeconds) };
                self.clients.pin().insert(row.id.as_str().into(), Arc::new(entry));
            }
            Err(fault) => {
                tracing::error!(
                    client = row.id,
                    error = fault.inside(),
                    "a client's row cannot be read; it is refused"
                );
                self.clients.pin().remove(row.id.as_str());
            }
        }
    }
}

/// A partner as its clients see it.
enum PartnerEntry {
    InForce(PartnerTerms),
    /// Switched off, or with terms that mean nothing: whoever belongs to it is refused.
    Absent,
}

/// What many clients of one load have in common stands in memory once: a million clients of ten kinds hold ten sets of scopes.
#[derive(Default)]
struct Sharing {
    partners: HashSet<PartnerId>,
    scopes: HashSet<ScopeSet>,
}

impl Sharing {
    fn share(&mut self, client: &mut Client) {
        match self.partners.get(&client.partner) {
            Some(known) => client.partner = known.clone(),
            None => _ = self.partners.insert(client.partner.clone()),
        }
        match self.scopes.get(&client.scopes) {
            Some(known) => client.scopes = known.clone(),
            None => _ = self.scopes.insert(client.scopes.clone()),
        }
    }
}

/// A client that is let in nowhere: it must not keep its scopes without its networks.
fn closed(row: &ClientRow) -> Result<Client, Fault> {
    Ok(Client {
        id: stored("client id", &row.id)?,
        partner: stored("partner id", &row.partner_id)?,
        enabled: false,
        scopes: ScopeSet::default(),
        networks: Allowlist::of(Vec::new()),
        rules: ClientRules::default(),
        usage_plan: None,
        partner_networks: Allowlist::of(Vec::new()),
        partner_usage_plan: None,
    })
}

impl std::fmt::Debug for PolicyView {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PolicyView").field("version", &self.version).finish_non_exhaustive()
    }
}
