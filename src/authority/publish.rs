//! The revocation lists (RFC 5280 §5), for relying parties other than the gate: the gate itself asks its register.
//!
//! A list is signed soon after each revocation and at half of its life, whether anything was revoked or not: a list that lapses
//! makes every careful client refuse every certificate. Signing happens outside any transaction, so that a long list delays no
//! revocation; the number is then taken and the list stored in one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use pki::{CrlRequest, KeyId, RevocationReason, RevokedEntry};
use policies::UnixSeconds;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::distribute::{Exhibit, Shelf};
use super::issuer::{Issuer, Issuers};
use super::{Authority, IssuerKind, ROOT_KEY, instant, off_thread, refused};
use crate::failure::{Failure, Fault};
use crate::registry::Actor;
use crate::store::crl::CrlRow;
use crate::store::revocation::RevocationRow;
use crate::store::{self, Store, stored};

/// Shorter, and clients whose clock is behind would refuse each list.
pub const CRL_LIFETIME_SECONDS_MIN: u32 = 600;
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
/// Another node that publishes at the same time takes the number; the list is then made again from what that one left.
const ATTEMPTS_MAX: u32 = 5;
/// How long a request that is sent again is recognised.
const IDEMPOTENCY_KEPT_SECONDS: i64 = 7 * 86_400;

/// What was published, and what waits to be.
pub(super) struct Publisher {
    newest: RwLock<BTreeMap<KeyId, Arc<CrlRow>>>,
    due: Mutex<BTreeSet<KeyId>>,
    nudged: Notify,
    /// One list at a time on this node: two would race for a number.
    turn: tokio::sync::Mutex<()>,
}

impl Publisher {
    /// Takes up the lists that were published before.
    pub(super) async fn open(store: &Store, issuers: &Issuers) -> Result<Self, Fault> {
        let publisher = Self {
            newest: RwLock::default(),
            due: Mutex::default(),
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
            if let Some(row) = store::crl::get(store, &issuer.key_id.to_string()).await? {
                measure(&row);
                self.remember(&issuer.key_id, Arc::new(row));
            }
        }
        Ok(())
    }

