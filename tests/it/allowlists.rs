//! From where: the networks of clients, of credentials and of routes, on requests and at the token endpoint.

use std::net::SocketAddr;

use portcullis::authority::NewCertificate;
use portcullis::registry::api_key::NewApiKey;
use portcullis::registry::client::NewClient;

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{
    Gateway, GatewayOptions, Http, Identity, Method, Partner, SessionOptions, borrowed, new_certificate,
};

/// 127.0.0.2 and .3, but not .4; everything else of this machine is outside.
const NETWORKS: &str = r#"
[[network]]
name = "office"
cidrs = ["127.0.0.2/31", "127.0.0.4/32"]
except = ["127.0.0.4/32"]

[[network]]
name = "elsewhere"
cidrs = ["203.0.113.0/24", "2001:db8::/32"]
"#;

const INSIDE: [[u8; 4]; 2] = [[127, 0, 0, 2], [127, 0, 0, 3]];
const OUTSIDE: [[u8; 4]; 3] = [[127, 0, 0, 1], [127, 0, 0, 4], [127, 0, 0, 5]];

async fn start(more: &str) -> Gateway {
    Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, NETWORKS, more]))).await
}

async fn partner_from(gateway: &Gateway, name: &str, networks: &[&str]) -> Partner {
    let new = NewClient {
        id: name.to_owned(),
        partner: name.to_owned(),
        scopes: vec![gateway.demo.scope.clone()],
        networks: networks.iter().map(ToString::to_string).collect(),
        ..NewClient::default()
    };
    Partner::create_as(gateway, new).await
}

fn from(source: [u8; 4], http: Http) -> SessionOptions {
    SessionOptions { source: Some(source.into()), http, ..SessionOptions::default() }
}

