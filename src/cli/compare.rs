mod tables;
mod watch;

use std::path::PathBuf;

use clap::Args;

use self::watch::Watch;
use super::context::{Context, Outcome};
use super::error::CliError;
use crate::compare::{self, Options, Sources, Target};

/// More would be a benchmark of this program's patience.
const COUNT_MAX: u64 = 100_000;
const REVOCATIONS_MAX: u64 = 100;

/// Send the same request by each method, and print what the methods cost and promise
///
/// Measures the client certificate, the API key, the access token, and the last two together with the certificate: first calls,
/// kept and resumed connections, bytes on the wire, and how long a credential still works once it is revoked. For that it makes a
/// client of its own, like the one that is compared, and switches it off at the end; nothing of yours is revoked.
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis compare --data portcullis-demo\n  portcullis compare --data portcullis-demo --output json\n  portcullis compare --url https://api.example.com/orders --ca ca.pem --api-key-file orders.key --no-revoke\n  portcullis compare --data /var/lib/portcullis --url https://api.example.com/orders --client-id acme-orders"
)]
pub(super) struct CompareArgs {
    /// The route to call, with GET [default: the demo's]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Certificate of the client, with its chain (PEM); what is named here is measured instead of a temporary client
    #[arg(long, value_name = "FILE", requires = "client_key", help_heading = "Whose credentials")]
    client_certificate: Option<PathBuf>,
    /// Private key of the client (PEM)
    #[arg(long, value_name = "FILE", requires = "client_certificate", help_heading = "Whose credentials")]
    client_key: Option<PathBuf>,
    /// File with the client's API key
    #[arg(long, value_name = "FILE", help_heading = "Whose credentials")]
    api_key_file: Option<PathBuf>,
    /// The client: whom a temporary client is to be like, and whose secret the next option holds [default: the demo's]
    #[arg(long, value_name = "ID", help_heading = "Whose credentials")]
    client_id: Option<String>,
    /// File with the client's secret, with which tokens are fetched
    #[arg(long, value_name = "FILE", requires = "client_id", help_heading = "Whose credentials")]
    client_secret_file: Option<PathBuf>,
    /// Where tokens are fetched [default: /oauth2/token where the route is]
    #[arg(long, value_name = "URL", help_heading = "Whose credentials")]
    token_url: Option<String>,
    /// The scope to ask for with a token [default: all that the client has]
    #[arg(long, value_name = "SCOPE", help_heading = "Whose credentials")]
    scope: Option<String>,
    /// New connections for each method, and as many resumed ones
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    connections: u64,
    /// Requests on a kept connection for each method
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    requests: u64,
    /// Revocations for each method
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=REVOCATIONS_MAX))]
    revocations: u64,
    /// Revoke nothing and make nothing on the server; your own credentials are measured
    #[arg(long, conflicts_with = "revocations")]
    no_revoke: bool,
}

pub(super) async fn run(args: CompareArgs, context: &Context) -> Result<Outcome, CliError> {
    let global = &context.global;
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let options = Options {
        new_connections: count(args.connections),
        kept_requests: count(args.requests),
        token_fetches: count(args.connections),
        revocations: if args.no_revoke { 0 } else { count(args.revocations) },
    };
    let sources = Sources {
        data: global.data(),
        url: args.url,
        ca: global.ca.clone(),
        client_certificate: args.client_certificate,
        client_key: args.client_key,
        api_key_file: args.api_key_file,
        client_id: args.client_id,
        client_secret_file: args.client_secret_file,
        token_url: args.token_url,
        scope: args.scope,
        admin: global.admin.clone(),
        admin_certificate: global.certificate.clone(),
        admin_key: global.key.clone(),
    };
    let target = Target::find(&sources).await?;
    let watch = Watch::new(context.output.clone());
    // What was made on the server is cleared away before the program ends.
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    };
    let compared = compare::compare(&target, &options, &context.clock, &watch, interrupted).await;
    watch.finish();
    let compared = compared?;
    let json = serde_json::to_value(&compared).map_err(|error| CliError::new(error.to_string()))?;
    context.output.either(&json, || tables::of(&compared, context.now()))?;
    Ok(Outcome::Done)
}
