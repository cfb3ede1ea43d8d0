//! May they, and have they allowance left.

use std::net::IpAddr;
use std::sync::Arc;

use policies::{Denial, Permit, Principal, Route, Spent, Trace, UnixSeconds};

use super::Gate;
use super::stop::Stop;

/// `Principal -> Entitlement -> Permit`. A request that is refused on the way spends nothing.
pub(super) async fn authorize<T: Trace>(
    gate: &Gate,
    principal: Principal,
    route: Arc<Route>,
    source: IpAddr,
    now: UnixSeconds,
    trace: &mut T,
) -> Result<Permit, Stop> {
    let entitlement = policies::entitle(principal, route, source, trace)?;
    let spent = gate.limits.spend(Some(entitlement.principal()), entitlement.route(), now).await?;
    Ok(entitlement.admit(spent, trace)?)
}

/// The same for a request that was paid for already: everything is judged again, nothing is spent.
pub(super) fn authorize_again<T: Trace>(
    principal: Principal,
    route: Arc<Route>,
    source: IpAddr,
    trace: &mut T,
) -> Result<Permit, Denial> {
    policies::entitle(principal, route, source, trace)?.admit(Spent::unlimited(), trace)
}
