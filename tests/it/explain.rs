//! What explain says is what happens.

use std::net::IpAddr;

use portcullis::gateway::{ExplainAnswer, ExplainRequest};
use portcullis::registry::Actor;
use portcullis::registry::client::NewClient;

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{Gateway, GatewayOptions, Method, Partner, SessionOptions};

const POLICY: &str = r#"
[[network]]
name = "office"
cidrs = ["127.0.0.2/32"]

[[usage_plan]]
name = "once"
throttle = { rate = 0.001, burst = 1 }
quota = { limit = 1, period = "day" }

[[route]]
methods = ["GET"]
path = "/write"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{server}/write"] }
action = { mock = { body = "write" } }

[[route]]
methods = ["GET"]
path = "/both"
accept = [["mutual_tls", "api_key"], ["bearer"]]
scopes = { any = ["{scope}"] }
action = { mock = { body = "both" } }

[[route]]
methods = ["GET"]
path = "/office"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
networks = ["office"]
action = { mock = { body = "office" } }

[[route]]
methods = ["GET"]
path = "/public"
public = true
action = { mock = { body = "public" } }

[[route]]
methods = ["GET"]
path = "/mtls-only"
accept = [["mutual_tls"]]
listeners = ["mtls"]
action = { mock = { body = "mtls" } }
"#;

const PATHS: &[(&str, &str)] = &[
    ("GET", "/test/hello-world"),
    ("HEAD", "/test/hello-world"),
    ("POST", "/test/hello-world"),
    ("GET", "/write"),
    ("GET", "/both"),
    ("GET", "/office"),
    ("GET", "/public"),
    ("GET", "/mtls-only"),
    ("GET", "/nowhere"),
    ("GET", "/a/../write"),
];

async fn ask(gateway: &Gateway, request: &ExplainRequest) -> ExplainAnswer {
    gateway.app.explainer.explain(request).await
}

fn described(method: &str, path: &str, source: [u8; 4]) -> ExplainRequest {
    ExplainRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        source: Some(source.into()),
        ..ExplainRequest::default()
    }
}

fn spoken(method: Method) -> &'static str {
    match method {
        Method::Certificate => "mutual_tls",
        Method::ApiKey => "api_key",
        Method::Token => "bearer",
    }
}

/// The steps that the answer tells must be those that were taken: all passed but the last of a denial.
fn assert_told_in_order(answer: &ExplainAnswer, what: &str) {
    let failed: Vec<_> =
        answer.steps.iter().map(|step| serde_json::to_value(step).unwrap()["passed"].clone()).collect();
    let (last, before) = failed.split_last().unwrap();
    assert!(before.iter().all(|passed| *passed == true), "{what}: {answer:#?}");
    assert_eq!(*last == true, answer.decision == "allow", "{what}: {answer:#?}");
}

