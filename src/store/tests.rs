use policies::UnixSeconds;
use tempfile::TempDir;

use super::certificate::{CertificateFilter, CertificateKind, CertificateState, Reservation};
use super::client::ClientRow;
use super::issuer::{IssuerKind, IssuerRow, IssuerState};
use super::partner::PartnerRow;
use super::revocation::{EntryFilter, RevocationRow};
use super::revoked_token::RevokedTokenRow;
use super::*;

mod first_release;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

pub(super) async fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let partner = PartnerRow {
        id: "acme".into(),
        name: "Acme".into(),
        contact: None,
        enabled: true,
        managed_by: None,
        withdrawn_by: None,
        networks: vec![],
        usage_plan: None,
        created_at: NOW.0,
    };
    partner::insert(&mut tx, &partner, NOW).await.unwrap();
    let client = ClientRow {
        id: "acme-orders".into(),
        partner_id: "acme".into(),
        description: None,
        enabled: true,
        managed_by: None,
        withdrawn_by: None,
        scopes: vec!["api/read".into()],
        networks: vec![],
        usage_plan: None,
        tokens_not_before: None,
        created_at: NOW.0,
    };
    client::insert(&mut tx, &client, NOW).await.unwrap();
    let issuer = IssuerRow {
        key_id: "aa".into(),
        kind: IssuerKind::Issuing,
        state: IssuerState::Active,
        state_since: 0,
        tainted_at: None,
        subject: "CN=Issuing".into(),
        certificate: vec![1],
        key_location: None,
        crl_partitions: 1,
        not_after: NOW.0 + 1000,
        crl_number: 0,
        created_at: NOW.0,
    };
    issuer::insert(&mut tx, &issuer, NOW).await.unwrap();
    tx.commit().await.unwrap();
    (folder, store)
}

fn reservation(serial: &str) -> Reservation {
    Reservation {
        issuer_key_id: "aa".into(),
        serial: serial.into(),
        client_id: Some("acme-orders".into()),
        kind: CertificateKind::Client,
        subject: "CN=acme-orders".into(),
        spki_fingerprint: "ff".into(),
        not_before: NOW,
        not_after: UnixSeconds(NOW.0 + 100),
        scopes: Some(vec!["api/read".into()]),
        networks: None,
        profile: "client".to_owned(),
        key_algorithm: "ecdsa-p256".to_owned(),
        crl_partition: 0,
        replaces: None,
        enrollment_id: None,
        tbs: b"tbs".to_vec(),
    }
}

