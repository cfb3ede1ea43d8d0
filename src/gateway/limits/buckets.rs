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

    /// Acts on the bucket, which is made where it is not there.
    fn with<R>(&self, key: Key, terms: Gcra, now: u64, start: impl Fn() -> u64, act: impl Fn(&AtomicU64) -> R) -> R {
        {
            let shard = self.read(key);
            if let Some(bucket) = shard.get(&key)
                && bucket.terms == Some(terms)
            {
                return act(&bucket.tat);
            }
        }
        if self.is_full() && !self.read(key).contains_key(&key) {
            // Neither another one's place nor a new burst: coarser, and still a limit.
            metrics::counter!("portcullis_throttle_buckets_shared_total").increment(1);
            return self.with_new(key.shared(terms), terms, now, start, act);
        }
        self.with_new(key, terms, now, start, act)
    }

    fn with_new<R>(
        &self,
        key: Key,
        terms: Gcra,
        now: u64,
        start: impl Fn() -> u64,
        act: impl Fn(&AtomicU64) -> R,
    ) -> R {
        let mut shard = self.write(key);
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

#[cfg(test)]
mod tests {
    use policies::Throttle;

    use super::*;

    const NOW: u64 = 1 << 61;

    fn terms(rate: f64, burst: u32) -> Gcra {
        Gcra::of(Throttle::new(rate, burst).unwrap())
    }

    fn passes(buckets: &Buckets, key: Key, terms: Gcra, now: u64) -> u32 {
        (0..1_000).take_while(|_| buckets.take(key, terms, now, || 0).is_ok()).count() as u32
    }

    #[test]
    fn many_at_once_take_what_there_is_and_no_more() {
        let (buckets, terms) = (Buckets::new(100), terms(0.001, 5_000));
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if buckets.take(Key(1, 2), terms, NOW, || 0).is_ok() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 5_000);
        assert_eq!(terms.remaining(buckets.peek(Key(1, 2), terms, NOW, || 0), NOW), 0);
    }

    #[test]
    fn when_there_is_no_room_new_ones_share_and_no_live_one_is_lost() {
        let (buckets, terms) = (Buckets::new(2), terms(0.001, 3));
        for key in [Key(1, 1), Key(2, 2)] {
            assert_eq!(passes(&buckets, key, terms, NOW), 3);
        }
        assert!(buckets.is_full());
        let together: u32 = (0..10_000).map(|number| passes(&buckets, Key(number, 3 + number), terms, NOW)).sum();
        assert!((3..=3 * SHARED_BUCKETS as u32).contains(&together), "{together}");
        assert!(buckets.len() <= 2 + SHARED_BUCKETS as usize);
        for key in [Key(1, 1), Key(2, 2)] {
            assert_eq!(passes(&buckets, key, terms, NOW), 0, "{key:?} is as spent as before");
        }
        let whole = NOW + terms.fill_nanos();
        buckets.sweep(whole - 1);
        assert!(buckets.is_full(), "none of them is whole yet");
        buckets.sweep(whole);
        assert_eq!(buckets.len(), 0);
        assert_eq!(passes(&buckets, Key(9, 9), terms, whole), 3);
    }

    #[test]
    fn what_changed_is_collected_once() {
        let (buckets, terms) = (Buckets::new(100), terms(1.0, 3));
        let collect = |now| {
            let mut changed = Vec::new();
            let any = (0..SHARDS).fold(false, |any, shard| any | buckets.collect(shard, now, &mut changed));
            (any, changed)
        };
        buckets.take(Key(1, 1), terms, NOW, || 0).unwrap();
        let tat = NOW + terms.interval_nanos();
        assert_eq!(collect(NOW), (true, vec![(Key(1, 1), tat)]));
        assert_eq!(collect(NOW), (false, vec![]));
        buckets.changed(Key(1, 1));
        assert_eq!(collect(NOW), (true, vec![(Key(1, 1), tat)]), "what could not be saved comes again");
        buckets.give_back(Key(1, 1), terms, NOW, || 0);
        assert_eq!(collect(NOW), (true, vec![]), "a whole bucket needs no row");
    }

    #[test]
    fn what_comes_from_before_the_start_is_no_further_off_than_a_spent_bucket() {
        let (buckets, terms) = (Buckets::new(100), terms(1.0, 3));
        buckets.restore(Key(1, 1), NOW + 2 * terms.interval_nanos());
        assert_eq!(passes(&buckets, Key(1, 1), terms, NOW), 1);
        buckets.restore(Key(2, 2), NOW << 1);
        assert_eq!(buckets.take(Key(2, 2), terms, NOW, || 0), Err(terms.interval_nanos()), "the clock was set back");
        buckets.restore(Key(3, 3), NOW + 1);
        let crashed = || terms.spent_at(NOW);
        assert!(buckets.take(Key(3, 3), terms, NOW, crashed).is_err(), "and a crash may say more than was saved");
        assert!(buckets.take(Key(4, 4), terms, NOW, crashed).is_err());
    }
}
