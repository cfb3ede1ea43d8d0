mod renewal;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, Outcome, body, given};
use super::error::CliError;
use super::import::{self, Import, ImportArgs};
use super::listing::{self, Limit};
use super::query::{self, Query};
use super::table::Column;

const PATH: &str = "/v1/clients";
const COLUMNS: [Column; 7] = [
    Column::field("ID", "id"),
    Column::field("PARTNER", "partner"),
    Column::field("ENABLED", "enabled"),
    Column::field("SCOPES", "scopes"),
    Column::made("NETWORKS", |client, _| match client["networks"].as_array() {
        Some(networks) if !networks.is_empty() => super::table::shown(&client["networks"]),
        _ => "anywhere".to_owned(),
    }),
    Column::field("USAGE PLAN", "usage_plan"),
    Column::field("MANAGED BY", "managed_by"),
];

/// Machines of a partner; one client is the same under all its credentials
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis client create acme-orders --partner acme --scope https://api.example.com/test/hello-world\n  portcullis client list --partner acme"
)]
pub(super) struct ClientArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Add a client
    #[command(
        after_help = "EXAMPLE:\n  portcullis client create acme-orders --partner acme --scope https://api.example.com/test/hello-world \\\n    --network acme-offices --usage-plan standard"
    )]
    Create {
        /// A short name that never changes: a-z, 0-9 and '-'
        id: String,
        /// Whose it is
        #[arg(long, value_name = "ID")]
        partner: String,
        /// For people
        #[arg(long)]
        description: Option<String>,
        /// What it may do; repeat for more
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Where it may come from, a network of the policy or a CIDR; repeat for more [default: anywhere]
        #[arg(long = "network", value_name = "NETWORK")]
        networks: Vec<String>,
        /// How much it may call [default: no limit]
        #[arg(long, value_name = "NAME")]
        usage_plan: Option<String>,
    },
    /// Add many clients from a file: more than a policy document holds
    #[command(
        after_help = "COLUMNS:\n  id, partner, description, scopes and networks (words with blanks between), usage_plan\n\nEXAMPLES:\n  portcullis client import clients.csv\n  portcullis client import clients.jsonl --check"
    )]
    Import(ImportArgs),
    /// List the clients
    #[command(after_help = "EXAMPLE:\n  portcullis client list --partner acme")]
    List {
        /// Only this partner's
        #[arg(long, value_name = "ID")]
        partner: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one client
    #[command(after_help = "EXAMPLE:\n  portcullis client show acme-orders")]
    Show {
        /// Its id
        id: String,
    },
    /// Shut a client out under every credential at once; nothing is lost
    #[command(after_help = "EXAMPLE:\n  portcullis client disable acme-orders")]
    Disable {
        /// Its id
        id: String,
    },
    Renewal(renewal::RenewalArgs),
    /// Let a disabled client in again
    #[command(after_help = "EXAMPLE:\n  portcullis client enable acme-orders")]
    Enable {
        /// Its id
        id: String,
    },
}

pub(super) async fn run(args: ClientArgs, context: &Context) -> Result<Outcome, CliError> {
    let answer = match args.verb {
        Verb::Renewal(args) => return renewal::run(args, context).await,
        Verb::Import(args) => {
            let import = Import { path: PATH, member: "clients", read: import::client };
            return import::run(args, import, context).await;
        }
        Verb::List { partner, limit } => {
            let query = Query::default().with("partner", partner);
            return listing::print(context, PATH, &query, limit, &COLUMNS).await;
        }
        Verb::Create { id, partner, description, scopes, networks, usage_plan } => {
            let body = body([
                ("id", json!(id)),
                ("partner", json!(partner)),
                ("description", json!(description)),
                ("scopes", json!(scopes)),
                ("networks", given(&networks)),
                ("usage_plan", json!(usage_plan)),
            ]);
            context.api()?.post(PATH, &body).await?
        }
        Verb::Show { id } => context.api()?.get(&query::item(PATH, &id)?).await?,
        Verb::Disable { id } => {
            context.api()?.post(&format!("{}/disable", query::item(PATH, &id)?), &json!({})).await?
        }
        Verb::Enable { id } => context.api()?.post(&format!("{}/enable", query::item(PATH, &id)?), &json!({})).await?,
    };
    context.output.object(&answer)?;
    Ok(Outcome::Done)
}
