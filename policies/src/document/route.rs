//! `[[route]]`

use std::sync::Arc;

use super::build::Builder;
use super::fault::Faults;
use super::reader::{Fields, Text, Value};
use super::rules;
use super::usage_plan::throttle_of;
use crate::method::{AuthMethod, AuthMethodSet};
use crate::network::Allowlist;
use crate::route::{
    Action, DEFAULT_CONNECT_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS, ErrorStyle, MAX_CONNECT_TIMEOUT_SECONDS,
    MAX_MOCK_BODY_BYTES, MAX_MOCK_HEADERS, MAX_TIMEOUT_SECONDS, Mock, Proxy, Route, ScopeRequirement, check_method,
    check_mock_header, check_mock_status, check_pattern,
};
use crate::text;

pub(super) fn read<'d>(mut fields: Fields<'d>, builder: &mut Builder<'d>) {
    let faults = &mut builder.faults;
    let name = fields.optional("name").and_then(|value| value.parsed(faults, |text| named("route name", text)));
    let methods = fields.required("methods").and_then(|value| methods(value, faults));
    let path = fields.required("path").and_then(|value| value.string(faults));
    let path = path.filter(|path| check_pattern(path.text).map_err(|message| faults.add(path.at, message)).is_ok());
    let accept = accept(&mut fields, faults);
    let scopes = fields.optional("scopes").map(|value| (value.at, value));
    let requirement = scopes.and_then(|(at, value)| {
        if accept == Some(Route::accept_anyone()) {
            faults.add(at, "a public route asks for no scopes: nobody is authenticated");
            return None;
        }
        scopes_of(value, faults)
    });
    let networks = fields.optional("networks").and_then(|value| value.names(faults));
    let throttle = fields.optional("throttle").and_then(|value| throttle_of("throttle", value, faults));
    let rules = rules::of_route(&mut fields, faults);
    let listeners = fields.optional("listeners").and_then(|value| listeners(value, faults));
    let styles = [("standard", ErrorStyle::Standard), ("aws", ErrorStyle::Aws)];
    let errors = fields.optional("errors").and_then(|value| value.one_of(&styles, faults)).unwrap_or_default();
    let action = fields.required("action").and_then(|value| value.table("action", faults));
    let action = action.and_then(|table| action_of(table, faults));
    let summary = fields.optional("summary").and_then(|value| value.prose(faults));
    let description = fields.optional("description").and_then(|value| value.prose(faults));
    fields.finish(faults);

    let networks = networks.map_or_else(Allowlist::anywhere, |names| builder.allowlist(&names));
    let scopes = match requirement {
        None => ScopeRequirement::None,
        Some((true, names)) => ScopeRequirement::Any(builder.scope_set(names)),
        Some((false, names)) => ScopeRequirement::All(builder.scope_set(names)),
    };
    let (Some(methods), Some(path)) = (methods, path) else { return builder.unreadable_route() };
    let id = name.map_or_else(|| Route::default_id(&methods, path.text), Arc::from);
    // What could not be read stands in as something that denies, so that overlaps are still found in the same pass.
    let route = Route {
        id,
        methods,
        path: path.text.to_owned(),
        scopes: if accept == Some(Route::accept_anyone()) { ScopeRequirement::None } else { scopes },
        accept: accept.unwrap_or_else(|| vec![AuthMethod::ALL.into_iter().collect()]),
        networks,
        throttle,
        rules,
        listeners,
        errors,
        action: action.unwrap_or(Action::Service("faulty")),
        summary,
        description,
    };
    builder.add_route(route, path.at);
}

fn named(what: &str, name: &str) -> Result<String, String> {
    if text::is_name(name) {
        Ok(name.to_owned())
    } else {
        Err(format!("{name:?} is not a {what}: {}", text::NAME_GRAMMAR))
    }
}

fn methods<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Option<Vec<String>> {
    let mut methods = Vec::new();
    let names = value.names(faults)?;
    let count = names.len();
    for name in names {
        match check_method(name.text) {
            Ok(()) => methods.push(name.text.to_owned()),
            Err(message) => faults.add(name.at, message),
        }
    }
    (count > 0 && methods.len() == count).then_some(methods)
}

/// `accept` or `public = true`: exactly one, so that no route is public because a line was forgotten.
fn accept<'d>(fields: &mut Fields<'d>, faults: &mut Faults<'d>) -> Option<Vec<AuthMethodSet>> {
    let at = fields.at();
    let public = fields.optional("public").map_or(Some(false), |value| value.boolean(faults));
    let accept = fields.optional("accept");
    match (accept, public?) {
        (None, true) => Some(Route::accept_anyone()),
        (None, false) if fields.misspelt("accept").is_some() || fields.misspelt("public").is_some() => None,
        (None, false) => {
            faults.add(
                at,
                "route accepts nobody; give accept, such as [[\"mutual_tls\"], [\"bearer\"]], or public = true",
            );
            None
        }
        (Some(value), true) => {
            faults.add(value.at, "a public route accepts everybody; remove accept or public");
            None
        }
        (Some(value), false) => alternatives(value, faults),
    }
}

fn alternatives<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Option<Vec<AuthMethodSet>> {
    let at = value.at;
    let elements = value.elements(faults)?;
    if elements.is_empty() {
        faults.add(at, "accept is empty: nobody could call this route");
        return None;
    }
    let mut accept: Vec<AuthMethodSet> = Vec::with_capacity(elements.len());
    let words = AuthMethod::ALL.map(|method| (method.as_str(), method));
    for element in elements {
        let at = element.at;
        let Some(methods) = element.elements(faults) else { continue };
        if methods.is_empty() {
            faults.add(at, "an empty set in accept would let anybody in; use public = true for that");
            continue;
        }
        let count = methods.len();
        let methods: Vec<AuthMethod> = methods.into_iter().filter_map(|method| method.one_of(&words, faults)).collect();
        let set: AuthMethodSet = methods.iter().copied().collect();
        if methods.len() < count {
            continue;
        }
        if set.len() < count {
            faults.add(at, "a method is listed twice in one set of accept");
        } else if accept.contains(&set) {
            faults.add(at, format!("{set} is listed twice in accept"));
        } else {
            accept.push(set);
        }
    }
    (!accept.is_empty()).then_some(accept)
}

