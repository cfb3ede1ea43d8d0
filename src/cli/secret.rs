use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, Outcome, body, given};
use super::error::CliError;
use super::files;
use super::import::{self, CredentialImportArgs, Import};
use super::listing::{self, Limit};
use super::moment;
use super::query::{self, Query};
use super::span::Span;
use super::table::Column;

const PATH: &str = "/v1/client-secrets";
/// Cognito's longest secret, and a line end.
const VALUE_BYTES_MAX: u64 = 66;
const COLUMNS: [Column; 7] = [
    Column::field("ID", "id"),
    Column::field("CLIENT", "client"),
    Column::field("NAME", "name"),
    Column::field("STATUS", "status"),
    Column::time("EXPIRES", "expires_at", "never"),
    Column::time("LAST SEEN", "last_seen_at", "never"),
    Column::time("CREATED", "created_at", "-"),
];

/// Client secrets for OAuth 2.0 client credentials
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis secret create --client acme-orders\n  portcullis secret list --client acme-orders"
)]
pub(super) struct SecretArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Make a client secret; it is printed once, alone on standard output. Two of a client may live at once
    #[command(
        after_help = "EXAMPLES:\n  portcullis secret create --client acme-orders --expires-in 180d\n  portcullis secret create --client acme-orders --from-stdin"
    )]
    Create {
        /// Whose it will be
        #[arg(long, value_name = "ID")]
        client: String,
        /// For people
        #[arg(long)]
        name: Option<String>,
        /// How long it lives: 24h, 90d [default: until it is revoked]
        #[arg(long, visible_alias = "ttl", value_name = "TIME")]
        expires_in: Option<Span>,
        /// Narrow it to some networks; repeat for more
        #[arg(long = "network", value_name = "NETWORK")]
        networks: Vec<String>,
        /// Read the secret from standard input, 24 to 64 letters and digits: one that partners use already elsewhere
        #[arg(long)]
        from_stdin: bool,
    },
    /// List a client's secrets; never the secrets themselves
    #[command(after_help = "EXAMPLE:\n  portcullis secret list --client acme-orders")]
    List {
        /// Whose
        #[arg(long, value_name = "ID")]
        client: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Bring along secrets that clients use already with another authorization server
    #[command(
        after_help = "COLUMNS:\n  client (or client_id), secret (or client_secret), name, expires_at\n\nEXAMPLES:\n  portcullis secret import secrets.csv\n  portcullis secret import secrets.jsonl --check"
    )]
    Import(CredentialImportArgs),
    /// Stop a secret at once; tokens that were got with it live on until they expire or are revoked
    #[command(after_help = "EXAMPLE:\n  portcullis secret revoke 0193c0de --reason superseded")]
    Revoke {
        /// The secret's id, as `secret list` shows it
        id: String,
        /// A reason of RFC 5280 in kebab-case
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) async fn run(args: SecretArgs, context: &Context) -> Result<Outcome, CliError> {
    match args.verb {
        Verb::List { client, limit } => {
            let query = Query::default().with("client", Some(client));
            return listing::print(context, PATH, &query, limit, &COLUMNS).await;
        }
        Verb::Import(args) => {
            let import = Import { path: PATH, member: "secrets", read: import::secret };
            return import::run_credentials(args, import, context).await;
        }
        Verb::Create { client, name, expires_in, networks, from_stdin } => {
            // On the command line it would stand in the shell's history and in `ps`.
            let value = if from_stdin { Some(value_from_stdin()?) } else { None };
            let body = body([
                ("client", json!(client)),
                ("name", json!(name)),
                ("ttl_seconds", json!(expires_in.map(Span::seconds))),
                ("networks", given(&networks)),
                ("value", json!(value)),
            ]);
            let mut answer = context.api()?.post(PATH, &body).await?;
            if from_stdin && !context.output.is_json() {
                // Whoever gave it knows it; it need not stand on the screen too.
                let _ = answer.as_object_mut().and_then(|members| members.shift_remove("client_secret"));
                context.output.object(&answer)?;
            } else {
                context.output.secret(&answer, "client_secret", || about(&answer, context.now()))?;
            }
        }
        Verb::Revoke { id, reason } => {
            let path = format!("{}/revoke", query::item(PATH, &id)?);
            let answer = context.api()?.post(&path, &body([("reason", json!(reason))])).await?;
            context.output.object(&answer)?;
        }
    }
    Ok(Outcome::Done)
}

fn value_from_stdin() -> Result<String, CliError> {
    let text = String::from_utf8(files::read_stdin(VALUE_BYTES_MAX)?)
        .map_err(|_| CliError::new("standard input is not text"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn about(answer: &Value, now: i64) -> String {
    let text = |member: &str| super::table::shown(&answer[member]);
    let end = match answer["expires_at"].as_i64() {
        Some(at) => format!("expires {}", moment::with_distance(at, now)),
        None => "does not expire".to_owned(),
    };
    format!("Client secret {} of {}, {end}. Shown only once: store it now.", text("id"), text("client"))
}
