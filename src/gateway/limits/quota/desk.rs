use policies::{Quota, QuotaPeriod, UnixSeconds};
use serde_json::json;

use super::counter::Counter;
use super::subject::{Key, QuotaAsked, QuotaSubject};
use super::{ATTEMPTS_MAX, Quotas, Standing, enter, limit_of, offset_of};
use crate::clock::Clock;
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::Tx;
use crate::store::quota as table;

/// The most that an operator grants in one period, requests.
const EXTRA_MAX: i64 = 1_000_000_000_000;

/// One period of one quota, as operators see it. Amounts are requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaCount {
    /// The plan's.
    pub limit: u64,
    /// Granted on top.
    pub extra: u64,
    /// Served, what this node holds in reserve taken off.
    pub used: u64,
    pub remaining: u64,
    pub period: QuotaPeriod,
}

/// What an operator does to a period.
enum Change {
    Extend(i64),
    Reset,
}

impl Quotas {
    /// How a quota stands; nothing is spent, and nothing is written.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count(&self, asked: &QuotaAsked<'_>, now: UnixSeconds) -> Result<QuotaCount, Fault> {
        let key = Key::of(asked.subject.clone(), asked.quota);
        let counter = self.counters.pin().get(&key).cloned();
        // While nobody takes a part, what is used in the table and what is left here belong together.
        let taking = match &counter {
            Some(counter) => Some(counter.taking.lock().await),
            None => None,
        };
        let period = asked.quota.period_at(now);
        let (used, extra) = table::expected(&self.store, key.row(), period, offset_of(asked.quota)).await?;
        let left = counter.as_ref().map_or(0, |counter| {
            let lease = counter.lease();
            let is_here = lease.current.as_ref().is_some_and(|(_, here)| here.starts_at == period.starts_at);
            if is_here { lease.left } else { 0 }
        });
        drop(taking);
        Ok(count(asked.quota, period, used.saturating_sub(left), extra))
    }

    /// How a request would find a quota and leave it. Nothing is spent.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn peek(&self, asked: &QuotaAsked<'_>, now: UnixSeconds) -> Result<Standing, Fault> {
        let count = self.count(asked, now).await?;
        Ok(Standing {
            limit: count.limit.saturating_add(count.extra),
            remaining: count.remaining.saturating_sub(1),
            period: count.period,
            mode: asked.quota.mode,
            passed: count.remaining > 0,
        })
    }

    /// Grants more of this period, and records who did.
    ///
    /// # Errors
    /// `invalid_amount`.
    pub async fn extend(
        &self,
        actor: &Actor,
        clock: &Clock,
        asked: &QuotaAsked<'_>,
        amount: u64,
    ) -> Result<QuotaCount, Failure> {
        let amount = i64::try_from(amount).ok().filter(|amount| (1..=EXTRA_MAX).contains(amount));
        let Some(amount) = amount else {
            let message = format!("Give an amount from 1 to {EXTRA_MAX}.");
            return Err(Refusal::invalid("invalid_amount", message).into());
        };
        self.change(actor, clock, asked, Change::Extend(amount)).await
    }

    /// Begins this period's count again, and records who did. What was granted on top stays granted.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn reset(&self, actor: &Actor, clock: &Clock, asked: &QuotaAsked<'_>) -> Result<QuotaCount, Failure> {
        self.change(actor, clock, asked, Change::Reset).await
    }

    async fn change(
        &self,
        actor: &Actor,
        clock: &Clock,
        asked: &QuotaAsked<'_>,
        change: Change,
    ) -> Result<QuotaCount, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            for (counter, quota) in self.counters_of(std::slice::from_ref(asked)) {
                let _taking = counter.taking.lock().await;
                if !counter.lease().retired {
                    return self.change_held(actor, clock, &asked.subject, &counter, quota, &change).await;
                }
            }
        }
        Err(Fault::new("the counter of a quota was given back again and again").into())
    }

    /// The same while nobody takes a part.
    async fn change_held(
        &self,
        actor: &Actor,
        clock: &Clock,
        subject: &QuotaSubject,
        counter: &Counter,
        quota: &Quota,
        change: &Change,
    ) -> Result<QuotaCount, Failure> {
        let now = clock.now();
        // What is in hand is given back first: reset with a part in hand would hand out that part besides the whole limit.
        let in_hand = counter.lease().take_out();
        let (key, period) = (counter.key.row(), quota.period_at(now));
        let mut tx = self.store.begin().await?;
        if let Some((of, left)) = in_hand {
            table::give_back(&mut tx, key, of.starts_at, left).await?;
        }
        let before = enter(&mut tx, counter, quota, period, now).await?;
        if let Change::Extend(amount) = change
            && before.extra.saturating_add(*amount) > EXTRA_MAX
        {
            // What was in hand stays given back.
            tx.commit().await?;
            let message = format!("{} are granted on top of this period already.", before.extra);
            return Err(Refusal::conflict("extended_enough", message).into());
        }
        let row = apply(&mut tx, key, period, change).await?;
        let action = match change {
            Change::Extend(_) => "quota.extend",
            Change::Reset => "quota.reset",
        };
        let detail = json!({
            "subject": subject.kind(), "route": subject.route(), "quota": &**quota.name(), "mode": quota.mode.as_str(),
            "period_starts_at": period.starts_at.0, "used_before": before.used, "extra": row.extra,
        });
        actor.record(&mut tx, clock, action, subject.id(), &detail).await?;
        tx.commit().await?;
        Ok(count(quota, period, row.used, row.extra))
    }
}

async fn apply(
    tx: &mut Tx,
    key: table::QuotaKey<'_>,
    period: QuotaPeriod,
    change: &Change,
) -> Result<table::QuotaRow, Fault> {
    match change {
        Change::Extend(amount) => table::extend(tx, key, period.starts_at, *amount).await?,
        Change::Reset => table::reset(tx, key, period.starts_at).await?,
    }
    table::get(tx, key, period.starts_at)
        .await?
        .ok_or_else(|| Fault::new("a quota's period that was entered is not there"))
}

fn count(quota: &Quota, period: QuotaPeriod, used: i64, extra: i64) -> QuotaCount {
    let whole = |number: i64| u64::try_from(number).unwrap_or(0);
    QuotaCount {
        limit: quota.limit,
        extra: whole(extra),
        used: whole(used),
        remaining: whole(limit_of(quota, extra).saturating_sub(used)),
        period,
    }
}