/// `{ any = […] }` (true) or `{ all = […] }` (false).
fn scopes_of<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Option<(bool, Vec<Text<'d>>)> {
    let at = value.at;
    let mut fields = value.table("scopes", faults)?;
    let (any, all) = (fields.optional("any"), fields.optional("all"));
    if any.is_some() && all.is_some() {
        faults.add(at, "scopes has both any and all; choose one");
    }
    // With neither, an unknown field has been listed if there is one; an empty table needs its own fault.
    let is_empty_table = any.is_none() && all.is_none() && !fields.has_any();
    fields.finish(faults);
    match (any, all) {
        (Some(any), None) => Some((true, any.names(faults)?)),
        (None, Some(all)) => Some((false, all.names(faults)?)),
        _ => {
            if is_empty_table {
                faults.add(at, "scopes names none; write { any = [...] } or { all = [...] }, or leave scopes out");
            }
            None
        }
    }
}

fn listeners<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Option<Vec<String>> {
    let mut listeners = Vec::new();
    for name in value.names(faults)? {
        match named("listener name", name.text) {
            Ok(name) => listeners.push(name),
            Err(message) => faults.add(name.at, message),
        }
    }
    (!listeners.is_empty()).then_some(listeners)
}

fn action_of<'d>(mut fields: Fields<'d>, faults: &mut Faults<'d>) -> Option<Action> {
    let at = fields.at();
    let (mock, proxy) = (fields.optional("mock"), fields.optional("proxy"));
    let is_empty_table = !fields.has_any();
    fields.finish(faults);
    match (mock, proxy) {
        (Some(mock), None) => mock.table("mock", faults).and_then(|table| mock_of(table, faults)).map(Action::Mock),
        (None, Some(proxy)) => {
            proxy.table("proxy", faults).and_then(|table| proxy_of(table, faults)).map(Action::Proxy)
        }
        (Some(_), Some(_)) => {
            faults.add(at, "action has both mock and proxy; choose one");
            None
        }
        (None, None) => {
            if is_empty_table {
                faults.add(at, "action does nothing; write { mock = {...} } or { proxy = {...} }");
            }
            None
        }
    }
}

fn mock_of<'d>(mut fields: Fields<'d>, faults: &mut Faults<'d>) -> Option<Mock> {
    let status = fields.optional("status").map(|value| (value.at, value));
    let status = match status {
        None => Some(200),
        Some((at, value)) => value.integer(i64::MIN..=i64::MAX, faults).and_then(|status| {
            let checked = check_mock_status(status);
            if checked.is_none() {
                faults.add(at, "status must be between 200 and 599");
            }
            checked
        }),
    };
    let headers = fields.optional("headers").map(|value| (value.at, value));
    let headers = headers.map_or_else(Vec::new, |(at, value)| {
        let entries = value.entries(faults).unwrap_or_default();
        if entries.len() > MAX_MOCK_HEADERS {
            faults.add(at, format!("more than {MAX_MOCK_HEADERS} headers"));
            return Vec::new();
        }
        entries.into_iter().filter_map(|(name, value)| header(name, value, faults)).collect()
    });
    let body = fields.optional("body").and_then(|value| value.string(faults));
    fields.finish(faults);
    if let Some(body) = body {
        if body.text.len() > MAX_MOCK_BODY_BYTES {
            faults.add(body.at, format!("body is longer than {MAX_MOCK_BODY_BYTES} bytes"));
        }
        // RFC 9110 §6.4.1: the peer would take these bytes for the beginning of the next answer.
        if matches!(status, Some(204 | 205 | 304)) && !body.text.is_empty() {
            faults.add(body.at, "an answer with status 204, 205 or 304 has no body");
        }
    }
    Some(Mock { status: status?, headers, body: body.map_or_else(String::new, |body| body.text.to_owned()) })
}

fn header<'d>(name: Text<'d>, value: Value<'d>, faults: &mut Faults<'d>) -> Option<(String, String)> {
    let value = value.string(faults)?;
    match check_mock_header(name.text, value.text) {
        Ok(()) => Some((name.text.to_owned(), value.text.to_owned())),
        Err(message) => {
            faults.add(name.at, message);
            None
        }
    }
}

fn proxy_of<'d>(mut fields: Fields<'d>, faults: &mut Faults<'d>) -> Option<Proxy> {
    let proxy = fields.required("upstream").and_then(|value| value.parsed(faults, Proxy::to));
    let mut seconds = |name, max: u32, default: u32| {
        let value = fields.optional(name).and_then(|value| value.integer(1..=i64::from(max), faults));
        value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default)
    };
    let timeout_seconds = seconds("timeout_seconds", MAX_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS);
    let connect_timeout_seconds =
        seconds("connect_timeout_seconds", MAX_CONNECT_TIMEOUT_SECONDS, DEFAULT_CONNECT_TIMEOUT_SECONDS);
    let preserve_host = fields.optional("preserve_host").and_then(|value| value.boolean(faults)).unwrap_or(false);
    fields.finish(faults);
    Some(Proxy { timeout_seconds, connect_timeout_seconds, preserve_host, ..proxy? })
}
