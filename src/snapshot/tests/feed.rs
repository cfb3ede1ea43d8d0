//! Changes are taken in order, whole, and whatever cannot be read holds up no revocation.

use super::*;

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_not_taken_and_holds_up_no_revocation() {
    let fixture = Fixture::new().await;
    let mut tx = fixture.begin().await;
    issue(&mut tx, "51").await;
    tx.commit().await.unwrap();
    let snapshot = fixture.load().await;
    let place = snapshot.seq();

    let mut tx = fixture.begin().await;
    apply(&mut tx, 2, "[[portal]]\nname = \"of a newer version\"").await;
    revocation::insert(&mut tx, ISSUER, "51", "superseded", NOW).await.unwrap();
    tx.commit().await.unwrap();
    fixture.clock.advance(Duration::from_secs(9));
    for _ in 0..2 {
        assert!(snapshot.catch_up(&fixture.store).await.is_err());
        assert_eq!(snapshot.policy().version, 1);
        assert!(certificate_of(&snapshot, "51").unwrap().revoked.is_some());
        assert_eq!((snapshot.seq(), snapshot.age()), (place, Duration::from_secs(9)));
    }
    assert!(Snapshot::load(&fixture.store, &fixture.clock).await.is_err());

    let mut tx = fixture.begin().await;
    apply(&mut tx, 3, POLICY).await;
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    assert_eq!((snapshot.policy().version, snapshot.age()), (3, Duration::ZERO));
    assert_eq!(snapshot.seq(), fixture.store.newest_change().await.unwrap());
}

#[tokio::test]
async fn a_change_that_is_not_known_makes_the_node_stale() {
    let fixture = Fixture::new().await;
    let snapshot = fixture.load().await;
    let mut tx = fixture.begin().await;
    sqlx::query("INSERT INTO changes (kind, key, at) VALUES ('portal', 'x', 0)")
        .execute(tx.connection())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    fixture.clock.advance(Duration::from_secs(3));
    assert!(snapshot.catch_up(&fixture.store).await.is_err());
    assert_eq!(snapshot.age(), Duration::from_secs(3));
}

/// A newer node's change may itself be a revocation; it must not shadow those that this node does understand.
#[tokio::test]
async fn a_change_that_is_not_known_holds_up_no_revocation_and_is_no_start() {
    let fixture = Fixture::new().await;
    let mut tx = fixture.begin().await;
    for id in ["k1", "k2"] {
        api_key::insert(&mut tx, &key_row(id), NOW).await.unwrap();
    }
    tx.commit().await.unwrap();
    let snapshot = fixture.load().await;
    let mut tx = fixture.begin().await;
    api_key::revoke(&mut tx, "k1", "test", NOW).await.unwrap();
    sqlx::query("INSERT INTO changes (kind, key, at) VALUES ('portal', 'x', 0)")
        .execute(tx.connection())
        .await
        .unwrap();
    api_key::revoke(&mut tx, "k2", "test", NOW).await.unwrap();
    tx.commit().await.unwrap();
    let newest = fixture.store.newest_change().await.unwrap();
    for _ in 0..2 {
        assert!(snapshot.catch_up(&fixture.store).await.unwrap_err().inside().contains("portal"));
        assert!(snapshot.api_key("k1").unwrap().revoked && snapshot.api_key("k2").unwrap().revoked);
        assert_eq!(snapshot.seq().0, newest.0 - 2);
    }
    assert!(Snapshot::load(&fixture.store, &fixture.clock).await.is_err());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_refused_and_holds_up_nothing() {
    let fixture = Fixture::new().await;
    let mut tx = fixture.begin().await;
    issue(&mut tx, "51").await;
    api_key::insert(&mut tx, &key_row("k1"), NOW).await.unwrap();
    tx.commit().await.unwrap();
    let snapshot = fixture.load().await;
    let mut tx = fixture.begin().await;
    for damage in ["UPDATE certificates SET thumbprint = 'xx'", "UPDATE api_keys SET hmac = x'00'"] {
        sqlx::query(damage).execute(tx.connection()).await.unwrap();
    }
    tx.changed(ChangeKind::Certificate, &change_key(ISSUER, "51"), NOW).await.unwrap();
    tx.changed(ChangeKind::ApiKey, "k1", NOW).await.unwrap();
    tx.changed(ChangeKind::Certificate, "no certificate", NOW).await.unwrap();
    api_key::insert(&mut tx, &key_row("k2"), NOW).await.unwrap();
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    assert!(certificate_of(&snapshot, "51").is_none());
    assert!(snapshot.api_key("k1").is_none());
    assert!(snapshot.api_key("k2").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_catches_up_sees_what_was_committed_before() {
    let fixture = Fixture::new().await;
    let snapshot = fixture.load().await;
    let tasks: Vec<_> = (0..8)
        .map(|worker| {
            let (store, snapshot) = (fixture.store.clone(), snapshot.clone());
            tokio::spawn(async move {
                for round in 0..10 {
                    let id = format!("k{worker}x{round}");
                    let mut tx = store.begin().await.unwrap();
                    api_key::insert(&mut tx, &key_row(&id), NOW).await.unwrap();
                    tx.commit().await.unwrap();
                    snapshot.catch_up(&store).await.unwrap();
                    assert!(snapshot.api_key(&id).is_some());
                    let mut tx = store.begin().await.unwrap();
                    api_key::revoke(&mut tx, &id, "test", NOW).await.unwrap();
                    tx.commit().await.unwrap();
                    snapshot.catch_up(&store).await.unwrap();
                    assert!(snapshot.api_key(&id).unwrap().revoked);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(snapshot.seq(), fixture.store.newest_change().await.unwrap());
}

/// More changes than one batch, and the last word on each row wins.
#[tokio::test]
async fn a_long_feed_is_applied_to_its_end() {
    let fixture = Fixture::new().await;
    let snapshot = fixture.load().await;
    let mut tx = fixture.begin().await;
    for _ in 0..FEED_BATCH {
        for enabled in [false, true] {
            client::update(&mut tx, &ClientRow { enabled, ..machine("acme-orders") }, NOW).await.unwrap();
        }
    }
    client::update(&mut tx, &ClientRow { enabled: false, ..machine("acme-stock") }, NOW).await.unwrap();
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    assert!(snapshot.policy().client("acme-orders").unwrap().client.enabled);
    assert!(!snapshot.policy().client("acme-stock").unwrap().client.enabled);
}

#[tokio::test]
async fn issuers_and_signing_keys_are_announced() {
    let fixture = Fixture::new().await;
    let snapshot = fixture.load().await;
    let (mut issuers, mut keys) = (snapshot.issuer_changes(), snapshot.signing_key_changes());
    let mut tx = fixture.begin().await;
    issuer::set_state(&mut tx, ISSUER, IssuerState::Retiring, NOW).await.unwrap();
    tx.commit().await.unwrap();
    snapshot.catch_up(&fixture.store).await.unwrap();
    assert!(issuers.has_changed().unwrap() && !keys.has_changed().unwrap());
    let mut tx = fixture.begin().await;
    tx.changed(ChangeKind::SigningKey, "k", NOW).await.unwrap();
    tx.commit().await.unwrap();
    issuers.mark_unchanged();
    snapshot.catch_up(&fixture.store).await.unwrap();
    assert!(!issuers.has_changed().unwrap() && keys.has_changed().unwrap());
    keys.mark_unchanged();
}
