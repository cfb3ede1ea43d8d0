//! What they may: routes' scopes, narrowed credentials, grants that are taken back.

use portcullis::authority::NewCertificate;
use portcullis::registry::Actor;
use portcullis::registry::api_key::NewApiKey;
use portcullis::registry::client::NewClient;

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{
    Gateway, GatewayOptions, Http, Identity, Method, Partner, SessionOptions, borrowed, new_certificate,
};

const ROUTES: &str = r#"
[[route]]
methods = ["GET"]
path = "/any"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{server}/read", "{server}/write"] }
action = { mock = { body = "any" } }

[[route]]
methods = ["GET"]
path = "/all"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { all = ["{server}/read", "{server}/write"] }
action = { mock = { body = "all" } }

[[route]]
methods = ["GET"]
path = "/none"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
action = { mock = { body = "none" } }
"#;

async fn start() -> Gateway {
    Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, ROUTES]))).await
}

fn scope(gateway: &Gateway, name: &str) -> String {
    format!("{}/{name}", gateway.server())
}

async fn partner_with(gateway: &Gateway, name: &str, scopes: &[&str]) -> Partner {
    let scopes = scopes.iter().map(|name| scope(gateway, name)).collect();
    let new = NewClient { id: name.to_owned(), partner: name.to_owned(), scopes, ..NewClient::default() };
    Partner::create_as(gateway, new).await
}

#[tokio::test]
async fn any_asks_for_one_and_all_for_every_scope_by_every_method() {
    let gateway = start().await;
    for (name, scopes, any, all) in [
        ("reads", &["read"][..], 200, 403),
        ("writes", &["write"], 200, 403),
        ("both", &["read", "write"], 200, 200),
        ("more", &["hello-world", "read", "write"], 200, 200),
        ("other", &["hello-world"], 403, 403),
    ] {
        let partner = partner_with(&gateway, name, scopes).await;
        for method in Method::ALL {
            let (mut session, headers) = partner.prepare(&gateway, method, Http::One).await;
            let headers = borrowed(&headers);
            for (path, expected) in [("/any", any), ("/all", all), ("/none", 200)] {
                assert_eq!(session.get(path, &headers).await.status, expected, "{name} {method:?} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_scope_is_403_and_a_token_is_told_which_would_do() {
    let gateway = start().await;
    let acme = gateway.acme();
    for method in Method::ALL {
        let answer = acme.call(&gateway, method, "/all").await;
        assert_eq!(answer.problem(), (403, "insufficient_scope".to_owned()), "{method:?}");
        assert_eq!(answer.json()["message"], "Forbidden");
        let challenge = answer.header("www-authenticate");
        match method {
            // RFC 6750 §3.1
            Method::Token => {
                let wanted = format!(
                    "Bearer realm=\"portcullis\", error=\"insufficient_scope\", scope=\"{} {}\"",
                    scope(&gateway, "read"),
                    scope(&gateway, "write")
                );
                assert_eq!(challenge, Some(wanted.as_str()));
            }
            _ => assert_eq!(challenge, None, "{method:?}"),
        }
    }
}

#[tokio::test]
async fn a_credential_may_carry_less_than_its_client_and_never_more() {
    let gateway = start().await;
    let partner = partner_with(&gateway, "both", &["read", "write"]).await;
    let read = Some(vec![scope(&gateway, "read")]);
    let new = NewApiKey { client: partner.client_id.clone(), scopes: read.clone(), ..NewApiKey::default() };
    let key = Partner::new_key(&gateway, new).await;
    let new = NewCertificate { scopes: read, ..new_certificate(&partner.client_id) };
    let identity = Identity::issue(&gateway, new).await;
    let asked = format!("&scope={}", scope(&gateway, "read"));
    let token = partner.token_over(&mut gateway.session().await, &asked).await;
    let bearer = format!("Bearer {token}");
    let options = SessionOptions { identity: Some(identity), ..SessionOptions::default() };
    let mut certified = gateway.session_with(options).await;
    let mut plain = gateway.session().await;
    for (path, expected) in [("/any", 200), ("/all", 403)] {
        assert_eq!(plain.get(path, &[("x-api-key", &key)]).await.status, expected, "narrowed key {path}");
        assert_eq!(plain.get(path, &[("authorization", &bearer)]).await.status, expected, "narrowed token {path}");
        assert_eq!(certified.get(path, &[]).await.status, expected, "narrowed certificate {path}");
        // What every one of them allows, not what any of them does.
        let together = certified.get(path, &[("x-api-key", &partner.api_key)]).await;
        assert_eq!(together.status, expected, "narrowed certificate with the wide key {path}");
        // A token fetched over the narrowed certificate has no more than it.
        let token = partner.token_over(&mut certified, "").await;
        let bound = certified.get(path, &[("authorization", &format!("Bearer {token}"))]).await;
        assert_eq!(bound.status, expected, "token over the narrowed certificate {path}");
    }
    assert_eq!(plain.get("/all", &[("x-api-key", &partner.api_key)]).await.status, 200);
    // Nothing can be issued beyond the client.
    let wide = Some(vec![scope(&gateway, "hello-world")]);
    let new = NewApiKey { client: partner.client_id.clone(), scopes: wide.clone(), ..NewApiKey::default() };
    assert!(gateway.registry().create_api_key(&Actor::local(), new).await.is_err());
    let new = NewCertificate { scopes: wide, ..new_certificate(&partner.client_id) };
    assert!(gateway.authority().issue(new, &Actor::local()).await.is_err());
    let asked = format!("&scope={}", gateway.demo.scope);
    let answer = partner.ask_token(&mut plain, &asked).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (400, Some("invalid_scope")));
}

#[tokio::test]
async fn scopes_taken_away_are_gone_from_tokens_that_still_carry_them() {
    let with = |scopes: &str| {
        document(&[SERVER, HELLO, ROUTES, &ACME.replace("scopes = [\"{scope}\"]", &format!("scopes = [{scopes}]"))])
    };
    let gateway = Gateway::start_with(GatewayOptions::policy(&with("\"{server}/read\", \"{server}/write\""))).await;
    let acme = gateway.acme();
    for method in Method::ALL {
        gateway.apply(&with("\"{server}/read\", \"{server}/write\"")).await;
        let (mut session, headers) = acme.prepare(&gateway, method, Http::Two).await;
        let headers = borrowed(&headers);
        assert_eq!(session.get("/all", &headers).await.status, 200, "{method:?}");
        gateway.apply(&with("\"{server}/read\"")).await;
        assert_eq!(session.get("/all", &headers).await.problem(), (403, "insufficient_scope".to_owned()), "{method:?}");
        assert_eq!(session.get("/any", &headers).await.status, 200, "{method:?}");
    }
}
