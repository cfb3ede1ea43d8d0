use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::authority::publish::{ListName, Scope};

fn crl_of(house: &House, kind: &str) -> CrlView {
    house.authority.issuers().into_iter().find(|issuer| issuer.kind == kind).and_then(|issuer| issuer.crl).unwrap()
}

/// Returns when the complete list of the issuing authority has this number.
async fn published(house: &House, number: i64) {
    for _ in 0..1000 {
        if crl_of(house, "issuing").number >= number {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("list {number} was not published");
}

async fn serials_on_list(house: &House) -> String {
    let list = house.write("list.crl", house.list().await);
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
    assert!(serials_on_list(&house).await.contains("no revoked certificates"));
    let issued = house.issue().await;
    let lists = house.get("/chain.crl.pem", None).await;
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
    assert!(serials_on_list(&house).await.contains(&issued.certificate.id));
    house.clock.advance(Duration::from_secs(86_400));
    house.authority.publish_now().await.unwrap();
    assert!(!serials_on_list(&house).await.contains(&issued.certificate.id));
}

#[tokio::test]
async fn what_is_served_is_what_was_published() {
    let house = House::new().await;
    let id = house.issuing().id;
    let path = format!("/crl/{id}.crl");
    let get = async |path: &str| house.get(path, None).await;
    assert_eq!(get(&path).await.status(), http::StatusCode::NOT_FOUND);
    assert_eq!(get("/ca.pem").await.body(), house.authority.root_pem().as_bytes());
    house.authority.publish_now().await.unwrap();
    let first = get(&path).await;
    assert_eq!(first.body(), &house.list().await);
    let etag = first.headers()[http::header::ETAG].to_str().unwrap().to_owned();
    let again = house.get(&path, Some(&etag)).await;
    assert_eq!(again.status(), http::StatusCode::NOT_MODIFIED);
    house.authority.publish_now().await.unwrap();
    let again = house.get(&path, Some(&etag)).await;
    assert_eq!(again.status(), http::StatusCode::OK);
    let house = house.reopen().await;
    assert_eq!(house.get(&path, None).await.status(), http::StatusCode::OK);
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
    assert!(serials_on_list(&house).await.contains(&issued.certificate.id));
    assert_eq!(crl_of(&house, "server-issuing").number, 1, "nothing of that authority was revoked");
    shutdown.cancel();
    task.await.unwrap();

    house.clock.advance(Duration::from_secs(12 * 3600));
    let task = tokio::spawn(house.authority.clone().run_publisher(CancellationToken::new()));
    published(3).await;
    task.abort();
    let crl = crl_of(&house, "issuing");
    // It begins five minutes ago, for readers whose clock is behind.
    assert_eq!((crl.this_update, crl.next_update), (NOW.0 + DAY / 2 - 300, NOW.0 + DAY + DAY / 2));
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

/// Revoked long ago, in numbers: rows that no issuance stands behind.
async fn add_revoked(house: &House, count: u32) {
    let issuer = house.issuing().id;
    let partitions = house.issuing().crl_partitions;
    let mut tx = house.store.begin().await.unwrap();
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
         INSERT INTO certificates (issuer_key_id, serial, state, client_id, kind, subject, spki_fingerprint, not_before, not_after,
                                   crl_partition, created_at)
         SELECT $1, '40' || lower(hex(randomblob(11))) || printf('%08x', i), 'issued', 'acme-orders', 'client', 'CN=x', 'ff', 0, $3,
                i % $4, 0 FROM n",
    )
    .bind(&issuer)
    .bind(count)
    .bind(NOW.0 + 100 * DAY)
    .bind(partitions)
    .execute(tx.connection())
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO revocations (issuer_key_id, serial, revoked_at, reason, not_after, crl_partition)
         SELECT issuer_key_id, serial, 1700000000, 'superseded', not_after, crl_partition FROM certificates WHERE subject = 'CN=x'",
    )
    .execute(tx.connection())
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

async fn read(house: &House, path: &str) -> pki::RevocationList {
    let answer = house.get(path, None).await;
    assert_eq!(answer.status(), http::StatusCode::OK, "{path}");
    let length: usize = answer.headers()[http::header::CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
    assert_eq!(length, answer.body().len(), "{path}");
    let mut lists = pki::RevocationList::read_all(answer.body()).unwrap();
    let list = lists.pop().unwrap();
    list.verify(&x509(&house.issuing().certificate_pem)).unwrap();
    list
}

fn x509(pem: &str) -> Vec<u8> {
    pki::pem_certificates(pem.as_bytes()).unwrap().remove(0)
}

#[tokio::test]
async fn a_long_list_is_written_and_sent_in_pieces() {
    let house = House::new().await;
    add_revoked(&house, 12_345).await;
    let issued = house.issue().await;
    house.revoke(&issued, "key-compromise").await;
    house.authority.publish_now().await.unwrap();
    let id = house.issuing().id;
    let view = crl_of(&house, "issuing");
    assert_eq!(view.entries, Some(12_346));
    let answer = house.authority.answer(&http::Method::GET, &format!("/crl/{id}.crl"), None);
    assert!(matches!(answer.body(), Content::Lists(_)), "it is not held in memory");
    for path in [format!("/crl/{id}.crl"), format!("/crl/{id}.pem")] {
        let list = read(&house, &path).await;
        assert_eq!(list.len(), 12_346);
        let leaf = x509(&issued.certificate_pem);
        assert_eq!(list.revocation(&leaf).unwrap().unwrap().reason, pki::RevocationReason::KeyCompromise);
        assert!(list.covers(&leaf).unwrap());
    }
    let lists = house.get("/chain.crl.pem", None).await;
    let (good, text) = openssl_verifies(&house, &issued, Some(&house.write("lists.pem", lists.body())));
    assert!(!good && text.contains("certificate revoked"), "{text}");
    // Whoever is fetching it while the next one comes gets it to the end.
    let slow = house.authority.answer(&http::Method::GET, &format!("/crl/{id}.crl"), None).into_body();
    let again = house.authority.answer(&http::Method::GET, &format!("/crl/{id}.crl"), None).into_body();
    house.authority.publish_now().await.unwrap();
    assert_eq!(pki::RevocationList::parse(&slow.read().await.unwrap()).unwrap().len(), 12_346);
    house.authority.publish_now().await.unwrap();
    assert!(again.read().await.is_err(), "replaced twice: it breaks off and is not mixed");
    let house = house.reopen().await;
    assert_eq!(read(&house, &format!("/crl/{id}.crl")).await.len(), 12_346, "a restart serves what was published");
}

#[tokio::test]
async fn divided_revocations_stand_on_the_list_that_the_certificate_names() {
    let house = House::divided(4).await;
    house.authority.publish_due().await;
    let (id, root) = (house.issuing().id, house.authority.root_pem());
    let mut issued = Vec::new();
    let mut numbers = std::collections::BTreeSet::new();
    while numbers.len() < 2 {
        let one = house.issue().await;
        let [address] = pki::distribution_addresses(&x509(&one.certificate_pem)).unwrap().try_into().unwrap();
        let number = address.strip_prefix(&format!("http://pki.example.com/crl/{id}/")).unwrap();
        let number: u32 = number.strip_suffix(".crl").unwrap().parse().unwrap();
        assert!(number < 4);
        numbers.insert(number);
        issued.push((one, number));
    }
    let (revoked, partition) = issued.pop().unwrap();
    let before = crl_of(&house, "issuing").number;
    house.revoke(&revoked, "superseded").await;
    published(&house, before + 2).await;
    house.authority.publish_due().await;
    assert_eq!(crl_of(&house, "issuing").number, before + 2, "only its partition and the complete list were made anew");
    let leaf = x509(&revoked.certificate_pem);
    for number in 0..4 {
        let list = read(&house, &format!("/crl/{id}/{number}.crl")).await;
        assert_eq!(list.covers(&leaf).unwrap(), number == partition);
        assert_eq!(list.revocation(&leaf).unwrap().is_some(), number == partition);
    }
    let complete = read(&house, &format!("/crl/{id}.crl")).await;
    assert!(complete.covers(&leaf).unwrap() && complete.revocation(&leaf).unwrap().is_some());

    // OpenSSL takes the one that the certificate names, and no other in its place.
    let root_list = house.get(&format!("/crl/{}.pem", house.authority.issuers()[0].id), None).await;
    let verify = async |one: &Issued, number: u32| {
        let list = house.get(&format!("/crl/{id}/{number}.crl"), None).await;
        let lists = [pki::pem_crl(list.body()).as_bytes(), root_list.body()].concat();
        openssl_verifies(&house, one, Some(&house.write("lists.pem", lists)))
    };
    let (good, text) = verify(&revoked, partition).await;
    assert!(!good && text.contains("certificate revoked"), "{text}");
    let (good, text) = verify(&revoked, (partition + 1) % 4).await;
    assert!(!good && text.contains("scope"), "{text}");
    let (alive, of_alive) = &issued[0];
    let (good, text) = verify(alive, *of_alive).await;
    assert!(good, "{text} {root}");
    let list = house.write("part.crl", house.get(&format!("/crl/{id}/{partition}.crl"), None).await.body());
    let text = said(&openssl(&["crl", "-inform", "DER", "-in", &list, "-noout", "-text"]));
    for wanted in ["X509v3 Issuing Distribution Point: critical", "Only User Certificates"] {
        assert!(text.contains(wanted), "{text}");
    }
}

#[tokio::test]
async fn a_list_that_takes_long_rests_and_then_comes() {
    let house = House::new().await;
    let name = ListName::new(&house.issuing().id.parse().unwrap(), Scope::Complete);
    house.authority.publish_now().await.unwrap();
    house.authority.inner.publisher.rest(name, Duration::from_secs(2), house.clock.monotonic_nanos());
    let issued = house.issue().await;
    let before = crl_of(&house, "issuing").number;
    house.revoke(&issued, "superseded").await;
    assert_eq!(crl_of(&house, "issuing").number, before, "the list rests");
    assert!(house.entry(&issued).unwrap().revoked.is_some(), "the revocation does not");
    house.clock.advance(Duration::from_secs(7));
    house.authority.publish_due().await;
    assert!(serials_on_list(&house).await.contains(&issued.certificate.id));
}
