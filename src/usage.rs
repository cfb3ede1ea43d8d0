//! How much of what each client used, hour by hour: counted in memory, added to the database in batches.
//!
//! The data plane adds to a map of its own thread's; nothing is shared on the way of a request. A task takes what was counted out
//! of the maps every few seconds and adds it to `usage_hours`. Each batch has a number that is stored in the same transaction, so
//! that a batch is added once, whatever becomes of the answer to its commit. A process that is killed loses what it counted since
//! the last batch, as it loses its metrics; nothing is ever counted twice.

mod counts;
mod key;
mod meter;

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use policies::UnixSeconds;
use tokio_util::sync::CancellationToken;

pub use counts::{BUCKETS, Counts};
pub use key::{Caller, Key, Place};
pub use meter::Meter;

use crate::clock::Clock;
use crate::config::UsageSettings;
use crate::failure::Fault;
use crate::store::Store;
use crate::store::usage::{self as table, UsageRow};

/// An hour.
pub const HOUR_SECONDS: i64 = 3600;
/// Maps that are counted into. More than threads are of no use, fewer make threads wait for each other.
const SHARDS: usize = 32;
/// Keys in one map. At some 250 bytes a key, 64 MB in all at the very most; what does not fit is counted under `*`.
const KEYS_MAX: usize = 8192;
const FLUSH_PERIOD: Duration = Duration::from_secs(5);
/// Rows in one transaction: a revocation that comes meanwhile waits for one of them at most.
const BATCH: usize = 500;
const PRUNE_PERIOD: Duration = Duration::from_secs(3600);
/// After this long no process can still want to repeat its last batch.
const BATCH_MEMORY_SECONDS: i64 = 7 * 86_400;
const DAY_SECONDS: i64 = 86_400;

/// On a cache line of its own: two threads that count must not wait for each other's line.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<HashMap<Key, Counts>>);

/// Rows that are to be added together.
struct Batch {
    number: i64,
    rows: Vec<UsageRow>,
}

/// What was taken out of the maps and is not known to be in the database.
#[derive(Default)]
struct Leaving {
    batches: VecDeque<Batch>,
    last_number: i64,
}

/// See the module. Clones count into the same maps.
#[derive(Clone)]
pub struct Usage(Arc<Inner>);

struct Inner {
    shards: [Shard; SHARDS],
    keys_max: usize,
    leaving: tokio::sync::Mutex<Leaving>,
    /// Names this process among those that add to the table.
    process: String,
    settings: UsageSettings,
    store: Store,
    clock: Clock,
}

impl Usage {
    pub fn new(store: Store, settings: UsageSettings, clock: Clock) -> Self {
        Self::with_keys_max(store, settings, clock, KEYS_MAX)
    }

    fn with_keys_max(store: Store, settings: UsageSettings, clock: Clock, keys_max: usize) -> Self {
        Self(Arc::new(Inner {
            shards: std::array::from_fn(|_| Shard::default()),
            keys_max,
            leaving: tokio::sync::Mutex::default(),
            process: uuid::Uuid::now_v7().to_string(),
            settings,
            store,
            clock,
        }))
    }

    /// The beginning of the hour that it is, in seconds since the Unix epoch.
    pub fn hour(&self) -> i64 {
        hour_of(self.0.clock.now())
    }

    /// Adds to what was counted under the key. Allocates only for a key that this thread has not seen since the last batch.
    pub fn add(&self, mut key: Key, counts: &Counts) {
        let shard = &self.0.shards[shard_of_this_thread()];
        let mut keys = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = keys.get_mut(&key) {
            counted.add(counts);
            return;
        }
        if keys.len() >= self.0.keys_max {
            // Whoever makes many credentials must not make us forget anybody's requests, and not fill our memory either.
            key.fold();
            counter!("portcullis_usage_folded_total").increment(1);
        }
        keys.entry(key).or_default().add(counts);
    }

    /// Adds all that was counted to the database.
    ///
    /// # Errors
    /// When the database cannot be written. What was counted waits, and is added by a later call.
    pub async fn flush(&self) -> Result<(), Fault> {
        let mut leaving = self.0.leaving.lock().await;
        // What could not be added goes first and as it is: its number says whether it was added after all.
        self.send(&mut leaving).await?;
        self.gather(&mut leaving);
        self.send(&mut leaving).await
    }

