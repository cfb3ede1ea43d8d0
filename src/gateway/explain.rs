//! Would this request pass, and why? The same functions as a real request, overheard step by step. Nothing is spent, and
//! no credential is checked: the caller says whose they would be.

use std::net::IpAddr;
use std::sync::Arc;

use policies::{
    AuthMethod, ClientId, CredentialKind, CredentialRef, CredentialStatus, Denial, Proof, ScopeSet, Stage, Step, Trace,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::authenticate;
use super::find_route;
use super::limits::Limits;
use super::path::NormalPath;
use crate::snapshot::{PolicyView, Snapshot};

/// A described request.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// `GET`.
    pub method: String,
    /// Without query.
    pub path: String,
    /// Absent: 127.0.0.1.
    #[schema(value_type = Option<String>)]
    pub source: Option<IpAddr>,
    /// Name of the listener; absent: `gateway`.
    pub listener: Option<String>,
    /// Whose credentials would be presented.
    pub client: Option<String>,
    /// `mutual_tls`, `api_key`, `bearer`; with a client and nothing here: a client certificate.
    #[serde(default)]
    pub presents: Vec<String>,
    /// The scopes that the credential (a token, a narrowed key) would carry; absent: all of the client's.
    pub scopes: Option<Vec<String>>,
}

/// The decision and its steps, in order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExplainAnswer {
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// The denial's code.
    pub code: Option<&'static str>,
    /// The denial's inside message.
    pub reason: Option<String>,
    pub route: Option<String>,
    pub policy_version: i64,
    #[schema(value_type = Vec<Object>)]
    pub steps: Vec<Step>,
}

/// Judges the described request against what is in force now.
pub fn explain(snapshot: &Snapshot, limits: &Limits, request: &ExplainRequest) -> ExplainAnswer {
    let view = snapshot.policy();
    let mut steps = Vec::new();
    let mut route = None;
    let result = judge(&view, limits, request, &mut route, &mut steps);
    ExplainAnswer {
        decision: if result.is_ok() { "allow" } else { "deny" },
        code: result.as_ref().err().map(|refused| refused.0),
        reason: result.err().map(|refused| refused.1),
        route,
        policy_version: view.version,
        steps,
    }
}

type Refused = (&'static str, String);

fn judge(
    view: &PolicyView,
    limits: &Limits,
    request: &ExplainRequest,
    found: &mut Option<String>,
    steps: &mut Vec<Step>,
) -> Result<(), Refused> {
    let denied = |denial: Denial| (denial.code(), denial.to_string());
    let source = policies::canonical(request.source.unwrap_or(IpAddr::from([127, 0, 0, 1])));
    steps.step(Stage::Source, true, || format!("judged as coming from {source}"));
    let path = NormalPath::parse(&request.path).map_err(|fault| {
        steps.step(Stage::Path, false, || fault.to_string());
        ("malformed_path", fault.to_string())
    })?;
    steps.step(Stage::Path, true, || format!("{} is in normal form", path.as_str()));
    let listener = request.listener.as_deref().unwrap_or("gateway");
    let route = find_route(&view.policy.routes, listener, &request.method, path.as_str(), steps).map_err(denied)?;
    *found = Some(route.id.to_string());
    policies::check_source(&route, source, steps).map_err(denied)?;
    if route.is_public() {
        let spent = limits.peek(None, &route);
        return policies::admit_public(route, source, spent, steps).map(|_| ()).map_err(denied);
    }
    let proofs = described_proofs(request).map_err(|fault| {
        steps.step(Stage::Authenticate, false, || fault.clone());
        ("malformed_request", fault)
    })?;
    let principal = authenticate::resolve(view, proofs).map_err(|denial| {
        steps.step(Stage::Authenticate, false, || denial.to_string());
        denied(denial)
    })?;
    steps.step(Stage::Authenticate, true, || {
        format!("client {} by {}, described, not proved", principal.client().id, principal.methods())
    });
    let entitlement = policies::entitle(principal, route, source, steps).map_err(denied)?;
    // The allowance is not touched: what is left of it is for real requests.
    let spent = limits.peek(Some(entitlement.principal()), entitlement.route());
    entitlement.admit(spent, steps).map(|_| ()).map_err(denied)
}

fn described_proofs(request: &ExplainRequest) -> Result<Vec<Proof>, String> {
    let Some(client) = &request.client else {
        return if request.presents.is_empty() {
            Ok(Vec::new())
        } else {
            Err("say with `client` whose credentials are presented".to_owned())
        };
    };
    let client: ClientId = client.parse().map_err(|_| format!("{client:?} is not a client id"))?;
    let scopes = match &request.scopes {
        Some(scopes) => Some(ScopeSet::parse_list(&scopes.join(" ")).map_err(|error| error.to_string())?),
        None => None,
    };
    let default = [AuthMethod::MutualTls.as_str().to_owned()];
    let presents = if request.presents.is_empty() { &default[..] } else { &request.presents };
    presents
        .iter()
        .map(|method| {
            let method: AuthMethod =
                method.parse().map_err(|_| format!("{method:?} is not a method: use mutual_tls, api_key or bearer"))?;
            let kind = match method {
                AuthMethod::MutualTls => CredentialKind::ClientCertificate,
                AuthMethod::ApiKey => CredentialKind::ApiKey,
                AuthMethod::Bearer => CredentialKind::AccessToken,
            };
            Ok(Proof {
                method,
                credential: CredentialRef { kind, id: Arc::from("described") },
                client: client.clone(),
                status: CredentialStatus::Active,
                scopes: scopes.clone(),
                networks: None,
            })
        })
        .collect()
}
