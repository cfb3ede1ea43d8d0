use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::PATH;
use crate::authority::{Brought, Rotate};
use crate::cli::context::{Context, Outcome, body};
use crate::cli::error::CliError;
use crate::cli::files::{self, BYTES_MAX, Readers};
use crate::cli::moment;
use crate::cli::table::{self, Column};
use crate::registry::Actor;
use crate::store::issuer::{IssuerKind, IssuerState};

const CLIENTS: [Column; 8] = [
    Column::field("CLIENT", "client"),
    Column::field("PARTNER", "partner"),
    Column::field("LIVE", "certificates"),
    Column::time("UNTIL", "until", "-"),
    Column::time("LAST SEEN", "last_seen_at", "never"),
    Column::field("FROM", "last_seen_from"),
    Column::field("CHAIN", "last_seen_chain"),
    Column::made("IF IT WENT", |client, now| {
        let moved = client["replacement_last_seen_at"].as_i64();
        match (client["would_break"] == true, moved, client["has_replacement"] == true) {
            (true, _, true) => "breaks: its other certificate is not in use".to_owned(),
            (true, ..) => "breaks".to_owned(),
            (false, Some(at), _) => format!("goes on, with another since {}", moment::distance(at, now)),
            (false, ..) => "goes on".to_owned(),
        }
    }),
];

/// Move the generations of an authority on: prepared, trusted, active, retiring, removed
///
/// One step a call: the next generation is made (prepared), handed out (trusted: an anchor, in the hints of handshakes, and of a
/// root in `ca.pem`), issues (active, and the one before retires), and in the end the one before is removed. That last step names
/// the clients that it would shut out, and refuses while there is one, unless forced. Of a new root and the one before, each
/// certifies the other (RFC 4210 §4.4), so that who has either installed reaches what both sign.
///
/// With the root's key elsewhere, the first step gives a request for its ceremony; bring what that gives with --next.
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis ca rotate --dry-run\n  portcullis ca rotate issuing --to active\n  portcullis ca rotate issuing\n  portcullis ca rotate issuing --request-out issuing.csr\n  portcullis ca rotate issuing --next issuing.pem\n  portcullis ca rotate root --next root.pem --list root.crl --cross new-with-old.pem --cross old-with-new.pem"
)]
pub(super) struct RotateArgs {
    /// Which authority
    #[arg(value_enum, default_value_t = Kind::Issuing)]
    kind: Kind,
    /// How far, instead of one step
    #[arg(long, value_enum)]
    to: Option<Target>,
    /// Say what would be done and who would break, and do nothing. Exit code 1 when somebody would
    #[arg(long)]
    dry_run: bool,
    /// Remove an authority although clients break by it, or activate a root without a cross-certificate
    #[arg(long)]
    force: bool,
    /// The certificate of the next generation, PEM, as a ceremony made it
    #[arg(long, value_name = "FILE")]
    next: Option<PathBuf>,
    /// Of a root: its first revocation list, PEM
    #[arg(long, value_name = "FILE", requires = "next")]
    list: Option<PathBuf>,
    /// Of a root: what it and the one before certified of each other, PEM; repeat for more
    #[arg(long, value_name = "FILE", requires = "next")]
    cross: Vec<PathBuf>,
    /// Where to write the request for the root's ceremony [default: standard output]
    #[arg(long, value_name = "FILE")]
    request_out: Option<PathBuf>,
    /// Work on the data folder, with the server stopped
    #[arg(long)]
    offline: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Root,
    Issuing,
    ServerIssuing,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    Prepared,
    Trusted,
    Active,
    Removed,
}

impl Kind {
    fn of(self) -> IssuerKind {
        match self {
            Self::Root => IssuerKind::Root,
            Self::Issuing => IssuerKind::Issuing,
            Self::ServerIssuing => IssuerKind::ServerIssuing,
        }
    }
}

