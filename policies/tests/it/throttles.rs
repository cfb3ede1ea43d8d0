//! Our arithmetic of rates beside governor's, and which throttles a request is counted against.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use policies::*;
use proptest::prelude::*;

use crate::fixtures::{client, policy, proof, route};

/// From the smallest rate to the largest, each size as likely as the next, with a burst that goes with it.
fn throttle() -> impl Strategy<Value = Throttle> {
    (-6.0..=6.0_f64, prop_oneof![4 => 1..=40_u32, 1 => 1..=MAX_BURST])
        .prop_filter_map("fills within thirty years", |(power, burst)| Throttle::new(10_f64.powf(power), burst).ok())
}

/// How long after one another requests come, in thousandths of the time in which one is earned, and some nanoseconds more or less.
fn pauses() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let pause = prop_oneof![4 => 0..=1_000_u64, 2 => 1_000..=3_000_u64, 1 => 0..=40_000_u64, 1 => Just(0)];
    prop::collection::vec((pause, 0..=2_u64), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn governor_says_the_same(throttle in throttle(), pauses in pauses(), start in 0..=u64::from(u32::MAX)) {
        let terms = Gcra::of(throttle);
        let clock = FakeRelativeClock::default();
        clock.advance(Duration::from_nanos(start));
        let quota = Quota::with_period(Duration::from_nanos(terms.interval_nanos())).unwrap();
        let oracle = RateLimiter::direct_with_clock(quota.allow_burst(NonZeroU32::new(throttle.burst).unwrap()), clock.clone());
        let (mut tat, mut now) = (0, start);
        for (thousandths, nanos) in pauses {
            let pause = (u128::from(terms.interval_nanos()) * u128::from(thousandths) / 1000) as u64 + nanos;
            // Not past what governor's clock can say.
            let pause = pause.min((u64::MAX / 2).saturating_sub(now));
            clock.advance(Duration::from_nanos(pause));
            now += pause;
            let theirs = oracle.check().map_err(|not_until| not_until.wait_time_from(clock.now()));
            let ours = terms.take(tat, now);
            prop_assert_eq!(ours.map(|_| ()).map_err(Duration::from_nanos), theirs, "tat {} now {}", tat, now);
            prop_assert_eq!(terms.remaining(tat, now) > 0, ours.is_ok());
            if let Ok(next) = ours {
                prop_assert_eq!(terms.remaining(next, now), terms.remaining(tat, now) - 1);
                tat = next;
            }
        }
    }

    #[test]
    fn never_more_than_the_burst_and_what_was_earned(throttle in throttle(), pauses in pauses()) {
        let terms = Gcra::of(throttle);
        let (mut tat, mut now, mut passed) = (0, 0_u64, 0_u128);
        for (thousandths, nanos) in pauses {
            now += (u128::from(terms.interval_nanos()) * u128::from(thousandths) / 1000) as u64 + nanos;
            if let Ok(next) = terms.take(tat, now) {
                (tat, passed) = (next, passed + 1);
            }
            prop_assert!(passed <= u128::from(throttle.burst) + u128::from(now / terms.interval_nanos()));
        }
    }

    #[test]
    fn another_plan_neither_gives_nor_takes(old in throttle(), new in throttle(), used in 0..=40_u32, now in 1_u64..1 << 40) {
        let (from, to) = (Gcra::of(old), Gcra::of(new));
        let used = used.min(old.burst);
        let tat = now + from.interval_nanos() * u64::from(used);
        let carried = to.carried_over(tat, from, now);
        let kept = u64::from(new.burst).saturating_sub(u64::from(used));
        prop_assert_eq!(to.remaining(carried, now), kept, "of {} with {} used", new, used);
        prop_assert!(carried <= to.spent_at(now), "and nobody waits for longer than a spent bucket takes");
        prop_assert_eq!(from.carried_over(tat, from, now), tat, "the same plan is no change");
    }

    #[test]
    fn what_is_given_back_was_never_taken(throttle in throttle(), used in 0..=40_u32, now in 0_u64..1 << 40) {
        let terms = Gcra::of(throttle);
        let mut tat = 0;
        for _ in 0..used {
            tat = terms.take(tat, now).unwrap_or(tat);
        }
        if let Ok(next) = terms.take(tat, now) {
            prop_assert_eq!(terms.give_back(next), tat.max(now));
        }
    }
}

