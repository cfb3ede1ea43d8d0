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
pub use quota::Quotas;
pub use static_limits::AddressLimits;
pub use throttles::{Taken, Throttles};

use std::sync::Arc;

use policies::{LimitKind, LimitState, LimitSubject, Principal, Quota, Route, Spent, UnixSeconds};

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
        let client = principal.map(Principal::client);
        let quota = client.and_then(|client| Some((client, client.usage_plan.as_deref()?.quota.as_ref()?)));
        let Some((client, quota)) = quota else { return Ok(Spent::of(throttles.keep())) };
        let quota = match self.quotas.spend(&client.id, quota, now).await? {
            None => quota_state(quota, now, None),
            Some(wait) => quota_state(quota, now, Some(wait)),
        };
        let mut states = if quota.is_violated() { throttles.refuse() } else { throttles.keep() };
        states.push(quota);
        Ok(Spent::of(states))
    }

    /// How every throttle of the request stands. Nothing is spent.
    pub fn peek(&self, principal: Option<&Principal>, route: &Route) -> Spent {
        Spent::of(self.throttles.peek(principal, route))
    }
}

fn quota_state(quota: &Quota, now: UnixSeconds, wait: Option<std::time::Duration>) -> LimitState {
    let period = quota.period_at(now);
    let seconds = |span: i64| u64::try_from(span).unwrap_or(0);
    LimitState {
        name: quota.period.as_str().into(),
        kind: LimitKind::Quota,
        subject: LimitSubject::Client,
        limit: quota.limit,
        window_seconds: seconds(period.ends_at.0.saturating_sub(period.starts_at.0)),
        remaining: 0,
        reset_seconds: seconds(period.ends_at.0.saturating_sub(now.0)),
        mode: policies::RuleMode::Enforce,
        passed: wait.is_none(),
        retry_after: wait.unwrap_or_default(),
    }
}
