//! May they call from here? The one place where a source address meets an allowlist, whatever the way of the request: a route, the
//! token endpoint, enrolment and renewal, the control plane, a proxy that asks.

use std::fmt;
use std::net::IpAddr;

use crate::client::Client;
use crate::denial::Denial;
use crate::network::{Allowlist, canonical};
use crate::route::Route;
use crate::rule::{RuleMode, ask};
use crate::trace::{Stage, Trace};

/// The route's own allowlist, judged before any credential is looked at, so that a stranger cannot make us verify
/// signatures.
///
/// # Errors
/// [`Denial::SourceNotAllowed`].
pub fn check_source<T: Trace>(route: &Route, source: IpAddr, trace: &mut T) -> Result<(), Denial> {
    let rule = NetworkRule { networks: &route.networks, mode: route.rules.networks, stage: Stage::RouteNetwork };
    rule.check(source, trace, || format!("route {}", route.id))
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
    let (networks, mode) = (&client.partner_networks, client.rules.partner_networks);
    let rule = NetworkRule { networks, mode, stage: Stage::PartnerNetwork };
    rule.check(source, trace, || format!("partner {}", client.partner))?;
    let (networks, mode) = (&client.networks, client.rules.networks);
    let rule = NetworkRule { networks, mode, stage: Stage::ClientNetwork };
    rule.check(source, trace, || format!("client {}", client.id))?;
    for (credential, networks) in credentials {
        // No document knows credentials, so none can lift this.
        let rule = NetworkRule { networks, mode: RuleMode::Enforce, stage: Stage::CredentialNetwork };
        rule.check(source, trace, || credential.to_string())?;
    }
    Ok(())
}

/// An allowlist, and whether it bites.
struct NetworkRule<'a> {
    networks: &'a Allowlist,
    mode: RuleMode,
    stage: Stage,
}

impl NetworkRule<'_> {
    fn check<T: Trace>(self, source: IpAddr, trace: &mut T, whose: impl Fn() -> String) -> Result<(), Denial> {
        let source = canonical(source);
        let detail = || {
            let verdict = self.networks.verdict(source);
            format!("{} allows {}; called from {source}{verdict}", whose(), self.networks)
        };
        ask(
            self.mode,
            self.stage,
            trace,
            || self.networks.contains(source),
            detail,
            || Denial::SourceNotAllowed { source, detail: detail() },
        )
    }
}
