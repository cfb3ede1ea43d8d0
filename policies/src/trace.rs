//! The steps of a decision, for `explain`: the same code path as a real request, overheard.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rule::RuleMode;

/// One stage of the order of judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Canonical source address.
    Source,
    /// The limits of that address, before it is known who calls.
    Address,
    /// The request itself: framing, host, credentials that stand twice.
    Request,
    /// Method and path in normal form.
    Path,
    /// Route found.
    Route,
    /// The route's allowlist.
    RouteNetwork,
    /// Everything presented verified, one client.
    Authenticate,
    /// The accepted-methods rule.
    Methods,
    /// The partner's allowlist.
    PartnerNetwork,
    /// The client's allowlist.
    ClientNetwork,
    /// Each credential's allowlist.
    CredentialNetwork,
    /// Client enabled, each credential active now.
    Status,
    /// Scopes.
    Scopes,
    /// Throttle.
    Throttle,
    /// Quota.
    Quota,
    /// An endpoint of the server's own, which judges its callers itself.
    Endpoint,
    /// What the permit was for.
    Action,
}

impl Stage {
    /// The name in JSON, snake_case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Address => "address",
            Self::Request => "request",
            Self::Path => "path",
            Self::Route => "route",
            Self::RouteNetwork => "route_network",
            Self::Authenticate => "authenticate",
            Self::Methods => "methods",
            Self::PartnerNetwork => "partner_network",
            Self::ClientNetwork => "client_network",
            Self::CredentialNetwork => "credential_network",
            Self::Status => "status",
            Self::Scopes => "scopes",
            Self::Throttle => "throttle",
            Self::Quota => "quota",
            Self::Endpoint => "endpoint",
            Self::Action => "action",
        }
    }
}

impl Stage {
    /// The rule that is judged here, as metrics and audit records name it; `None` where nothing has a mode.
    #[must_use]
    pub const fn rule(self) -> Option<&'static str> {
        match self {
            Self::RouteNetwork | Self::PartnerNetwork | Self::ClientNetwork | Self::CredentialNetwork => {
                Some("networks")
            }
            Self::Methods => Some("methods"),
            Self::Scopes => Some("scopes"),
            Self::Throttle => Some("throttle"),
            Self::Quota => Some("quota"),
            Self::Source | Self::Address | Self::Request | Self::Path | Self::Route => None,
            Self::Authenticate | Self::Status | Self::Endpoint | Self::Action => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One step as it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which stage.
    pub stage: Stage,
    /// Whether the rule said yes. If not, the request went on nevertheless when the rule is in shadow.
    pub passed: bool,
    /// Whether the rule bites.
    #[serde(default)]
    pub mode: RuleMode,
    /// What was compared: an inside message.
    pub detail: String,
}

impl Step {
    /// Whether this step ended the request.
    #[must_use]
    pub fn denied(&self) -> bool {
        !self.passed && self.mode == RuleMode::Enforce
    }

    /// Whether it would have, had the rule not been in shadow.
    #[must_use]
    pub fn would_deny(&self) -> bool {
        !self.passed && self.mode == RuleMode::Shadow
    }
}

/// Hears every step of a decision.
pub trait Trace {
    /// Called once for each judgement, in order. `detail` is only called if somebody wants to read it.
    fn judged(&mut self, stage: Stage, mode: RuleMode, passed: bool, detail: impl FnOnce() -> String);

    /// A judgement that has no mode: it always bites.
    fn step(&mut self, stage: Stage, passed: bool, detail: impl FnOnce() -> String) {
        self.judged(stage, RuleMode::Enforce, passed, detail);
    }
}

/// Hears nothing: the data plane pays nothing for `explain`.
impl Trace for () {
    fn judged(&mut self, _: Stage, _: RuleMode, _: bool, _: impl FnOnce() -> String) {}
}

impl Trace for Vec<Step> {
    fn judged(&mut self, stage: Stage, mode: RuleMode, passed: bool, detail: impl FnOnce() -> String) {
        self.push(Step { stage, passed, mode, detail: detail() });
    }
}

/// Hears what would not be known any more once the request is answered: the rules in shadow that said no, and the limits. The
/// data plane listens with it; it costs nothing while all is well. A rule that denies tells it in its [`crate::Denial`].
#[derive(Debug, Default)]
pub struct Refusals(pub Vec<Step>);

impl Trace for Refusals {
    fn judged(&mut self, stage: Stage, mode: RuleMode, passed: bool, detail: impl FnOnce() -> String) {
        let is_limit = matches!(stage, Stage::Throttle | Stage::Quota);
        if !passed && (mode == RuleMode::Shadow || is_limit) {
            self.0.judged(stage, mode, passed, detail);
        }
    }
}

impl<T: Trace> Trace for Option<T> {
    fn judged(&mut self, stage: Stage, mode: RuleMode, passed: bool, detail: impl FnOnce() -> String) {
        if let Some(trace) = self {
            trace.judged(stage, mode, passed, detail);
        }
    }
}

impl<T: Trace> Trace for &mut T {
    fn judged(&mut self, stage: Stage, mode: RuleMode, passed: bool, detail: impl FnOnce() -> String) {
        (**self).judged(stage, mode, passed, detail);
    }
}
