//! When each credential last let somebody in, gathered in memory and written in batches.
//!
//! The data plane only puts an entry into a bounded map, at most once a second for each credential. A task takes what is new to
//! the database every few seconds; there it is to the minute. What does not fit is dropped and counted, never waited for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use pki::{KeyId, Serial};
use policies::UnixSeconds;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::failure::Fault;
use crate::store::Store;
use crate::store::certificate::change_key;
use crate::store::sighting::{self, SightingKind, SightingRow};

/// Credentials in the map. At some 300 bytes an entry, 80 MB at the very most.
const ENTRIES_MAX: usize = 262_144;
/// A credential in steady use is written again after this: what the database says is at most so old.
const PRECISION_SECONDS: i64 = 60;
/// An entry that was written and not seen for this long leaves the map.
const IDLE_SECONDS: i64 = 300;
const FLUSH_PERIOD: Duration = Duration::from_secs(5);
/// Rows in one transaction: an issuance that comes meanwhile waits for one of them at most.
const BATCH: usize = 500;
/// What was not seen for longer is forgotten: longer than any certificate lives.
const RETENTION_SECONDS: i64 = 2 * 366 * 86_400;
const PRUNE_PERIOD: Duration = Duration::from_secs(3600);

/// Names a credential that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    Certificate(KeyId, Serial),
    ApiKey(Arc<str>),
    ClientSecret(Arc<str>),
}

impl Seen {
    fn kind(&self) -> SightingKind {
        match self {
            Self::Certificate(..) => SightingKind::Certificate,
            Self::ApiKey(_) => SightingKind::ApiKey,
            Self::ClientSecret(_) => SightingKind::ClientSecret,
        }
    }

    fn id(&self) -> String {
        match self {
            Self::Certificate(issuer, serial) => change_key(&issuer.to_string(), &serial.to_string()),
            Self::ApiKey(id) | Self::ClientSecret(id) => id.to_string(),
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    at: i64,
    source: IpAddr,
    route: Arc<str>,
    chain: Option<Arc<str>>,
    /// The `at` that the database has.
    written_at: Option<i64>,
}

impl Entry {
    /// Whether it is worth a write: not written yet, or long ago.
    fn is_due(&self) -> bool {
        self.written_at.is_none_or(|written_at| self.at.saturating_sub(written_at) >= PRECISION_SECONDS)
    }

    fn is_new(&self) -> bool {
        self.written_at.is_none_or(|written_at| self.at > written_at)
    }
}

/// See the module. Clones share the map.
#[derive(Clone)]
pub struct Sightings {
    entries: Arc<papaya::HashMap<Seen, Entry>>,
    entries_max: usize,
    store: Store,
    clock: Clock,
}

impl Sightings {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { entries: Arc::default(), entries_max: ENTRIES_MAX, store, clock }
    }

    /// Notes that the credential just let somebody in. Takes a look-up when it was noted within this second; `chain` is asked
    /// otherwise only.
    pub fn note(
        &self,
        seen: &Seen,
        now: UnixSeconds,
        source: IpAddr,
        route: &Arc<str>,
        chain: impl FnOnce() -> Option<Arc<str>>,
    ) {
        let entries = self.entries.pin();
        match entries.get(seen) {
            Some(entry) if entry.at >= now.0 => return,
            Some(_) => {}
            None if self.entries.len() >= self.entries_max => {
                counter!("portcullis_sightings_dropped_total").increment(1);
                return;
            }
            None => {}
        }
        let entry = Entry { at: now.0, source, route: Arc::clone(route), chain: chain(), written_at: None };
        let update = |old: &Entry| Entry { written_at: old.written_at, ..entry.clone() };
        entries.update_or_insert(seen.clone(), update, entry.clone());
    }

    /// Writes all that is new, whether or not it is due.
    pub async fn flush(&self) -> Result<(), Fault> {
        self.write(Entry::is_new).await
    }

    /// Writes what is due every few seconds until the server drains, and then the rest.
    pub async fn run(self, draining: CancellationToken) {
        let mut flush = tokio::time::interval(FLUSH_PERIOD);
        let mut prune = tokio::time::interval(PRUNE_PERIOD);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        prune.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let done = tokio::select! {
                () = draining.cancelled() => break,
                _ = flush.tick() => self.write(Entry::is_due).await,
                _ = prune.tick() => self.prune(&draining).await,
            };
            match done {
                Ok(()) => failing = false,
                Err(fault) => {
                    if !failing {
                        tracing::warn!(fault = fault.inside(), "sightings of credentials cannot be written; they wait");
                    }
                    failing = true;
                }
            }
        }
    }

    async fn write(&self, wanted: fn(&Entry) -> bool) -> Result<(), Fault> {
        let due: Vec<(Seen, Entry)> = {
            let entries = self.entries.pin();
            let due = entries.iter().filter(|(_, entry)| wanted(entry));
            due.map(|(seen, entry)| (seen.clone(), entry.clone())).collect()
        };
        gauge!("portcullis_sightings_held").set(self.entries.len() as f64);
        for batch in due.chunks(BATCH) {
            let rows: Vec<SightingRow> = batch.iter().map(|(seen, entry)| row(seen, entry)).collect();
            let mut tx = self.store.begin().await?;
            sighting::put_all(&mut tx, &rows).await?;
            tx.commit().await?;
            let entries = self.entries.pin();
            for (seen, written) in batch {
                // It may have been seen again meanwhile: only what was written counts as written.
                entries.update(seen.clone(), |entry| Entry { written_at: Some(written.at), ..entry.clone() });
            }
        }
        counter!("portcullis_sightings_written_total").increment(due.len() as u64);
        self.make_room();
        Ok(())
    }

