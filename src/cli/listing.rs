//! What the `list` commands have in common.

use clap::Args;

use super::context::{Context, Outcome};
use super::error::CliError;
use super::query::Query;
use super::table::Column;

/// A longer list is a report, and has its own ways.
const LIMIT_MAX: i64 = 1_000_000;

/// How much of a list to print.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Print at most so many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = limit)]
    limit: usize,
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse::<i64>().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.and_then(|limit| usize::try_from(limit).ok()).ok_or_else(|| format!("give a number from 1 to {LIMIT_MAX}"))
}

/// Asks for a list, page after page, and prints it. A list that was cut says so.
pub(super) async fn print(
    context: &Context,
    path: &str,
    query: &Query,
    limit: Limit,
    columns: &[Column],
) -> Result<Outcome, CliError> {
    let listing = context.api()?.list(path, query, limit.limit).await?;
    context.output.items(&listing.items, columns)?;
    if listing.has_more {
        context.output.note(&format!("There are more than {}: give a higher --limit.", limit.limit));
    }
    Ok(Outcome::Done)
}
