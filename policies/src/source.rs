//! May they call from here? The one place where a source address meets an allowlist, whatever the way of the request: a route, the
//! token endpoint, enrolment and renewal, the control plane, a proxy that asks.

use std::fmt;
use std::net::IpAddr;

use crate::client::Client;
use crate::denial::Denial;
use crate::network::{Allowlist, canonical};
use crate::route::Route;
use crate::trace::{Stage, Trace};

/// The route's own allowlist, judged before any credential is looked at, so that a stranger cannot make us verify
/// signatures.
///
/// # Errors
/// [`Denial::SourceNotAllowed`].
pub fn check_source<T: Trace>(route: &Route, source: IpAddr, trace: &mut T) -> Result<(), Denial> {
    check_network(&route.networks, source, Stage::RouteNetwork, trace, || format!("route {}", route.id))
}

/// The allowlists of whoever calls: the partner's, the client's, and that of each credential that is narrowed. All must hold the
/// address; the first that does not names the denial.
///
/// # Errors
/// [`Denial::SourceNotAllowed`].
pub fn check_caller<'a, C: fmt::Display + 'a, T: Trace>(
    client: &Client,
    credentials: impl IntoIterator<Item = (C, &'a Allowlist)>,
    source: IpAddr,
    trace: &mut T,
) -> Result<(), Denial> {
    let partner = || format!("partner {}", client.partner);
    check_network(&client.partner_networks, source, Stage::PartnerNetwork, trace, partner)?;
    check_network(&client.networks, source, Stage::ClientNetwork, trace, || format!("client {}", client.id))?;
    for (credential, networks) in credentials {
        check_network(networks, source, Stage::CredentialNetwork, trace, || credential.to_string())?;
    }
    Ok(())
}

fn check_network<T: Trace>(
    networks: &Allowlist,
    source: IpAddr,
    stage: Stage,
    trace: &mut T,
    whose: impl Fn() -> String,
) -> Result<(), Denial> {
    let source = canonical(source);
    let passed = networks.contains(source);
    let detail = || format!("{} allows {networks}; called from {source}", whose());
    trace.step(stage, passed, detail);
    if passed { Ok(()) } else { Err(Denial::SourceNotAllowed { source, detail: detail() }) }
}