    fn gather(&self, leaving: &mut Leaving) {
        let mut all: HashMap<Key, Counts> = HashMap::new();
        for shard in &self.0.shards {
            let keys = std::mem::take(&mut *shard.0.lock().unwrap_or_else(PoisonError::into_inner));
            for (key, counts) in keys {
                all.entry(key).or_default().add(&counts);
            }
        }
        gauge!("portcullis_usage_keys").set(all.len() as f64);
        let mut rows: Vec<UsageRow> = all.iter().map(|(key, counts)| key.row(counts)).collect();
        // In the order of the table: neighbours lie on one page.
        rows.sort_unstable_by(|one, other| one.place().cmp(&other.place()));
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(BATCH));
            leaving.last_number += 1;
            leaving.batches.push_back(Batch { number: leaving.last_number, rows: std::mem::replace(&mut rows, rest) });
        }
    }

    async fn send(&self, leaving: &mut Leaving) -> Result<(), Fault> {
        while let Some(batch) = leaving.batches.front() {
            let mut tx = self.0.store.begin().await?;
            table::add(&mut tx, &self.0.process, batch.number, &batch.rows, self.0.clock.now()).await?;
            tx.commit().await?;
            counter!("portcullis_usage_rows_written_total").increment(batch.rows.len() as u64);
            leaving.batches.pop_front();
        }
        Ok(())
    }

    /// Adds what was counted every few seconds until the server drains.
    pub async fn run(self, draining: CancellationToken) {
        let mut flush = tokio::time::interval(FLUSH_PERIOD);
        let mut prune = tokio::time::interval(PRUNE_PERIOD);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        prune.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let done = tokio::select! {
                () = draining.cancelled() => return,
                _ = flush.tick() => self.flush().await,
                _ = prune.tick() => self.prune(&draining).await,
            };
            match done {
                Ok(()) => failing = false,
                Err(fault) => {
                    if !failing {
                        tracing::warn!(fault = fault.inside(), "usage cannot be written; it waits in memory");
                    }
                    failing = true;
                }
            }
        }
    }

    /// Removes what is older than the retention, and the oldest hours of a table that is too large.
    async fn prune(&self, draining: &CancellationToken) -> Result<(), Fault> {
        let now = self.0.clock.now().0;
        let before = now.saturating_sub(i64::from(self.0.settings.retention_days).saturating_mul(DAY_SECONDS));
        while !draining.is_cancelled() && self.remove(Some(before)).await? {}
        let rows = table::count(&self.0.store).await?;
        let mut excess = rows.saturating_sub(u64::from(self.0.settings.rows_max));
        gauge!("portcullis_usage_rows").set(rows as f64);
        if excess > 0 {
            let rows_max = self.0.settings.rows_max;
            tracing::error!(rows, rows_max, "usage has more rows than usage.rows_max: the oldest hours are removed");
            counter!("portcullis_usage_rows_removed_early_total").increment(excess);
        }
        while excess > 0 && !draining.is_cancelled() && self.remove(None).await? {
            excess = excess.saturating_sub(table::PRUNE_MAX.into());
        }
        let mut tx = self.0.store.begin().await?;
        table::forget_batches(&mut tx, UnixSeconds(now.saturating_sub(BATCH_MEMORY_SECONDS))).await?;
        tx.commit().await
    }

    /// A part of what is older than `before`, or of the oldest; `false` when there was nothing.
    async fn remove(&self, before: Option<i64>) -> Result<bool, Fault> {
        let mut tx = self.0.store.begin().await?;
        let removed = table::prune(&mut tx, before.map(UnixSeconds)).await?;
        tx.commit().await?;
        Ok(removed > 0)
    }
}

/// The beginning of the hour of an instant.
pub fn hour_of(instant: UnixSeconds) -> i64 {
    instant.0 - instant.0.rem_euclid(HOUR_SECONDS)
}

fn shard_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
    }
    SHARD.with(Cell::get)
}

#[cfg(test)]
mod tests;
