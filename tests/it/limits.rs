//! Throttles and quotas of usage plans.

mod address;

use std::time::Duration;

use portcullis::registry::client::NewClient;

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{Answer, Gateway, GatewayOptions, Http, Method, Partner, Session, borrowed};

const SECOND: Duration = Duration::from_secs(1);

fn plan(name: &str, limits: &str) -> String {
    format!("\n[[usage_plan]]\nname = \"{name}\"\n{limits}\n")
}

fn policy(plans: &[String]) -> GatewayOptions {
    GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &plans.concat()]))
}

/// A client on a plan of the policy.
async fn on_plan(gateway: &Gateway, name: &str, plan: &str) -> Partner {
    let new = NewClient {
        id: name.to_owned(),
        partner: name.to_owned(),
        scopes: vec![gateway.demo.scope.clone()],
        usage_plan: Some(plan.to_owned()),
        ..NewClient::default()
    };
    Partner::create_as(gateway, new).await
}

/// How many requests pass before the first 429, which is returned.
async fn admitted(session: &mut Session, path: &str, headers: &[(&str, &str)]) -> (u32, Answer) {
    for count in 0..10_000 {
        let answer = session.get(path, headers).await;
        if answer.status != 200 {
            assert_eq!(answer.status, 429, "{answer:?}");
            return (count, answer);
        }
    }
    panic!("nothing bites");
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").expect("Retry-After").parse().unwrap()
}

#[tokio::test]
async fn a_burst_passes_at_once_and_then_exactly_the_rate() {
    let throttles = [(1, 1.0), (5, 0.5), (10, 3.0), (7, 2.5), (20, 50.0), (3, 1000.0)];
    let plans: Vec<_> = throttles
        .iter()
        .enumerate()
        .map(|(at, (burst, rate))| {
            plan(&format!("plan-{at}"), &format!("throttle = {{ rate = {rate:?}, burst = {burst} }}"))
        })
        .collect();
    let gateway = Gateway::start_with(policy(&plans)).await;
    for (at, (burst, rate)) in throttles.into_iter().enumerate() {
        let what = format!("burst {burst}, rate {rate}");
        let client = on_plan(&gateway, &format!("client-{at}"), &format!("plan-{at}")).await;
        let headers = [("x-api-key", client.api_key.as_str())];
        let mut session = gateway.session().await;
        let (first, denied) = admitted(&mut session, &client.path, &headers).await;
        assert_eq!(first, burst, "{what}");
        assert_eq!(denied.problem(), (429, "throttled".to_owned()), "{what}");
        assert_eq!(denied.json()["message"], "Too Many Requests");
        assert_eq!(retry_after(&denied), (1.0_f64 / rate).ceil() as u64, "{what}");
        // Two seconds at a time, never long enough for more than the burst to gather.
        let mut total = 0;
        let mut expected = 0.0;
        for _ in 0..4 {
            gateway.advance(2 * SECOND);
            expected += f64::min(2.0 * rate, f64::from(burst));
            total += admitted(&mut session, &client.path, &headers).await.0;
            if 2.0 * rate >= f64::from(burst) {
                assert_eq!(f64::from(total), expected, "{what}");
            }
        }
        if 2.0 * rate < f64::from(burst) {
            assert_eq!(f64::from(total), (8.0 * rate).floor(), "{what}");
        }
        // Rested, it has its burst again and no more.
        gateway.advance(Duration::from_secs(3600));
        assert_eq!(admitted(&mut session, &client.path, &headers).await.0, burst, "{what}: after an hour");
    }
}

#[tokio::test]
async fn who_waits_as_long_as_retry_after_says_is_let_in() {
    let gateway = Gateway::start_with(policy(&[plan("slow", "throttle = { rate = 0.4, burst = 2 }")])).await;
    let client = on_plan(&gateway, "slow-client", "slow").await;
    let headers = [("x-api-key", client.api_key.as_str())];
    let mut session = gateway.session().await;
    // The next one passes 2.5 s after the burst; rounded down, whoever obeys would be denied again.
    assert_eq!(retry_after(&admitted(&mut session, &client.path, &headers).await.1), 3);
    gateway.advance(Duration::from_millis(600));
    assert_eq!(retry_after(&session.get(&client.path, &headers).await), 2);
    gateway.advance(Duration::from_millis(1899));
    assert_eq!(retry_after(&session.get(&client.path, &headers).await), 1);
    gateway.advance(Duration::from_millis(1));
    assert_eq!(session.get(&client.path, &headers).await.status, 200);
}

