//! The command line: nouns, then verbs. Only `init`, `demo`, `serve` and what is said to be offline work on files; everything
//! else asks the admin API over mutual TLS, as the administrator whose certificate lies in the data folder.
//!
//! Answers go to standard output, everything else to standard error. Exit codes: 0 done, 1 refused or failed, 2 wrong usage,
//! 3 only of `token inspect` (signature good, claims refused).

mod admin_api;
mod anchor;
mod audit;
mod ca;
mod certificate;
mod client;
mod compare;
mod connection;
mod context;
mod doctor;
mod enrollment;
mod error;
mod expiry;
mod files;
mod global;
mod import;
mod key;
mod listing;
mod moment;
mod output;
mod partner;
mod policy;
mod query;
mod quota;
mod secret;
mod span;
mod start;
mod status;
mod steps;
mod table;
mod token;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::context::{Context, Outcome};
use self::error::CliError;
use self::global::Global;
use self::output::Output;
use crate::clock::Clock;

/// Portcullis: one door for machines, by client certificate, API key or OAuth 2.0 token
#[derive(Parser, Debug)]
#[command(
    name = "portcullis",
    version,
    max_term_width = 120,
    after_help = "EXAMPLES:\n  portcullis demo\n  portcullis --data portcullis-demo client list\n  portcullis --data portcullis-demo certificate issue --client acme-orders\n\nEvery command has examples of its own: portcullis certificate revoke --help"
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(start::DemoArgs),
    Init(start::InitArgs),
    /// Serve a data folder until SIGTERM
    #[command(after_help = "EXAMPLE:\n  portcullis serve --data /var/lib/portcullis")]
    Serve,
    Doctor(doctor::DoctorArgs),
    Status(status::StatusArgs),
    Expiry(expiry::ExpiryArgs),
    Partner(partner::PartnerArgs),
    Client(client::ClientArgs),
    Certificate(certificate::CertificateArgs),
    Anchor(anchor::AnchorArgs),
    Enrollment(enrollment::EnrollmentArgs),
    Key(key::KeyArgs),
    Secret(secret::SecretArgs),
    Token(token::TokenArgs),
    Policy(policy::PolicyArgs),
    Quota(quota::QuotaArgs),
    Audit(audit::AuditArgs),
    Usage(usage::UsageArgs),
    Ca(ca::CaArgs),
    Compare(compare::CompareArgs),
}

/// Parses the arguments, does what they say, and gives the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, with exit code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let clock = Clock::system();
    let output = Output::new(arguments.global.output, clock.clone());
    let context = Context { global: arguments.global, output, clock };
    match execute(arguments.command, &context) {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) if error.is_reader_gone() => ExitCode::SUCCESS,
        Err(error) => {
            context.output.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, context: &Context) -> Result<Outcome, CliError> {
    let mut runtime = match command {
        // A server uses every core; a question needs one thread.
        Command::Demo(_) | Command::Serve => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(|error| CliError::new(format!("cannot start: {error}")))?;
    runtime.block_on(dispatch(command, context))
}

async fn dispatch(command: Command, context: &Context) -> Result<Outcome, CliError> {
    let data = context.global.data();
    let needed =
        || data.as_deref().ok_or_else(|| CliError::new("say which data folder: --data DIR or PORTCULLIS_DATA"));
    match command {
        Command::Demo(args) => start::demo(data.as_deref(), &args).await?,
        Command::Init(args) => start::init(needed()?, &args).await?,
        Command::Serve => start::serve(needed()?).await?,
        Command::Doctor(args) => return doctor::run(args, context).await,
        Command::Status(args) => return status::run(args, context).await,
        Command::Expiry(args) => return expiry::run(args, context).await,
        Command::Partner(args) => return partner::run(args, context).await,
        Command::Client(args) => return client::run(args, context).await,
        Command::Certificate(args) => return certificate::run(args, context).await,
        Command::Anchor(args) => return anchor::run(args, context).await,
        Command::Enrollment(args) => return enrollment::run(args, context).await,
        Command::Key(args) => return key::run(args, context).await,
        Command::Secret(args) => return secret::run(args, context).await,
        Command::Token(args) => return token::run(args, context).await,
        Command::Policy(args) => return policy::run(args, context).await,
        Command::Quota(args) => return quota::run(args, context).await,
        Command::Audit(args) => return audit::run(args, context).await,
        Command::Usage(args) => return usage::run(args, context).await,
        Command::Ca(args) => return ca::run(args, context).await,
        Command::Compare(args) => return compare::run(args, context).await,
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests;
