//! The comparison of methods, run against the whole gate.

use std::sync::Mutex;
use std::time::Duration;

use portcullis::compare::{Comparison, Method, Options, Progress, RevocationReport, Sources, Target, compare};
use serde_json::Value;

use crate::harness::{Gateway, GatewayOptions};

const SMALL: Options = Options { new_connections: 3, kept_requests: 20, token_fetches: 2, revocations: 2 };
/// A revoked credential must not be served for longer, on the slowest machine.
const SHUT_WITHIN_MS: f64 = 1_000.0;

/// Fewer requests at once than a comparison makes.
const TIGHT: &str = r#"
[[resource_server]]
identifier = "{server}"
name = "Mock API"
scopes = [{ name = "hello-world", description = "" }]
[[usage_plan]]
name = "tight"
throttle = { rate = 50, burst = 100 }
[[partner]]
id = "acme"
name = "Acme Ltd"
[[client]]
id = "acme-orders"
partner = "acme"
scopes = ["{scope}"]
usage_plan = "tight"
[[route]]
methods = ["GET"]
path = "/test/hello-world"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{scope}"] }
action = { mock = { status = 200, body = "hello" } }
"#;

#[derive(Default)]
struct Watched {
    warnings: Mutex<Vec<String>>,
}

impl Progress for Watched {
    fn begin(&self, _: &str, _: u64) {}
    fn step(&self, _: u64) {}
    fn warn(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}

async fn run(gateway: &Gateway, sources: Sources, options: Options) -> Comparison {
    let target = Target::find(&sources).await.unwrap();
    let watched = Watched::default();
    let compared = compare(&target, &options, &gateway.clock, &watched, std::future::pending()).await.unwrap();
    assert_eq!(watched.warnings.lock().unwrap().len(), 0);
    compared
}

fn of_demo(gateway: &Gateway) -> Sources {
    gateway.demo.write(gateway.data()).unwrap();
    Sources { data: Some(gateway.data().to_owned()), ..Sources::default() }
}

/// What the control plane knows of a kind of thing, without the times of last use.
async fn listed(gateway: &Gateway, path: &str) -> Vec<Value> {
    let answer = gateway.admin().await.get(path, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

async fn of_acme(gateway: &Gateway) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for path in ["/v1/certificates", "/v1/api-keys", "/v1/client-secrets"] {
        all.push(listed(gateway, &format!("{path}?client=acme-orders")).await);
    }
    let clients = listed(gateway, "/v1/clients").await;
    all.push(clients.into_iter().filter(|client| client["id"] == "acme-orders").collect());
    all
}

/// The server's clock is the test's: unless it moves, a spent allowance stays spent.
fn turn_clock(gateway: &Gateway) -> tokio::task::JoinHandle<()> {
    let clock = gateway.clock.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            clock.advance(Duration::from_millis(200));
        }
    })
}

