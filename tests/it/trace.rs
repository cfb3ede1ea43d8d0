//! The decision id of an answer opens how it came about.

use policies::Step;
use serde_json::Value;

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{Gateway, GatewayOptions, Http, Method, borrowed};

const POLICY: &str = r#"
[[network]]
name = "elsewhere"
cidrs = ["203.0.113.0/24"]

[[route]]
methods = ["GET"]
path = "/write"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{server}/write"] }
networks = ["elsewhere"]
rules = { networks = "shadow" }
action = { mock = { body = "write" } }

[[route]]
methods = ["GET"]
path = "/elsewhere"
accept = [["api_key"]]
networks = ["elsewhere"]
action = { mock = { body = "elsewhere" } }

[[route]]
methods = ["GET"]
path = "/shadow"
accept = [["api_key"]]
networks = ["elsewhere"]
rules = { networks = "shadow" }
action = { mock = { body = "shadow" } }
"#;

async fn start() -> Gateway {
    Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, POLICY]))).await
}

/// `stage`, with `!` where it denied and `?` where it would have.
fn told(account: &Value) -> Vec<String> {
    let steps: Vec<Step> = serde_json::from_value(account["steps"].clone()).unwrap();
    let mark = |step: &Step| match (step.denied(), step.would_deny()) {
        (true, _) => "!",
        (_, true) => "?",
        _ => "",
    };
    steps.iter().map(|step| format!("{}{}", step.stage, mark(step))).collect()
}

async fn open(gateway: &Gateway, decision_id: &str) -> Value {
    gateway.admin().await.get(&format!("/v1/audit/{decision_id}"), &[]).await.json()
}

#[tokio::test]
async fn each_denial_opens_with_every_step_until_the_one_that_denied() {
    let gateway = start().await;
    let known =
        "source path route route_network authenticate methods partner_network client_network status status scopes";
    let known = |count: usize| known.split(' ').take(count).map(str::to_owned).collect::<Vec<_>>();
    for method in Method::ALL {
        let (mut session, headers) = gateway.acme().prepare(&gateway, method, Http::Two).await;
        let answer = session.get("/write", &borrowed(&headers)).await;
        assert_eq!(answer.code(), "insufficient_scope");
        let account = open(&gateway, answer.decision_id()).await;
        let mut expected = known(11);
        expected[3].push('?');
        expected[10].push('!');
        assert_eq!(told(&account), expected, "{account:#}");
        assert_eq!((&account["outcome"], &account["shadow"]), (&"insufficient_scope".into(), &"networks".into()));
        let last = account["steps"].as_array().unwrap().last().unwrap();
        let detail = format!("required any of: {0}/write, granted: {0}/hello-world", gateway.server());
        assert_eq!(last["detail"], detail, "the value that decided");
    }
    let (mut session, headers) = gateway.acme().prepare(&gateway, Method::ApiKey, Http::Two).await;
    let mut ask = async |path: &str, more: &[(&str, &str)]| {
        let headers: Vec<_> = if more.is_empty() { borrowed(&headers) } else { more.to_vec() };
        let answer = session.get(path, &headers).await;
        open(&gateway, answer.decision_id()).await
    };
    for (path, headers, expected) in [
        ("/elsewhere", &[][..], "source path route route_network!"),
        ("/nowhere", &[], "source path route!"),
        ("/a//b", &[], "source path!"),
        ("/test/hello-world", &[("x-api-key", "pc_test_x")], "source path route route_network authenticate!"),
        ("/test/hello-world", &[("x-nothing", "")], "source path route route_network authenticate!"),
        ("/test/hello-world", &[("x-api-key", "a"), ("x-api-key", "b")], "source request!"),
        ("/oauth2/token", &[], "source path endpoint!"),
    ] {
        let account = ask(path, headers).await;
        assert_eq!(told(&account).join(" "), expected, "{path}: {account:#}");
    }
}

#[tokio::test]
async fn what_a_shadow_would_have_denied_opens_too_and_what_was_allowed_does_not() {
    let gateway = start().await;
    let (mut session, headers) = gateway.acme().prepare(&gateway, Method::ApiKey, Http::Two).await;
    let answer = session.get("/shadow", &borrowed(&headers)).await;
    assert_eq!(answer.status, 200);
    let account = open(&gateway, answer.decision_id()).await;
    assert!(told(&account).join(" ").starts_with("source path route route_network? authenticate"), "{account:#}");
    assert_eq!(account["outcome"], "allowed");
    let answer = session.get("/test/hello-world", &borrowed(&headers)).await;
    assert_eq!(open(&gateway, answer.decision_id()).await["steps"], Value::Null);
    assert_eq!(gateway.admin().await.status("/v1/audit/unknown", &[]).await, 404);
}

/// The account says what was true then.
#[tokio::test]
async fn an_account_does_not_change_with_the_policy() {
    let gateway = start().await;
    let (mut session, headers) = gateway.acme().prepare(&gateway, Method::ApiKey, Http::Two).await;
    let answer = session.get("/write", &borrowed(&headers)).await;
    let before = open(&gateway, answer.decision_id()).await;
    gateway.apply(&document(&[SERVER, ACME, HELLO])).await;
    assert_eq!(open(&gateway, answer.decision_id()).await, before);
}
