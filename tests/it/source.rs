//! Where a caller comes from: as load balancers and proxies say it, and judged alike whatever the way of the request.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use policies::{Allowlist, ForwardedHeader, Network, TrustedProxies, parse_cidr};
use portcullis::authority::NewCertificate;
use portcullis::config::Config;
use portcullis::registry::Actor;
use portcullis::registry::api_key::NewApiKey;
use portcullis::registry::client::NewClient;
use portcullis::registry::client_secret::NewClientSecret;
use portcullis::registry::enrollment::NewEnrollment;
use portcullis::registry::partner::NewPartner;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use secrecy::ExposeSecret as _;

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{Answer, Gateway, GatewayOptions, Http, Identity, Partner, SessionOptions, new_certificate};

const SOURCES: [u8; 4] = [2, 3, 4, 5];

fn proxies(cidrs: &[&str]) -> Option<Arc<TrustedProxies>> {
    let cidrs = cidrs.iter().map(|cidr| parse_cidr(cidr).unwrap()).collect();
    Some(Arc::new(TrustedProxies::new(cidrs, false).unwrap()))
}

async fn start(configure: impl Fn(&mut portcullis::config::ListenerConfig) + Send + Sync + 'static) -> Gateway {
    let options = GatewayOptions::policy(&document(&[SERVER, ACME, HELLO])).configure(move |config: &mut Config| {
        configure(config.listeners.iter_mut().find(|listener| listener.name == "gateway").unwrap());
    });
    Gateway::start_with(options).await
}

fn from(last: u8) -> SessionOptions {
    SessionOptions { source: Some(Ipv4Addr::new(127, 0, 0, last).into()), ..SessionOptions::default() }
}

/// A PROXY header, version 2, of a TCP connection from `source`.
fn proxy_header(source: &str) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    match source.parse().unwrap() {
        IpAddr::V4(ip) => {
            header.extend([0x11, 0, 12]);
            header.extend(ip.octets());
            header.extend([127, 0, 0, 1]);
        }
        IpAddr::V6(ip) => {
            header.extend([0x21, 0, 36]);
            header.extend(ip.octets());
            header.extend([0; 16]);
        }
    }
    header.extend([0x12, 0x34, 0x20, 0xfb]);
    header
}

async fn partner_from(gateway: &Gateway, name: &str, network: &str) -> Partner {
    let new = NewClient {
        id: name.to_owned(),
        partner: name.to_owned(),
        scopes: vec![gateway.demo.scope.clone()],
        networks: vec![network.to_owned()],
        ..NewClient::default()
    };
    Partner::create_as(gateway, new).await
}

