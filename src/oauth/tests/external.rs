//! Tokens of other issuers.

use super::*;
use crate::oauth::issuers::tests::{Answer, JwksServer, jwk};

const POOL: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example";
const REALM: &str = "https://login.partner.example/realms/b2b";

/// A gate that takes the tokens of a Cognito pool and of a Keycloak realm, whose keys are on one server.
struct Federation {
    fixture: Fixture,
    server: JwksServer,
    key: SigningKey,
}

impl Federation {
    async fn new() -> Self {
        let key = new_key();
        let server = JwksServer::start(Answer::Keys(vec![jwk(&key)])).await;
        let fixture = Fixture::with(&policy(&server.uri), |_| {}).await;
        Self { fixture, server, key }
    }

    /// As Cognito writes them: `typ` is absent there; a `JWT` of other issuers stands for it here.
    fn cognito(&self, changes: Value) -> String {
        let claims = json!({
            "sub": "pool-app-client", "token_use": "access", "scope": HELLO, "auth_time": NOW.0, "iss": POOL,
            "exp": NOW.0 + 3600, "iat": NOW.0, "version": 2, "jti": "8a4e8a1b", "client_id": "pool-app-client"
        });
        self.key.sign(&changed(claims, changes)).unwrap()
    }

    fn realm(&self, changes: Value) -> String {
        let claims = json!({
            "iss": REALM, "aud": [API, "account"], "sub": "f1b0", "azp": "orders", "client_id": "orders", "exp": NOW.0 + 300,
            "iat": NOW.0, "jti": "b2b-1", "scope": format!("email {OTHER}")
        });
        self.key.sign(&changed(claims, changes)).unwrap()
    }

    async fn refused(&self, token: &str) -> String {
        refusal(self.fixture.verify(token).await)
    }
}

fn policy(uri: &str) -> String {
    format!(
        r#"{POLICY}
[[token_issuer]]
issuer = "{POOL}"
jwks_uri = "{uri}"
profile = "cognito"
algorithms = ["ES256"]
clients = {{ "pool-app-client" = "acme-orders" }}

[[token_issuer]]
issuer = "{REALM}"
jwks_uri = "{uri}"
profile = "rfc9068"
audiences = ["{API}"]
clients = {{ "orders" = "globex" }}
leeway_seconds = 0
"#
    )
}

