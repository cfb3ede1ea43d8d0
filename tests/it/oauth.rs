//! The authorization server behind the gate, and the tokens of others.

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{
    ExternalIssuer, Gateway, GatewayOptions, Http, Identity, Partner, Session, SessionOptions, SigningKey,
    new_certificate,
};

const FORM: &str = "grant_type=client_credentials";

fn error(answer: &crate::harness::Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn gate(session: &mut Session, token: &str) -> (u16, String) {
    let answer = session.get("/test/hello-world", &[("authorization", &format!("Bearer {token}"))]).await;
    if answer.status == 200 { (200, String::new()) } else { answer.problem() }
}

fn refused() -> (u16, String) {
    (401, "invalid_token".to_owned())
}

fn accepted() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn a_token_is_had_with_basic_or_in_the_body_and_opens_the_door() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let encoded = acme.scope.replace(':', "%3A").replace('/', "%2F");
    let in_body = format!("{FORM}&client_id={}&client_secret={}", acme.client_id, acme.client_secret);
    let basic = acme.basic();
    let basic = [("authorization", basic.as_str())];
    for http in Http::BOTH {
        let mut session = gateway.session_with(SessionOptions { http, ..SessionOptions::default() }).await;
        for (headers, form) in [
            (&basic[..], FORM.to_owned()),
            (&basic, format!("{FORM}&scope={}", acme.scope)),
            (&basic, format!("{FORM}&scope={encoded}")),
            (&basic, format!("scope={encoded}&{FORM}&client_id={}", acme.client_id)),
            (&[], in_body.clone()),
            (&[], format!("{in_body}&scope={encoded}")),
        ] {
            let answer = session.post_form("/oauth2/token", headers, &form).await;
            assert_eq!(answer.status, 200, "{form}: {answer:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let body = answer.json();
            assert_eq!((body["token_type"].as_str(), body["expires_in"].as_i64()), (Some("Bearer"), Some(3600)));
            let token = body["access_token"].as_str().unwrap();
            assert_eq!(gate(&mut session, token).await, accepted(), "{form}");
            let claims = claims(token);
            assert_eq!(claims["iss"], gateway.demo.gateway, "{form}");
            assert_eq!((&claims["client_id"], &claims["scope"]), (&json!(acme.client_id), &json!(acme.scope)));
            assert_eq!(claims["token_use"], "access");
            assert_eq!(gateway.decision(answer.decision_id()).await.client.as_deref(), Some("acme-orders"));
        }
    }
}

#[tokio::test]
async fn what_the_token_endpoint_refuses() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut session = gateway.session().await;
    let good = acme.basic();
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    let wrong = basic(&format!("{}:wrong", acme.client_id));
    let nobody = basic(&format!("nobody:{}", acme.client_secret));
    for (authorization, form, expected) in [
        (Some(&wrong), FORM, (401, "invalid_client")),
        (Some(&nobody), FORM, (401, "invalid_client")),
        (None, FORM, (401, "invalid_client")),
        (None, "grant_type=client_credentials&client_id=acme-orders", (401, "invalid_client")),
        (Some(&good), "", (400, "invalid_request")),
        (Some(&good), "grant_type=password&username=a&password=b", (400, "unsupported_grant_type")),
        (Some(&good), "grant_type=client_credentials&grant_type=client_credentials", (400, "invalid_request")),
        (Some(&good), "grant_type=client_credentials&scope=openid", (400, "invalid_scope")),
        (Some(&good), "grant_type=client_credentials&scope=portcullis/admin.read", (400, "invalid_scope")),
        (Some(&good), "grant_type=client_credentials&client_secret=x", (400, "invalid_request")),
        (Some(&good), "grant_type=client_credentials&resource=https://elsewhere.example", (400, "invalid_target")),
    ] {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value.as_str())).into_iter().collect();
        let answer = session.post_form("/oauth2/token", &headers, form).await;
        assert_eq!(error(&answer), (expected.0, expected.1.to_owned()), "{authorization:?} {form}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{form}");
        assert_eq!(answer.header("www-authenticate").is_some(), expected.0 == 401, "{form}");
    }
    let headers = [("authorization", good.as_str())];
    let in_url = session.post_form("/oauth2/token?grant_type=client_credentials", &headers, FORM).await;
    assert_eq!(error(&in_url), (400, "invalid_request".to_owned()));
    assert_eq!(session.get("/oauth2/token", &headers).await.status, 405);
    let json = session.send("POST", "/oauth2/token", &headers, r#"{"grant_type":"client_credentials"}"#).await.unwrap();
    assert_eq!(error(&json), (400, "invalid_request".to_owned()));
    let large = session.post_form("/oauth2/token", &headers, &format!("{FORM}&x={}", "x".repeat(20_000))).await;
    assert_eq!(large.status, 413);
    // Another listener, another house: there is no authorization server on the control plane.
    let mut admin = gateway.admin().await;
    assert_eq!(admin.post_form("/oauth2/token", &headers, FORM).await.status, 404);
}

