//! Standard output, the one place that writes to it.

use std::io::Write;

use clap::ValueEnum;
use serde_json::Value;

use super::error::CliError;
use super::table::{self, Column};
use crate::clock::Clock;

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: exactly one JSON value on standard output.
    Json,
}

/// Where a command's answer goes.
#[derive(Clone)]
pub(super) struct Output {
    format: Format,
    clock: Clock,
    /// Instead of standard output.
    #[cfg(test)]
    memory: Option<std::sync::Arc<std::sync::Mutex<Vec<u8>>>>,
}

impl Output {
    pub(super) fn new(format: Format, clock: Clock) -> Self {
        Self {
            format,
            clock,
            #[cfg(test)]
            memory: None,
        }
    }

    #[cfg(test)]
    pub(super) fn into_memory(mut self, memory: std::sync::Arc<std::sync::Mutex<Vec<u8>>>) -> Self {
        self.memory = Some(memory);
        self
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Items as a table or as an array.
    pub(super) fn items(&self, items: &[Value], columns: &[Column]) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.text(&table::of_items(items, columns, self.clock.now().0)),
            Format::Json => self.json(&Value::Array(items.to_vec())),
        }
    }

    /// One object as lines or as it is.
    pub(super) fn object(&self, object: &Value) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.text(&table::of_object(object, self.clock.now().0)),
            Format::Json => self.json(object),
        }
    }

    /// The answer as JSON if that was asked for, and as this text otherwise.
    pub(super) fn either(&self, answer: &Value, text: impl FnOnce() -> String) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.text(&text()),
            Format::Json => self.json(answer),
        }
    }

    /// A secret alone on standard output, so that `$(…)` takes exactly it; what is said about it goes to standard error.
    pub(super) fn secret(&self, answer: &Value, member: &str, about: impl FnOnce() -> String) -> Result<(), CliError> {
        if self.is_json() {
            return self.json(answer);
        }
        let secret = answer.get(member).and_then(Value::as_str).ok_or_else(|| {
            CliError::new(format!("the server's answer has no {member}: it is of another version than this program"))
        })?;
        self.note(&about());
        self.text(&format!("{secret}\n"))
    }

    pub(super) fn json(&self, value: &Value) -> Result<(), CliError> {
        let mut text = serde_json::to_string_pretty(value).map_err(|error| CliError::new(error.to_string()))?;
        text.push('\n');
        self.text(&text)
    }

    pub(super) fn text(&self, text: &str) -> Result<(), CliError> {
        self.bytes(text.as_bytes())
    }

    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        #[cfg(test)]
        if let Some(memory) = &self.memory {
            memory.lock().expect("no test panics while it writes").extend_from_slice(bytes);
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| CliError::of_output(&error))
    }

    /// To the person, beside the answer: on standard error, and not for programs.
    pub(super) fn note(&self, text: &str) {
        if !self.is_json() {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// To the person and to programs, on standard error.
    pub(super) fn remark(&self, text: &str) {
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    pub(super) fn error(&self, error: &CliError) {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "{error}");
        if self.is_json() {
            let _ = writeln!(stderr, "{}", error.to_json());
        }
    }
}
