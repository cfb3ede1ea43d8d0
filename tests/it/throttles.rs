//! Throttles of clients, credentials, partners, routes; judged together, spent together, kept through restarts.

use std::time::Duration;

use portcullis::registry::Actor;
use portcullis::registry::api_key::NewApiKey;
use portcullis::registry::client::NewClient;
use portcullis::registry::partner::NewPartner;
use secrecy::ExposeSecret;

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{Answer, Gateway, GatewayOptions, Http, Method, Partner, Session, borrowed};

const SECOND: Duration = Duration::from_secs(1);

/// Two routes with throttles of their own, one of them public.
const ROUTES: &str = r#"
[[route]]
name = "narrow"
methods = ["GET"]
path = "/narrow"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
throttle = { rate = 0.001, burst = 3 }
action = { mock = { body = "narrow" } }

[[route]]
name = "public"
methods = ["GET"]
path = "/public"
public = true
throttle = { rate = 0.001, burst = 2 }
action = { mock = { body = "public" } }
"#;

async fn start(plans: &str) -> Gateway {
    Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, ROUTES, plans]))).await
}

async fn client(gateway: &Gateway, id: &str, partner: &str, plan: Option<&str>) -> Partner {
    let new = NewClient {
        id: id.to_owned(),
        partner: partner.to_owned(),
        scopes: vec![gateway.demo.scope.clone()],
        usage_plan: plan.map(str::to_owned),
        ..NewClient::default()
    };
    Partner::create_as(gateway, new).await
}

/// How many requests pass before the first that does not, and that one.
async fn admitted(session: &mut Session, path: &str, headers: &[(&str, &str)]) -> (u32, Answer) {
    for count in 0..1_000 {
        let answer = session.get(path, headers).await;
        if answer.status != 200 {
            assert_eq!(answer.problem(), (429, "throttled".to_owned()), "{answer:?}");
            return (count, answer);
        }
    }
    panic!("nothing bites");
}

async fn passes(gateway: &Gateway, path: &str, client: &Partner) -> u32 {
    admitted(&mut gateway.session().await, path, &[("x-api-key", &client.api_key)]).await.0
}

const EACH: &str = r#"
[[usage_plan]]
name = "each"
throttle = { rate = 0.001, burst = 20 }
credential_throttle = { rate = 0.001, burst = 4 }
"#;

#[tokio::test]
async fn each_credential_has_a_share_of_its_own() {
    let gateway = start(EACH).await;
    let one = client(&gateway, "one", "one", Some("each")).await;
    let key = NewApiKey { client: "one".to_owned(), ..NewApiKey::default() };
    let second = gateway.registry().create_api_key(&Actor::local(), key).await.unwrap();
    let second = second.key.expose_secret().to_owned();
    assert_eq!(passes(&gateway, &one.path, &one).await, 4);
    assert_eq!(admitted(&mut gateway.session().await, &one.path, &[("x-api-key", &second)]).await.0, 4, "another key");
    let (mut session, headers) = one.prepare(&gateway, Method::Certificate, Http::Two).await;
    assert_eq!(admitted(&mut session, &one.path, &borrowed(&headers)).await.0, 4, "its certificate");
    // However many tokens it fetches, they have one share.
    let (mut session, headers) = one.prepare(&gateway, Method::Token, Http::Two).await;
    assert_eq!(admitted(&mut session, &one.path, &borrowed(&headers)).await.0, 4, "its token");
    let (mut session, headers) = one.prepare(&gateway, Method::Token, Http::Two).await;
    assert_eq!(admitted(&mut session, &one.path, &borrowed(&headers)).await.0, 0, "a fresh token is not a fresh share");
    // 16 of the client's 20 are spent: what the credentials were denied did not count.
    let key = NewApiKey { client: "one".to_owned(), ..NewApiKey::default() };
    let third = gateway.registry().create_api_key(&Actor::local(), key).await.unwrap();
    let third = third.key.expose_secret().to_owned();
    assert_eq!(
        admitted(&mut gateway.session().await, &one.path, &[("x-api-key", &third)]).await.0,
        4,
        "the client's last four"
    );
    let other = client(&gateway, "other", "other", Some("each")).await;
    assert_eq!(passes(&gateway, &other.path, &other).await, 4, "and nobody else's are touched");
}

