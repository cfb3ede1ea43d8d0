mod anchors;
mod folder;
mod ocsp;
mod plain_http;
mod reach;
mod server;

use clap::Args;
use serde_json::{Value, json};

use super::context::{Context, Outcome};
use super::error::CliError;
use super::moment;
use super::table::{self, Column};

const DAY: i64 = 86_400;
const COLUMNS: [Column; 3] =
    [Column::field("RESULT", "level"), Column::field("CHECK", "id"), Column::field("FINDING", "message")];

/// Look for what will go wrong: files, expiries, revocation lists, clocks; exit 1 when something has gone wrong already
///
/// Without a server only the files are looked at.
#[derive(Args, Debug)]
#[command(after_help = "EXAMPLES:\n  portcullis doctor\n  portcullis doctor --data /var/lib/portcullis --output json")]
pub(super) struct DoctorArgs {}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line: what was looked at, and what to do.
#[derive(Debug)]
struct Finding {
    check: &'static str,
    level: Level,
    message: String,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, message: message.into() }
    }

    fn warn(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, message: message.into() }
    }

    fn fail(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, message: message.into() }
    }

    /// What ends at `not_after`: fine, soon to be renewed (within `notice_days`), or over.
    fn expiry(check: &'static str, what: &str, not_after: i64, now: i64, notice_days: i64, remedy: &str) -> Self {
        let end = moment::with_distance(not_after, now);
        if not_after < now {
            Self::fail(check, format!("{what} expired at {end}: {remedy}"))
        } else if not_after < now.saturating_add(notice_days * DAY) {
            Self::warn(check, format!("{what} expires at {end}: {remedy}"))
        } else {
            Self::ok(check, format!("{what} expires at {end}"))
        }
    }

    fn to_json(&self) -> Value {
        json!({"id": self.check, "level": self.level.as_str(), "message": self.message})
    }
}

fn in_one_line(error: &CliError) -> String {
    error.to_string().replacen("error: ", "", 1).replace("\n  ", "; ")
}

pub(super) async fn run(DoctorArgs {}: DoctorArgs, context: &Context) -> Result<Outcome, CliError> {
    let mut findings = Vec::new();
    if let Some(data) = context.global.data() {
        findings.extend(folder::look(&data, context.now()));
    }
    match context.api() {
        Ok(api) => findings.extend(server::look(api, context.now()).await),
        Err(error) => findings.push(Finding::fail("server", in_one_line(&error))),
    }
    let lines: Vec<Value> = findings.iter().map(Finding::to_json).collect();
    match context.output.is_json() {
        true => context.output.json(&Value::Array(lines))?,
        false => context.output.text(&table::of_items(&lines, &COLUMNS, context.now()))?,
    }
    let worst = findings.iter().map(|finding| finding.level).max();
    Ok(if worst == Some(Level::Fail) { Outcome::Refused } else { Outcome::Done })
}
