//! What may be called: scopes of resource servers, written `identifier/name` as in Cognito.

mod resource_server;
mod set;

use std::sync::Arc;

use crate::text::{InvalidText, checked_text};

pub use resource_server::{
    ADMIN_READ, ADMIN_SCOPES, ADMIN_WRITE, INTROSPECT, RESERVED_RESOURCE_SERVER, ResourceServer, ScopeDefinition,
    is_reserved_scope,
};
pub use set::{MAX_SCOPE_LIST_BYTES, ScopeSet};

/// Longest identifier of a resource server, and longest name of a scope, in bytes (Cognito's limit).
pub const MAX_SCOPE_PART_BYTES: usize = 256;

/// One scope-token (RFC 6749 §3.3) in Cognito's form `identifier/name`.
///
/// The identifier may itself be a URL, so the *last* `/` splits. Scopes are compared whole, byte for byte: no prefix,
/// no case folding, no wildcard, so that `…/hello-worldx` or `…/HELLO-WORLD` is another scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    /// The identifier of the resource server: what stands before the last `/`.
    #[must_use]
    pub fn resource_server(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(identifier, _)| identifier)
    }

    /// The name within the resource server: what stands after the last `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    fn check(text: &str) -> Result<(), InvalidText> {
        let good = text
            .rsplit_once('/')
            .is_some_and(|(identifier, name)| is_resource_server_identifier(identifier) && is_scope_name(name));
        let expected = "identifier/name, each 1 to 256 visible ASCII characters without '\"' and '\\'";
        if good { Ok(()) } else { Err(InvalidText::new("scope", text, expected)) }
    }
}

checked_text!(Scope);

/// 1 to 256 of `[\x21\x23-\x5B\x5D-\x7E]`.
pub(crate) fn is_resource_server_identifier(text: &str) -> bool {
    (1..=MAX_SCOPE_PART_BYTES).contains(&text.len()) && text.bytes().all(is_scope_byte)
}

/// The same without `/`.
pub(crate) fn is_scope_name(text: &str) -> bool {
    is_resource_server_identifier(text) && !text.contains('/')
}

/// RFC 6749 §3.3: `%x21 / %x23-5B / %x5D-7E`. A space or a quote here would let one scope be read as two, or break out
/// of the `scope="…"` of a challenge (RFC 6750 §3).
const fn is_scope_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)
}
