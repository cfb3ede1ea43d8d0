//! Would this request pass, and why? The same functions as a real request, overheard step by step. Nothing is spent, and
//! no credential is checked: the caller says whose they would be.

mod described;

use std::net::IpAddr;
use std::sync::Arc;

use policies::{Denial, Principal, Route, RouteTable, Spent, Stage, Step, Trace};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::Limits;
use super::path::NormalPath;
use super::{authenticate, endpoints, find_route};
use crate::clock::Clock;
use crate::config::{ClientCertificates, ListenerConfig, Serves};
use crate::oauth::OAuth;
use crate::snapshot::Snapshot;

/// A described request.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
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
    /// `mutual_tls`, `api_key`, `bearer`; with a client and nothing here or in `credentials`: a client certificate.
    #[serde(default)]
    pub presents: Vec<String>,
    /// Ids of credentials that would be presented as they are now: of API keys, serial numbers of our certificates.
    #[serde(default)]
    pub credentials: Vec<String>,
    /// The scopes that the described credential (a token, a narrowed key) would carry; absent: all of the client's.
    pub scopes: Option<Vec<String>>,
}

/// The decision and its steps, in order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExplainAnswer {
    /// `allow`, `deny`, or `endpoint`: the server answers this path itself and judges its callers there.
    pub decision: &'static str,
    /// The denial's code.
    pub code: Option<&'static str>,
    /// The denial's inside message.
    pub reason: Option<String>,
    pub route: Option<String>,
    /// The rules in shadow that would have denied it.
    pub shadow: Vec<&'static str>,
    pub policy_version: i64,
    #[schema(value_type = Vec<Object>)]
    pub steps: Vec<Step>,
}

/// Judges described requests against what is in force now.
pub struct Explainer {
    pub snapshot: Arc<Snapshot>,
    pub oauth: Arc<OAuth>,
    pub clock: Clock,
    pub listeners: Vec<ExplainedListener>,
    /// The control plane's own routes.
    pub admin_routes: RouteTable,
    pub limits: Arc<Limits>,
}

/// What a listener lets through to the gate.
pub struct ExplainedListener {
    pub name: String,
    pub serves: Serves,
    pub client_certificates: ClientCertificates,
}

impl From<&ListenerConfig> for ExplainedListener {
    fn from(config: &ListenerConfig) -> Self {
        Self { name: config.name.clone(), serves: config.serves, client_certificates: config.client_certificates }
    }
}

/// Why it would not pass: code and inside message.
struct Refused(&'static str, String);

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self(denial.code(), denial.to_string())
    }
}

/// How it would pass.
enum Passed {
    Allowed,
    Endpoint,
}

/// What is told beside the steps.
#[derive(Default)]
struct Story {
    route: Option<String>,
    steps: Vec<Step>,
}

impl Story {
    /// A step that says no without being a rule of the policy.
    fn refuse(&mut self, stage: Stage, code: &'static str, why: String) -> Refused {
        self.steps.step(stage, false, || why.clone());
        Refused(code, why)
    }
}

impl Explainer {
    /// Judges the described request.
    pub async fn explain(&self, request: &ExplainRequest) -> ExplainAnswer {
        let view = self.snapshot.policy();
        let mut story = Story::default();
        let result = self.judge(&view, request, &mut story).await;
        let mut shadow: Vec<&'static str> = Vec::new();
        for rule in story.steps.iter().filter(|step| step.would_deny()).filter_map(|step| step.stage.rule()) {
            if !shadow.contains(&rule) {
                shadow.push(rule);
            }
        }
        let (decision, refused) = match result {
            Ok(Passed::Allowed) => ("allow", None),
            Ok(Passed::Endpoint) => ("endpoint", None),
            Err(refused) => ("deny", Some(refused)),
        };
        ExplainAnswer {
            decision,
            code: refused.as_ref().map(|refused| refused.0),
            reason: refused.map(|refused| refused.1),
            route: story.route,
            shadow,
            policy_version: view.version,
            steps: story.steps,
        }
    }

