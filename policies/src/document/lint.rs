//! What is well formed and probably not meant: rules that nobody can pass, and things that nobody uses.

mod overlap;
mod paths;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::fault::{At, Faults};
use crate::method::AuthMethod;
use crate::network::Allowlist;
use crate::policy::Policy;
use crate::route::{Route, ScopeRequirement};
use crate::rule::RuleMode;
use crate::scope::{Scope, ScopeSet};
use overlap::Overlaps;

/// What the documents do not say, as far as somebody knows it. What is not known is not judged.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The listeners of the server.
    pub listeners: Option<Vec<ListenerFacts>>,
    /// What clients and credentials outside the documents hold and name.
    pub registry: Option<RegistryFacts>,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct ListenerFacts {
    /// Its name, as routes write it.
    pub name: String,
    /// Whether the routes of the policy are served there at all.
    pub serves_routes: bool,
    /// Whether its handshake asks for client certificates.
    pub takes_certificates: bool,
}

/// What the registry's own clients, and all credentials, refer to.
#[derive(Debug, Clone, Default)]
pub struct RegistryFacts {
    /// Scopes that a client holds.
    pub scopes: ScopeSet,
    /// Networks that a client, a partner or a credential names.
    pub networks: BTreeSet<String>,
    /// Usage plans that a client or a partner has.
    pub usage_plans: BTreeSet<String>,
}

/// Where everything stands.
pub(super) struct Places {
    /// By table, then by name.
    pub(super) declared: HashMap<&'static str, BTreeMap<String, At>>,
    /// Of each scope, written whole.
    pub(super) scopes: HashMap<String, At>,
    /// In the order of the route table.
    pub(super) routes: Vec<At>,
    /// The routes that plans have limits of their own for, by id.
    pub(super) overrides: Vec<(String, At)>,
}

impl Places {
    fn of(&self, what: &'static str, name: &str) -> At {
        let found = self.declared.get(what).and_then(|names| names.get(name));
        found.copied().unwrap_or(At::start_of(0))
    }

    fn route(&self, index: usize) -> At {
        self.routes.get(index).copied().unwrap_or(At::start_of(0))
    }
}

/// A policy without faults, and what is remarked on it.
pub(super) struct Lint<'a, 'd> {
    policy: &'a Policy,
    places: &'a Places,
    around: &'a Surroundings,
    warnings: &'a mut Faults<'d>,
}

/// Adds what is remarkable to `warnings`.
pub(super) fn remark<'d>(policy: &Policy, places: &Places, around: &Surroundings, warnings: &mut Faults<'d>) {
    let mut lint = Lint { policy, places, around, warnings };
    lint.unused();
    lint.networks();
    lint.scopes();
    lint.rules();
    lint.plans();
    lint.listeners();
    lint.paths();
}

impl Lint<'_, '_> {
    fn routes(&self) -> impl Iterator<Item = (usize, &Route)> {
        self.policy.routes.routes().iter().enumerate().map(|(index, route)| (index, &**route))
    }

    /// Networks and plans that nothing names.
    fn unused(&mut self) {
        let (clients, partners) = (&self.policy.clients, &self.policy.partners);
        let mut networks: BTreeSet<&str> =
            clients.iter().flat_map(|client| &client.networks).map(String::as_str).collect();
        networks.extend(partners.iter().flat_map(|partner| &partner.networks).map(String::as_str));
        networks.extend(self.policy.routes.routes().iter().flat_map(|route| route.networks.names()));
        let mut plans: BTreeSet<&str> = clients.iter().filter_map(|client| client.usage_plan.as_deref()).collect();
        plans.extend(partners.iter().filter_map(|partner| partner.usage_plan.as_deref()));
        let registry = self.around.registry.as_ref();
        if let Some(registry) = registry {
            networks.extend(registry.networks.iter().map(String::as_str));
            plans.extend(registry.usage_plans.iter().map(String::as_str));
        }
        let whose = if registry.is_some() { "" } else { " of these documents" };
        for name in self.policy.networks.keys().filter(|name| !networks.contains(name.as_str())) {
            let message = format!("network {name:?} is not used: no client, partner or route{whose} names it");
            self.warnings.add(self.places.of("network", name), message);
        }
        for name in self.policy.usage_plans.keys().filter(|name| !plans.contains(name.as_str())) {
            let message = format!("usage plan {name:?} is not used: no client or partner{whose} has it");
            self.warnings.add(self.places.of("usage_plan", name), message);
        }
    }

