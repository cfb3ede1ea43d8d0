mod chart;
mod export;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::admin_api::AdminApi;
use super::context::{Context, Outcome};
use super::error::CliError;
use super::moment::Since;
use super::query::Query;

const PATH: &str = "/v1/usage";
const HOUR_SECONDS: i64 = 3600;
/// Rows of one question; longer answers come in parts.
const PART: usize = 1000;

/// How much each client used: requests, denials, bytes, latency
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis usage show --client acme-orders\n  portcullis usage export --format csv --from 2027-01-01T00:00:00Z --to 2027-02-01T00:00:00Z > january.csv"
)]
pub(super) struct UsageArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Draw the last day hour by hour, with its denials, bytes, latency and clients
    #[command(
        after_help = "EXAMPLES:\n  portcullis usage show\n  portcullis usage show --partner acme --since 7d\n  portcullis usage show --client acme-orders --route 'GET /test/hello-world' --output json"
    )]
    Show {
        #[command(flatten)]
        filter: Filter,
        /// From this time, or so long ago
        #[arg(long, value_name = "TIME", default_value = "23h")]
        since: Since,
    },
    /// Print rows for invoices: CSV, or one JSON object a line
    ///
    /// Hours that are over do not change: the same range gives the same lines again, and each line has an `id` by which it is
    /// known. Without --to, the running hour is left out.
    #[command(
        after_help = "EXAMPLES:\n  portcullis usage export --format csv --from 2027-01-01T00:00:00Z --to 2027-02-01T00:00:00Z\n  portcullis usage export --format jsonl --from 31d --by partner,client,outcome\n  portcullis usage export --format csv --from 24h --client acme-orders"
    )]
    Export {
        /// For a spreadsheet, or for a program
        #[arg(long, value_enum)]
        format: ExportFormat,
        /// Hours that begin at or after this time
        #[arg(long, value_name = "TIME")]
        from: Since,
        /// Hours that begin before this time [default: the beginning of the running hour]
        #[arg(long, value_name = "TIME")]
        to: Option<Since>,
        /// Tell rows apart by these only, and sum up the rest: hour, partner, client, credential, route, method, outcome, listener
        #[arg(long, value_name = "NAMES")]
        by: Option<String>,
        #[command(flatten)]
        filter: Filter,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// RFC 4180, with a line of names.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

#[derive(Args, Clone, Debug)]
struct Filter {
    /// Only this client's
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Only this partner's
    #[arg(long, value_name = "ID")]
    partner: Option<String>,
    /// Only requests with this credential, as `usage export` names it
    #[arg(long, value_name = "CREDENTIAL")]
    credential: Option<String>,
    /// Only this route's, by its id
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
}

impl Filter {
    fn query(&self) -> Query {
        Query::default()
            .with("client", self.client.as_ref())
            .with("partner", self.partner.as_ref())
            .with("credential", self.credential.as_ref())
            .with("route", self.route.as_ref())
    }
}

pub(super) async fn run(args: UsageArgs, context: &Context) -> Result<Outcome, CliError> {
    let now = context.now();
    let mut api = context.api()?;
    match args.verb {
        Verb::Show { filter, since } => {
            let from = beginning(since.unix_seconds(now));
            let query = filter.query().with("from", Some(from));
            let hours = rows(&mut api, &query.clone().with("by", Some("hour,outcome"))).await?;
            let clients = rows(&mut api, &query.with("by", Some("client,outcome"))).await?;
            let answer = json!({ "from": from, "hours": hours, "clients": clients });
            context.output.either(&answer, || chart::draw(&hours, &clients, from, now))?;
        }
        Verb::Export { format, from, to, by, filter } => {
            let to = to.map_or_else(|| beginning(now), |to| to.unix_seconds(now));
            let query = filter.query().with("from", Some(from.unix_seconds(now))).with("to", Some(to)).with("by", by);
            export::run(&mut api, &query, format, context).await?;
        }
    }
    Ok(Outcome::Done)
}

/// Of the hour.
fn beginning(at: i64) -> i64 {
    at - at.rem_euclid(HOUR_SECONDS)
}

/// One part of the list, and where the next begins.
async fn part(
    api: &mut AdminApi,
    query: &Query,
    after: Option<&str>,
) -> Result<(Vec<Value>, Option<String>), CliError> {
    let query = query.clone().with("limit", Some(PART)).with("after", after);
    let mut answer = api.get(&query.on(PATH)).await?;
    let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else {
        return Err(CliError::new("the server's answer is not a list: it is of another version than this program"));
    };
    Ok((items, answer.get("next").and_then(Value::as_str).map(str::to_owned)))
}

async fn rows(api: &mut AdminApi, query: &Query) -> Result<Vec<Value>, CliError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (items, next) = part(api, query, after.as_deref()).await?;
        all.extend(items);
        match next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}
