//! The account of one decision: every step in order, with what was compared. It is made of what the road left behind, by the same
//! functions that judged, so it says what was true then and not what is true when somebody asks. A request that was simply allowed
//! pays nothing for it.

use std::net::IpAddr;
use std::sync::Arc;

use policies::{LimitKind, LimitState, Principal, Route, Spent, Stage, Step, Trace};

/// Longest detail of one step, in bytes: an allowlist may name a thousand networks.
const DETAIL_BYTES_MAX: usize = 1_024;
/// Most steps: one for each credential's rules and for each limit.
const STEPS_MAX: usize = 64;

/// What is known of a request when its decision stands.
pub(super) struct Account {
    pub source: IpAddr,
    /// As recorded.
    pub path: String,
    pub route: Option<Arc<Route>>,
    pub principal: Option<Principal>,
    /// Rules in shadow and limits that said no.
    pub refusals: Vec<Step>,
    /// How every limit stood, if one of them denied.
    pub limits: Vec<LimitState>,
    pub end: Option<End>,
}

/// Why the road ended before its action had answered.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub stage: Stage,
    pub detail: String,
}

impl Account {
    /// The steps as JSON.
    pub(super) fn into_json(self) -> String {
        serde_json::to_string(&self.into_steps()).unwrap_or_else(|_| "[]".to_owned())
    }

    /// The steps. If the request was stopped, the last one says by what.
    fn into_steps(self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(12);
        steps.step(Stage::Source, true, || format!("judged as coming from {}", self.source));
        self.walk(&mut steps);
        if let Some(end) = self.end
            && !steps.iter().any(Step::denied)
        {
            steps.step(end.stage, false, || end.detail);
        }
        for step in &mut steps {
            clip(&mut step.detail);
        }
        if steps.len() > STEPS_MAX {
            let last = steps.pop();
            steps.truncate(STEPS_MAX - 1);
            steps.extend(last);
        }
        steps
    }

    /// The road once more, as far as the request came on it.
    fn walk(&self, steps: &mut Vec<Step>) {
        let Some(route) = &self.route else {
            // An endpoint of ours, no route, or a request that nobody could read.
            if self.end.as_ref().is_some_and(|end| end.stage >= Stage::Route) {
                self.tell_path(steps);
            }
            return steps.extend(self.refusals.iter().cloned());
        };
        self.tell_path(steps);
        steps.step(Stage::Route, true, || format!("route {}", route.id));
        if policies::check_source(route, self.source, steps).is_err() {
            return;
        }
        if route.is_public() {
            let judged = policies::admit_public(Arc::clone(route), self.source, Spent::unlimited(), &mut ());
            steps.step(Stage::Methods, judged.is_ok(), || "public: nobody is asked who calls".to_owned());
            return self.tell_limits(steps);
        }
        let Some(principal) = &self.principal else {
            // Not proved, or not judged at all because of a failure of ours.
            if let Some(end) = self.end.as_ref().filter(|end| end.stage != Stage::Action) {
                steps.step(Stage::Authenticate, false, || end.detail.clone());
            }
            return;
        };
        steps.step(Stage::Authenticate, true, || {
            let credentials: Vec<String> =
                principal.proofs().iter().map(|proof| proof.credential.to_string()).collect();
            format!("client {} by {}: {}", principal.client().id, principal.methods(), credentials.join(", "))
        });
        if policies::entitle(principal.clone(), Arc::clone(route), self.source, steps).is_ok() {
            self.tell_limits(steps);
        }
    }

    /// Limits are spent once: what they said is kept, everything else is judged again.
    fn tell_limits(&self, steps: &mut Vec<Step>) {
        if self.limits.is_empty() {
            return steps.extend(self.refusals.iter().filter(|step| is_limit(step.stage)).cloned());
        }
        for limit in &self.limits {
            let stage = if limit.kind == LimitKind::Throttle { Stage::Throttle } else { Stage::Quota };
            steps.judged(stage, limit.mode, limit.passed, || limit.to_string());
        }
    }

    fn tell_path(&self, steps: &mut Vec<Step>) {
        steps.step(Stage::Path, true, || format!("{} is in normal form", self.path));
    }
}

fn is_limit(stage: Stage) -> bool {
    matches!(stage, Stage::Throttle | Stage::Quota)
}

fn clip(detail: &mut String) {
    if detail.len() > DETAIL_BYTES_MAX {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        detail.push('…');
    }
}
