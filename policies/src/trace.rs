//! The steps of a decision, for `explain`: the same code path as a real request, overheard.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One stage of the order of judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Canonical source address.
    Source,
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
}

impl Stage {
    /// The name in JSON, snake_case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
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
    /// Whether the request went on.
    pub passed: bool,
    /// What was compared: an inside message.
    pub detail: String,
}

/// Hears every step of a decision.
pub trait Trace {
    /// Called once for each judgement, in order. `detail` is only called if somebody wants to read it.
    fn step(&mut self, stage: Stage, passed: bool, detail: impl FnOnce() -> String);
}

/// Hears nothing: the data plane pays nothing for `explain`.
impl Trace for () {
    fn step(&mut self, _: Stage, _: bool, _: impl FnOnce() -> String) {}
}

impl Trace for Vec<Step> {
    fn step(&mut self, stage: Stage, passed: bool, detail: impl FnOnce() -> String) {
        self.push(Step { stage, passed, detail: detail() });
    }
}

impl<T: Trace> Trace for Option<T> {
    fn step(&mut self, stage: Stage, passed: bool, detail: impl FnOnce() -> String) {
        if let Some(trace) = self {
            trace.step(stage, passed, detail);
        }
    }
}

impl<T: Trace> Trace for &mut T {
    fn step(&mut self, stage: Stage, passed: bool, detail: impl FnOnce() -> String) {
        (**self).step(stage, passed, detail);
    }
}
