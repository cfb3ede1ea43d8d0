//! A thousand kills, over all steps of issuing and revoking: what was said to the outside is on record, and nothing else is good.
//!
//! The victim is this test binary once more. It issues and revokes as fast as it can, several at a time, and writes down what it
//! was answered, as a client would. It dies at a step that was chosen for it, or by SIGKILL at any instant. The next victim on the
//! same database is the check: it starts, and holds the register against everything that all before it were told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration as Span;

use super::crash_point::{CRASH_AT, CrashPoint};
use super::*;
use crate::store::certificate::CertificateState;

const FOLDER: &str = "PORTCULLIS_TEST_KILLS_FOLDER";
const KILLS: usize = 1_000;
/// Installations that are killed side by side: a process that starts leaves the processor idle while it waits for the disk.
const HOUSES: usize = 4;
/// Clients that want certificates at once in each.
const CLIENTS: usize = 3;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
/// One in so many dies by SIGKILL, at no step in particular.
const ANY_MOMENT: usize = 5;
const PATIENCE: Span = Span::from_secs(60);

/// What clients were told: one line an answer, appended before the next question. A process that dies takes no line with it.
#[derive(Clone)]
struct Witness(std::path::PathBuf);

impl Witness {
    fn says(&self, what: &str, issued: &Issued) {
        let line = format!("{what} {} {}\n", issued.certificate.id, issued.certificate.thumbprint.as_deref().unwrap());
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.0).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }

    /// Serial and thumbprint of all that was handed out, and the serials of which it was said that they are revoked.
    fn testimony(&self) -> (BTreeMap<String, String>, BTreeSet<String>) {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let (mut issued, mut revoked) = (BTreeMap::new(), BTreeSet::new());
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let [what, serial, thumbprint] = words[..] else { panic!("half a line: {line}") };
            match what {
                "issued" => {
                    let before = issued.insert(serial.to_owned(), thumbprint.to_owned());
                    assert_eq!(before, None, "the serial {serial} was given twice");
                }
                _ => assert!(revoked.insert(serial.to_owned())),
            }
        }
        (issued, revoked)
    }
}

/// Not a test by itself: what the victim does. Without a folder to do it in, nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let witness = Witness(folder.join("witness"));
    let house = open(folder).await;
    check(&house, &witness).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (authority, witness) = (house.0.clone(), witness.clone());
        clients.spawn(async move {
            loop {
                let issued = authority.issue(certificate_for("acme-orders"), &admin()).await.unwrap();
                witness.says("issued", &issued);
                authority.revoke(named(&issued), pki::RevocationReason::Superseded, &admin()).await.unwrap();
                witness.says("revoked", &issued);
                let kept = authority.issue(certificate_for("acme-stock"), &admin()).await.unwrap();
                witness.says("issued", &kept);
            }
        });
    }
    while clients.join_next().await.is_some() {}
    panic!("a client came to an end before the victim did");
}

async fn open(folder: &Path) -> (Authority, Store, Arc<Snapshot>) {
    let clock = Clock::manual(NOW);
    let store = Store::open(&folder.join("portcullis.db")).await.unwrap();
    let snapshot = Snapshot::load(&store, &clock).await.unwrap();
    let authority = Authority::open(settings(), keys_in(folder), store.clone(), snapshot.clone(), clock).await.unwrap();
    (authority, store, snapshot)
}

/// Holds the register against what was said, and the gate against the register.
async fn check((authority, store, snapshot): &(Authority, Store, Arc<Snapshot>), witness: &Witness) -> usize {
    let (issued, revoked) = witness.testimony();
    let mut rows = BTreeMap::new();
    for row in all(store).await {
        assert_ne!(row.state, CertificateState::Reserved, "what was begun is closed at the start: {}", row.serial);
        let entry = snapshot.certificate(&row.issuer_key_id.parse().unwrap(), &row.serial.parse().unwrap()).unwrap();
        let good = row.state == CertificateState::Issued && row.revoked_at.is_none();
        assert_eq!(entry.revoked.is_none(), good, "the gate judges {} as the register does", row.serial);
        assert!(rows.insert(row.serial.clone(), row).is_none(), "no serial twice");
    }
    for (serial, thumbprint) in &issued {
        let row = rows.get(serial).unwrap_or_else(|| panic!("{serial} is outside and has no row"));
        assert_eq!(row.state, CertificateState::Issued, "{serial}");
        assert_eq!(row.thumbprint.as_ref(), Some(thumbprint), "{serial}");
    }
    for serial in &revoked {
        assert!(rows.get(serial).is_some_and(|row| row.revoked_at.is_some()), "the revocation of {serial} is lost");
    }
    assert!(authority.issuers().iter().any(|issuer| issuer.kind == "issuing" && issuer.signs));
    rows.len()
}

