//! From listener, method and path to the one route that rules them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::{Route, check_pattern};

/// Most routes in one table.
pub const MAX_ROUTES: usize = 10_000;
/// Longest method name, in bytes.
const MAX_METHOD_BYTES: usize = 32;

/// All routes, indexed. What is not in it is denied.
///
/// The most specific path pattern decides first, over all listeners and methods; only then listener and method are
/// compared. So `POST /orders/admin`, or a route of another listener, is never served by a laxer `/orders/{id}` or
/// `/{*rest}` that happens to cover its path. Static segments beat parameters.
///
/// Many upstreams take `/Orders/Admin/` for `/orders/admin`. So a path that differs from a more specific pattern only in
/// the case of its letters or in a last slash has no route either: it must not come through a laxer one.
#[derive(Clone, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    places: matchit::Router<usize>,
    /// The routes at each place, as positions in `routes`.
    at_place: Vec<Vec<usize>>,
    /// Patterns as an upstream may read them: lower case, without a last slash.
    folded: matchit::Router<usize>,
    /// The places of each folded pattern.
    at_folded: Vec<Vec<usize>>,
    /// Whether a pattern is written otherwise than it is read here.
    has_foldable: bool,
}

/// What is wrong with one of the routes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("route {id}: {message}")]
pub struct RouteFault {
    /// Its position in the list given.
    pub index: usize,
    /// Its id.
    pub id: Arc<str>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl RouteTable {
    /// Checks and indexes `routes`.
    ///
    /// # Errors
    /// Every fault of every route: methods or path outside the grammar, an `accept` that lets nobody or everybody in by
    /// mistake, two routes for one method and path on one listener, patterns that cannot stand side by side, two routes
    /// of one id, more than [`MAX_ROUTES`].
    pub fn new(routes: Vec<Route>) -> Result<Self, Vec<RouteFault>> {
        Self::of(routes.into_iter().map(Arc::new).collect())
    }

    /// This table and `more` routes, such as the services of Portcullis itself.
    ///
    /// # Errors
    /// As [`RouteTable::new`]; positions count from the first route of this table.
    pub fn with(&self, more: Vec<Route>) -> Result<Self, Vec<RouteFault>> {
        Self::of(self.routes.iter().cloned().chain(more.into_iter().map(Arc::new)).collect())
    }

    fn of(routes: Vec<Arc<Route>>) -> Result<Self, Vec<RouteFault>> {
        let mut table = Self { routes: routes.clone(), ..Self::default() };
        let mut faults = Faults { routes: &routes, list: Vec::new() };
        if routes.len() > MAX_ROUTES {
            faults.add(MAX_ROUTES, format!("more than {MAX_ROUTES} routes"));
            return Err(faults.list);
        }
        let (mut shapes, mut folds) = (HashMap::<String, usize>::new(), HashMap::<String, usize>::new());
        for (index, route) in routes.iter().enumerate() {
            check_requirement(route).unwrap_or_else(|message| faults.add(index, message));
            for method in &route.methods {
                check_method(method).unwrap_or_else(|message| faults.add(index, message));
            }
            match check_pattern(&route.path) {
                Ok(shape) => {
                    table.place(index, shape, &mut shapes).unwrap_or_else(|message| faults.add(index, message));
                }
                Err(message) => faults.add(index, message),
            }
        }
        let mut placed: Vec<(&String, &usize)> = shapes.iter().collect();
        placed.sort_unstable_by_key(|(_, place)| **place);
        for (shape, place) in placed {
            let first = table.at_place.get(*place).and_then(|routes| routes.first()).copied().unwrap_or(0);
            table.fold(shape, *place, &mut folds).unwrap_or_else(|message| faults.add(first, message));
        }
        for place in &table.at_place {
            check_overlaps(place, &mut faults);
        }
        check_ids(&mut faults);
        if !faults.list.is_empty() {
            faults.list.sort_by_key(|fault| fault.index);
            return Err(faults.list);
        }
        Ok(table)
    }

    /// The route for a method and a normalised path on a listener, or nothing: deny.
    ///
    /// HEAD takes the route of GET unless it has its own (RFC 9110 §9.3.2).
    #[must_use]
    pub fn find(&self, listener: &str, method: &str, path: &str) -> Option<&Arc<Route>> {
        let has = |wanted: &str| {
            self.on_path(path)
                .find(|route| route.is_on(listener) && route.methods.iter().any(|method| method == wanted))
        };
        has(method).or_else(|| if method == "HEAD" { has("GET") } else { None })
    }

    /// The methods that `path` has on `listener`, sorted: for the Allow header (RFC 9110 §10.2.1). Empty if it has
    /// none.
    #[must_use]
    pub fn allowed_methods(&self, listener: &str, path: &str) -> Vec<&str> {
        let on_listener = self.on_path(path).filter(|route| route.is_on(listener));
        let mut methods: Vec<&str> = on_listener.flat_map(|route| route.methods.iter().map(String::as_str)).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.dedup();
        methods
    }

    /// All routes, in the order given.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Whatever listener or method, the routes of the most specific pattern that `path` matches.
    fn on_path(&self, path: &str) -> impl Iterator<Item = &Arc<Route>> {
        // An empty segment would match a parameter. The gateway has refused such paths already; this is the second
        // lock.
        let place = if path.contains("//") { None } else { self.places.at(path).ok().map(|found| *found.value) };
        let place = place.filter(|place| self.is_its_own(path, *place));
        place.into_iter().flat_map(|place| self.routes_at(place))
    }

    /// Whether nobody behind us could take the path for that of a more specific pattern than the one it matched.
    fn is_its_own(&self, path: &str, place: usize) -> bool {
        let folded = match folded(path) {
            // The usual case: nothing to fold, neither in the path nor in the patterns.
            None if !self.has_foldable => return true,
            None => Cow::Borrowed(path),
            Some(folded) => Cow::Owned(folded),
        };
        let places = self.folded.at(&folded).ok().and_then(|found| self.at_folded.get(*found.value));
        places.is_none_or(|places| places.contains(&place))
    }

    fn fold(&mut self, shape: &str, place: usize, folds: &mut HashMap<String, usize>) -> Result<(), String> {
        let folded = match folded(shape) {
            Some(folded) => {
                self.has_foldable = true;
                folded
            }
            None => shape.to_owned(),
        };
        let at = match folds.get(&folded) {
            Some(at) => *at,
            None => {
                let at = self.at_folded.len();
                self.folded.insert(folded.clone(), at).map_err(|_| {
                    "another path differs only in the case of its letters, with {name} where the other has {*name}"
                        .to_owned()
                })?;
                self.at_folded.push(Vec::new());
                folds.insert(folded, at);
                at
            }
        };
        if let Some(places) = self.at_folded.get_mut(at) {
            places.push(place);
        }
        Ok(())
    }

    fn routes_at(&self, place: usize) -> impl Iterator<Item = &Arc<Route>> {
        let indices = self.at_place.get(place).map(Vec::as_slice).unwrap_or_default();
        indices.iter().filter_map(|index| self.routes.get(*index))
    }

    fn place(&mut self, index: usize, shape: String, shapes: &mut HashMap<String, usize>) -> Result<(), String> {
        let place = match shapes.get(&shape) {
            Some(place) => *place,
            None => {
                let place = self.at_place.len();
                self.places.insert(shape.clone(), place).map_err(|error| match error {
                    matchit::InsertError::Conflict { with } => {
                        let other = shapes.get(&with).and_then(|place| self.routes_at(*place).next());
                        let other = other.map_or(with, |route| route.path.clone());
                        format!("{{name}} and {{*name}} cannot stand at one place, as here and in {other:?} of another route")
                    }
                    other => other.to_string(),
                })?;
                self.at_place.push(Vec::new());
                shapes.insert(shape, place);
                place
            }
        };
        if let Some(routes) = self.at_place.get_mut(place) {
            routes.push(index);
        }
        Ok(())
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteTable").field(&self.routes).finish()
    }
}

/// The path as an upstream may read it that ignores case and a last slash; `None` if that is how it is written.
fn folded(path: &str) -> Option<String> {
    let trimmed = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path);
    let is_folded = trimmed.len() == path.len() && !path.bytes().any(|byte| byte.is_ascii_uppercase());
    (!is_folded).then(|| trimmed.to_ascii_lowercase())
}

