mod bundle;
mod export;
mod inventory;
mod issue;
mod judge;
mod renew;
mod revoke;
mod verify;

use clap::{Args, Subcommand};

use super::context::{Context, Outcome};
use super::error::CliError;
use super::listing::{self, Limit};
use super::query::{self, Query};
use super::table::Column;

const PATH: &str = "/v1/certificates";
const COLUMNS: [Column; 7] = [
    Column::field("SERIAL", "id"),
    Column::field("CLIENT", "client"),
    Column::field("PARTNER", "partner"),
    Column::field("STATE", "state"),
    Column::time("EXPIRES", "not_after", "-"),
    Column::time("LAST SEEN", "last_seen_at", "never"),
    Column::time("CREATED", "created_at", "-"),
];

/// Client certificates, from issuance to revocation
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis certificate issue --client acme-orders\n  portcullis certificate list --expiring-within 30d\n  portcullis certificate revoke --client acme-orders --reason key-compromise\n  portcullis certificate verify --trust ca.pem client.crt"
)]
pub(super) struct CertificateArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Issue(issue::IssueArgs),
    Sign(issue::SignArgs),
    /// List certificates, newest first; by their end or their last use where that is asked about
    #[command(
        after_help = "EXAMPLES:\n  portcullis certificate list --partner acme\n  portcullis certificate list --expiring-within 30d --output json\n  portcullis certificate list --state issued --last-seen-before 90d\n  portcullis certificate list --key-type rsa-2048 --source 203.0.113.0/24"
    )]
    List {
        /// Only this client's
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// Only this partner's
        #[arg(long, value_name = "ID")]
        partner: Option<String>,
        /// `issued`, `expired`, `revoked`, `reserved` or `orphaned`
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        inventory: inventory::InventoryFilter,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one certificate
    #[command(after_help = "EXAMPLE:\n  portcullis certificate show 5f2c90aa17de4b0c8d3f6a1b2c3d4e5f")]
    Show {
        /// Serial number or SHA-256 thumbprint, in hex
        serial: String,
    },
    Renew(renew::RenewArgs),
    Revoke(revoke::RevokeArgs),
    Verify(verify::VerifyArgs),
    Export(export::ExportArgs),
}

pub(super) async fn run(args: CertificateArgs, context: &Context) -> Result<Outcome, CliError> {
    match args.verb {
        Verb::Issue(args) => issue::issue(args, context).await,
        Verb::Sign(args) => issue::sign(args, context).await,
        Verb::List { client, partner, state, inventory, limit } => {
            let query = Query::default().with("client", client).with("partner", partner).with("state", state);
            let query = inventory.on(query, context.now());
            listing::print(context, PATH, &query, limit, &COLUMNS).await
        }
        Verb::Show { serial } => {
            let answer = context.api()?.get(&item(&serial)?).await?;
            context.output.object(&answer)?;
            Ok(Outcome::Done)
        }
        Verb::Renew(args) => renew::run(args, context).await,
        Verb::Revoke(args) => revoke::run(args, context).await,
        Verb::Verify(args) => verify::run(args, context),
        Verb::Export(args) => export::run(args, context).await,
    }
}

/// The path of one certificate. Serials come with colons from openssl, and in capitals.
fn item(serial: &str) -> Result<String, CliError> {
    query::item(PATH, &hex(serial))
}

fn hex(text: &str) -> String {
    text.trim().replace(':', "").to_ascii_lowercase()
}
