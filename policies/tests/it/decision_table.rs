//! The decision as a table: what was proved, what the route takes, what is different from the good case, and the
//! outcome.

use std::sync::Arc;
use std::time::Duration;

use policies::*;

use crate::fixtures::*;

const HOME: &str = "203.0.113.7";

/// The client holds `read` and `write` and may call from anywhere unless a row says otherwise.
const TABLE: &str = "
proved                    | accept                      | scopes         | but                                     | outcome
# one method each
mutual_tls                | mutual_tls                  | any read       |                                         | permit
api_key                   | api_key                     | any read       |                                         | permit
bearer                    | bearer                      | any read       |                                         | permit
mutual_tls                | mutual_tls,api_key,bearer   | any read       |                                         | permit
api_key                   | mutual_tls,api_key,bearer   | any read       |                                         | permit
bearer                    | mutual_tls,api_key,bearer   | any read       |                                         | permit
api_key                   | mutual_tls                  | any read       |                                         | method_not_accepted
bearer                    | mutual_tls,api_key          | any read       |                                         | method_not_accepted
                          | mutual_tls                  | none           |                                         | no_credential
# together
mutual_tls+api_key        | mutual_tls+api_key          | any read       |                                         | permit
mutual_tls                | mutual_tls+api_key          | any read       |                                         | method_not_accepted
api_key                   | mutual_tls+api_key          | any read       |                                         | method_not_accepted
mutual_tls+bearer         | mutual_tls+api_key          | any read       |                                         | method_not_accepted
mutual_tls+bearer         | mutual_tls+api_key,bearer   | any read       |                                         | permit
mutual_tls+api_key+bearer | mutual_tls+api_key          | any read       |                                         | permit
mutual_tls+api_key        | bearer                      | any read       |                                         | method_not_accepted
# extra credentials may come along, but must be good and agree
mutual_tls+api_key        | mutual_tls                  | any read       |                                         | permit
mutual_tls+api_key        | mutual_tls                  | any read       | api_key expired                         | credential_expired
mutual_tls+api_key        | mutual_tls                  | any read       | api_key revoked                         | credential_revoked
mutual_tls+api_key        | mutual_tls                  | any read       | api_key of-another                      | credential_mismatch
mutual_tls+api_key        | mutual_tls                  | any read       | api_key scopes:write                    | insufficient_scope
mutual_tls+api_key        | mutual_tls                  | any read       | api_key from:198.51.100.0/24            | source_not_allowed
mutual_tls+api_key        | mutual_tls+api_key          | any read       | mutual_tls of-another                   | credential_mismatch
# a route that accepts nobody, and a public one with a credential along
mutual_tls                |                             | none           |                                         | method_not_accepted
mutual_tls                | public                      | none           |                                         | permit
mutual_tls                | public                      | none           | mutual_tls revoked                      | credential_revoked
# networks
api_key                   | api_key                     | none           | client from:203.0.113.0/24              | permit
api_key                   | api_key                     | none           | client from:198.51.100.0/24             | source_not_allowed
api_key                   | api_key                     | none           | client from:nowhere                     | source_not_allowed
api_key                   | api_key                     | none           | api_key from:203.0.113.7/32             | permit
api_key                   | api_key                     | none           | api_key from:203.0.113.8/32             | source_not_allowed
api_key                   | api_key                     | none           | route from:198.51.100.0/24              | source_not_allowed
api_key                   | api_key                     | none           | route from:203.0.113.0/24               | permit
api_key                   | api_key                     | none           | client from:203.0.113.0/24; source ::ffff:203.0.113.7 | permit
# status
mutual_tls                | mutual_tls                  | any read       | mutual_tls expired                      | credential_expired
mutual_tls                | mutual_tls                  | any read       | mutual_tls not-yet-valid                | credential_expired
mutual_tls                | mutual_tls                  | any read       | mutual_tls revoked                      | credential_revoked
bearer                    | bearer                      | any read       | client disabled                         | credential_revoked
# scopes
bearer                    | bearer                      | none           | client scopes:                          | permit
bearer                    | bearer                      | any read       | client scopes:write                     | insufficient_scope
bearer                    | bearer                      | any read,write | client scopes:write                     | permit
bearer                    | bearer                      | all read,write | client scopes:write                     | insufficient_scope
bearer                    | bearer                      | all read,write |                                         | permit
bearer                    | bearer                      | any read       | bearer scopes:read                      | permit
bearer                    | bearer                      | any write      | bearer scopes:read                      | insufficient_scope
bearer                    | bearer                      | any admin      | bearer scopes:admin                     | insufficient_scope
bearer                    | bearer                      | any read       | bearer scopes:                          | insufficient_scope
bearer                    | bearer                      | any            |                                         | insufficient_scope
bearer                    | bearer                      | all            |                                         | insufficient_scope
mutual_tls+bearer         | mutual_tls+bearer           | all read,write | mutual_tls scopes:read; bearer scopes:write | insufficient_scope
mutual_tls+bearer         | mutual_tls+bearer           | any read,write | mutual_tls scopes:read; bearer scopes:write | insufficient_scope
mutual_tls+bearer         | mutual_tls+bearer           | any read       | mutual_tls scopes:read; bearer scopes:read,write | permit
# allowance
api_key                   | api_key                     | any read       | throttled                               | throttled
api_key                   | api_key                     | any read       | over-quota                              | quota_exceeded
# the first failing step names the denial: mismatch, route network, methods, client network, credential network, status, scopes, limits
api_key+bearer            | mutual_tls                  | any admin      | api_key of-another; route from:nowhere  | credential_mismatch
api_key                   | mutual_tls                  | any admin      | route from:nowhere; client from:nowhere | source_not_allowed
api_key                   | mutual_tls                  | any admin      | client from:nowhere; api_key revoked    | method_not_accepted
api_key                   | api_key                     | any admin      | client from:nowhere; api_key revoked    | source_not_allowed
api_key                   | api_key                     | any admin      | api_key from:nowhere; api_key revoked   | source_not_allowed
api_key                   | api_key                     | any admin      | client disabled; api_key expired        | credential_revoked
api_key                   | api_key                     | any admin      | api_key expired                         | credential_expired
mutual_tls+api_key        | api_key                     | any admin      | mutual_tls expired; api_key revoked     | credential_expired
api_key                   | api_key                     | any admin      | throttled                               | insufficient_scope
";

