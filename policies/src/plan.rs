//! How much a client may call: API Gateway's usage plan.

mod quota;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::rule::RuleMode;

pub use jiff::civil::Weekday;
pub use quota::{PeriodKind, Quota, QuotaPeriod};

/// Smallest rate of a throttle, requests per second (about one a fortnight).
pub const MIN_RATE_PER_SECOND: f64 = 1e-6;
/// Largest rate of a throttle, requests per second.
pub const MAX_RATE_PER_SECOND: f64 = 1e6;
/// Largest burst of a throttle, requests.
pub const MAX_BURST: u32 = 1_000_000;
/// The longest time that a spent allowance may take to fill, in seconds.
const MAX_FILL_SECONDS: f64 = 1e9;

/// Largest limit of a quota, requests in one period. Far from the ends of what a database counts in, so that sums do
/// not overflow.
pub const MAX_QUOTA_LIMIT: u64 = 1_000_000_000_000;

/// Most quotas of one plan: each costs a counter and a line in every answer.
pub const MAX_QUOTAS: usize = 8;

/// A named allowance that clients share by reference, each with its own counters.
#[derive(Debug, Clone, PartialEq)]
pub struct UsagePlan {
    /// The name that clients refer to.
    pub name: String,
    /// How fast, all requests of the client together.
    pub throttle: Option<Throttle>,
    /// How fast each credential of the client, by itself.
    pub credential_throttle: Option<Throttle>,
    /// How much in calendar periods, at most [`MAX_QUOTAS`], each under its own name.
    pub quotas: Vec<Quota>,
    /// What stands in place of a route's own limits, for each client by itself; by the route's id.
    pub routes: BTreeMap<Arc<str>, RouteLimits>,
}

impl UsagePlan {
    /// Whether it may be shared by all clients of a partner.
    ///
    /// # Errors
    /// What it has that belongs to one client.
    pub(crate) fn check_for_partner(&self) -> Result<(), String> {
        if self.credential_throttle.is_none() && self.routes.is_empty() {
            return Ok(());
        }
        Err(format!(
            "usage plan {:?} has credential_throttle or routes, which belong to one client: a partner's plan has a throttle and a quota",
            self.name
        ))
    }
}

/// The limits of one client on one route.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteLimits {
    /// How fast; absent: the route's own limit holds.
    pub throttle: Option<Throttle>,
    /// How much in calendar periods, at most [`MAX_QUOTAS`].
    pub quotas: Vec<Quota>,
}

/// A token bucket (API Gateway's rate and burst): `burst` requests at once, refilled at `rate_per_second`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// Requests per second, [`MIN_RATE_PER_SECOND`] to [`MAX_RATE_PER_SECOND`].
    pub rate_per_second: f64,
    /// Requests at once, 1 to [`MAX_BURST`].
    pub burst: u32,
    /// Whether it bites. One in shadow counts in a bucket of its own.
    pub mode: RuleMode,
}

impl Throttle {
    /// A checked throttle, enforced.
    ///
    /// # Errors
    /// A rate or burst out of range, NaN included: an emission interval of zero, or one that overflows, would switch
    /// the limit off (traefik#8235).
    pub fn new(rate_per_second: f64, burst: u32) -> Result<Self, PlanError> {
        if !(MIN_RATE_PER_SECOND..=MAX_RATE_PER_SECOND).contains(&rate_per_second) {
            return Err(PlanError::Rate);
        }
        if !(1..=MAX_BURST).contains(&burst) {
            return Err(PlanError::Burst);
        }
        // How long an empty allowance takes to fill. Beyond it, arithmetic in nanoseconds overflows and the limit is another.
        if f64::from(burst) / rate_per_second > MAX_FILL_SECONDS {
            return Err(PlanError::Fill);
        }
        Ok(Self { rate_per_second, burst, mode: RuleMode::Enforce })
    }

    /// The same throttle in another mode.
    #[must_use]
    pub const fn in_mode(self, mode: RuleMode) -> Self {
        Self { mode, ..self }
    }
}

/// Why a throttle or quota was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// See [`MIN_RATE_PER_SECOND`] and [`MAX_RATE_PER_SECOND`].
    #[error("rate must be between 0.000001 and 1000000 requests per second")]
    Rate,
    /// See [`MAX_BURST`].
    #[error("burst must be between 1 and 1000000 requests")]
    Burst,
    /// Burst and rate do not go together: the allowance would take more than thirty years to fill.
    #[error("burst / rate must be at most 1000000000 seconds: raise the rate or lower the burst")]
    Fill,
    /// See [`MAX_QUOTA_LIMIT`]. A quota of zero would lock the client out; take its scopes instead.
    #[error("limit must be between 1 and 1000000000000")]
    Limit,
    /// Not a name that fits into a header field.
    #[error("{0:?} is not a name for a quota: {grammar}", grammar = crate::text::NAME_GRAMMAR)]
    QuotaName(String),
    /// The limits of partners and routes, and throttles, have such names.
    #[error("{0:?} is not a name for a quota: partner-…, route-… and …burst are other limits' names")]
    QuotaNameTaken(String),
    /// More off the first period than there is in it.
    #[error("offset must not be more than limit")]
    Offset,
    /// Not in the IANA time zone database.
    #[error("unknown time zone {0:?}: use an IANA name such as Asia/Dubai")]
    TimeZone(String),
    /// Not a day of any month.
    #[error("anchor_day must be between 1 and 31")]
    AnchorDay,
    /// A field that has no meaning for this period.
    #[error("{0}")]
    Misplaced(&'static str),
}

impl std::fmt::Display for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} per second, burst {}", self.rate_per_second, self.burst)?;
        if self.mode == RuleMode::Enforce { Ok(()) } else { write!(f, " ({})", self.mode) }
    }
}