#[tokio::test]
async fn explain_agrees_with_what_happens() {
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, POLICY]))).await;
    let scope = |name: &str| format!("{}/{name}", gateway.server());
    let mut clients = Vec::new();
    for (id, scopes, networks) in [
        ("plain", vec![scope("hello-world")], vec![]),
        ("writer", vec![scope("hello-world"), scope("write")], vec![]),
        ("office", vec![scope("hello-world")], vec!["office".to_owned()]),
        ("off", vec![scope("hello-world")], vec![]),
    ] {
        let new = NewClient { id: id.to_owned(), partner: "p".to_owned(), scopes, networks, ..NewClient::default() };
        clients.push(Partner::create_as(&gateway, new).await);
    }
    let mut cases = 0;
    for client in &clients {
        for method in Method::ALL {
            for source in [[127, 0, 0, 1], [127, 0, 0, 2]] {
                // The credential is had where it may be, and used where the case says.
                let home = SessionOptions { source: Some(IpAddr::from([127, 0, 0, 2])), ..SessionOptions::default() };
                if client.client_id == "off" {
                    gateway.registry().set_client_enabled(&Actor::local(), "off", true).await.unwrap();
                    gateway.advance(std::time::Duration::from_secs(2));
                }
                let (_, headers) = client.prepare_with(&gateway, method, home).await;
                if client.client_id == "off" {
                    gateway.registry().set_client_enabled(&Actor::local(), "off", false).await.unwrap();
                }
                let headers = crate::harness::borrowed(&headers);
                let identity = (method == Method::Certificate).then(|| client.identity.clone());
                let options = SessionOptions { identity, source: Some(source.into()), ..SessionOptions::default() };
                let mut session = gateway.session_with(options).await;
                for (verb, path) in PATHS {
                    let what = format!("{verb} {path} by {} with {method:?} from {source:?}", client.client_id);
                    let request = ExplainRequest {
                        client: Some(client.client_id.clone()),
                        presents: vec![spoken(method).to_owned()],
                        ..described(verb, path, source)
                    };
                    let told = ask(&gateway, &request).await;
                    let answer = session.send(verb, path, &headers, "").await.unwrap();
                    let happened = gateway.decision(answer.decision_id()).await;
                    assert_eq!(told.decision == "allow", answer.status == 200, "{what}: {told:#?}");
                    assert_eq!(told.code.unwrap_or("allowed"), happened.outcome, "{what}");
                    assert_eq!(told.route, happened.route, "{what}");
                    assert_told_in_order(&told, &what);
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 4 * 3 * 2 * PATHS.len());
    // Nobody, and two credentials at once.
    for (_, path) in PATHS.iter().filter(|(verb, _)| *verb == "GET") {
        let told = ask(&gateway, &described("GET", path, [127, 0, 0, 1])).await;
        let answer = gateway.session().await.get(path, &[]).await;
        let happened = gateway.decision(answer.decision_id()).await;
        assert_eq!(told.code.unwrap_or("allowed"), happened.outcome, "nobody {path}");
        let plain = &clients[0];
        let options = SessionOptions { identity: Some(plain.identity.clone()), ..SessionOptions::default() };
        let mut session = gateway.session_with(options).await;
        let answer = session.get(path, &[("x-api-key", &plain.api_key)]).await;
        let told = ask(
            &gateway,
            &ExplainRequest {
                client: Some("plain".to_owned()),
                presents: vec!["mutual_tls".to_owned(), "api_key".to_owned()],
                ..described("GET", path, [127, 0, 0, 1])
            },
        )
        .await;
        assert_eq!(told.code.unwrap_or("allowed"), gateway.decision(answer.decision_id()).await.outcome, "both {path}");
    }
}

#[tokio::test]
async fn explain_knows_the_other_listener_and_a_token_with_fewer_scopes() {
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, POLICY]))).await;
    let acme = |path: &str| ExplainRequest {
        client: Some("acme-orders".to_owned()),
        presents: vec!["mutual_tls".to_owned()],
        ..described("GET", path, [127, 0, 0, 1])
    };
    let on_mtls = ExplainRequest { listener: Some("mtls".to_owned()), ..acme("/mtls-only") };
    assert_eq!(ask(&gateway, &on_mtls).await.decision, "allow");
    let narrowed = ExplainRequest {
        presents: vec!["bearer".to_owned()],
        scopes: Some(vec![format!("{}/read", gateway.server())]),
        ..acme("/test/hello-world")
    };
    assert_eq!(ask(&gateway, &narrowed).await.code, Some("insufficient_scope"));
    let mapped = ExplainRequest { source: Some("::ffff:127.0.0.2".parse().unwrap()), ..acme("/office") };
    assert_eq!(ask(&gateway, &mapped).await.decision, "allow");
    for (request, code) in [
        (ExplainRequest { client: Some("nobody".to_owned()), ..acme("/write") }, "credential_revoked"),
        (ExplainRequest { presents: vec!["password".to_owned()], ..acme("/write") }, "malformed_request"),
        (ExplainRequest { client: None, ..acme("/write") }, "malformed_request"),
    ] {
        assert_eq!(ask(&gateway, &request).await.code, Some(code));
    }
}

#[tokio::test]
async fn explain_spends_nothing() {
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, POLICY]))).await;
    for method in Method::ALL {
        let id = format!("once-{}", spoken(method).replace('_', "-"));
        let new = NewClient {
            id: id.clone(),
            partner: "once".to_owned(),
            scopes: vec![gateway.demo.scope.clone()],
            usage_plan: Some("once".to_owned()),
            ..NewClient::default()
        };
        let client = Partner::create_as(&gateway, new).await;
        let request = ExplainRequest {
            client: Some(id),
            presents: vec![spoken(method).to_owned()],
            ..described("GET", &client.path, [127, 0, 0, 1])
        };
        for _ in 0..5 {
            assert_eq!(ask(&gateway, &request).await.decision, "allow");
        }
        assert_eq!(
            client.call(&gateway, method, &client.path).await.status,
            200,
            "{method:?}: its one request is still there"
        );
        assert_eq!(client.call(&gateway, method, &client.path).await.code(), "throttled");
        assert_eq!(ask(&gateway, &request).await.code, Some("throttled"), "{method:?}: what is spent is told");
    }
}

