//! `Principal → Entitlement → Permit`: may this principal do this, from here, now?

use std::net::IpAddr;
use std::sync::Arc;

use crate::credential::{CredentialStatus, Proof};
use crate::denial::{Denial, alternatives};
use crate::limit::{LimitKind, Spent};
use crate::principal::Principal;
use crate::route::Route;
use crate::rule::{RuleMode, ask};
use crate::source::{check_caller, check_source};
use crate::trace::{Stage, Trace};

/// Allowed in principle: method, network, status and scope are good; the allowance is still to be spent.
///
/// Only [`entitle`] makes one:
///
/// ```compile_fail,E0451
/// # fn forge(principal: policies::Principal, route: std::sync::Arc<policies::Route>) -> policies::Entitlement {
/// policies::Entitlement { principal, route }
/// # }
/// ```
#[derive(Debug)]
pub struct Entitlement {
    principal: Principal,
    route: Arc<Route>,
}

/// Allowed now: the capability that every action takes by value. No permit, no action.
///
/// It has no public constructor; only [`Entitlement::admit`] and [`admit_public`] make one, and it is neither `Clone`
/// nor `Copy`, so one decision lets one request through:
///
/// ```compile_fail,E0451
/// # fn forge(route: std::sync::Arc<policies::Route>) -> policies::Permit {
/// policies::Permit { principal: None, route, spent: policies::Spent::unlimited() }
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # fn twice(permit: policies::Permit) -> (policies::Permit, policies::Permit) {
/// (permit.clone(), permit)
/// # }
/// ```
#[derive(Debug)]
pub struct Permit {
    principal: Option<Principal>,
    route: Arc<Route>,
    spent: Spent,
}

/// Judges `principal` on `route`, in the order of the house: accepted methods, the allowlists of the
/// partner, the client and each credential, status of the client and of each credential, scopes. The first step that fails names the
/// denial.
///
/// The route's allowlist is asked once more before all, in silence unless it fails: whoever forgets [`check_source`] is
/// closed, not open.
///
/// # Errors
/// `SourceNotAllowed`, `MethodNotAccepted`, `CredentialRevoked`, `CredentialExpired` or `InsufficientScope`.
pub fn entitle<T: Trace>(
    principal: Principal,
    route: Arc<Route>,
    source: IpAddr,
    trace: &mut T,
) -> Result<Entitlement, Denial> {
    check_source_again(&route, source, trace)?;
    check_methods(&principal, &route, trace)?;
    let client = principal.client();
    let narrowed = principal.proofs().iter().filter_map(|proof| Some((&proof.credential, proof.networks.as_ref()?)));
    check_caller(client, narrowed, source, trace)?;
    check_client(&principal, trace)?;
    for proof in principal.proofs() {
        check_status(proof, trace)?;
    }
    check_scopes(&principal, &route, trace)?;
    Ok(Entitlement { principal, route })
}

/// Lets an anonymous request through to a public route, once the route's own limits have been asked.
///
/// # Errors
/// [`Denial::NoCredential`] if the route is not public, [`Denial::SourceNotAllowed`] outside its allowlist,
/// [`Denial::Throttled`] or [`Denial::QuotaExceeded`] beyond its limits.
pub fn admit_public<T: Trace>(
    route: Arc<Route>,
    source: IpAddr,
    spent: Spent,
    trace: &mut T,
) -> Result<Permit, Denial> {
    check_source_again(&route, source, trace)?;
    let public = route.is_public();
    trace.step(Stage::Methods, public, || format!("nothing proved, accepted: {}", alternatives(&route.accept)));
    if !public {
        return Err(Denial::NoCredential);
    }
    let spent = check_limits(spent, trace)?;
    Ok(Permit { principal: None, route, spent })
}

impl Entitlement {
    /// Who.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The last step, once the allowance has been asked.
    ///
    /// # Errors
    /// [`Denial::Throttled`] or [`Denial::QuotaExceeded`].
    pub fn admit<T: Trace>(self, spent: Spent, trace: &mut T) -> Result<Permit, Denial> {
        let spent = check_limits(spent, trace)?;
        Ok(Permit { principal: Some(self.principal), route: self.route, spent })
    }
}

