use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;

fn crl_of(house: &House, kind: &str) -> CrlView {
    house.authority.issuers().into_iter().find(|issuer| issuer.kind == kind).and_then(|issuer| issuer.crl).unwrap()
}

fn serials_on_list(house: &House) -> String {
    let list = house.write("list.crl", house.authority.crl(&house.issuing().id.parse().unwrap()).unwrap());
    said(&openssl(&["crl", "-inform", "DER", "-in", &list, "-noout", "-text"])).to_lowercase()
}

#[tokio::test]
async fn numbers_only_grow_also_across_restarts() {
    let mut house = House::new().await;
    assert_eq!(crl_of(&house, "root").number, 1);
    let mut last = 0;
    for _ in 0..3 {
        for _ in 0..2 {
            house.authority.publish_now().await.unwrap();
            let number = crl_of(&house, "issuing").number;
            assert!(number > last);
            last = number;
        }
        house = house.reopen().await;
        assert_eq!(crl_of(&house, "issuing").number, last, "a restart serves what was published");
    }
    assert_eq!(crl_of(&house, "root").number, 1);
}

#[tokio::test]
async fn publishers_at_one_time_take_different_numbers() {
    let house = House::new().await;
    let (keys, store, clock) = (keys_in(house.path()), house.store.clone(), house.clock.clone());
    let other = Authority::open(settings(), keys, store, house.snapshot.clone(), clock).await.unwrap();
    for _ in 0..5 {
        let (one, two) = tokio::join!(house.authority.publish_now(), other.publish_now());
        one.unwrap();
        two.unwrap();
    }
    let id = house.issuing().id;
    let (row, saved) = (
        store::issuer::get(&house.store, &id).await.unwrap().unwrap(),
        store::crl::get(&house.store, &id).await.unwrap().unwrap(),
    );
    assert_eq!((row.crl_number, saved.number), (10, 10));
}

#[tokio::test]
async fn an_empty_list_verifies() {
    let house = House::new().await;
    house.authority.publish_now().await.unwrap();
    assert!(serials_on_list(&house).contains("no revoked certificates"));
    let issued = house.issue().await;
    let lists = house.authority.answer(&http::Method::GET, "/chain.crl.pem", None);
    let (good, text) = openssl_verifies(&house, &issued, Some(&house.write("lists.pem", lists.body())));
    assert!(good, "{text}");
}

#[tokio::test]
async fn an_entry_outlives_its_certificate_by_one_list() {
    let house = House::new().await;
    let new = NewCertificate { lifetime_seconds: Some(3600), ..certificate_for("acme-orders") };
    let issued = house.authority.issue(new, &admin()).await.unwrap();
    house.revoke(&issued, "superseded").await;
    house.authority.publish_now().await.unwrap();
    // The publisher was away for a month. The first list after the end of the certificate must have it still.
    house.clock.advance(Duration::from_secs(30 * 86_400));
    house.authority.publish_now().await.unwrap();
    assert!(serials_on_list(&house).contains(&issued.certificate.id));
    house.clock.advance(Duration::from_secs(86_400));
    house.authority.publish_now().await.unwrap();
    assert!(!serials_on_list(&house).contains(&issued.certificate.id));
}

#[tokio::test]
async fn what_is_served_is_what_was_published() {
    let house = House::new().await;
    let id = house.issuing().id;
    let path = format!("/crl/{id}.crl");
    let get = |path: &str| house.authority.answer(&http::Method::GET, path, None);
    assert_eq!(get(&path).status(), http::StatusCode::NOT_FOUND);
    assert_eq!(get("/ca.pem").body(), house.authority.root_pem().as_bytes());
    house.authority.publish_now().await.unwrap();
    let first = get(&path);
    assert_eq!(first.body(), &house.authority.crl(&id.parse().unwrap()).unwrap());
    let etag = first.headers()[http::header::ETAG].to_str().unwrap().to_owned();
    let again = house.authority.answer(&http::Method::GET, &path, Some(&etag));
    assert_eq!(again.status(), http::StatusCode::NOT_MODIFIED);
    house.authority.publish_now().await.unwrap();
    let again = house.authority.answer(&http::Method::GET, &path, Some(&etag));
    assert_eq!(again.status(), http::StatusCode::OK);
    let house = house.reopen().await;
    assert_eq!(house.authority.answer(&http::Method::GET, &path, None).status(), http::StatusCode::OK);
}

#[tokio::test]
async fn the_task_publishes_after_a_revocation_and_at_half_life() {
    let house = House::new().await;
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(house.authority.clone().run_publisher(shutdown.clone()));
    let published = async |number: i64| {
        for _ in 0..200 {
            let crl = house.authority.issuers().into_iter().find(|issuer| issuer.kind == "issuing").unwrap().crl;
            if crl.is_some_and(|crl| crl.number >= number) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("list {number} was not published");
    };
    // At the start, whatever stood before.
    published(1).await;
    let issued = house.issue().await;
    house.revoke(&issued, "superseded").await;
    published(2).await;
    assert!(serials_on_list(&house).contains(&issued.certificate.id));
    assert_eq!(crl_of(&house, "server-issuing").number, 1, "nothing of that authority was revoked");
    shutdown.cancel();
    task.await.unwrap();

    house.clock.advance(Duration::from_secs(12 * 3600));
    let task = tokio::spawn(house.authority.clone().run_publisher(CancellationToken::new()));
    published(3).await;
    task.abort();
    let crl = crl_of(&house, "issuing");
    assert_eq!((crl.this_update, crl.next_update), (NOW.0 + DAY / 2, NOW.0 + DAY + DAY / 2));
}

#[tokio::test]
async fn a_revocation_does_not_wait_for_a_list_that_cannot_be_made() {
    let house = House::new().await;
    let issued = house.issue().await;
    // No list can be saved any more: the table is gone.
    let mut tx = house.store.begin().await.unwrap();
    sqlx::query("DROP TABLE crls").execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(house.authority.clone().run_publisher(shutdown.clone()));
    let revoked = house.revoke(&issued, "key-compromise").await;
    assert!(revoked.revoked[0].newly);
    assert!(house.entry(&issued).unwrap().revoked.is_some());
    assert!(house.authority.publish_now().await.is_err());
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn the_root_signs_its_next_list_when_its_key_is_brought() {
    let house = House::new().await;
    house.clock.advance(Duration::from_secs(300 * 86_400));
    house.authority.publish_root(&admin()).await.unwrap();
    let crl = crl_of(&house, "root");
    assert_eq!((crl.number, crl.next_update), (2, NOW.0 + 665 * DAY));
    std::fs::rename(house.path().join("keys/root.key"), house.path().join("vault.key")).unwrap();
    assert_eq!(code(house.authority.publish_root(&admin()).await), "key_file_missing");
}
