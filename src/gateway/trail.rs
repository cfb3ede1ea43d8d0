//! What is remembered of a request while it is judged, and becomes its audit record, its metrics and its decision id.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use hyper::Response;
use hyper::body::Body as _;
use metrics::counter;
use policies::{Denial, LimitState, Principal, Refusals, Route, Stage};

use super::GateParts;
use super::account::{Account, End};
use super::limit_headers::LimitHeaders;
use super::stop::{Malformed, Stop, UpstreamFault};
use crate::listen::Connection;
use crate::store::audit_log::DecisionRow;
use crate::usage::{Caller, Counts, Key, Meter, Place};

/// The outcome of what passed.
const ALLOWED: &str = "allowed";
/// Longest path that is recorded.
const PATH_BYTES_MAX: usize = 512;
/// The status that is recorded when there was nobody left to tell one (nginx's custom).
const CLIENT_GONE: u16 = 499;

/// Written when the answer is ready, or when the request is dropped: a client that hangs up must not leave less of a trace than
/// one that waits.
pub(super) struct Trail<'a> {
    gate: &'a GateParts,
    written: bool,
    decision_id: Arc<str>,
    at_millis: i64,
    started_nanos: u64,
    decided_nanos: Option<u64>,
    listener: Arc<crate::listen::Listener>,
    source: std::net::IpAddr,
    http_method: http::Method,
    path: String,
    route: Option<Arc<Route>>,
    /// The endpoint of ours that answered.
    endpoint: Option<&'static str>,
    meter: Option<Arc<Meter>>,
    principal: Option<Principal>,
    /// Named by an endpoint that knows its callers itself.
    client: Option<String>,
    /// Rules in shadow that said no, and the rule that denied.
    refusals: Refusals,
    /// How every limit stood, if one of them denied.
    standings: Vec<LimitState>,
    outcome: &'static str,
    detail: Option<String>,
    /// Which step it was that ended the road.
    ended: Option<Stage>,
    limits: LimitHeaders,
}

impl<'a> Trail<'a> {
    pub(super) fn begin(gate: &'a GateParts, connection: &Connection, parts: &Parts) -> Self {
        let at_millis = gate.clock.now_millis();
        let path = parts.uri.path();
        Self {
            gate,
            written: false,
            decision_id: gate.ids.next(at_millis).into(),
            at_millis,
            started_nanos: gate.clock.monotonic_nanos(),
            decided_nanos: None,
            listener: Arc::clone(&connection.listener),
            source: connection.source,
            http_method: parts.method.clone(),
            // HTTP/2 lets more than ASCII through to here.
            path: path[..path.floor_char_boundary(PATH_BYTES_MAX)].to_owned(),
            route: None,
            endpoint: None,
            meter: None,
            principal: None,
            client: None,
            refusals: Refusals::default(),
            standings: Vec::new(),
            outcome: ALLOWED,
            detail: None,
            ended: None,
            limits: LimitHeaders::default(),
        }
    }

    pub(super) fn decision_id(&self) -> Arc<str> {
        Arc::clone(&self.decision_id)
    }

    pub(super) fn route(&mut self, route: &Arc<Route>) {
        self.route = Some(Arc::clone(route));
    }

    pub(super) fn found_route(&self) -> Option<&Route> {
        self.route.as_deref()
    }

    pub(super) fn principal(&mut self, principal: &Principal) {
        self.principal = Some(principal.clone());
    }

    /// What listens to the decision.
    pub(super) fn hear(&mut self) -> &mut Refusals {
        &mut self.refusals
    }

    /// What the caller is to be told of its limits, whatever comes of the action.
    pub(super) fn limits(&mut self, limits: LimitHeaders) {
        self.limits = limits;
    }

    pub(super) fn take_limits(&mut self) -> LimitHeaders {
        std::mem::take(&mut self.limits)
    }

    /// The token endpoint and its siblings name their caller themselves.
    pub(super) fn client(&mut self, client: &str) {
        self.client = Some(client.to_owned());
    }

    pub(super) fn endpoint(&mut self, name: &'static str) {
        self.endpoint = Some(name);
    }

    /// Counts the bytes of this request's bodies.
    pub(super) fn meter(&mut self) -> Arc<Meter> {
        Arc::clone(self.meter.get_or_insert_with(|| Meter::new(&self.gate.usage)))
    }

