//! RFC 7662.

use super::*;

const INACTIVE: &[u8] = br#"{"active":false}"#;

async fn ask(fixture: &Fixture, authorization: &str, token: &str) -> Response<Bytes> {
    let response = fixture
        .send(form("/oauth2/introspect", Some(authorization), &format!("token={token}&token_type_hint=x")))
        .await;
    assert_eq!(header_of(&response, "cache-control"), Some("no-store"));
    response
}

#[tokio::test]
async fn ones_own_live_token() {
    let fixture = Fixture::new().await;
    let token = fixture.access_token().await;
    let response = ask(&fixture, &fixture.basic(), &token).await;
    assert_eq!(response.status(), StatusCode::OK);
    let claims = payload(&token);
    assert_eq!(
        body(&response),
        json!({
            "active": true, "scope": format!("{HELLO} {OTHER}"), "client_id": "acme-orders", "token_type": "Bearer",
            "exp": NOW.0 + 3600, "iat": NOW.0, "sub": "acme-orders", "aud": [API, "other-api"], "iss": GATE,
            "jti": claims["jti"]
        })
    );
}

#[tokio::test]
async fn everything_else_is_just_not_active() {
    let fixture = Fixture::new().await;
    let live = fixture.access_token().await;
    let revoked = fixture.access_token().await;
    fixture.oauth.revoke_token(&fixture.actor, &revoked).await.unwrap();
    let foreign = new_key().sign(&payload(&live)).unwrap();
    let secret = fixture.new_secret("globex").await;
    let stranger = basic("globex", &secret);
    for (authorization, token) in [
        (fixture.basic(), "nonsense"),
        (fixture.basic(), &revoked),
        (fixture.basic(), &foreign),
        (fixture.basic(), &format!("{live}x")),
        (stranger, &live),
    ] {
        let response = ask(&fixture, &authorization, token).await;
        assert_eq!((response.status(), &response.body()[..]), (StatusCode::OK, INACTIVE), "{token}");
    }
    fixture.wait(3630);
    assert_eq!(&ask(&fixture, &fixture.basic(), &live).await.body()[..], INACTIVE, "expired");
}

#[tokio::test]
async fn a_resource_server_may_ask_about_others() {
    let fixture = Fixture::new().await;
    let api_secret = fixture.new_secret("api").await;
    let about_others = fixture.access_token().await;
    assert_eq!(body(&ask(&fixture, &basic("api", &api_secret), &about_others).await)["client_id"], "acme-orders");
    let secret = fixture.new_secret("operator").await;
    let operator = basic("operator", &secret);
    let token = fixture.access_token().await;
    assert_eq!(body(&ask(&fixture, &operator, &token).await)["active"], true);
    let narrower = POLICY.replace(r#"/hello-world", "other-api/read"]"#, r#"/hello-world"]"#);
    fixture.apply(&narrower).await;
    assert_eq!(body(&ask(&fixture, &operator, &token).await)["scope"], HELLO, "what the gate would let it do now");
    fixture.registry.set_client_enabled(&fixture.actor, "acme-orders", false).await.unwrap();
    assert_eq!(&ask(&fixture, &operator, &token).await.body()[..], INACTIVE, "its client is out");
}

#[tokio::test]
async fn the_binding_is_told() {
    let fixture = Fixture::new().await;
    let certificate = fixture.certificate("acme-orders", None, None).await;
    let request = form("/oauth2/token", Some(&fixture.basic()), "grant_type=client_credentials");
    let response = fixture.oauth.handle(request, OFFICE, Some(&certificate.presented)).await;
    let token = text(&body(&response)["access_token"]);
    let answer = body(&ask(&fixture, &fixture.basic(), &token).await);
    assert_eq!(answer["cnf"], json!({ "x5t#S256": certificate.presented.certificate.thumbprint.x5t_s256() }));
}

#[tokio::test]
async fn strangers_and_malformed_requests() {
    let fixture = Fixture::new().await;
    let stranger = fixture.send(form("/oauth2/introspect", None, "token=x")).await;
    assert_eq!(error(&stranger), (401, "invalid_client".into()));
    let missing = fixture.send(form("/oauth2/introspect", Some(&fixture.basic()), "")).await;
    assert_eq!(error(&missing), (400, "invalid_request".into()));
    let bearer = form("/oauth2/introspect", Some(&format!("Bearer {}", fixture.access_token().await)), "token=x");
    assert_eq!(error(&fixture.send(bearer).await).0, 401);
}
