//! Whether a rule bites.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::denial::Denial;
use crate::trace::{Stage, Trace};

/// What becomes of a request that a rule says no to (Envoy's `shadow_rules`, AWS WAF's Block and Count).
///
/// A rule in shadow is judged exactly as an enforced one and its verdict is reported, so that what it would do is known before it
/// does it. It counts in a bucket of its own: to enforce it later starts from true figures, and to watch it spends nothing of a
/// limit that is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleMode {
    /// It denies.
    #[default]
    Enforce,
    /// It is judged and reported, and never denies.
    Shadow,
    /// It is not asked.
    Off,
}

/// The words of a document.
pub(crate) const RULE_MODES: [(&str, RuleMode); 3] =
    [("enforce", RuleMode::Enforce), ("shadow", RuleMode::Shadow), ("off", RuleMode::Off)];

impl RuleMode {
    /// The name in documents and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// The modes of a route's own rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteRules {
    /// Of the route's allowlist.
    pub networks: RuleMode,
    /// Of the accepted methods. Whatever the mode, a route that is not public wants a credential, and every credential that is
    /// presented must be good: these are no rules of the route.
    pub methods: RuleMode,
    /// Of the scopes.
    pub scopes: RuleMode,
}

impl RouteRules {
    /// Every rule that has a mode, by its name in documents.
    pub(crate) fn named(self) -> [(&'static str, RuleMode); 3] {
        [("networks", self.networks), ("methods", self.methods), ("scopes", self.scopes)]
    }
}

/// `networks shadow, scopes off`, or `none` when every rule is enforced.
impl fmt::Display for RouteRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lifted = self.named().into_iter().filter(|(_, mode)| *mode != RuleMode::Enforce);
        let lifted: Vec<String> = lifted.map(|(rule, mode)| format!("{rule} {mode}")).collect();
        if lifted.is_empty() { f.write_str("none") } else { f.write_str(&lifted.join(", ")) }
    }
}

/// The modes of the allowlists that come with a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientRules {
    /// Of the client's own allowlist.
    pub networks: RuleMode,
    /// Of its partner's.
    pub partner_networks: RuleMode,
}

impl fmt::Display for RuleMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Asks one rule, as its mode has it: a rule in shadow is judged like any other, told to the trace, and lets everybody on.
pub(crate) fn ask<T: Trace>(
    mode: RuleMode,
    stage: Stage,
    trace: &mut T,
    passes: impl FnOnce() -> bool,
    detail: impl FnOnce() -> String,
    denial: impl FnOnce() -> Denial,
) -> Result<(), Denial> {
    if mode == RuleMode::Off {
        trace.judged(stage, mode, true, || "not asked: the rule is off".to_owned());
        return Ok(());
    }
    let passed = passes();
    trace.judged(stage, mode, passed, detail);
    if passed || mode == RuleMode::Shadow { Ok(()) } else { Err(denial()) }
}
