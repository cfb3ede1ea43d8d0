//! What the data plane reads: the policy with its clients, swapped whole, and the credentials, kept up by the `changes` feed.
//! No request waits for the database.
//!
//! The feed is applied in order and by one task at a time. A change only says *look again at this row*, so that applying one
//! twice does no harm, and a row that is newer than its change is simply right earlier.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pki::{KeyId, Serial, Thumbprint};
use tokio::sync::{Mutex, MutexGuard, watch};

pub use self::anchors::{Anchors, CLOCK_SKEW_SECONDS, ForeignIdentity, NotForeign};
pub use self::api_keys::ApiKeyEntry;
pub(crate) use self::api_keys::IMPORTED_ID_PREFIX;
pub use self::certificate::{CertificateEntry, RevocationFact};
pub use self::connections::{Connections, Registration};
pub use self::narrowing::Narrowing;
pub use self::policy_view::{ClientEntry, PolicyView};
pub use self::secret::ClientSecretEntry;
pub use crate::store::certificate::CertificateState;

use self::api_keys::ApiKeys;
use self::certificate::Certificates;
use self::grace::Graces;
use self::issuer::DeniedIssuers;
use self::secret::ClientSecrets;
use crate::clock::Clock;
use crate::failure::Fault;
use crate::store::packet::Portion;
use crate::store::{self, Seq, Store};

mod anchors;
mod api_keys;
mod apply;
mod certificate;
mod connections;
mod grace;
mod issuer;
mod load;
mod narrowing;
mod policy_view;
pub(crate) mod resolve;
mod secret;

/// How many changes are read from the feed at once.
const FEED_BATCH: u32 = 500;

/// The data plane's memory. Shared as `Arc<Snapshot>`; every read is lock-free.
pub struct Snapshot {
    policy: ArcSwap<PolicyView>,
    certificates: Certificates,
    anchors: Anchors,
    denied_issuers: DeniedIssuers,
    api_keys: ApiKeys,
    client_secrets: ClientSecrets,
    revoked_tokens: papaya::HashSet<Arc<str>>,
    graces: Graces,
    connections: Connections,
    issuers: watch::Sender<u64>,
    signing_keys: watch::Sender<u64>,
    /// Held while changes are applied: how far the feed was followed.
    progress: Mutex<Seq>,
    seq: AtomicI64,
    /// On the clock's monotonic scale: since when nothing that was committed before is missing here.
    confirmed_nanos: AtomicU64,
    clock: Clock,
}

/// The feed, held: see [`Snapshot::hold`].
pub struct Held<'a> {
    snapshot: &'a Snapshot,
    progress: MutexGuard<'a, Seq>,
}

impl Held<'_> {
    /// As [`Snapshot::catch_up`]; what it counts was done by changes that nobody had applied when it was held.
    ///
    /// # Errors
    /// As [`Snapshot::catch_up`].
    pub async fn catch_up(mut self, store: &Store) -> Result<Applied, Fault> {
        self.snapshot.follow(store, &mut self.progress).await
    }
}

/// What a [`Snapshot::catch_up`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How far the feed was followed.
    pub seq: Seq,
    /// Live connections that were closed because their certificate is no longer good.
    pub connections_closed: usize,
}

