//! What a request is counted against, and how each count stood.

mod rules;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::rule::RuleMode;

pub use rules::{ThrottleRule, throttle_rules};

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// So many a second, with a burst.
    Throttle,
    /// So many in a calendar period.
    Quota,
}

/// Whose requests a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitSubject {
    /// All of one client.
    Client,
    /// Those of one credential.
    Credential,
    /// Those of all clients of one partner.
    Partner,
    /// Those of everybody on one route.
    Route,
    /// Those of one client on one route.
    ClientRoute,
}

impl LimitKind {
    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Quota => "quota",
        }
    }
}

impl LimitSubject {
    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Credential => "credential",
            Self::Partner => "partner",
            Self::Route => "route",
            Self::ClientRoute => "client_route",
        }
    }
}

/// The name of a limit as callers see it: never another partner's, never an operator's word for a customer.
#[derive(Clone)]
pub struct LimitName(Name);

#[derive(Clone)]
enum Name {
    Ours(&'static str),
    Given(Arc<str>),
}

impl Deref for LimitName {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Name::Ours(name) => name,
            Name::Given(name) => name,
        }
    }
}

impl From<&'static str> for LimitName {
    fn from(name: &'static str) -> Self {
        Self(Name::Ours(name))
    }
}

impl From<Arc<str>> for LimitName {
    fn from(name: Arc<str>) -> Self {
        Self(Name::Given(name))
    }
}

impl PartialEq for LimitName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for LimitName {}

impl fmt::Debug for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl Serialize for LimitName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// How one limit stood when a request was counted against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitState {
    /// As callers see it; no other limit of the request has it.
    pub name: LimitName,
    /// How it counts.
    pub kind: LimitKind,
    /// Whose requests it counts together.
    pub subject: LimitSubject,
    /// Requests: the burst of a throttle, the limit of a quota.
    pub limit: u64,
    /// In how many seconds: the time in which a throttle's burst is earned, the length of a quota's period. Rounded up.
    pub window_seconds: u64,
    /// Requests that are left after this one.
    pub remaining: u64,
    /// When it will be whole again, in seconds, rounded up.
    pub reset_seconds: u64,
    /// Whether it bites.
    pub mode: RuleMode,
    /// Whether it would let the request pass. One in shadow may say no and be passed.
    pub passed: bool,
    /// When one request would pass; zero if it passed.
    #[serde(skip)]
    pub retry_after: Duration,
}

impl LimitState {
    /// Whether this limit denies the request.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        !self.passed && self.mode == RuleMode::Enforce
    }

    /// Whether this limit would have denied the request, were it not in shadow.
    #[must_use]
    pub fn is_shadow_denial(&self) -> bool {
        !self.passed && self.mode == RuleMode::Shadow
    }
}

/// For the inside: `throttle burst of the client: 3 of 100 left`.
impl fmt::Display for LimitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, subject) = (self.kind.as_str(), self.subject.as_str());
        write!(f, "{kind} {} ({subject}): {} of {} left", self.name, self.remaining, self.limit)?;
        if !self.passed {
            write!(f, ", one passes in {:.3} s", self.retry_after.as_secs_f64())?;
        }
        if self.mode == RuleMode::Enforce { Ok(()) } else { write!(f, " [{}]", self.mode) }
    }
}

/// What became of a request's allowance: every limit was judged, and either all of them were spent together or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent(Vec<LimitState>);

impl Spent {
    /// There is no limit.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self(Vec::new())
    }

    /// How each limit stood. Whoever makes one with a limit that [is violated](LimitState::is_violated) has spent nothing.
    #[must_use]
    pub const fn of(limits: Vec<LimitState>) -> Self {
        Self(limits)
    }

    /// How each limit stood, throttles first.
    #[must_use]
    pub fn limits(&self) -> &[LimitState] {
        &self.0
    }

    pub(crate) fn into_limits(self) -> Vec<LimitState> {
        self.0
    }
}
