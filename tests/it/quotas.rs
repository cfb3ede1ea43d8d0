//! Calendar quotas: several at once, whose they are, what a change of calendar carries, and what an operator does.

use std::time::Duration;

use portcullis::config::LimitFields;
use portcullis::registry::client::NewClient;
use portcullis::store::quota::{self as table, QuotaFilter};
use serde_json::{Value, json};

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{Answer, Gateway, GatewayOptions, Http, Method, Partner, Session, borrowed};

const DAY: Duration = Duration::from_secs(86_400);

fn plan(name: &str, limits: &str) -> String {
    format!("\n[[usage_plan]]\nname = \"{name}\"\n{limits}\n")
}

fn policy(plans: &str) -> String {
    document(&[SERVER, ACME, HELLO, plans])
}

async fn gateway(plans: &str) -> Gateway {
    Gateway::start_with(GatewayOptions::policy(&policy(plans))).await
}

async fn on_plan(gateway: &Gateway, partner: &str, name: &str, plan: Option<&str>) -> Partner {
    let new = NewClient {
        id: name.to_owned(),
        partner: partner.to_owned(),
        scopes: vec![gateway.demo.scope.clone()],
        usage_plan: plan.map(str::to_owned),
        ..NewClient::default()
    };
    Partner::create_as(gateway, new).await
}

/// How many requests pass before the first that does not.
async fn admitted(session: &mut Session, client: &Partner) -> (u32, Answer) {
    for count in 0..10_000 {
        let answer = session.get(&client.path, &[("x-api-key", &client.api_key)]).await;
        if answer.status != 200 {
            assert_eq!(answer.problem(), (429, "quota_exceeded".to_owned()), "{answer:?}");
            return (count, answer);
        }
    }
    panic!("nothing bites");
}

async fn passes(session: &mut Session, client: &Partner, times: u32) {
    for _ in 0..times {
        assert_eq!(session.get(&client.path, &[("x-api-key", &client.api_key)]).await.status, 200);
    }
}

async fn post(admin: &mut Session, path: &str, body: &Value, status: u16) -> Value {
    let answer = admin.post_json(path, body).await;
    assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
    answer.json()
}

