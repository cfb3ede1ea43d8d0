use clap::Args;
use serde_json::Value;

use super::context::{Context, Outcome};
use super::error::CliError;
use super::listing::{self, Limit};
use super::query::Query;
use super::span::Span;
use super::table::{self, Column};

pub(super) const PATH: &str = "/v1/expiry";
const COLUMNS: [Column; 7] = [
    Column::field("KIND", "kind"),
    Column::field("NAME", "name"),
    Column::field("PARTNER", "partner"),
    Column::field("CONTACT", "contact"),
    Column::time("EXPIRES", "expires_at", "-"),
    Column::time("LAST SEEN", "last_seen_at", "-"),
    Column::made("NOTE", note),
];

/// Report what ends soon: authorities, revocation lists, OCSP signers, server certificates, and credentials in use
///
/// The server tells the same to its log, its metrics and, where one is set, a webhook: `[expiry]` in portcullis.toml.
#[derive(Args, Debug)]
#[command(after_help = "EXAMPLES:\n  portcullis expiry\n  portcullis expiry --within 90d --unused --output json")]
pub(super) struct ExpiryArgs {
    /// How far to look ahead
    #[arg(long, value_name = "TIME", default_value = "30d")]
    within: Span,
    /// Also credentials that let nobody in lately
    #[arg(long)]
    unused: bool,
    #[command(flatten)]
    limit: Limit,
}

pub(super) async fn run(args: ExpiryArgs, context: &Context) -> Result<Outcome, CliError> {
    let query = Query::default()
        .with("within_seconds", Some(args.within.seconds()))
        .with("unused", args.unused.then_some(true));
    listing::print(context, PATH, &query, args.limit, &COLUMNS).await
}

fn note(item: &Value, _: i64) -> String {
    match (item["threshold_days"].as_i64(), item["renews_itself"] == true) {
        (Some(0), _) => "has ended".to_owned(),
        (Some(-1), _) => "should have renewed itself: see the log".to_owned(),
        (_, true) => "renews itself".to_owned(),
        _ => table::shown(&item["id"]),
    }
}
