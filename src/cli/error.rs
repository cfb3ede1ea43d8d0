//! Why a command did not do what was asked, as the person at the terminal reads it.

use std::fmt;

use serde_json::{Value, json};

use crate::failure::{Failure, Fault, Refusal};

/// One sentence that says what is wrong and what to do, then details, one a line. Never a secret.
#[derive(Debug)]
pub(super) struct CliError {
    sentence: String,
    details: Vec<String>,
    /// The server's own words, for `--output json`.
    problem: Option<Box<Value>>,
    /// Whoever read our output has gone away; there is nobody to tell.
    reader_gone: bool,
}

impl CliError {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), details: Vec::new(), problem: None, reader_gone: false }
    }

    #[must_use]
    pub(super) fn with_details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    #[must_use]
    pub(super) fn with_problem(mut self, problem: Value) -> Self {
        self.problem = Some(Box::new(problem));
        self
    }

    /// Writing to standard output failed: `… | head` is no failure.
    pub(super) fn of_output(error: &std::io::Error) -> Self {
        let mut described = Self::new(format!("cannot write the output: {error}"));
        described.reader_gone = error.kind() == std::io::ErrorKind::BrokenPipe;
        described
    }

    pub(super) fn is_reader_gone(&self) -> bool {
        self.reader_gone
    }

    /// For `--output json`: the server's problem, or one of the same shape.
    pub(super) fn to_json(&self) -> Value {
        self.problem.as_deref().cloned().unwrap_or_else(
            || json!({"title": "The command failed", "code": "command_failed", "message": self.sentence, "details": self.details}),
        )
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", self.sentence)?;
        self.details.iter().try_for_each(|detail| write!(formatter, "\n  {detail}"))
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.message).with_details(refusal.details)
    }
}

impl From<Fault> for CliError {
    /// Who runs a command here is inside: the inside message is theirs.
    fn from(fault: Fault) -> Self {
        Self::new(fault.inside())
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Fault(fault) => fault.into(),
        }
    }
}
