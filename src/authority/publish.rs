//! The revocation lists (RFC 5280 §5), for relying parties other than the gate: the gate itself asks its register.
//!
//! An authority has a complete list, and where its revocations are divided, one for each partition besides. A list is signed soon
//! after each revocation and at half of its life, whether anything was revoked or not: a list that lapses makes every careful
//! client refuse every certificate. It is written outside any transaction, so that a long one delays no revocation; the number
//! is then taken and the list put in force in one.

mod due;
mod list;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use pki::KeyId;
use policies::UnixSeconds;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(super) use due::{ListName, Scope};

use due::Due;

use super::distribute::{Exhibit, Listing, Shelf};
use super::issuer::{Issuer, Issuers};
use super::{Authority, IssuerKind, IssuerState};
use crate::failure::{Failure, Fault};
use crate::store::crl::CrlRow;
use crate::store::{self, Store};
use list::{Plan, Written};

/// Shorter, and clients whose clock is behind would refuse each list.
pub const CRL_LIFETIME_SECONDS_MIN: u32 = 600;
/// More of them, and keeping them all fresh is work that no reader has asked for.
pub const CRL_PARTITIONS_MAX: u32 = 256;
/// The root signs its list by hand, once a year.
pub(super) const ROOT_CRL_LIFETIME_SECONDS: u32 = 365 * 86_400;
/// From then on the log asks for the root's next list.
const ROOT_CRL_WARNING_SECONDS: i64 = 30 * 86_400;
/// Several revocations at once make one list.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long a revocation's answer waits for its list.
const PROMPT: Duration = Duration::from_secs(1);
/// However far the next list is, the clock is looked at so often: it may have been set, or the machine have slept.
const CLOCK_CHECK: Duration = Duration::from_secs(60);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A list that takes longer than this rests for [`REST_FACTOR`] times as long: with a million entries, a revocation a second must
/// not keep a processor busy with nothing but lists.
const QUICK: Duration = Duration::from_millis(250);
const REST_FACTOR: u32 = 3;
const REST_MAX: Duration = Duration::from_secs(30);
/// Another node that publishes at the same time takes the number; the list is then made again from what that one left.
const ATTEMPTS_MAX: u32 = 5;
/// How long a request that is sent again is recognised.
const IDEMPOTENCY_KEPT_SECONDS: i64 = 7 * 86_400;
/// Pieces of a list that nobody has finished in this time are left from a crash.
const UNFINISHED_SECONDS: i64 = 3600;

/// What was published, and what waits to be.
pub(super) struct Publisher {
    newest: RwLock<BTreeMap<ListName, Arc<Published>>>,
    due: Mutex<Due>,
    /// Lists that take long, and until when they rest, on the clock's monotonic scale.
    resting: Mutex<BTreeMap<ListName, u64>>,
    nudged: Notify,
    /// One list at a time on this node: two would race for a number.
    turn: tokio::sync::Mutex<()>,
}

/// A published list, and its octets where they are few.
pub(super) struct Published {
    pub(super) row: CrlRow,
    pub(super) kept: Option<Bytes>,
}

/// How a round of publishing went.
pub(super) struct Round {
    /// Something failed and waits for the next try.
    failed: bool,
    /// Something is due and rests until then, on the clock's monotonic scale.
    again_at_nanos: Option<u64>,
}

impl Publisher {
    /// Takes up the lists that were published before.
    pub(super) async fn open(store: &Store, issuers: &Issuers) -> Result<Self, Fault> {
        let publisher = Self {
            newest: RwLock::default(),
            due: Mutex::default(),
            resting: Mutex::default(),
            nudged: Notify::new(),
            turn: tokio::sync::Mutex::default(),
        };
        publisher.take_up(store, issuers).await?;
        Ok(publisher)
    }

    /// Takes up the lists of authorities that are not known yet.
    pub(super) async fn take_up(&self, store: &Store, issuers: &Issuers) -> Result<(), Fault> {
        for issuer in issuers.all() {
            if self.newest(&issuer.key_id).is_some() {
                continue;
            }
            self.read(store, &issuer.key_id).await?;
        }
        Ok(())
    }

    /// Takes up the lists of this authority that were published by others.
    pub(super) async fn read(&self, store: &Store, issuer: &KeyId) -> Result<(), Fault> {
        for row in store::crl::of_issuer(store, &issuer.to_string()).await? {
            let name = ListName::new(issuer, Scope::of_row(row.scope)?);
            let kept = list::keep(store, &row).await?;
            measure(&row);
            self.remember(name, Arc::new(Published { row, kept }));
        }
        Ok(())
    }