#[tokio::test]
async fn a_load_balancer_says_before_tls_who_calls() {
    let gateway = start(|listener| listener.proxy_protocol = proxies(&["127.0.0.2/32", "127.0.0.3"])).await;
    let partner = partner_from(&gateway, "far-away", "203.0.113.0/24").await;
    let headers = [("x-api-key", partner.api_key.as_str())];
    for (source, said, expected) in [
        ("203.0.113.7", "203.0.113.7", 200),
        ("::ffff:203.0.113.7", "203.0.113.7", 200),
        ("198.51.100.7", "198.51.100.7", 403),
        ("2001:db8::1", "2001:db8::1", 403),
        ("127.0.0.2", "127.0.0.2", 403),
    ] {
        for http in Http::BOTH {
            let options = SessionOptions { before_tls: proxy_header(source), http, ..from(2) };
            let mut session = gateway.session_with(options).await;
            // What the caller says himself counts for nothing.
            let said_too = [headers[0], ("x-forwarded-for", "203.0.113.9")];
            for headers in [&headers[..], &said_too] {
                let answer = session.get(&partner.path, headers).await;
                assert_eq!(answer.status, expected, "{source} {http:?}");
                assert_eq!(gateway.decision(answer.decision_id()).await.source, said, "{source}");
            }
        }
    }
    // Health checks come from the load balancer itself.
    let local = [b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".as_slice()].concat();
    let mut session = gateway.session_with(SessionOptions { before_tls: local, ..from(3) }).await;
    let answer = session.get(&partner.path, &headers).await;
    assert_eq!(answer.status, 403);
    assert_eq!(gateway.decision(answer.decision_id()).await.source, "127.0.0.3");
}

#[tokio::test]
async fn a_listener_takes_no_connection_from_outside_its_networks() {
    let allowlist = |cidr: &str| {
        let network = Network::new("listener", vec![parse_cidr(cidr).unwrap()], Vec::new()).unwrap();
        Some(Allowlist::of(vec![Arc::new(network)]))
    };
    let open =
        async |gateway: &Gateway, options| crate::harness::Session::open(gateway, "gateway", options).await.is_ok();
    let gateway = start(move |listener| listener.networks = allowlist("127.0.0.2/31")).await;
    assert!(open(&gateway, from(3)).await);
    assert!(!open(&gateway, from(4)).await, "no TLS for a stranger");

    // Behind a load balancer it is the caller who must lie in them, not the load balancer.
    let gateway = start(move |listener| {
        listener.networks = allowlist("203.0.113.0/24");
        listener.proxy_protocol = proxies(&["127.0.0.2/32"]);
    })
    .await;
    let by_proxy = |source| SessionOptions { before_tls: proxy_header(source), ..from(2) };
    assert!(open(&gateway, by_proxy("203.0.113.7")).await);
    assert!(!open(&gateway, by_proxy("198.51.100.7")).await);
}

#[tokio::test]
async fn nobody_but_a_load_balancer_reaches_such_a_listener() {
    let gateway = start(|listener| listener.proxy_protocol = proxies(&["127.0.0.2/32"])).await;
    let fails = async |options: SessionOptions, what: &str| {
        let opened = crate::harness::Session::open(&gateway, "gateway", options).await;
        assert!(opened.is_err(), "{what}");
    };
    fails(SessionOptions::default(), "somebody, without a header").await;
    fails(SessionOptions { before_tls: proxy_header("203.0.113.7"), ..from(3) }, "somebody with a header").await;
    fails(from(2), "the load balancer without a header").await;
    let one = b"PROXY TCP4 203.0.113.7 127.0.0.1 4660 8443\r\n".to_vec();
    fails(SessionOptions { before_tls: one, ..from(2) }, "version 1").await;
    let twice = [proxy_header("203.0.113.7"), proxy_header("203.0.113.8")].concat();
    fails(SessionOptions { before_tls: twice, ..from(2) }, "two headers").await;
    let mut cut = proxy_header("203.0.113.7");
    cut.truncate(20);
    fails(SessionOptions { before_tls: cut, ..from(2) }, "a header that swallows what follows").await;
    // And on a listener that does not know the protocol, the header is no TLS.
    let plain = Gateway::start().await;
    let options = SessionOptions { before_tls: proxy_header("203.0.113.7"), ..SessionOptions::default() };
    assert!(crate::harness::Session::open(&plain, "gateway", options).await.is_err());
}

#[tokio::test]
async fn the_share_of_an_address_is_that_of_the_caller_and_not_of_the_load_balancer() {
    let options = GatewayOptions::default().configure(|config| {
        config.limits.connections_per_address_max = 2;
        let gateway = config.listeners.iter_mut().find(|listener| listener.name == "gateway").unwrap();
        gateway.proxy_protocol = proxies(&["127.0.0.2/32"]);
    });
    let gateway = Gateway::start_with(options).await;
    let open = async |source: &str| {
        let options = SessionOptions { before_tls: proxy_header(source), ..from(2) };
        crate::harness::Session::open(&gateway, "gateway", options).await
    };
    let mut held = Vec::new();
    for source in ["203.0.113.7", "203.0.113.7", "203.0.113.8", "203.0.113.8"] {
        held.push(open(source).await.unwrap());
    }
    assert!(open("203.0.113.7").await.is_err(), "a third of one caller");
    assert!(open("203.0.113.9").await.is_ok(), "another caller of the same load balancer");
}

#[tokio::test]
async fn a_trusted_proxy_says_request_by_request_who_calls() {
    let gateway = start(|listener| listener.trusted_proxies = proxies(&["127.0.0.2/32", "10.0.0.0/8"])).await;
    let partner = partner_from(&gateway, "far-away", "203.0.113.0/24").await;
    let key = ("x-api-key", partner.api_key.as_str());
    for http in Http::BOTH {
        let mut proxy = gateway.session_with(SessionOptions { http, ..from(2) }).await;
        for (line, source, expected) in [
            ("203.0.113.7", "203.0.113.7", 200),
            ("198.51.100.9, 203.0.113.7, 10.0.0.9", "203.0.113.7", 200),
            ("203.0.113.7, 198.51.100.9", "198.51.100.9", 403),
            ("::ffff:203.0.113.7", "203.0.113.7", 200),
            ("[2001:db8::1]:80", "2001:db8::1", 403),
        ] {
            let answer = proxy.get(&partner.path, &[key, ("x-forwarded-for", line)]).await;
            assert_eq!(answer.status, expected, "{line}");
            assert_eq!(gateway.decision(answer.decision_id()).await.source, source, "{line}");
        }
        // No header: it calls for itself. The header of another kind: not what this proxy writes.
        for more in [&[][..], &[("forwarded", "for=203.0.113.7"), ("x-real-ip", "203.0.113.7")]] {
            let answer = proxy.get(&partner.path, &[&[key], more].concat()).await;
            assert_eq!(answer.status, 403);
            assert_eq!(gateway.decision(answer.decision_id()).await.source, "127.0.0.2");
        }
    }
    for lines in [&["unknown"][..], &["203.0.113.7", "203.0.113.7"], &["203.0.113.7,"], &["203.0.113.7%eth0"], &[""]] {
        for http in Http::BOTH {
            let mut proxy = gateway.session_with(SessionOptions { http, ..from(2) }).await;
            let lines = lines.iter().map(|line| ("x-forwarded-for", *line));
            let headers: Vec<(&str, &str)> = [key].into_iter().chain(lines).collect();
            let answer = proxy.get(&partner.path, &headers).await;
            assert_eq!(answer.problem(), (400, "malformed_request".to_owned()), "{headers:?}");
        }
    }
    // Somebody else who says it of himself.
    let mut stranger = gateway.session_with(from(3)).await;
    for line in ["203.0.113.7", "unknown"] {
        let answer = stranger.get(&partner.path, &[key, ("x-forwarded-for", line)]).await;
        assert_eq!(answer.problem(), (403, "source_not_allowed".to_owned()), "{line}");
    }
    // The token endpoint hears the same proxy.
    let mut proxy = gateway.session_with(from(2)).await;
    let basic = partner.basic();
    for (line, expected) in [("203.0.113.7", 200), ("198.51.100.7", 401)] {
        let headers = [("authorization", basic.as_str()), ("x-forwarded-for", line)];
        let answer = proxy.post_form("/oauth2/token", &headers, "grant_type=client_credentials").await;
        assert_eq!(answer.status, expected, "{line}");
    }
}

#[tokio::test]
async fn a_proxy_may_write_forwarded_and_then_nothing_else_counts() {
    let gateway = start(|listener| {
        listener.trusted_proxies = proxies(&["127.0.0.2/32"]);
        listener.forwarded_header = ForwardedHeader::Forwarded;
    })
    .await;
    let partner = partner_from(&gateway, "far-away", "203.0.113.0/24").await;
    let key = ("x-api-key", partner.api_key.as_str());
    let mut proxy = gateway.session_with(from(2)).await;
    let good = [key, ("forwarded", "for=198.51.100.9, for=\"203.0.113.7:4711\";proto=https")];
    assert_eq!(proxy.get(&partner.path, &good).await.status, 200);
    let other = [key, ("x-forwarded-for", "203.0.113.7")];
    assert_eq!(proxy.get(&partner.path, &other).await.status, 403);
}

/// What is narrowed to what: the last bytes of 127.0.0.x, `None` to nothing.
#[derive(Clone, Debug)]
struct Lists {
    partner: Option<Vec<u8>>,
    client: Option<Vec<u8>>,
    credential: Option<Vec<u8>>,
}

fn cidrs(list: &[u8]) -> Vec<String> {
    list.iter().map(|last| format!("127.0.0.{last}/32")).collect()
}

/// The judgement of the pure library, which knows of no way.
fn allows(lists: &[&Option<Vec<u8>>], source: u8) -> bool {
    lists.iter().copied().flatten().all(|list| {
        let cidrs = cidrs(list).iter().map(|cidr| parse_cidr(cidr).unwrap()).collect();
        let network = Network::new("list", cidrs, Vec::new()).unwrap();
        Allowlist::of(vec![Arc::new(network)]).contains(Ipv4Addr::new(127, 0, 0, source).into())
    })
}

#[tokio::test]
async fn every_way_judges_the_source_alike() {
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO]))).await;
    let list = || proptest::option::of(proptest::sample::subsequence(SOURCES.to_vec(), 1..=4));
    let lists =
        (list(), list(), list()).prop_map(|(partner, client, credential)| Lists { partner, client, credential });
    let mut runner = TestRunner::deterministic();
    for number in 0..6 {
        let lists = lists.new_tree(&mut runner).unwrap().current();
        let ways = Ways::open(&gateway, number, &lists).await;
        for source in SOURCES {
            let all = allows(&[&lists.partner, &lists.client, &lists.credential], source);
            let without_credential = allows(&[&lists.partner, &lists.client], source);
            for (way, let_in, expected) in ways.judge(&gateway, source).await {
                let expected = match expected {
                    Judged::ByAll => all,
                    Judged::WithoutCredential => without_credential,
                };
                assert_eq!(let_in, expected, "{way} from 127.0.0.{source}, {lists:?}");
            }
        }
    }
}