    pub(super) fn outcome(&mut self, outcome: &'static str, detail: Option<String>) {
        self.outcome = outcome;
        self.detail = detail;
        self.ended = (outcome != ALLOWED).then_some(Stage::Endpoint);
    }

    /// Says more than the caller is told.
    pub(super) fn explain(&mut self, detail: String) {
        self.detail = Some(detail);
    }

    /// The decision stands; what follows is the action.
    pub(super) fn decided(&mut self, now_nanos: u64) {
        self.decided_nanos = Some(now_nanos);
    }

    pub(super) fn stopped(&mut self, stop: &Stop) {
        let (outcome, detail) = match stop {
            Stop::Malformed(malformed) => (malformed.code(), malformed.to_string()),
            Stop::Denied(denial) => (denial.code(), denial.to_string()),
            Stop::Refused(refusal) => (refusal.code, refusal.message.clone()),
            Stop::NotOffered(offered) => ("not_offered", (*offered).to_owned()),
            Stop::AddressLimited { .. } => ("throttled", "the limit of the source address".to_owned()),
            Stop::Upstream(UpstreamFault::Unreachable { upstream, reason }) => {
                ("upstream_unreachable", format!("{upstream}: {reason}"))
            }
            Stop::Upstream(UpstreamFault::Broken { upstream, reason }) => {
                ("upstream_broken", format!("{upstream}: {reason}"))
            }
            Stop::Upstream(UpstreamFault::Timeout { upstream, timeout }) => {
                ("upstream_timeout", format!("{upstream}: no answer in {} s", timeout.as_secs()))
            }
            Stop::Fault(fault) => ("internal_error", fault.inside().to_owned()),
        };
        match stop {
            Stop::Fault(_) | Stop::Upstream(_) => {
                tracing::error!(decision_id = %self.decision_id, outcome, detail, "request failed");
            }
            _ => {
                tracing::debug!(decision_id = %self.decision_id, outcome, detail, source = %self.source, "request denied")
            }
        }
        self.outcome = outcome;
        self.detail = Some(detail);
        self.ended = Some(stage_of(stop));
        if let Stop::Denied(Denial::Throttled { limits, .. } | Denial::QuotaExceeded { limits, .. }) = stop {
            self.standings.clone_from(limits);
        }
    }

    /// The rules that would have denied this, had they not been in shadow; counted here.
    fn shadow(&self) -> Option<String> {
        let mut rules: Vec<&str> = Vec::new();
        for rule in self.refusals.0.iter().filter(|step| step.would_deny()).filter_map(|step| step.stage.rule()) {
            if !rules.contains(&rule) {
                counter!("portcullis_shadow_denials_total", "rule" => rule).increment(1);
                rules.push(rule);
            }
        }
        (!rules.is_empty()).then(|| rules.join(" "))
    }

    /// What the account of this decision is made of.
    fn account(&mut self) -> Account {
        Account {
            source: self.source,
            path: self.path.clone(),
            route: self.route.clone(),
            principal: self.principal.clone(),
            refusals: std::mem::take(&mut self.refusals.0),
            limits: std::mem::take(&mut self.standings),
            end: self.ended.map(|stage| End { stage, detail: self.detail.clone().unwrap_or_default() }),
        }
    }

    pub(super) fn finish(mut self, response: &Response<Body>) {
        // A body that nobody counts on its way is given whole.
        let given = response.body().size_hint().exact().unwrap_or(0);
        self.write(response.status().as_u16(), given);
    }

