//! What must hold for all inputs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use policies::*;
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::fixtures::{client, ip, proof, route, scopes};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn scope_set() -> impl Strategy<Value = ScopeSet> {
    subsequence(NAMES.to_vec(), 0..=NAMES.len()).prop_map(|names| scopes(&names.join(" ")))
}

fn method() -> impl Strategy<Value = AuthMethod> {
    prop::sample::select(AuthMethod::ALL.to_vec())
}

fn status() -> impl Strategy<Value = CredentialStatus> {
    use CredentialStatus::{Active, Expired, NotYetValid, Revoked};
    prop_oneof![5 => Just(Active), 1 => prop::sample::select(vec![Expired, NotYetValid, Revoked])]
}

/// In a small corner of the address space, so that lists meet.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..256_u32).prop_map(|low| IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + low))),
        (0..256_u32).prop_map(|low| IpAddr::V6(Ipv4Addr::from_bits(0x0A00_0000 + low).to_ipv6_mapped())),
        (0..256_u128).prop_map(|low| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0DB8 << 96) + low))),
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

fn cidr() -> impl Strategy<Value = IpNet> {
    let lengths = prop_oneof![8 => 24..=32_u8, 1 => 0..=32_u8];
    (address(), lengths).prop_map(|(address, length)| match canonical(address) {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::new(address, length).unwrap().trunc()),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::new(address, 96 + length).unwrap().trunc()),
    })
}