/// Which lists a way asks.
#[derive(Clone, Copy)]
enum Judged {
    ByAll,
    /// A token is not narrowed: the secret that it was fetched with was.
    WithoutCredential,
}

/// A client with a narrowed credential of each kind.
struct Ways {
    partner: Partner,
    key: String,
    identity: Identity,
    enrollment: String,
    token: String,
}

impl Ways {
    async fn open(gateway: &Gateway, number: usize, lists: &Lists) -> Self {
        let (registry, actor) = (gateway.registry(), Actor::local());
        let name = format!("ways-{number}");
        let narrowed = lists.credential.as_deref().map(cidrs);
        let partner = NewPartner {
            networks: lists.partner.as_deref().map(cidrs).unwrap_or_default(),
            ..NewPartner::named(&name, "Ways")
        };
        registry.create_partner(&actor, partner).await.unwrap();
        let scopes = vec![gateway.demo.scope.clone(), policies::ADMIN_READ.to_owned()];
        let networks = lists.client.as_deref().map(cidrs).unwrap_or_default();
        let new = NewClient { id: name.clone(), partner: name.clone(), scopes, networks, ..NewClient::default() };
        let mut partner = Partner::create_as(gateway, new).await;
        let new = NewClientSecret { client: name.clone(), networks: narrowed.clone(), ..NewClientSecret::default() };
        let secret = registry.create_client_secret(&actor, new).await.unwrap().secret;
        // One source that is let in anywhere, if there is one, fetches the token with the wide secret.
        let inside = SOURCES.into_iter().find(|source| allows(&[&lists.partner, &lists.client], *source));
        let token = match inside {
            Some(source) => partner.token_over(&mut gateway.session_with(from(source)).await, "").await,
            None => String::new(),
        };
        partner.client_secret = secret.expose_secret().to_owned();
        let new = NewApiKey { client: name.clone(), networks: narrowed.clone(), ..NewApiKey::default() };
        let key = Partner::new_key(gateway, new).await;
        let new = NewCertificate { networks: narrowed.clone(), ..new_certificate(&name) };
        let identity = Identity::issue(gateway, new).await;
        let new = NewEnrollment { client: name, networks: narrowed, ..NewEnrollment::default() };
        let enrollment = registry.create_enrollment(&actor, new).await.unwrap().token.expose_secret().to_owned();
        Self { partner, key, identity, enrollment, token }
    }