    async fn judge(
        &self,
        view: &crate::snapshot::PolicyView,
        request: &ExplainRequest,
        story: &mut Story,
    ) -> Result<Passed, Refused> {
        let source = policies::canonical(request.source.unwrap_or(IpAddr::from([127, 0, 0, 1])));
        story.steps.step(Stage::Source, true, || format!("judged as coming from {source}"));
        let listener = self.listener(request, story)?;
        let proofs = described::proofs(self, view, request)
            .map_err(|fault| story.refuse(Stage::Request, "malformed_request", fault))?;
        let proofs = meet(listener, proofs, story)?;
        if matches!(request.method.as_str(), "CONNECT" | "TRACE") {
            let why = format!("the method {} is not allowed here", request.method);
            return Err(story.refuse(Stage::Request, "method_not_allowed", why));
        }
        let path = NormalPath::parse(&request.path)
            .map_err(|fault| story.refuse(Stage::Path, "malformed_path", fault.to_string()))?;
        let path = path.as_str();
        story.steps.step(Stage::Path, true, || format!("{path} is in normal form"));
        if endpoints::find(&self.oauth, listener.serves, &request.method, path).is_some() {
            let why = || format!("{path} is answered by the server itself, before any route, and judged there");
            story.steps.step(Stage::Endpoint, true, why);
            return Ok(Passed::Endpoint);
        }
        let table = match listener.serves {
            Serves::Admin => &self.admin_routes,
            Serves::Gateway | Serves::Pki => &view.policy.routes,
        };
        let route = find_route(table, &listener.name, &request.method, path, &mut story.steps)?;
        story.route = Some(route.id.to_string());
        policies::check_source(&route, source, &mut story.steps)?;
        if route.is_public() {
            let spent = self.peek(None, &route, story).await?;
            policies::admit_public(route, source, spent, &mut story.steps)?;
            return Ok(Passed::Allowed);
        }
        let principal = authenticate::resolve(view, proofs).inspect_err(|denial| {
            story.steps.step(Stage::Authenticate, false, || denial.to_string());
        })?;
        story.steps.step(Stage::Authenticate, true, || {
            let shown: Vec<String> = principal.proofs().iter().map(described::told).collect();
            format!("client {} by {}: {}", principal.client().id, principal.methods(), shown.join(", "))
        });
        let entitlement = policies::entitle(principal, route, source, &mut story.steps)?;
        // The allowance is not touched: what is left of it is for real requests.
        let spent = self.peek(Some(entitlement.principal()), entitlement.route(), story).await?;
        entitlement.admit(spent, &mut story.steps)?;
        Ok(Passed::Allowed)
    }

    async fn peek(&self, principal: Option<&Principal>, route: &Route, story: &mut Story) -> Result<Spent, Refused> {
        self.limits.peek(principal, route, self.clock.now()).await.map_err(|fault| {
            tracing::error!(error = fault.inside(), "limits cannot be looked at");
            story.refuse(Stage::Quota, "internal_error", fault.outside().to_owned())
        })
    }

    /// The listener that the request would reach: another one has other routes, or none at all.
    fn listener(&self, request: &ExplainRequest, story: &mut Story) -> Result<&ExplainedListener, Refused> {
        let name = request.listener.as_deref().unwrap_or("gateway");
        let Some(listener) = self.listeners.iter().find(|listener| listener.name == name) else {
            let known: Vec<&str> = self.listeners.iter().map(|listener| listener.name.as_str()).collect();
            let why = format!("no listener is called {name:?}; there are: {}", known.join(", "));
            return Err(story.refuse(Stage::Request, "unknown_listener", why));
        };
        if listener.serves == Serves::Pki {
            let why =
                format!("listener {name} serves certificates and revocation lists over plain HTTP and has no routes");
            return Err(story.refuse(Stage::Route, "route_not_found", why));
        }
        Ok(listener)
    }
}

/// Whether the credentials get through the handshake of this listener at all.
fn meet(
    listener: &ExplainedListener,
    mut proofs: Vec<policies::Proof>,
    story: &mut Story,
) -> Result<Vec<policies::Proof>, Refused> {
    let is_certificate = |proof: &policies::Proof| proof.method == policies::AuthMethod::MutualTls;
    match listener.client_certificates {
        ClientCertificates::Required if !proofs.iter().any(is_certificate) => {
            let why = format!("listener {} wants a client certificate: the TLS handshake would fail", listener.name);
            return Err(story.refuse(Stage::Request, "handshake_failed", why));
        }
        ClientCertificates::None if proofs.iter().any(is_certificate) => {
            proofs.retain(|proof| !is_certificate(proof));
            let told = || format!("listener {} asks for no client certificate: none would be presented", listener.name);
            story.steps.step(Stage::Request, true, told);
        }
        _ => {}
    }
    Ok(proofs)
}