fn cidrs(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<IpNet>> {
    prop::collection::vec(cidr(), size)
}

fn allowlist() -> impl Strategy<Value = Allowlist> {
    let network = |(cidrs, except)| Arc::new(Network::new("n", cidrs, except).unwrap());
    prop_oneof![
        2 => Just(Allowlist::anywhere()),
        1 => prop::collection::vec((cidrs(1..4), cidrs(0..3)).prop_map(network), 0..3).prop_map(Allowlist::of),
    ]
}

fn any_proof() -> impl Strategy<Value = Proof> {
    (method(), status(), prop::option::of(scope_set()), prop::option::of(allowlist()))
        .prop_map(|(method, status, scopes, networks)| Proof { status, scopes, networks, ..proof(method) })
}

fn any_proofs() -> impl Strategy<Value = Vec<Proof>> {
    prop::collection::vec(any_proof(), 1..4)
}

fn any_client() -> impl Strategy<Value = Client> {
    let rules = (mode(), mode());
    let rules = rules.prop_map(|(networks, partner_networks)| ClientRules { networks, partner_networks });
    let parts = (scope_set(), allowlist(), allowlist(), rules, prop::bool::weighted(0.9));
    parts.prop_map(|(scopes, networks, partner_networks, rules, enabled)| Client {
        scopes,
        networks,
        partner_networks,
        rules,
        enabled,
        ..client("")
    })
}

fn any_route() -> impl Strategy<Value = Route> {
    let set = prop::collection::vec(method(), 1..3).prop_map(|methods| methods.into_iter().collect::<AuthMethodSet>());
    let requirement = prop_oneof![
        Just(ScopeRequirement::None),
        scope_set().prop_map(ScopeRequirement::Any),
        scope_set().prop_map(ScopeRequirement::All),
    ];
    let rules = (mode(), mode(), mode());
    let rules = rules.prop_map(|(networks, methods, scopes)| RouteRules { networks, methods, scopes });
    (prop::collection::vec(set, 0..4), requirement, allowlist(), rules)
        .prop_map(|(accept, scopes, networks, rules)| Route { accept, scopes, networks, rules, ..route("GET", "/x") })
}

fn mode() -> impl Strategy<Value = RuleMode> {
    prop_oneof![4 => Just(RuleMode::Enforce), 1 => Just(RuleMode::Shadow), 1 => Just(RuleMode::Off)]
}

fn decide(proofs: &[Proof], client: &Client, route: &Route, source: IpAddr) -> Result<ScopeSet, Denial> {
    let principal = resolve(proofs.to_vec(), Arc::new(client.clone()))?;
    let entitlement = entitle(principal, Arc::new(route.clone()), source, &mut ())?;
    let permit = entitlement.admit(Spent::unlimited(), &mut ())?;
    Ok(permit.principal().unwrap().scopes().clone())
}

/// The decision once more, as one sentence without any order.
fn may(proofs: &[Proof], client: &Client, route: &Route, source: IpAddr) -> bool {
    let held = |scope: &Scope| {
        client.scopes.contains(scope) && proofs.iter().all(|p| p.scopes.as_ref().is_none_or(|s| s.contains(scope)))
    };
    let scoped = match &route.scopes {
        ScopeRequirement::None => true,
        ScopeRequirement::Any(wanted) => wanted.iter().any(held),
        ScopeRequirement::All(wanted) => !wanted.is_empty() && wanted.iter().all(held),
    };
    let proved = |method: AuthMethod| proofs.iter().any(|p| p.method == method);
    let lifted = |mode: RuleMode| mode != RuleMode::Enforce;
    (scoped || lifted(route.rules.scopes))
        && client.enabled
        && proofs.iter().all(|p| p.status == CredentialStatus::Active)
        && (route.accept.iter().any(|set| set.iter().all(proved)) || lifted(route.rules.methods))
        && (route.networks.contains(source) || lifted(route.rules.networks))
        && (client.partner_networks.contains(source) || lifted(client.rules.partner_networks))
        && (client.networks.contains(source) || lifted(client.rules.networks))
        && proofs.iter().all(|p| p.networks.as_ref().is_none_or(|networks| networks.contains(source)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_steps_together_are_the_sentence(
        proofs in any_proofs(), client in any_client(), route in any_route(), source in address(),
    ) {
        prop_assert_eq!(decide(&proofs, &client, &route, source).is_ok(), may(&proofs, &client, &route, source));
    }

    #[test]
    fn a_credential_never_widens(proofs in any_proofs(), client in any_client()) {
        let principal = resolve(proofs.clone(), Arc::new(client.clone())).unwrap();
        prop_assert!(principal.scopes().is_subset(&client.scopes));
        for narrowing in proofs.iter().filter_map(|proof| proof.scopes.as_ref()) {
            prop_assert!(principal.scopes().is_subset(narrowing));
        }
    }

    #[test]
    fn one_more_proof_never_grants_more_scopes(proofs in any_proofs(), more in any_proof(), client in any_client()) {
        let client = Arc::new(client);
        let before = resolve(proofs.clone(), client.clone()).unwrap().scopes().clone();
        let after = resolve([proofs, vec![more]].concat(), client).unwrap().scopes().clone();
        prop_assert!(after.is_subset(&before));
    }

    #[test]
    fn one_more_proof_never_helps_unless_its_method_was_missing(
        proofs in any_proofs(), more in any_proof(), client in any_client(), route in any_route(), source in address(),
    ) {
        let before = decide(&proofs, &client, &route, source);
        let has_method = proofs.iter().any(|proof| proof.method == more.method);
        let after = decide(&[proofs, vec![more]].concat(), &client, &route, source);
        if has_method && before.is_err() {
            prop_assert!(after.is_err());
        }
    }

    #[test]
    fn the_order_of_proofs_does_not_matter(
        proofs in any_proofs(), client in any_client(), route in any_route(), source in address(),
    ) {
        let reversed: Vec<Proof> = proofs.iter().rev().cloned().collect();
        prop_assert_eq!(
            decide(&proofs, &client, &route, source).ok(),
            decide(&reversed, &client, &route, source).ok(),
        );
    }

    #[test]
    fn a_stranger_among_the_proofs_always_fails(
        proofs in any_proofs(), at in any::<prop::sample::Index>(), client in any_client(),
    ) {
        let mut proofs = proofs;
        let at = at.index(proofs.len());
        proofs[at].client = "acme-orders2".parse().unwrap();
        prop_assert_eq!(resolve(proofs, Arc::new(client)).unwrap_err().code(), "credential_mismatch");
    }

    #[test]
    fn a_mapped_source_is_judged_as_the_ipv4_one(
        proofs in any_proofs(), client in any_client(), route in any_route(), bits in 0x0A00_0000..0x0A00_0100_u32,
    ) {
        let four = Ipv4Addr::from_bits(bits);
        prop_assert_eq!(
            decide(&proofs, &client, &route, IpAddr::V4(four)),
            decide(&proofs, &client, &route, IpAddr::V6(four.to_ipv6_mapped())),
        );
    }

    #[test]
    fn a_network_is_a_scan_over_its_lists(cidrs in cidrs(1..20), except in cidrs(0..20), source in address()) {
        let network = Network::new("n", cidrs.clone(), except.clone()).unwrap();
        let source = canonical(source);
        let scan = cidrs.iter().any(|cidr| cidr.contains(&source)) && !except.iter().any(|cidr| cidr.contains(&source));
        prop_assert_eq!(network.contains(source), scan);
    }

    #[test]
    fn a_network_is_right_at_every_edge(cidrs in cidrs(1..12), except in cidrs(0..12)) {
        let network = Network::new("n", cidrs.clone(), except.clone()).unwrap();
        for edge in cidrs.iter().chain(&except).flat_map(edges) {
            let edge = canonical(edge);
            let scan = cidrs.iter().any(|cidr| cidr.contains(&edge)) && !except.iter().any(|cidr| cidr.contains(&edge));
            prop_assert_eq!(network.contains(edge), scan, "{}", edge);
        }
    }

    #[test]
    fn a_route_never_answers_on_another_listener_or_for_another_method(
        routes in prop::collection::vec(table_route(), 0..8), listener in listener(), method in verb(), path in path(),
    ) {
        let Ok(table) = RouteTable::new(numbered(routes)) else { return Ok(()) };
        if let Some(found) = table.find(listener, method, &path) {
            prop_assert!(found.listeners.as_ref().is_none_or(|names| names.iter().any(|name| name == listener)));
            prop_assert!(found.methods.iter().any(|m| m == method) || (method == "HEAD" && found.methods.iter().any(|m| m == "GET")));
            prop_assert!(matches(&found.path, &path));
            let allowed = table.allowed_methods(listener, &path);
            prop_assert!(allowed.contains(&method));
        }
    }

    #[test]
    fn the_most_specific_pattern_rules(
        routes in prop::collection::vec(table_route(), 0..8), method in verb(), path in path(),
    ) {
        let routes: Vec<Route> = routes.into_iter().map(|route| Route { listeners: None, ..route }).collect();
        let Ok(table) = RouteTable::new(numbered(routes)) else { return Ok(()) };
        let best = table.routes().iter().filter(|route| matches(&route.path, &path)).map(|route| rank(&route.path)).min();
        let served = |route: &&Arc<Route>, wanted: &str| {
            matches(&route.path, &path) && Some(rank(&route.path)) == best && route.methods.iter().any(|m| m == wanted)
        };
        let naive = table.routes().iter().find(|route| served(route, method))
            .or_else(|| table.routes().iter().find(|route| method == "HEAD" && served(route, "GET")));
        prop_assert_eq!(table.find("a", method, &path).map(|route| &route.id), naive.map(|route| &route.id));
    }

    #[test]
    fn another_spelling_finds_the_route_of_the_path_or_none(
        routes in prop::collection::vec(table_route(), 0..8), method in verb(), path in path(),
        capitals in any::<u32>(), slash in any::<bool>(),
    ) {
        let routes: Vec<Route> = routes.into_iter().map(|route| Route { listeners: None, ..route }).collect();
        let Ok(table) = RouteTable::new(numbered(routes)) else { return Ok(()) };
        let flip = |(at, letter): (usize, char)| if capitals >> (at % 32) & 1 == 1 { letter.to_ascii_uppercase() } else { letter };
        let spelled: String = path.chars().enumerate().map(flip).collect::<String>() + if slash { "/" } else { "" };
        let found = table.find("a", method, &spelled).map(|route| &route.id);
        prop_assert!(found.is_none() || found == table.find("a", method, &path).map(|route| &route.id), "{spelled}");
    }

    #[test]
    fn quota_periods_tile_time(
        seconds in -4_000_000_000..8_000_000_000_i64, anchor in 1..=31_u8,
        kind in prop::sample::select(vec![PeriodKind::Day, PeriodKind::Week, PeriodKind::Month]),
        zone in prop::sample::select(vec![
            "UTC", "Asia/Dubai", "Europe/London", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia",
            "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Casablanca", "Antarctica/Troll",
        ]),
    ) {
        let quota = Quota::new(1, kind).unwrap().in_time_zone(zone).unwrap();
        let quota = if kind == PeriodKind::Month { quota.anchored(anchor).unwrap() } else { quota };
        let now = UnixSeconds(seconds);
        let period = quota.period_at(now);
        prop_assert!(period.starts_at <= now && now < period.ends_at);
        prop_assert_eq!(quota.period_at(period.starts_at), period);
        prop_assert_eq!(quota.period_at(period.ends_at.plus(-1)), period);
        prop_assert_eq!(quota.period_at(period.ends_at).starts_at, period.ends_at);
    }

    #[test]
    fn no_document_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = Policy::parse(&[Document::new("x.toml", text)]);
    }

    #[test]
    fn no_damage_to_a_document_makes_the_reader_panic(at in any::<prop::sample::Index>(), length in 0..40_usize, with in "\\PC{0,3}") {
        let whole = include_str!("../../samples/reverse-proxy.toml");
        let start = at.index(whole.len());
        let end = (start + length).min(whole.len());
        let (Some(before), Some(after)) = (whole.get(..start), whole.get(end..)) else { return Ok(()) };
        if let Err(faults) = Policy::parse(&[Document::new("x.toml", format!("{before}{with}{after}"))]) {
            prop_assert!(!faults.is_empty());
            let lines = whole.lines().count() + 3;
            prop_assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.line) && fault.column >= 1));
        }
    }

    #[test]
    fn scopes_survive_the_wire(set in scope_set()) {
        prop_assert_eq!(ScopeSet::parse_list(&set.to_string()).unwrap(), set);
    }
}

