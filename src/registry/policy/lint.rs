//! What is remarkable about documents, given what stands in the registry.

use std::collections::BTreeSet;

use policies::{Document, DocumentFault, ListenerFacts, Policy, RegistryFacts, Scope, Surroundings};

use crate::failure::Fault;
use crate::registry::Registry;
use crate::store;

impl Registry {
    /// What is well formed and probably not meant. Nothing for documents with faults: those come first.
    pub async fn lint_policy(
        &self,
        documents: &[Document],
        listeners: Vec<ListenerFacts>,
    ) -> Result<Vec<DocumentFault>, Fault> {
        let around = Surroundings { listeners: Some(listeners), registry: Some(self.facts().await?) };
        Ok(Policy::lint(documents, &around).map(|(_, warnings)| warnings).unwrap_or_default())
    }

    /// What clients and partners that no document manages, and all credentials, refer to.
    async fn facts(&self) -> Result<RegistryFacts, Fault> {
        let (mut networks, mut usage_plans) = (BTreeSet::new(), BTreeSet::new());
        let mut scopes: BTreeSet<Scope> = BTreeSet::new();
        for client in store::client::all(&self.store).await?.into_iter().filter(|row| row.managed_by.is_none()) {
            scopes.extend(client.scopes.iter().filter_map(|scope| scope.parse().ok()));
            networks.extend(client.networks);
            usage_plans.extend(client.usage_plan);
        }
        for partner in store::partner::all(&self.store).await?.into_iter().filter(|row| row.managed_by.is_none()) {
            networks.extend(partner.networks);
            usage_plans.extend(partner.usage_plan);
        }
        let now = self.clock.now();
        let keys = store::api_key::live_with_networks(&self.store, now).await?;
        networks.extend(keys.into_iter().filter_map(|row| row.networks).flatten());
        let secrets = store::client_secret::live_with_networks(&self.store, now).await?;
        networks.extend(secrets.into_iter().filter_map(|row| row.networks).flatten());
        let certificates = store::certificate::live_with_networks(&self.store, now).await?;
        networks.extend(certificates.into_iter().filter_map(|row| row.networks).flatten());
        Ok(RegistryFacts { scopes: scopes.into_iter().collect(), networks, usage_plans })
    }
}
