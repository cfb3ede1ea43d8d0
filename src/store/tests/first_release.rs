use super::*;

/// What the first release wrote is there after the tables were made anew, and what hangs together still does.
#[tokio::test]
async fn a_database_of_the_first_release_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(true);
    let old = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let first = MIGRATOR.iter().filter(|migration| migration.version == 1).cloned().collect::<Vec<_>>();
    sqlx::migrate::Migrator::with_migrations(first).run(&old).await.unwrap();
    for statement in [
        "INSERT INTO partners (id, name, created_at) VALUES ('acme', 'Acme', 1)",
        "INSERT INTO clients (id, partner_id, scopes, networks, created_at) VALUES ('orders', 'acme', '[]', '[]', 1)",
        "INSERT INTO issuers (key_id, kind, state, subject, certificate, key_file, not_after, crl_number, created_at)
         VALUES ('aa', 'issuing', 'active', 'CN=A', x'01', 'issuing.key', 99, 7, 5)",
        "INSERT INTO certificates (issuer_key_id, serial, state, client_id, kind, subject, spki_fingerprint, thumbprint,
         not_before, not_after, scopes, networks, der, created_at)
         VALUES ('aa', '0b', 'issued', 'orders', 'client', 'CN=o', 'ff', 'ee', 1, 90, NULL, '[\"10.0.0.0/8\"]', x'02', 6)",
        "INSERT INTO revocations (issuer_key_id, serial, revoked_at, reason) VALUES ('aa', '0b', 8, 'superseded')",
        "INSERT INTO crls (issuer_key_id, number, this_update, next_update, der) VALUES ('aa', 7, 8, 9, x'03')",
    ] {
        sqlx::query(statement).execute(&old).await.unwrap();
    }
    old.close().await;

    let store = Store::open(&path).await.unwrap();
    let issuer = issuer::get(&store, "aa").await.unwrap().unwrap();
    assert_eq!((issuer.key_location.as_deref(), issuer.crl_number, issuer.state_since), (Some("issuing.key"), 7, 5));
    let row = certificate::get(&store, "aa", "0b").await.unwrap().unwrap();
    assert_eq!((row.revoked_at, row.revocation_reason.as_deref()), (Some(8), Some("superseded")));
    assert_eq!((row.networks.unwrap(), row.crl_partition), (vec!["10.0.0.0/8".to_owned()], 0));
    assert_eq!(certificate::der(&store, "aa", "0b").await.unwrap().unwrap(), [2]);
    assert_eq!(crl::get(&store, "aa").await.unwrap().unwrap().number, 7);
    let broken: Vec<(String,)> =
        sqlx::query_as("SELECT \"table\" FROM pragma_foreign_key_check").fetch_all(store.readers()).await.unwrap();
    assert!(broken.is_empty(), "{broken:?}");
}