/// The addresses inside and outside both ends.
fn edges(cidr: &IpNet) -> Vec<IpAddr> {
    match cidr {
        IpNet::V4(cidr) => [cidr.network().to_bits(), cidr.broadcast().to_bits()]
            .into_iter()
            .flat_map(|bits| [bits.wrapping_sub(1), bits, bits.wrapping_add(1)])
            .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
            .collect(),
        IpNet::V6(cidr) => [cidr.network().to_bits(), cidr.broadcast().to_bits()]
            .into_iter()
            .flat_map(|bits| [bits.wrapping_sub(1), bits, bits.wrapping_add(1)])
            .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
            .collect(),
    }
}

fn listener() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn verb() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["GET", "HEAD", "POST"])
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["x", "y", "xy", "z"]), 1..4)
        .prop_map(|parts| format!("/{}", parts.join("/")))
}

fn table_route() -> impl Strategy<Value = Route> {
    let pattern = prop::collection::vec(prop::sample::select(vec!["x", "y", "xy", "{}"]), 1..4);
    let listeners = prop::option::of(subsequence(vec!["a", "b"], 1..=2));
    (pattern, any::<bool>(), subsequence(vec!["GET", "HEAD", "POST"], 1..=2), listeners).prop_map(
        |(parts, takes_rest, methods, listeners)| {
            let mut path = String::new();
            for (position, part) in parts.iter().enumerate() {
                let is_rest = takes_rest && position + 1 == parts.len() && *part == "{}";
                match (*part, is_rest) {
                    ("{}", true) => path.push_str("/{*rest}"),
                    ("{}", false) => path.push_str(&format!("/{{p{position}}}")),
                    (part, _) => path.push_str(&format!("/{part}")),
                }
            }
            let listeners = listeners.map(|names| names.into_iter().map(str::to_owned).collect());
            Route { listeners, ..route(&methods.join(","), &path) }
        },
    )
}

fn numbered(routes: Vec<Route>) -> Vec<Route> {
    routes.into_iter().enumerate().map(|(n, route)| Route { id: n.to_string().into(), ..route }).collect()
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(_)) if part.starts_with("{*") => return true,
            (Some(part), Some(_)) if part.starts_with('{') => {}
            (Some(part), Some(segment)) if part == segment => {}
            _ => return false,
        }
    }
}

/// Segment by segment: static, then parameter, then the rest.
fn rank(pattern: &str) -> Vec<u8> {
    let kind = |part: &str| if part.starts_with("{*") { 2 } else { u8::from(part.starts_with('{')) };
    pattern.split('/').map(kind).collect()
}

#[test]
fn the_edge_of_nothing() {
    assert!(
        !Network::new("n", vec!["10.0.0.0/8".parse().unwrap()], vec!["10.0.0.0/8".parse().unwrap()])
            .unwrap()
            .contains(ip("10.0.0.1"))
    );
}
