//! The throttles of plans and routes.

use std::hash::Hasher;
use std::time::Duration;

use policies::{Gcra, LimitKind, LimitState, Principal, Route, ThrottleRule, throttle_rules};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::buckets::{Buckets, Key};
use crate::clock::Clock;

/// The throttles of everybody who has called lately: exact, in memory, one instant for each.
pub struct Throttles {
    buckets: Buckets,
    hasher: SipHasher13,
    clock: Clock,
}

/// One throttle of a request.
#[derive(Clone, Copy)]
struct Asked {
    key: Key,
    terms: Gcra,
}

impl Throttles {
    /// `seed` is the installation's own: with it, names of buckets cannot be made to meet, and it must outlast a restart. More than
    /// `buckets_max` buckets are never held; beyond it, new ones share.
    pub fn new(clock: Clock, seed: [u8; 16], buckets_max: usize) -> Self {
        Self { buckets: Buckets::new(buckets_max), hasher: SipHasher13::new_with_key(&seed), clock }
    }

    /// How each throttle stands now. Nothing is spent.
    pub fn peek(&self, principal: Option<&Principal>, route: &Route) -> Vec<LimitState> {
        let now = self.clock.monotonic_nanos();
        self.asked(principal, route).into_iter().map(|(asked, rule)| self.judge(asked, &rule, now)).collect()
    }

    /// Judges every throttle, then takes one request from each: from all of them, or, if one says no, from none.
    pub fn take(&self, principal: Option<&Principal>, route: &Route) -> Taken<'_> {
        let now = self.clock.monotonic_nanos();
        let asked = self.asked(principal, route);
        let mut taken = Taken { throttles: self, taken: Vec::new(), states: Vec::with_capacity(asked.len()) };
        if asked.len() > 1 {
            // Judged before any of them is touched: a flood against the narrow one must not hold places in the wide ones.
            taken.states.extend(asked.iter().map(|(asked, rule)| self.judge(*asked, rule, now)));
            if taken.is_denied() || taken.states.is_empty() {
                return taken;
            }
            taken.states.clear();
        }
        taken.taken.reserve_exact(asked.len());
        for (asked, rule) in asked {
            let outcome = self.buckets.take(asked.key, asked.terms, now, || 0);
            let state = match outcome {
                Ok(tat) => {
                    taken.taken.push(asked);
                    state(&rule, asked.terms, tat, now, None)
                }
                Err(wait) => {
                    let tat = self.buckets.peek(asked.key, asked.terms, now, || 0);
                    state(&rule, asked.terms, tat, now, Some(wait))
                }
            };
            taken.states.push(state);
        }
        if taken.is_denied() {
            // Somebody took the last place between our look and our grasp.
            taken.give_back();
        }
        taken
    }

    /// Forgets buckets that are whole again. Called every few seconds.
    pub fn sweep(&self) {
        self.buckets.sweep(self.clock.monotonic_nanos());
    }

    /// How many buckets are held.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn asked<'a>(&self, principal: Option<&'a Principal>, route: &'a Route) -> Vec<(Asked, ThrottleRule<'a>)> {
        let mut asked = Vec::new();
        throttle_rules(principal, route, |rule| {
            asked.push((Asked { key: self.key(&rule), terms: Gcra::of(rule.throttle) }, rule));
        });
        asked
    }

    fn judge(&self, asked: Asked, rule: &ThrottleRule<'_>, now: u64) -> LimitState {
        let tat = self.buckets.peek(asked.key, asked.terms, now, || 0);
        state(rule, asked.terms, tat, now, asked.terms.take(tat, now).err())
    }

    fn key(&self, rule: &ThrottleRule<'_>) -> Key {
        let mut hasher = self.hasher;
        hasher.write_u8(rule.subject as u8);
        hasher.write_u8(rule.throttle.mode as u8);
        for part in rule.whom {
            hasher.write(part.as_bytes());
            // In no UTF-8 text: `ab`, `c` is not `a`, `bc`.
            hasher.write_u8(0xff);
        }
        let hash = hasher.finish128();
        Key(hash.h1, hash.h2)
    }
}

/// What was taken of the throttles. It is given back when it is dropped, unless it is [kept](Taken::keep): a request that
/// somebody gives up, or that another limit denies, has spent nothing.
pub struct Taken<'a> {
    throttles: &'a Throttles,
    taken: Vec<Asked>,
    states: Vec<LimitState>,
}

impl Taken<'_> {
    /// Whether one of the throttles says no. Then nothing was taken.
    pub fn is_denied(&self) -> bool {
        self.states.iter().any(LimitState::is_violated)
    }

    /// It is spent.
    pub fn keep(mut self) -> Vec<LimitState> {
        self.taken.clear();
        std::mem::take(&mut self.states)
    }

    /// It is not: how the limits stand then.
    pub fn refuse(mut self) -> Vec<LimitState> {
        self.give_back();
        std::mem::take(&mut self.states)
    }

    fn give_back(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        let now = self.throttles.clock.monotonic_nanos();
        for asked in self.taken.drain(..) {
            self.throttles.buckets.give_back(asked.key, asked.terms, now, || 0);
        }
        for state in self.states.iter_mut().filter(|state| state.passed) {
            state.remaining = state.limit.min(state.remaining.saturating_add(1));
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn state(rule: &ThrottleRule<'_>, terms: Gcra, tat: u64, now: u64, wait: Option<u64>) -> LimitState {
    const SECOND: u64 = 1_000_000_000;
    LimitState {
        name: rule.name.into(),
        kind: LimitKind::Throttle,
        subject: rule.subject,
        limit: u64::from(rule.throttle.burst),
        window_seconds: terms.fill_nanos().div_ceil(SECOND).max(1),
        remaining: terms.remaining(tat, now),
        reset_seconds: tat.saturating_sub(now).div_ceil(SECOND),
        mode: rule.throttle.mode,
        passed: wait.is_none(),
        retry_after: Duration::from_nanos(wait.unwrap_or(0)),
    }
}
