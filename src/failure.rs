//! What can go wrong with a request that is not a [`policies::Denial`]: the caller asked for something that cannot be
//! done ([`Refusal`]), or we failed ([`Fault`]). Only the edge turns either into HTTP.

use std::fmt;

/// Our failure. Always 5xx, always closed. The inside message goes to the log, the outside one to the caller.
#[derive(Debug)]
pub struct Fault {
    inside: String,
    outside: &'static str,
}

impl Fault {
    /// `inside` may name files, tables and causes; never a secret.
    pub fn new(inside: impl Into<String>) -> Self {
        Self { inside: inside.into(), outside: "The server could not do this. Try again later." }
    }

    /// A fault with its own plain sentence for the caller.
    pub fn with_outside(inside: impl Into<String>, outside: &'static str) -> Self {
        Self { inside: inside.into(), outside }
    }

    /// Adds what was being done when it happened.
    #[must_use]
    pub fn context(mut self, doing: &str) -> Self {
        self.inside = format!("{doing}: {}", self.inside);
        self
    }

    /// For the log.
    pub fn inside(&self) -> &str {
        &self.inside
    }

    /// For the caller.
    pub fn outside(&self) -> &'static str {
        self.outside
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.inside)
    }
}

impl std::error::Error for Fault {}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::new(format!("database: {error}"))
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::new(format!("input/output: {error}"))
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format!("JSON: {error}"))
    }
}

/// What kind of refusal; the admin edge maps it to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The input is not acceptable (422).
    Invalid,
    /// There is no such thing (404).
    NotFound,
    /// It contradicts what stands (409).
    Conflict,
    /// Managed elsewhere, or not allowed (403).
    Forbidden,
    /// More than is done at a time; later it may be (429).
    TooMany,
    /// A credential that is shown here and nowhere else is not good (401): the token of an enrolment.
    Unauthorized,
}

/// The caller asked for something that cannot be done. Nothing was changed.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub kind: RefusalKind,
    /// Stable, snake_case: `client_not_found`, `weak_key`.
    pub code: &'static str,
    /// Says what is wrong and what to do about it. No secrets.
    pub message: String,
    /// One line for each further fault (a policy document's, say).
    pub details: Vec<String>,
}

impl Refusal {
    pub fn new(kind: RefusalKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), details: Vec::new() }
    }

    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Invalid, code, message)
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotFound, code, message)
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Conflict, code, message)
    }

    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Forbidden, code, message)
    }

    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Unauthorized, code, message)
    }

    #[must_use]
    pub fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// How a life-cycle operation ends when it does not succeed.
#[derive(Debug)]
pub enum Failure {
    Refused(Refusal),
    Fault(Fault),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(formatter),
            Self::Fault(fault) => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<E: Into<Fault>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}