#[tokio::test]
async fn whoever_reads_our_metadata_can_verify_our_tokens() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let token = acme.token(&gateway).await;
    let certified = SessionOptions { identity: Some(acme.identity.clone()), ..SessionOptions::default() };
    let mtls = Session::open(&gateway, "mtls", certified).await.unwrap();
    for mut session in [gateway.session().await, mtls] {
        for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
            let metadata = session.get(path, &[]).await;
            assert_eq!(metadata.status, 200, "{path}");
            let metadata = metadata.json();
            assert_eq!(metadata["issuer"], claims(&token)["iss"]);
            assert_eq!(metadata["token_endpoint"], gateway.demo.token_url);
            assert_eq!(metadata["scopes_supported"], json!([acme.scope]));
            assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
        }
        let jwks = session.get("/.well-known/jwks.json", &[]).await.json();
        let header = token.split('.').next().unwrap();
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("ES256"), Some("at+jwt")));
        let keys = jwks["keys"].as_array().unwrap();
        assert!(keys.iter().all(|key| key.get("d").is_none()), "{jwks}");
        let key = keys.iter().find(|key| key["kid"] == header["kid"]).unwrap();
        let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).unwrap();
    }
}

#[tokio::test]
async fn a_revoked_token_is_dead_for_the_gate_and_for_introspection() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let other = Partner::create(&gateway, "globex", "globex-orders").await;
    let mut session = gateway.session().await;
    let (token, kept) = (acme.token_over(&mut session, "").await, acme.token_over(&mut session, "").await);
    let (acme_basic, other_basic) = (acme.basic(), other.basic());
    let introspect = async |session: &mut Session, basic: &str, token: &str| {
        let form = format!("token={token}&token_type_hint=refresh_token");
        let answer = session.post_form("/oauth2/introspect", &[("authorization", basic)], &form).await;
        assert_eq!(answer.status, 200);
        answer.json()
    };
    let told = introspect(&mut session, &acme_basic, &token).await;
    assert_eq!(
        (&told["active"], &told["client_id"], &told["scope"]),
        (&json!(true), &json!("acme-orders"), &json!(acme.scope))
    );
    // Another client learns nothing, and revokes nothing.
    assert_eq!(introspect(&mut session, &other_basic, &token).await, json!({ "active": false }));
    let form = format!("token={token}");
    let revoke = async |session: &mut Session, basic: &str, form: &str| {
        session.post_form("/oauth2/revoke", &[("authorization", basic)], form).await.status.as_u16()
    };
    assert_eq!(revoke(&mut session, &other_basic, &form).await, 200);
    assert_eq!(gate(&mut session, &token).await, accepted());
    for _ in 0..2 {
        assert_eq!(revoke(&mut session, &acme_basic, &form).await, 200);
        assert_eq!(gate(&mut session, &token).await, refused());
        assert_eq!(introspect(&mut session, &acme_basic, &token).await, json!({ "active": false }));
    }
    assert_eq!(gate(&mut session, &kept).await, accepted(), "the client's other token");
    assert_eq!(revoke(&mut session, &acme_basic, "token=nonsense").await, 200, "RFC 7009 §2.2");
    assert_eq!(revoke(&mut session, "Basic YTpi", &form).await, 401);
    gateway.advance(Duration::from_secs(3631));
    assert_eq!(introspect(&mut session, &acme_basic, &kept).await, json!({ "active": false }));
    assert_eq!(gate(&mut session, &kept).await, refused());
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_through_its_last_second() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut session = gateway.session().await;
    let (revoked, kept) = (acme.token_over(&mut session, "").await, acme.token_over(&mut session, "").await);
    let basic = acme.basic();
    let form = format!("token={revoked}");
    assert_eq!(session.post_form("/oauth2/revoke", &[("authorization", &basic)], &form).await.status, 200);
    // Up to its end, and through the leeway after it, with the housekeeping in between.
    for (seconds, good) in [(3599, true), (1, true), (29, true), (2, false), (60, false)] {
        gateway.advance(Duration::from_secs(seconds));
        gateway.app.oauth.tidy().await.unwrap();
        assert_eq!(gate(&mut session, &revoked).await, refused());
        assert_eq!(gate(&mut session, &kept).await, if good { accepted() } else { refused() }, "{seconds}");
    }
}