    /// Allowlists that nobody can be on.
    fn networks(&mut self) {
        for (name, network) in &self.policy.networks {
            if network.is_nowhere() {
                let message = format!("network {name:?} excludes everyone: its exceptions take all of its CIDRs");
                self.warnings.add(self.places.of("network", name), message);
            }
        }
        let partners: HashMap<&str, &[String]> =
            self.policy.partners.iter().map(|partner| (partner.id.as_str(), partner.networks.as_slice())).collect();
        let mut overlaps = Overlaps::default();
        let mut excluded: Vec<usize> = Vec::new();
        for (index, client) in self.policy.clients.iter().enumerate() {
            let of_partner = partners.get(client.partner.as_str()).copied().unwrap_or_default();
            if !overlaps.any(self.policy, &client.networks, of_partner) {
                let message = format!(
                    "client {:?} may call from nowhere: its networks ({}) and those of its partner ({}) have no address in common",
                    client.id.as_str(),
                    client.networks.join(", "),
                    of_partner.join(", ")
                );
                self.warnings.add(self.places.of("client", client.id.as_str()), message);
                excluded.push(index);
            }
        }
        self.routes_without_callers(&excluded, &mut overlaps);
    }

    /// Routes that some client has the scopes for, but none from where they may be called.
    fn routes_without_callers(&mut self, excluded: &[usize], overlaps: &mut Overlaps) {
        /// Pairs of routes and clients that are compared.
        const MAX_PAIRS: usize = 1_000_000;
        let narrow: Vec<usize> = self
            .routes()
            .filter(|(_, route)| !route.networks.is_anywhere() && !route.is_public())
            .map(|(i, _)| i)
            .collect();
        // A client outside the documents may call from anywhere.
        if self.around.registry.is_none() && self.policy.clients.is_empty()
            || self.around.registry.as_ref().is_some_and(|registry| !registry.scopes.is_empty())
            || narrow.len().saturating_mul(self.policy.clients.len()) > MAX_PAIRS
        {
            return;
        }
        for index in narrow {
            let Some(route) = self.policy.routes.routes().get(index) else { continue };
            let names: Vec<String> = route.networks.names().map(str::to_owned).collect();
            let entitled = self
                .policy
                .clients
                .iter()
                .enumerate()
                .filter(|(at, client)| !excluded.contains(at) && route.scopes.is_met(&client.scopes));
            let (mut any, mut reachable) = (false, false);
            for (_, client) in entitled {
                any = true;
                reachable |= overlaps.any(self.policy, &client.networks, &names);
            }
            if any && !reachable {
                let message = format!(
                    "route {:?} excludes everyone: no client that holds its scopes may call from {}",
                    &*route.id, route.networks
                );
                self.warnings.add(self.places.route(index), message);
            }
        }
    }

    /// Scopes that no client holds.
    fn scopes(&mut self) {
        // Documents that declare no client at all leave the clients to the registry.
        if self.around.registry.is_none() && self.policy.clients.is_empty() {
            return;
        }
        let mut held: BTreeSet<&Scope> = self.policy.clients.iter().flat_map(|client| client.scopes.iter()).collect();
        held.extend(self.around.registry.iter().flat_map(|registry| registry.scopes.iter()));
        let mut asked: HashMap<&Scope, &str> = HashMap::new();
        for (_, route) in self.policy.routes.routes().iter().enumerate().rev() {
            asked.extend(route.scopes.scopes().into_iter().flatten().map(|scope| (scope, &*route.id)));
        }
        for (name, at) in &self.places.scopes {
            let Ok(scope) = name.parse::<Scope>() else { continue };
            if held.contains(&scope) {
                continue;
            }
            let by = asked.get(&scope).map_or_else(String::new, |route| format!(", which route {route:?} asks for"));
            let whose = if self.around.registry.is_some() { "nobody" } else { "no client of these documents" };
            self.warnings.add(*at, format!("{whose} holds scope {name:?}{by}"));
        }
    }

