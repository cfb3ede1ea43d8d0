use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policies::{Quota, QuotaPeriod, RuleMode, UnixSeconds};

use super::Standing;
use super::subject::Key;

/// How long a node believes that nothing is left of a period before it asks again: another node may have given back its part.
const EXHAUSTED_SECONDS: i64 = 10;

/// One quota of one subject, in memory.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) key: Key,
    lease: Mutex<Lease>,
    /// Held by whoever takes the next part from the database: one at a time.
    pub(super) taking: tokio::sync::Mutex<()>,
}

/// What of a period is ours to serve.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// The period that `left` belongs to, and the quota it was computed for: a calendar is not asked on every request.
    pub(super) current: Option<(Quota, QuotaPeriod)>,
    /// Reserved and not served, requests.
    pub(super) left: i64,
    /// The plan's limit and what an operator granted on top, when the database was last asked.
    pub(super) limit: i64,
    /// Of `limit`: reserved by nobody.
    pub(super) unreserved: i64,
    /// The database said that nothing is left.
    pub(super) exhausted_at: Option<UnixSeconds>,
    /// When it was last asked.
    pub(super) touched_at: UnixSeconds,
    /// It was taken out of the map: whoever still holds it must look for the counter again.
    pub(super) retired: bool,
}

/// What a try to take without the database came to.
pub(super) enum Take {
    /// From all of them, or from none because one is spent; in the order they were asked for.
    Judged(Vec<Standing>),
    /// Some need a part from the database first.
    NeedsPart,
    /// One was retired meanwhile.
    Stale,
}

impl Counter {
    pub(super) fn new(key: Key) -> Self {
        Self { key, lease: Mutex::default(), taking: tokio::sync::Mutex::default() }
    }

    /// A panic while it is held leaves nothing half done: each holder writes single numbers.
    pub(super) fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn is_for(&self, quota: &Quota, now: UnixSeconds) -> bool {
        self.current
            .as_ref()
            .is_some_and(|(for_quota, period)| (period.starts_at..period.ends_at).contains(&now) && for_quota == quota)
    }

    /// Whether the database need not be asked.
    pub(super) fn is_decided(&self, quota: &Quota, now: UnixSeconds) -> bool {
        self.is_for(quota, now) && (self.left > 0 || self.is_exhausted(now))
    }

    fn is_exhausted(&self, now: UnixSeconds) -> bool {
        self.exhausted_at.is_some_and(|at| (0..EXHAUSTED_SECONDS).contains(&now.0.saturating_sub(at.0)))
    }

    /// Out of our hands first: a part must never be both given back and served.
    pub(super) fn take_out(&mut self) -> Option<(QuotaPeriod, i64)> {
        let (_, period) = self.current.take()?;
        self.exhausted_at = None;
        let left = std::mem::take(&mut self.left);
        (left > 0).then_some((period, left))
    }

    fn standing(&self, now: UnixSeconds, mode: RuleMode, passed: bool) -> Standing {
        let ends_at = self.current.as_ref().map_or(now, |(_, period)| period.ends_at);
        let starts_at = self.current.as_ref().map_or(now, |(_, period)| period.starts_at);
        let whole = |number: i64| u64::try_from(number).unwrap_or(0);
        Standing {
            limit: whole(self.limit),
            remaining: whole(self.left.saturating_add(self.unreserved)),
            period: QuotaPeriod { starts_at, ends_at },
            mode,
            passed,
        }
    }
}

/// Takes one from each, if each that is enforced has one; else from none. One that is watched is taken from where the others let
/// the request through and it has some: it must not be spent by requests that never got past the rest.
pub(super) fn take(counters: &[(Arc<Counter>, &Quota)], now: UnixSeconds) -> Take {
    // Every request locks in one order, whatever order its plans have: by address. Two that share two counters cannot wait for
    // each other.
    let mut order: Vec<usize> = (0..counters.len()).collect();
    order.sort_unstable_by_key(|at| counters.get(*at).map(|(counter, _)| Arc::as_ptr(counter).addr()));
    let mut leases: Vec<(usize, MutexGuard<'_, Lease>)> = Vec::with_capacity(counters.len());
    for at in order {
        let Some((counter, quota)) = counters.get(at) else { continue };
        let lease = counter.lease();
        if lease.retired {
            return Take::Stale;
        }
        if !lease.is_decided(quota, now) {
            return Take::NeedsPart;
        }
        leases.push((at, lease));
    }
    leases.sort_unstable_by_key(|(at, _)| *at);
    let admitted =
        leases.iter().zip(counters).all(|((_, lease), (_, quota))| quota.mode != RuleMode::Enforce || lease.left > 0);
    let standings = leases.iter_mut().zip(counters).map(|((_, lease), (_, quota))| {
        let passed = lease.left > 0;
        if admitted && passed {
            lease.left -= 1;
        }
        lease.standing(now, quota.mode, passed)
    });
    Take::Judged(standings.collect())
}
