//! May they, and have they allowance left.

use std::net::IpAddr;
use std::sync::Arc;

use policies::{ClientId, Denial, Entitlement, Permit, Principal, Route, Spend, Trace, UnixSeconds};

use super::Gate;
use super::stop::Stop;
use crate::failure::Fault;

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
    let spend = spend(gate, &entitlement, now).await?;
    Ok(entitlement.admit(spend, trace)?)
}

/// The same for a request that was paid for already: everything is judged again, nothing is spent.
pub(super) fn authorize_again<T: Trace>(
    principal: Principal,
    route: Arc<Route>,
    source: IpAddr,
    trace: &mut T,
) -> Result<Permit, Denial> {
    policies::entitle(principal, route, source, trace)?.admit(Spend::Allowed, trace)
}

async fn spend(gate: &Gate, entitlement: &Entitlement, now: UnixSeconds) -> Result<Spend, Fault> {
    let client = entitlement.principal().client();
    let Some(plan) = &client.usage_plan else { return Ok(Spend::Allowed) };
    if let Some(throttle) = plan.throttle
        && let Err(retry_after) = gate.throttles.spend(&client.id, throttle)
    {
        return Ok(Spend::Throttled { retry_after });
    }
    match &plan.quota {
        Some(quota) => spend_quota(gate, &client.id, quota, now).await,
        None => Ok(Spend::Allowed),
    }
}

async fn spend_quota(
    gate: &Gate,
    client: &ClientId,
    quota: &policies::Quota,
    now: UnixSeconds,
) -> Result<Spend, Fault> {
    Ok(match gate.quotas.spend(client, quota, now).await? {
        None => Spend::Allowed,
        Some(retry_after) => Spend::QuotaExceeded { retry_after },
    })
}