    /// The newest complete list of an authority.
    pub(super) fn newest(&self, issuer: &KeyId) -> Option<Arc<Published>> {
        self.list(&ListName::new(issuer, Scope::Complete))
    }

    /// Of an authority's lists, the one that ends first.
    pub(super) fn first_to_end(&self, issuer: &KeyId) -> Option<Arc<Published>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        let of_issuer = newest.iter().filter(|(name, _)| name.issuer == *issuer);
        of_issuer.min_by_key(|(_, list)| list.row.next_update).map(|(_, list)| Arc::clone(list))
    }

    /// Says that all lists of these authorities are out of date.
    pub(super) fn nudge<'a>(&self, issuers: impl IntoIterator<Item = &'a KeyId>) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        issuers.into_iter().for_each(|issuer| due.add_all(issuer));
        drop(due);
        self.nudged.notify_one();
    }

    /// Says that something was revoked in these partitions.
    pub(super) fn nudge_partitions<'a>(&self, places: impl IntoIterator<Item = (&'a KeyId, u32)>) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        places.into_iter().for_each(|(issuer, partition)| due.add(issuer, partition));
        drop(due);
        self.nudged.notify_one();
    }

    /// What is laid out for others to fetch.
    pub(super) fn shelf(&self, issuers: &Issuers) -> Shelf {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        let exhibit = |issuer: &Issuer| Exhibit {
            key_id: issuer.key_id.clone(),
            is_root: issuer.kind == IssuerKind::Root && issuer.is_trusted(),
            certificate_der: issuer.certificate_der.clone(),
            created_at: issuer.created_at,
            lists: issuer
                .list_scopes()
                .filter_map(|scope| {
                    let published = newest.get(&ListName::new(&issuer.key_id, scope))?;
                    Some((scope, Listing::from(&**published)))
                })
                .collect(),
        };
        // The active root first, as everywhere.
        let mut all: Vec<_> = issuers.all().iter().collect();
        all.sort_by_key(|issuer| (issuer.kind != IssuerKind::Root, issuer.state != IssuerState::Active));
        Shelf::new(all.into_iter().map(|issuer| exhibit(issuer)))
    }

    fn list(&self, name: &ListName) -> Option<Arc<Published>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn take_due(&self) -> Due {
        std::mem::take(&mut self.due.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, name: &ListName) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).add_list(name);
    }

    fn remember(&self, name: ListName, list: Arc<Published>) {
        self.newest.write().unwrap_or_else(PoisonError::into_inner).insert(name, list);
    }

    fn rests_until(&self, name: &ListName, now_nanos: u64) -> Option<u64> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.get(name).copied().filter(|until| *until > now_nanos)
    }

    pub(super) fn rest(&self, name: ListName, took: Duration, now_nanos: u64) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        match took > QUICK {
            true => {
                let rest = (took * REST_FACTOR).min(REST_MAX);
                resting.insert(name, now_nanos.saturating_add(u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX)));
            }
            false => _ = resting.remove(&name),
        }
    }

    fn half_life(&self, name: &ListName) -> UnixSeconds {
        let half = |list: Arc<Published>| list.row.this_update + (list.row.next_update - list.row.this_update) / 2;
        UnixSeconds(self.list(name).map_or(0, half))
    }
}

