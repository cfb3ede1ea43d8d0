use clap::Args;
use serde_json::{Value, json};

use super::PATH;
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::{query, table};
use crate::registry::Actor;

/// Deny an authority and everything it issued, at once and for good: its key is, or may be, in other hands
///
/// In force when the command returns, on open connections too. With a root, everything below it is denied. If your own certificate
/// is one of them, this is the last command that the server takes from it: see --offline, and `init`, which then issues the
/// administrator's anew.
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLE:\n  portcullis ca show\n  portcullis ca taint 3f9a2c1b5d6e7f8091a2b3c4d5e6f70819202122\n\nWhen it was the one that issues, go on with its successor (the root's key must lie in DATA/keys):\n  systemctl stop portcullis\n  portcullis --data /var/lib/portcullis ca rotate issuing --to active --force --offline\n  portcullis --data /var/lib/portcullis init\n  systemctl start portcullis"
)]
pub(super) struct TaintArgs {
    /// Key id of the authority, hex
    issuer: String,
    /// Work on the data folder, with the server stopped
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(args: TaintArgs, context: &Context) -> Result<Outcome, CliError> {
    let issuer = args.issuer.trim().replace(':', "").to_ascii_lowercase();
    let answer = match args.offline {
        true => {
            super::offline::with_authority(context, async |authority| {
                let tainted = authority.taint(&issuer, &Actor::local()).await?;
                serde_json::to_value(tainted).map_err(|error| CliError::new(error.to_string()))
            })
            .await?
        }
        false => context.api()?.post(&format!("{}/taint", query::item(PATH, &issuer)?), &json!({})).await?,
    };
    context.output.either(&answer, || said(&answer))?;
    Ok(Outcome::Done)
}

fn said(answer: &Value) -> String {
    let again = if answer["newly"] == false { ", as it was already" } else { "" };
    format!(
        "tainted {} ({}, {}){again}: nothing that it issued is accepted\nconnections closed: {}\nin force after: {} ms\n",
        table::shown(&answer["id"]),
        table::shown(&answer["kind"]),
        table::shown(&answer["subject"]),
        table::shown(&answer["connections_closed"]),
        table::shown(&answer["effective_after_ms"])
    )
}
