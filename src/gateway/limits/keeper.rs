//! Keeps the buckets of throttles through restarts: nobody gains a burst by our stopping, however we stop.
//!
//! Each second what changed goes to the database, as instants of the wall clock, and once more when the server ends in order. After a
//! crash, what was in use since the last save counts as spent (see [`super::activity`]); the rest is what was saved.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::activity::{self, Activity, GROUPS};
use super::buckets::{Buckets, Key};
use super::throttles::{Moment, Throttles};
use crate::failure::Fault;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::store::throttle::{self as table, BucketRow, GroupRow, RunRow};

const SAVE_PERIOD: Duration = Duration::from_secs(1);
/// Buckets in one transaction: an issuance that comes meanwhile waits for one of them at most.
const BATCH: usize = 10_000;
/// In the data folder.
const ACTIVITY_FILE: &str = "throttle-activity";

/// See the module.
pub struct Keeper {
    throttles: Arc<Throttles>,
    snapshot: Arc<Snapshot>,
    store: Store,
    run: i64,
    /// One save at a time; which part of the table is pruned next.
    part: Mutex<i64>,
}

impl Keeper {
    /// Puts back what the last process saved, and begins to keep what this one counts. Before the first request.
    pub async fn open(
        throttles: Arc<Throttles>,
        snapshot: Arc<Snapshot>,
        store: Store,
        data: &Path,
    ) -> Result<Self, Fault> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| Fault::new("no randomness for the name of a run"))?;
        let run = i64::from_le_bytes(random);
        let path = data.join(ACTIVITY_FILE);
        let moment = throttles.moment();
        let groups = Self::restore(&throttles, &store, &path, moment).await?;
        let rows: Vec<GroupRow> = (0..)
            .zip(&groups)
            .filter(|(_, spent_at)| **spent_at != NEVER)
            .map(|(bucket_group, spent_at)| GroupRow { bucket_group, spent_at: *spent_at })
            .collect();
        let mut tx = store.begin().await?;
        table::put_groups(&mut tx, &rows).await?;
        let row = RunRow { run, saved_nanos: signed(moment.nanos), saved_at: moment.wall, stopped: false };
        table::begin_run(&mut tx, &row).await?;
        tx.commit().await?;
        let activity = Self::begin_activity(path, run).await?;
        let groups = groups.into_iter().map(|at| if at == NEVER { 0 } else { moment.instant_of(at) }).collect();
        throttles.keep_with(activity, if rows.is_empty() { None } else { Some(groups) });
        Ok(Self { throttles, snapshot, store, run, part: Mutex::new(0) })
    }

    /// The buckets as they were saved; returns when each group counts as spent, by the wall's clock.
    async fn restore(throttles: &Throttles, store: &Store, path: &Path, moment: Moment) -> Result<Vec<i64>, Fault> {
        for row in table::live(store, moment.wall).await? {
            let key = Key(row.key_high.cast_unsigned(), row.key_low.cast_unsigned());
            throttles.restore(key, moment.instant_of(row.whole_at));
        }
        let mut groups = vec![NEVER; GROUPS];
        for row in table::groups(store).await? {
            if let Some(spent_at) = usize::try_from(row.bucket_group).ok().and_then(|group| groups.get_mut(group)) {
                *spent_at = row.spent_at;
            }
        }
        let Some(last) = table::run(store).await?.filter(|last| !last.stopped) else { return Ok(groups) };
        match activity::read(path, last.run) {
            None => {
                tracing::warn!(
                    "the last process did not end in order, and nothing tells whose throttles it counted: all of them begin spent"
                );
                groups.fill(moment.wall);
            }
            Some(cells) => {
                let mut count = 0;
                for (spent_at, until) in groups.iter_mut().zip(cells) {
                    let since = until.map_or(0, |until| signed(until).saturating_sub(last.saved_nanos));
                    if since > 0 {
                        *spent_at = last.saved_at.saturating_add(since).min(moment.wall).max(*spent_at);
                        count += 1;
                    }
                }
                tracing::warn!(
                    groups = count,
                    of = GROUPS,
                    "the last process did not end in order: what was in use in its last second begins spent"
                );
            }
        }
        Ok(groups)
    }

    async fn begin_activity(path: PathBuf, run: i64) -> Result<Activity, Fault> {
        let shown = path.display().to_string();
        let created = tokio::task::spawn_blocking(move || Activity::create(&path, run)).await;
        let created = created.map_err(|error| Fault::new(format!("writing {shown}: {error}")))?;
        created.map_err(|error| Fault::new(format!("writing {shown}: {error}")))
    }

    /// Saves each second until the server drains.
    pub async fn run(self: Arc<Self>, draining: CancellationToken) {
        let mut period = tokio::time::interval(SAVE_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = draining.cancelled() => return,
                _ = period.tick() => {}
            }
            match self.save(false).await {
                Ok(true) => failing = false,
                Ok(false) => {
                    tracing::error!("another process keeps the throttles of this folder; this one saves no more");
                    return;
                }
                Err(fault) => {
                    counter!("portcullis_throttle_save_failures_total").increment(1);
                    if !failing {
                        tracing::error!(fault = fault.inside(), "the state of the throttles could not be saved");
                    }
                    failing = true;
                }
            }
            gauge!("portcullis_throttle_buckets").set(self.throttles.len() as f64);
        }
    }

    /// Saves what changed. `stopped`: it is the last time, and nobody is served any more. `false`: the table is another process's.
    pub async fn save(&self, stopped: bool) -> Result<bool, Fault> {
        let mut part = self.part.lock().await;
        // Before anything is read: what is counted from here on may be missing.
        let moment = self.throttles.moment();
        let (mut batch, mut any) = (Vec::new(), false);
        for shard in 0..Buckets::shard_count() {
            any |= self.throttles.collect(shard, moment.now, &mut batch);
            if batch.len() >= BATCH {
                if !self.write(&mut batch, moment, None).await? {
                    return Ok(false);
                }
                tokio::task::yield_now().await;
            }
        }
        let retired = self.retire_groups(moment).await?;
        if !any && !stopped && !retired {
            return Ok(true);
        }
        *part = (*part + 1) % table::PRUNE_PARTS;
        self.write(&mut batch, moment, Some((stopped, *part))).await
    }

    /// One transaction; the last one of a save says that everything is there. What could not be written is collected again.
    async fn write(
        &self,
        batch: &mut Vec<(Key, u64)>,
        moment: Moment,
        last: Option<(bool, i64)>,
    ) -> Result<bool, Fault> {
        let written = self.try_write(batch, moment, last).await;
        if written.is_err() {
            batch.iter().for_each(|(key, _)| self.throttles.changed(*key));
        }
        batch.clear();
        written
    }

    async fn try_write(&self, batch: &[(Key, u64)], moment: Moment, last: Option<(bool, i64)>) -> Result<bool, Fault> {
        let rows: Vec<BucketRow> = batch
            .iter()
            .map(|(key, tat)| BucketRow {
                key_high: key.0.cast_signed(),
                key_low: key.1.cast_signed(),
                whole_at: moment.wall_of(*tat),
            })
            .collect();
        let mut tx = self.store.begin().await?;
        if !table::run(&mut tx).await?.is_some_and(|row| row.run == self.run) {
            return Ok(false);
        }
        table::put(&mut tx, &rows).await?;
        if let Some((stopped, part)) = last {
            table::prune(&mut tx, part, moment.wall).await?;
            let row = RunRow { run: self.run, saved_nanos: signed(moment.nanos), saved_at: moment.wall, stopped };
            table::saved(&mut tx, &row).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets what a crash left open, once every throttle of the policy has earned its burst since.
    async fn retire_groups(&self, moment: Moment) -> Result<bool, Fault> {
        let Some(spent_at) = self.throttles.groups_spent_at() else { return Ok(false) };
        let longest = self.snapshot.policy().policy.longest_fill_nanos();
        if moment.now.saturating_sub(spent_at) <= longest {
            return Ok(false);
        }
        let mut tx = self.store.begin().await?;
        table::put_groups(&mut tx, &[]).await?;
        tx.commit().await?;
        self.throttles.forget_groups();
        Ok(true)
    }
}

/// No instant of the wall clock.
const NEVER: i64 = i64::MIN;

fn signed(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