    /// Modes of rules that are not there.
    fn rules(&mut self) {
        for (index, route) in self.policy.routes.routes().iter().enumerate() {
            let nothing = [
                ("networks", route.rules.networks, route.networks.is_anywhere(), "may be called from anywhere"),
                ("methods", route.rules.methods, route.is_public(), "is public"),
                ("scopes", route.rules.scopes, route.scopes == ScopeRequirement::None, "asks for no scopes"),
            ];
            for (rule, mode, is_absent, why) in nothing {
                if mode != RuleMode::Enforce && is_absent {
                    let message = format!("rules.{rule} of route {:?} is of no use: it {why}", &*route.id);
                    self.warnings.add(self.places.route(index), message);
                }
            }
        }
        let of_clients = self
            .policy
            .clients
            .iter()
            .map(|client| ("client", client.id.as_str(), client.network_mode, client.networks.is_empty()));
        let of_partners = self
            .policy
            .partners
            .iter()
            .map(|partner| ("partner", partner.id.as_str(), partner.network_mode, partner.networks.is_empty()));
        for (what, id, mode, is_absent) in of_clients.chain(of_partners) {
            if mode != RuleMode::Enforce && is_absent {
                let message = format!("rules.networks of {what} {id:?} is of no use: it may call from anywhere");
                self.warnings.add(self.places.of(what, id), message);
            }
        }
    }

    /// Plans that never come to count: a public route does not ask who calls (an AWS usage plan on a method without
    /// `apiKeyRequired` is off in silence too).
    fn plans(&mut self) {
        let routes = self.policy.routes.routes();
        for (id, at) in &self.places.overrides {
            if routes.iter().any(|route| *route.id == **id && route.is_public()) {
                let message =
                    format!("the limits for route {id:?} never count: it is public and does not ask who calls");
                self.warnings.add(*at, message);
            }
        }
        if routes.is_empty() || !routes.iter().all(|route| route.is_public()) {
            return;
        }
        for name in self.policy.usage_plans.keys() {
            let message =
                format!("usage plan {name:?} limits nobody: every route is public, and those do not ask who calls");
            self.warnings.add(self.places.of("usage_plan", name), message);
        }
    }

    /// Routes whose listeners are not there, or cannot be shown what they ask for.
    fn listeners(&mut self) {
        let Some(listeners) = &self.around.listeners else { return };
        for (index, route) in self.policy.routes.routes().iter().enumerate() {
            let at = self.places.route(index);
            for name in route.listeners.iter().flatten() {
                match listeners.iter().find(|listener| listener.name == *name) {
                    None => self
                        .warnings
                        .add(at, format!("route {:?} is on listener {name:?}, which there is not", &*route.id)),
                    Some(listener) if !listener.serves_routes => {
                        let message = format!(
                            "route {:?} is on listener {name:?}, which serves no routes of the policy",
                            &*route.id
                        );
                        self.warnings.add(at, message);
                    }
                    Some(_) => {}
                }
            }
            let wants_certificate = !route.is_public()
                && route.accept.iter().all(|alternative| alternative.contains(AuthMethod::MutualTls));
            let serving = listeners.iter().filter(|listener| listener.serves_routes && route.is_on(&listener.name));
            for listener in serving.filter(|listener| wants_certificate && !listener.takes_certificates) {
                let message = format!(
                    "route {:?} cannot be called on listener {:?}: it asks for a client certificate, and the listener takes none",
                    &*route.id, listener.name
                );
                self.warnings.add(at, message);
            }
        }
    }
}

/// For `Overlaps`: where these names may be called from.
fn allowlist(policy: &Policy, names: &[String]) -> Allowlist {
    match names {
        [] => Allowlist::anywhere(),
        names => Allowlist::of(names.iter().filter_map(|name| policy.networks.get(name).cloned()).collect()),
    }
}
