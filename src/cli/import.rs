//! Bringing clients, keys and secrets along in bulk: a file is read row by row and sent in parts, so that a million rows take no
//! more memory than a thousand.

mod records;
mod row;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

pub(super) use self::row::{client, key, secret};

use self::records::Records;
use self::row::Row;
use super::context::{Context, Outcome};
use super::error::CliError;
use super::span::Span;

/// Rows in one request: some tens of milliseconds of the server's one writer.
const PART_ROWS: usize = 5_000;
/// Bytes of JSON in one request, about; the server takes 8 MiB.
const PART_BYTES: usize = 4 << 20;
/// How often a person is told how far it got.
const TOLD_EVERY: u64 = 100_000;

/// What every import is asked.
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// CSV with a header line, or JSON lines; - for standard input
    file: PathBuf,
    /// Judge every row and change nothing
    #[arg(long)]
    check: bool,
}

/// What an import of credentials is asked besides.
#[derive(Args, Debug)]
pub(super) struct CredentialImportArgs {
    #[command(flatten)]
    common: ImportArgs,
    /// The client of rows that name none
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// The column that names the client, where it is not called `client`
    #[arg(long, value_name = "COLUMN", conflicts_with = "client")]
    client_from: Option<String>,
    /// How long rows live that have no end of their own: 90d, 52w
    #[arg(long, visible_alias = "ttl", value_name = "TIME")]
    expires_in: Option<Span>,
}

/// What to import, and how a row of it is read.
pub(super) struct Import {
    /// The collection that takes it.
    pub(super) path: &'static str,
    /// The member of the request that holds the rows.
    pub(super) member: &'static str,
    pub(super) read: fn(Row<'_>) -> Result<Option<Value>, String>,
}

/// Imports clients.
pub(super) async fn run(args: ImportArgs, import: Import, context: &Context) -> Result<Outcome, CliError> {
    Running::new(&args, import, row::Defaults::default(), None).run(context).await
}

/// Imports keys or secrets.
pub(super) async fn run_credentials(
    args: CredentialImportArgs,
    import: Import,
    context: &Context,
) -> Result<Outcome, CliError> {
    let defaults =
        row::Defaults { client: args.client, client_from: args.client_from.map(|column| column.to_lowercase()) };
    Running::new(&args.common, import, defaults, args.expires_in).run(context).await
}

struct Running<'a> {
    args: &'a ImportArgs,
    import: Import,
    defaults: row::Defaults,
    ttl: Option<Span>,
    imported: u64,
    unchanged: u64,
    skipped: u64,
}

impl<'a> Running<'a> {
    fn new(args: &'a ImportArgs, import: Import, defaults: row::Defaults, ttl: Option<Span>) -> Self {
        Self { args, import, defaults, ttl, imported: 0, unchanged: 0, skipped: 0 }
    }

    async fn run(mut self, context: &Context) -> Result<Outcome, CliError> {
        let mut records = Records::open(&self.args.file)?;
        let mut api = context.api()?;
        let (mut part, mut bytes, mut first_row, mut told) = (Vec::with_capacity(PART_ROWS), 0, 1, TOLD_EVERY);
        let mut number = 0;
        loop {
            let record = records.next().transpose().map_err(|error| self.stopped(error))?;
            let ended = record.is_none();
            if let Some(fields) = record {
                number += 1;
                let read = (self.import.read)(Row::new(fields, &self.defaults));
                match read.map_err(|fault| self.stopped(CliError::new(format!("row {number}: {fault}"))))? {
                    Some(row) => {
                        bytes += row.to_string().len();
                        part.push(row);
                    }
                    // The rows of a part are numbered one after another.
                    None => {
                        self.skipped += 1;
                        self.send(&mut api, &mut part, first_row).await?;
                        (bytes, first_row) = (0, number + 1);
                    }
                }
            }
            if ended || part.len() >= PART_ROWS || bytes >= PART_BYTES {
                self.send(&mut api, &mut part, first_row).await?;
                (bytes, first_row) = (0, number + 1);
            }
            if number >= told {
                context.output.note(&format!("{number} rows read"));
                told += TOLD_EVERY;
            }
            if ended {
                break;
            }
        }
        if number == 0 {
            return Err(CliError::new(format!("{} has no rows", self.args.file.display())));
        }
        let answer = json!({
            "imported": self.imported, "unchanged": self.unchanged, "skipped": self.skipped, "checked_only": self.args.check,
        });
        context.output.either(&answer, || self.told())?;
        Ok(Outcome::Done)
    }

    async fn send(
        &mut self,
        api: &mut super::admin_api::AdminApi,
        part: &mut Vec<Value>,
        first_row: u64,
    ) -> Result<(), CliError> {
        if part.is_empty() {
            return Ok(());
        }
        let mut body = Map::new();
        body.insert(self.import.member.to_owned(), Value::Array(std::mem::take(part)));
        body.insert("first_row".to_owned(), json!(first_row));
        if self.args.check {
            body.insert("check_only".to_owned(), json!(true));
        }
        if let Some(ttl) = self.ttl {
            body.insert("ttl_seconds".to_owned(), json!(ttl.seconds()));
        }
        let answer = api.post(&format!("{}/import", self.import.path), &Value::Object(body)).await;
        let answer = answer.map_err(|error| self.stopped(error))?;
        self.imported += answer["imported"].as_u64().unwrap_or(0);
        self.unchanged += answer["unchanged"].as_u64().unwrap_or(0);
        Ok(())
    }

    fn told(&self) -> String {
        let verb = if self.args.check { "would be imported" } else { "imported" };
        let mut text = format!("{} {verb}, {} there already", self.imported, self.unchanged);
        if self.skipped > 0 {
            text += &format!(", {} left out because they are disabled", self.skipped);
        }
        text + "\n"
    }

    /// What has come in stays: say so.
    fn stopped(&self, error: CliError) -> CliError {
        let done = self.imported + self.unchanged;
        if self.args.check || done == 0 {
            return error;
        }
        error.with_details([format!(
            "The {done} rows before are imported. Correct the file and run the same again: they then count as there already."
        )])
    }
}