const TOTAL: &str = r#"
[[usage_plan]]
name = "five"
throttle = { rate = 0.001, burst = 5 }

[[usage_plan]]
name = "total"
throttle = { rate = 0.001, burst = 8 }
"#;

#[tokio::test]
async fn the_clients_of_a_partner_share_its_plan() {
    let gateway = start(TOTAL).await;
    let partner = NewPartner { usage_plan: Some("total".to_owned()), ..NewPartner::named("globex", "Globex") };
    gateway.registry().create_partner(&Actor::local(), partner).await.unwrap();
    let one = client(&gateway, "globex-one", "globex", Some("five")).await;
    let two = client(&gateway, "globex-two", "globex", Some("five")).await;
    let free = client(&gateway, "globex-free", "globex", None).await;
    let stranger = client(&gateway, "stranger", "stranger", Some("five")).await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 5, "its own is the narrower");
    assert_eq!(passes(&gateway, &two.path, &two).await, 3, "what is left of the partner's eight");
    assert_eq!(passes(&gateway, &free.path, &free).await, 0, "without a plan of its own it is under the partner's");
    assert_eq!(passes(&gateway, &stranger.path, &stranger).await, 5);
}

const OVERRIDE: &str = r#"
[[usage_plan]]
name = "plain"
throttle = { rate = 0.001, burst = 50 }

[[usage_plan]]
name = "wide"
throttle = { rate = 0.001, burst = 50 }
routes = [{ route = "narrow", throttle = { rate = 0.001, burst = 6 } }]
"#;

#[tokio::test]
async fn a_route_has_a_limit_for_all_and_a_plan_may_put_its_own_in_its_place() {
    let gateway = start(OVERRIDE).await;
    let one = client(&gateway, "one", "one", Some("plain")).await;
    let two = client(&gateway, "two", "two", Some("plain")).await;
    let wide = client(&gateway, "wide", "wide", Some("wide")).await;
    let wider = client(&gateway, "wider", "wider", Some("wide")).await;
    let mut session = gateway.session().await;
    assert_eq!(session.get("/narrow", &[("x-api-key", &one.api_key)]).await.status, 200);
    assert_eq!(passes(&gateway, "/narrow", &two).await, 2, "all callers together");
    assert_eq!(passes(&gateway, "/narrow", &one).await, 0);
    assert_eq!(passes(&gateway, "/narrow", &wide).await, 6, "an override is for each client by itself");
    assert_eq!(passes(&gateway, "/narrow", &wider).await, 6);
    assert_eq!(passes(&gateway, &one.path, &one).await, 49, "what the route denied spent nothing of the client's");
    assert_eq!(admitted(&mut session, "/public", &[]).await.0, 2, "a public route counts everybody");
    assert_eq!(admitted(&mut gateway.session_from([127, 0, 0, 2]).await, "/public", &[]).await.0, 0);
}

#[tokio::test]
async fn a_throttle_in_shadow_never_denies_and_spends_nothing_of_the_one_in_force() {
    let plan =
        |throttle: &str| format!("\n[[usage_plan]]\nname = \"plan\"\nthrottle = {{ rate = 0.001, {throttle} }}\n");
    let gateway = start(&plan("burst = 2, mode = \"shadow\"")).await;
    let one = client(&gateway, "one", "one", Some("plan")).await;
    let mut session = gateway.session().await;
    let key = [("x-api-key", one.api_key.as_str())];
    for _ in 0..10 {
        assert_eq!(session.get(&one.path, &key).await.status, 200);
    }
    let policy = |throttle: &str| document(&[SERVER, ACME, HELLO, ROUTES, &plan(throttle)]);
    gateway.apply(&policy("burst = 2")).await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 2, "what was counted in shadow is not held against anybody");
    gateway.apply(&policy("burst = 2, mode = \"off\"")).await;
    for _ in 0..10 {
        assert_eq!(session.get(&one.path, &key).await.status, 200);
    }
}

