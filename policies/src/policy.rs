//! Everything that documents declare, checked whole.

mod difference;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::client::{Client, ClientId, PartnerId, PartnerTerms};
use crate::document::{self, Document, DocumentFault, Surroundings};
use crate::gcra::Gcra;
use crate::network::{Allowlist, Network};
use crate::plan::UsagePlan;
use crate::route::RouteTable;
use crate::rule::{ClientRules, RuleMode};
use crate::scope::{ADMIN_SCOPES, RESERVED_RESOURCE_SERVER, ResourceServer, Scope, ScopeSet, is_reserved_scope};
use crate::text::did_you_mean;
use crate::token_issuer::TokenIssuer;

pub use difference::{Change, ChangeKind, difference};

/// One version of the policy: all documents together. The default is empty and denies everything.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Protected APIs and their scopes.
    pub resource_servers: Vec<ResourceServer>,
    /// By name.
    pub networks: BTreeMap<String, Arc<Network>>,
    /// By name.
    pub usage_plans: BTreeMap<String, Arc<UsagePlan>>,
    /// Declared partners, those that only a client names included.
    pub partners: Vec<DeclaredPartner>,
    /// Declared clients.
    pub clients: Vec<DeclaredClient>,
    /// The declared clients and partners whose allowlists do not simply bite: among many thousand of them they are looked up.
    pub(crate) client_modes: BTreeMap<ClientId, RuleMode>,
    pub(crate) partner_modes: BTreeMap<PartnerId, RuleMode>,
    /// Routes.
    pub routes: RouteTable,
    /// External issuers.
    pub token_issuers: Vec<TokenIssuer>,
}

/// A partner that a document manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredPartner {
    /// Short name.
    pub id: PartnerId,
    /// For people; the id if only a client names the partner.
    pub name: String,
    /// Whom to call.
    pub contact: Option<String>,
    /// Names of networks that any of its clients may call from; empty is anywhere.
    pub networks: Vec<String>,
    /// Whether they bite.
    pub network_mode: RuleMode,
    /// Name of the usage plan that its clients share; `None` is unlimited.
    pub usage_plan: Option<String>,
}

/// A client that a document manages. Its credentials are issued, never declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredClient {
    /// The client.
    pub id: ClientId,
    /// Its partner.
    pub partner: PartnerId,
    /// All it may ever be granted.
    pub scopes: ScopeSet,
    /// Names of networks; empty is anywhere.
    pub networks: Vec<String>,
    /// Whether they bite.
    pub network_mode: RuleMode,
    /// Name of a usage plan; `None` is unlimited.
    pub usage_plan: Option<String>,
    /// For people.
    pub description: Option<String>,
}

impl Policy {
    /// Reads and checks all documents as one policy.
    ///
    /// # Errors
    /// Every fault of every document, sorted by document, line and column.
    pub fn parse(documents: &[Document]) -> Result<Self, Vec<DocumentFault>> {
        document::parse(documents)
    }

    /// Reads documents as [`Policy::parse`] does, and says besides what is well formed and probably not meant: rules that nobody can
    /// pass, things that nobody uses, patterns that take from one another. `around` is what the documents do not say.
    ///
    /// # Errors
    /// As [`Policy::parse`]: what is faulty is not remarked on.
    pub fn lint(
        documents: &[Document],
        around: &Surroundings,
    ) -> Result<(Self, Vec<DocumentFault>), Vec<DocumentFault>> {
        document::lint(documents, around)
    }

    /// A client with its grants looked up in this version of the policy, not yet [under](Client::under) the terms of its partner.
    ///
    /// `networks` empty is anywhere, as in a document.
    ///
    /// # Errors
    /// Every scope, network or plan that this version does not know. Never taken as "no restriction": a network that
    /// was renamed would open its clients to the world.
    pub fn resolve_client(
        &self,
        id: ClientId,
        partner: PartnerId,
        enabled: bool,
        scopes: &ScopeSet,
        networks: &[String],
        usage_plan: Option<&str>,
    ) -> Result<Client, Vec<String>> {
        let mut faults: Vec<String> =
            scopes.iter().filter(|scope| !self.has_scope(scope)).map(|scope| self.unknown_scope(scope)).collect();
        match self.terms(networks, usage_plan) {
            Ok(PartnerTerms { networks, usage_plan }) if faults.is_empty() => Ok(Client {
                rules: self.client_rules(&id, &partner),
                id,
                partner,
                enabled,
                scopes: scopes.clone(),
                networks,
                usage_plan,
                partner_networks: Allowlist::anywhere(),
                partner_usage_plan: None,
            }),
            terms => {
                faults.extend(terms.err().into_iter().flatten());
                Err(faults)
            }
        }
    }