fn shut(report: &RevocationReport, what: &str) {
    assert_eq!(report.failed, Vec::<String>::new(), "{what}");
    assert!(report.answered.is_some(), "{what}");
    for way in [&report.open_connection, &report.new_connection, &report.resumed_session] {
        assert_eq!((way.not_denied, way.disturbed.as_slice()), (0, &[][..]), "{what}: {way:?}");
        // The revocation is in force when its answer comes: nothing sent after it is served.
        assert_eq!(way.served_after_answer, 0, "{what}: {way:?}");
        let delay = way.from_sending.unwrap();
        assert!(delay.count == SMALL.revocations && delay.max_ms < SHUT_WITHIN_MS, "{what}: {way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_is_measured_and_nothing_of_the_users_is_touched() {
    let gateway = Gateway::start().await;
    let before = of_acme(&gateway).await;
    let compared = run(&gateway, of_demo(&gateway), SMALL).await;

    assert_eq!(compared.methods.iter().map(|report| report.id).collect::<Vec<_>>(), Method::ALL.map(Method::id));
    assert!(compared.client_is_temporary && compared.revocation_skipped.is_none());
    assert_eq!(compared.tls.as_ref().unwrap().version, "TLSv1_3");
    for report in &compared.methods {
        let what = report.id;
        assert_eq!(report.unavailable, None, "{what}");
        for latency in [report.first_call, report.full_handshake, report.resumed_call, report.resumed_handshake] {
            let latency = latency.unwrap();
            assert_eq!(latency.count, SMALL.new_connections, "{what}");
            assert!(
                latency.min_us > 0.0 && latency.min_us <= latency.p50_us && latency.p50_us <= latency.p99_us,
                "{what}"
            );
        }
        assert_eq!(report.keep_alive.unwrap().count, SMALL.kept_requests, "{what}");
        assert_eq!(report.not_resumed, 0, "{what}");
        let (first, resumed, kept) =
            (report.bytes.first_call.unwrap(), report.bytes.resumed_call.unwrap(), report.bytes.keep_alive.unwrap());
        assert!(first.received > resumed.received && resumed.received > kept.received && kept.received > 0, "{what}");
        assert!(first.sent > kept.sent && kept.sent > 0, "{what}");
        shut(report.revocation.as_ref().unwrap(), what);
    }

    let by_id = |id: &str| compared.methods.iter().find(|report| report.id == id).unwrap();
    let sent = |id: &str| by_id(id).bytes.first_call.unwrap().sent;
    assert!(sent("mutual_tls") > sent("api_key"), "a certificate goes over the wire");
    assert!(by_id("bearer").token_fetch.is_some() && by_id("api_key").token_fetch.is_none());
    // A stolen key or token opens the door; a stolen request of the others does not, where the route asks for both.
    let replayed = |id: &str| by_id(id).properties.replayed.as_ref().unwrap().is_served;
    assert!(replayed("api_key") && replayed("bearer"));
    assert!(!replayed("mutual_tls") && !replayed("bearer+mutual_tls"));
    assert_eq!(by_id("mutual_tls").revocation.as_ref().unwrap().revoked, "certificate");
    assert!(by_id("mutual_tls").properties.expires_at.unwrap() > gateway.clock.now().0);
    assert!(by_id("api_key").properties.expiry_is_known && by_id("api_key").properties.expires_at.is_none());
    assert_eq!(by_id("bearer").properties.token_lifetime_seconds, Some(3600));

    assert_eq!(of_acme(&gateway).await, before);
    let id = compared.client.unwrap();
    let clients = listed(&gateway, "/v1/clients?partner=acme").await;
    let temporary = clients.iter().find(|client| client["id"] == id.as_str()).unwrap();
    assert_eq!(temporary["enabled"], false);
    // What it holds ends by itself, should switching it off ever fail.
    let keys = listed(&gateway, &format!("/v1/api-keys?client={id}")).await;
    assert!(!keys.is_empty() && keys.iter().all(|key| key["expires_at"].as_i64().is_some()));
    for method in crate::harness::Method::ALL {
        assert_eq!(gateway.acme().call(&gateway, method, &gateway.demo.path).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_it_clears_up() {
    let gateway = Gateway::start().await;
    let target = Target::find(&of_demo(&gateway)).await.unwrap();
    let options = Options { kept_requests: 1_000_000, ..SMALL };
    let soon = tokio::time::sleep(Duration::from_millis(300));
    let stopped = compare(&target, &options, &gateway.clock, &Watched::default(), soon).await;
    assert!(stopped.unwrap_err().to_string().contains("stopped"));
    let clients = listed(&gateway, "/v1/clients?partner=acme").await;
    assert_eq!(clients.len(), 2);
    assert!(clients.iter().all(|client| (client["id"] == "acme-orders") == (client["enabled"] == true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_revocations_the_server_is_left_as_it_is() {
    let gateway = Gateway::start().await;
    let compared = run(&gateway, of_demo(&gateway), Options { revocations: 0, ..SMALL }).await;
    assert_eq!((compared.client.as_deref(), compared.client_is_temporary), (Some("acme-orders"), false));
    assert!(compared.revocation_skipped.unwrap().contains("--no-revoke"));
    assert!(compared.methods.iter().all(|report| report.unavailable.is_none() && report.revocation.is_none()));
    assert_eq!(listed(&gateway, "/v1/clients").await.iter().filter(|client| client["partner"] == "acme").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_wants_both_shows_what_does_not_work_there() {
    let gateway = Gateway::start().await;
    let url = format!("{}/test/both", gateway.demo.gateway);
    let compared = run(&gateway, Sources { url: Some(url), ..of_demo(&gateway) }, SMALL).await;
    for report in &compared.methods {
        if report.id == "api_key+mutual_tls" {
            assert_eq!(report.unavailable, None);
            assert!(!report.properties.replayed.as_ref().unwrap().is_served, "the key alone is worth nothing here");
            shut(report.revocation.as_ref().unwrap(), report.id);
        } else {
            let why = report.unavailable.as_deref().unwrap();
            assert!(why.contains("401 method_not_accepted"), "{}: {why}", report.id);
            assert!(report.first_call.is_none() && report.revocation.is_none());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_alone_can_be_compared_and_throttling_is_waited_out() {
    let gateway = Gateway::start_with(GatewayOptions::policy(TIGHT)).await;
    let key = gateway.data().join("key");
    std::fs::write(&key, &gateway.demo.api_key).unwrap();
    // An allowance of 100 requests is spent before the end.
    let policy = std::fs::read_to_string(gateway.data().join("policies/demo.toml")).unwrap();
    gateway.apply(&policy.replace("rate = 500, burst = 1000", "rate = 50, burst = 100")).await;
    let turning = turn_clock(&gateway);
    let sources = Sources { api_key_file: Some(key), ..of_demo(&gateway) };
    let compared = run(&gateway, sources, Options { kept_requests: 150, revocations: 0, ..SMALL }).await;
    turning.abort();
    for report in &compared.methods {
        match report.id {
            "api_key" => {
                assert_eq!((report.unavailable.as_deref(), report.keep_alive.unwrap().count), (None, 150));
                assert!(report.throttled_ms >= 1_000, "{}", report.throttled_ms);
                assert!(report.keep_alive.unwrap().max_us < 900_000.0, "waiting is not latency");
            }
            _ => assert!(report.unavailable.as_deref().unwrap().contains("is given"), "{}", report.id),
        }
    }
}
