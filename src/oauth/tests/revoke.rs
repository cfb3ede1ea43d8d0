//! RFC 7009.

use super::*;

async fn revoke(fixture: &Fixture, authorization: &str, text: &str) -> Response<Bytes> {
    fixture.send(form("/oauth2/revoke", Some(authorization), text)).await
}

#[tokio::test]
async fn a_revoked_token_is_dead_when_the_answer_arrives() {
    let fixture = Fixture::new().await;
    let (token, other) = (fixture.access_token().await, fixture.access_token().await);
    assert_eq!(fixture.status(&token).await, CredentialStatus::Active);
    let response = revoke(&fixture, &fixture.basic(), &format!("token={token}&token_type_hint=refresh_token")).await;
    assert_eq!((response.status(), response.body().len()), (StatusCode::OK, 0));
    assert_eq!(header_of(&response, "cache-control"), Some("no-store"));
    assert_eq!(fixture.status(&token).await, CredentialStatus::Revoked, "though it is remembered");
    assert_eq!(fixture.status(&other).await, CredentialStatus::Active);
    let again = revoke(&fixture, &fixture.basic(), &format!("token={token}")).await;
    assert_eq!(again.status(), StatusCode::OK);
    let after_restart = Snapshot::load(&fixture.oauth.store, &fixture.oauth.clock).await.unwrap();
    assert!(after_restart.token_revoked(payload(&token)["jti"].as_str().unwrap()));
}

#[tokio::test]
async fn tokens_that_mean_nothing_are_revoked_already() {
    let fixture = Fixture::new().await;
    let old = fixture.access_token().await;
    fixture.wait(3600 + 60);
    let seq = fixture.oauth.snapshot.seq();
    for token in ["unknown", "a.b.c", &old, &format!("{old}x")] {
        let response = revoke(&fixture, &fixture.basic(), &format!("token={token}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{token}");
    }
    assert_eq!(fixture.oauth.snapshot.seq(), seq, "nothing was written for them");
}

#[tokio::test]
async fn only_ones_own_and_no_oracle() {
    let fixture = Fixture::new().await;
    let token = fixture.access_token().await;
    let secret = fixture.new_secret("globex").await;
    let stranger = basic("globex", &secret);
    let theirs = revoke(&fixture, &stranger, &format!("token={token}")).await;
    let nothing = revoke(&fixture, &stranger, "token=nothing").await;
    assert_eq!(
        (theirs.status(), theirs.headers(), theirs.body()),
        (nothing.status(), nothing.headers(), nothing.body())
    );
    assert_eq!(fixture.status(&token).await, CredentialStatus::Active);
}

#[tokio::test]
async fn malformed_revocations() {
    let fixture = Fixture::new().await;
    let missing = revoke(&fixture, &fixture.basic(), "").await;
    assert_eq!(error(&missing), (400, "invalid_request".into()));
    let twice = revoke(&fixture, &fixture.basic(), "token=a&token=b").await;
    assert_eq!(error(&twice), (400, "invalid_request".into()));
    let stranger = revoke(&fixture, &basic("acme-orders", "wrong"), "token=a").await;
    assert_eq!(error(&stranger), (401, "invalid_client".into()));
    assert_eq!(denial(&stranger), "credential_unknown");
    let nobody = fixture.send(form("/oauth2/revoke", None, "token=a")).await;
    assert_eq!(error(&nobody).0, 401);
    let read = fixture.send(Request::get("/oauth2/revoke").body(Bytes::new()).unwrap()).await;
    assert_eq!((read.status(), header_of(&read, "allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("POST")));
}

#[tokio::test]
async fn a_store_that_fails_is_never_a_success() {
    let fixture = Fixture::new().await;
    let token = fixture.access_token().await;
    fixture.oauth.store.close().await;
    let response = revoke(&fixture, &fixture.basic(), &format!("token={token}")).await;
    assert_eq!(error(&response), (503, "temporarily_unavailable".into()));
    assert_eq!(header_of(&response, "retry-after"), Some("1"));
}

#[tokio::test]
async fn all_tokens_of_a_client() {
    let fixture = Fixture::new().await;
    let before = fixture.access_token().await;
    fixture.oauth.revoke_client_tokens(&fixture.actor, "acme-orders").await.unwrap();
    assert_eq!(fixture.status(&before).await, CredentialStatus::Revoked, "issued in this very second");
    let too_soon = fixture.token("grant_type=client_credentials").await;
    assert_eq!(error(&too_soon), (503, "temporarily_unavailable".into()));
    fixture.wait(1);
    let after = fixture.access_token().await;
    assert_eq!(fixture.status(&after).await, CredentialStatus::Active);
    assert_eq!(fixture.status(&before).await, CredentialStatus::Revoked);
    assert!(fixture.oauth.revoke_client_tokens(&fixture.actor, "nobody").await.is_err());
}

#[tokio::test]
async fn the_administrator_revokes_any_token() {
    let fixture = Fixture::new().await;
    let (whole, by_name) = (fixture.access_token().await, fixture.access_token().await);
    fixture.oauth.revoke_token(&fixture.actor, &whole).await.unwrap();
    assert_eq!(fixture.status(&whole).await, CredentialStatus::Revoked);
    let jti = text(&payload(&by_name)["jti"]);
    fixture.oauth.revoke_jti(&fixture.actor, "acme-orders", &jti).await.unwrap();
    assert_eq!(fixture.status(&by_name).await, CredentialStatus::Revoked);
    assert!(fixture.oauth.revoke_token(&fixture.actor, "a.b.c").await.is_err());
    assert!(fixture.oauth.revoke_jti(&fixture.actor, "acme-orders", "").await.is_err());
}

#[tokio::test]
async fn revocations_are_forgotten_only_after_their_tokens() {
    let fixture = Fixture::new().await;
    let token = fixture.access_token().await;
    let jti = text(&payload(&token)["jti"]);
    revoke(&fixture, &fixture.basic(), &format!("token={token}")).await;
    fixture.wait(3600 + 29);
    fixture.oauth.tidy().await.unwrap();
    assert_eq!(fixture.status(&token).await, CredentialStatus::Revoked, "the leeway still lets it live");
    assert!(fixture.oauth.snapshot.token_revoked(&jti));
    fixture.wait(32);
    fixture.oauth.tidy().await.unwrap();
    assert!(!fixture.oauth.snapshot.token_revoked(&jti));
    assert_eq!(fixture.status(&token).await, CredentialStatus::Expired);
}
