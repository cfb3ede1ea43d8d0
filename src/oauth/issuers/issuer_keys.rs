//! The keys of one issuer, as fresh as they can be had without letting strangers decide how often we ask for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, Semaphore};

use super::FetchLimiter;
use super::jwks_client::JwksClient;
use super::key_set::KeySet;
use crate::clock::Clock;
use crate::oauth::jwt::{Algorithm, VerificationKey};

/// Keys older than this are fetched again, in the background.
const REFRESH_NANOS: u64 = 3600 * 1_000_000_000;
/// How long after a fetch that brought nothing the next one of [`REFRESH_NANOS`] may follow.
const RETRY_NANOS: u64 = 60 * 1_000_000_000;
/// Anybody can write a key name that nobody knows into a token: it makes us ask this often, and no oftener.
const UNKNOWN_KEY_NANOS: u64 = 10 * 1_000_000_000;
/// How many requests may wait for one fetch; the others are refused at once.
const WAITING_MAX: usize = 64;
/// "There was no attempt."
const NEVER: u64 = u64::MAX;

/// What we know of an issuer's keys. Keys that were fetched once stay until a fetch brings others: an issuer that is down, or
/// that somebody keeps us from, does not lock its clients out.
#[derive(Debug)]
pub(in crate::oauth) struct IssuerKeys {
    client: JwksClient,
    clock: Clock,
    fetch_limiter: Arc<FetchLimiter>,
    current: ArcSwapOption<Generation>,
    attempted_at_nanos: AtomicU64,
    succeeded_at_nanos: AtomicU64,
    /// Held by the one fetch that is under way.
    fetching: Mutex<()>,
    waiting: Semaphore,
}

#[derive(Debug)]
struct Generation {
    number: u64,
    set: KeySet,
}

/// A key, and the generation of the set it was found in.
#[derive(Debug)]
pub(in crate::oauth) struct Found {
    pub(in crate::oauth) key: Arc<VerificationKey>,
    pub(in crate::oauth) generation: u64,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::oauth) enum NotFound {
    /// The issuer's set has no such key: the token is bad.
    NoSuchKey,
    /// We have never got a set from this issuer: the fault is not the caller's.
    NoKeysYet,
}

impl IssuerKeys {
    pub(super) fn new(client: JwksClient, clock: Clock, fetch_limiter: Arc<FetchLimiter>) -> Self {
        Self {
            client,
            clock,
            fetch_limiter,
            current: ArcSwapOption::empty(),
            attempted_at_nanos: AtomicU64::new(NEVER),
            succeeded_at_nanos: AtomicU64::new(NEVER),
            fetching: Mutex::new(()),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// Finds the key that a token names, asking the issuer once when it is not known.
    pub(in crate::oauth) async fn find(
        self: &Arc<Self>,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Found, NotFound> {
        if let Some(found) = self.look_up(key_id, algorithm) {
            self.refresh_if_old();
            return Ok(found);
        }
        let under_way = self.fetching.try_lock().is_err();
        let may_ask = under_way || self.since(&self.attempted_at_nanos) >= UNKNOWN_KEY_NANOS;
        if may_ask && let Ok(_waiting) = self.waiting.try_acquire() {
            // A task of its own: a caller that hangs up must not take the fetch down with it, else a stranger who asks and
            // leaves would keep new keys from everybody.
            let fetch = tokio::spawn(Arc::clone(self).fetch_unless_within(UNKNOWN_KEY_NANOS));
            if fetch.await.is_err() {
                tracing::error!("the task that fetches keys ended early");
            }
        }
        self.look_up(key_id, algorithm).ok_or(match self.current.load().as_deref() {
            Some(_) => NotFound::NoSuchKey,
            None => NotFound::NoKeysYet,
        })
    }

    /// Counts up each time the issuer's keys change. 0: there are none.
    pub(in crate::oauth) fn generation(&self) -> u64 {
        self.current.load().as_deref().map_or(0, |generation| generation.number)
    }

    /// Starts a fetch in the background when the keys are old. Whoever asks goes on with those that are there.
    pub(in crate::oauth) fn refresh_if_old(self: &Arc<Self>) {
        let old = self.since(&self.succeeded_at_nanos) >= REFRESH_NANOS;
        if old && self.since(&self.attempted_at_nanos) >= RETRY_NANOS && self.fetching.try_lock().is_ok() {
            drop(tokio::spawn(Arc::clone(self).fetch_unless_within(RETRY_NANOS)));
        }
    }

    fn look_up(&self, key_id: Option<&str>, algorithm: Algorithm) -> Option<Found> {
        let current = self.current.load();
        let generation = current.as_deref()?;
        let key = generation.set.find(key_id, algorithm)?;
        Some(Found { key: Arc::clone(key), generation: generation.number })
    }

    /// One fetch at a time. A fetch ends before the shortest gap does, so that whoever waited for another's takes what that
    /// brought.
    async fn fetch_unless_within(self: Arc<Self>, gap_nanos: u64) {
        let _alone = self.fetching.lock().await;
        if self.since(&self.attempted_at_nanos) < gap_nanos {
            return;
        }
        if self.fetch_limiter.check().is_err() {
            metrics::counter!("portcullis_jwks_fetches_total", "outcome" => "limited").increment(1);
            tracing::warn!("keys of external issuers are asked for too often");
            return;
        }
        self.attempted_at_nanos.store(self.clock.monotonic_nanos(), Ordering::Release);
        let outcome = match self.client.fetch().await.and_then(|body| KeySet::parse(&body)) {
            Ok(set) => {
                self.succeeded_at_nanos.store(self.clock.monotonic_nanos(), Ordering::Release);
                self.take(set);
                "done"
            }
            Err(fault) => {
                tracing::error!(
                    error = fault.inside(),
                    "the keys of an external issuer could not be fetched; those that are known stay"
                );
                "failed"
            }
        };
        metrics::counter!("portcullis_jwks_fetches_total", "outcome" => outcome).increment(1);
    }

    fn take(&self, set: KeySet) {
        let current = self.current.load();
        if current.as_deref().is_some_and(|generation| generation.set.same_document(&set)) {
            return;
        }
        let number = self.generation() + 1;
        self.current.store(Some(Arc::new(Generation { number, set })));
    }

    fn since(&self, instant_nanos: &AtomicU64) -> u64 {
        match instant_nanos.load(Ordering::Acquire) {
            NEVER => u64::MAX,
            instant => self.clock.monotonic_nanos().saturating_sub(instant),
        }
    }
}
