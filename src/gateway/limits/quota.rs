//! Calendar quotas by reserve-before-serve: a part of the period's count is taken from the database durably, then served from
//! memory, so that the limit is never passed, whatever crashes. Near the limit the parts shrink to one.

mod counter;
mod desk;
mod subject;

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use papaya::HashMap;
use policies::{Quota, QuotaPeriod, RuleMode, UnixSeconds};

pub use desk::QuotaCount;
pub(super) use subject::quotas_of_request;
pub use subject::{QuotaAsked, QuotaSubject, quotas_of_client, quotas_of_partner};

use self::counter::{Counter, Take, take};
use self::subject::Key;
use crate::failure::Fault;
use crate::store::{Store, Tx, quota as table};

/// The largest part of a quota that a node takes at once. What a crash loses is at most this, never the limit.
const LEASE_MAX: i64 = 100;
/// How often a request takes parts anew because others were quicker. Near the limit a part is one request.
const ATTEMPTS_MAX: usize = 100;
/// What was not asked for so long is given back and forgotten: neither memory nor what a crash loses grows with the number of
/// clients that once called.
const IDLE_SECONDS: i64 = 60;
/// Counters whose parts are given back in one transaction.
const GIVEN_BACK_AT_ONCE: usize = 500;

/// How long a period is kept after its end: last year's month can still be looked at.
const KEPT_SECONDS: i64 = 400 * 86_400;

/// How one quota stood when a request was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests in this period: the plan's limit and what an operator granted on top.
    pub limit: u64,
    /// What is left of them, this request taken off. Parts that other nodes hold are not in it.
    pub remaining: u64,
    pub period: QuotaPeriod,
    pub mode: RuleMode,
    /// Whether this quota let the request through.
    pub passed: bool,
}

impl Standing {
    /// Seconds until the count begins again, at least 1.
    pub fn reset_seconds(&self, now: UnixSeconds) -> u64 {
        u64::try_from(self.period.ends_at.0.saturating_sub(now.0)).unwrap_or(0).max(1)
    }

    /// Whether it denies the request.
    pub fn denies(&self) -> bool {
        !self.passed && self.mode == RuleMode::Enforce
    }
}

/// All counters of this node.
#[derive(Clone)]
pub struct Quotas {
    counters: Arc<HashMap<Key, Arc<Counter>>>,
    store: Store,
}

impl Quotas {
    pub fn new(store: Store) -> Self {
        Self { counters: Arc::default(), store }
    }

