//! The throttles of plans and routes.

use std::hash::Hasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use policies::{Gcra, LimitKind, LimitState, Principal, Route, ThrottleRule, throttle_rules};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::activity::{self, Activity};
use super::buckets::{Buckets, Key};
use crate::clock::Clock;

/// The throttles of everybody who has called lately: exact, in memory, one instant for each.
pub struct Throttles {
    buckets: Buckets,
    hasher: SipHasher13,
    clock: Clock,
    /// Where use is noted so that a crash is survived; absent in a process that saves nothing.
    activity: OnceLock<Activity>,
    activity_fails: AtomicBool,
    /// After a crash: when each group of buckets counts as spent; 0 is never.
    groups: ArcSwapOption<Vec<u64>>,
}

/// Our instants are nanoseconds of the monotonic clock, counted from here: what was counted before this process began, up to 73 years,
/// has an instant too.
const ORIGIN: u64 = 1 << 61;

/// One moment by three clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// As the buckets count.
    pub(super) now: u64,
    /// Nanoseconds of the process's monotonic clock.
    pub(super) nanos: u64,
    /// Nanoseconds since the Unix epoch.
    pub(super) wall: i64,
}

impl Moment {
    pub(super) fn wall_of(self, instant: u64) -> i64 {
        let wall = i128::from(instant) - i128::from(self.now) + i128::from(self.wall);
        i64::try_from(wall).unwrap_or(i64::MAX)
    }

    pub(super) fn instant_of(self, wall: i64) -> u64 {
        let instant = i128::from(wall) - i128::from(self.wall) + i128::from(self.now);
        u64::try_from(instant.clamp(1, i128::from(u64::MAX >> 1))).unwrap_or(1)
    }
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
        Self {
            buckets: Buckets::new(buckets_max),
            hasher: SipHasher13::new_with_key(&seed),
            clock,
            activity: OnceLock::new(),
            activity_fails: AtomicBool::new(false),
            groups: ArcSwapOption::empty(),
        }
    }

    /// How each throttle stands now. Nothing is spent.
    pub fn peek(&self, principal: Option<&Principal>, route: &Route) -> Vec<LimitState> {
        let now = self.now();
        self.asked(principal, route).into_iter().map(|(asked, rule)| self.judge(asked, &rule, now)).collect()
    }

    /// Judges every throttle, then takes one request from each: from all of them, or, if one says no, from none.
    pub fn take(&self, principal: Option<&Principal>, route: &Route) -> Taken<'_> {
        let now = self.now();
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
            let outcome = self.buckets.take(asked.key, asked.terms, now, || self.start(asked));
            let state = match outcome {
                Ok(tat) => {
                    taken.taken.push(asked);
                    state(&rule, asked.terms, tat, now, None)
                }
                Err(wait) => {
                    let tat = self.buckets.peek(asked.key, asked.terms, now, || self.start(asked));
                    state(&rule, asked.terms, tat, now, Some(wait))
                }
            };
            taken.states.push(state);
        }
        if taken.is_denied() {
            // Somebody took the last place between our look and our grasp.
            taken.give_back();
        } else {
            self.note(&taken.taken);
        }
        taken
    }

    /// Before the request is served: a process that is killed leaves behind whose throttles it counted.
    fn note(&self, taken: &[Asked]) {
        let (Some(activity), false) = (self.activity.get(), taken.is_empty()) else { return };
        // After the counting: a save that did not see it began before this instant.
        let nanos = self.clock.monotonic_nanos();
        for asked in taken {
            if let Err(error) = activity.note(asked.key, nanos) {
                metrics::counter!("portcullis_throttle_save_failures_total").increment(1);
                if !self.activity_fails.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the use of throttles cannot be noted: a crash would hand out a second burst");
                }
            }
        }
    }

    /// The TAT of a bucket that is not there: whole, unless a crash left it open.
    fn start(&self, asked: Asked) -> u64 {
        let groups = self.groups.load();
        let spent_at = groups.as_ref().and_then(|groups| groups.get(activity::group(asked.key)).copied());
        spent_at.filter(|at| *at > 0).map_or(0, |at| asked.terms.spent_at(at))
    }

    fn now(&self) -> u64 {
        ORIGIN + self.clock.monotonic_nanos()
    }

    pub(super) fn moment(&self) -> Moment {
        let nanos = self.clock.monotonic_nanos();
        Moment { now: ORIGIN + nanos, nanos, wall: self.clock.unix_nanos() }
    }

    pub(super) fn restore(&self, key: Key, tat: u64) {
        self.buckets.restore(key, tat);
    }

    pub(super) fn keep_with(&self, activity: Activity, groups: Option<Vec<u64>>) {
        _ = self.activity.set(activity);
        self.groups.store(groups.map(std::sync::Arc::new));
    }

    /// The last instant at which a group counts as spent.
    pub(super) fn groups_spent_at(&self) -> Option<u64> {
        self.groups.load().as_ref().and_then(|groups| groups.iter().max().copied())
    }

    pub(super) fn forget_groups(&self) {
        self.groups.store(None);
    }

    pub(super) fn collect(&self, shard: usize, now: u64, changed: &mut Vec<(Key, u64)>) -> bool {
        self.buckets.collect(shard, now, changed)
    }

    pub(super) fn changed(&self, key: Key) {
        self.buckets.changed(key);
    }

    /// Forgets buckets that are whole again. Called every few seconds.
    pub fn sweep(&self) {
        self.buckets.sweep(self.now());
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
        let tat = self.buckets.peek(asked.key, asked.terms, now, || self.start(asked));
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
        let now = self.throttles.now();
        for asked in self.taken.drain(..) {
            self.throttles.buckets.give_back(asked.key, asked.terms, now, || self.throttles.start(asked));
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