    async fn judge(&self, gateway: &Gateway, source: u8) -> Vec<(&'static str, bool, Judged)> {
        let path = self.partner.path.as_str();
        let options = || SessionOptions { identity: Some(self.identity.clone()), ..from(source) };
        let mut plain = gateway.session_with(from(source)).await;
        let mut proved = gateway.session_with(options()).await;
        let mut admin = crate::harness::Session::open(gateway, "admin", options()).await.unwrap();
        let basic = self.partner.basic();
        let enrollment = format!("Bearer {}", self.enrollment);
        let mut ways = Vec::new();
        let mut note = |way, answer: &Answer| ways.push((way, is_let_in(answer), Judged::ByAll));
        note("a route by key", &plain.get(path, &[("x-api-key", &self.key)]).await);
        note("a route by certificate", &proved.get(path, &[]).await);
        note("the control plane", &admin.get("/v1/partners", &[]).await);
        let form = "grant_type=client_credentials";
        note("the token endpoint", &plain.post_form("/oauth2/token", &[("authorization", &basic)], form).await);
        let both = proved.post_form("/oauth2/token", &[("authorization", &basic)], form).await;
        note("the token endpoint over a certificate", &both);
        let form = "token=nothing";
        note("revocation", &plain.post_form("/oauth2/revoke", &[("authorization", &basic)], form).await);
        // No good request: whoever is let in is told so.
        let headers = [("authorization", enrollment.as_str()), ("content-type", "application/pkcs10")];
        for (way, path) in [("enrolment", "/v1/enroll"), ("EST", "/.well-known/est/simpleenroll")] {
            note(way, &plain.send("POST", path, &headers, b"no request".to_vec()).await.unwrap());
        }
        let headers = [("content-type", "application/pkcs10")];
        let renew = format!("/v1/certificates/{}/renew", self.identity.serial());
        for (way, path) in [("renewal", renew.as_str()), ("EST again", "/.well-known/est/simplereenroll")] {
            note(way, &proved.send("POST", path, &headers, b"no request".to_vec()).await.unwrap());
        }
        if !self.token.is_empty() {
            let bearer = format!("Bearer {}", self.token);
            let answer = plain.get(path, &[("authorization", &bearer)]).await;
            ways.push(("a route by token", is_let_in(&answer), Judged::WithoutCredential));
        }
        ways
    }
}

