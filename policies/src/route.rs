//! What can be called, and what it takes.

mod action;
mod path;
mod table;

use std::fmt;
use std::sync::Arc;

use crate::method::AuthMethodSet;
use crate::network::Allowlist;
use crate::plan::Throttle;
use crate::rule::RouteRules;
use crate::scope::ScopeSet;

pub use action::{
    Action, DEFAULT_CONNECT_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS, MAX_CONNECT_TIMEOUT_SECONDS, MAX_MOCK_BODY_BYTES,
    MAX_MOCK_HEADERS, MAX_TIMEOUT_SECONDS, Mock, Proxy,
};
pub(crate) use action::{check_mock_header, check_mock_status};
pub(crate) use path::check_pattern;
pub use path::{MAX_PATH_BYTES, MAX_PATH_PARAMETERS};
pub(crate) use table::check_method;
pub use table::{MAX_ROUTES, RouteFault, RouteTable};

/// One operation: methods and path, what a caller must show, and what happens then.
///
/// Checked when it enters a [`RouteTable`].
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `GET /test/hello-world`, or the `name` it was given. Unique; stands in metrics and audit records.
    pub id: Arc<str>,
    /// Upper-case methods (RFC 9110 §9). GET answers HEAD too.
    pub methods: Vec<String>,
    /// Path pattern: `/a/{id}` takes one segment, `/b/{*rest}` one or more.
    pub path: String,
    /// Alternatives, each a set of methods to be proved together (OpenAPI's Security Requirement Object).
    ///
    /// As in OpenAPI, the one empty set makes the route public; an empty *list* accepts nobody.
    pub accept: Vec<AuthMethodSet>,
    /// Scopes to be held.
    pub scopes: ScopeRequirement,
    /// From where it may be called, whoever calls.
    pub networks: Allowlist,
    /// How fast it may be called, by all callers together.
    pub throttle: Option<Throttle>,
    /// Which of the rules above bite.
    pub rules: RouteRules,
    /// The listeners it is served on; `None` is all.
    pub listeners: Option<Vec<String>>,
    /// How refusals look.
    pub errors: ErrorStyle,
    /// What happens when all is well.
    pub action: Action,
    /// One line for the API's documentation.
    pub summary: Option<String>,
    /// More of it; may be CommonMark.
    pub description: Option<String>,
}

impl Route {
    /// What `accept` of a public route holds.
    #[must_use]
    pub fn accept_anyone() -> Vec<AuthMethodSet> {
        vec![AuthMethodSet::EMPTY]
    }

    /// The id of a route that was given no name: `GET,POST /orders`.
    #[must_use]
    pub fn default_id(methods: &[String], path: &str) -> Arc<str> {
        Arc::from(format!("{} {path}", methods.join(",")))
    }

    /// Whether it may be called without any credential.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.accept.iter().any(|alternative| alternative.is_empty())
    }

    /// Whether it is served on `listener`.
    #[must_use]
    pub fn is_on(&self, listener: &str) -> bool {
        self.listeners.as_ref().is_none_or(|listeners| listeners.iter().any(|name| name == listener))
    }
}

/// The scopes a route asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ScopeRequirement {
    /// None: any client that proves an accepted method.
    #[default]
    None,
    /// At least one of these (what API Gateway does).
    Any(ScopeSet),
    /// Every one of these.
    All(ScopeSet),
}

impl ScopeRequirement {
    /// Whether `granted` is enough. `Any` of nothing is never met, and neither is `All` of nothing: a requirement that
    /// lost its last scope closes instead of opening.
    #[must_use]
    pub fn is_met(&self, granted: &ScopeSet) -> bool {
        match self {
            Self::None => true,
            Self::Any(scopes) => scopes.intersects(granted),
            Self::All(scopes) => !scopes.is_empty() && scopes.is_subset(granted),
        }
    }

    /// The scopes it names.
    #[must_use]
    pub fn scopes(&self) -> Option<&ScopeSet> {
        match self {
            Self::None => None,
            Self::Any(scopes) | Self::All(scopes) => Some(scopes),
        }
    }
}

impl fmt::Display for ScopeRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no scope"),
            Self::Any(scopes) => write!(f, "any of: {scopes}"),
            Self::All(scopes) => write!(f, "all of: {scopes}"),
        }
    }
}

/// How refusals look to the caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ErrorStyle {
    /// `application/problem+json` (RFC 9457) with RFC 6750 challenges.
    #[default]
    Standard,
    /// The bodies and statuses of API Gateway.
    Aws,
}

impl ErrorStyle {
    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Aws => "aws",
        }
    }
}

impl fmt::Display for ErrorStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
