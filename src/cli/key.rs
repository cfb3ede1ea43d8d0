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
use crate::registry::PresentedApiKey;

const PATH: &str = "/v1/api-keys";
/// No key is longer, and a line end.
const INSPECTED_BYTES_MAX: u64 = 1024;
const COLUMNS: [Column; 10] = [
    Column::field("ID", "id"),
    Column::field("CLIENT", "client"),
    Column::field("NAME", "name"),
    Column::made("KEY", |key, _| match key["prefix"].as_str() {
        Some("") => format!("…{}", super::table::shown(&key["last4"])),
        _ => super::table::shown(&key["prefix"]),
    }),
    Column::field("STATUS", "status"),
    Column::time("EXPIRES", "expires_at", "never"),
    Column::time("LAST SEEN", "last_seen_at", "never"),
    Column::field("FROM", "last_seen_source"),
    Column::field("AT", "last_seen_route"),
    Column::time("CREATED", "created_at", "-"),
];

/// API keys
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis key create --client acme-orders --expires-in 90d\n  portcullis key list --client acme-orders"
)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Make an API key; it is printed once, alone on standard output
    #[command(
        after_help = "EXAMPLES:\n  portcullis key create --client acme-orders --name 'order import' --expires-in 90d\n  KEY=$(portcullis key create --client acme-orders)"
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
        /// Narrow it to some of the client's scopes; repeat for more
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Narrow it to some networks; repeat for more
        #[arg(long = "network", value_name = "NETWORK")]
        networks: Vec<String>,
    },
    /// List API keys; never the keys themselves
    #[command(
        after_help = "EXAMPLES:\n  portcullis key list --client acme-orders\n  portcullis key list --unused-for 90d\n  portcullis key list --replaced-in-use"
    )]
    List {
        /// Only this client's
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// Only live ones that let nobody in for this long, and are older
        #[arg(long, value_name = "TIME")]
        unused_for: Option<Span>,
        /// Only replaced ones that somebody still sends
        #[arg(long)]
        replaced_in_use: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// Bring along keys that were made elsewhere: they go on opening the door as they are
    #[command(
        after_help = "COLUMNS:\n  key or sha256 (hex or base64), client, name, expires_at, scopes, networks, last4, hash with hash_algorithm.\n  An export of Amazon API Gateway (Key,name,description,Enabled,usageplanIds) is understood as it is.\n\nEXAMPLES:\n  portcullis key import keys.csv --expires-in 180d\n  portcullis key import keys.csv --check\n  portcullis key import aws-api-keys.csv --client-from name"
    )]
    Import(CredentialImportArgs),
    /// Make a new key in the place of an old one, which goes on working for a while
    #[command(after_help = "EXAMPLE:\n  portcullis key rotate 4fGh81kQ2z --grace 24h")]
    Rotate {
        /// The key's id, as `key list` shows it
        id: String,
        /// How long the old key goes on working
        #[arg(long, value_name = "TIME", default_value = "24h")]
        grace: Span,
    },
    /// Say of a text whether it is a key of a Portcullis at all, without asking any server; 1 when it is not
    ///
    /// The text comes from standard input: on the command line it would stand in the shell's history.
    #[command(after_help = "EXAMPLE:\n  portcullis key inspect --output json")]
    Inspect,
    /// Stop a key at once
    #[command(after_help = "EXAMPLE:\n  portcullis key revoke 4fGh81kQ2z --reason key-compromise")]
    Revoke {
        /// The key's id, as `key list` shows it
        id: String,
        /// A reason of RFC 5280 in kebab-case
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) async fn run(args: KeyArgs, context: &Context) -> Result<Outcome, CliError> {
    match args.verb {
        Verb::List { client, unused_for, replaced_in_use, limit } => {
            let query = Query::default()
                .with("client", client)
                .with("unused_for_seconds", unused_for.map(Span::seconds))
                .with("replaced_in_use", replaced_in_use.then_some(true));
            return listing::print(context, PATH, &query, limit, &COLUMNS).await;
        }
        Verb::Import(args) => {
            let import = Import { path: PATH, member: "keys", read: import::key };
            return import::run_credentials(args, import, context).await;
        }
        Verb::Inspect => return inspect(context),
        Verb::Create { client, name, expires_in, scopes, networks } => {
            let body = body([
                ("client", json!(client)),
                ("name", json!(name)),
                ("ttl_seconds", json!(expires_in.map(Span::seconds))),
                ("scopes", given(&scopes)),
                ("networks", given(&networks)),
            ]);
            let answer = context.api()?.post(PATH, &body).await?;
            context.output.secret(&answer, "api_key", || about(&answer, context.now()))?;
        }
        Verb::Rotate { id, grace } => {
            let path = format!("{}/rotate", query::item(PATH, &id)?);
            let answer = context.api()?.post(&path, &json!({"grace_seconds": grace.seconds()})).await?;
            context.output.secret(&answer, "api_key", || {
                format!("{}\nThe old key {id} goes on working for at most {grace}.", about(&answer, context.now()))
            })?;
        }
        Verb::Revoke { id, reason } => {
            let path = format!("{}/revoke", query::item(PATH, &id)?);
            let answer = context.api()?.post(&path, &body([("reason", json!(reason))])).await?;
            context.output.object(&answer)?;
        }
    }
    Ok(Outcome::Done)
}

/// For leak scanners: a pattern finds what looks like a key, the checksum tells what is one.
fn inspect(context: &Context) -> Result<Outcome, CliError> {
    let text = files::read_stdin(INSPECTED_BYTES_MAX)?;
    let text = std::str::from_utf8(&text).unwrap_or_default().trim();
    let Some(key) = PresentedApiKey::parse(text) else {
        let answer = json!({"is_key": false});
        context.output.either(&answer, || "not a key: wrong shape or checksum\n".to_owned())?;
        return Ok(Outcome::Refused);
    };
    let answer = json!({"is_key": true, "id": key.id(), "environment": key.environment()});
    context.output.either(&answer, || {
        format!(
            "a key of the environment {}, id {}: see `portcullis key list`, and revoke it if it was found where it should not be\n",
            key.environment(),
            key.id()
        )
    })?;
    Ok(Outcome::Done)
}

fn about(answer: &Value, now: i64) -> String {
    let text = |member: &str| super::table::shown(&answer[member]);
    let end = match answer["expires_at"].as_i64() {
        Some(at) => format!("expires {}", moment::with_distance(at, now)),
        None => "does not expire".to_owned(),
    };
    format!("API key {} of {}, {end}. Shown only once: store it now.", text("id"), text("client"))
}