/// Whether the source was let in, whatever became of the request then.
fn is_let_in(answer: &Answer) -> bool {
    let status = answer.status.as_u16();
    let refused = match status {
        401 => answer.json()["error"] == "invalid_client",
        403 => answer.code() == "source_not_allowed",
        _ => false,
    };
    assert!(refused || status == 200 || status == 400 || status == 422, "{answer:?}");
    !refused
}

#[tokio::test]
async fn a_partner_is_declared_with_its_networks_and_they_change_with_the_document() {
    let networks = "\n[[network]]\nname = \"office\"\ncidrs = [\"127.0.0.2/32\"]\n";
    let terms = "name = \"Acme Ltd\"\nnetworks = [\"office\"]";
    let server = SERVER.replace("name = \"Acme Ltd\"", terms);
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[&server, ACME, HELLO, networks]))).await;
    let acme = gateway.acme();
    let headers = [("x-api-key", acme.api_key.as_str())];
    let mut inside = gateway.session_with(from(2)).await;
    let mut outside = gateway.session_with(from(3)).await;
    assert_eq!(inside.get(&acme.path, &headers).await.status, 200);
    assert_eq!(outside.get(&acme.path, &headers).await.problem(), (403, "source_not_allowed".to_owned()));
    assert_eq!(gateway.registry().partner("acme").await.unwrap().networks, ["office"]);
    gateway.apply(&document(&[SERVER, ACME, HELLO, networks])).await;
    assert_eq!(outside.get(&acme.path, &headers).await.status, 200);
    // A partner of the registry holds a network fast.
    let new = NewPartner { networks: vec!["office".to_owned()], ..NewPartner::named("globex", "Globex") };
    gateway.registry().create_partner(&Actor::local(), new).await.unwrap();
    let gone = gateway.try_apply(&document(&[SERVER, ACME, HELLO])).await;
    assert!(gone.is_err());
    let unknown = NewPartner { usage_plan: Some("none".to_owned()), ..NewPartner::named("initech", "Initech") };
    assert!(gateway.registry().create_partner(&Actor::local(), unknown).await.is_err());
}