#[tokio::test]
async fn the_three_methods_share_one_allowance_and_two_clients_do_not() {
    let gateway = Gateway::start_with(policy(&[plan("nine", "throttle = { rate = 0.001, burst = 9 }")])).await;
    let one = on_plan(&gateway, "one", "nine").await;
    let other = on_plan(&gateway, "other", "nine").await;
    let mut ways = Vec::new();
    for method in Method::ALL {
        ways.push(one.prepare(&gateway, method, Http::Two).await);
    }
    for _ in 0..3 {
        for (session, headers) in &mut ways {
            assert_eq!(session.get(&one.path, &borrowed(headers)).await.status, 200);
        }
    }
    for (session, headers) in &mut ways {
        assert_eq!(session.get(&one.path, &borrowed(headers)).await.problem(), (429, "throttled".to_owned()));
    }
    let mut session = gateway.session().await;
    let headers = [("x-api-key", other.api_key.as_str())];
    assert_eq!(admitted(&mut session, &other.path, &headers).await.0, 9, "the other client has all of its own");
}

#[tokio::test]
async fn a_request_that_is_denied_for_something_else_spends_nothing() {
    let closed = r#"
[[network]]
name = "far-away"
cidrs = ["203.0.113.0/24"]

[[route]]
methods = ["GET"]
path = "/wrong-scope"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{server}/write"] }
action = { mock = { body = "no" } }

[[route]]
methods = ["GET"]
path = "/wrong-source"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{scope}"] }
networks = ["far-away"]
action = { mock = { body = "no" } }
"#;
    let plans = plan("five", "throttle = { rate = 0.005, burst = 5 }\nquota = { limit = 8, period = \"day\" }");
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, closed, &plans]))).await;
    for method in Method::ALL {
        let client = on_plan(&gateway, &format!("client-{method:?}").to_lowercase(), "five").await;
        let (mut session, headers) = client.prepare(&gateway, method, Http::One).await;
        let headers = borrowed(&headers);
        for _ in 0..12 {
            assert_eq!(session.get("/wrong-scope", &headers).await.problem(), (403, "insufficient_scope".to_owned()));
            assert_eq!(session.get("/wrong-source", &headers).await.problem(), (403, "source_not_allowed".to_owned()));
            assert_eq!(session.get("/nowhere", &headers).await.problem(), (404, "route_not_found".to_owned()));
        }
        assert_eq!(admitted(&mut session, &client.path, &headers).await.0, 5, "{method:?}");
        // Nor does what the throttle denied count into the quota: 3 of 8 are left.
        gateway.advance(Duration::from_secs(1000));
        let (rest, denied) = admitted(&mut session, &client.path, &headers).await;
        assert_eq!((rest, denied.code().as_str()), (3, "quota_exceeded"), "{method:?}");
    }
}