impl Authority {
    /// Publishes lists when they are due, until `shutdown`. Spawn it once; without it revocations are in force here, but nobody
    /// else hears of them.
    pub async fn run_publisher(self, shutdown: CancellationToken) {
        self.warn_of_old_root_list();
        self.housekeeping(self.inner.clock.now()).await;
        let mut retry = RETRY_MIN;
        let mut again_at_nanos = None;
        loop {
            let left = |at: u64| Duration::from_nanos(at.saturating_sub(self.inner.clock.monotonic_nanos()));
            let pause = again_at_nanos.map_or(CLOCK_CHECK, left).min(self.until_half_life());
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.inner.publisher.nudged.notified() => tokio::time::sleep(DEBOUNCE).await,
                () = tokio::time::sleep(pause) => {}
            }
            let round = self.publish_due().await;
            again_at_nanos = round.again_at_nanos;
            if !round.failed {
                retry = RETRY_MIN;
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(retry) => {}
            }
            retry = (retry * 2).min(RETRY_MAX);
            self.inner.publisher.nudged.notify_one();
        }
        // What was revoked in the last moments before the end; the next start would publish it too.
        self.publish_due().await;
    }

    /// Publishes what is due now rather than in a moment, so that who has revoked something and then fetches the list finds it
    /// there. A list that takes longer, rests, or fails, is the publisher's to finish.
    pub(super) async fn publish_promptly(&self) {
        let authority = self.clone();
        let publishing = tokio::spawn(async move {
            let round = authority.publish_due().await;
            if round.failed || round.again_at_nanos.is_some() {
                authority.inner.publisher.nudged.notify_one();
            }
        });
        let _ = tokio::time::timeout(PROMPT, publishing).await;
    }

    /// Signs and stores every list anew, and returns when they are served.
    ///
    /// # Errors
    /// The first that could not be made; those before it are published.
    pub async fn publish_now(&self) -> Result<(), Failure> {
        let issuers = self.inner.issuers();
        for name in issuers.lists() {
            self.publish(&issuers, &name).await?;
        }
        Ok(())
    }

    /// Publishes what is due and does not rest.
    pub(super) async fn publish_due(&self) -> Round {
        let publisher = &self.inner.publisher;
        let issuers = self.inner.issuers();
        let taken = publisher.take_due();
        let now = self.inner.clock.now();
        let mut scheduled = false;
        let mut round = Round { failed: false, again_at_nanos: None };
        for issuer in taken.issuers().filter(|issuer| !issuers.signing().any(|signing| signing == *issuer)) {
            tracing::warn!(%issuer, "an authority that has ended can tell nobody of a revocation; the gate refuses it");
        }
        for name in issuers.lists() {
            let at_half_life = publisher.half_life(&name) <= now;
            if !at_half_life && !taken.holds(&name) {
                continue;
            }
            let now_nanos = self.inner.clock.monotonic_nanos();
            if let Some(until) = publisher.rests_until(&name, now_nanos).filter(|_| !at_half_life) {
                publisher.put_back(&name);
                round.again_at_nanos = Some(round.again_at_nanos.map_or(until, |earlier| until.min(earlier)));
                continue;
            }
            scheduled |= at_half_life;
            if let Err(error) = self.publish(&issuers, &name).await {
                round.failed = true;
                metrics::counter!("portcullis_crl_failures_total", "issuer" => name.issuer.to_string()).increment(1);
                tracing::error!(list = %name, %error, "a revocation list could not be published; trying again");
                publisher.put_back(&name);
            }
        }
        if scheduled {
            self.housekeeping(now).await;
        }
        round
    }

    async fn publish(&self, issuers: &Issuers, name: &ListName) -> Result<(), Failure> {
        let issuer = issuers.all().iter().find(|known| known.key_id == name.issuer);
        let issuer = issuer.ok_or_else(|| Fault::new("a list of an unknown authority is due"))?;
        let (signer, lifetime_seconds) = (issuer.signer()?.clone(), self.inner.settings.crl_lifetime_seconds);
        self.publish_with(issuer, name.scope, signer, lifetime_seconds).await?;
        Ok(())
    }

    async fn publish_with(
        &self,
        issuer: &Issuer,
        scope: Scope,
        signer: Arc<pki::Issuer>,
        lifetime_seconds: u32,
    ) -> Result<Arc<Published>, Failure> {
        let _turn = self.inner.publisher.turn.lock().await;
        let started_nanos = self.inner.clock.monotonic_nanos();
        let name = ListName::new(&issuer.key_id, scope);
        let (store, key_id) = (&self.inner.store, issuer.key_id.to_string());
        for _ in 0..ATTEMPTS_MAX {
            // The number is read before the revocations: a list with a higher number never holds less.
            let before = store::issuer::get(store, &key_id).await?;
            let number = before.ok_or_else(|| Fault::new(format!("the authority {key_id} is gone")))?.crl_number + 1;
            let now = self.inner.clock.now();
            let plan = self.plan(issuer, scope, signer.clone(), number, i64::from(lifetime_seconds)).await?;
            let written = list::write(store, plan, now).await?;
            if !self.put_in_force(&key_id, number, &written, now).await? {
                list::forget(store, &written.row.list).await;
                continue;
            }
            let now_nanos = self.inner.clock.monotonic_nanos();
            let took = Duration::from_nanos(now_nanos.saturating_sub(started_nanos));
            let Written { row, kept, .. } = written;
            measure(&row);
            metrics::histogram!("portcullis_crl_publication_seconds").record(took.as_secs_f64());
            let (entries, next_update) = (row.entries, row.next_update);
            tracing::info!(list = %name, number, entries, next_update, ?took, "revocation list published");
            let published = Arc::new(Published { row, kept });
            self.inner.publisher.rest(name.clone(), took, now_nanos);
            self.inner.publisher.remember(name, published.clone());
            self.inner.shelf.store(Arc::new(self.inner.publisher.shelf(&self.inner.issuers())));
            return Ok(published);
        }
        Err(Fault::new(format!("others take every number for the list of {key_id}")).into())
    }

    async fn plan(
        &self,
        issuer: &Issuer,
        scope: Scope,
        signer: Arc<pki::Issuer>,
        number: i64,
        lifetime_seconds: i64,
    ) -> Result<Plan, Failure> {
        let key_id = issuer.key_id.to_string();
        let now = self.inner.clock.now();
        let previous = store::crl::of_scope(&self.inner.store, &key_id, scope.as_row()).await?;
        let previous = previous.map_or(0, |row| row.this_update);
        let not_before = UnixSeconds(previous.max(signer.not_before().unix_timestamp()));
        let (partitions, distribution_point) = match scope {
            // All that the authority issued, so it says of no certificate that it is out of scope.
            Scope::Complete => (0..i64::from(issuer.crl_partitions), None),
            Scope::Partition(partition) => {
                let address = self.inner.settings.crl_address(&issuer.key_id, scope);
                // Without its address it would pass for a list of everything, and set free what the others hold.
                let address = address.ok_or_else(|| Fault::new("a partition without an address"))?;
                (i64::from(partition)..i64::from(partition) + 1, Some(address))
            }
        };
        Ok(Plan {
            signer,
            key_id,
            scope: scope.as_row(),
            partitions,
            terms: list::terms(number, now, lifetime_seconds, distribution_point, not_before)?,
            // RFC 5280 §3.3: an entry stays until one list came out after the certificate's end. Lists that follow a revocation
            // may come seconds apart, so it stays for the life of a list at least.
            ends_from: UnixSeconds(previous.min(now.0 - lifetime_seconds)),
        })
    }

    /// `false` when the number was taken by another.
    async fn put_in_force(
        &self,
        key_id: &str,
        number: i64,
        written: &Written,
        now: UnixSeconds,
    ) -> Result<bool, Failure> {
        let mut tx = self.inner.store.begin().await?;
        if store::issuer::next_crl_number(&mut tx, key_id).await? != number {
            return Ok(false);
        }
        written.complete(&mut tx, now).await?;
        if !store::crl::save(&mut tx, &written.row).await? {
            return Err(
                Fault::new(format!("the list of {key_id} has a higher number than its authority remembers")).into()
            );
        }
        tx.commit().await?;
        Ok(true)
    }

    fn until_half_life(&self) -> Duration {
        let now = self.inner.clock.now();
        let publisher = &self.inner.publisher;
        let next = self.inner.issuers().lists().map(|name| publisher.half_life(&name).0.saturating_sub(now.0)).min();
        // One second at least: a list that cannot be made must not keep a processor busy.
        Duration::from_secs(next.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0))
            .clamp(RETRY_MIN, CLOCK_CHECK)
    }

    async fn housekeeping(&self, now: UnixSeconds) {
        self.warn_of_old_root_list();
        let forget = async {
            let mut tx = self.inner.store.begin().await?;
            store::idempotency::prune(&mut tx, UnixSeconds(now.0 - IDEMPOTENCY_KEPT_SECONDS)).await?;
            store::crl::discard_unfinished(&mut tx, UnixSeconds(now.0 - UNFINISHED_SECONDS)).await?;
            tx.commit().await
        };
        if let Err(error) = forget.await {
            tracing::warn!(%error, "old idempotency keys and unfinished lists could not be forgotten");
        }
    }

    fn warn_of_old_root_list(&self) {
        let list = self.inner.publisher.newest(&self.inner.issuers().root().key_id);
        let left = list.map_or(0, |list| list.row.next_update - self.inner.clock.now().0);
        if left < ROOT_CRL_WARNING_SECONDS {
            let days_left = left.div_euclid(86_400);
            tracing::warn!(
                days_left,
                "the root's revocation list ends soon: bring its key, stop the server and run `portcullis ca sign-crl`"
            );
        }
    }
}

fn measure(row: &CrlRow) {
    let issuer = row.issuer_key_id.clone();
    let scope = if row.scope == store::crl::COMPLETE { "complete".to_owned() } else { row.scope.to_string() };
    let labels = [("issuer", issuer), ("scope", scope)];
    metrics::gauge!("portcullis_crl_next_update_seconds", &labels).set(row.next_update as f64);
    metrics::gauge!("portcullis_crl_octets", &labels).set(row.octets as f64);
    metrics::gauge!("portcullis_crl_entries", &labels).set(row.entries.unwrap_or(0) as f64);
}
