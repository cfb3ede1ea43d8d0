//! The policy as it grows, section by section.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::DocumentFault;
use super::fault::{At, Faults};
use super::lint::Places;
use super::reader::Text;
use crate::network::Allowlist;
use crate::policy::{Policy, unknown};
use crate::route::{Route, RouteTable};
use crate::scope::{Scope, ScopeSet, is_reserved_scope};
use crate::text::nearest;

/// A policy under construction. As soon as there is one fault it will be thrown away, so what is faulty may be left out
/// of it.
pub(super) struct Builder<'d> {
    pub(super) faults: Faults<'d>,
    pub(super) policy: Policy,
    /// Every name declared so far, by table; faulty declarations included, so that one fault does not make others.
    declared: HashMap<&'static str, BTreeMap<String, At>>,
    /// Names that break their grammar, by table: what was meant to refer to them is not a second fault.
    misnamed: HashMap<&'static str, Vec<String>>,
    /// All scopes that may be referred to.
    scopes: HashMap<String, At>,
    /// Resource servers whose scopes could not all be read: references to them are not judged.
    unreadable_servers: HashSet<String>,
    routes: Vec<(Route, At)>,
    /// What plans call routes. Routes come last, so these are looked up at the end.
    route_references: Vec<Text<'d>>,
    /// Whether a route could not be read at all: who refers to it is not a second fault.
    has_unreadable_route: bool,
}

impl<'d> Builder<'d> {
    pub(super) fn new(faults: Faults<'d>) -> Self {
        Self {
            faults,
            policy: Policy::default(),
            declared: HashMap::new(),
            misnamed: HashMap::new(),
            scopes: HashMap::new(),
            unreadable_servers: HashSet::new(),
            routes: Vec::new(),
            route_references: Vec::new(),
            has_unreadable_route: false,
        }
    }

    /// Notes that `what` of this name is declared at `at`; a second declaration is a fault.
    pub(super) fn declare(&mut self, what: &'static str, name: &str, at: At) -> bool {
        let names = self.declared.entry(what).or_default();
        if let Some(first) = names.get(name).copied() {
            let place = self.faults.place(first);
            self.faults.add(at, format!("{what} {name:?} is declared twice, first at {place}"));
            return false;
        }
        names.insert(name.to_owned(), at);
        true
    }

    /// Whether `what` of this name is declared.
    pub(super) fn is_declared(&self, what: &'static str, name: &str) -> bool {
        self.declared.get(what).is_some_and(|names| names.contains_key(name))
    }

    /// Notes that `what` was to have this name, which breaks the grammar.
    pub(super) fn misname(&mut self, what: &'static str, name: impl Into<String>) {
        self.misnamed.entry(what).or_default().push(name.into());
    }

    /// Whether `name` may be meant for something whose declaration is already a fault.
    fn is_excused(&self, what: &'static str, name: &str) -> bool {
        let misnamed = self.misnamed.get(what).into_iter().flatten();
        nearest(name, misnamed.map(String::as_str)).is_some()
    }

    /// Lists a reference to something that is not declared.
    pub(super) fn check_reference(&mut self, what: &'static str, name: Text<'d>) {
        if self.faults.is_full() {
            return;
        }
        if !self.is_declared(what, name.text) && !self.is_excused(what, name.text) {
            let known = self.declared.get(what).into_iter().flat_map(BTreeMap::keys).map(String::as_str);
            let message = unknown(&what.replace('_', " "), name.text, known);
            self.faults.add(name.at, message);
        }
    }

    /// Notes a scope that may be granted and required.
    pub(super) fn declare_scope(&mut self, identifier: &str, name: &str, at: At) -> bool {
        let scope = format!("{identifier}/{name}");
        let is_new = !self.scopes.contains_key(&scope);
        self.scopes.entry(scope).or_insert(at);
        is_new
    }

    /// Notes that not all scopes of a resource server could be read.
    pub(super) fn unreadable_scopes(&mut self, identifier: &str) {
        self.unreadable_servers.insert(identifier.to_owned());
    }

    /// The scopes of these names; each that is malformed or not declared is a fault.
    pub(super) fn scope_set(&mut self, names: Vec<Text<'d>>) -> ScopeSet {
        names.into_iter().filter_map(|name| self.scope(name)).collect()
    }

    fn scope(&mut self, name: Text<'d>) -> Option<Scope> {
        let scope = match name.text.parse::<Scope>() {
            Ok(scope) => scope,
            Err(error) => {
                self.faults.add(name.at, error.to_string());
                return None;
            }
        };
        let is_known = is_reserved_scope(&scope)
            || self.scopes.contains_key(scope.as_str())
            || self.faults.is_full()
            || self.unreadable_servers.contains(scope.resource_server())
            || self.is_excused("scope", scope.as_str());
        if !is_known {
            self.faults.add(name.at, self.policy.unknown_scope(&scope));
        }
        Some(scope)
    }

    /// The allowlist of these networks; each that is not declared is a fault.
    pub(super) fn allowlist(&mut self, names: &[Text<'d>]) -> Allowlist {
        names.iter().for_each(|name| self.check_reference("network", *name));
        Allowlist::of(names.iter().filter_map(|name| self.policy.networks.get(name.text).cloned()).collect())
    }

    /// Adds a route, to be indexed at the end; `at` is where its faults are shown.
    pub(super) fn add_route(&mut self, route: Route, at: At) {
        self.routes.push((route, at));
    }

    /// Notes that a route of this id must be declared.
    pub(super) fn refer_to_route(&mut self, id: Text<'d>) {
        self.route_references.push(id);
    }

    /// Notes that a route could not be read.
    pub(super) fn unreadable_route(&mut self) {
        self.has_unreadable_route = true;
    }

    fn check_route_references(&mut self) {
        if self.has_unreadable_route {
            return;
        }
        let known: BTreeSet<&str> = self.routes.iter().map(|(route, _)| route.id.as_ref()).collect();
        for id in &self.route_references {
            if !known.contains(id.text) && !self.faults.is_full() {
                self.faults.add(id.at, unknown("route", id.text, known.iter().copied()));
            }
        }
    }

    /// The policy and where everything stands, if nothing was wrong.
    pub(super) fn finish(mut self) -> Result<(Policy, Places), Vec<DocumentFault>> {
        self.check_route_references();
        let (routes, places): (Vec<Route>, Vec<At>) = self.routes.into_iter().unzip();
        match RouteTable::new(routes) {
            Ok(table) => self.policy.routes = table,
            Err(faults) => {
                for fault in faults {
                    if let Some(at) = places.get(fault.index) {
                        self.faults.add(*at, fault.message);
                    }
                }
            }
        }
        if self.faults.is_empty() {
            let overrides = self.route_references.into_iter().map(|id| (id.text.to_owned(), id.at)).collect();
            Ok((self.policy, Places { declared: self.declared, scopes: self.scopes, routes: places, overrides }))
        } else {
            Err(self.faults.into_list())
        }
    }
}