/// What the admin API says of one quota.
async fn shown(admin: &mut Session, query: &str, quota: &str) -> Value {
    let answer = admin.get(&format!("/v1/quotas?{query}"), &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.into_iter().find(|item| item["quota"] == quota).unwrap_or(Value::Null)
}

#[tokio::test]
async fn several_quotas_are_spent_together_or_not_at_all() {
    let quotas = "quotas = [{ limit = 5, period = \"day\" }, { limit = 12, period = \"month\" }]";
    let gateway = gateway(&plan("both", quotas)).await;
    let client = on_plan(&gateway, "globex", "client", Some("both")).await;
    let mut session = gateway.session().await;
    for expected in [5, 5, 2, 0] {
        assert_eq!(admitted(&mut session, &client).await.0, expected);
        // What the one denies counts against the other no more than against itself.
        let mut admin = gateway.admin().await;
        let daily = shown(&mut admin, "client=client", "daily").await;
        assert_eq!(daily["used"], expected, "{daily}");
        gateway.advance(DAY);
    }
    let mut admin = gateway.admin().await;
    assert_eq!(shown(&mut admin, "client=client", "monthly").await["remaining"], 0);
    // From 19 January into February.
    gateway.advance(14 * DAY);
    let mut session = gateway.session().await;
    assert_eq!(admitted(&mut session, &client).await.0, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_get_exactly_the_smallest_of_several() {
    let quotas = "quotas = [{ limit = 90, period = \"day\" }, { limit = 61, period = \"week\" }, { limit = 75, period = \"month\" }]";
    let gateway = gateway(&plan("three", quotas)).await;
    let client = on_plan(&gateway, "globex", "client", Some("three")).await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (session, headers) = client.prepare(&gateway, Method::ApiKey, Http::Two).await;
        for _ in 0..15 {
            let (mut session, headers, path) = (session.clone(), headers.clone(), client.path.clone());
            tasks.push(tokio::spawn(async move { session.status(&path, &borrowed(&headers)).await }));
        }
    }
    let mut passed = 0;
    for task in tasks {
        passed += u32::from(task.await.unwrap() == 200);
    }
    assert_eq!(passed, 61);
    let mut admin = gateway.admin().await;
    for name in ["daily", "weekly", "monthly"] {
        assert_eq!(shown(&mut admin, "client=client", name).await["used"], 61, "{name}");
    }
}

#[tokio::test]
async fn a_calendar_that_changes_hands_out_no_second_period() {
    let with = |more: &str| policy(&plan("plan", &format!("quota = {{ limit = 20, period = \"month\"{more} }}")));
    let gateway = Gateway::start_with(GatewayOptions::policy(&with(", time_zone = \"Asia/Dubai\""))).await;
    let client = on_plan(&gateway, "globex", "client", Some("plan")).await;
    let mut session = gateway.session().await;
    passes(&mut session, &client, 12).await;
    for (more, rest) in [
        (", time_zone = \"America/New_York\"", 3),
        (", anchor_day = 10", 2),
        (", time_zone = \"Asia/Dubai\"", 1),
        (", anchor_day = 15, time_zone = \"Pacific/Kiritimati\"", 2),
    ] {
        gateway.apply(&with(more)).await;
        passes(&mut session, &client, rest).await;
    }
    assert_eq!(admitted(&mut session, &client).await.0, 0);
    // The next month is whole.
    gateway.advance(32 * DAY);
    let mut session = gateway.session().await;
    assert_eq!(admitted(&mut session, &client).await.0, 20);
}

#[tokio::test]
async fn the_first_period_can_be_shorter() {
    let gateway = gateway(&plan("joined-late", "quota = { limit = 10, period = \"day\", offset = 4 }")).await;
    let client = on_plan(&gateway, "globex", "client", Some("joined-late")).await;
    let mut session = gateway.session().await;
    assert_eq!(admitted(&mut session, &client).await.0, 6);
    gateway.advance(DAY);
    assert_eq!(admitted(&mut session, &client).await.0, 10);
}

#[tokio::test]
async fn a_quota_in_shadow_counts_for_itself_and_denies_nobody() {
    let with =
        |mode: &str| policy(&plan("watched", &format!("quota = {{ limit = 3, period = \"day\", mode = \"{mode}\" }}")));
    let gateway = Gateway::start_with(GatewayOptions::policy(&with("shadow"))).await;
    let client = on_plan(&gateway, "globex", "client", Some("watched")).await;
    let mut session = gateway.session().await;
    passes(&mut session, &client, 10).await;
    let mut admin = gateway.admin().await;
    let watched = shown(&mut admin, "client=client", "daily").await;
    assert_eq!((&watched["mode"], &watched["used"], &watched["remaining"]), (&json!("shadow"), &json!(3), &json!(0)));
    // What was watched is not held against them.
    gateway.apply(&with("enforce")).await;
    assert_eq!(admitted(&mut session, &client).await.0, 3);
    gateway.apply(&with("off")).await;
    passes(&mut session, &client, 10).await;
    assert_eq!(shown(&mut admin, "client=client", "daily").await, Value::Null);
}

#[tokio::test]
async fn the_clients_of_a_partner_share_its_quota() {
    let partner = "\n[[partner]]\nid = \"globex\"\nusage_plan = \"total\"\n";
    let plans = [
        plan("total", "quota = { limit = 9, period = \"month\" }"),
        plan("own", "quota = { limit = 5, period = \"day\" }"),
    ];
    let gateway = gateway(&format!("{}{partner}", plans.concat())).await;
    let limited = on_plan(&gateway, "globex", "limited", Some("own")).await;
    let other = on_plan(&gateway, "globex", "other", None).await;
    let stranger = on_plan(&gateway, "initech", "stranger", None).await;
    let mut session = gateway.session().await;
    assert_eq!(admitted(&mut session, &limited).await.0, 5, "its own");
    assert_eq!(admitted(&mut session, &other).await.0, 4, "the rest of the partner's");
    passes(&mut session, &stranger, 12).await;
    let mut admin = gateway.admin().await;
    let shared = shown(&mut admin, "partner=globex", "monthly").await;
    assert_eq!((&shared["partner"], &shared["used"]), (&json!("globex"), &json!(9)));
    let extended = post(&mut admin, "/v1/quotas/extend", &json!({"partner": "globex", "amount": 2}), 200).await;
    assert_eq!(extended["remaining"], 2);
    assert_eq!(admitted(&mut session, &other).await.0, 2);
}

#[tokio::test]
async fn an_operator_looks_extends_and_resets() {
    let gateway = gateway(&plan(
        "plan",
        "quotas = [{ limit = 250, period = \"day\" }, { name = \"contract\", limit = 2000, period = \"month\" }]",
    ))
    .await;
    let client = on_plan(&gateway, "globex", "client", Some("plan")).await;
    let mut admin = gateway.admin().await;
    let before = shown(&mut admin, "client=client", "contract").await;
    assert_eq!((&before["used"], &before["remaining"]), (&json!(0), &json!(2000)), "{before}");
    let mut session = gateway.session().await;
    passes(&mut session, &client, 40).await;
    let daily = shown(&mut admin, "client=client", "daily").await;
    assert_eq!((&daily["used"], &daily["remaining"]), (&json!(40), &json!(210)), "what is reserved is not used");
    assert_eq!(admitted(&mut session, &client).await.0, 210);

    let more = json!({"client": "client", "quota": "daily", "amount": 30});
    let extended = post(&mut admin, "/v1/quotas/extend", &more, 200).await;
    assert_eq!((&extended["limit"], &extended["extra"], &extended["remaining"]), (&json!(250), &json!(30), &json!(30)));
    assert_eq!(admitted(&mut session, &client).await.0, 30);
    passes_after_reset(&mut admin, &mut session, &client, 280).await;
    // For this period alone.
    gateway.advance(DAY);
    assert_eq!(admitted(&mut session, &client).await.0, 250);
    // With a part in hand, a reset hands out the limit and not the part besides.
    gateway.advance(DAY);
    passes(&mut session, &client, 3).await;
    passes_after_reset(&mut admin, &mut session, &client, 250).await;

    for (path, body, status, code) in [
        ("extend", json!({"client": "client", "amount": 1}), 422, "ambiguous_selector"),
        ("extend", json!({"client": "client", "quota": "daily", "amount": 0}), 422, "invalid_amount"),
        (
            "extend",
            json!({"client": "client", "quota": "daily", "amount": 2_000_000_000_000_u64}),
            422,
            "invalid_amount",
        ),
        ("reset", json!({"client": "client", "quota": "weekly"}), 404, "quota_not_found"),
        ("reset", json!({"client": "client", "route": "GET /x", "quota": "daily"}), 404, "quota_not_found"),
        ("reset", json!({"client": "nobody"}), 404, "client_not_found"),
        ("reset", json!({"partner": "nobody"}), 404, "partner_not_found"),
        ("reset", json!({"client": "client", "partner": "globex"}), 422, "ambiguous_selector"),
        ("reset", json!({}), 422, "ambiguous_selector"),
    ] {
        let refused = post(&mut admin, &format!("/v1/quotas/{path}"), &body, status).await;
        assert_eq!(refused["code"], code, "{path} {body}");
    }
    let all = admin.get("/v1/quotas?limit=1", &[]).await.json();
    assert_eq!((all["items"].as_array().unwrap().len(), &all["next"]), (1, &json!("1")), "{all}");
    let recorded = admin.get("/v1/audit?kind=change&limit=200", &[]).await.json().to_string();
    assert!(recorded.contains("quota.extend") && recorded.contains("quota.reset"), "{recorded}");
}

async fn passes_after_reset(admin: &mut Session, session: &mut Session, client: &Partner, expected: u32) {
    let daily = json!({"client": client.client_id, "quota": "daily"});
    let reset = post(admin, "/v1/quotas/reset", &daily, 200).await;
    assert_eq!((&reset["used"], &reset["remaining"]), (&json!(0), &json!(expected)));
    assert_eq!(admitted(session, client).await.0, expected);
}

#[tokio::test]
async fn one_client_on_one_route_can_have_a_quota_of_its_own() {
    let other = "\n[[route]]\nname = \"other\"\nmethods = [\"GET\"]\npath = \"/test/other\"\naccept = [[\"api_key\"]]\nscopes = { any = [\"{scope}\"] }\naction = { mock = { body = \"{}\" } }\n";
    let limits = "quota = { limit = 6, period = \"day\" }\nroutes = [{ route = \"other\", quota = { limit = 2, period = \"day\" } }]";
    let gateway = gateway(&format!("{other}{}", plan("plan", limits))).await;
    let client = on_plan(&gateway, "globex", "client", Some("plan")).await;
    let twin = on_plan(&gateway, "globex", "twin", Some("plan")).await;
    let mut session = gateway.session().await;
    for client in [&client, &twin] {
        let key = [("x-api-key", client.api_key.as_str())];
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(session.get("/test/other", &key).await.status.as_u16());
        }
        assert_eq!(statuses, [200, 200, 429]);
        // The denied one was not taken from the client's own.
        assert_eq!(admitted(&mut session, client).await.0, 4);
    }
    let mut admin = gateway.admin().await;
    let body = json!({"client": "client", "route": "other", "amount": 1});
    let extended = post(&mut admin, "/v1/quotas/extend", &body, 200).await;
    assert_eq!((&extended["route"], &extended["remaining"]), (&json!("other"), &json!(1)));
}

/// A plan and a partner's, and a route whose throttle everybody shares.
fn told() -> String {
    let plans = [
        plan(
            "own",
            "throttle = { rate = 1, burst = 10 }\nquotas = [{ limit = 3, period = \"day\" }, { name = \"contract\", limit = 100, period = \"month\" }]",
        ),
        plan("total", "quota = { limit = 50, period = \"month\" }"),
        plan("watched", "quota = { limit = 50, period = \"day\", mode = \"shadow\" }"),
    ];
    let shared = "\n[[route]]\nmethods = [\"GET\"]\npath = \"/test/shared\"\naccept = [[\"api_key\"]]\nscopes = { any = [\"{scope}\"] }\nthrottle = { rate = 0.1, burst = 1 }\naction = { mock = { body = \"{}\" } }\n";
    format!("{}\n[[partner]]\nid = \"globex\"\nusage_plan = \"total\"\n{shared}", plans.concat())
}

fn fields(answer: &Answer) -> Vec<(&str, &str)> {
    let names = ["ratelimit-policy", "ratelimit", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    names.into_iter().filter_map(|name| Some((name, answer.header(name)?))).collect()
}

#[tokio::test]
async fn callers_are_told_of_their_own_limits_and_of_no_others() {
    let gateway = gateway(&told()).await;
    let client = on_plan(&gateway, "globex", "client", Some("own")).await;
    let stranger = on_plan(&gateway, "initech", "stranger", Some("watched")).await;
    let mut session = gateway.session().await;
    let key = [("x-api-key", client.api_key.as_str())];
    // START is 08:00 on 15 January.
    let policy =
        "\"burst\";q=10;w=10, \"daily\";q=3;w=86400, \"contract\";q=100;w=2678400, \"partner-monthly\";q=50;w=2678400";
    let first = session.get(&client.path, &key).await;
    let standing =
        "\"burst\";r=9;t=1, \"daily\";r=2;t=57600, \"contract\";r=99;t=1440000, \"partner-monthly\";r=49;t=1440000";
    assert_eq!(fields(&first), [("ratelimit-policy", policy), ("ratelimit", standing)]);
    passes(&mut session, &client, 2).await;
    let denied = session.get(&client.path, &key).await;
    assert_eq!(fields(&denied), [("ratelimit-policy", policy), ("ratelimit", "\"daily\";r=0;t=57600")]);
    let body = denied.json();
    assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(body["violated-policies"], json!(["daily"]));
    assert!(denied.header("retry-after").unwrap().parse::<u64>().unwrap() >= 57_600);

    // What everybody shares is not told, and what is only watched neither.
    let key = [("x-api-key", stranger.api_key.as_str())];
    let passed = session.get("/test/shared", &key).await;
    assert_eq!((passed.status.as_u16(), fields(&passed)), (200, vec![]));
    let denied = session.get("/test/shared", &key).await;
    assert_eq!((denied.problem(), fields(&denied)), ((429, "throttled".to_owned()), vec![]));
    let body = denied.json();
    assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
    assert_eq!(denied.header("retry-after"), Some("10"));
    // Nor anything to whoever is not let in at all.
    assert!(fields(&session.get(&client.path, &[("x-api-key", "wrong")]).await).is_empty());
}

#[tokio::test]
async fn the_older_fields_are_there_by_setting() {
    for (setting, names) in [
        (LimitFields::Legacy, &["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"][..]),
        (
            LimitFields::Both,
            &["ratelimit-policy", "ratelimit", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"][..],
        ),
        (LimitFields::Off, &[][..]),
    ] {
        let options = GatewayOptions::policy(&policy(&told())).configure(move |config| config.limits.fields = setting);
        let gateway = Gateway::start_with(options).await;
        let client = on_plan(&gateway, "globex", "client", Some("own")).await;
        let answer = gateway.session().await.get(&client.path, &[("x-api-key", &client.api_key)]).await;
        let told = fields(&answer);
        assert_eq!(told.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names, "{setting:?}");
        if let Some((_, remaining)) = told.iter().find(|(name, _)| *name == "x-ratelimit-remaining") {
            assert_eq!(*remaining, "2", "of the limit that ends first");
        }
    }
}

#[tokio::test]
async fn what_nobody_asks_for_is_given_back() {
    let gateway = gateway(&plan("plan", "quota = { limit = 5000, period = \"day\" }")).await;
    let client = on_plan(&gateway, "globex", "client", Some("plan")).await;
    let mut session = gateway.session().await;
    passes(&mut session, &client, 7).await;
    let used = async || {
        let rows = table::list(&gateway.app.foundation.store, QuotaFilter::default()).await.unwrap();
        rows.iter().map(|row| row.used).sum::<i64>()
    };
    assert_eq!(used().await, 100, "a part is reserved");
    gateway.app.gate.limits().quotas.housekeep(gateway.clock.now()).await.unwrap();
    assert_eq!(used().await, 100, "they may call again in a moment");
    gateway.advance(Duration::from_secs(60));
    gateway.app.gate.limits().quotas.housekeep(gateway.clock.now()).await.unwrap();
    assert_eq!(used().await, 7);
    passes(&mut session, &client, 1).await;
    let mut admin = gateway.admin().await;
    assert_eq!(shown(&mut admin, "client=client", "daily").await["used"], 8);
}
