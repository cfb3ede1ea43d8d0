//! Patterns that take from one another.

use std::collections::BTreeMap;

use super::Lint;
use crate::route::{Action, Route, check_pattern};

/// Most patterns that are compared with one another: the comparison is of each with each.
const MAX_PATTERNS: usize = 1_000;

/// The routes of one pattern, whatever its parameters are called.
struct Place<'a> {
    segments: Vec<Segment<'a>>,
    /// With their position in the table.
    routes: Vec<(usize, &'a Route)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment<'a> {
    Literal(&'a str),
    One,
    Rest,
}

impl Lint<'_, '_> {
    /// The most specific pattern decides alone: what it does not serve is denied, and what it does not spell is another's.
    pub(super) fn paths(&mut self) {
        let mut by_shape: BTreeMap<String, Place<'_>> = BTreeMap::new();
        for (index, route) in self.policy.routes.routes().iter().enumerate() {
            let Ok(shape) = check_pattern(&route.path) else { continue };
            let place = || Place { segments: segments(&route.path), routes: Vec::new() };
            by_shape.entry(shape).or_insert_with(place).routes.push((index, route));
        }
        if by_shape.len() > MAX_PATTERNS {
            let at = self.places.route(0);
            self.warnings.add(at, format!("more than {MAX_PATTERNS} patterns: shadowed routes were not looked for"));
            return;
        }
        let mut found: Vec<(usize, String)> = Vec::new();
        for narrow in by_shape.values() {
            for lax in by_shape.values().filter(|lax| covers(&lax.segments, &narrow.segments)) {
                found.extend(shadowed(narrow, lax));
                found.extend(folded(narrow, lax));
            }
        }
        for (index, message) in found {
            self.warnings.add(self.places.route(index), message);
        }
    }
}

fn segments(path: &str) -> Vec<Segment<'_>> {
    let segment = |text| match text {
        text if str::starts_with(text, "{*") => Segment::Rest,
        text if str::starts_with(text, "{") => Segment::One,
        text => Segment::Literal(text),
    };
    path.trim_start_matches('/').split('/').map(segment).collect()
}

/// Whether `lax` matches every path that `narrow` matches, and more.
fn covers(lax: &[Segment<'_>], narrow: &[Segment<'_>]) -> bool {
    if lax == narrow {
        return false;
    }
    for (position, segment) in lax.iter().enumerate() {
        match (segment, narrow.get(position)) {
            // One segment or more: an empty one is none.
            (Segment::Rest, Some(Segment::Literal(""))) | (_, None) => return false,
            (Segment::Rest, Some(_)) => return true,
            (Segment::One, Some(Segment::Literal(""))) => return false,
            (Segment::One, Some(Segment::Literal(_) | Segment::One)) => {}
            (Segment::Literal(one), Some(Segment::Literal(other))) if one == other => {}
            _ => return false,
        }
    }
    lax.len() == narrow.len()
}

/// Methods that only the laxer pattern serves: on the narrower one's paths they are denied.
fn shadowed(narrow: &Place<'_>, lax: &Place<'_>) -> Option<(usize, String)> {
    let (first, narrow_route) = *narrow.routes.first()?;
    let serves = |route: &Route, method: &str, listeners: &Route| {
        route.methods.iter().any(|served| served == method) && on_one_listener(route, listeners)
    };
    let mut hidden: Vec<&str> = Vec::new();
    let mut by = None;
    for (_, route) in &lax.routes {
        for method in &route.methods {
            let reachable = narrow.routes.iter().any(|(_, narrow)| on_one_listener(narrow, route));
            if reachable && !narrow.routes.iter().any(|(_, narrow)| serves(narrow, method, route)) {
                hidden.push(method);
                by.get_or_insert(*route);
            }
        }
    }
    let by = by?;
    hidden.sort_unstable();
    hidden.dedup();
    let message = format!(
        "{} {} is denied: the most specific pattern decides alone, and only {} of route {:?} serves it",
        hidden.join(", "),
        narrow_route.path,
        by.path,
        &*by.id
    );
    Some((first, message))
}

/// A proxy that takes `/Admin` where another route guards `/admin`: an upstream that does not tell them apart serves what is
/// guarded (Envoy CVE-2019-9901 and its kin).
fn folded(narrow: &Place<'_>, lax: &Place<'_>) -> Option<(usize, String)> {
    let letters = |text: &str| text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_respelt = narrow.segments.iter().enumerate().any(|(position, segment)| {
        let taken = match lax.segments.get(position) {
            Some(Segment::Literal(_)) => false,
            Some(_) => true,
            None => matches!(lax.segments.last(), Some(Segment::Rest)),
        };
        matches!(segment, Segment::Literal(text) if letters(text)) && taken
    });
    if !is_respelt {
        return None;
    }
    for (index, taker) in lax.routes.iter().filter(|(_, route)| matches!(route.action, Action::Proxy(_))) {
        let guarded = narrow.routes.iter().find(|(_, route)| {
            let shares_a_method = route.methods.iter().any(|method| taker.methods.contains(method));
            shares_a_method && on_one_listener(route, taker) && !asks_the_same(route, taker)
        });
        if let Some((_, guarded)) = guarded {
            let message = format!(
                "route {:?} takes other spellings of {}, such as {}, which route {:?} guards otherwise; an upstream that folds \
                 case would serve them as the same",
                &*taker.id,
                guarded.path,
                guarded.path.to_ascii_uppercase(),
                &*guarded.id
            );
            return Some((*index, message));
        }
    }
    None
}

fn asks_the_same(one: &Route, other: &Route) -> bool {
    one.accept == other.accept
        && one.scopes == other.scopes
        && one.networks == other.networks
        && one.rules == other.rules
}

fn on_one_listener(one: &Route, other: &Route) -> bool {
    match (&one.listeners, &other.listeners) {
        (Some(one), Some(other)) => one.iter().any(|name| other.contains(name)),
        _ => true,
    }
}