    /// Lets go of what the database has and nobody uses; when the map is nearly full, of all that the database has.
    fn make_room(&self) {
        let idle_since = self.clock.now().0.saturating_sub(IDLE_SECONDS);
        let is_crowded = self.entries.len() > self.entries_max / 4 * 3;
        let entries = self.entries.pin();
        entries.retain(|_, entry| entry.is_new() || (!is_crowded && entry.at >= idle_since));
    }

    async fn prune(&self, draining: &CancellationToken) -> Result<(), Fault> {
        let before = UnixSeconds(self.clock.now().0.saturating_sub(RETENTION_SECONDS));
        while !draining.is_cancelled() {
            let mut tx = self.store.begin().await?;
            let forgotten = sighting::prune(&mut tx, before).await?;
            tx.commit().await?;
            if forgotten < u64::from(sighting::PRUNE_MAX) {
                break;
            }
        }
        Ok(())
    }
}

fn row(seen: &Seen, entry: &Entry) -> SightingRow {
    SightingRow {
        kind: seen.kind(),
        id: seen.id(),
        last_seen_at: entry.at,
        source: entry.source.to_string(),
        route: Some(entry.route.to_string()),
        chain: entry.chain.as_deref().map(str::to_owned),
    }
}

impl std::fmt::Debug for Sightings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sightings").field("held", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    async fn sightings() -> (tempfile::TempDir, Sightings) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
        (folder, Sightings::new(store, Clock::manual(NOW)))
    }

    fn key(id: &str) -> Seen {
        Seen::ApiKey(id.into())
    }

    impl Sightings {
        fn see(&self, id: &str, at: i64, source: &str) {
            self.note(&key(id), NOW.plus(at), source.parse().unwrap(), &"GET /".into(), || None);
        }

        async fn stored(&self, id: &str) -> Option<(i64, String)> {
            let row = sighting::get(&self.store, SightingKind::ApiKey, id).await.unwrap();
            row.map(|row| (row.last_seen_at - NOW.0, row.source))
        }
    }

    #[tokio::test]
    async fn the_first_is_written_at_once_and_then_one_a_minute() {
        let (_folder, sightings) = sightings().await;
        sightings.see("a", 0, "192.0.2.1");
        sightings.see("a", 0, "192.0.2.9");
        sightings.write(Entry::is_due).await.unwrap();
        assert_eq!(sightings.stored("a").await, Some((0, "192.0.2.1".to_owned())), "once a second is enough");
        sightings.see("a", 59, "192.0.2.2");
        sightings.write(Entry::is_due).await.unwrap();
        assert_eq!(sightings.stored("a").await, Some((0, "192.0.2.1".to_owned())));
        sightings.see("a", 60, "192.0.2.3");
        sightings.write(Entry::is_due).await.unwrap();
        assert_eq!(sightings.stored("a").await, Some((60, "192.0.2.3".to_owned())));
        // The end of the server writes all.
        sightings.see("a", 61, "2001:db8::1");
        sightings.flush().await.unwrap();
        assert_eq!(sightings.stored("a").await, Some((61, "2001:db8::1".to_owned())));
    }

    #[tokio::test]
    async fn an_earlier_sighting_does_not_cover_a_later_one() {
        let (_folder, sightings) = sightings().await;
        sightings.see("a", 10, "192.0.2.1");
        sightings.flush().await.unwrap();
        let beside = Sightings::new(sightings.store.clone(), sightings.clock.clone());
        beside.see("a", 5, "192.0.2.2");
        beside.flush().await.unwrap();
        assert_eq!(sightings.stored("a").await, Some((10, "192.0.2.1".to_owned())));
    }

    #[tokio::test]
    async fn the_map_is_bounded_and_empties_itself() {
        let (_folder, mut sightings) = sightings().await;
        sightings.entries_max = 4;
        for id in ["a", "b", "c", "d", "e"] {
            sightings.see(id, 0, "192.0.2.1");
        }
        assert_eq!(sightings.entries.len(), 4);
        sightings.write(Entry::is_due).await.unwrap();
        assert_eq!(sightings.entries.len(), 0, "crowded: all that is written goes");
        sightings.see("e", 1, "192.0.2.1");
        sightings.write(Entry::is_due).await.unwrap();
        assert_eq!(sightings.entries.len(), 1, "in use: it stays, so that it is not written again");
        sightings.clock.advance(Duration::from_secs(IDLE_SECONDS as u64 + 2));
        sightings.write(Entry::is_due).await.unwrap();
        assert_eq!(sightings.entries.len(), 0);
        assert!(sightings.stored("e").await.is_some() && sightings.stored("d").await.is_some());
    }

    #[tokio::test]
    async fn what_cannot_be_written_waits() {
        let (_folder, sightings) = sightings().await;
        sightings.see("a", 0, "192.0.2.1");
        sightings.store.close().await;
        assert!(sightings.flush().await.is_err());
        assert_eq!(sightings.entries.len(), 1);
    }

    #[tokio::test]
    async fn what_is_older_than_any_certificate_is_forgotten() {
        let (_folder, sightings) = sightings().await;
        sightings.see("a", 0, "192.0.2.1");
        sightings.see("b", RETENTION_SECONDS, "192.0.2.1");
        sightings.flush().await.unwrap();
        sightings.clock.advance(Duration::from_secs(RETENTION_SECONDS as u64 + 1));
        sightings.prune(&CancellationToken::new()).await.unwrap();
        assert!(sightings.stored("a").await.is_none() && sightings.stored("b").await.is_some());
    }
}