#[tokio::test]
async fn a_signing_key_is_changed_without_a_gap_and_withdrawn_at_once() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let actor = portcullis::registry::Actor::local();
    let mut session = gateway.session().await;
    let old = acme.token_over(&mut session, "").await;
    let kid = |token: &str| {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    let passphrase = gateway.app.foundation.passphrase.expose();
    let rotated = gateway.app.oauth.keys().rotate(&actor, passphrase).await.unwrap();
    let new = acme.token_over(&mut session, "").await;
    assert_eq!(kid(&new), rotated);
    assert_ne!(kid(&old), rotated);
    for token in [&old, &new] {
        assert_eq!(gate(&mut session, token).await, accepted());
    }
    let published = session.get("/.well-known/jwks.json", &[]).await.json();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2, "{published}");
    gateway.app.oauth.keys().withdraw(&actor, &kid(&old)).await.unwrap();
    assert_eq!(gate(&mut session, &old).await, refused());
    assert_eq!(gate(&mut session, &new).await, accepted());
}

#[tokio::test]
async fn a_token_fetched_over_a_certificate_is_of_use_with_that_certificate_only() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let other = Partner::create(&gateway, "globex", "globex-orders").await;
    let sibling = Identity::issue(&gateway, new_certificate(&acme.client_id)).await;
    for http in Http::BOTH {
        let with = async |identity: Option<&Identity>| {
            gateway
                .session_with(SessionOptions { identity: identity.cloned(), http, ..SessionOptions::default() })
                .await
        };
        let mut holder = with(Some(&acme.identity)).await;
        let token = acme.token_over(&mut holder, "").await;
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &acme.identity.chain[0]);
        assert_eq!(claims(&token)["cnf"], json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint) }), "RFC 8705 §3.1");
        assert_eq!(gate(&mut holder, &token).await, accepted());
        let mut again = with(Some(&acme.identity)).await;
        assert_eq!(gate(&mut again, &token).await, accepted(), "on another connection of the same certificate");
        for (whom, identity) in [("nobody", None), ("a sibling", Some(&sibling)), ("a stranger", Some(&other.identity))]
        {
            assert_eq!(gate(&mut with(identity).await, &token).await, refused(), "{http:?} {whom}");
        }
        // An unbound token and somebody else's certificate: two clients.
        let plain = acme.token(&gateway).await;
        assert_eq!(gate(&mut with(Some(&other.identity)).await, &plain).await, (403, "credential_mismatch".to_owned()));
        // A stolen secret over one's own certificate buys nothing.
        let answer = acme.ask_token(&mut with(Some(&other.identity)).await, "").await;
        assert_eq!(error(&answer), (401, "invalid_client".to_owned()));
    }
    let mut holder =
        gateway.session_with(SessionOptions { identity: Some(sibling.clone()), ..Default::default() }).await;
    let token = acme.token_over(&mut holder, "").await;
    let mut asking = gateway.session().await;
    let (form, basic) = (format!("token={token}"), acme.basic());
    let before = asking.post_form("/oauth2/introspect", &[("authorization", &basic)], &form).await;
    assert_eq!(before.json()["active"], true, "{before:?}");
    let selector = portcullis::authority::Selector::Certificate(sibling.serial().parse().unwrap());
    let actor = portcullis::registry::Actor::local();
    gateway.authority().revoke(selector, pki::RevocationReason::KeyCompromise, &actor).await.unwrap();
    let after = asking.post_form("/oauth2/introspect", &[("authorization", &basic)], &form).await;
    assert_eq!(
        after.json(),
        json!({ "active": false }),
        "nobody presents the certificate here, and still it ends the token"
    );
    assert_eq!(gate(&mut gateway.session().await, &token).await, refused(), "the token goes with its certificate");
}

const POOL: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example";
const APP_CLIENT: &str = "4f7k2example9client1id";