    fn write(&mut self, status: u16, given: u64) {
        self.written = true;
        let gate = self.gate;
        let ended = self.decided_nanos.unwrap_or_else(|| gate.clock.monotonic_nanos());
        let nanos = ended.saturating_sub(self.started_nanos);
        gate.meters.decided(&self.listener, self.outcome, nanos);
        self.count(given);
        let shadow = self.shadow();
        // What a rule in shadow would have done is why it is in shadow: that is recorded whatever was allowed.
        let allowed = self.outcome == ALLOWED;
        if shadow.is_none() && !gate.audit.wants(allowed) {
            return;
        }
        // A flood of refusals must cost us no more than it costs its sender, and must not fill the disk. Of one address alone: it can
        // hide what it did itself, and nobody else's denials behind its own.
        if !allowed && gate.recorded_denials.spend(self.source).is_err() {
            counter!("portcullis_audit_denials_left_out_total").increment(1);
            return;
        }
        let account = (!allowed || shadow.is_some()).then(|| self.account());
        let principal = self.principal.take();
        let client = principal.as_ref().map(|principal| principal.client());
        let row = DecisionRow {
            id: self.decision_id.to_string(),
            at: self.at_millis,
            listener: self.listener.config.name.clone(),
            source: self.source.to_string(),
            http_method: self.http_method.to_string(),
            path: std::mem::take(&mut self.path),
            route: self.route.take().map(|route| route.id.to_string()),
            client: client.map(|client| client.id.to_string()).or_else(|| self.client.take()),
            partner: client.map(|client| client.partner.to_string()),
            auth_methods: principal.as_ref().map(|principal| principal.methods().to_string()),
            credentials: principal.as_ref().map(credentials),
            outcome: self.outcome.to_owned(),
            status: i64::from(status),
            detail: self.detail.take(),
            shadow,
            micros: i64::try_from(nanos / 1000).unwrap_or(i64::MAX),
        };
        match account {
            // Written out where the row is, not while the caller waits.
            Some(account) => gate.audit.record_with(row, Box::new(move || account.into_json())),
            None => gate.audit.record(row),
        }
    }
}

impl Trail<'_> {
    fn count(&self, given: u64) {
        let usage = &self.gate.usage;
        let took = self.gate.clock.monotonic_nanos().saturating_sub(self.started_nanos);
        let place = match (&self.route, self.endpoint) {
            (Some(route), _) => Place::Route(Arc::clone(&route.id)),
            (None, Some(name)) => Place::Own(name),
            (None, None) => Place::Nowhere,
        };
        let caller = match (&self.principal, &self.client) {
            (Some(principal), _) => Some(Caller::of(principal)),
            (None, Some(client)) => client.parse().ok().map(Caller::client),
            (None, None) => None,
        };
        let (listener, method) = (&self.listener, &self.http_method);
        let key = Key::new(usage.hour(), listener, caller, place, method, self.outcome);
        let mut counts = Counts::request(Duration::from_nanos(took));
        match &self.meter {
            Some(meter) => {
                (counts.request_bytes, counts.response_bytes) = meter.read();
                if !meter.gives() {
                    counts.response_bytes += given;
                }
                meter.belongs_to(&key);
            }
            None => counts.response_bytes = given,
        }
        usage.add(key, &counts);
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        if !self.written {
            if self.decided_nanos.is_none() && self.outcome == ALLOWED {
                self.outcome = "client_gone";
                self.ended = Some(Stage::Action);
            }
            self.detail = Some("the client went away before the answer".to_owned());
            self.write(CLIENT_GONE, 0);
        }
    }
}

/// Which step a stop belongs to, if no rule of the route has said no.
fn stage_of(stop: &Stop) -> Stage {
    match stop {
        Stop::AddressLimited { .. } => Stage::Address,
        Stop::Malformed(Malformed::Path(_)) => Stage::Path,
        Stop::Malformed(_) => Stage::Request,
        Stop::Denied(denial) => match denial {
            Denial::RouteNotFound { .. } => Stage::Route,
            Denial::NoCredential
            | Denial::CredentialUnknown { .. }
            | Denial::CredentialMismatch { .. }
            | Denial::InvalidToken { .. } => Stage::Authenticate,
            Denial::CredentialExpired { .. } | Denial::CredentialRevoked { .. } => Stage::Status,
            Denial::MethodNotAccepted { .. } => Stage::Methods,
            Denial::SourceNotAllowed { .. } => Stage::ClientNetwork,
            Denial::InsufficientScope { .. } => Stage::Scopes,
            Denial::Throttled { .. } => Stage::Throttle,
            Denial::QuotaExceeded { .. } => Stage::Quota,
        },
        Stop::Refused(_) | Stop::NotOffered(_) => Stage::Endpoint,
        Stop::Upstream(_) | Stop::Fault(_) => Stage::Action,
    }
}

/// `api-key:4fG…` of each credential that was proved.
fn credentials(principal: &Principal) -> String {
    let credentials =
        principal.proofs().iter().map(|proof| format!("{}:{}", proof.credential.kind.as_str(), proof.credential.id));
    credentials.collect::<Vec<_>>().join(" ")
}
