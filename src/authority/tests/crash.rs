//! The process dies at each step, for real: this test binary runs itself once more as the victim.

use std::os::unix::process::ExitStatusExt as _;

use super::crash_point::CRASH_AT;
use super::*;
use crate::store::certificate::CertificateState;

const FOLDER: &str = "PORTCULLIS_TEST_CRASH_FOLDER";
const SIGABRT: i32 = 6;

/// Not a test by itself: what the victim does. Without a folder to do it in, nothing.
#[tokio::test]
async fn victim() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let (folder, clock) = (Path::new(&folder), Clock::manual(NOW));
    let store = Store::open(&folder.join("portcullis.db")).await.unwrap();
    Authority::initialise(&store, &keys_in(folder), &names(), &settings(), &Actor::local(), &clock).await.unwrap();
    let snapshot = Snapshot::load(&store, &clock).await.unwrap();
    let authority = Authority::open(settings(), keys_in(folder), store, snapshot, clock).await.unwrap();
    let issued = authority.issue(certificate_for("acme-orders"), &admin()).await.unwrap();
    std::fs::write(folder.join("handed-out"), &issued.certificate.id).unwrap();
    authority.revoke(named(&issued), pki::RevocationReason::KeyCompromise, &admin()).await.unwrap();
    std::fs::write(folder.join("revoked"), "").unwrap();
}

async fn die_at(step: &str, folder: &Path) {
    let (binary, folder, step) = (std::env::current_exe().unwrap(), folder.to_owned(), step.to_owned());
    let output = tokio::task::spawn_blocking(move || {
        Command::new(binary)
            .args(["--exact", "authority::tests::crash::victim", "--nocapture"])
            .env(FOLDER, folder)
            .env(CRASH_AT, step)
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    assert_eq!(output.status.signal(), Some(SIGABRT), "{}", said(&output));
}

#[tokio::test]
async fn no_certificate_without_its_row_and_no_row_that_is_good_by_accident() {
    for (step, state, handed_out) in [
        ("after-reserve", CertificateState::Orphaned, false),
        ("after-sign", CertificateState::Orphaned, false),
        ("after-store", CertificateState::Issued, false),
        ("before-answer", CertificateState::Issued, false),
        ("after-revoke", CertificateState::Issued, true),
    ] {
        let folder = copy_of_template().await;
        die_at(step, folder.path()).await;
        assert_eq!(folder.path().join("handed-out").exists(), handed_out, "{step}");
        assert!(!folder.path().join("revoked").exists(), "{step}");
        let house = House::open(folder, Clock::manual(NOW)).await;
        let rows = store::certificate::list(&house.store, &Default::default()).await.unwrap();
        assert_eq!(rows.len(), 1, "{step}");
        assert_eq!(rows[0].state, state, "{step}");
        // A revocation that was stored is in force after the crash, although nobody was told.
        let good = state == CertificateState::Issued && step != "after-revoke";
        let entry =
            house.snapshot.certificate(&rows[0].issuer_key_id.parse().unwrap(), &rows[0].serial.parse().unwrap());
        assert_eq!(entry.unwrap().revoked.is_none(), good, "{step}");
        house.issue().await;
    }
}

#[tokio::test]
async fn an_initialisation_that_dies_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    die_at("after-key-files", folder.path()).await;
    let kept = std::fs::read(folder.path().join("keys/issuing.key")).unwrap();
    let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
    assert!(store::issuer::list(&store).await.unwrap().is_empty());
    let (keys, clock) = (keys_in(folder.path()), Clock::manual(NOW));
    let made = Authority::initialise(&store, &keys, &names(), &settings(), &Actor::local(), &clock).await.unwrap();
    assert!(made.created);
    assert_eq!(std::fs::read(folder.path().join("keys/issuing.key")).unwrap(), kept);
    assert_eq!(store::issuer::list(&store).await.unwrap().len(), 3);
}
