//! What bites: the static limits of one address, before it is known who asks, and the limits of plans and routes.
//!
//! governor counts the static limits, where all keys have one quota. Plans differ from client to client and change while their state
//! must stay, so those are counted here, by the arithmetic of [`policies::Gcra`].

mod activity;
mod address;
mod buckets;
mod keeper;
mod quota;
mod static_limits;
mod throttles;

pub use address::AddressLimiter;
pub use keeper::Keeper;
pub use quota::{QuotaAsked, QuotaCount, QuotaSubject, Quotas, Standing, quotas_of_client, quotas_of_partner};
pub use static_limits::AddressLimits;
pub use throttles::{Taken, Throttles};

use std::sync::Arc;
use std::time::Duration;

use policies::{LimitKind, LimitState, Principal, Route, Spent, UnixSeconds};

use self::quota::{quotas_of_request, wait_for_reset};
use crate::failure::Fault;

/// The limits of plans and routes.
pub struct Limits {
    pub throttles: Arc<Throttles>,
    pub quotas: Quotas,
}

impl Limits {
    /// Judges every limit of the request, then spends all of them together: if one says no, none is spent. `principal` is `None`
    /// for a call of a public route.
    pub async fn spend(&self, principal: Option<&Principal>, route: &Route, now: UnixSeconds) -> Result<Spent, Fault> {
        let throttles = self.throttles.take(principal, route);
        if throttles.is_denied() {
            return Ok(Spent::of(throttles.refuse()));
        }
        // The quotas come last, since they may wait for the database. What was taken of the throttles is given back if they say no,
        // if they fail, and if the caller goes away meanwhile.
        let asked = principal.map_or_else(Vec::new, |principal| quotas_of_request(principal.client(), route));
        if asked.is_empty() {
            return Ok(Spent::of(throttles.keep()));
        }
        let standings = self.quotas.spend(&asked, now).await?;
        let denied = standings.iter().any(Standing::denies);
        let mut states = if denied { throttles.refuse() } else { throttles.keep() };
        states.extend(asked.iter().zip(&standings).map(|(asked, standing)| quota_state(asked, standing, now)));
        Ok(Spent::of(states))
    }

    /// How every limit of the request stands, and would stand after it. Nothing is spent.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn peek(&self, principal: Option<&Principal>, route: &Route, now: UnixSeconds) -> Result<Spent, Fault> {
        let mut states = self.throttles.peek(principal, route);
        for asked in principal.map_or_else(Vec::new, |principal| quotas_of_request(principal.client(), route)) {
            let standing = self.quotas.peek(&asked, now).await?;
            states.push(quota_state(&asked, &standing, now));
        }
        Ok(Spent::of(states))
    }
}

fn quota_state(asked: &QuotaAsked<'_>, standing: &Standing, now: UnixSeconds) -> LimitState {
    let subject = asked.subject.limit_subject();
    let window = standing.period.ends_at.0.saturating_sub(standing.period.starts_at.0);
    LimitState {
        name: Arc::clone(asked.quota.name_for(subject)).into(),
        kind: LimitKind::Quota,
        subject,
        limit: standing.limit,
        window_seconds: u64::try_from(window).unwrap_or(0),
        remaining: standing.remaining,
        reset_seconds: standing.reset_seconds(now),
        mode: standing.mode,
        passed: standing.passed,
        retry_after: if standing.passed { Duration::ZERO } else { wait_for_reset(&asked.subject, standing, now) },
    }
}