impl Permit {
    /// Who; `None` for an anonymous call of a public route.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// What.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// What was spent: how every limit stood that the request was counted against.
    #[must_use]
    pub fn spent(&self) -> &Spent {
        &self.spent
    }
}

/// Some alternative must be a subset of what was proved. More than asked for is fine: it has already had to name the
/// same client, and can only narrow.
fn check_methods<T: Trace>(principal: &Principal, route: &Route, trace: &mut T) -> Result<(), Denial> {
    let proved = principal.methods();
    ask(
        route.rules.methods,
        Stage::Methods,
        trace,
        || route.accept.iter().any(|alternative| proved.is_superset(*alternative)),
        || format!("proved {proved}, accepted: {}", alternatives(&route.accept)),
        || Denial::MethodNotAccepted { accepted: route.accept.clone(), proved },
    )
}

/// The second lock: silent unless it fails.
fn check_source_again<T: Trace>(route: &Route, source: IpAddr, trace: &mut T) -> Result<(), Denial> {
    if route.rules.networks != RuleMode::Enforce || route.networks.contains(source) {
        return Ok(());
    }
    check_source(route, source, trace)
}

/// A disabled client, or one of a disabled partner, has no live credential at all.
fn check_client<T: Trace>(principal: &Principal, trace: &mut T) -> Result<(), Denial> {
    let client = principal.client();
    let state = if client.enabled { "enabled" } else { "disabled" };
    let detail = || format!("client {} of partner {} is {state}", client.id, client.partner);
    trace.step(Stage::Status, client.enabled, detail);
    if client.enabled { Ok(()) } else { Err(Denial::CredentialRevoked { detail: detail() }) }
}

fn check_status<T: Trace>(proof: &Proof, trace: &mut T) -> Result<(), Denial> {
    let detail = || {
        let state = match proof.status {
            CredentialStatus::Active => "active",
            CredentialStatus::NotYetValid => "not yet valid",
            CredentialStatus::Expired => "expired",
            CredentialStatus::Revoked => "revoked",
        };
        format!("{} is {state}", proof.credential)
    };
    trace.step(Stage::Status, proof.status == CredentialStatus::Active, detail);
    match proof.status {
        CredentialStatus::Active => Ok(()),
        CredentialStatus::NotYetValid | CredentialStatus::Expired => {
            Err(Denial::CredentialExpired { detail: detail() })
        }
        CredentialStatus::Revoked => Err(Denial::CredentialRevoked { detail: detail() }),
    }
}

fn check_scopes<T: Trace>(principal: &Principal, route: &Route, trace: &mut T) -> Result<(), Denial> {
    let granted = principal.scopes();
    ask(
        route.rules.scopes,
        Stage::Scopes,
        trace,
        || route.scopes.is_met(granted),
        || format!("required {}, granted: {granted}", route.scopes),
        || Denial::InsufficientScope { required: route.scopes.clone(), granted: granted.clone() },
    )
}

/// One step for each limit; the first kind of limit that says no names the denial, and all that said no decide how long to wait.
fn check_limits<T: Trace>(spent: Spent, trace: &mut T) -> Result<Spent, Denial> {
    let violated = || spent.limits().iter().filter(|limit| limit.is_violated());
    let Some(first) = violated().map(|limit| limit.kind).min_by_key(|kind| *kind as u8) else {
        trace_limits(&spent, trace);
        return Ok(spent);
    };
    trace_limits(&spent, trace);
    let retry_after = violated().map(|limit| limit.retry_after).max().unwrap_or_default();
    let limits = spent.into_limits();
    Err(match first {
        LimitKind::Throttle => Denial::Throttled { retry_after, limits },
        LimitKind::Quota => Denial::QuotaExceeded { retry_after, limits },
    })
}

fn trace_limits<T: Trace>(spent: &Spent, trace: &mut T) {
    for (kind, stage) in [(LimitKind::Throttle, Stage::Throttle), (LimitKind::Quota, Stage::Quota)] {
        let mut limits = spent.limits().iter().filter(|limit| limit.kind == kind).peekable();
        if limits.peek().is_none() {
            trace.step(stage, true, || format!("no {}", kind.as_str()));
        }
        for limit in limits {
            trace.judged(stage, limit.mode, limit.passed, || limit.to_string());
        }
        if spent.limits().iter().any(|limit| limit.kind == kind && limit.is_violated()) {
            return;
        }
    }
}
