mod inspect;
mod offline;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, Outcome, body, given};
use super::error::CliError;
use super::files;
use super::moment;
use super::table;

const PATH: &str = "/v1/tokens";
/// A token and a line end; the gate takes none that is longer.
const TOKEN_BYTES_MAX: u64 = crate::oauth::jwt::MAX_TOKEN_BYTES as u64 + 2;

/// Access tokens
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis token issue --client acme-orders\n  portcullis token inspect --jwks jwks.json eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln\n  portcullis token revoke --client acme-orders"
)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Issue an access token to a client, as the token endpoint would; it is printed alone on standard output
    #[command(
        after_help = "EXAMPLES:\n  portcullis token issue --client acme-orders --scope https://api.example.com/test/hello-world\n  TOKEN=$(portcullis token issue --client acme-orders)"
    )]
    Issue {
        /// Whose it will be
        #[arg(long, value_name = "ID")]
        client: String,
        /// Some of the client's scopes; repeat for more [default: all]
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    Inspect(inspect::InspectArgs),
    /// Revoke one token, or all tokens that a client has been issued so far
    #[command(
        after_help = "EXAMPLES:\n  portcullis token revoke --client acme-orders\n  portcullis token revoke --jti 0193c0de-5a5a-7000-8000-0123456789ab\n  portcullis token issue --client acme-orders | portcullis token revoke -"
    )]
    Revoke {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    /// The token, or - for standard input
    token: Option<String>,
    /// The token's name (its `jti` claim)
    #[arg(long, value_name = "JTI")]
    jti: Option<String>,
    /// All tokens of this client
    #[arg(long, value_name = "ID")]
    client: Option<String>,
}

pub(super) async fn run(args: TokenArgs, context: &Context) -> Result<Outcome, CliError> {
    match args.verb {
        Verb::Issue { client, scopes } => {
            let body = body([("client", json!(client)), ("scopes", given(&scopes))]);
            let answer = context.api()?.post(PATH, &body).await?;
            context.output.secret(&answer, "access_token", || {
                let seconds = answer["expires_in"].as_i64().unwrap_or(0);
                let end = moment::with_distance(context.now().saturating_add(seconds), context.now());
                format!("Access token of {}, expires {end}", table::plain(&client))
            })?;
        }
        Verb::Inspect(args) => return inspect::run(args, context).await,
        Verb::Revoke { which } => {
            let token = which.token.map(read).transpose()?;
            let body = body([("token", json!(token)), ("jti", json!(which.jti)), ("client", json!(which.client))]);
            let answer = context.api()?.post(&format!("{PATH}/revoke"), &body).await?;
            match answer.as_object() {
                Some(members) if !members.is_empty() => context.output.object(&answer)?,
                _ if context.output.is_json() => context.output.json(&answer)?,
                _ => context.output.text("revoked\n")?,
            }
        }
    }
    Ok(Outcome::Done)
}

/// The token itself, or what stands on standard input for `-`: arguments can be read by every user of the machine.
fn read(argument: String) -> Result<String, CliError> {
    if argument != "-" {
        return Ok(argument);
    }
    let text = String::from_utf8(files::read_stdin(TOKEN_BYTES_MAX)?)
        .map_err(|_| CliError::new("standard input is not text, so it is not a token"))?;
    Ok(text.trim().to_owned())
}
