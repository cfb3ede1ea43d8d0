//! May they, and have they allowance left.

use std::net::IpAddr;
use std::sync::Arc;

use policies::{Entitlement, Permit, Principal, Route, Spend, Trace, UnixSeconds};

use super::Gate;
use super::limits::{quotas_of_request, wait_for_reset};
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

async fn spend(gate: &Gate, entitlement: &Entitlement, now: UnixSeconds) -> Result<Spend, Fault> {
    let client = entitlement.principal().client();
    if let Some(throttle) = client.usage_plan.as_ref().and_then(|plan| plan.throttle)
        && let Err(retry_after) = gate.throttles.spend(&client.id, throttle)
    {
        return Ok(Spend::Throttled { retry_after });
    }
    let asked = quotas_of_request(client, entitlement.route());
    if asked.is_empty() {
        return Ok(Spend::Allowed);
    }
    let standings = gate.quotas.spend(&asked, now).await?;
    let denying = asked.iter().zip(&standings).filter(|(_, standing)| standing.denies());
    let wait = denying.map(|(asked, standing)| wait_for_reset(&asked.subject, standing, now)).max();
    Ok(wait.map_or(Spend::Allowed, |retry_after| Spend::QuotaExceeded { retry_after }))
}
