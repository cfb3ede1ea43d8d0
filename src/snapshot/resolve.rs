//! What a client's or a credential's references mean under a policy.

use std::sync::Arc;

use policies::{Allowlist, Client, Network, PartnerTerms, Policy};

use super::narrowing::scope_set;
use crate::store::client::ClientRow;
use crate::store::partner::PartnerRow;

/// How the network of a CIDR that stands in place of a name is called in explanations.
const LITERAL: &str = "cidr";

/// The client of a row, looked up in the policy.
///
/// # Errors
/// Everything that the row refers to and the policy does not have, one line each.
pub(crate) fn client(policy: &Policy, row: &ClientRow, enabled: bool) -> Result<Client, Vec<String>> {
    let id = row.id.parse().map_err(|error| vec![format!("{error}")])?;
    let partner = row.partner_id.parse().map_err(|error| vec![format!("{error}")])?;
    let scopes = scope_set(&row.scopes);
    // The networks apart: the policy knows their names only, and a row may also hold CIDRs.
    let client = policy.resolve_client(id, partner, enabled, &scopes, &[], row.usage_plan.as_deref());
    let networks = match row.networks.as_slice() {
        [] => Ok(Allowlist::anywhere()),
        names => allowlist(policy, names),
    };
    match (client, networks) {
        (Ok(client), Ok(networks)) => Ok(Client { networks, ..client }),
        (client, networks) => Err(client.err().into_iter().chain(networks.err()).flatten().collect()),
    }
}

/// The terms of a partner's row, looked up in the policy.
///
/// # Errors
/// Everything that the row refers to and the policy does not have, one line each.
pub(crate) fn partner(policy: &Policy, row: &PartnerRow) -> Result<PartnerTerms, Vec<String>> {
    let terms = policy.resolve_partner(&[], row.usage_plan.as_deref());
    let networks = match row.networks.as_slice() {
        [] => Ok(Allowlist::anywhere()),
        names => allowlist(policy, names),
    };
    match (terms, networks) {
        (Ok(terms), Ok(networks)) => Ok(PartnerTerms { networks, ..terms }),
        (terms, networks) => Err(terms.err().into_iter().chain(networks.err()).flatten().collect()),
    }
}

/// Any of these networks; nowhere when the list is empty.
///
/// # Errors
/// Every entry that is neither a network of the policy nor a CIDR.
pub(crate) fn allowlist(policy: &Policy, names: &[String]) -> Result<Allowlist, Vec<String>> {
    let (mut found, mut literals, mut unknown) = (Vec::with_capacity(names.len()), Vec::new(), Vec::new());
    for name in names {
        match (policy.networks.get(name), policies::parse_cidr(name)) {
            (Some(network), _) => found.push(Arc::clone(network)),
            (None, Ok(cidr)) => literals.push(cidr),
            (None, Err(_)) => unknown.push(format!("{name:?} is neither a network of the policy nor a CIDR")),
        }
    }
    if !unknown.is_empty() {
        return Err(unknown);
    }
    // All of them as one network: one search, however many there are.
    if !literals.is_empty() {
        let literals = Network::new(LITERAL, literals, Vec::new()).map_err(|error| vec![error.to_string()])?;
        found.push(Arc::new(literals));
    }
    Ok(Allowlist::of(found))
}