fn with_issuer(issuer: &ExternalIssuer, algorithms: &str) -> String {
    let declared = format!(
        "\n[[token_issuer]]\nissuer = \"{POOL}\"\njwks_uri = \"{}\"\nprofile = \"cognito\"\nalgorithms = [{algorithms}]\n\
         clients = {{ \"{APP_CLIENT}\" = \"acme-orders\" }}\n",
        issuer.jwks_uri()
    );
    document(&[SERVER, ACME, HELLO, &declared])
}

/// As Cognito writes them: no `aud`, `client_id`, `token_use`, `version`.
fn cognito(gateway: &Gateway) -> Value {
    let now = gateway.clock.now().0;
    json!({
        "sub": APP_CLIENT, "token_use": "access", "scope": gateway.demo.scope, "auth_time": now, "iss": POOL,
        "exp": now + 3600, "iat": now, "version": 2, "jti": "3f5a9c1e-0000-4000-8000-000000000001", "client_id": APP_CLIENT,
    })
}

#[tokio::test]
async fn tokens_of_a_cognito_pool_are_taken_for_the_client_they_are_mapped_to() {
    let (rsa, ecdsa) = (SigningKey::rs256("rsa-1"), SigningKey::es256("ec-1"));
    let issuer = ExternalIssuer::start(&[&rsa, &ecdsa]).await;
    let gateway = Gateway::start_with(GatewayOptions::policy(&with_issuer(&issuer, "\"RS256\", \"ES256\""))).await;
    let mut session = gateway.session().await;
    for key in [&rsa, &ecdsa] {
        let token = key.sign(&json!({}), &cognito(&gateway));
        for _ in 0..3 {
            let answer = session.get("/test/hello-world", &[("authorization", &format!("Bearer {token}"))]).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let row = gateway.decision(answer.decision_id()).await;
            assert_eq!((row.client.as_deref(), row.auth_methods.as_deref()), (Some("acme-orders"), Some("bearer")));
        }
    }
    assert_eq!(issuer.fetches(), 1, "keys are fetched once");
    // Together with the same client's certificate, as during a migration, and with another's not.
    let token = rsa.sign(&json!({}), &cognito(&gateway));
    let identity = Some(gateway.acme().identity);
    let mut certified = gateway.session_with(SessionOptions { identity, ..SessionOptions::default() }).await;
    assert_eq!(gate(&mut certified, &token).await, accepted());
    // Our own tokens go on beside it, and theirs end when our client does.
    let own = gateway.acme().token(&gateway).await;
    assert_eq!(gate(&mut session, &own).await, accepted());
    let actor = portcullis::registry::Actor::local();
    gateway.registry().set_client_enabled(&actor, "acme-orders", false).await.unwrap();
    assert_eq!(gate(&mut session, &token).await, refused());
}

#[tokio::test]
async fn a_foreign_token_that_is_not_exactly_right_is_refused() {
    let (key, stranger) = (SigningKey::rs256("rsa-1"), SigningKey::rs256("rsa-1"));
    let ecdsa = SigningKey::es256("ec-1");
    let issuer = ExternalIssuer::start(&[&key, &ecdsa]).await;
    let gateway = Gateway::start_with(GatewayOptions::policy(&with_issuer(&issuer, "\"RS256\""))).await;
    let mut session = gateway.session().await;
    let good = cognito(&gateway);
    let now = gateway.clock.now().0;
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    assert_eq!(gate(&mut session, &key.sign(&json!({}), &good)).await, accepted());
    for (what, claims) in [
        ("another app client", with("client_id", json!("another"))),
        ("our own name as theirs", with("client_id", json!("acme-orders"))),
        ("no client", without("client_id")),
        ("an ID token", with("token_use", json!("id"))),
        ("a refresh token", with("token_use", json!("refresh"))),
        ("no use", without("token_use")),
        ("expired", with("exp", json!(now - 120))),
        ("no end", without("exp")),
        ("an end in words", with("exp", json!("never"))),
        ("not yet", with("nbf", json!(now + 600))),
        ("issued later", with("iat", json!(now + 600))),
        ("another pool", with("iss", json!(format!("{POOL}2")))),
        ("no issuer", without("iss")),
        ("ours", with("iss", json!(gateway.demo.gateway))),
        ("bound to a certificate", with("cnf", json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 32]) }))),
        ("bound to something else", with("cnf", json!({ "jkt": "x" }))),
    ] {
        assert_eq!(gate(&mut session, &key.sign(&json!({}), &claims)).await, refused(), "{what}");
    }
    for (what, token) in [
        ("another key under the name", stranger.sign(&json!({}), &good)),
        ("an unknown key", key.sign(&json!({ "kid": "rsa-2" }), &good)),
        ("another algorithm of the issuer", ecdsa.sign(&json!({}), &good)),
        ("none", key.sign(&json!({ "alg": "none" }), &good)),
        ("another algorithm's name", key.sign(&json!({ "alg": "RS512" }), &good)),
        ("the public key as a secret", key.sign(&json!({ "alg": "HS256" }), &good)),
        ("its own key inside", stranger.sign(&json!({ "jwk": { "kty": "RSA" }, "kid": "x" }), &good)),
        ("critical", key.sign(&json!({ "crit": ["x"], "x": 1 }), &good)),
        ("no signature", key.sign(&json!({}), &good).rsplit_once('.').map(|(signed, _)| format!("{signed}.")).unwrap()),
    ] {
        assert_eq!(gate(&mut session, &token).await, refused(), "{what}");
    }
    let narrow = key.sign(&json!({}), &with("scope", json!("openid email")));
    assert_eq!(gate(&mut session, &narrow).await, (403, "insufficient_scope".to_owned()));
    assert_eq!(gate(&mut session, &key.sign(&json!({}), &good)).await, accepted(), "the good one still is");
}