fn changed(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn a_token_of_a_pool_is_a_token_of_our_client() {
    let federation = Federation::new().await;
    let token = federation.cognito(json!({}));
    for _ in 0..3 {
        let verified = federation.fixture.verify(&token).await.unwrap();
        assert_eq!(
            (verified.client.as_str(), &*verified.issuer, verified.status),
            ("acme-orders", POOL, CredentialStatus::Active)
        );
        assert_eq!((verified.scopes.to_string(), verified.jti.as_deref()), (HELLO.into(), Some("8a4e8a1b")));
    }
    assert_eq!(federation.server.requests(), 1);
    let realm = federation.fixture.verify(&federation.realm(json!({}))).await.unwrap();
    assert_eq!((realm.client.as_str(), realm.scopes.to_string()), ("globex", OTHER.into()));
    assert_eq!(federation.server.requests(), 1, "one address, one set");
}

#[tokio::test]
async fn tokens_that_are_not_for_us() {
    let federation = Federation::new().await;
    assert!(
        federation
            .refused(&federation.cognito(json!({"client_id": "another-app-client"})))
            .await
            .contains("not mapped")
    );
    assert!(federation.refused(&federation.cognito(json!({"token_use": "id"}))).await.contains("not an access token"));
    assert!(
        federation.refused(&federation.cognito(json!({"iss": format!("{POOL}2")}))).await.contains("another issuer")
    );
    assert!(federation.refused(&federation.cognito(json!({"aud": "x"}))).await.contains("audience"));
    assert!(federation.refused(&federation.realm(json!({"aud": "account"}))).await.contains("audience"));
    assert!(federation.refused(&federation.realm(json!({"client_id": null}))).await.contains("client_id"));
    assert!(
        federation.refused(&federation.realm(json!({"client_id": "globex"}))).await.contains("not mapped"),
        "our names are not theirs"
    );
    // One issuer's key does not speak for us, nor ours for it.
    assert!(federation.refused(&federation.cognito(json!({"iss": GATE}))).await.contains("no key"));
    let ours = federation.fixture.oauth.keys.ring().active.sign(&payload(&federation.cognito(json!({})))).unwrap();
    assert!(federation.refused(&ours).await.contains("no key"));
}

#[tokio::test]
async fn only_the_algorithms_of_the_policy() {
    let federation = Federation::new().await;
    let rs256_only = policy(&federation.server.uri).replace("[\"ES256\"]", "[\"RS256\"]");
    federation.fixture.apply(&rs256_only).await;
    assert!(federation.refused(&federation.cognito(json!({}))).await.contains("algorithm"));
    assert_eq!(federation.server.requests(), 0, "nothing is fetched for it");
}

#[tokio::test]
async fn strangers_make_us_fetch_nothing() {
    let federation = Federation::new().await;
    let elsewhere = JwksServer::start(Answer::Keys(vec![])).await;
    for issuer in [elsewhere.uri.as_str(), "https://unknown.example", ""] {
        federation.refused(&federation.cognito(json!({"iss": issuer}))).await;
    }
    assert_eq!((elsewhere.requests(), federation.server.requests()), (0, 0));
}

#[tokio::test]
async fn leeway_is_the_issuers() {
    let federation = Federation::new().await;
    let (cognito, realm) = (federation.cognito(json!({"exp": NOW.0 + 300})), federation.realm(json!({})));
    federation.fixture.wait(299);
    assert_eq!(federation.fixture.status(&realm).await, CredentialStatus::Active);
    federation.fixture.wait(1);
    assert_eq!(federation.fixture.status(&realm).await, CredentialStatus::Expired);
    assert_eq!(federation.fixture.status(&cognito).await, CredentialStatus::Active);
}

#[tokio::test]
async fn an_issuer_that_leaves_the_policy_takes_its_tokens_at_once() {
    let federation = Federation::new().await;
    let token = federation.cognito(json!({}));
    assert_eq!(federation.fixture.status(&token).await, CredentialStatus::Active);
    federation.fixture.apply(POLICY).await;
    assert!(federation.refused(&token).await.contains("another issuer"));
    federation
        .fixture
        .apply(&policy(&federation.server.uri).replace("\"pool-app-client\" =", "\"someone-else\" ="))
        .await;
    assert!(federation.refused(&token).await.contains("not mapped"));
}

#[tokio::test]
async fn external_tokens_are_revoked_like_ours() {
    let federation = Federation::new().await;
    let (one, other) = (federation.cognito(json!({})), federation.cognito(json!({"jti": "other"})));
    let undated = federation.realm(json!({"jti": "b2b-2"}));
    for token in [&one, &other, &undated] {
        assert_eq!(federation.fixture.status(token).await, CredentialStatus::Active);
    }
    federation.fixture.oauth.revoke_jti(&federation.fixture.actor, "acme-orders", "8a4e8a1b").await.unwrap();
    assert_eq!(federation.fixture.status(&one).await, CredentialStatus::Revoked);
    assert_eq!(federation.fixture.status(&other).await, CredentialStatus::Active);
    federation.fixture.oauth.revoke_client_tokens(&federation.fixture.actor, "acme-orders").await.unwrap();
    assert_eq!(federation.fixture.status(&other).await, CredentialStatus::Revoked);
    assert_eq!(federation.fixture.status(&undated).await, CredentialStatus::Active, "another client's");
}

#[tokio::test]
async fn a_key_that_the_issuer_takes_back_takes_its_tokens_along() {
    let federation = Federation::new().await;
    let token = federation.cognito(json!({"exp": NOW.0 + 86_400}));
    assert_eq!(federation.fixture.status(&token).await, CredentialStatus::Active);
    federation.server.set(Answer::Keys(vec![jwk(&new_key())]));
    federation.fixture.wait(3600);
    assert_eq!(federation.fixture.status(&token).await, CredentialStatus::Active, "the refresh is in the background");
    for _ in 0..200 {
        if federation.fixture.verify(&token).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(federation.refused(&token).await.contains("no key"));
}

#[tokio::test]
async fn an_issuer_that_never_answered_is_our_fault() {
    let federation = Federation::new().await;
    federation.server.set(Answer::Raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into()));
    let refused = federation.fixture.verify(&federation.cognito(json!({}))).await.unwrap_err();
    assert!(matches!(refused, TokenRefusal::Fault(_)), "{refused:?}");
}

#[tokio::test]
async fn other_issuers_tokens_are_neither_revoked_nor_introspected_here() {
    let federation = Federation::new().await;
    let token = federation.cognito(json!({}));
    let fixture = &federation.fixture;
    let revoked = fixture.send(form("/oauth2/revoke", Some(&fixture.basic()), &format!("token={token}"))).await;
    assert_eq!(revoked.status(), StatusCode::OK);
    assert_eq!(fixture.status(&token).await, CredentialStatus::Active);
    let asked = fixture.send(form("/oauth2/introspect", Some(&fixture.basic()), &format!("token={token}"))).await;
    assert_eq!(body(&asked), json!({"active": false}));
}
