//! What a rule in each of its modes does, and what the trace says of it.

use std::sync::Arc;

use policies::*;

use crate::fixtures::*;

/// What the route, the client and the caller are like when each rule that has a mode says no.
struct Bad {
    route: Route,
    client: Client,
}

const ELSEWHERE: &str = "198.51.100.0/24";

impl Bad {
    /// Only `rule` says no, in `mode`.
    fn only(rule: &str, mode: RuleMode) -> Self {
        let mut route = Route { scopes: ScopeRequirement::Any(scopes("read")), ..route("GET", "/x") };
        let mut client = client("read");
        match rule {
            "route networks" => (route.networks, route.rules.networks) = (only_from(ELSEWHERE), mode),
            "partner networks" => {
                (client.partner_networks, client.rules.partner_networks) = (only_from(ELSEWHERE), mode);
            }
            "client networks" => (client.networks, client.rules.networks) = (only_from(ELSEWHERE), mode),
            "methods" => (route.accept, route.rules.methods) = (vec![methods("mutual_tls")], mode),
            "scopes" => (route.scopes, route.rules.scopes) = (ScopeRequirement::All(scopes("write")), mode),
            _ => panic!("{rule}"),
        }
        Self { route, client }
    }

    fn decide<T: Trace>(self, trace: &mut T) -> Result<Permit, Denial> {
        let source = ip("203.0.113.7");
        check_source(&self.route, source, trace)?;
        let principal = resolve(vec![proof(AuthMethod::ApiKey)], Arc::new(self.client))?;
        entitle(principal, Arc::new(self.route), source, trace)?.admit(Spent::unlimited(), trace)
    }
}

const RULES: [(&str, Stage, &str); 5] = [
    ("route networks", Stage::RouteNetwork, "source_not_allowed"),
    ("partner networks", Stage::PartnerNetwork, "source_not_allowed"),
    ("client networks", Stage::ClientNetwork, "source_not_allowed"),
    ("methods", Stage::Methods, "method_not_accepted"),
    ("scopes", Stage::Scopes, "insufficient_scope"),
];

#[test]
fn a_rule_denies_when_it_is_enforced() {
    for (rule, stage, code) in RULES {
        let mut steps = Vec::new();
        assert_eq!(Bad::only(rule, RuleMode::Enforce).decide(&mut steps).unwrap_err().code(), code, "{rule}");
        let last = steps.last().unwrap();
        assert!(last.denied() && !last.would_deny() && last.stage == stage, "{rule}: {last:?}");
    }
}

#[test]
fn a_rule_in_shadow_is_judged_and_told_and_lets_everybody_on() {
    for (rule, stage, _) in RULES {
        let (mut steps, mut refusals) = (Vec::new(), Refusals::default());
        Bad::only(rule, RuleMode::Shadow).decide(&mut steps).unwrap();
        Bad::only(rule, RuleMode::Shadow).decide(&mut refusals).unwrap();
        let said_no: Vec<&Step> = steps.iter().filter(|step| !step.passed).collect();
        assert_eq!(said_no.len(), 1, "{rule}: once, however often it is asked: {steps:?}");
        assert!(said_no[0].would_deny() && !said_no[0].denied() && said_no[0].stage == stage, "{rule}: {said_no:?}");
        assert_eq!(refusals.0, [said_no[0].clone()], "{rule}: the data plane hears this and nothing else");
        // The verdict is that of the enforced rule, word for word.
        let mut enforced = Vec::new();
        Bad::only(rule, RuleMode::Enforce).decide(&mut enforced).unwrap_err();
        assert_eq!(enforced.last().unwrap().detail, said_no[0].detail, "{rule}");
    }
}

#[test]
fn a_rule_that_is_off_is_not_asked() {
    for (rule, stage, _) in RULES {
        let (mut steps, mut refusals) = (Vec::new(), Refusals::default());
        Bad::only(rule, RuleMode::Off).decide(&mut steps).unwrap();
        Bad::only(rule, RuleMode::Off).decide(&mut refusals).unwrap();
        let step = steps.iter().find(|step| step.stage == stage).unwrap();
        assert!(step.passed && step.mode == RuleMode::Off && step.detail.contains("off"), "{rule}: {step:?}");
        assert!(refusals.0.is_empty(), "{rule}");
    }
}

/// What has no mode: a credential must be good, whatever the route's rules are.
#[test]
fn no_mode_opens_a_route_to_those_who_prove_nothing() {
    let lifted = RouteRules { networks: RuleMode::Off, methods: RuleMode::Off, scopes: RuleMode::Off };
    let route = Arc::new(Route { rules: lifted, ..route("GET", "/x") });
    let source = ip("203.0.113.7");
    assert_eq!(admit_public(route.clone(), source, Spent::unlimited(), &mut ()).unwrap_err(), Denial::NoCredential);
    for (status, code) in
        [(CredentialStatus::Expired, "credential_expired"), (CredentialStatus::Revoked, "credential_revoked")]
    {
        let dead = Proof { status, ..proof(AuthMethod::ApiKey) };
        let principal = resolve(vec![dead], Arc::new(client(""))).unwrap();
        assert_eq!(entitle(principal, route.clone(), source, &mut ()).unwrap_err().code(), code);
    }
    let narrowed = Proof { networks: Some(only_from(ELSEWHERE)), ..proof(AuthMethod::ApiKey) };
    let principal = resolve(vec![narrowed], Arc::new(client(""))).unwrap();
    let denial = entitle(principal, route, source, &mut ()).unwrap_err();
    assert_eq!(denial.code(), "source_not_allowed", "a credential's own networks always bite");
}

const DOCUMENT: &str = r#"
[[network]]
name = "office"
cidrs = ["198.51.100.0/24"]

[[partner]]
id = "acme"
rules = { networks = "shadow" }

[[client]]
id = "acme-orders"
partner = "acme"
networks = ["office"]
rules = { networks = "off" }

[[route]]
methods = ["GET"]
path = "/x"
accept = [["bearer"]]
networks = ["office"]
rules = { networks = "shadow", methods = "off", scopes = "enforce" }
action = { mock = {} }
"#;

#[test]
fn documents_set_the_modes() {
    let policy = policy(DOCUMENT);
    let rules = policy.routes.routes()[0].rules;
    assert_eq!(rules.to_string(), "networks shadow, methods off");
    let of = |id: &str, partner: &str| {
        let (id, partner) = (id.parse().unwrap(), partner.parse().unwrap());
        policy.resolve_client(id, partner, true, &ScopeSet::default(), &[], None).unwrap().rules
    };
    let shadow_of_the_partner = RuleMode::Shadow;
    assert_eq!(
        of("acme-orders", "acme"),
        ClientRules { networks: RuleMode::Off, partner_networks: shadow_of_the_partner }
    );
    // A client of the registry, which no document names, is its partner's all the same.
    assert_eq!(of("another", "acme").partner_networks, shadow_of_the_partner);
    assert_eq!(of("another", "acme").networks, RuleMode::Enforce);
    assert_eq!(of("another", "globex"), ClientRules::default());
}

#[test]
fn what_stands_in_no_document_is_enforced() {
    let lines = DOCUMENT.lines().filter(|line| !line.starts_with("rules"));
    let policy = policy(&lines.collect::<Vec<_>>().join("\n"));
    assert_eq!(policy.routes.routes()[0].rules, RouteRules::default());
    assert_eq!(policy.clients[0].network_mode, RuleMode::Enforce);
}