    /// Takes one from each of these quotas, or from none when an enforced one is spent. How each of them stands then, in the
    /// order they were asked for; quotas that are off must not be asked for.
    ///
    /// # Errors
    /// The database cannot be written, and an enforced quota needs another part.
    pub async fn spend(&self, asked: &[QuotaAsked<'_>], now: UnixSeconds) -> Result<Vec<Standing>, Fault> {
        if let Take::Judged(standings) = take(&self.counters_of(asked), now) {
            return Ok(standings);
        }
        // What follows writes to the database and must not stop half way because the caller hangs up: the part would be lost,
        // or given back and served as well.
        let this = self.clone();
        let owned: Vec<(QuotaSubject, Quota)> =
            asked.iter().map(|asked| (asked.subject.clone(), asked.quota.clone())).collect();
        let spending = tokio::spawn(async move {
            let asked: Vec<_> =
                owned.iter().map(|(subject, quota)| QuotaAsked { subject: subject.clone(), quota }).collect();
            this.lease_and_spend(&asked, now).await
        });
        spending.await.map_err(|error| Fault::new(format!("taking a part of a quota: {error}")))?
    }

    fn counters_of<'a>(&self, asked: &[QuotaAsked<'a>]) -> Vec<(Arc<Counter>, &'a Quota)> {
        let counters = self.counters.pin();
        let counter = |asked: &QuotaAsked<'a>| {
            let key = Key::of(asked.subject.clone(), asked.quota);
            (Arc::clone(counters.get_or_insert_with(key.clone(), || Arc::new(Counter::new(key)))), asked.quota)
        };
        asked.iter().map(counter).collect()
    }

    async fn lease_and_spend(&self, asked: &[QuotaAsked<'_>], now: UnixSeconds) -> Result<Vec<Standing>, Fault> {
        for _ in 0..ATTEMPTS_MAX {
            let counters = self.counters_of(asked);
            for (counter, quota) in &counters {
                self.lease(counter, quota, now).await?;
            }
            if let Take::Judged(standings) = take(&counters, now) {
                return Ok(standings);
            }
        }
        Err(Fault::new(format!("other requests took the parts of a quota {ATTEMPTS_MAX} times")))
    }

    /// Sees to it that the counter has something to serve, or knows that nothing is left.
    async fn lease(&self, counter: &Counter, quota: &Quota, now: UnixSeconds) -> Result<(), Fault> {
        let _taking = counter.taking.lock().await;
        let given_back = {
            let mut lease = counter.lease();
            if lease.retired || lease.is_decided(quota, now) {
                return Ok(());
            }
            // Of a limit that was lowered, or of a period that has ended, nothing may be served that was reserved before.
            if lease.is_for(quota, now) { None } else { lease.take_out() }
        };
        let result = self.next_part(counter, quota, given_back, now).await;
        let mut lease = counter.lease();
        match result {
            Ok(part) => {
                lease.current = Some((quota.clone(), part.period));
                lease.left += part.taken;
                lease.limit = part.limit;
                lease.unreserved = part.unreserved;
                lease.exhausted_at = (part.taken == 0).then_some(now);
            }
            // What is only watched never denies, and does not fail a request either.
            Err(fault) if quota.mode == RuleMode::Shadow => {
                tracing::warn!(fault = fault.inside(), "a quota in shadow could not be counted");
                lease.current = Some((quota.clone(), quota.period_at(now)));
                lease.exhausted_at = Some(now);
            }
            Err(fault) => return Err(fault),
        }
        lease.touched_at = now;
        Ok(())
    }

    async fn next_part(
        &self,
        counter: &Counter,
        quota: &Quota,
        given_back: Option<(QuotaPeriod, i64)>,
        now: UnixSeconds,
    ) -> Result<Part, Fault> {
        let key = counter.key.row();
        let period = quota.period_at(now);
        let mut tx = self.store.begin().await?;
        if let Some((old, left)) = given_back {
            table::give_back(&mut tx, key, old.starts_at, left).await?;
        }
        let row = enter(&mut tx, counter, quota, period, now).await?;
        let limit = limit_of(quota, row.extra);
        let free = limit.saturating_sub(row.used).max(0);
        let part = (free / 10).clamp(1, LEASE_MAX);
        let taken = table::reserve(&mut tx, key, period.starts_at, part, limit).await?;
        tx.commit().await?;
        Ok(Part {
            period,
            limit,
            taken: if taken { part } else { 0 },
            unreserved: if taken { free - part } else { free },
        })
    }

    /// Gives back what was taken and not served: at shutdown.
    pub async fn give_back(&self) -> Result<(), Fault> {
        let all = self.counters.pin().values().cloned().collect();
        self.retire(all, |_| true).await
    }

    /// Gives back the parts of whoever has not called for a while.
    pub async fn housekeep(&self, now: UnixSeconds) -> Result<(), Fault> {
        let is_idle = |lease: &counter::Lease| now.0.saturating_sub(lease.touched_at.0) >= IDLE_SECONDS;
        let idle = self.counters.pin().values().filter(|counter| is_idle(&counter.lease())).cloned().collect();
        let done = self.retire(idle, is_idle).await;
        gauge!("portcullis_quota_counters").set(self.counters.len() as f64);
        done
    }

    /// Forgets periods that ended long ago.
    pub async fn tidy(&self, now: UnixSeconds) -> Result<(), Fault> {
        let mut tx = self.store.begin().await?;
        table::prune(&mut tx, now.plus(-KEPT_SECONDS)).await?;
        tx.commit().await
    }

    async fn retire(&self, counters: Vec<Arc<Counter>>, may: impl Fn(&counter::Lease) -> bool) -> Result<(), Fault> {
        for some in counters.chunks(GIVEN_BACK_AT_ONCE) {
            let mut left = Vec::new();
            for counter in some {
                // Whoever is taking a part is not idle.
                let _taking = counter.taking.lock().await;
                let mut lease = counter.lease();
                if lease.retired || !may(&lease) {
                    continue;
                }
                // First out of the map, so that whoever finds it retired finds a new one there.
                self.counters.pin().remove(&counter.key);
                lease.retired = true;
                if let Some((period, left_over)) = lease.take_out() {
                    left.push((Arc::clone(counter), period, left_over));
                }
            }
            if left.is_empty() {
                continue;
            }
            let mut tx = self.store.begin().await?;
            for (counter, period, left_over) in &left {
                table::give_back(&mut tx, counter.key.row(), period.starts_at, *left_over).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

/// What was taken from the database.
struct Part {
    period: QuotaPeriod,
    limit: i64,
    taken: i64,
    unreserved: i64,
}

async fn enter(
    tx: &mut Tx,
    counter: &Counter,
    quota: &Quota,
    period: QuotaPeriod,
    now: UnixSeconds,
) -> Result<table::QuotaRow, Fault> {
    table::enter(tx, counter.key.row(), period, offset_of(quota), now).await
}

fn offset_of(quota: &Quota) -> i64 {
    i64::try_from(quota.offset()).unwrap_or(i64::MAX)
}

fn limit_of(quota: &Quota, extra: i64) -> i64 {
    i64::try_from(quota.limit).unwrap_or(i64::MAX).saturating_add(extra)
}

/// How long to wait for a quota to begin again: its reset, and up to a tenth more, at most five minutes. Else everybody who has
/// used a month up comes back in its last second. The same for the same subject and period, so that asking twice gains nothing.
pub(super) fn wait_for_reset(subject: &QuotaSubject, standing: &Standing, now: UnixSeconds) -> Duration {
    let reset = standing.reset_seconds(now);
    let spread = (reset / 10).min(JITTER_SECONDS_MAX);
    // FNV-1a: spread, not secrecy.
    let seed = standing.period.ends_at.0.to_be_bytes();
    let bytes = subject.kind().bytes().chain(subject.id().bytes()).chain(subject.route().bytes()).chain(seed);
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Duration::from_secs(reset + (hash >> 16) % (spread + 1))
}

/// Longest time that [`wait_for_reset`] adds.
const JITTER_SECONDS_MAX: u64 = 300;