struct Faults<'a> {
    routes: &'a [Arc<Route>],
    list: Vec<RouteFault>,
}

impl Faults<'_> {
    fn add(&mut self, index: usize, message: impl Into<String>) {
        let id = self.routes.get(index).map_or_else(|| Arc::from(""), |route| route.id.clone());
        self.list.push(RouteFault { index, id, message: message.into() });
    }
}

/// Upper-case tokens (RFC 9110 §9.1). CONNECT would make a tunnel past the gateway (Envoy CVE-2026-73547), TRACE echoes
/// credentials.
pub(crate) fn check_method(method: &str) -> Result<(), String> {
    let is_token = (1..=MAX_METHOD_BYTES).contains(&method.len())
        && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_');
    if matches!(method, "CONNECT" | "TRACE") {
        return Err(format!("method {method} is not served"));
    }
    if is_token { Ok(()) } else { Err(format!("method {method:?} must be upper case, such as \"GET\"")) }
}

fn check_requirement(route: &Route) -> Result<(), String> {
    if route.methods.is_empty() {
        return Err("methods is empty".to_owned());
    }
    if route.accept.is_empty() {
        return Err("accept is empty: nobody could call this route".to_owned());
    }
    if route.is_public() && (route.accept.len() > 1 || route.scopes != super::ScopeRequirement::None) {
        // Beside an empty set every other alternative, and every scope, would be ignored in silence.
        return Err("a public route has no other alternatives and no scopes".to_owned());
    }
    if route.listeners.as_ref().is_some_and(Vec::is_empty) {
        return Err("listeners is empty: the route could never be reached".to_owned());
    }
    Ok(())
}

/// At one place, a method may be served once on each listener: else the order of the file would decide who is let in.
fn check_overlaps(place: &[usize], faults: &mut Faults<'_>) {
    let mut seen: HashMap<&str, Vec<usize>> = HashMap::new();
    for index in place {
        let Some(route) = faults.routes.get(*index) else { continue };
        for method in &route.methods {
            let others = seen.entry(method).or_default();
            let twin = others.iter().filter_map(|other| faults.routes.get(*other)).find(|other| overlap(route, other));
            if let Some(twin) = twin {
                let message =
                    format!("{method} {} is already served by route {} on the same listener", route.path, twin.id);
                faults.add(*index, message);
                break;
            }
            others.push(*index);
        }
    }
}

fn overlap(one: &Route, other: &Route) -> bool {
    match (&one.listeners, &other.listeners) {
        (Some(one), Some(other)) => one.iter().any(|name| other.contains(name)),
        _ => true,
    }
}

fn check_ids(faults: &mut Faults<'_>) {
    let mut seen = HashMap::new();
    for (index, route) in faults.routes.iter().enumerate() {
        let first = *seen.entry(route.id.as_ref()).or_insert(index);
        // A route that already overlaps its twin has one fault, not two.
        if first != index && !faults.list.iter().any(|fault| fault.index == index) {
            faults.add(index, "another route has the same id; give each a name");
        }
    }
}