#[tokio::test]
async fn explain_tells_how_a_quota_stands_and_takes_none_of_it() {
    const PLAN: &str = "\n[[usage_plan]]\nname = \"two\"\nquota = { limit = 2, period = \"day\" }\n";
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, PLAN]))).await;
    let new = NewClient {
        id: "two-a-day".to_owned(),
        partner: "two".to_owned(),
        scopes: vec![gateway.demo.scope.clone()],
        usage_plan: Some("two".to_owned()),
        ..NewClient::default()
    };
    let client = Partner::create_as(&gateway, new).await;
    let request = ExplainRequest {
        client: Some("two-a-day".to_owned()),
        presents: vec!["api_key".to_owned()],
        ..described("GET", &client.path, [127, 0, 0, 1])
    };
    for _ in 0..2 {
        for _ in 0..3 {
            assert_eq!(ask(&gateway, &request).await.decision, "allow");
        }
        assert_eq!(client.call(&gateway, Method::ApiKey, &client.path).await.status, 200);
    }
    let told = ask(&gateway, &request).await;
    assert_eq!(told.code, Some("quota_exceeded"));
    assert!(told.steps.iter().any(|step| step.stage == policies::Stage::Quota && !step.passed), "{:#?}", told.steps);
    assert_eq!(client.call(&gateway, Method::ApiKey, &client.path).await.code(), "quota_exceeded");
}

/// The listener decides whose routes are asked, and which credentials get that far.
#[tokio::test]
async fn explain_judges_by_the_routes_of_the_listener() {
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, POLICY]))).await;
    let on = |listener: &str, path: &str, presents: &[&str]| ExplainRequest {
        listener: Some(listener.to_owned()),
        client: (!presents.is_empty()).then(|| "acme-orders".to_owned()),
        presents: presents.iter().map(ToString::to_string).collect(),
        ..described("GET", path, [127, 0, 0, 1])
    };
    for (request, decision, code) in [
        // The control plane has routes of its own: those of the policy are not found there, whatever they allow.
        (on("admin", "/test/hello-world", &["mutual_tls"]), "deny", Some("route_not_found")),
        (on("admin", "/v1/status", &["mutual_tls"]), "deny", Some("insufficient_scope")),
        (on("admin", "/livez", &[]), "allow", None),
        (on("pki", "/test/hello-world", &["mutual_tls"]), "deny", Some("route_not_found")),
        (on("nowhere", "/test/hello-world", &["mutual_tls"]), "deny", Some("unknown_listener")),
        (on("mtls", "/public", &["bearer"]), "deny", Some("handshake_failed")),
        (on("gateway", "/oauth2/token", &[]), "endpoint", None),
        (on("admin", "/oauth2/token", &[]), "deny", Some("route_not_found")),
        (
            ExplainRequest { method: "TRACE".into(), ..on("gateway", "/public", &[]) },
            "deny",
            Some("method_not_allowed"),
        ),
    ] {
        let told = ask(&gateway, &request).await;
        assert_eq!((told.decision, told.code), (decision, code), "{told:#?}");
    }
    // And that is what happens.
    let acme = gateway.acme();
    for path in ["/test/hello-world", "/v1/status"] {
        let mut session = crate::harness::Session::open(
            &gateway,
            "admin",
            SessionOptions { identity: Some(acme.identity.clone()), ..SessionOptions::default() },
        )
        .await
        .unwrap();
        let answer = session.get(path, &[]).await;
        let told = ask(&gateway, &on("admin", path, &["mutual_tls"])).await;
        assert_eq!(told.code.unwrap(), gateway.decision(answer.decision_id()).await.outcome, "{path}");
    }
}

#[tokio::test]
async fn explain_judges_a_credential_by_its_id_as_it_is_now() {
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, POLICY]))).await;
    let acme = gateway.acme();
    let with = |ids: &[&str], path: &str| ExplainRequest {
        credentials: ids.iter().map(ToString::to_string).collect(),
        ..described("GET", path, [127, 0, 0, 1])
    };
    let (key, serial) = (acme.api_key_id(), acme.serial.as_str());
    assert_eq!(ask(&gateway, &with(&[key], "/test/hello-world")).await.decision, "allow");
    assert_eq!(ask(&gateway, &with(&[serial], "/test/hello-world")).await.decision, "allow");
    assert_eq!(ask(&gateway, &with(&[key, serial], "/both")).await.decision, "allow");
    assert_eq!(ask(&gateway, &with(&[key], "/both")).await.code, Some("method_not_accepted"));
    let unknown = ask(&gateway, &with(&["nonsense"], "/both")).await;
    assert_eq!(unknown.code, Some("malformed_request"), "{unknown:#?}");
    gateway.registry().revoke_api_key(&Actor::local(), key, "lost").await.unwrap();
    let told = ask(&gateway, &with(&[key], "/test/hello-world")).await;
    assert_eq!(told.code, Some("credential_revoked"), "{told:#?}");
    assert!(told.steps.iter().any(|step| step.detail.contains(&format!("api-key {key} is revoked"))), "{told:#?}");
}