#[tokio::test]
async fn an_issuer_that_leaves_the_policy_takes_its_tokens_with_it() {
    let key = SigningKey::es256("ec-1");
    let issuer = ExternalIssuer::start(&[&key]).await;
    let gateway = Gateway::start_with(GatewayOptions::policy(&with_issuer(&issuer, "\"ES256\""))).await;
    for http in Http::BOTH {
        gateway.apply(&with_issuer(&issuer, "\"ES256\"")).await;
        let mut session = gateway.session_with(SessionOptions { http, ..SessionOptions::default() }).await;
        let token = key.sign(&json!({}), &cognito(&gateway));
        assert_eq!(gate(&mut session, &token).await, accepted());
        gateway.apply(&with_issuer(&issuer, "\"ES256\"").replace(APP_CLIENT, "somebody-else")).await;
        assert_eq!(gate(&mut session, &token).await, refused(), "no longer mapped");
        gateway.apply(&with_issuer(&issuer, "\"ES256\"")).await;
        assert_eq!(gate(&mut session, &token).await, accepted());
        gateway.apply(&document(&[SERVER, ACME, HELLO])).await;
        assert_eq!(gate(&mut session, &token).await, refused(), "no longer known");
    }
}

#[tokio::test]
async fn keys_that_an_issuer_changes_are_followed_no_oftener_than_strangers_may_make_us() {
    let (old, new) = (SigningKey::es256("old"), SigningKey::es256("new"));
    let issuer = ExternalIssuer::start(&[&old]).await;
    let gateway = Gateway::start_with(GatewayOptions::policy(&with_issuer(&issuer, "\"ES256\""))).await;
    let mut session = gateway.session().await;
    let tokens = [old.sign(&json!({}), &cognito(&gateway)), new.sign(&json!({}), &cognito(&gateway))];
    assert_eq!(gate(&mut session, &tokens[0]).await, accepted());
    for number in 0..20 {
        let made_up = old.sign(&json!({ "kid": format!("made-up-{number}") }), &cognito(&gateway));
        assert_eq!(gate(&mut session, &made_up).await, refused());
    }
    assert_eq!(issuer.fetches(), 1, "strangers do not decide how often we ask");
    issuer.publish(&[&new]);
    gateway.advance(Duration::from_secs(11));
    assert_eq!(gate(&mut session, &tokens[1]).await, accepted(), "an unknown key is looked for");
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(gate(&mut session, &tokens[0]).await, refused(), "a key that was withdrawn takes its tokens with it");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_our_failure_not_the_caller_s() {
    let key = SigningKey::es256("ec-1");
    let issuer = ExternalIssuer::start(&[&key]).await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let policy = with_issuer(&issuer, "\"ES256\"").replace(&issuer.jwks_uri(), &format!("http://{nobody}/jwks.json"));
    let gateway = Gateway::start_with(GatewayOptions::policy(&policy)).await;
    let token = key.sign(&json!({}), &cognito(&gateway));
    let answer =
        gateway.session().await.get("/test/hello-world", &[("authorization", &format!("Bearer {token}"))]).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    assert_eq!(answer.code(), "internal_error");
}