#[tokio::test]
async fn who_is_moved_to_another_plan_takes_along_what_is_spent() {
    let plan = |rate: f64, burst: u32| {
        format!("\n[[usage_plan]]\nname = \"plan\"\nthrottle = {{ rate = {rate:?}, burst = {burst} }}\n")
    };
    let policy = |rate, burst| document(&[SERVER, ACME, HELLO, ROUTES, &plan(rate, burst)]);
    let gateway = start(&plan(10.0, 10)).await;
    let one = client(&gateway, "one", "one", Some("plan")).await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 10);
    gateway.apply(&policy(0.5, 12)).await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 2, "slower: ten are spent, not the second that they took");
    gateway.apply(&policy(100.0, 20)).await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 8, "faster: twelve are spent");
    gateway.advance(SECOND / 5);
    assert_eq!(passes(&gateway, &one.path, &one).await, 20, "and it waits no longer than the faster plan asks");
    gateway.apply(&policy(1.0, 3)).await;
    // A bucket goes over to the new plan with its next request.
    assert_eq!(passes(&gateway, &one.path, &one).await, 0);
    gateway.advance(SECOND);
    assert_eq!(passes(&gateway, &one.path, &one).await, 1, "a smaller burst is spent, not overdrawn");
}

#[tokio::test]
async fn what_a_quota_denies_is_given_back_to_the_throttle() {
    let plans = "\n[[usage_plan]]\nname = \"both\"\nthrottle = { rate = 0.0001, burst = 10 }\nquota = { limit = 4, period = \"day\" }\n";
    let gateway = start(plans).await;
    let one = client(&gateway, "one", "one", Some("both")).await;
    let key = [("x-api-key", one.api_key.as_str())];
    let mut session = gateway.session().await;
    for _ in 0..4 {
        assert_eq!(session.get(&one.path, &key).await.status, 200);
    }
    for _ in 0..20 {
        assert_eq!(session.get(&one.path, &key).await.problem(), (429, "quota_exceeded".to_owned()));
    }
    let without = plans.replace("quota = { limit = 4, period = \"day\" }\n", "");
    gateway.apply(&document(&[SERVER, ACME, HELLO, ROUTES, &without])).await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 6);
}

const KEPT: &str = "\n[[usage_plan]]\nname = \"kept\"\nthrottle = { rate = 0.01, burst = 5 }\n";

#[tokio::test]
async fn a_restart_hands_out_no_second_burst() {
    let gateway = start(KEPT).await;
    let one = client(&gateway, "one", "one", Some("kept")).await;
    let rested = client(&gateway, "rested", "rested", Some("kept")).await;
    let mut session = gateway.session().await;
    for _ in 0..3 {
        assert_eq!(session.get(&one.path, &[("x-api-key", &one.api_key)]).await.status, 200);
    }
    drop(session);
    let gateway = gateway.restart().await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 2, "three of five were spent before");
    let gateway = gateway.restart().await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 0);
    gateway.advance(100 * SECOND);
    let gateway = gateway.restart().await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 1, "and what is earned meanwhile is its own");
    assert_eq!(passes(&gateway, &rested.path, &rested).await, 5, "who had all still has all");
}

#[tokio::test]
async fn after_a_crash_what_was_in_use_begins_spent_and_what_rested_is_whole() {
    let gateway = start(KEPT).await;
    let one = client(&gateway, "one", "one", Some("kept")).await;
    let rested = client(&gateway, "rested", "rested", Some("kept")).await;
    let mut session = gateway.session().await;
    assert_eq!(session.get(&one.path, &[("x-api-key", &one.api_key)]).await.status, 200);
    drop(session);
    let gateway = gateway.crash().await;
    assert_eq!(passes(&gateway, &rested.path, &rested).await, 5, "who did not call loses nothing");
    let passed = passes(&gateway, &one.path, &one).await;
    assert!(passed <= 4, "one was spent; {passed} of five passed again");
    let gateway = gateway.crash().await;
    assert_eq!(passes(&gateway, &one.path, &one).await, 0, "nor does crashing twice help");
    assert_eq!(passes(&gateway, &rested.path, &rested).await, 0);
    gateway.advance(200 * SECOND);
    assert_eq!(passes(&gateway, &one.path, &one).await, 2, "from then on it earns as ever");
}