#[tokio::test]
async fn a_client_may_call_from_its_networks_by_every_method() {
    let gateway = start("").await;
    for (name, networks) in [("named", &["office"][..]), ("literal", &["127.0.0.2/32", "127.0.0.3", "elsewhere"])] {
        let partner = partner_from(&gateway, name, networks).await;
        for method in Method::ALL {
            for source in INSIDE {
                let (mut session, headers) = partner.prepare_with(&gateway, method, from(source, Http::Two)).await;
                assert_eq!(session.get(&partner.path, &borrowed(&headers)).await.status, 200, "{method:?} {source:?}");
            }
            // Proved inside, used outside.
            let (_, headers) = partner.prepare_with(&gateway, method, from(INSIDE[0], Http::One)).await;
            for source in OUTSIDE {
                let identity = (method == Method::Certificate).then(|| partner.identity.clone());
                let mut session = gateway.session_with(SessionOptions { identity, ..from(source, Http::One) }).await;
                let answer = session.get(&partner.path, &borrowed(&headers)).await;
                let what = format!("{name} {method:?} {source:?}");
                assert_eq!(answer.problem(), (403, "source_not_allowed".to_owned()), "{what}");
                let row = gateway.decision(answer.decision_id()).await;
                assert_eq!((row.client.as_deref(), row.outcome.as_str()), (Some(name), "source_not_allowed"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn the_token_endpoint_asks_the_client_s_networks_too() {
    let gateway = start("").await;
    let partner = partner_from(&gateway, "office-only", &["office"]).await;
    for source in OUTSIDE {
        let answer = partner.ask_token(&mut gateway.session_from(source).await, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"].as_str()),
            (401, Some("invalid_client")),
            "{source:?}"
        );
        assert_eq!(gateway.decision(answer.decision_id()).await.outcome, "source_not_allowed");
        let token = partner.token_over(&mut gateway.session_from(INSIDE[0]).await, "").await;
        for path in ["/oauth2/introspect", "/oauth2/revoke"] {
            let mut session = gateway.session_from(source).await;
            let basic = partner.basic();
            let answer = session.post_form(path, &[("authorization", &basic)], &format!("token={token}")).await;
            assert_eq!(answer.status, 401, "{path}");
        }
    }
}

#[tokio::test]
async fn a_credential_may_be_narrowed_to_some_networks() {
    let gateway = start("").await;
    let acme = gateway.acme();
    let narrowed = Some(vec!["office".to_owned()]);
    let new = NewApiKey { client: acme.client_id.clone(), networks: narrowed.clone(), ..NewApiKey::default() };
    let key = Partner::new_key(&gateway, new).await;
    let new = NewCertificate { networks: narrowed, ..new_certificate(&acme.client_id) };
    let identity = Identity::issue(&gateway, new).await;
    for (source, expected) in INSIDE.map(|source| (source, 200)).into_iter().chain(OUTSIDE.map(|source| (source, 403)))
    {
        let mut session = gateway.session_from(source).await;
        let answer = session.get(&acme.path, &[("x-api-key", &key)]).await;
        assert_eq!(answer.status, expected, "key from {source:?}");
        let wide = session.get(&acme.path, &[("x-api-key", &acme.api_key)]).await;
        assert_eq!(wide.status, 200, "the client's other key from {source:?}");
        let options = SessionOptions { identity: Some(identity.clone()), ..from(source, Http::One) };
        let mut session = gateway.session_with(options).await;
        assert_eq!(session.get(&acme.path, &[]).await.status, expected, "certificate from {source:?}");
        // Two credentials: each must be allowed here.
        let both = session.get(&acme.path, &[("x-api-key", &acme.api_key)]).await;
        assert_eq!(both.status, expected, "certificate and the wide key from {source:?}");
        // A token must not be fetched over the narrowed certificate to get around it.
        let asked = acme.ask_token(&mut session, "").await;
        assert_eq!(asked.status, if expected == 200 { 200 } else { 401 }, "token from {source:?}");
    }
}

#[tokio::test]
async fn a_route_may_be_open_to_some_networks_only() {
    let routes = r#"
[[route]]
methods = ["GET"]
path = "/inner"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{scope}"] }
networks = ["office", "elsewhere"]
action = { mock = { body = "inner" } }

[[route]]
methods = ["GET"]
path = "/open"
public = true
networks = ["office"]
action = { mock = { body = "open" } }
"#;
    let gateway = start(routes).await;
    let acme = gateway.acme();
    for method in Method::ALL {
        for (source, expected) in
            INSIDE.map(|source| (source, 200)).into_iter().chain(OUTSIDE.map(|source| (source, 403)))
        {
            let (mut session, headers) = acme.prepare_with(&gateway, method, from(source, Http::One)).await;
            let answer = session.get("/inner", &borrowed(&headers)).await;
            assert_eq!(answer.status, expected, "{method:?} from {source:?}");
            assert_eq!(session.get("/open", &borrowed(&headers)).await.status, expected, "public, from {source:?}");
            assert_eq!(
                session.get(&acme.path, &borrowed(&headers)).await.status,
                200,
                "the open route from {source:?}"
            );
        }
    }
    // Before anything is verified: a stranger outside cannot even learn whether a key is good.
    let mut session = gateway.session_from(OUTSIDE[0]).await;
    for headers in [&[][..], &[("x-api-key", "pc_test_nonsense")]] {
        assert_eq!(session.get("/inner", headers).await.problem(), (403, "source_not_allowed".to_owned()));
    }
}

#[tokio::test]
async fn a_mapped_address_is_the_address() {
    // On a socket of both families an IPv4 caller arrives as ::ffff:127.0.0.2.
    let options = GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, NETWORKS])).configure(|config| {
        let gateway = config.listeners.iter_mut().find(|listener| listener.name == "gateway").unwrap();
        gateway.address = SocketAddr::from(([0_u16; 8], 0));
    });
    let gateway = Gateway::start_with(options).await;
    let partner = partner_from(&gateway, "office-only", &["office"]).await;
    for (source, expected) in [(INSIDE[0], 200), (OUTSIDE[0], 403), (OUTSIDE[1], 403)] {
        let mut session = gateway.session_from(source).await;
        let answer = session.get(&partner.path, &[("x-api-key", &partner.api_key)]).await;
        assert_eq!(answer.status, expected, "{source:?}");
        let row = gateway.decision(answer.decision_id()).await;
        assert_eq!(row.source, SocketAddr::from((source, 0)).ip().to_string(), "the audit names the IPv4 address");
    }
}

#[tokio::test]
async fn nobody_says_where_he_comes_from_himself() {
    let gateway = start("").await;
    let partner = partner_from(&gateway, "office-only", &["office"]).await;
    let mut session = gateway.session_from(OUTSIDE[0]).await;
    for name in ["x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip", "cf-connecting-ip", "x_forwarded_for"] {
        let value = if name == "forwarded" { "for=127.0.0.2" } else { "127.0.0.2" };
        let answer = session.get(&partner.path, &[("x-api-key", &partner.api_key), (name, value)]).await;
        assert_eq!(answer.problem(), (403, "source_not_allowed".to_owned()), "{name}");
    }
}

#[tokio::test]
async fn a_network_that_changes_counts_from_the_next_request_on() {
    let gateway = start("").await;
    let partner = partner_from(&gateway, "office-only", &["office"]).await;
    let headers = [("x-api-key", partner.api_key.as_str())];
    let mut inside = gateway.session_from(INSIDE[0]).await;
    assert_eq!(inside.get(&partner.path, &headers).await.status, 200);
    let moved = NETWORKS.replace("127.0.0.2/31", "127.0.0.5/32");
    gateway.apply(&document(&[SERVER, ACME, HELLO, &moved])).await;
    assert_eq!(inside.get(&partner.path, &headers).await.status, 403);
    let mut now_inside = gateway.session_from([127, 0, 0, 5]).await;
    assert_eq!(now_inside.get(&partner.path, &headers).await.status, 200);
    // A policy that would leave the client with a network that is gone is refused; it must not open the door.
    let gone = gateway.try_apply(&document(&[SERVER, ACME, HELLO])).await;
    assert!(gone.is_err());
    assert_eq!(inside.get(&partner.path, &headers).await.status, 403);
}
