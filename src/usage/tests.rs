use std::path::Path;

use policies::ClientId;

use super::*;
use crate::config::ConfigFile;
use crate::listen::Listener;
use crate::store::usage::{Dimension, UsageFilter};

const START: UnixSeconds = UnixSeconds(1_800_000_000);
const SETTINGS: UsageSettings = UsageSettings { retention_days: 2, rows_max: 10_000 };

struct Counted {
    usage: Usage,
    store: Store,
    clock: Clock,
    listener: Arc<Listener>,
    _folder: tempfile::TempDir,
}

impl Counted {
    async fn new(keys_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("p.db")).await.unwrap();
        let clock = Clock::manual(START);
        let usage = Usage::with_keys_max(store.clone(), SETTINGS, clock.clone(), keys_max);
        Self { usage, store, clock, listener: listener(), _folder: folder }
    }

    fn key(&self, client: &str, outcome: &'static str) -> Key {
        let client: ClientId = client.parse().unwrap();
        let place = Place::Route("GET /a".into());
        let caller = Some(Caller::client(client));
        Key::new(self.usage.hour(), &self.listener, caller, place, &http::Method::GET, outcome)
    }

    fn count(&self, client: &str, outcome: &'static str) {
        self.usage.add(self.key(client, outcome), &Counts::request(Duration::from_millis(3)));
    }

    async fn rows(&self) -> Vec<UsageRow> {
        let by = Dimension::ALL.to_vec();
        let filter = UsageFilter { to: i64::MAX, by, limit: 1000, ..UsageFilter::default() };
        table::list(&self.store, &filter).await.unwrap()
    }

    async fn requests(&self) -> i64 {
        self.rows().await.iter().map(|row| row.requests).sum()
    }
}

fn listener() -> Arc<Listener> {
    let one = |name: &str| {
        format!(
            "[[listener]]\nname = {name:?}\nserves = {name:?}\naddress = \"127.0.0.1:0\"\nhostnames = [\"localhost\"]\n"
        )
    };
    let listeners = ["gateway", "admin", "pki"].map(one).concat();
    let text = format!("environment = \"test\"\ntrust_domain = \"portcullis.test\"\n{listeners}");
    let file: ConfigFile = toml::from_str(&text).unwrap();
    let config = file.check(Path::new(".")).unwrap().listeners.remove(0);
    let address = config.address;
    Arc::new(Listener { config, address })
}

#[tokio::test]
async fn what_is_counted_arrives_in_its_hour() {
    let counted = Counted::new(KEYS_MAX).await;
    counted.count("a", "allowed");
    counted.count("a", "allowed");
    counted.count("a", "throttled");
    counted.usage.flush().await.unwrap();
    counted.clock.advance(Duration::from_secs(3600));
    counted.count("a", "allowed");
    counted.usage.flush().await.unwrap();
    counted.usage.flush().await.unwrap();
    let rows = counted.rows().await;
    let seen: Vec<_> = rows.iter().map(|row| (row.hour - START.0, row.outcome.as_str(), row.requests)).collect();
    assert_eq!(seen, [(0, "allowed", 2), (0, "throttled", 1), (3600, "allowed", 1)]);
    assert_eq!((rows[0].latency[4], rows[0].micros, rows[0].client.as_str()), (2, 6000, "a"));
}

#[tokio::test]
async fn threads_lose_nothing_while_it_is_written() {
    const THREADS: usize = 8;
    const EACH: usize = 20_000;
    let counted = Arc::new(Counted::new(KEYS_MAX).await);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                for number in 0..EACH {
                    counted.count(["a", "b", "c"][(thread + number) % 3], "allowed");
                }
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        counted.usage.flush().await.unwrap();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    counted.usage.flush().await.unwrap();
    assert_eq!(counted.requests().await, (THREADS * EACH) as i64);
}

#[tokio::test]
async fn a_batch_is_added_once_whatever_became_of_the_answer() {
    let counted = Counted::new(KEYS_MAX).await;
    counted.count("a", "allowed");
    counted.usage.flush().await.unwrap();
    // Its commit went through, and nobody heard: it is sent again with its number.
    let row = counted.rows().await.remove(0);
    counted.usage.0.leaving.lock().await.batches.push_back(Batch { number: 1, rows: vec![row] });
    counted.count("a", "allowed");
    counted.usage.flush().await.unwrap();
    assert_eq!(counted.requests().await, 2);
    // Another process counts from one.
    let other = Usage::new(counted.store.clone(), SETTINGS, counted.clock.clone());
    other.add(counted.key("a", "allowed"), &Counts::request(Duration::ZERO));
    other.flush().await.unwrap();
    assert_eq!(counted.requests().await, 3);
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_is_written_once() {
    let counted = Counted::new(KEYS_MAX).await;
    let mut tx = counted.store.begin().await.unwrap();
    sqlx::query("ALTER TABLE usage_hours RENAME TO away").execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    counted.count("a", "allowed");
    assert!(counted.usage.flush().await.is_err());
    counted.count("a", "allowed");
    assert!(counted.usage.flush().await.is_err());
    let mut tx = counted.store.begin().await.unwrap();
    sqlx::query("ALTER TABLE away RENAME TO usage_hours").execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    counted.usage.flush().await.unwrap();
    assert_eq!(counted.requests().await, 2);
}

#[tokio::test]
async fn too_many_keys_are_counted_together_and_none_is_lost() {
    let counted = Counted::new(2).await;
    for client in ["a", "b", "c", "d", "c"] {
        counted.count(client, "allowed");
    }
    counted.usage.flush().await.unwrap();
    let seen: Vec<_> = counted.rows().await.iter().map(|row| (row.client.clone(), row.requests)).collect();
    let expected = [("*", 3), ("a", 1), ("b", 1)].map(|(client, requests)| (client.to_owned(), requests));
    let mut seen = seen;
    seen.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_past_has_an_end_and_a_size() {
    let counted = Counted::new(KEYS_MAX).await;
    counted.count("old", "allowed");
    counted.usage.flush().await.unwrap();
    counted.clock.advance(Duration::from_secs(2 * 86_400));
    counted.count("kept", "allowed");
    counted.usage.flush().await.unwrap();
    counted.usage.prune(&CancellationToken::new()).await.unwrap();
    assert_eq!(counted.requests().await, 2, "not a second early");
    counted.clock.advance(Duration::from_secs(3600));
    counted.usage.prune(&CancellationToken::new()).await.unwrap();
    assert_eq!(counted.rows().await[0].client, "kept");
    for number in 0..11_500 {
        counted.count(&format!("c{number}"), "allowed");
        if number % 5000 == 0 {
            counted.usage.flush().await.unwrap();
        }
    }
    counted.usage.flush().await.unwrap();
    counted.usage.prune(&CancellationToken::new()).await.unwrap();
    let rows = table::count(&counted.store).await.unwrap();
    assert!(rows <= 10_000 && rows > 8_000, "{rows}");
    assert!(counted.rows().await.iter().all(|row| row.client != "kept"), "the oldest went");
}
