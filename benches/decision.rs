//! The decision alone: from proved credentials to the permit, every limit judged and spent. With 1, 1000 and a million clients that
//! take turns, and what a million live buckets take of memory.
//!
//!     cargo bench --bench decision [-- CLIENTS]
//!
//! Each client has a throttle of its own and one for its credential, its partner has one, and so has the route: four buckets. Beside
//! it, what governor's keyed limiter takes for one. With fewer clients, and without optimisation, it only shows that it runs.

// Whatever fails here ends the measurement, which speaks to whoever started it.
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::{Quota, RateLimiter};
use policies::{
    AuthMethod, Client, CredentialKind, CredentialRef, CredentialStatus, Document, Policy, Proof, Route, Spent,
};
use portcullis::clock::Clock;
use portcullis::gateway::limits::Throttles;

const DECISIONS: usize = 400_000;
/// In which the buckets that all share are whole again.
const REST: Duration = Duration::from_millis(1_100);
/// Bytes for one live bucket: 40 in the table, which is half empty after it has grown.
const BUCKET_BYTES_MAX: u64 = 100;

/// Nothing is throttled, all is counted: the burst of a million is earned in a second.
const POLICY: &str = r#"
[[resource_server]]
identifier = "https://api.example.com"
name = "API"
scopes = [{ name = "read" }]

[[network]]
name = "offices"
cidrs = ["203.0.113.0/24"]

[[usage_plan]]
name = "own"
throttle = { rate = 1000000, burst = 1000000 }
credential_throttle = { rate = 1000000, burst = 1000000 }

[[usage_plan]]
name = "partner"
throttle = { rate = 1000000, burst = 1000000 }

[[partner]]
id = "acme"
usage_plan = "partner"

[[route]]
methods = ["GET"]
path = "/orders"
accept = [["api_key"]]
scopes = { any = ["https://api.example.com/read"] }
networks = ["offices"]
throttle = { rate = 1000000, burst = 1000000 }
action = { mock = { status = 200 } }
"#;

struct Caller {
    client: Arc<Client>,
    proof: Proof,
}

fn main() {
    let clients_max = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let policy = Policy::parse(&[Document::new("bench.toml", POLICY)]).expect("a policy");
    let route = policy.routes.find("gateway", "GET", "/orders").expect("a route").clone();
    println!("{:>10}  {:>12}  {:>14}  {:>16}", "clients", "decision ns", "4 throttles ns", "governor, 1 ns");
    for clients in [1, 1000, clients_max] {
        let callers = callers(&policy, clients);
        let throttles = Throttles::new(Clock::system(), [7; 16], 10_000_000);
        let turns = if cfg!(debug_assertions) { 20_000 } else { DECISIONS.max(clients) };
        let decision = timed(turns, |turn| decide(&throttles, &route, &callers[place(turn, clients)]));
        let without = timed(turns, |turn| decide_unlimited(&route, &callers[place(turn, clients)]));
        let governor = governor(&callers, turns);
        println!("{clients:>10}  {decision:>12.1}  {:>14.1}  {governor:>16.1}", decision - without);
    }
    memory(&policy, &route, clients_max);
}

/// A client that is not the one before: what is measured is a look-up, not the cache.
fn place(turn: usize, clients: usize) -> usize {
    turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % clients
}

fn timed(turns: usize, mut act: impl FnMut(usize)) -> f64 {
    (0..turns).for_each(&mut act);
    std::thread::sleep(REST);
    let started = Instant::now();
    (0..turns).for_each(act);
    started.elapsed().as_nanos() as f64 / turns as f64
}

fn decide(throttles: &Throttles, route: &Arc<Route>, caller: &Caller) {
    let source = [203, 0, 113, 7].into();
    let principal = policies::resolve(vec![caller.proof.clone()], Arc::clone(&caller.client)).expect("a principal");
    policies::check_source(route, source, &mut ()).expect("from the offices");
    let entitlement = policies::entitle(principal, Arc::clone(route), source, &mut ()).expect("entitled");
    let taken = throttles.take(Some(entitlement.principal()), entitlement.route());
    let permit = entitlement.admit(Spent::of(taken.keep()), &mut ()).expect("not throttled");
    black_box(permit);
}

fn decide_unlimited(route: &Arc<Route>, caller: &Caller) {
    let source = [203, 0, 113, 7].into();
    let principal = policies::resolve(vec![caller.proof.clone()], Arc::clone(&caller.client)).expect("a principal");
    policies::check_source(route, source, &mut ()).expect("from the offices");
    let entitlement = policies::entitle(principal, Arc::clone(route), source, &mut ()).expect("entitled");
    black_box(entitlement.admit(Spent::unlimited(), &mut ()).expect("not throttled"));
}

fn governor(callers: &[Caller], turns: usize) -> f64 {
    let quota = Quota::with_period(Duration::from_micros(1)).expect("a period");
    let limiter = RateLimiter::dashmap(quota.allow_burst(NonZeroU32::new(1_000_000).expect("not 0")));
    timed(turns, |turn| {
        let caller = &callers[place(turn, callers.len())];
        _ = black_box(limiter.check_key(&caller.client.id));
    })
}

fn callers(policy: &Policy, count: usize) -> Vec<Caller> {
    let scopes = ["https://api.example.com/read".parse().expect("a scope")].into_iter().collect();
    let partner = policy.resolve_partner(&[], Some("partner")).expect("a plan");
    let caller = |number: usize| {
        let id: policies::ClientId = format!("client-{number}").parse().expect("an id");
        let acme = "acme".parse().expect("an id");
        let client = policy.resolve_client(id.clone(), acme, true, &scopes, &[], Some("own")).expect("a client");
        let proof = Proof {
            method: AuthMethod::ApiKey,
            credential: CredentialRef { kind: CredentialKind::ApiKey, id: format!("key-{number}").into() },
            client: id,
            status: CredentialStatus::Active,
            scopes: None,
            networks: None,
        };
        Caller { client: Arc::new(client.under(&partner)), proof }
    };
    (0..count).map(caller).collect()
}

/// Two buckets for each of the clients, all of them live.
fn memory(policy: &Policy, route: &Arc<Route>, clients: usize) {
    let callers = callers(policy, clients);
    let clock = Clock::manual(policies::UnixSeconds(1_800_000_000));
    let throttles = Throttles::new(clock, [7; 16], 10_000_000);
    let before = resident_bytes();
    callers.iter().for_each(|caller| decide(&throttles, route, caller));
    let buckets = throttles.len() as u64;
    let each = resident_bytes().saturating_sub(before) as f64 / buckets as f64;
    println!("{buckets} live buckets: {each:.0} bytes each");
    let enough_to_tell = buckets >= 1_000_000;
    assert!(!enough_to_tell || each <= BUCKET_BYTES_MAX as f64, "more than {BUCKET_BYTES_MAX} bytes for a bucket");
}

fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.expect("Linux says how much it holds") * PAGE_BYTES
}