#[tokio::test]
async fn a_plan_that_changes_takes_effect_with_the_next_request() {
    let with = |limits: &str| document(&[SERVER, ACME, HELLO, &plan("plan", limits)]);
    let gateway = Gateway::start_with(GatewayOptions::policy(&with("throttle = { rate = 0.001, burst = 2 }"))).await;
    let client = on_plan(&gateway, "client", "plan").await;
    let headers = [("x-api-key", client.api_key.as_str())];
    let mut session = gateway.session().await;
    assert_eq!(admitted(&mut session, &client.path, &headers).await.0, 2);
    gateway.apply(&with("throttle = { rate = 0.001, burst = 4 }")).await;
    assert_eq!(admitted(&mut session, &client.path, &headers).await.0, 2, "two of the four are spent");
    // The same throttle under another version is the same allowance: an apply hands nobody a new burst.
    gateway.apply(&format!("{}\n# as before\n", with("throttle = { rate = 0.001, burst = 4 }"))).await;
    assert_eq!(admitted(&mut session, &client.path, &headers).await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_get_no_more_than_the_burst_and_the_quota() {
    let plans = [
        plan("burst", "throttle = { rate = 0.001, burst = 40 }"),
        plan("quota", "quota = { limit = 37, period = \"day\" }"),
    ];
    let gateway = Gateway::start_with(policy(&plans)).await;
    for (name, limit) in [("burst", 40), ("quota", 37)] {
        let client = on_plan(&gateway, name, name).await;
        let mut tasks = Vec::new();
        for _ in 0..6 {
            let (session, headers) = client.prepare(&gateway, Method::ApiKey, Http::Two).await;
            for _ in 0..20 {
                let (mut session, headers, path) = (session.clone(), headers.clone(), client.path.clone());
                tasks.push(tokio::spawn(async move { session.status(&path, &borrowed(&headers)).await }));
            }
        }
        let mut passed = 0;
        for task in tasks {
            passed += u32::from(task.await.unwrap() == 200);
        }
        assert_eq!(passed, limit, "{name}");
    }
}

#[tokio::test]
async fn a_quota_admits_exactly_its_limit_in_each_period() {
    let gateway = Gateway::start_with(policy(&[
        plan("small", "quota = { limit = 7, period = \"day\" }"),
        plan("large", "quota = { limit = 250, period = \"day\", time_zone = \"Asia/Dubai\" }"),
    ]))
    .await;
    // START is 08:00 in UTC and noon in Dubai.
    for (name, limit, until_midnight) in [("large", 250, 12 * 3600), ("small", 7, 16 * 3600)] {
        let client = on_plan(&gateway, name, name).await;
        let mut ways = Vec::new();
        for method in Method::ALL {
            ways.push(client.prepare(&gateway, method, Http::One).await);
        }
        let mut passed = 0;
        let denied = 'spent: loop {
            for (session, headers) in &mut ways {
                let answer = session.get(&client.path, &borrowed(headers)).await;
                if answer.status != 200 {
                    break 'spent answer;
                }
                passed += 1;
            }
        };
        assert_eq!(passed, limit, "{name}: all methods together");
        assert_eq!(denied.problem(), (429, "quota_exceeded".to_owned()));
        assert_eq!(denied.json()["message"], "Limit Exceeded");
        // At midnight at the earliest, and not all in the same second.
        assert!((until_midnight..=until_midnight + 300).contains(&retry_after(&denied)), "{name}: {denied:?}");
        assert_eq!(
            retry_after(&session_once(&gateway, &client).await),
            retry_after(&denied),
            "{name}: the same for who asks twice"
        );
        let headers = [("x-api-key", client.api_key.as_str())];
        let mut session = gateway.session().await;
        gateway.advance(Duration::from_secs(until_midnight - 1));
        assert_eq!(session.get(&client.path, &headers).await.problem(), (429, "quota_exceeded".to_owned()), "{name}");
        gateway.advance(SECOND);
        assert_eq!(admitted(&mut session, &client.path, &headers).await.0, limit, "{name}: the next period");
        // Back to eight in the morning of UTC.
        gateway.advance(Duration::from_secs(24 * 3600 - until_midnight));
    }
}

#[tokio::test]
async fn a_restart_gives_nobody_more_than_the_quota_and_a_crash_neither() {
    let mut gateway = Gateway::start_with(policy(&[plan("day", "quota = { limit = 60, period = \"day\" }")])).await;
    let (drained, crashed) = (on_plan(&gateway, "drained", "day").await, on_plan(&gateway, "crashed", "day").await);
    let mut session = gateway.session().await;
    for client in [&drained, &crashed] {
        for _ in 0..25 {
            assert_eq!(session.get(&client.path, &[("x-api-key", &client.api_key)]).await.status, 200);
        }
    }
    gateway = gateway.restart().await;
    let headers = [("x-api-key", drained.api_key.as_str())];
    let rest = admitted(&mut gateway.session().await, &drained.path, &headers).await.0;
    assert_eq!(rest, 35, "a drained server gives back what it had reserved");
    let headers = [("x-api-key", crashed.api_key.as_str())];
    assert_eq!(gateway.session().await.get(&crashed.path, &headers).await.status, 200);
    gateway = gateway.crash().await;
    let rest = admitted(&mut gateway.session().await, &crashed.path, &headers).await.0;
    assert!((24..=34).contains(&rest), "26 of 60 were served before the crash, {rest} after it");
}

#[tokio::test]
async fn a_lowered_quota_counts_what_was_served_before() {
    let with = |limit: u32| {
        document(&[SERVER, ACME, HELLO, &plan("plan", &format!("quota = {{ limit = {limit}, period = \"day\" }}"))])
    };
    let gateway = Gateway::start_with(GatewayOptions::policy(&with(1000))).await;
    let client = on_plan(&gateway, "client", "plan").await;
    let headers = [("x-api-key", client.api_key.as_str())];
    let mut session = gateway.session().await;
    for _ in 0..10 {
        assert_eq!(session.get(&client.path, &headers).await.status, 200);
    }
    gateway.apply(&with(12)).await;
    assert_eq!(admitted(&mut session, &client.path, &headers).await.0, 2);
    gateway.apply(&with(20)).await;
    assert_eq!(admitted(&mut session, &client.path, &headers).await.0, 8);
}

/// Asks once more, on a connection of its own.
async fn session_once(gateway: &Gateway, client: &Partner) -> Answer {
    gateway.session().await.get(&client.path, &[("x-api-key", client.api_key.as_str())]).await
}
