use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

async fn try_open(folder: &Path, keys: KeyDirectory) -> Result<Authority, Failure> {
    let (store, clock) = (Store::open(&folder.join("portcullis.db")).await.unwrap(), Clock::manual(NOW));
    let snapshot = Snapshot::load(&store, &clock).await.unwrap();
    Authority::open(settings(), keys, store, snapshot, clock).await
}

#[tokio::test]
async fn key_files_are_for_their_owner_alone() {
    let folder = copy_of_template().await;
    let key = folder.path().join("keys/issuing.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&key).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    for open in [0o644, 0o640, 0o604, 0o620] {
        mode(&key, open);
        let error = try_open(folder.path(), keys_in(folder.path())).await.unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert_eq!(code(Err::<(), _>(error)), "key_file_exposed");
    }
    mode(&key, 0o400);
    try_open(folder.path(), keys_in(folder.path())).await.unwrap();
}

#[tokio::test]
async fn a_wrong_passphrase_a_missing_and_a_swapped_key_are_told_apart() {
    let folder = copy_of_template().await;
    let wrong = KeyDirectory::new(folder.path().join("keys"), Passphrase::new("incorrect horse".into()).unwrap());
    let error = try_open(folder.path(), wrong).await.unwrap_err();
    assert!(error.to_string().contains("passphrase is wrong"), "{error}");
    assert_eq!(code(Err::<(), _>(error)), "wrong_passphrase");

    let (issuing, server) = (folder.path().join("keys/issuing.key"), folder.path().join("keys/server-issuing.key"));
    let keys = keys_in(folder.path());
    std::fs::copy(&server, &issuing).unwrap();
    assert_eq!(code(try_open(folder.path(), keys.clone()).await), "key_mismatch");
    std::fs::write(&issuing, "hello").unwrap();
    assert_eq!(code(try_open(folder.path(), keys.clone()).await), "key_file_damaged");
    std::fs::remove_file(&issuing).unwrap();
    assert_eq!(code(try_open(folder.path(), keys).await), "key_file_missing");
}

#[tokio::test]
async fn serving_does_not_need_the_roots_key() {
    let folder = copy_of_template().await;
    std::fs::remove_file(folder.path().join("keys/root.key")).unwrap();
    let authority = try_open(folder.path(), keys_in(folder.path())).await.unwrap();
    let root = &authority.issuers()[0];
    assert_eq!((root.kind, root.signs), ("root", false));
    let anchors = authority.trust_anchors();
    assert_eq!(pki::pem_certificate(&anchors.roots[0]), authority.root_pem());
    assert_eq!(anchors.issuing.len(), 1);
}

#[test]
fn a_passphrase_comes_from_a_file_that_not_everybody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passphrase");
    std::fs::write(&path, format!("{PASSPHRASE}\n")).unwrap();
    mode(&path, 0o640);
    let passphrase = Passphrase::from_file(&path).unwrap();
    assert_eq!(passphrase.expose(), PASSPHRASE.as_bytes());
    assert_eq!(format!("{passphrase:?}"), "Passphrase(hidden)");
    mode(&path, 0o644);
    assert_eq!(code(Passphrase::from_file(&path)), "passphrase_exposed");
    mode(&path, 0o600);
    for (text, expected) in [
        ("short\n".to_owned(), "weak_passphrase"),
        ("two lines\nof passphrase\n".to_owned(), "invalid_passphrase"),
        ("x".repeat(1025), "invalid_passphrase"),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(code(Passphrase::from_file(&path)), expected);
    }
    assert_eq!(code(Passphrase::from_file(&folder.path().join("none"))), "passphrase_unreadable");
    assert_eq!(code(Passphrase::from_file(folder.path())), "passphrase_unreadable");
}

#[tokio::test]
async fn bad_settings_are_refused() {
    let house = House::new().await;
    for change in [
        |settings: &mut AuthoritySettings| settings.trust_domain = "API.example.com/x".into(),
        |settings: &mut AuthoritySettings| settings.pki_url = Some("https://pki.example.com".into()),
        |settings: &mut AuthoritySettings| settings.pki_url = Some("http://pki.example.com/".into()),
        |settings: &mut AuthoritySettings| settings.crl_lifetime_seconds = 60,
    ] {
        let mut settings = settings();
        change(&mut settings);
        let (keys, store) = (keys_in(house.path()), house.store.clone());
        let opened = Authority::open(settings, keys, store, house.snapshot.clone(), house.clock.clone()).await;
        assert_eq!(code(opened), "invalid_settings");
    }
}

/// Keys and tokens need no authority: the gate must open for them, and say what is the matter to those who ask for certificates.
#[tokio::test]
async fn an_authority_that_has_ended_signs_nothing_and_stops_nothing() {
    let house = House::new().await;
    let issued = house.issue().await;
    house.clock.advance(std::time::Duration::from_secs(4 * 365 * 86_400));
    let house = house.reopen().await;
    assert!(house.authority.issuers().iter().all(|issuer| !issuer.signs));
    assert_eq!(code(house.authority.issue(certificate_for("acme-orders"), &admin()).await), "outlives_issuer");
    house.revoke(&issued, "key-compromise").await;
    assert!(house.entry(&issued).unwrap().revoked.is_some());
    let shutdown = tokio_util::sync::CancellationToken::new();
    shutdown.cancel();
    let published =
        tokio::time::timeout(std::time::Duration::from_secs(5), house.authority.clone().run_publisher(shutdown));
    published.await.unwrap();
}
