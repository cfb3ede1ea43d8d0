use clap::Args;

use super::context::{Context, Outcome};
use super::error::CliError;
use super::table::{self, Column};

const LISTENERS: [Column; 3] = [
    Column::field("LISTENER", "name"),
    Column::field("URL", "url"),
    Column::field("CLIENT CERTIFICATES", "client_certificates"),
];

/// What the server is and does: version, policy, listeners, counts
#[derive(Args, Debug)]
#[command(after_help = "EXAMPLE:\n  portcullis status --output json")]
pub(super) struct StatusArgs {}

pub(super) async fn run(StatusArgs {}: StatusArgs, context: &Context) -> Result<Outcome, CliError> {
    let mut status = context.api()?.get("/v1/status").await?;
    if context.output.is_json() {
        context.output.json(&status)?;
        return Ok(Outcome::Done);
    }
    let listeners = status.as_object_mut().and_then(|status| status.shift_remove("listeners"));
    let mut text = table::of_object(&status, context.now());
    if let Some(listeners) = listeners.as_ref().and_then(serde_json::Value::as_array).filter(|all| !all.is_empty()) {
        text.push('\n');
        text.push_str(&table::of_items(listeners, &LISTENERS, context.now()));
    }
    context.output.text(&text)?;
    Ok(Outcome::Done)
}