    /// The newest list of an authority.
    pub(super) fn newest(&self, issuer: &KeyId) -> Option<Arc<CrlRow>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned()
    }

    /// Says that these authorities' lists are out of date.
    pub(super) fn nudge<'a>(&self, issuers: impl IntoIterator<Item = &'a KeyId>) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).extend(issuers.into_iter().cloned());
        self.nudged.notify_one();
    }

    /// What is laid out for others to fetch.
    pub(super) fn shelf(&self, issuers: &Issuers) -> Shelf {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        let exhibit = |issuer: &Arc<Issuer>| newest.get(&issuer.key_id).cloned();
        let lists: Vec<_> = issuers.all().iter().map(exhibit).collect();
        let exhibits: Vec<_> = issuers
            .all()
            .iter()
            .zip(&lists)
            .map(|(issuer, list)| Exhibit {
                key_id: &issuer.key_id,
                is_root: issuer.kind == IssuerKind::Root,
                certificate_der: &issuer.certificate_der,
                created_at: issuer.created_at,
                crl: list.as_ref().map(|row| (row.der.as_slice(), UnixSeconds(row.this_update))),
            })
            .collect();
        Shelf::new(&exhibits)
    }

    fn take_due(&self) -> BTreeSet<KeyId> {
        std::mem::take(&mut self.due.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn remember(&self, issuer: &KeyId, row: Arc<CrlRow>) {
        self.newest.write().unwrap_or_else(PoisonError::into_inner).insert(issuer.clone(), row);
    }
}

impl Authority {
    /// Publishes lists when they are due, until `shutdown`. Spawn it once; without it revocations are in force here, but nobody
    /// else hears of them.
    pub async fn run_publisher(self, shutdown: CancellationToken) {
        self.warn_of_old_root_list();
        let mut retry = RETRY_MIN;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.inner.publisher.nudged.notified() => tokio::time::sleep(DEBOUNCE).await,
                () = tokio::time::sleep(self.until_half_life()) => {}
            }
            if self.publish_due().await {
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
    /// there. A list that takes longer, or fails, is the publisher's to finish.
    pub(super) async fn publish_promptly(&self) {
        let authority = self.clone();
        let publishing = tokio::spawn(async move {
            if !authority.publish_due().await {
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
        for issuer in self.inner.issuers().signing() {
            self.publish(issuer).await?;
        }
        Ok(())
    }

    /// The newest list of an authority in DER, by its key id.
    pub fn crl(&self, issuer: &KeyId) -> Option<Vec<u8>> {
        self.inner.publisher.newest(issuer).map(|row| row.der.clone())
    }

    /// Signs the root's list for another year. The root's key file must lie in the keys folder for as long as this takes.
    ///
    /// # Errors
    /// `key_file_missing`, `wrong_passphrase`, `key_file_exposed`.
    pub async fn publish_root(&self, actor: &Actor) -> Result<(), Failure> {
        let issuers = self.inner.issuers();
        let root = issuers.root();
        let key = self.inner.keys.signer(root.key_location.as_deref().unwrap_or(ROOT_KEY)).await?;
        let (certificate, now) = (root.certificate_der.clone(), self.now()?);
        let signer = off_thread("loading the root", move || pki::Issuer::load(&certificate, key, now)).await?;
        let row = self.publish_with(root, Arc::new(signer.map_err(refused)?), ROOT_CRL_LIFETIME_SECONDS).await?;
        let mut tx = self.inner.store.begin().await?;
        let detail = serde_json::json!({ "number": row.number, "next_update": row.next_update });
        actor.record(&mut tx, &self.inner.clock, "authority.root-crl", &root.key_id.to_string(), &detail).await?;
        Ok(tx.commit().await?)
    }

    /// Publishes what is due. `false` when something failed and waits for the next try.
    async fn publish_due(&self) -> bool {
        let mut due = self.inner.publisher.take_due();
        let now = self.inner.clock.now();
        let scheduled: Vec<KeyId> =
            self.inner.issuers().signing().filter(|issuer| self.half_life(issuer) <= now).cloned().collect();
        if !scheduled.is_empty() {
            self.housekeeping(now).await;
        }
        due.extend(scheduled);
        let issuers = self.inner.issuers();
        let signing: BTreeSet<&KeyId> = issuers.signing().collect();
        let mut all = true;
        for issuer in due {
            if !signing.contains(&issuer) {
                tracing::warn!(%issuer, "an authority that has ended can tell nobody of a revocation; the gate refuses it");
                continue;
            }
            if let Err(error) = self.publish(&issuer).await {
                all = false;
                metrics::counter!("portcullis_crl_failures_total", "issuer" => issuer.to_string()).increment(1);
                tracing::error!(%issuer, %error, "a revocation list could not be published; trying again");
                self.inner.publisher.due.lock().unwrap_or_else(PoisonError::into_inner).insert(issuer);
            }
        }
        all
    }

    async fn publish(&self, issuer: &KeyId) -> Result<(), Failure> {
        let issuers = self.inner.issuers();
        let issuer = issuers.all().iter().find(|known| known.key_id == *issuer);
        let issuer = issuer.ok_or_else(|| Fault::new("a list of an unknown authority is due"))?;
        self.publish_with(issuer, issuer.signer()?.clone(), self.inner.settings.crl_lifetime_seconds).await?;
        Ok(())
    }

    async fn publish_with(
        &self,
        issuer: &Issuer,
        signer: Arc<pki::Issuer>,
        lifetime_seconds: u32,
    ) -> Result<Arc<CrlRow>, Failure> {
        let _turn = self.inner.publisher.turn.lock().await;
        let key_id = issuer.key_id.to_string();
        for _ in 0..ATTEMPTS_MAX {
            let before = store::issuer::get(&self.inner.store, &key_id).await?;
            let number = before.ok_or_else(|| Fault::new(format!("the authority {key_id} is gone")))?.crl_number + 1;
            let row = self.sign_list(&key_id, signer.clone(), number, lifetime_seconds).await?;
            let mut tx = self.inner.store.begin().await?;
            if store::issuer::next_crl_number(&mut tx, &key_id).await? != number {
                continue;
            }
            if !store::crl::save(&mut tx, &row).await? {
                return Err(Fault::new(format!(
                    "the list of {key_id} has a higher number than its authority remembers"
                ))
                .into());
            }
            tx.commit().await?;
            measure(&row);
            tracing::info!(issuer = key_id, number, next_update = row.next_update, "revocation list published");
            let row = Arc::new(row);
            self.inner.publisher.remember(&issuer.key_id, row.clone());
            self.inner.shelf.store(Arc::new(self.inner.publisher.shelf(&self.inner.issuers())));
            return Ok(row);
        }
        Err(Fault::new(format!("others take every number for the list of {key_id}")).into())
    }

    /// The number is read before the revocations: a list with a higher number never holds less.
    async fn sign_list(
        &self,
        key_id: &str,
        signer: Arc<pki::Issuer>,
        number: i64,
        lifetime_seconds: u32,
    ) -> Result<CrlRow, Failure> {
        let now = self.inner.clock.now();
        let lifetime_seconds = i64::from(lifetime_seconds);
        let previous = store::crl::get(&self.inner.store, key_id).await?;
        // RFC 5280 §3.3: an entry stays until one list came out after the certificate's end. Lists that follow a revocation
        // may come seconds apart, so it stays for the life of a list at least.
        let ends_from = previous.map_or(0, |row| row.this_update).min(now.0 - lifetime_seconds);
        let mut rows = store::revocation::revoked_unexpired(&self.inner.store, key_id, UnixSeconds(ends_from)).await?;
        rows.extend(store::revocation::orphaned_unexpired(&self.inner.store, key_id, UnixSeconds(ends_from)).await?);
        let request = CrlRequest {
            number: u64::try_from(number).map_err(|_| Fault::new("a negative CRL number"))?,
            this_update: instant(now)?,
            next_update: instant(UnixSeconds(now.0.saturating_add(lifetime_seconds)))?,
            revoked: rows.iter().map(entry).collect::<Result<_, Fault>>()?,
            // One list holds all that the authority issued, so it says of no certificate that it is out of scope.
            distribution_point: None,
        };
        let crl = off_thread("signing a revocation list", move || signer.sign_crl(request)).await?.map_err(refused)?;
        Ok(CrlRow {
            issuer_key_id: key_id.to_owned(),
            number,
            this_update: crl.this_update.unix_timestamp(),
            next_update: crl.next_update.unix_timestamp(),
            der: crl.der,
        })
    }

    fn until_half_life(&self) -> Duration {
        let now = self.inner.clock.now();
        let next = self.inner.issuers().signing().map(|issuer| self.half_life(issuer).0.saturating_sub(now.0)).min();
        // One second at least: a list that cannot be made must not keep a processor busy.
        Duration::from_secs(next.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0))
            .clamp(RETRY_MIN, CLOCK_CHECK)
    }

    fn half_life(&self, issuer: &KeyId) -> UnixSeconds {
        let half = |row: Arc<CrlRow>| row.this_update + (row.next_update - row.this_update) / 2;
        UnixSeconds(self.inner.publisher.newest(issuer).map_or(0, half))
    }

    async fn housekeeping(&self, now: UnixSeconds) {
        self.warn_of_old_root_list();
        let forget = async {
            let mut tx = self.inner.store.begin().await?;
            store::idempotency::prune(&mut tx, UnixSeconds(now.0 - IDEMPOTENCY_KEPT_SECONDS)).await?;
            tx.commit().await
        };
        if let Err(error) = forget.await {
            tracing::warn!(%error, "old idempotency keys could not be forgotten");
        }
    }

    fn warn_of_old_root_list(&self) {
        let list = self.inner.publisher.newest(&self.inner.issuers().root().key_id);
        let left = list.map_or(0, |row| row.next_update - self.inner.clock.now().0);
        if left < ROOT_CRL_WARNING_SECONDS {
            let days_left = left.div_euclid(86_400);
            tracing::warn!(
                days_left,
                "the root's revocation list ends soon: bring its key, stop the server and run `portcullis ca sign-crl`"
            );
        }
    }
}

fn entry(row: &RevocationRow) -> Result<RevokedEntry, Fault> {
    Ok(RevokedEntry {
        serial: stored("serial", &row.serial)?,
        revoked_at: instant(UnixSeconds(row.revoked_at))?,
        // A reason that cannot be read revokes all the same.
        reason: row.reason.parse().unwrap_or(RevocationReason::Unspecified),
    })
}

fn measure(row: &CrlRow) {
    let issuer = row.issuer_key_id.clone();
    metrics::gauge!("portcullis_crl_next_update_seconds", "issuer" => issuer).set(row.next_update as f64);
}
