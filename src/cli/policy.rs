mod check;
mod documents;
mod explain;
mod plan;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use policies::Document;
use serde_json::{Value, json};

use self::documents::Documents;
use super::context::{Context, Outcome, body};
use super::error::CliError;
use super::files::{self, Readers};
use super::listing::{self, Limit};
use super::query::Query;
use super::table::{self, Column};

const PATH: &str = "/v1/policies";
const COLUMNS: [Column; 5] = [
    Column::field("VERSION", "id"),
    Column::time("APPLIED", "applied_at", "-"),
    Column::field("BY", "applied_by"),
    Column::field("RESTORES", "restored"),
    Column::field("COMMENT", "comment"),
];

/// The policy: documents in TOML, versions in the server
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis policy check policies\n  portcullis policy plan policies\n  portcullis policy apply policies --comment 'Let Beta in'\n  portcullis policy explain GET /test/hello-world --client acme-orders --presents api_key"
)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Check documents offline; every fault with its file, line and column, and what is probably not meant
    ///
    /// Warnings are of documents without faults: rules that nobody can pass, things that nobody uses, patterns that take from one
    /// another. With --data the listeners of that installation are known too.
    #[command(
        after_help = "EXAMPLES:\n  portcullis policy check portcullis-demo/policies\n  portcullis policy check routes.toml clients.toml --deny-warnings"
    )]
    Check {
        /// Folders (their *.toml, by name) and files, together one policy
        #[arg(required = true, value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
        /// Exit with 1 if there is a warning, too
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Show what would change if these documents were applied
    #[command(after_help = "EXAMPLE:\n  portcullis policy plan portcullis-demo/policies")]
    Plan {
        /// Folders (their *.toml, by name) and files, together one policy
        #[arg(required = true, value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
    },
    /// Put these documents in force as a new version; asks first on a terminal
    #[command(
        after_help = "EXAMPLES:\n  portcullis policy apply portcullis-demo/policies --comment 'Let Beta in'\n  portcullis policy apply portcullis-demo/policies --yes"
    )]
    Apply {
        /// Folders (their *.toml, by name) and files, together one policy
        #[arg(required = true, value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
        /// Why, for the history
        #[arg(long)]
        comment: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// List the versions, newest first
    #[command(after_help = "EXAMPLE:\n  portcullis policy history --limit 10")]
    History {
        #[command(flatten)]
        limit: Limit,
    },
    /// Print the documents of a version
    #[command(after_help = "EXAMPLES:\n  portcullis policy show\n  portcullis policy show 3 --out restored")]
    Show {
        /// [default: the one in force]
        version: Option<u64>,
        /// Write the documents into this folder instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Replace documents that are there already
        #[arg(long, requires = "out")]
        force: bool,
    },
    /// Put an old version in force again, as a new version
    #[command(after_help = "EXAMPLE:\n  portcullis policy rollback 3")]
    Rollback {
        /// As `policy history` lists it
        version: u64,
    },
    Explain(explain::ExplainArgs),
}

pub(super) async fn run(args: PolicyArgs, context: &Context) -> Result<Outcome, CliError> {
    match args.verb {
        Verb::Check { paths, deny_warnings } => check::run(&paths, deny_warnings, context),
        Verb::Plan { paths } => {
            let documents = Documents::read(&paths)?.for_server();
            let answer = context.api()?.post(&format!("{PATH}/plan"), &json!({"documents": documents})).await?;
            context.output.either(&answer, || plan::shown(&answer))?;
            Ok(Outcome::Done)
        }
        Verb::Apply { paths, comment, yes } => apply(&paths, comment, yes, context).await,
        Verb::History { limit } => listing::print(context, PATH, &Query::default(), limit, &COLUMNS).await,
        Verb::Show { version, out, force } => show(version, out, force, context).await,
        Verb::Rollback { version } => {
            let answer = context.api()?.post(&format!("{PATH}/rollback"), &json!({"version": version})).await?;
            context
                .output
                .either(&answer, || format!("{} is in force; it restores {version}\n", version_of(&answer)))?;
            Ok(Outcome::Done)
        }
        Verb::Explain(args) => explain::run(args, context).await,
    }
}

async fn apply(paths: &[PathBuf], comment: Option<String>, yes: bool, context: &Context) -> Result<Outcome, CliError> {
    let documents = Documents::read(paths)?.for_server();
    let mut api = context.api()?;
    let planned = api.post(&format!("{PATH}/plan"), &json!({"documents": documents})).await?;
    if !context.output.is_json() {
        context.output.text(&plan::shown(&planned))?;
        if !yes && std::io::stdin().is_terminal() && !confirmed(context)? {
            return Err(CliError::new("nothing was applied"));
        }
    }
    let body = body([
        ("documents", documents),
        ("comment", json!(comment)),
        // What was shown is what is applied: somebody else's version in between is refused.
        ("expected_version", planned["current_version"].clone()),
    ]);
    let answer = api.post(PATH, &body).await?;
    context.output.either(&answer, || match answer["unchanged"] == true {
        true => format!("{} is in force as before\n", version_of(&answer)),
        false => format!("{} is in force\n", version_of(&answer)),
    })?;
    Ok(Outcome::Done)
}

fn confirmed(context: &Context) -> Result<bool, CliError> {
    context.output.note("Put it in force? [y/N]");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| CliError::new(format!("cannot read the answer: {error}; give --yes")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn version_of(answer: &Value) -> String {
    format!("version {}", table::shown(&answer["id"]))
}

async fn show(version: Option<u64>, out: Option<PathBuf>, force: bool, context: &Context) -> Result<Outcome, CliError> {
    let which = version.map_or_else(|| "current".to_owned(), |version| version.to_string());
    let answer = context.api()?.get(&format!("{PATH}/{which}")).await?;
    let documents = documents::of_answer(&answer);
    match out {
        Some(folder) => {
            std::fs::create_dir_all(&folder)
                .map_err(|error| CliError::new(format!("cannot make the folder {}: {error}", folder.display())))?;
            for Document { name, text } in &documents {
                files::write(&folder.join(documents::file_name(name)?), text.as_bytes(), Readers::Everyone, force)?;
            }
            context.output.note(&format!("{} documents written to {}", documents.len(), folder.display()));
            if context.output.is_json() {
                context.output.json(&answer)?;
            }
        }
        None => context.output.either(&answer, || {
            documents
                .iter()
                .map(|document| format!("# --- {}\n{}\n", document.name, document.text.trim_end()))
                .collect()
        })?,
    }
    Ok(Outcome::Done)
}
