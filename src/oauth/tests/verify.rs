//! What the gate asks on every request.

use super::*;

#[tokio::test]
async fn time_is_asked_on_every_use() {
    let fixture = Fixture::new().await;
    let token = fixture.access_token().await;
    for (wait, status) in [
        (0, CredentialStatus::Active),
        (3600, CredentialStatus::Active),
        (29, CredentialStatus::Active),
        (1, CredentialStatus::Expired),
        (1, CredentialStatus::Expired),
    ] {
        fixture.wait(wait);
        assert_eq!(fixture.status(&token).await, status, "at +{} s", fixture.now().0 - NOW.0);
    }
    let view = fixture.oauth.snapshot.policy();
    let earlier = fixture.oauth.verify(&token, None, &view, UnixSeconds(NOW.0 - 31)).await.unwrap();
    assert_eq!(earlier.status, CredentialStatus::NotYetValid, "a clock that was set back");
}

#[tokio::test]
async fn tokens_of_nobody() {
    let fixture = Fixture::new().await;
    let token = fixture.access_token().await;
    let claims = payload(&token);
    let forged = new_key().sign(&claims).unwrap();
    assert!(refusal(fixture.verify(&forged).await).contains("no key"));
    let stranger = fixture.oauth.keys.ring().active.sign(&with(&claims, "client_id", json!("nobody"))).unwrap();
    assert!(refusal(fixture.verify(&stranger).await).contains("does not exist"));
    for (name, value) in [
        ("iss", json!("https://other.example")),
        ("iss", json!(format!("{GATE}/"))),
        ("aud", json!("https://other.example")),
        ("token_use", json!("id")),
        ("exp", json!("9999999999")),
        ("scope", json!([HELLO])),
        ("client_id", json!("not a client id")),
        ("cnf", json!({"jkt": "x"})),
    ] {
        let token = fixture.oauth.keys.ring().active.sign(&with(&claims, name, value.clone())).unwrap();
        assert!(fixture.verify(&token).await.is_err(), "{name}: {value}");
    }
    for text in ["", ".", "..", "a.b.c", &"x".repeat(20_000)] {
        refusal(fixture.verify(text).await);
    }
}

#[tokio::test]
async fn a_policy_without_the_audience_ends_its_tokens() {
    let fixture = Fixture::new().await;
    let request =
        form("/oauth2/token", Some(&fixture.basic()), &format!("grant_type=client_credentials&scope={OTHER}"));
    let token = text(&body(&fixture.send(request).await)["access_token"]);
    assert_eq!(fixture.status(&token).await, CredentialStatus::Active);
    let without = POLICY.replace("\"other-api\"", "\"renamed-api\"").replace("other-api/read", "renamed-api/read");
    fixture.apply(&without).await;
    assert!(refusal(fixture.verify(&token).await).contains("audience"));
}

#[tokio::test]
async fn a_withdrawn_key_takes_its_tokens_along() {
    let fixture = Fixture::new().await;
    let token = fixture.access_token().await;
    let old = fixture.oauth.keys.ring().active.key_id().to_owned();
    assert_eq!(fixture.status(&token).await, CredentialStatus::Active);
    fixture.oauth.keys.rotate(&fixture.actor, b"passphrase").await.unwrap();
    assert_eq!(fixture.status(&token).await, CredentialStatus::Active, "rotation keeps them");
    // The fixture's first key was never stored; a leaked one would be.
    let row = store::signing_key::SigningKeyRow {
        kid: old.clone(),
        algorithm: "ES256".into(),
        state: store::signing_key::SigningKeyState::Retiring,
        private_key: String::new(),
        created_at: NOW.0,
        state_since: NOW.0,
    };
    let mut tx = fixture.oauth.store.begin().await.unwrap();
    store::signing_key::insert(&mut tx, &row, NOW).await.unwrap();
    tx.commit().await.unwrap();
    fixture.oauth.keys.withdraw(&fixture.actor, &old).await.unwrap();
    assert!(refusal(fixture.verify(&token).await).contains("no key"), "though it was remembered");
}

#[tokio::test]
async fn what_is_remembered_is_what_was_verified() {
    let fixture = Fixture::new().await;
    let token = fixture.access_token().await;
    let first = fixture.verify(&token).await.unwrap();
    let second = fixture.verify(&token).await.unwrap();
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    fixture.oauth.tokens.0.run_pending_tasks();
    assert_eq!(fixture.oauth.tokens.0.entry_count(), 1);
    let (body_part, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    assert!(fixture.verify(&format!("{body_part}.{other}{}", &signature[1..])).await.is_err());
    fixture.wait(4000);
    assert_eq!(fixture.status(&token).await, CredentialStatus::Expired);
    fixture.oauth.tokens.0.run_pending_tasks();
    assert_eq!(fixture.oauth.tokens.0.entry_count(), 0, "and it is forgotten when it has expired");
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}
