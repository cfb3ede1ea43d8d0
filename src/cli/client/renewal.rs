use clap::{Args, ValueEnum};
use serde_json::json;

use super::PATH;
use crate::cli::context::{Context, Outcome, body};
use crate::cli::error::CliError;
use crate::cli::query;
use crate::cli::span::Span;

/// Whether a renewal must bring a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyChange {
    Required,
    Allowed,
    /// As the profile says
    Profile,
}

/// Show or set how a client's certificates are renewed with themselves; what is not named stays
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis client renewal acme-orders\n  portcullis client renewal acme-orders --grace 7d --overlap 24h\n  portcullis client renewal acme-orders --key-change allowed --until-end"
)]
pub(super) struct RenewalArgs {
    /// Its id
    id: String,
    /// How long after its end a certificate still renews itself, and does nothing else; 0s for not at all
    #[arg(long, value_name = "TIME")]
    grace: Option<Span>,
    /// How long a certificate stays good beside its successor
    #[arg(long, value_name = "TIME")]
    overlap: Option<Span>,
    /// A certificate stays good beside its successor until its own end
    #[arg(long, conflicts_with = "overlap")]
    until_end: bool,
    /// Whether a renewal must bring a new key
    #[arg(long, value_enum)]
    key_change: Option<KeyChange>,
}

pub(super) async fn run(args: RenewalArgs, context: &Context) -> Result<Outcome, CliError> {
    let path = format!("{}/renewal", query::item(PATH, &args.id)?);
    let mut api = context.api()?;
    let mut terms = api.get(&path).await?;
    if args.grace.is_some() || args.overlap.is_some() || args.until_end || args.key_change.is_some() {
        let overlap = match (args.overlap, args.until_end) {
            (Some(overlap), _) => json!(overlap.seconds()),
            (None, true) => json!(null),
            (None, false) => terms["overlap_seconds"].clone(),
        };
        let key_change = match args.key_change {
            Some(KeyChange::Required) => json!("required"),
            Some(KeyChange::Allowed) => json!("allowed"),
            Some(KeyChange::Profile) => json!(null),
            None => terms["key_change"].clone(),
        };
        let grace = args.grace.map_or_else(|| terms["grace_seconds"].clone(), |grace| json!(grace.seconds()));
        let order = body([("grace_seconds", grace), ("overlap_seconds", overlap), ("key_change", key_change)]);
        terms = api.post(&path, &order).await?;
    }
    context.output.object(&terms)?;
    Ok(Outcome::Done)
}