impl Target {
    fn of(self) -> IssuerState {
        match self {
            Self::Prepared => IssuerState::Prepared,
            Self::Trusted => IssuerState::Trusted,
            Self::Active => IssuerState::Active,
            Self::Removed => IssuerState::Removed,
        }
    }
}

pub(super) async fn run(args: RotateArgs, context: &Context) -> Result<Outcome, CliError> {
    let text = |path: &PathBuf| files::read_text(path, BYTES_MAX);
    let brought = Brought {
        certificate: args.next.as_ref().map(text).transpose()?,
        list: args.list.as_ref().map(text).transpose()?,
        cross: args.cross.iter().map(text).collect::<Result<_, _>>()?,
    };
    let answer = match args.offline {
        true => offline(&args, brought, context).await?,
        false => {
            let body = body([
                ("kind", args.kind.of().as_str().into()),
                ("to", json!(args.to.map(|to| to.of().as_str()))),
                ("dry_run", args.dry_run.then_some(true).into()),
                ("force", args.force.then_some(true).into()),
                ("certificate", json!(brought.certificate)),
                ("list", json!(brought.list)),
                ("cross", crate::cli::context::given(&brought.cross)),
            ]);
            context.api()?.post(&format!("{PATH}/rotate"), &body).await?
        }
    };
    if let (Some(path), Some(request)) = (&args.request_out, answer["request_pem"].as_str()) {
        files::write(path, request.as_bytes(), Readers::Everyone, false)?;
        context.output.note(&format!("The request is in {}.", path.display()));
    }
    context.output.either(&answer, || said(&answer, args.request_out.is_some(), context.now()))?;
    let stands = answer["would_break"] != 0 || answer["blockers"].as_array().is_some_and(|list| !list.is_empty());
    Ok(if args.dry_run && stands { Outcome::Refused } else { Outcome::Done })
}

async fn offline(args: &RotateArgs, brought: Brought, context: &Context) -> Result<Value, CliError> {
    let order =
        Rotate { kind: args.kind.of(), to: args.to.map(Target::of), dry_run: args.dry_run, force: args.force, brought };
    super::offline::with_authority(context, async |authority| {
        let rotation = authority.rotate(order, &Actor::local()).await?;
        serde_json::to_value(rotation).map_err(|error| CliError::new(error.to_string()))
    })
    .await
}

fn said(answer: &Value, request_written: bool, now: i64) -> String {
    let mut text = String::new();
    let would = if answer["dry_run"] == true { "would " } else { "" };
    for step in answer["steps"].as_array().into_iter().flatten() {
        let subject = step["subject"].as_str().map(|subject| format!(" {subject}")).unwrap_or_default();
        text.push_str(&format!("{would}{}{subject}\n", table::shown(&step["step"])));
    }
    let clients = answer["clients"].as_array().cloned().unwrap_or_default();
    let old = table::shown(&answer["old_subject"]);
    match answer["overlap_until"].as_i64() {
        Some(until) => {
            let until = moment::with_distance(until, now);
            let breaking = table::shown(&answer["would_break"]);
            text.push_str(&format!(
                "{old}: live certificates until {until}; {breaking} clients would break without it\n"
            ));
            text.push_str(&table::of_items(&clients, &CLIENTS, now));
        }
        None => text.push_str(&format!("{old}: no client has a live certificate that depends on it\n")),
    }
    for blocker in answer["blockers"].as_array().into_iter().flatten() {
        text.push_str(&format!("it still carries: {}\n", table::shown(blocker)));
    }
    if let (Some(request), false) = (answer["request_pem"].as_str(), request_written) {
        text.push_str(request);
    }
    if let Some(key) = answer["request_spki_sha256"].as_str() {
        text.push_str(&format!("SHA-256 of the key in the request: {key}\n"));
    }
    text.push_str(&format!("Next: {}\n", table::shown(&answer["next"])));
    text
}
