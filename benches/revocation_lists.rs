//! A revocation list of a million entries: how long it takes to be made, stored and signed, to be sent, and what it takes of memory.
//!
//!     cargo bench --bench revocation_lists [-- ENTRIES]
//!
//! The measure is 2 seconds for a million, and memory that does not grow with the list. With fewer entries, and without
//! optimisation, it only shows that it runs.

// Whatever fails here ends the measurement, which speaks to whoever started it.
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use portcullis::authority::{Authority, AuthoritySettings, KeyDirectory, Names, Passphrase};
use portcullis::clock::Clock;
use portcullis::registry::Actor;
use portcullis::snapshot::Snapshot;
use portcullis::store::Store;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

const TARGET: Duration = Duration::from_secs(2);
/// Pages of the database, a few pieces of the list, and what the allocator keeps: the list itself is 50 MB.
const MEMORY_MAX: u64 = 48 * 1024 * 1024;

fn main() -> ExitCode {
    let entries = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(measure(entries)) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

async fn measure(entries: u32) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("portcullis.db");
    let store = Store::open(&database).await.expect("a database");
    let clock = Clock::system();
    let settings = AuthoritySettings {
        trust_domain: "api.example.com".to_owned(),
        pki_url: Some("http://pki.example.com".to_owned()),
        crl_lifetime_seconds: 86_400,
        ocsp_lifetime_seconds: 3600,
        crl_partitions: 1,
        issuances_per_minute: 1_000_000,
    };
    let passphrase = Passphrase::new("correct horse battery staple".into()).expect("a passphrase");
    let keys = KeyDirectory::new(folder.path().join("keys"), passphrase);
    let names = Names { common_name: "Bench".to_owned(), organization: None };
    Authority::initialise(&store, &keys, &names, &settings, &Actor::local(), &clock).await.expect("authorities");
    let snapshot = Snapshot::load(&store, &clock).await.expect("a snapshot");
    let authority = Authority::open(settings, keys, store.clone(), snapshot, clock).await.expect("an authority");
    let issuing =
        authority.issuers().into_iter().find(|issuer| issuer.kind == "issuing").expect("an issuing authority");
    revoke(&database, &issuing.id, entries).await;

    // From here on the kernel notes the highest anew.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = resident("VmRSS");
    let started = Instant::now();
    authority.publish_now().await.expect("lists");
    let made = started.elapsed();
    let started = Instant::now();
    let path = format!("/crl/{}.crl", issuing.id);
    let mut content = std::pin::pin!(authority.answer(&http::Method::GET, &path, None).into_body().into_stream());
    let mut octets = 0;
    while let Some(piece) = futures_util::StreamExt::next(&mut content).await {
        octets += piece.expect("a piece").len();
    }
    let sent = started.elapsed();
    let grown = resident("VmHWM").saturating_sub(before);
    let megabytes = |octets: u64| octets as f64 / 1e6;
    println!(
        "{entries} entries, {:.1} MB: made in {made:.2?}, read in {sent:.2?}, {:.1} MB of memory at most",
        megabytes(octets as u64),
        megabytes(grown),
    );
    if cfg!(debug_assertions) || entries < 1_000_000 {
        return true;
    }
    made < TARGET && grown < MEMORY_MAX
}

/// Rows as revocations leave them: in the database and not all in its log, which the first transaction of the list would then have to
/// move. No certificate stands behind them, which a list does not ask.
async fn revoke(database: &Path, issuer: &str, entries: u32) {
    let options = SqliteConnectOptions::new().filename(database).foreign_keys(false);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a connection");
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
         INSERT INTO revocations (issuer_key_id, serial, revoked_at, reason)
         SELECT $1, '4' || substr(lower(hex(randomblob(16))), 2), 1700000000, 'cessation-of-operation' FROM n",
    )
    .bind(issuer)
    .bind(entries)
    .execute(&mut connection)
    .await
    .expect("rows");
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.expect("an empty log");
    connection.close().await.expect("closed");
}

/// Octets, from the kernel.
fn resident(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
