//! `[[usage_plan]]`

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Weekday;

use super::build::Builder;
use super::fault::Faults;
use super::reader::{Fields, Text, Value};
use crate::plan::{
    MAX_BURST, MAX_QUOTA_LIMIT, MAX_QUOTAS, PeriodKind, PlanError, Quota, RouteLimits, Throttle, UsagePlan,
};
use crate::route::MAX_ROUTES;
use crate::rule::RULE_MODES;
use crate::text;

const PERIODS: [(&str, PeriodKind); 3] =
    [("day", PeriodKind::Day), ("week", PeriodKind::Week), ("month", PeriodKind::Month)];

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

pub(super) fn read<'d>(mut fields: Fields<'d>, builder: &mut Builder<'d>) {
    let at = fields.at();
    let faults = &mut builder.faults;
    let name = fields.required("name").and_then(|value| value.string(faults));
    let throttle_value = fields.optional("throttle");
    let quota_value = fields.optional("quota");
    let quotas_value = fields.optional("quotas");
    let credential_value = fields.optional("credential_throttle");
    let routes_value = fields.optional("routes");
    const LIMITS: [&str; 5] = ["throttle", "quota", "quotas", "credential_throttle", "routes"];
    let is_misspelt = LIMITS.into_iter().any(|name| fields.misspelt(name).is_some());
    let is_empty = throttle_value.is_none() && quota_value.is_none() && quotas_value.is_none();
    if is_empty && credential_value.is_none() && routes_value.is_none() && !is_misspelt {
        // A plan without limits is mostly a forgotten one: the limit would be off and nobody would know (traefik#8724).
        faults.add(at, "usage_plan limits nothing; give it a throttle or a quota");
    }
    let throttle = throttle_value.and_then(|value| throttle_of("throttle", value, faults));
    let credential_throttle = credential_value.and_then(|value| throttle_of("credential_throttle", value, faults));
    let routes = routes_value.map_or_else(Vec::new, |value| routes(value, faults));
    let quotas = quotas(quota_value, quotas_value, faults);
    fields.finish(faults);

    let mut overrides = BTreeMap::new();
    for (route, limits) in routes {
        if overrides.insert(Arc::from(route.text), limits).is_some() {
            builder.faults.add(route.at, format!("route {:?} is listed twice in routes", route.text));
        }
        builder.refer_to_route(route);
    }
    let Some(name) = name else { return };
    if !text::is_name(name.text) {
        builder.faults.add(name.at, format!("{:?} is not a usage plan name: {}", name.text, text::NAME_GRAMMAR));
        builder.misname("usage_plan", name.text);
        return;
    }
    if builder.declare("usage_plan", name.text, name.at) {
        let plan = UsagePlan { name: name.text.to_owned(), throttle, credential_throttle, quotas, routes: overrides };
        builder.policy.usage_plans.insert(name.text.to_owned(), Arc::new(plan));
    }
}

/// `{ rate, burst }`, with a mode if it is not to bite.
pub(super) fn throttle_of<'d>(what: &'static str, value: Value<'d>, faults: &mut Faults<'d>) -> Option<Throttle> {
    let mut fields = value.table(what, faults)?;
    let mode = fields.optional("mode").map(|value| value.one_of(&RULE_MODES, faults));
    let rate_at = fields.required("rate").map(|value| (value.at, value));
    let rate = rate_at.and_then(|(at, value)| Some((at, value.number(faults)?)));
    let burst = fields.required("burst").and_then(|value| value.integer(1..=i64::from(MAX_BURST), faults));
    fields.finish(faults);
    let (at, rate) = rate?;
    // The rate is judged even if the burst was no good: two faults, one pass.
    let checked = Throttle::new(rate, burst.and_then(|burst| u32::try_from(burst).ok()).unwrap_or(1));
    let throttle = checked.map_err(|error| faults.add(at, error.to_string())).ok()?;
    burst.map(|_| throttle.in_mode(mode.flatten().unwrap_or_default()))
}

/// `[{ route = "GET /orders", throttle = { … } }]`: what stands in place of that route's own limits.
fn routes<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Vec<(Text<'d>, RouteLimits)> {
    let at = value.at;
    let elements = value.elements(faults).unwrap_or_default();
    if elements.is_empty() {
        faults.add(at, "routes is empty; name at least one, or leave it out");
    } else if elements.len() > MAX_ROUTES {
        faults.add(at, format!("more than {MAX_ROUTES} routes"));
        return Vec::new();
    }
    elements.into_iter().filter_map(|element| route_limits(element, faults)).collect()
}

