//! Which throttles a request is counted against: one list for the gate, for `explain` and for the documentation.

use super::LimitSubject;
use crate::credential::{CredentialKind, Proof};
use crate::plan::{Throttle, UsagePlan};
use crate::principal::Principal;
use crate::route::Route;
use crate::rule::RuleMode;

/// One throttle of a request and the bucket it counts in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThrottleRule<'a> {
    /// As callers see it.
    pub name: &'static str,
    /// Whose requests it counts together.
    pub subject: LimitSubject,
    /// What names the bucket together with `subject` and the throttle's mode. Not the plan: a client that is moved to another plan
    /// takes along what it has spent.
    pub whom: [&'a str; 3],
    /// How fast.
    pub throttle: Throttle,
}

/// Calls `each` with every throttle that a request of `principal` (`None`: of nobody, on a public route) on `route` is counted
/// against. Those that are off are left out.
pub fn throttle_rules<'a>(principal: Option<&'a Principal>, route: &'a Route, mut each: impl FnMut(ThrottleRule<'a>)) {
    let mut add = |name, subject, whom, throttle: Option<Throttle>| {
        if let Some(throttle) = throttle.filter(|throttle| throttle.mode != RuleMode::Off) {
            each(ThrottleRule { name, subject, whom, throttle });
        }
    };
    let client = principal.map(Principal::client);
    let plan = client.and_then(|client| client.usage_plan.as_deref());
    if let (Some(principal), Some(client)) = (principal, client) {
        if let Some(throttle) = plan.and_then(|plan| plan.credential_throttle) {
            for proof in principal.proofs() {
                let (name, id) = credential(proof);
                add(
                    name,
                    LimitSubject::Credential,
                    [client.id.as_str(), proof.credential.kind.as_str(), id],
                    Some(throttle),
                );
            }
        }
        let throttle = plan.and_then(|plan| plan.throttle);
        add("burst", LimitSubject::Client, [client.id.as_str(), "", ""], throttle);
        let throttle = client.partner_usage_plan.as_deref().and_then(|plan| plan.throttle);
        add("partner-burst", LimitSubject::Partner, [client.partner.as_str(), "", ""], throttle);
    }
    match (client, plan.and_then(|plan| override_of(plan, route))) {
        (Some(client), Some(throttle)) => {
            add("route-burst", LimitSubject::ClientRoute, [client.id.as_str(), &route.id, ""], Some(throttle));
        }
        _ => add("route-burst", LimitSubject::Route, [&route.id, "", ""], route.throttle),
    }
}

fn override_of(plan: &UsagePlan, route: &Route) -> Option<Throttle> {
    if plan.routes.is_empty() { None } else { plan.routes.get(&route.id)?.throttle }
}

/// What a credential's bucket is called, and what tells it from others of its kind. The tokens of a client have one bucket: it may fetch
/// as many as it likes, and each would bring a new burst.
fn credential(proof: &Proof) -> (&'static str, &str) {
    match proof.credential.kind {
        CredentialKind::ClientCertificate => ("certificate-burst", &proof.credential.id),
        CredentialKind::ApiKey => ("key-burst", &proof.credential.id),
        CredentialKind::ClientSecret => ("secret-burst", &proof.credential.id),
        CredentialKind::AccessToken => ("token-burst", ""),
    }
}