    /// The terms of a partner looked up in this version of the policy. `networks` empty is anywhere, as in a document.
    ///
    /// # Errors
    /// Every network or plan that this version does not know, and a plan that limits each credential or each route: those limits
    /// belong to one client, and would be left out here in silence.
    pub fn resolve_partner(&self, networks: &[String], usage_plan: Option<&str>) -> Result<PartnerTerms, Vec<String>> {
        let terms = self.terms(networks, usage_plan)?;
        match terms.usage_plan.as_deref().map(UsagePlan::check_for_partner) {
            Some(Err(message)) => Err(vec![message]),
            _ => Ok(terms),
        }
    }

    fn terms(&self, networks: &[String], usage_plan: Option<&str>) -> Result<PartnerTerms, Vec<String>> {
        let networks = match networks {
            [] => Ok(Allowlist::anywhere()),
            names => self.allowlist(names),
        };
        let plan = usage_plan.map(|name| {
            let found = self.usage_plans.get(name).map(Arc::clone);
            found.ok_or_else(|| unknown("usage plan", name, self.usage_plans.keys().map(String::as_str)))
        });
        match (networks, plan.transpose()) {
            (Ok(networks), Ok(usage_plan)) => Ok(PartnerTerms { networks, usage_plan }),
            (networks, plan) => Err(networks.err().into_iter().flatten().chain(plan.err()).collect()),
        }
    }

    /// The modes that documents give to the allowlists of this client. One that no document declares has none of its own.
    fn client_rules(&self, id: &ClientId, partner: &PartnerId) -> ClientRules {
        ClientRules {
            networks: self.client_modes.get(id).copied().unwrap_or_default(),
            partner_networks: self.partner_modes.get(partner).copied().unwrap_or_default(),
        }
    }

    /// The allowlist of the networks of these names: nowhere if there is none.
    ///
    /// # Errors
    /// Every name that is not a network of this version.
    pub fn allowlist(&self, names: &[String]) -> Result<Allowlist, Vec<String>> {
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        for name in names {
            match self.networks.get(name) {
                Some(network) => found.push(Arc::clone(network)),
                None => faults.push(unknown("network", name, self.networks.keys().map(String::as_str))),
            }
        }
        if faults.is_empty() { Ok(Allowlist::of(found)) } else { Err(faults) }
    }

    /// The longest time in which a spent bucket of any throttle is whole again, in nanoseconds.
    #[must_use]
    pub fn longest_fill_nanos(&self) -> u64 {
        let plans = self.usage_plans.values().flat_map(|plan| {
            let routes = plan.routes.values().filter_map(|limits| limits.throttle);
            plan.throttle.into_iter().chain(plan.credential_throttle).chain(routes)
        });
        let routes = self.routes.routes().iter().filter_map(|route| route.throttle);
        plans.chain(routes).map(|throttle| Gcra::of(throttle).fill_nanos()).max().unwrap_or(0)
    }

    /// Whether a resource server declares `scope`, or it is one of Portcullis's own.
    #[must_use]
    pub fn has_scope(&self, scope: &Scope) -> bool {
        is_reserved_scope(scope)
            || self.resource_servers.iter().any(|server| {
                server.identifier == scope.resource_server()
                    && server.scopes.iter().any(|known| known.name == scope.name())
            })
    }

    /// What to say about a scope that is not [known](Policy::has_scope).
    pub(crate) fn unknown_scope(&self, scope: &Scope) -> String {
        const MAX_CANDIDATES: usize = 300;
        let identifier = scope.resource_server();
        let (own, others): (Vec<_>, Vec<_>) =
            self.resource_servers.iter().partition(|server| server.identifier == identifier);
        let is_declared = identifier == RESERVED_RESOURCE_SERVER || !own.is_empty();
        let known: Vec<String> = own
            .into_iter()
            .chain(others)
            .flat_map(|server| server.scopes.iter().map(|known| format!("{}/{}", server.identifier, known.name)))
            .take(MAX_CANDIDATES)
            .chain(ADMIN_SCOPES.iter().chain([&crate::scope::INTROSPECT]).map(|known| (*known).to_owned()))
            .collect();
        let hint = did_you_mean(scope.as_str(), known.iter().map(String::as_str));
        if is_declared {
            format!("unknown scope {scope:?}: resource server {identifier:?} has no scope {:?}{hint}", scope.name())
        } else {
            format!("unknown scope {scope:?}: no [[resource_server]] has the identifier {identifier:?}{hint}")
        }
    }
}

/// `unknown network "acme-ofices"; did you mean "acme-offices"?`
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    format!("unknown {what} {name:?}{}", did_you_mean(name, known))
}
