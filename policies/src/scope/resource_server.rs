//! A protected API and the scopes it knows.

use serde::{Deserialize, Serialize};

/// The identifier of Portcullis's own admin API. Its scopes may be granted, but no document may declare it: a document
/// that could redefine `portcullis/admin.write` would rewrite who is an administrator.
pub const RESERVED_RESOURCE_SERVER: &str = "portcullis";

/// May read everything in the admin API.
pub const ADMIN_READ: &str = "portcullis/admin.read";

/// May change everything in the admin API.
pub const ADMIN_WRITE: &str = "portcullis/admin.write";

/// May ask the introspection endpoint about the tokens of other clients (RFC 7662 §2.1).
pub const INTROSPECT: &str = "portcullis/introspect";

/// All scopes of the admin API, whole.
pub const ADMIN_SCOPES: [&str; 2] = [ADMIN_READ, ADMIN_WRITE];

/// Whether `scope` is built in: one of the [`ADMIN_SCOPES`], or [`INTROSPECT`].
#[must_use]
pub fn is_reserved_scope(scope: impl AsRef<str>) -> bool {
    ADMIN_SCOPES.contains(&scope.as_ref()) || scope.as_ref() == INTROSPECT
}

/// A protected API (RFC 6749 §1.1) with the scopes it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceServer {
    /// Often the URL of the API; the part of each scope before its last `/`.
    pub identifier: String,
    /// For people.
    pub name: String,
    /// What can be asked for.
    pub scopes: Vec<ScopeDefinition>,
}

/// One scope of a resource server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeDefinition {
    /// The part of the scope after its last `/`.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
}
