use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, Outcome, body};
use super::error::CliError;
use super::listing::{self, Limit};
use super::query::Query;
use super::table::Column;

const PATH: &str = "/v1/quotas";
const COLUMNS: [Column; 10] = [
    Column::made("WHOSE", |quota, _| {
        let text = |name: &str| quota[name].as_str().map(str::to_owned);
        text("client").or_else(|| Some(format!("partner {}", text("partner")?))).unwrap_or_default()
    }),
    Column::field("ROUTE", "route"),
    Column::field("QUOTA", "quota"),
    Column::field("MODE", "mode"),
    Column::field("USED", "used"),
    Column::field("LIMIT", "limit"),
    Column::field("EXTRA", "extra"),
    Column::field("REMAINING", "remaining"),
    Column::time("SINCE", "starts_at", "-"),
    Column::time("UNTIL", "ends_at", "-"),
];

/// How much of each quota is used; more of a period, or its count begun again
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis quota show --client acme-orders\n  portcullis quota extend --client acme-orders --by 5000"
)]
pub(super) struct QuotaArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show what is used of the periods that run
    #[command(
        after_help = "EXAMPLES:\n  portcullis quota show --client acme-orders\n  portcullis quota show --partner acme --output json\n  portcullis quota show"
    )]
    Show {
        /// Of this client, also where it has used nothing yet
        #[arg(long, value_name = "ID", conflicts_with = "partner")]
        client: Option<String>,
        /// What the clients of this partner share
        #[arg(long, value_name = "ID")]
        partner: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Grant more of the period that runs; the next one has the plan's limit again
    #[command(
        after_help = "EXAMPLES:\n  portcullis quota extend --client acme-orders --by 5000\n  portcullis quota extend --partner acme --quota monthly --by 100000"
    )]
    Extend {
        #[command(flatten)]
        which: Which,
        /// So many requests more
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
        by: u64,
    },
    /// Begin the count of the period that runs again
    #[command(
        after_help = "EXAMPLES:\n  portcullis quota reset --client acme-orders\n  portcullis quota reset --client acme-orders --quota daily"
    )]
    Reset {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args, Debug)]
#[group(skip)]
struct Which {
    /// Of this client
    #[arg(long, value_name = "ID", conflicts_with = "partner", required_unless_present = "partner")]
    client: Option<String>,
    /// What the clients of this partner share
    #[arg(long, value_name = "ID")]
    partner: Option<String>,
    /// The client's quota on this route
    #[arg(long, value_name = "ID", requires = "client")]
    route: Option<String>,
    /// The quota's name [default: the only one]
    #[arg(long, value_name = "NAME")]
    quota: Option<String>,
}

pub(super) async fn run(args: QuotaArgs, context: &Context) -> Result<Outcome, CliError> {
    let (verb, which, amount) = match args.verb {
        Verb::Show { client, partner, limit } => {
            let query = Query::default().with("client", client).with("partner", partner);
            return listing::print(context, PATH, &query, limit, &COLUMNS).await;
        }
        Verb::Extend { which, by } => ("extend", which, Some(by)),
        Verb::Reset { which } => ("reset", which, None),
    };
    let body = body([
        ("client", json!(which.client)),
        ("partner", json!(which.partner)),
        ("route", json!(which.route)),
        ("quota", json!(which.quota)),
        ("amount", json!(amount)),
    ]);
    let answer = context.api()?.post(&format!("{PATH}/{verb}"), &body).await?;
    context.output.object(&answer)?;
    Ok(Outcome::Done)
}
