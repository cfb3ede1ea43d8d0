mod tail;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::context::{Context, Outcome};
use super::error::CliError;
use super::listing::{self, Limit};
use super::moment::Since;
use super::query::{self, Query};
use super::table::{self, Column};

const PATH: &str = "/v1/audit";
const COLUMNS: [Column; 7] = [
    Column::millis("TIME", "at"),
    Column::made("OUTCOME", |record, _| either(record, "outcome", "action")),
    Column::field("STATUS", "status"),
    Column::made("WHAT", what),
    Column::made("WHO", |record, _| either(record, "client", "actor")),
    Column::field("SOURCE", "source"),
    Column::made("DETAIL", |record, _| detail(record)),
];

/// Who did what, from where, and what was answered
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis audit list --denied --since 1h\n  portcullis audit show 0193c0de-5a5a-7000-8000-0123456789ab\n  portcullis audit tail --client acme-orders"
)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List records, newest first
    #[command(
        after_help = "EXAMPLES:\n  portcullis audit list --denied --since 1h\n  portcullis audit list --kind change --since 90d --output json\n  portcullis audit list --id 0193c0de-5a5a-7000-8000-0123456789ab"
    )]
    List {
        #[command(flatten)]
        filter: Filter,
        /// Only records after this time, or younger than this: 15m, 24h, 2027-01-15T08:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<Since>,
        /// Only records before this time, or older than this
        #[arg(long, value_name = "TIME")]
        until: Option<Since>,
        /// One record, by the `decision_id` of an answer
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one decision with every step of it: what was compared, and which step denied
    ///
    /// The steps are those that were taken then, with the values of then. None are kept of what was simply allowed.
    #[command(after_help = "EXAMPLE:\n  portcullis audit show 0193c0de-5a5a-7000-8000-0123456789ab")]
    Show {
        /// The `decision_id` of an answer, its X-Portcullis-Decision-Id
        decision_id: String,
    },
    /// Print records as they come, until Ctrl-C; with --output json one object a line
    ///
    /// Successful questions to the audit log itself are left out: each of this command's own would print another.
    #[command(
        after_help = "EXAMPLES:\n  portcullis audit tail --denied\n  portcullis audit tail --client acme-orders --output json"
    )]
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// Begin with records that are younger than this
        #[arg(long, value_name = "TIME")]
        since: Option<Since>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// What the gate decided.
    Decision,
    /// What an administrator changed.
    Change,
}

#[derive(Args, Clone, Debug)]
struct Filter {
    /// Decisions of the gate, or changes by administrators [default: decisions]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only this client's
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Only this partner's
    #[arg(long, value_name = "ID")]
    partner: Option<String>,
    /// Only this outcome: `allowed`, or the code of a denial
    #[arg(long, value_name = "CODE")]
    outcome: Option<String>,
    /// Only what was denied
    #[arg(long)]
    denied: bool,
    /// Only what a rule in shadow would have denied
    #[arg(long)]
    shadow: bool,
}

impl Filter {
    fn query(&self) -> Query {
        Query::default()
            .with("kind", self.kind.map(|kind| if kind == Kind::Decision { "decision" } else { "change" }))
            .with("client", self.client.as_ref())
            .with("partner", self.partner.as_ref())
            .with("outcome", self.outcome.as_ref())
            .with("denied", self.denied.then_some(true))
            .with("shadow", self.shadow.then_some(true))
    }
}

pub(super) async fn run(args: AuditArgs, context: &Context) -> Result<Outcome, CliError> {
    let millis = |since: Since| since.unix_seconds(context.now()).saturating_mul(1000);
    match args.verb {
        Verb::List { filter, since, until, id, limit } => {
            let query = filter.query().with("since", since.map(millis)).with("until", until.map(millis)).with("id", id);
            listing::print(context, PATH, &query, limit, &COLUMNS).await
        }
        Verb::Show { decision_id } => show(&decision_id, context).await,
        Verb::Tail { filter, since } => {
            let begin = since.map_or_else(|| context.clock.now_millis(), millis);
            tail::run(&filter.query(), begin, context).await
        }
    }
}

async fn show(decision_id: &str, context: &Context) -> Result<Outcome, CliError> {
    let answer = context.api()?.get(&query::item(PATH, decision_id)?).await?;
    context.output.either(&answer, || shown(&answer))?;
    Ok(Outcome::Done)
}

/// The record, then its steps.
fn shown(answer: &Value) -> String {
    let mut record = answer.clone();
    let steps = record.as_object_mut().and_then(|members| members.remove("steps")).unwrap_or_default();
    let at = record["at"].as_i64().map_or_else(String::new, super::moment::rfc3339_millis);
    record["at"] = Value::String(at);
    let mut text = table::of_object(&record, 0);
    match steps.as_array() {
        Some(steps) => text.push_str(&format!("\n{}", super::steps::shown(steps))),
        None => text.push_str("\nno steps are kept of it\n"),
    }
    text
}

fn either(record: &Value, decision: &str, change: &str) -> String {
    let value = record.get(decision).filter(|value| !value.is_null()).or_else(|| record.get(change));
    table::shown(value.unwrap_or(&Value::Null))
}

/// The inside message of a decision; what a change was about, `name=value`.
fn detail(record: &Value) -> String {
    let Some(members) = record["detail"].as_object() else { return table::shown(&record["detail"]) };
    let pairs: Vec<_> = members
        .iter()
        .filter(|(_, value)| is_short(value))
        .map(|(name, value)| format!("{name}={}", table::shown(value)))
        .collect();
    if pairs.is_empty() { "-".to_owned() } else { pairs.join(" ") }
}

/// What has members of its own is for `--output json`.
fn is_short(value: &Value) -> bool {
    match value {
        Value::Null | Value::Object(_) => false,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_string),
        _ => true,
    }
}

/// `GET /path` of a decision, the target of a change.
fn what(record: &Value, _now: i64) -> String {
    match (record["http_method"].as_str(), record["path"].as_str()) {
        (Some(method), Some(path)) => format!("{method} {path}"),
        _ => table::shown(&record["target"]),
    }
}