#[test]
fn a_bucket_of_nothing_lets_nobody_pass() {
    let terms = Gcra::of(Throttle { burst: 0, ..Throttle::new(1.0, 1).unwrap() });
    assert_eq!(terms.take(0, 5), Err(1_000_000_000));
    assert_eq!(terms.remaining(0, 5), 0);
}

#[test]
fn a_clock_set_back_locks_nobody_out() {
    let terms = Gcra::of(Throttle::new(10.0, 5).unwrap());
    assert_eq!(terms.clamp(u64::MAX, 1_000), terms.spent_at(1_000));
    assert_eq!(terms.take(terms.clamp(u64::MAX, 1_000), 1_000), Err(terms.interval_nanos()));
    assert_eq!(terms.clamp(7, 1_000), 7);
}

const LIMITED: &str = r#"
[[usage_plan]]
name = "standard"
throttle = { rate = 50, burst = 100 }
credential_throttle = { rate = 20, burst = 40, mode = "shadow" }
routes = [{ route = "slow", throttle = { rate = 5, burst = 6 } }, { route = "GET /off", throttle = { rate = 1, burst = 1, mode = "off" } }]

[[usage_plan]]
name = "total"
throttle = { rate = 70, burst = 200 }

[[partner]]
id = "acme"
usage_plan = "total"

[[client]]
id = "acme-orders"
partner = "acme"
usage_plan = "standard"

[[route]]
name = "slow"
methods = ["GET"]
path = "/slow"
accept = [["api_key"], ["bearer"]]
throttle = { rate = 1000, burst = 2000 }
action = { mock = { status = 200 } }

[[route]]
methods = ["GET"]
path = "/wide"
public = true
throttle = { rate = 2000, burst = 4000 }
action = { mock = { status = 200 } }

[[route]]
methods = ["GET"]
path = "/off"
accept = [["api_key"]]
throttle = { rate = 3000, burst = 4000 }
action = { mock = { status = 200 } }
"#;

fn rules(principal: Option<&Principal>, route: &Route) -> Vec<String> {
    let mut told = Vec::new();
    throttle_rules(principal, route, |rule| {
        let whom = rule.whom.join("/");
        told.push(format!(
            "{} of {} {}: {}",
            rule.name,
            rule.subject.as_str(),
            whom.trim_end_matches('/'),
            rule.throttle
        ));
    });
    told
}

#[test]
fn every_limit_of_a_request() {
    let policy = policy(LIMITED);
    let declared = &policy.clients[0];
    let partner = policy.resolve_partner(&[], policy.partners[0].usage_plan.as_deref()).unwrap();
    let plan = declared.usage_plan.as_deref();
    let client =
        policy.resolve_client(declared.id.clone(), declared.partner.clone(), true, &declared.scopes, &[], plan);
    let client = Arc::new(client.unwrap().under(&partner));
    let find = |path: &str| policy.routes.find("gateway", "GET", path).unwrap().clone();
    let caller = resolve(vec![proof(AuthMethod::ApiKey), proof(AuthMethod::Bearer)], client).unwrap();
    assert_eq!(
        rules(Some(&caller), &find("/slow")),
        [
            "key-burst of credential acme-orders/api-key/1: 20 per second, burst 40 (shadow)",
            "token-burst of credential acme-orders/access-token: 20 per second, burst 40 (shadow)",
            "burst of client acme-orders: 50 per second, burst 100",
            "partner-burst of partner acme: 70 per second, burst 200",
            "route-burst of client_route acme-orders/slow: 5 per second, burst 6",
        ]
    );
    assert_eq!(rules(Some(&caller), &find("/wide"))[4], "route-burst of route GET /wide: 2000 per second, burst 4000");
    assert_eq!(
        rules(Some(&caller), &find("/off")).len(),
        4,
        "an override that is off lifts the route's own throttle too"
    );
    assert_eq!(rules(None, &find("/wide")), ["route-burst of route GET /wide: 2000 per second, burst 4000"]);
}

#[test]
fn without_a_plan_there_is_no_limit() {
    let caller = resolve(vec![proof(AuthMethod::ApiKey)], Arc::new(client(""))).unwrap();
    assert_eq!(rules(Some(&caller), &route("GET", "/x")), [""; 0]);
}
