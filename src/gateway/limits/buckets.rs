//! The buckets of the throttles: a map of instants.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use policies::Gcra;

/// Enough that two requests at once seldom meet in one.
const SHARDS: usize = 256;
/// When there are as many buckets as there may be, those that would be new share this many for each throttle.
const SHARED_BUCKETS: u64 = 1024;
/// Set in a TAT that was changed since it was last [collected](Buckets::collect). TATs are far below it: 2^63 ns are 292 years.
const CHANGED: u64 = 1 << 63;

/// What names a bucket: 128 bits of a keyed hash, so that all are of one size and nothing is allocated to look one up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) u64, pub(super) u64);

impl Key {
    fn shard(self) -> usize {
        (self.0 % SHARDS as u64) as usize
    }

    /// The bucket that is shared when there is no room for one of its own. The terms are part of it: a bucket that is counted now by
    /// one plan and now by another would forget what the larger one took.
    fn shared(self, terms: Gcra) -> Self {
        Self(self.1 % SHARED_BUCKETS, terms.interval_nanos() ^ terms.fill_nanos().rotate_left(32))
    }
}

/// One subject's bucket, 24 bytes.
#[derive(Debug)]
struct Bucket {
    tat: AtomicU64,
    /// What it was last counted by; `None`: it comes from before the start, and by what is not known yet.
    terms: Option<Gcra>,
}

/// Keys are hashes already.
#[derive(Clone, Copy, Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, part: u64) {
        // Of two parts the second is kept: the first chose the shard.
        self.0 = part;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Shard = HashMap<Key, Bucket, BuildHasherDefault<Unhashed>>;

/// All buckets. Instants are nanoseconds of the monotonic clock.
///
/// A bucket is forgotten only when it is whole again. Whoever forgets it earlier hands out a second burst.
pub(super) struct Buckets {
    shards: Box<[RwLock<Shard>]>,
    count: AtomicUsize,
    count_max: usize,
}

impl Buckets {
    pub(super) fn new(count_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, count: AtomicUsize::new(0), count_max }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether new buckets have to share.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.count_max
    }

    /// The TAT as `terms` see it at `now`. A bucket that is not there is as `start` says.
    pub(super) fn peek(&self, key: Key, terms: Gcra, now: u64, start: impl Fn() -> u64) -> u64 {
        let look = |key: Key| {
            let shard = self.read(key);
            shard.get(&key).map(|bucket| bucket.seen_by(terms, now, &start))
        };
        let found = look(key).or_else(|| if self.is_full() { look(key.shared(terms)) } else { None });
        found.unwrap_or_else(start)
    }

    /// Takes one request: the TAT that it leaves, or how long to wait.
    pub(super) fn take(&self, key: Key, terms: Gcra, now: u64, start: impl Fn() -> u64) -> Result<u64, u64> {
        self.with(key, terms, now, start, |tat| take(tat, terms, now))
    }

    /// Gives back what was taken and not served.
    pub(super) fn give_back(&self, key: Key, terms: Gcra, now: u64, start: impl Fn() -> u64) {
        self.with(key, terms, now, start, |tat| {
            let back = |seen: u64| Some(terms.give_back(seen & !CHANGED) | CHANGED);
            _ = tat.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
        });
    }

    /// Puts a bucket back that was saved. Never lowers one that is there.
    pub(super) fn restore(&self, key: Key, tat: u64) {
        let mut shard = self.write(key);
        let bucket = shard.entry(key).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Bucket { tat: AtomicU64::new(0), terms: None }
        });
        let tat = tat.max(*bucket.tat.get_mut() & !CHANGED);
        *bucket.tat.get_mut() = tat;
    }

    /// Forgets the buckets that are whole at `now`, and gives memory back when most of it is free.
    pub(super) fn sweep(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = shard.len();
            shard.retain(|_, bucket| *bucket.tat.get_mut() & !CHANGED > now);
            self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
        }
    }

    /// Hands over, shard by shard, the buckets that were changed since the last time and are not whole; says whether any was changed.
    pub(super) fn collect(&self, shard: usize, now: u64, changed: &mut Vec<(Key, u64)>) -> bool {
        let Some(shard) = self.shards.get(shard) else { return false };
        let mut any = false;
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        for (key, bucket) in shard.iter() {
            let seen = bucket.tat.load(Ordering::Relaxed);
            if seen & CHANGED != 0 {
                any = true;
                // What is taken between the two sets the mark again.
                let tat = bucket.tat.fetch_and(!CHANGED, Ordering::SeqCst) & !CHANGED;
                if tat > now {
                    changed.push((*key, tat));
                }
            }
        }
        any
    }

    /// Marks a bucket that was collected and could not be saved.
    pub(super) fn changed(&self, key: Key) {
        if let Some(bucket) = self.read(key).get(&key) {
            bucket.tat.fetch_or(CHANGED, Ordering::Relaxed);
        }
    }

    pub(super) const fn shard_count() -> usize {
        SHARDS
    }

    fn with<R>(&self, key: Key, terms: Gcra, now: u64, start: impl Fn() -> u64, act: impl Fn(&AtomicU64) -> R) -> R {
        {
            let shard = self.read(key);
            if let Some(bucket) = shard.get(&key)
                && bucket.terms == Some(terms)
            {
                return act(&bucket.tat);
            }
        }
        let mut shard = self.write(key);
        if self.is_full() && !shard.contains_key(&key) && key != key.shared(terms) {
            // Neither another one's bucket nor a new burst: coarser, and still a limit.
            drop(shard);
            metrics::counter!("portcullis_throttle_buckets_shared_total").increment(1);
            return self.with(key.shared(terms), terms, now, start, act);
        }
        let bucket = shard.entry(key).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Bucket { tat: AtomicU64::new(start()), terms: Some(terms) }
        });
        if bucket.terms != Some(terms) {
            let tat = bucket.seen_by(terms, now, start);
            *bucket.tat.get_mut() = tat | CHANGED;
            bucket.terms = Some(terms);
        }
        act(&bucket.tat)
    }

    fn read(&self, key: Key) -> RwLockReadGuard<'_, Shard> {
        self.shards[key.shard()].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: Key) -> RwLockWriteGuard<'_, Shard> {
        self.shards[key.shard()].write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn seen_by(&self, terms: Gcra, now: u64, start: impl Fn() -> u64) -> u64 {
        let tat = self.tat.load(Ordering::Relaxed) & !CHANGED;
        match self.terms {
            Some(own) if own == terms => tat,
            Some(own) => terms.carried_over(tat, own, now),
            None => terms.clamp(tat.max(start()), now),
        }
    }
}

/// Compare and swap until nobody was in between: two requests never take one place.
fn take(tat: &AtomicU64, terms: Gcra, now: u64) -> Result<u64, u64> {
    let mut seen = tat.load(Ordering::Relaxed);
    loop {
        let next = terms.take(seen & !CHANGED, now)?;
        match tat.compare_exchange_weak(seen, next | CHANGED, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => return Ok(next),
            Err(current) => seen = current,
        }
    }
}