impl Snapshot {
    /// Reads everything into memory.
    ///
    /// # Errors
    /// A fault when the database cannot be read, when the stored policy cannot be understood (there is no older one to keep), or
    /// when a newer binary has made changes of a kind that this one does not know.
    pub async fn load(store: &Store, clock: &Clock) -> Result<Arc<Self>, Fault> {
        // The place in the feed first: what changes while the tables are read is then read again below.
        let started_nanos = clock.monotonic_nanos();
        let seq = store.newest_change().await?;
        store.check_changes().await?;
        let snapshot = Self {
            policy: ArcSwap::from_pointee(PolicyView::newest(store).await?),
            certificates: Certificates::default(),
            anchors: Anchors::load(store).await?,
            denied_issuers: DeniedIssuers::default(),
            api_keys: ApiKeys::default(),
            client_secrets: ClientSecrets::default(),
            revoked_tokens: papaya::HashSet::new(),
            graces: Graces::load(store).await?,
            connections: Connections::default(),
            issuers: watch::Sender::new(0),
            signing_keys: watch::Sender::new(0),
            progress: Mutex::new(seq),
            seq: AtomicI64::new(seq.0),
            confirmed_nanos: AtomicU64::new(started_nanos),
            clock: clock.clone(),
        };
        let denied = snapshot.denied_issuers.reload(store).await?;
        snapshot.load_certificates(store).await?;
        denied.iter().for_each(|issuer| snapshot.certificates.revoke_all_of(issuer));
        snapshot.load_api_keys(store, Portion::All).await?;
        snapshot.load_client_secrets(store, Portion::All).await?;
        for jti in store::revoked_token::all(store).await? {
            snapshot.revoked_tokens.pin().insert(jti.into());
        }
        snapshot.catch_up(store).await?;
        Ok(Arc::new(snapshot))
    }

    /// Reads the feed to its end and applies it, in order. When it returns, every change that was committed before the call is
    /// in force here. Every life-cycle operation ends with this, after its commit.
    ///
    /// # Errors
    /// A fault when the database cannot be read, when the feed has an entry of a kind that this binary does not know, or when
    /// the newest policy cannot be understood (a newer binary wrote them). The policy that stood is then kept, what comes after
    /// it in the feed (revocations, say) is still applied, and the snapshot does not count as fresh until all can be read.
    pub async fn catch_up(&self, store: &Store) -> Result<Applied, Fault> {
        self.hold().await.catch_up(store).await
    }

