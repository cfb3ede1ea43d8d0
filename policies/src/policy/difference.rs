//! What `policy plan` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::Policy;
use crate::denial::alternatives;
use crate::network::Network;
use crate::plan::{Quota, RouteLimits, Throttle, UsagePlan};
use crate::route::Route;
use crate::rule::{RouteRules, RuleMode};
use crate::scope::ResourceServer;
use crate::token_issuer::TokenIssuer;

/// What happened to one declared thing between two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Added, removed or changed.
    pub kind: ChangeKind,
    /// The table of the document: `route`, `client`, …
    pub what: &'static str,
    /// Its name.
    pub id: String,
    /// `field: old -> new` for a change, `field: value` for an addition, empty for a removal.
    pub details: Vec<String>,
}

/// The kind of a [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Only in the new version.
    Added,
    /// Only in the old version.
    Removed,
    /// In both, but not the same.
    Changed,
}

/// `+ route GET /orders`, `- client acme-orders`, `~ network acme-offices (cidrs: … -> …)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        write!(f, "{sign} {} {}", self.what, self.id)?;
        if self.details.is_empty() { Ok(()) } else { write!(f, " ({})", self.details.join("; ")) }
    }
}

/// The fields of one thing as they are shown. Everything that can change a decision must be among them: a change that
/// the plan does not show is one that nobody reviews.
type Fields = Vec<(&'static str, String)>;

/// All changes from `old` to `new`: by table in the order of the document format, then by name.
#[must_use]
pub fn difference(old: &Policy, new: &Policy) -> Vec<Change> {
    let (old, new) = (describe(old), describe(new));
    old.into_iter().zip(new).flat_map(|((what, old), (_, new))| compare(what, &old, &new)).collect()
}

fn describe(policy: &Policy) -> [(&'static str, BTreeMap<String, Fields>); 7] {
    let partners = policy.partners.iter().map(|partner| {
        let fields = vec![
            ("name", partner.name.clone()),
            ("contact", optional(partner.contact.as_deref())),
            ("networks", anywhere_or(&partner.networks)),
            ("rules", network_rule(partner.network_mode)),
            ("usage_plan", optional(partner.usage_plan.as_deref())),
        ];
        (partner.id.to_string(), fields)
    });
    let clients = policy.clients.iter().map(|client| {
        let fields = vec![
            ("partner", client.partner.to_string()),
            ("scopes", client.scopes.to_string()),
            ("networks", anywhere_or(&client.networks)),
            ("rules", network_rule(client.network_mode)),
            ("usage_plan", optional(client.usage_plan.as_deref())),
            ("description", optional(client.description.as_deref())),
        ];
        (client.id.to_string(), fields)
    });
    [
        ("resource_server", policy.resource_servers.iter().map(resource_server).collect()),
        ("network", policy.networks.values().map(|network| self::network(network)).collect()),
        ("usage_plan", policy.usage_plans.values().map(|plan| usage_plan(plan)).collect()),
        ("partner", partners.collect()),
        ("client", clients.collect()),
        ("route", policy.routes.routes().iter().map(|route| self::route(route)).collect()),
        ("token_issuer", policy.token_issuers.iter().map(token_issuer).collect()),
    ]
}

fn anywhere_or(networks: &[String]) -> String {
    if networks.is_empty() { "anywhere".to_owned() } else { networks.join(", ") }
}

fn resource_server(server: &ResourceServer) -> (String, Fields) {
    let mut scopes: Vec<String> =
        server.scopes.iter().map(|scope| format!("{} ({})", scope.name, scope.description)).collect();
    scopes.sort();
    (server.identifier.clone(), vec![("name", server.name.clone()), ("scopes", scopes.join(", "))])
}

fn network(network: &Network) -> (String, Fields) {
    let list = |cidrs: &[ipnet::IpNet]| {
        let mut cidrs = cidrs.to_vec();
        cidrs.sort();
        cidrs.dedup();
        cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(LIST_SEPARATOR)
    };
    (network.name().to_owned(), vec![("cidrs", list(network.cidrs())), ("except", list(network.except()))])
}

fn quotas(quotas: &[Quota]) -> String {
    let all: Vec<String> = quotas.iter().map(ToString::to_string).collect();
    if all.is_empty() { NONE.to_owned() } else { all.join("; ") }
}

fn usage_plan(plan: &UsagePlan) -> (String, Fields) {
    let quota = quotas(&plan.quotas);
    let route = |limits: &RouteLimits| match quotas(&limits.quotas).as_str() {
        NONE => format!("throttle: {}", throttle(limits.throttle)),
        counted => format!("throttle: {}, quota: {counted}", throttle(limits.throttle)),
    };
    let routes: Vec<String> = plan.routes.iter().map(|(id, limits)| format!("{id} ({})", route(limits))).collect();
    let fields = vec![
        ("throttle", throttle(plan.throttle)),
        ("credential_throttle", throttle(plan.credential_throttle)),
        ("quota", quota),
        ("routes", routes.join(LIST_SEPARATOR)),
    ];
    (plan.name.clone(), fields)
}

fn throttle(throttle: Option<Throttle>) -> String {
    optional(throttle.map(|throttle| throttle.to_string()).as_deref())
}

fn route(route: &Route) -> (String, Fields) {
    let accept = if route.is_public() { "anyone".to_owned() } else { alternatives(&route.accept) };
    let fields = vec![
        ("methods", route.methods.join(", ")),
        ("path", route.path.clone()),
        ("accept", accept),
        ("scopes", route.scopes.to_string()),
        ("networks", route.networks.to_string()),
        ("throttle", throttle(route.throttle)),
        ("rules", route.rules.to_string()),
        ("listeners", route.listeners.as_ref().map_or_else(|| "all".to_owned(), |names| names.join(", "))),
        ("errors", route.errors.to_string()),
        ("action", route.action.to_string()),
        ("summary", optional(route.summary.as_deref())),
        ("description", optional(route.description.as_deref())),
    ];
    (route.id.to_string(), fields)
}

fn network_rule(mode: RuleMode) -> String {
    RouteRules { networks: mode, ..RouteRules::default() }.to_string()
}

fn token_issuer(issuer: &TokenIssuer) -> (String, Fields) {
    let clients: Vec<String> = issuer.clients.iter().map(|(theirs, ours)| format!("{theirs} = {ours}")).collect();
    let fields = vec![
        ("jwks_uri", issuer.jwks_uri.clone()),
        ("profile", issuer.profile.to_string()),
        ("audiences", issuer.audiences.join(", ")),
        ("algorithms", issuer.algorithms.join(", ")),
        ("clients", clients.join(", ")),
        ("ca_file", optional(issuer.ca_file.as_deref())),
        ("leeway_seconds", issuer.leeway_seconds.to_string()),
    ];
    (issuer.issuer.clone(), fields)
}

/// How an absent field is shown.
const NONE: &str = "none";

fn optional(text: Option<&str>) -> String {
    text.unwrap_or(NONE).to_owned()
}

fn compare(what: &'static str, old: &BTreeMap<String, Fields>, new: &BTreeMap<String, Fields>) -> Vec<Change> {
    let mut ids: Vec<&String> = old.keys().chain(new.keys()).collect();
    ids.sort_unstable();
    ids.dedup();
    let change = |id: &String| {
        let (kind, details) = match (old.get(id), new.get(id)) {
            (None, Some(new)) => (ChangeKind::Added, given_fields(new)),
            (Some(_), None) => (ChangeKind::Removed, Vec::new()),
            (Some(old), Some(new)) => (ChangeKind::Changed, changed_fields(old, new)),
            (None, None) => return None,
        };
        let is_same = kind == ChangeKind::Changed && details.is_empty();
        (!is_same).then(|| Change { kind, what, id: id.clone(), details })
    };
    ids.into_iter().filter_map(change).collect()
}

fn given_fields(new: &Fields) -> Vec<String> {
    let given = new.iter().filter(|(_, value)| !value.is_empty() && value != NONE);
    given.map(|(field, value)| format!("{field}: {value}")).collect()
}

fn changed_fields(old: &Fields, new: &Fields) -> Vec<String> {
    let differing = old.iter().zip(new).filter(|((_, old), (_, new))| old != new);
    differing.map(|((field, old), (_, new))| changed_field(field, old, new)).collect()
}

/// `cidrs: old -> new`, or of a long list only what came and went: in two lists of a thousand nobody sees the one that
/// matters.
fn changed_field(field: &str, old: &str, new: &str) -> String {
    const MAX_ENTRIES_SHOWN: usize = 20;
    let is_long = old.split(LIST_SEPARATOR).count().max(new.split(LIST_SEPARATOR).count()) > MAX_ENTRIES_SHOWN;
    if !is_long || !matches!(field, "cidrs" | "except") {
        return format!("{field}: {old} -> {new}");
    }
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) =
        (old.split(LIST_SEPARATOR).collect(), new.split(LIST_SEPARATOR).collect());
    let came = after.difference(&before).filter(|entry| !entry.is_empty()).map(|entry| format!("+{entry}"));
    let went = before.difference(&after).filter(|entry| !entry.is_empty()).map(|entry| format!("-{entry}"));
    format!("{field}: {}", came.chain(went).collect::<Vec<_>>().join(LIST_SEPARATOR))
}

const LIST_SEPARATOR: &str = ", ";