/// Handlers are spawned: their futures must be `Send`, which generic reads make easy to lose.
#[tokio::test]
async fn reads_can_be_spawned() {
    let (_folder, store) = store().await;
    let inside = store.clone();
    tokio::spawn(async move {
        let mut tx = inside.begin().await.unwrap();
        assert!(client::get(&inside, "acme-orders").await.unwrap().is_some());
        assert!(client::get(&mut tx, "acme-orders").await.unwrap().is_some());
        assert_eq!(client::list(&mut tx, &client::ClientFilter::default()).await.unwrap().len(), 1);
        assert!(certificate::listed::packet(&inside, 0).await.unwrap().is_none());
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    let (_folder, store) = store().await;
    let before = store.newest_change().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    certificate::insert_reserved(&mut tx, &reservation("01"), NOW).await.unwrap();
    assert!(certificate::get(&mut tx, "aa", "01").await.unwrap().is_some());
    drop(tx);
    assert!(certificate::get(&store, "aa", "01").await.unwrap().is_none());
    assert_eq!(store.newest_change().await.unwrap(), before);
}

#[tokio::test]
async fn a_certificate_goes_from_reserved_to_issued_to_revoked_and_never_back() {
    let (_folder, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    for serial in ["01", "02"] {
        certificate::insert_reserved(&mut tx, &reservation(serial), NOW).await.unwrap();
    }
    assert!(
        !certificate::mark_issued(&mut tx, "aa", "01", b"what else was signed", b"der", "cafe", NOW).await.unwrap()
    );
    assert!(certificate::mark_issued(&mut tx, "aa", "01", b"tbs", b"der", "cafe", NOW).await.unwrap());
    assert!(!certificate::mark_issued(&mut tx, "aa", "01", b"tbs", b"other", "beef", NOW).await.unwrap());
    assert_eq!(certificate::orphan_reserved(&mut tx, NOW).await.unwrap(), 1);
    assert!(!certificate::mark_issued(&mut tx, "aa", "02", b"tbs", b"late", "dead", NOW).await.unwrap());
    assert!(revocation::insert(&mut tx, "aa", "01", "key-compromise", NOW).await.unwrap());
    assert!(!revocation::insert(&mut tx, "aa", "01", "superseded", UnixSeconds(NOW.0 + 5)).await.unwrap());
    tx.commit().await.unwrap();

    let row = certificate::find_by_thumbprint(&store, "cafe").await.unwrap().unwrap();
    assert_eq!((row.state, row.revoked_at), (CertificateState::Issued, Some(NOW.0)));
    assert_eq!(row.revocation_reason.as_deref(), Some("key-compromise"));
    assert_eq!(row.scopes.as_deref(), Some(&["api/read".to_owned()][..]));
    assert_eq!(row.networks, None);
    assert_eq!(certificate::der(&store, "aa", "01").await.unwrap().as_deref(), Some(&b"der"[..]));
    let orphan = &certificate::find_by_serial(&store, "02").await.unwrap()[0];
    assert_eq!(orphan.state, CertificateState::Orphaned);
    assert_eq!(certificate::find_by_key(&store, "ff").await.unwrap().len(), 2);

    let filter = |ends_from, crl_partition| EntryFilter { issuer_key_id: "aa", crl_partition, ends_from };
    let listed = revocation::page(&store, &filter(NOW, 0), "", 10).await.unwrap();
    assert_eq!(listed.last_serial(), Some("01"));
    let row = RevocationRow { serial: "01", revoked_at: NOW.0, reason: "key-compromise" };
    assert_eq!(listed.rows().unwrap(), [row]);
    for (filter, after) in [(filter(UnixSeconds(NOW.0 + 101), 0), ""), (filter(NOW, 1), ""), (filter(NOW, 0), "01")] {
        assert!(
            revocation::page(&store, &filter, after, 10).await.unwrap().last_serial().is_none(),
            "{filter:?} {after}"
        );
    }
    let orphans = revocation::orphans_page(&store, &filter(NOW, 0), "", 10).await.unwrap();
    assert_eq!(orphans.rows().unwrap().iter().map(|row| row.serial).collect::<Vec<_>>(), ["02"]);

    let filter = CertificateFilter { revoked: Some(false), client: Some("acme-orders".into()), ..Default::default() };
    let good = certificate::list(&store, &filter).await.unwrap();
    assert_eq!(good.iter().map(|row| row.serial.as_str()).collect::<Vec<_>>(), ["02"]);
    let filter = CertificateFilter { ends_before: Some(NOW), ..Default::default() };
    assert!(certificate::list(&store, &filter).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_revocation_outlives_the_token_by_the_leeway() {
    let (_folder, store) = store().await;
    let row = RevokedTokenRow {
        jti: "t1".into(),
        client_id: "acme-orders".into(),
        expires_at: NOW.0,
        revoked_at: NOW.0 - 10,
    };
    let mut tx = store.begin().await.unwrap();
    assert!(revoked_token::insert(&mut tx, &row, NOW).await.unwrap());
    assert!(!revoked_token::insert(&mut tx, &row, NOW).await.unwrap());
    assert_eq!(revoked_token::prune(&mut tx, UnixSeconds(NOW.0 + 60)).await.unwrap(), 0);
    assert_eq!(revoked_token::prune(&mut tx, UnixSeconds(NOW.0 + 61)).await.unwrap(), 1);
    assert!(revoked_token::get(&mut tx, "t1").await.unwrap().is_none());
}

#[tokio::test]
async fn tokens_not_before_never_moves_back() {
    let (_folder, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    assert!(client::revoke_tokens_before(&mut tx, "acme-orders", NOW, NOW).await.unwrap());
    assert!(client::revoke_tokens_before(&mut tx, "acme-orders", UnixSeconds(NOW.0 - 50), NOW).await.unwrap());
    assert!(!client::revoke_tokens_before(&mut tx, "nobody", NOW, NOW).await.unwrap());
    assert_eq!(client::get(&mut tx, "acme-orders").await.unwrap().unwrap().tokens_not_before, Some(NOW.0));
}

#[tokio::test]
async fn the_feed_gives_changes_in_the_order_of_their_commits() {
    let (_folder, store) = store().await;
    let start = store.newest_change().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.changed(ChangeKind::Token, "a", NOW).await.unwrap();
    tx.changed(ChangeKind::Client, "b", NOW).await.unwrap();
    tx.commit().await.unwrap();
    let changes = store.changes_since(start, 10).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(store.changes_since(start, 1).await.unwrap().len(), 1);
    assert!(store.changes_since(changes[1].seq, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_change_of_an_unknown_kind_keeps_its_place_among_the_others() {
    let (_folder, store) = store().await;
    let start = store.newest_change().await.unwrap();
    store.check_changes().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.changed(ChangeKind::Token, "a", NOW).await.unwrap();
    sqlx::query("INSERT INTO changes (kind, key, at) VALUES ('portal', 'x', 0)")
        .execute(tx.connection())
        .await
        .unwrap();
    tx.changed(ChangeKind::Client, "b", NOW).await.unwrap();
    tx.commit().await.unwrap();
    let kinds: Vec<_> = store.changes_since(start, 10).await.unwrap().into_iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [Ok(ChangeKind::Token), Err("portal".to_owned()), Ok(ChangeKind::Client)]);
    assert!(store.check_changes().await.is_err());
}

#[tokio::test]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, store) = store().await;
    let log = audit_log::AuditLog::open(&folder.path().join("audit.db")).await.unwrap();
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        names.push(file.file_name().into_string().unwrap());
    }
    assert!(names.iter().any(|name| name == "portcullis.db-wal") && names.len() >= 4, "{names:?}");
    log.close().await;
    store.close().await;
}