async fn all(store: &Store) -> Vec<store::certificate::CertificateRow> {
    let mut rows = Vec::new();
    loop {
        let page = store::Page { limit: 500, offset: u32::try_from(rows.len()).unwrap() };
        let filter = store::certificate::CertificateFilter { page, ..Default::default() };
        let more = store::certificate::list(store, &filter).await.unwrap();
        if more.is_empty() {
            return rows;
        }
        rows.extend(more);
    }
}

/// Key files as cheap as openssl makes them, since each victim unlocks two: 600 000 rounds are for thieves.
fn cheapen(folder: &Path) {
    let passphrase = folder.join("passphrase");
    std::fs::write(&passphrase, PASSPHRASE).unwrap();
    let from = format!("file:{}", passphrase.display());
    for name in ["issuing.key", "server-issuing.key"] {
        let (key, plain) = (folder.join("keys").join(name), folder.join("plain"));
        let (key, plain) = (key.to_str().unwrap(), plain.to_str().unwrap());
        let opened = openssl(&["pkcs8", "-in", key, "-passin", &from, "-out", plain]);
        assert!(opened.status.success(), "{}", said(&opened));
        let locked =
            ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "1", "-in", plain, "-passout", &from, "-out", key];
        let locked = openssl(&locked);
        assert!(locked.status.success(), "{}", said(&locked));
    }
}

/// Which steps a victim may be told to die at, and how often they are passed before.
fn order(round: usize) -> Option<String> {
    if round.is_multiple_of(ANY_MOMENT) {
        return None;
    }
    let steps: Vec<_> = CrashPoint::ALL.into_iter().filter(|step| *step != CrashPoint::AfterKeyFiles).collect();
    let turn = round / ANY_MOMENT * (ANY_MOMENT - 1) + round % ANY_MOMENT;
    Some(format!("{}:{}", steps[turn % steps.len()].as_str(), 1 + turn / steps.len() % 4))
}

/// Starts a victim and sees it die as it was told to.
fn kill(folder: &Path, round: usize) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "authority::tests::kills::victim", "--nocapture"]).env(FOLDER, folder);
    let errors = folder.join("errors");
    command.stdout(Stdio::null()).stderr(std::fs::File::create(&errors).unwrap());
    let step = order(round);
    if let Some(step) = &step {
        command.env(CRASH_AT, step);
    }
    let mut victim = command.spawn().unwrap();
    if step.is_none() {
        // Spread over the start, the first requests, and the full run.
        std::thread::sleep(Span::from_millis(20 + (round * 7919 % 180) as u64));
        victim.kill().unwrap();
    }
    let expected = if step.is_some() { SIGABRT } else { SIGKILL };
    let started = std::time::Instant::now();
    let status = loop {
        match victim.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > PATIENCE => panic!("the victim of round {round} ({step:?}) lives on"),
            None => std::thread::sleep(Span::from_millis(2)),
        }
    };
    let errors = std::fs::read_to_string(&errors).unwrap();
    assert_eq!(status.signal(), Some(expected), "round {round} ({step:?}): {errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_kills_lose_nothing_and_give_nothing_away() {
    let mut houses = tokio::task::JoinSet::new();
    for house in 0..HOUSES {
        let folder = copy_of_template().await;
        houses.spawn_blocking(move || {
            cheapen(folder.path());
            for round in (house..KILLS).step_by(HOUSES) {
                kill(folder.path(), round);
            }
            folder
        });
    }
    let (mut rows, mut told) = (0, 0);
    while let Some(folder) = houses.join_next().await {
        let folder = folder.unwrap();
        let witness = Witness(folder.path().join("witness"));
        rows += check(&open(folder.path()).await, &witness).await;
        let (issued, revoked) = witness.testimony();
        assert!(!issued.is_empty() && !revoked.is_empty());
        told += issued.len() + revoked.len();
    }
    println!("{KILLS} kills: {rows} certificates on record, {told} answers given, none of them lost");
}
