use clap::Args;
use serde_json::{Value, json};

use super::{PATH, hex};
use crate::cli::context::{Context, Outcome, body};
use crate::cli::error::CliError;
use crate::cli::table;

/// Revoke certificates; in force when the command returns, on open connections too
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis certificate revoke 5f:2c:90:aa:17:de:4b:0c --reason key-compromise\n  portcullis certificate revoke --client acme-orders --reason cessation-of-operation"
)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    which: Which,
    /// A reason of RFC 5280 in kebab-case: `key-compromise`, `superseded`, `cessation-of-operation`, `affiliation-changed`,
    /// `privilege-withdrawn`, `unspecified`
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    /// Serial number in hex, any case, colons optional
    serial: Option<String>,
    /// SHA-256 of the certificate in hex
    #[arg(long, value_name = "HEX")]
    thumbprint: Option<String>,
    /// All certificates of this client
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// All certificates of this partner
    #[arg(long, value_name = "ID")]
    partner: Option<String>,
}

pub(super) async fn run(args: RevokeArgs, context: &Context) -> Result<Outcome, CliError> {
    let which = args.which;
    let body = body([
        ("serial", json!(which.serial.as_deref().map(hex))),
        ("thumbprint", json!(which.thumbprint.as_deref().map(hex))),
        ("client", json!(which.client)),
        ("partner", json!(which.partner)),
        ("reason", json!(args.reason)),
    ]);
    let answer = context.api()?.post(&format!("{PATH}/revoke"), &body).await?;
    context.output.either(&answer, || revoked(&answer))?;
    Ok(Outcome::Done)
}

fn revoked(answer: &Value) -> String {
    let mut text = String::new();
    for certificate in answer["revoked"].as_array().into_iter().flatten() {
        let again = if certificate["newly"] == false { ", as it was already" } else { "" };
        text.push_str(&format!(
            "revoked {} of {} ({}){again}\n",
            table::shown(&certificate["id"]),
            table::shown(&certificate["client"]),
            table::shown(&certificate["reason"]),
        ));
    }
    if text.is_empty() {
        text.push_str("nothing to revoke: there is no live certificate\n");
    }
    text.push_str(&format!(
        "connections closed: {}\nin force after: {} ms\n",
        table::shown(&answer["connections_closed"]),
        table::shown(&answer["effective_after_ms"])
    ));
    text
}
