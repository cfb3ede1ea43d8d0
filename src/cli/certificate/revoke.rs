use clap::Args;
use serde_json::{Value, json};

use super::{PATH, hex};
use crate::cli::context::{Context, Outcome, body};
use crate::cli::error::CliError;
use crate::cli::table;

/// Revoke certificates; in force when the command returns, on open connections too
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis certificate revoke 5f:2c:90:aa:17:de:4b:0c --reason key-compromise\n  portcullis certificate revoke --client acme-orders --reason cessation-of-operation\n  portcullis certificate revoke --issuer 3f9a2c1b… --reason ca-compromise"
)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    which: Which,
    /// A reason of RFC 5280 in kebab-case: `key-compromise`, `superseded`, `cessation-of-operation`, `affiliation-changed`,
    /// `privilege-withdrawn`, `unspecified`. A compromised key is never certified again, and every other certificate of it is
    /// revoked too
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
    /// All certificates of clients that this authority issued: its key id, as `ca show` prints it
    #[arg(long, value_name = "KEY ID")]
    issuer: Option<String>,
}

pub(super) async fn run(args: RevokeArgs, context: &Context) -> Result<Outcome, CliError> {
    let which = args.which;
    let body = body([
        ("serial", json!(which.serial.as_deref().map(hex))),
        ("thumbprint", json!(which.thumbprint.as_deref().map(hex))),
        ("client", json!(which.client)),
        ("partner", json!(which.partner)),
        ("issuer", json!(which.issuer.as_deref().map(hex))),
        ("reason", json!(args.reason)),
    ]);
    let answer = context.api()?.post(&format!("{PATH}/revoke"), &body).await?;
    context.output.either(&answer, || revoked(&answer))?;
    Ok(Outcome::Done)
}

fn revoked(answer: &Value) -> String {
    let mut text = String::new();
    for certificate in answer["revoked"].as_array().into_iter().flatten() {
        let again = match (&certificate["newly"], &certificate["same_key"]) {
            (Value::Bool(false), _) => ", as it was already",
            (_, Value::Bool(true)) => ", which has the same key",
            _ => "",
        };
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
    let told = answer["revoked"].as_array().map_or(0, Vec::len) as u64;
    if let Some(more) = answer["count"].as_u64().and_then(|count| count.checked_sub(told)).filter(|more| *more > 0) {
        text.push_str(&format!("and {more} more\n"));
    }
    if let Some(keys) = answer["keys_blocked"].as_u64().filter(|keys| *keys > 0) {
        text.push_str(&format!("keys blocked: {keys}\n"));
    }
    text.push_str(&format!(
        "connections closed: {}\nin force after: {} ms\n",
        table::shown(&answer["connections_closed"]),
        table::shown(&answer["effective_after_ms"])
    ));
    text
}