fn route_limits<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Option<(Text<'d>, RouteLimits)> {
    let mut fields = value.table("an entry of routes", faults)?;
    let route = fields.required("route").and_then(|value| value.string(faults));
    let throttle_value = fields.optional("throttle");
    let (quota_value, quotas_value) = (fields.optional("quota"), fields.optional("quotas"));
    let is_misspelt = ["throttle", "quota", "quotas"].into_iter().any(|name| fields.misspelt(name).is_some());
    if throttle_value.is_none() && quota_value.is_none() && quotas_value.is_none() && !is_misspelt {
        faults.add(fields.at(), "an entry of routes limits nothing; give it a throttle or a quota");
    }
    let throttle = throttle_value.and_then(|value| throttle_of("throttle", value, faults));
    let quotas = quotas(quota_value, quotas_value, faults);
    fields.finish(faults);
    Some((route?, RouteLimits { throttle, quotas }))
}

/// `quota = { … }`, or several as `quotas = [{ … }, …]`.
fn quotas<'d>(one: Option<Value<'d>>, several: Option<Value<'d>>, faults: &mut Faults<'d>) -> Vec<Quota> {
    if let (Some(one), Some(_)) = (&one, &several) {
        faults.add(one.at, "quota and quotas are two spellings; write all of them into quotas");
    }
    let one = one.map(|value| vec![value]);
    let several = several.map(|value| (value.at, value)).and_then(|(at, value)| {
        let elements = value.elements(faults)?;
        if elements.is_empty() {
            faults.add(at, "quotas is empty; name at least one");
        }
        if elements.len() > MAX_QUOTAS {
            faults.add(at, format!("quotas holds more than {MAX_QUOTAS}"));
        }
        Some(elements)
    });
    let mut quotas: Vec<Quota> = Vec::new();
    for value in one.into_iter().chain(several).flatten().take(MAX_QUOTAS) {
        let at = value.at;
        let Some(quota) = value.table("quota", faults).and_then(|table| quota(table, faults)) else { continue };
        if quotas.iter().any(|other| other.name() == quota.name()) {
            faults.add(at, format!("two quotas are named {}; give each a name", quota.name()));
            continue;
        }
        quotas.push(quota);
    }
    quotas
}

fn quota<'d>(mut fields: Fields<'d>, faults: &mut Faults<'d>) -> Option<Quota> {
    let limit = fields
        .required("limit")
        .and_then(|value| value.integer(1..=i64::try_from(MAX_QUOTA_LIMIT).unwrap_or(i64::MAX), faults));
    let period = fields.required("period").and_then(|value| value.one_of(&PERIODS, faults));
    let time_zone = fields.optional("time_zone").and_then(|value| value.string(faults));
    let anchor_day = fields.optional("anchor_day").map(|value| (value.at, value));
    let anchor_day = anchor_day.and_then(|(at, value)| Some((at, value.integer(1..=31, faults)?)));
    let week_start = fields.optional("week_start").map(|value| (value.at, value));
    let week_start = week_start.and_then(|(at, value)| Some((at, value.one_of(&WEEKDAYS, faults)?)));
    let name = fields.optional("name").and_then(|value| value.string(faults));
    let offset = fields.optional("offset").map(|value| (value.at, value));
    let offset = offset.and_then(|(at, value)| {
        Some((at, value.integer(0..=i64::try_from(MAX_QUOTA_LIMIT).unwrap_or(i64::MAX), faults)?))
    });
    let mode = fields.optional("mode").and_then(|value| value.one_of(&RULE_MODES, faults));
    fields.finish(faults);

    // What could not be read stands in as a harmless value, so that the rest of the quota is judged in the same pass.
    let is_whole = limit.is_some() && period.is_some();
    let limit = limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(1);
    let mut quota = Quota::new(limit, period.unwrap_or(PeriodKind::Day)).ok()?;
    let mut apply = |at, changed: Result<Quota, PlanError>, before: Quota| {
        changed.unwrap_or_else(|error| {
            faults.add(at, error.to_string());
            before
        })
    };
    if let Some(zone) = time_zone {
        quota = apply(zone.at, quota.clone().in_time_zone(zone.text), quota);
    }
    if let (Some((at, day)), Some(_)) = (anchor_day, period) {
        quota = apply(at, quota.clone().anchored(u8::try_from(day).unwrap_or(0)), quota);
    }
    if let (Some((at, first)), Some(_)) = (week_start, period) {
        quota = apply(at, quota.clone().weeks_from(first), quota);
    }
    if let Some(name) = name {
        quota = apply(name.at, quota.clone().named(name.text), quota);
    }
    if let (Some((at, offset)), true) = (offset, is_whole) {
        quota = apply(at, quota.clone().offset_by(u64::try_from(offset).unwrap_or(0)), quota);
    }
    is_whole.then(|| quota.in_mode(mode.unwrap_or_default()))
}
