use super::*;

async fn empty() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
    (folder, store)
}

async fn initialise(store: &Store, keys: &KeyDirectory) -> Result<Initialised, Failure> {
    Authority::initialise(store, keys, &names(), &settings(), &Actor::local(), &Clock::manual(NOW)).await
}

#[tokio::test]
async fn doing_it_again_changes_nothing() {
    let (folder, store) = empty().await;
    let keys = keys_in(folder.path());
    let first = initialise(&store, &keys).await.unwrap();
    let rows = store::issuer::list(&store).await.unwrap();
    let second = initialise(&store, &keys).await.unwrap();
    assert_eq!((first.created, second.created), (true, false));
    assert_eq!(first.root_pem, second.root_pem);
    assert_eq!(store::issuer::list(&store).await.unwrap(), rows);
    let mut kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["issuing", "root", "server-issuing"]);
    let root = rows.iter().find(|row| row.kind == IssuerKind::Root).unwrap();
    assert!(root.subject.starts_with("O=Example, CN=Portcullis Root CA "), "{}", root.subject);
}

#[tokio::test]
async fn one_that_broke_off_is_resumed_with_its_keys() {
    let (folder, store) = empty().await;
    let keys = keys_in(folder.path());
    initialise(&store, &keys).await.unwrap();
    let kept = std::fs::read(folder.path().join("keys/root.key")).unwrap();
    store.close().await;

    // As a crash leaves it: the marker and the first key, no rows.
    let store = Store::open(&folder.path().join("fresh.db")).await.unwrap();
    std::fs::remove_file(folder.path().join("keys/issuing.key")).unwrap();
    assert_eq!(code(initialise(&store, &keys).await), "keys_without_database");
    std::fs::write(folder.path().join("keys/.initialising"), "").unwrap();
    let wrong = KeyDirectory::new(folder.path().join("keys"), Passphrase::new("incorrect horse".into()).unwrap());
    assert_eq!(code(initialise(&store, &wrong).await), "wrong_passphrase");
    assert!(store::issuer::list(&store).await.unwrap().is_empty());
    assert!(initialise(&store, &keys).await.unwrap().created);
    assert_eq!(std::fs::read(folder.path().join("keys/root.key")).unwrap(), kept);
    assert!(!folder.path().join("keys/.initialising").exists());
    assert_eq!(store::issuer::list(&store).await.unwrap().len(), 3);
}

#[tokio::test]
async fn two_at_one_time_make_one_authority() {
    let (folder, store) = empty().await;
    let keys = keys_in(folder.path());
    let (one, two) = tokio::join!(initialise(&store, &keys), initialise(&store, &keys));
    let created =
        [&one, &two].iter().filter(|outcome| matches!(outcome, Ok(Initialised { created: true, .. }))).count();
    assert_eq!(created, 1);
    for outcome in [one, two] {
        if let Err(Failure::Refused(refusal)) = outcome {
            assert_eq!(refusal.code, "keys_locked");
        }
    }
    assert_eq!(store::issuer::list(&store).await.unwrap().len(), 3);
}

#[tokio::test]
async fn nothing_opens_before_it() {
    let (folder, store) = empty().await;
    let clock = Clock::manual(NOW);
    let snapshot = Snapshot::load(&store, &clock).await.unwrap();
    assert_eq!(
        code(Authority::open(settings(), keys_in(folder.path()), store, snapshot, clock).await),
        "not_initialised"
    );
}

#[tokio::test]
async fn openssl_accepts_the_authorities() {
    let house = House::new().await;
    let root = house.write("root.pem", house.authority.root_pem());
    for issuer in house.authority.issuers() {
        let file = house.write("issuer.pem", &issuer.certificate_pem);
        let at = NOW.0.to_string();
        let output = openssl(&["verify", "-x509_strict", "-attime", &at, "-CAfile", &root, &file]);
        assert!(output.status.success(), "{}", said(&output));
    }
}
