//! Issuing certificates for requests, each one on disk before it is answered; and asking the positive list about them.
//!
//!     cargo bench --bench issuance [-- CERTIFICATES]
//!
//! Every certificate is reserved, judged under a throw-away key, signed and stored in two transactions with `synchronous = FULL`,
//! so the disk's fsync is half of what is measured. One at a time, and sixteen at a time as a mass renewal has them.

// Whatever fails here ends the measurement, which speaks to whoever started it.
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use portcullis::authority::{Authority, AuthoritySettings, KeyDirectory, Names, NewSignature, Passphrase};
use portcullis::clock::Clock;
use portcullis::registry::Actor;
use portcullis::snapshot::Snapshot;
use portcullis::store::Store;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

const AT_ONCE: usize = 16;
const LOOKUPS: usize = 2_000_000;

fn main() {
    let certificates = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(4_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(certificates));
}

async fn measure(certificates: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("portcullis.db");
    let store = Store::open(&database).await.expect("a database");
    client(&database).await;
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
    let authority =
        Authority::open(settings, keys, store.clone(), Arc::clone(&snapshot), clock).await.expect("an authority");
    let requests: Vec<Vec<u8>> = (0..certificates).map(|_| request()).collect();

    let (alone, together) = requests.split_at(certificates / 4);
    let mut issued = Vec::with_capacity(certificates);
    let started = Instant::now();
    for request in alone {
        issued.push(issue(&authority, request.clone()).await);
    }
    report("one at a time", alone.len(), started);
    let started = Instant::now();
    let all = futures_util::stream::iter(together.iter().cloned().map(|request| issue(&authority, request)));
    issued.extend(all.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    report(&format!("{AT_ONCE} at a time"), together.len(), started);

    let started = Instant::now();
    for (issuer, serial) in issued.iter().cycle().take(LOOKUPS) {
        black_box(snapshot.certificate(issuer, serial).expect("a row"));
    }
    println!("status look-up: {:.0} ns", started.elapsed().as_secs_f64() * 1e9 / LOOKUPS as f64);
}

fn report(how: &str, certificates: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{certificates} certificates, {how}: {:.0} a second", certificates as f64 / seconds);
}

async fn issue(authority: &Authority, request: Vec<u8>) -> (pki::KeyId, pki::Serial) {
    let new = NewSignature {
        client: "orders".to_owned(),
        request,
        lifetime_seconds: None,
        scopes: None,
        networks: None,
        idempotency_key: None,
    };
    let issued = authority.sign(new, &Actor::local()).await.expect("a certificate");
    let view = issued.certificate;
    (view.issuer.parse().expect("a key id"), view.id.parse().expect("a serial"))
}

/// A request for a P-256 key, as a partner makes it.
fn request() -> Vec<u8> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let params = rcgen::CertificateParams::default();
    params.serialize_request(&key).expect("a request").der().to_vec()
}

async fn client(database: &Path) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a connection");
    for row in [
        "INSERT INTO partners (id, name, created_at) VALUES ('acme', 'Acme', 1)",
        "INSERT INTO clients (id, partner_id, scopes, networks, created_at) VALUES ('orders', 'acme', '[]', '[]', 1)",
    ] {
        sqlx::query(row).execute(&mut connection).await.expect("a row");
    }
    connection.close().await.expect("closed");
}
