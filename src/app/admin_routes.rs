//! The control plane's routes, judged by the same gate as everybody's. They are code, not policy: no document can open
//! or close them, so that a bad policy cannot lock its own repair out.

use std::sync::Arc;

use policies::{
    Action, Allowlist, AuthMethod, AuthMethodSet, ErrorStyle, RESERVED_RESOURCE_SERVER, Route, RouteRules, RouteTable,
    Scope, ScopeRequirement, ScopeSet,
};

use crate::failure::Fault;

/// The name by which the gate finds the admin router.
pub(super) const SERVICE: &str = "admin";

const READ: &[&str] = &["GET", "HEAD"];
const WRITE: &[&str] = &["POST", "PUT", "PATCH", "DELETE"];
/// Pages and probes that hold no secrets: the console's own calls to /v1 are what is guarded.
const PUBLIC: &[&str] =
    &["/livez", "/readyz", "/openapi.json", "/docs", "/docs/{*rest}", "/console", "/console/{*rest}", "/"];
/// Questions that need a body.
const QUESTIONS: &[&str] = &["/v1/explain", "/v1/policies/check", "/v1/policies/plan", "/v1/tokens/inspect"];

pub(super) fn table() -> Result<RouteTable, Fault> {
    let mut routes = Vec::new();
    for path in PUBLIC {
        routes.push(route(READ, path, None)?);
    }
    for path in QUESTIONS {
        routes.push(route(&["POST"], path, Some("admin.read"))?);
    }
    routes.push(route(READ, "/metrics", Some("admin.read"))?);
    routes.push(route(READ, "/v1/{*rest}", Some("admin.read"))?);
    routes.push(route(WRITE, "/v1/{*rest}", Some("admin.write"))?);
    RouteTable::new(routes).map_err(|faults| Fault::new(format!("admin routes: {faults:?}")))
}

fn route(methods: &[&str], path: &str, scope: Option<&str>) -> Result<Route, Fault> {
    let scopes = match scope {
        None => ScopeRequirement::None,
        Some(name) => {
            let scope: Scope = format!("{RESERVED_RESOURCE_SERVER}/{name}")
                .parse()
                .map_err(|error| Fault::new(format!("admin scope: {error}")))?;
            ScopeRequirement::Any(ScopeSet::from_iter([scope]))
        }
    };
    let accept = match scope {
        None => vec![AuthMethodSet::EMPTY],
        Some(_) => [AuthMethod::MutualTls, AuthMethod::ApiKey, AuthMethod::Bearer]
            .into_iter()
            .map(|method| AuthMethodSet::EMPTY.with(method))
            .collect(),
    };
    Ok(Route {
        id: Arc::from(format!("admin {} {path}", methods.join("|"))),
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        path: path.to_owned(),
        accept,
        scopes,
        networks: Allowlist::anywhere(),
        throttle: None,
        rules: RouteRules::default(),
        listeners: None,
        errors: ErrorStyle::Standard,
        action: Action::Service(SERVICE),
        summary: None,
        description: None,
    })
}
