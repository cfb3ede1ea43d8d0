//! Whether a rule bites.

use std::fmt;

use serde::{Deserialize, Serialize};

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

impl fmt::Display for RuleMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