    /// Keeps everybody else from applying changes, so that what a write does here can be told from what others do. Only with the
    /// write's transaction already begun: who waits for that while this is held, waits for ever.
    pub async fn hold(&self) -> Held<'_> {
        Held { snapshot: self, progress: self.progress.lock().await }
    }

    async fn follow(&self, store: &Store, progress: &mut Seq) -> Result<Applied, Fault> {
        let started_nanos = self.clock.monotonic_nanos();
        let mut read_to = *progress;
        let mut connections_closed = 0;
        let mut stuck = None;
        loop {
            let changes = store.changes_since(read_to, FEED_BATCH).await?;
            let Some(last) = changes.last() else { break };
            let batch_end = last.seq;
            for change in &changes {
                let outcome = self.apply(store, change).await?;
                connections_closed += outcome.connections_closed;
                if let Some(fault) = outcome.not_understood {
                    stuck.get_or_insert(fault);
                }
                // Behind what cannot be understood the place stands still, so that the next call tries it again.
                if stuck.is_none() {
                    *progress = change.seq;
                    self.seq.store(change.seq.0, Ordering::Release);
                }
            }
            read_to = batch_end;
        }
        match stuck {
            Some(fault) => Err(fault),
            None => {
                self.confirmed_nanos.fetch_max(started_nanos, Ordering::AcqRel);
                Ok(Applied { seq: *progress, connections_closed })
            }
        }
    }

    /// The policy and the clients in force. Take it once per request: both are then of one version.
    pub fn policy(&self) -> Arc<PolicyView> {
        self.policy.load_full()
    }

    /// How far the feed was followed.
    pub fn seq(&self) -> Seq {
        Seq(self.seq.load(Ordering::Acquire))
    }

    /// How long ago it was last certain that no committed change is missing here. A node whose database is away grows old.
    pub fn age(&self) -> Duration {
        let confirmed = self.confirmed_nanos.load(Ordering::Acquire);
        Duration::from_nanos(self.clock.monotonic_nanos().saturating_sub(confirmed))
    }

    /// The row of a client certificate. `None`: we never issued it, whatever its signature says. One whose authority is tainted
    /// or removed is shown as revoked, so that nobody who asks can overlook it.
    pub fn certificate(&self, issuer: &KeyId, serial: &Serial) -> Option<Arc<CertificateEntry>> {
        let entry = self.certificates.get(issuer, serial)?;
        match self.denied_issuers.get(issuer) {
            Some(denied) if entry.revoked.is_none() => {
                Some(Arc::new(CertificateEntry { revoked: Some(denied), ..CertificateEntry::clone(&entry) }))
            }
            _ => Some(entry),
        }
    }

    /// The row of a client certificate by its serial number alone, whichever of our authorities issued it: for whoever asks about
    /// one, never to judge one that is presented.
    pub fn certificate_of_serial(&self, serial: &Serial) -> Option<Arc<CertificateEntry>> {
        let issuer = self.certificates.issuer_of(serial)?;
        self.certificate(&issuer, serial)
    }

    /// Since when, and why, nothing that this authority issued is accepted: it or its root is tainted, or it is removed.
    pub fn issuer_denied(&self, issuer: &KeyId) -> Option<RevocationFact> {
        self.denied_issuers.get(issuer)
    }

    /// Whether the certificate with this SHA-256 is one of ours and was revoked: what is bound to it (RFC 8705 §3) ends with it.
    pub fn certificate_revoked(&self, thumbprint: &Thumbprint) -> bool {
        self.certificates.is_revoked(thumbprint)
    }

    /// The key with this public part, or of those that were brought along the one with this id.
    pub fn api_key(&self, id: &str) -> Option<ApiKeyEntry> {
        self.api_keys.get(id)
    }

    /// The key that was brought along and has this keyed hash, or one that begins like it: compare the whole of it in constant
    /// time.
    pub fn imported_api_key(&self, hmac: &[u8; 32]) -> Option<ApiKeyEntry> {
        self.api_keys.imported(hmac)
    }

    /// Whether any key was brought along: what is no key of ours can then still be one of those.
    pub fn has_imported_api_keys(&self) -> bool {
        self.api_keys.has_imported()
    }

    /// The client's secrets, dead ones too; empty when it has none.
    pub fn client_secrets(&self, client: &str) -> Arc<[ClientSecretEntry]> {
        self.client_secrets.of(client)
    }

    /// Whether this token was revoked by its `jti`. Its client's [`ClientEntry::tokens_not_before`] must be asked too.
    pub fn token_revoked(&self, jti: &str) -> bool {
        self.revoked_tokens.pin().contains(jti)
    }

    /// Whether we issued exactly this certificate. What it says of its issuer and its serial is only where to look: anybody's
    /// authority can write ours there.
    pub fn is_ours(&self, certificate: &pki::ClientCertificate) -> bool {
        let issuer = certificate.issuer_key_id.as_ref();
        let entry = issuer.and_then(|issuer| self.certificate(issuer, &certificate.serial));
        entry.is_some_and(|entry| entry.thumbprint == Some(certificate.thumbprint))
    }

    /// The authorities of partners: whom a certificate means that we did not issue.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// For how many seconds after its end a certificate of this client still renews itself; 0 for most.
    pub fn renewal_grace_seconds(&self, client: &str) -> i64 {
        self.graces.of(client)
    }

    /// The longest grace of all clients: what TLS lets through at most, for the gate to judge.
    pub fn renewal_grace_seconds_max(&self) -> i64 {
        self.graces.longest()
    }

    /// The live connections, by client certificate.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Counts up each time an issuer comes, goes or changes state: trust anchors must be built anew.
    pub fn issuer_changes(&self) -> watch::Receiver<u64> {
        self.issuers.subscribe()
    }

    /// Counts up each time a token signing key comes, goes or changes state.
    pub fn signing_key_changes(&self) -> watch::Receiver<u64> {
        self.signing_keys.subscribe()
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Snapshot").field("seq", &self.seq()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
