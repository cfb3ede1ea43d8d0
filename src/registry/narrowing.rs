//! What a credential may be narrowed to.

use policies::{ClientId, ScopeSet};

use crate::failure::Refusal;
use crate::snapshot::{PolicyView, resolve};
use crate::store::client::ClientRow;

use super::{bounds, client};

/// Checks what a new credential of `row` is narrowed to. Scopes must be some of the client's: the gate would ignore others, and
/// whoever asked for them would believe they were granted. Networks must exist; the client's own still apply beside them.
///
/// # Errors
/// A refusal that says what is wrong; an empty list is one, since it would make a credential that nobody can use.
pub fn check_narrowing(
    view: &PolicyView,
    row: &ClientRow,
    scopes: Option<&[String]>,
    networks: Option<&[String]>,
) -> Result<(), Refusal> {
    if scopes.is_none() && networks.is_none() {
        return Ok(());
    }
    let id = row.id.parse().map_err(|error| Refusal::invalid("invalid_client_id", format!("{error}.")))?;
    check_narrowing_of(view, &id, &client::scope_set(&row.scopes)?, scopes, networks)
}

/// The same for the client `id` that holds `granted`.
pub(super) fn check_narrowing_of(
    view: &PolicyView,
    id: &ClientId,
    granted: &ScopeSet,
    scopes: Option<&[String]>,
    networks: Option<&[String]>,
) -> Result<(), Refusal> {
    if let Some(scopes) = scopes {
        bounds::list("scopes", scopes, bounds::SCOPES_MAX)?;
        not_empty("scopes", scopes)?;
        let asked = client::scope_set(scopes)?;
        let beyond: Vec<String> =
            asked.iter().filter(|scope| !granted.contains(scope)).map(ToString::to_string).collect();
        if !beyond.is_empty() {
            let message = format!("A credential can only narrow what its client {} may do. It may not:", id);
            return Err(Refusal::invalid("scope_not_granted", message).with_details(beyond));
        }
    }
    if let Some(networks) = networks {
        bounds::list("networks", networks, bounds::NETWORKS_MAX)?;
        not_empty("networks", networks)?;
        if let Err(unknown) = resolve::allowlist(&view.policy, networks) {
            let message = "The policy in force does not have these networks.";
            return Err(Refusal::invalid("unknown_network", message).with_details(unknown));
        }
    }
    Ok(())
}

fn not_empty(what: &str, list: &[String]) -> Result<(), Refusal> {
    if list.is_empty() {
        let message = format!("The list of {what} is empty. Leave it out for a credential that is not narrowed.");
        return Err(Refusal::invalid("list_empty", message));
    }
    Ok(())
}
