use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, Outcome, body, given};
use super::error::CliError;
use super::listing::{self, Limit};
use super::query::{self, Query};
use super::table::Column;

const PATH: &str = "/v1/partners";
const COLUMNS: [Column; 8] = [
    Column::field("ID", "id"),
    Column::field("NAME", "name"),
    Column::field("CONTACT", "contact"),
    Column::field("ENABLED", "enabled"),
    Column::made("NETWORKS", |partner, _| match partner["networks"].as_array() {
        Some(networks) if !networks.is_empty() => super::table::shown(&partner["networks"]),
        _ => "anywhere".to_owned(),
    }),
    Column::field("USAGE PLAN", "usage_plan"),
    Column::field("MANAGED BY", "managed_by"),
    Column::time("CREATED", "created_at", "-"),
];

/// Companies whose machines may call
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis partner create acme --name 'Acme Ltd' --contact ops@acme.example\n  portcullis partner list"
)]
pub(super) struct PartnerArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Add a partner
    #[command(
        after_help = "EXAMPLES:\n  portcullis partner create acme --name 'Acme Ltd' --contact ops@acme.example\n  portcullis partner create acme --network acme-offices --network 203.0.113.7 --usage-plan acme-total"
    )]
    Create {
        /// A short name that never changes: a-z, 0-9 and '-'
        id: String,
        /// The company's name
        #[arg(long)]
        name: Option<String>,
        /// Whom to tell when a credential is about to expire
        #[arg(long)]
        contact: Option<String>,
        /// Where all of its clients may come from, a network of the policy or a CIDR; repeat for more [default: anywhere]
        #[arg(long = "network", value_name = "NETWORK")]
        networks: Vec<String>,
        /// How much its clients may call together [default: no limit]
        #[arg(long, value_name = "NAME")]
        usage_plan: Option<String>,
    },
    /// List the partners
    #[command(after_help = "EXAMPLE:\n  portcullis partner list --output json")]
    List {
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one partner
    #[command(after_help = "EXAMPLE:\n  portcullis partner show acme")]
    Show {
        /// Its id
        id: String,
    },
    /// Shut a partner out, all of its clients at once; nothing is lost
    #[command(after_help = "EXAMPLE:\n  portcullis partner disable acme")]
    Disable {
        /// Its id
        id: String,
    },
    /// Let a disabled partner in again
    #[command(after_help = "EXAMPLE:\n  portcullis partner enable acme")]
    Enable {
        /// Its id
        id: String,
    },
}

pub(super) async fn run(args: PartnerArgs, context: &Context) -> Result<Outcome, CliError> {
    let answer = match args.verb {
        Verb::List { limit } => return listing::print(context, PATH, &Query::default(), limit, &COLUMNS).await,
        Verb::Create { id, name, contact, networks, usage_plan } => {
            let body = body([
                ("id", json!(id)),
                ("name", json!(name)),
                ("contact", json!(contact)),
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