#[test]
fn every_row_has_its_outcome() {
    let rows = TABLE.lines().skip(2).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut wrong = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [proved, accept, required, but, expected] = cells[..] else { panic!("five cells: {row}") };
        for trace in [None, Some(Vec::new())] {
            let outcome = Facts::read(proved, accept, required, but).decide(trace);
            if outcome != expected {
                wrong.push(format!("{row}\n    got {outcome}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn said_no(kind: LimitKind, retry_after: Duration) -> Spent {
    Spent::of(vec![limit("burst", kind, RuleMode::Enforce, Some(retry_after))])
}

fn limit(name: &'static str, kind: LimitKind, mode: RuleMode, retry_after: Option<Duration>) -> LimitState {
    LimitState {
        name: name.into(),
        kind,
        subject: LimitSubject::Client,
        limit: 100,
        window_seconds: 2,
        remaining: 0,
        reset_seconds: 2,
        mode,
        passed: retry_after.is_none(),
        retry_after: retry_after.unwrap_or_default(),
    }
}

struct Facts {
    proofs: Vec<Proof>,
    client: Client,
    route: Route,
    source: std::net::IpAddr,
    spent: Spent,
}

impl Facts {
    fn read(proved: &str, accept: &str, required: &str, but: &str) -> Self {
        let mut route = route("GET", "/x");
        route.accept = match accept {
            "public" => Route::accept_anyone(),
            list => list.split(',').filter(|set| !set.is_empty()).map(methods).collect(),
        };
        let names = |list: &str| scopes(&list.replace(',', " "));
        route.scopes = match required.split_once(' ').unwrap_or((required, "")) {
            ("any", list) => ScopeRequirement::Any(names(list)),
            ("all", list) => ScopeRequirement::All(names(list)),
            _ => ScopeRequirement::None,
        };
        let proofs = methods(proved).iter().map(proof).collect();
        let mut facts =
            Self { proofs, client: client("read write"), route, source: ip(HOME), spent: Spent::unlimited() };
        for change in but.split(';').map(str::trim).filter(|change| !change.is_empty()) {
            facts.change(change);
        }
        facts
    }

    fn change(&mut self, change: &str) {
        let retry_after = Duration::from_secs(3);
        let (who, what) = change.split_once(' ').unwrap_or((change, ""));
        let list = what.strip_prefix("scopes:").map(|list| scopes(&list.replace(',', " ")));
        let networks = what.strip_prefix("from:").map(|cidr| match cidr {
            "nowhere" => Allowlist::of(vec![]),
            cidr => only_from(cidr),
        });
        match who {
            "throttled" => self.spent = said_no(LimitKind::Throttle, retry_after),
            "over-quota" => self.spent = said_no(LimitKind::Quota, retry_after),
            "source" => self.source = ip(what),
            "route" => self.route.networks = networks.unwrap(),
            "client" => match (list, networks) {
                (Some(list), _) => self.client.scopes = list,
                (_, Some(networks)) => self.client.networks = networks,
                _ => self.client.enabled = what != "disabled",
            },
            method => {
                let method: AuthMethod = method.parse().unwrap();
                let proof = self.proofs.iter_mut().find(|proof| proof.method == method).unwrap();
                match what {
                    "expired" => proof.status = CredentialStatus::Expired,
                    "revoked" => proof.status = CredentialStatus::Revoked,
                    "not-yet-valid" => proof.status = CredentialStatus::NotYetValid,
                    "of-another" => proof.client = "globex-orders".parse().unwrap(),
                    _ => {
                        proof.scopes = list.or(proof.scopes.take());
                        proof.networks = networks.or(proof.networks.take());
                    }
                }
            }
        }
    }

    fn decide(self, mut trace: Option<Vec<Step>>) -> &'static str {
        let outcome = resolve(self.proofs, Arc::new(self.client))
            .and_then(|principal| entitle(principal, Arc::new(self.route), self.source, &mut trace))
            .and_then(|entitlement| entitlement.admit(self.spent, &mut trace));
        if let Some(steps) = trace {
            let failed = steps.iter().position(|step| !step.passed);
            match &outcome {
                Ok(_) => assert_eq!(failed, None),
                // Only `resolve` denies without a step of its own.
                Err(Denial::NoCredential | Denial::CredentialMismatch { .. }) => assert!(steps.is_empty()),
                Err(_) => assert_eq!(failed, Some(steps.len() - 1), "the failing step is the last"),
            }
        }
        outcome.map_or_else(|denial| denial.code(), |_| "permit")
    }
}

#[test]
fn a_trace_tells_all_steps_in_order() {
    let mut facts = Facts::read("mutual_tls+api_key", "mutual_tls", "any read", "api_key from:203.0.113.0/24");
    facts.route.networks = only_from("203.0.113.0/24");
    let mut steps = Vec::new();
    check_source(&facts.route, facts.source, &mut steps).unwrap();
    let principal = resolve(facts.proofs, Arc::new(facts.client)).unwrap();
    let entitlement = entitle(principal, Arc::new(facts.route), facts.source, &mut steps).unwrap();
    entitlement.admit(Spent::unlimited(), &mut steps).unwrap();
    let told: Vec<String> =
        steps.iter().map(|step| format!("{} {}: {}", step.stage, step.passed, step.detail)).collect();
    assert_eq!(
        told,
        [
            "route_network true: route GET /x allows only; called from 203.0.113.7, in only (203.0.113.0/24)",
            "methods true: proved mutual_tls+api_key, accepted: mutual_tls",
            "partner_network true: partner acme allows anywhere; called from 203.0.113.7",
            "client_network true: client acme-orders allows anywhere; called from 203.0.113.7",
            "credential_network true: api-key 1 allows only; called from 203.0.113.7, in only (203.0.113.0/24)",
            "status true: client acme-orders of partner acme is enabled",
            "status true: client-certificate 1 is active",
            "status true: api-key 1 is active",
            "scopes true: required any of: api/read, granted: api/read api/write",
            "throttle true: no throttle",
            "quota true: no quota",
        ]
    );
}

#[test]
fn a_network_step_names_the_entry_that_decided() {
    let told = |networks: Allowlist, source: &str| {
        let mut steps = Vec::new();
        let _ = check_source(&Route { networks, ..route("GET", "/x") }, ip(source), &mut steps);
        steps.remove(0).detail.split(" allows ").nth(1).unwrap().to_owned()
    };
    let office = || Allowlist::of(vec![network("office", &["203.0.113.0/24"], &["203.0.113.66/32"])]);
    assert_eq!(told(office(), "203.0.113.7"), "office; called from 203.0.113.7, in office (203.0.113.0/24)");
    assert_eq!(
        told(office(), "203.0.113.66"),
        "office; called from 203.0.113.66, left out of office by its exception 203.0.113.66/32"
    );
    assert_eq!(told(office(), "::ffff:198.51.100.1"), "office; called from 198.51.100.1, in none of them");
    assert_eq!(told(Allowlist::anywhere(), "198.51.100.1"), "anywhere; called from 198.51.100.1");
}

#[test]
fn inside_messages_tell_expired_from_not_yet_valid_and_disabled_from_revoked() {
    let detail = |but: &str| {
        let facts = Facts::read("api_key", "api_key", "none", but);
        let principal = resolve(facts.proofs, Arc::new(facts.client)).unwrap();
        entitle(principal, Arc::new(facts.route), facts.source, &mut ()).unwrap_err().to_string()
    };
    assert_eq!(detail("api_key expired"), "api-key 1 is expired");
    assert_eq!(detail("api_key not-yet-valid"), "api-key 1 is not yet valid");
    assert_eq!(detail("api_key revoked"), "api-key 1 is revoked");
    assert_eq!(detail("client disabled"), "client acme-orders of partner acme is disabled");
}

#[test]
fn only_a_public_route_lets_the_anonymous_in() {
    let anonymous = |route: Route| admit_public(Arc::new(route), ip(HOME), Spent::unlimited(), &mut ());
    assert_eq!(anonymous(route("GET", "/x")).unwrap_err(), Denial::NoCredential);
    let nobody = Route { accept: vec![], ..route("GET", "/x") };
    assert!(!nobody.is_public(), "a lost accept list closes the route");
    assert_eq!(anonymous(nobody).unwrap_err(), Denial::NoCredential);

    let public = Route { accept: Route::accept_anyone(), ..route("GET", "/x") };
    let permit = anonymous(public.clone()).unwrap();
    assert!(permit.principal().is_none());
    assert_eq!(&*permit.route().id, "GET /x");
    let elsewhere = Route { networks: only_from("198.51.100.0/24"), ..public };
    assert_eq!(anonymous(elsewhere).unwrap_err().code(), "source_not_allowed");
}

#[test]
fn a_principal_tells_what_was_proved() {
    let principal =
        resolve(vec![proof(AuthMethod::Bearer), proof(AuthMethod::ApiKey)], Arc::new(client("read"))).unwrap();
    assert_eq!(principal.methods().to_string(), "api_key+bearer");
    assert_eq!(principal.proofs().len(), 2);
    assert_eq!(principal.client().id, "acme-orders");
    assert_eq!(principal.scopes().to_string(), "api/read");
}

#[test]
fn nobody_listens_for_free() {
    struct Counting(usize);
    impl Trace for Counting {
        fn judged(&mut self, _: Stage, _: RuleMode, _: bool, _: impl FnOnce() -> String) {
            self.0 += 1; // the detail is not asked for
        }
    }
    let facts = Facts::read("api_key", "api_key", "any read", "");
    let principal = resolve(facts.proofs, Arc::new(facts.client)).unwrap();
    let mut counting = Counting(0);
    entitle(principal, Arc::new(facts.route), facts.source, &mut counting).unwrap();
    assert_eq!(counting.0, 6);
}

#[test]
fn denials_have_stable_codes_and_tell_when_to_come_back() {
    let detail = String::new;
    let wait = Duration::from_millis(1_500);
    let all = [
        (Denial::NoCredential, "no_credential"),
        (Denial::CredentialUnknown { detail: detail() }, "credential_unknown"),
        (Denial::CredentialExpired { detail: detail() }, "credential_expired"),
        (Denial::CredentialRevoked { detail: detail() }, "credential_revoked"),
        (Denial::CredentialMismatch { detail: detail() }, "credential_mismatch"),
        (Denial::InvalidToken { detail: detail() }, "invalid_token"),
        (Denial::MethodNotAccepted { accepted: vec![], proved: AuthMethodSet::EMPTY }, "method_not_accepted"),
        (Denial::SourceNotAllowed { source: ip(HOME), detail: detail() }, "source_not_allowed"),
        (
            Denial::InsufficientScope { required: ScopeRequirement::None, granted: ScopeSet::default() },
            "insufficient_scope",
        ),
        (Denial::Throttled { retry_after: wait, limits: vec![] }, "throttled"),
        (Denial::QuotaExceeded { retry_after: wait, limits: vec![] }, "quota_exceeded"),
        (Denial::RouteNotFound { detail: detail() }, "route_not_found"),
    ];
    for (denial, code) in all {
        assert_eq!(denial.code(), code);
        assert_eq!(denial.retry_after(), matches!(code, "throttled" | "quota_exceeded").then_some(wait));
    }
}
