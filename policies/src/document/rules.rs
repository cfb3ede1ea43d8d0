//! `rules = { networks = "shadow" }`: the modes of the rules that have no table of their own.

use super::fault::Faults;
use super::reader::Fields;
use crate::rule::{RULE_MODES, RouteRules, RuleMode};

/// Of a route: its networks, its accepted methods, its scopes.
pub(super) fn of_route<'d>(fields: &mut Fields<'d>, faults: &mut Faults<'d>) -> RouteRules {
    let [networks, methods, scopes] = modes(["networks", "methods", "scopes"], fields, faults);
    RouteRules { networks, methods, scopes }
}

/// Of a client or a partner: its networks. Scopes and methods are rules of the routes.
pub(super) fn of_networks<'d>(fields: &mut Fields<'d>, faults: &mut Faults<'d>) -> RuleMode {
    let [networks] = modes(["networks"], fields, faults);
    networks
}

fn modes<'d, const N: usize>(
    names: [&'static str; N],
    fields: &mut Fields<'d>,
    faults: &mut Faults<'d>,
) -> [RuleMode; N] {
    let mut modes = [RuleMode::Enforce; N];
    let Some(mut rules) = fields.optional("rules").and_then(|value| value.table("rules", faults)) else { return modes };
    if !rules.has_any() {
        faults.add(rules.at(), format!("rules names none; it may set {}", names.join(", ")));
    }
    for (mode, name) in modes.iter_mut().zip(names) {
        *mode = rules.optional(name).and_then(|value| value.one_of(&RULE_MODES, faults)).unwrap_or_default();
    }
    rules.finish(faults);
    modes
}
