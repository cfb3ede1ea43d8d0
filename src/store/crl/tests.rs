use policies::UnixSeconds;

use crate::store::tests::store;
use crate::store::{crl, issuer};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

#[tokio::test]
async fn crl_numbers_rise_and_an_older_list_does_not_replace_a_newer() {
    let (_folder, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    assert_eq!(issuer::next_crl_number(&mut tx, "aa").await.unwrap(), 1);
    assert_eq!(issuer::next_crl_number(&mut tx, "aa").await.unwrap(), 2);
    assert!(issuer::next_crl_number(&mut tx, "none").await.is_err());
    let list = |number: i64, scope| crl::CrlRow {
        issuer_key_id: "aa".into(),
        scope,
        number,
        this_update: NOW.0,
        next_update: NOW.0 + 10,
        entries: Some(0),
        octets: 3,
        list: format!("{scope}.{number}"),
    };
    let three = list(3, 0);
    assert!(crl::save_whole(&mut tx, &whole(2), NOW).await.unwrap());
    assert!(!crl::save_whole(&mut tx, &whole(1), NOW).await.unwrap());
    assert!(crl::save(&mut tx, &three).await.unwrap());
    tx.commit().await.unwrap();
    let two = crl::get(&store, "aa").await.unwrap().unwrap();
    assert_eq!((two.number, two.octets, two.list.as_str()), (2, 1, "aa.2"));
    assert_eq!(crl::of_issuer(&store, "aa").await.unwrap(), [two, three]);
    assert_eq!(crl::piece(&store, "aa.2", 0).await.unwrap().unwrap(), b"x");
    assert!(crl::piece(&store, "aa.1", 0).await.unwrap().is_none(), "what was not published is not there");
}

fn whole(number: i64) -> crl::WholeList {
    crl::WholeList {
        issuer_key_id: "aa".into(),
        number,
        this_update: NOW.0,
        next_update: NOW.0 + 10,
        der: b"x".to_vec(),
    }
}

#[tokio::test]
async fn of_lists_the_newest_and_the_one_before_are_kept() {
    let (_folder, store) = store().await;
    for number in 1..=4 {
        let mut tx = store.begin().await.unwrap();
        assert!(crl::save_whole(&mut tx, &whole(number), NOW).await.unwrap());
        // Half written when the process ended.
        crl::write_piece(&mut tx, &format!("half {number}"), 1, b"y", NOW).await.unwrap();
        tx.commit().await.unwrap();
    }
    let there = async |list: &str, position| crl::piece(&store, list, position).await.unwrap().is_some();
    assert_eq!(
        [there("aa.1", 0).await, there("aa.2", 0).await, there("aa.3", 0).await, there("aa.4", 0).await],
        [false, false, true, true]
    );
    let mut tx = store.begin().await.unwrap();
    assert_eq!(crl::discard_unfinished(&mut tx, NOW).await.unwrap(), 0, "it may be at work still");
    assert_eq!(crl::discard_unfinished(&mut tx, UnixSeconds(NOW.0 + 1)).await.unwrap(), 4);
    tx.commit().await.unwrap();
    assert!(there("aa.3", 0).await && there("aa.4", 0).await);
}
