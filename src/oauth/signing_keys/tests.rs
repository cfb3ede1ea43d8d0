use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const PASSPHRASE: &[u8] = b"correct horse";

async fn database() -> (TempDir, Store, Clock) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
    (folder, store, Clock::manual(NOW))
}

async fn open(store: &Store, clock: &Clock, algorithm: Algorithm) -> Result<SigningKeys, Fault> {
    SigningKeys::open(store.clone(), clock.clone(), algorithm, PASSPHRASE).await
}

fn published(keys: &SigningKeys) -> Vec<String> {
    let document: Value = serde_json::from_slice(&keys.ring().document).unwrap();
    document["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn active(keys: &SigningKeys) -> String {
    keys.ring().active.key_id().to_owned()
}

#[tokio::test]
async fn the_first_key_is_made_and_kept() {
    let (_folder, store, clock) = database().await;
    let keys = open(&store, &clock, Algorithm::Es256).await.unwrap();
    let kid = active(&keys);
    assert_eq!((published(&keys), kid.len()), (vec![kid.clone()], 43));
    let again = open(&store, &clock, Algorithm::Es256).await.unwrap();
    assert_eq!(active(&again), kid);
    let rows = signing_key::list(&store).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].private_key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert!(!format!("{keys:?}").contains("PRIVATE"));
    let wrong = SigningKeys::open(store, clock, Algorithm::Es256, b"wrong").await.unwrap_err();
    assert!(wrong.inside().contains(&kid), "{wrong}");
}

#[tokio::test]
async fn rotation_keeps_the_old_key_until_its_last_token_has_expired() {
    let (_folder, store, clock) = database().await;
    let keys = open(&store, &clock, Algorithm::Es256).await.unwrap();
    let (first, generation) = (active(&keys), keys.ring().generation);
    let second = keys.rotate(&Actor::local(), PASSPHRASE).await.unwrap();
    assert_eq!(active(&keys), second);
    assert_eq!(published(&keys), [second.clone(), first.clone()]);
    assert!(keys.ring().generation > generation);
    assert!(keys.ring().find(&first).is_some());
    clock.advance(Duration::from_secs(u64::try_from(RETIRING_SECONDS).unwrap() - 1));
    keys.remove_outdated().await.unwrap();
    assert_eq!(published(&keys).len(), 2);
    let restarted = open(&store, &clock, Algorithm::Es256).await.unwrap();
    assert_eq!(published(&restarted), published(&keys));
    clock.advance(Duration::from_secs(1));
    keys.remove_outdated().await.unwrap();
    assert_eq!(published(&keys), std::slice::from_ref(&second));
    assert_eq!(published(&open(&store, &clock, Algorithm::Es256).await.unwrap()), [second]);
}

#[tokio::test]
async fn another_algorithm_is_a_rotation() {
    let (_folder, store, clock) = database().await;
    let first = active(&open(&store, &clock, Algorithm::Es256).await.unwrap());
    let keys = open(&store, &clock, Algorithm::Rs256).await.unwrap();
    assert_eq!(keys.ring().active.algorithm(), Algorithm::Rs256);
    assert_eq!(published(&keys), [active(&keys), first]);
    assert!(open(&store, &clock, Algorithm::EdDsa).await.is_err());
}

#[tokio::test]
async fn a_leaked_key_is_withdrawn_at_once() {
    let (_folder, store, clock) = database().await;
    let keys = open(&store, &clock, Algorithm::Es256).await.unwrap();
    let first = active(&keys);
    let refused = keys.withdraw(&Actor::local(), &first).await.unwrap_err();
    assert!(matches!(refused, Failure::Refused(refusal) if refusal.code == "signing_key_active"));
    let second = keys.rotate(&Actor::local(), PASSPHRASE).await.unwrap();
    keys.withdraw(&Actor::local(), &first).await.unwrap();
    assert_eq!(published(&keys), std::slice::from_ref(&second));
    assert!(keys.ring().find(&first).is_none());
    assert_eq!(published(&open(&store, &clock, Algorithm::Es256).await.unwrap()), [second]);
    let unknown = keys.withdraw(&Actor::local(), "unknown").await.unwrap_err();
    assert!(matches!(unknown, Failure::Refused(refusal) if refusal.code == "signing_key_not_found"));
}
