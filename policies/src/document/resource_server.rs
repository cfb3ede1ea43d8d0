//! `[[resource_server]]`

use super::build::Builder;
use super::fault::{At, Faults};
use super::reader::{Fields, Text, Value};
use crate::scope::{
    RESERVED_RESOURCE_SERVER, ResourceServer, ScopeDefinition, is_resource_server_identifier, is_scope_name,
};

/// Most scopes of one resource server (Cognito allows 100).
pub const MAX_SCOPES_PER_RESOURCE_SERVER: usize = 1_000;

pub(super) fn read<'d>(mut fields: Fields<'d>, builder: &mut Builder<'d>) {
    let faults = &mut builder.faults;
    let identifier = fields.required("identifier").and_then(|value| value.string(faults));
    let name = fields.optional("name").and_then(|value| value.prose(faults));
    let elements = fields.required("scopes").and_then(|value| {
        let at = value.at;
        let elements = value.elements(faults)?;
        if elements.len() > MAX_SCOPES_PER_RESOURCE_SERVER {
            faults.add(at, format!("more than {MAX_SCOPES_PER_RESOURCE_SERVER} scopes"));
            return None;
        }
        Some(elements)
    });
    fields.finish(faults);

    let is_readable = elements.is_some();
    let count = elements.as_ref().map_or(0, Vec::len);
    let elements = elements.into_iter().flatten();
    let scopes: Vec<_> = elements.filter_map(|element| scope(element, faults)).collect();

    let Some(identifier) = identifier else { return };
    if identifier.text == RESERVED_RESOURCE_SERVER {
        faults.add(identifier.at, format!("{RESERVED_RESOURCE_SERVER:?} is built in and cannot be declared"));
        builder.unreadable_scopes(identifier.text);
        return;
    }
    let is_good = is_resource_server_identifier(identifier.text);
    if !is_good {
        let expected = "1 to 256 visible ASCII characters without '\"' and '\\'";
        faults.add(identifier.at, format!("{:?} is not an identifier: {expected}", identifier.text));
    }
    if !builder.declare("resource_server", identifier.text, identifier.at) {
        return;
    }
    if !is_readable || scopes.len() < count {
        builder.unreadable_scopes(identifier.text);
    }
    let mut server = ResourceServer {
        identifier: identifier.text.to_owned(),
        name: name.unwrap_or_else(|| identifier.text.to_owned()),
        scopes: Vec::with_capacity(scopes.len()),
    };
    for (scope, at) in scopes {
        if !is_good || !is_scope_name(&scope.name) {
            builder.misname("scope", format!("{}/{}", identifier.text, scope.name));
        } else if builder.declare_scope(identifier.text, &scope.name, at) {
            server.scopes.push(scope);
        } else {
            builder.faults.add(at, format!("scope {:?} is declared twice", scope.name));
        }
    }
    if is_good {
        builder.policy.resource_servers.push(server);
    }
}

/// A scope and where its name stands. A faulty one is returned too if it has a name: what refers to it is not a second
/// fault.
fn scope<'d>(element: Value<'d>, faults: &mut Faults<'d>) -> Option<(ScopeDefinition, At)> {
    let bare_name = element.as_text();
    let Some(mut fields) = element.table("a scope", faults) else {
        return bare_name.map(|name| definition(name, None));
    };
    let name = fields.required("name").and_then(|value| value.string(faults));
    let description = fields.optional("description").and_then(|value| value.prose(faults));
    fields.finish(faults);
    let name = name?;
    if !is_scope_name(name.text) {
        let expected = "1 to 256 visible ASCII characters without '/', '\"' and '\\'";
        faults.add(name.at, format!("{:?} is not a scope name: {expected}", name.text));
    }
    Some(definition(name, description))
}

fn definition(name: Text<'_>, description: Option<String>) -> (ScopeDefinition, At) {
    let scope = ScopeDefinition { name: name.text.to_owned(), description: description.unwrap_or_default() };
    (scope, name.at)
}
