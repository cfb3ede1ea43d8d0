use std::sync::Arc;
use std::time::Duration;

use papaya::HashMap;
use policies::{ClientId, Quota, QuotaPeriod, UnixSeconds};
use tokio::sync::Mutex;

use crate::failure::Fault;
use crate::store::{Store, quota as table};

/// The largest part of a quota that a node takes at once. What a crash loses is at most this, never the limit.
const LEASE_MAX: i64 = 100;

/// Calendar quotas by reserve-before-serve: a part of the period's count is taken from the database durably, then served
/// from memory, so that the limit is never passed, whatever crashes. Near the limit the parts shrink to one.
#[derive(Clone)]
pub struct Quotas {
    leases: Arc<HashMap<ClientId, Arc<Mutex<Lease>>>>,
    store: Store,
}

#[derive(Default)]
struct Lease {
    /// The period that `left` belongs to, and the quota it was computed for: a calendar is not asked on every request.
    current: Option<(Quota, QuotaPeriod)>,
    left: i64,
    /// The database said that nothing is left of this period at this limit.
    exhausted_at: Option<i64>,
}

impl Lease {
    fn is_for(&self, quota: &Quota, now: UnixSeconds) -> bool {
        self.current
            .as_ref()
            .is_some_and(|(for_quota, period)| for_quota == quota && (period.starts_at..period.ends_at).contains(&now))
    }

    /// The period at `now`; what was left of another one is not carried over.
    fn enter(&mut self, quota: &Quota, now: UnixSeconds) -> QuotaPeriod {
        if let Some((for_quota, period)) = &self.current
            && for_quota == quota
            && (period.starts_at..period.ends_at).contains(&now)
        {
            return *period;
        }
        let period = quota.period_at(now);
        let same_start = self.current.as_ref().is_some_and(|(_, old)| old.starts_at == period.starts_at);
        if !same_start {
            self.left = 0;
            self.exhausted_at = None;
        }
        self.current = Some((quota.clone(), period));
        period
    }
}

impl Quotas {
    pub fn new(store: Store) -> Self {
        Self { leases: Arc::default(), store }
    }

    /// Takes one from the client's quota; `Ok(Some(wait))` when the period's count is spent.
    pub async fn spend(&self, client: &ClientId, quota: &Quota, now: UnixSeconds) -> Result<Option<Duration>, Fault> {
        let lease = Arc::clone(self.leases.pin().get_or_insert_with(client.clone(), Arc::default));
        let mut lease = lease.lock_owned().await;
        if lease.left > 0 && lease.is_for(quota, now) {
            lease.left -= 1;
            return Ok(None);
        }
        // What follows writes to the database and must not stop half way because the caller hangs up: the part would be lost,
        // or given back and served as well.
        let (this, client, quota) = (self.clone(), client.clone(), quota.clone());
        let spending = tokio::spawn(async move { this.lease_and_spend(&client, &quota, now, &mut lease).await });
        spending.await.map_err(|error| Fault::new(format!("taking a part of a quota: {error}")))?
    }

    async fn lease_and_spend(
        &self,
        client: &ClientId,
        quota: &Quota,
        now: UnixSeconds,
        lease: &mut Lease,
    ) -> Result<Option<Duration>, Fault> {
        let limit = i64::try_from(quota.limit).unwrap_or(i64::MAX);
        if lease.current.as_ref().is_some_and(|(taken_under, _)| taken_under != quota) {
            // Of a limit that was lowered, nothing may be served that was reserved before.
            self.take_back(client, lease).await?;
        }
        let period = lease.enter(quota, now);
        let wait = Duration::from_secs(u64::try_from(period.ends_at.0.saturating_sub(now.0)).unwrap_or(0).max(1));
        if lease.left > 0 {
            lease.left -= 1;
            return Ok(None);
        }
        if lease.exhausted_at == Some(limit) {
            return Ok(Some(wait));
        }
        let used = table::used(&self.store, client.as_str(), period.starts_at).await?;
        let part = (limit.saturating_sub(used) / 10).clamp(1, LEASE_MAX);
        let mut tx = self.store.begin().await?;
        let taken = table::reserve(&mut tx, client.as_str(), period.starts_at, part, limit).await?;
        tx.commit().await?;
        if !taken {
            lease.exhausted_at = Some(limit);
            return Ok(Some(wait));
        }
        lease.left = part - 1;
        Ok(None)
    }

    /// Gives back what was taken and not served: at shutdown.
    pub async fn give_back(&self) -> Result<(), Fault> {
        let leases: Vec<_> =
            self.leases.pin().iter().map(|(client, lease)| (client.clone(), Arc::clone(lease))).collect();
        for (client, lease) in leases {
            self.take_back(&client, &mut *lease.lock().await).await?;
        }
        Ok(())
    }

    async fn take_back(&self, client: &ClientId, lease: &mut Lease) -> Result<(), Fault> {
        if let Some((_, period)) = &lease.current
            && lease.left > 0
        {
            // First out of our hands: a part must never be both given back and served.
            let left = std::mem::take(&mut lease.left);
            let mut tx = self.store.begin().await?;
            table::give_back(&mut tx, client.as_str(), period.starts_at, left).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}
