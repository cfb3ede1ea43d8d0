mod backup;
mod ceremony;
mod import_crl;
mod offline;
mod rotate;
mod sign_crl;
mod taint;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::context::{Context, Outcome};
use super::error::CliError;
use super::files::{self, Readers};
use super::moment;
use super::query::Query;
use super::table::{self, Column};

pub(super) const PATH: &str = "/v1/issuers";
/// Authorities that one installation may have come to, over its generations.
const ISSUERS_MAX: usize = 1_000;
const COLUMNS: [Column; 7] = [
    Column::field("KEY ID", "id"),
    Column::field("KIND", "kind"),
    Column::made("STATE", |issuer, _| match issuer["tainted_at"].as_i64() {
        Some(_) => format!("{}, TAINTED", table::shown(&issuer["state"])),
        None => table::shown(&issuer["state"]),
    }),
    Column::field("SUBJECT", "subject"),
    Column::time("EXPIRES", "not_after", "-"),
    Column::made("CRL", |issuer, now| match (crl(issuer, "number"), crl(issuer, "next_update")) {
        (Some(number), Some(next)) => format!("{number}, next {}", moment::distance(next, now)),
        _ => "-".to_owned(),
    }),
    Column::time("OCSP SIGNER", "ocsp_signer_not_after", "-"),
];

/// The certificate authorities of this installation
#[derive(Args, Debug)]
#[command(after_help = "EXAMPLES:\n  portcullis ca show\n  portcullis ca export --out ca.pem")]
pub(super) struct CaArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List the authorities, their ends and their revocation lists
    #[command(after_help = "EXAMPLE:\n  portcullis ca show --output json")]
    Show,
    /// Print CA certificates (PEM), for the trust store of a partner or of another gateway
    #[command(
        after_help = "EXAMPLES:\n  portcullis ca export > ca.pem\n  portcullis ca export issuing --out issuing.pem\n  portcullis ca export all\n  portcullis --data /var/lib/portcullis ca export --encrypted portcullis.export --passphrase-file /media/safe/export-passphrase"
    )]
    Export {
        /// `root`, `issuing`, `server-issuing`, `all` or a key id
        #[arg(default_value = "root")]
        which: String,
        /// Write a new file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace the file
        #[arg(long, requires = "out")]
        force: bool,
        /// Write the whole installation into a new encrypted file instead: database, keys (without the root's), settings, policies
        ///
        /// Works on files; a server may run on them. The passphrase of the CA's keys is not in it.
        #[arg(long, value_name = "FILE", requires = "passphrase_file", conflicts_with_all = ["which", "out"])]
        encrypted: Option<PathBuf>,
        /// File with the passphrase of the export
        #[arg(long, value_name = "FILE", requires = "encrypted")]
        passphrase_file: Option<PathBuf>,
        /// Put the root's key file into the export, if it lies in the keys folder
        #[arg(long, requires = "encrypted")]
        with_root: bool,
    },
    /// Make an installation from an encrypted export, in a new data folder
    ///
    /// It revokes and publishes at once, with list numbers far above those it remembers, and issues to nobody until it is
    /// reconciled.
    #[command(
        after_help = "EXAMPLE:\n  portcullis --data /var/lib/portcullis ca restore portcullis.export --passphrase-file /media/safe/export-passphrase\n  portcullis --data /var/lib/portcullis ca reconcile --crl last-published.crl"
    )]
    Restore {
        /// What `ca export --encrypted` wrote
        file: PathBuf,
        /// File with the passphrase of the export
        #[arg(long, value_name = "FILE")]
        passphrase_file: PathBuf,
    },
    /// Put back what a restored database has forgotten, and issue again; works on files, with the server stopped
    Reconcile(backup::ReconcileArgs),
    /// Sign the root's revocation list for another year; works on files, with the server stopped
    ///
    /// The root's key file must lie in DATA/keys (root.key) for as long as this takes. Its list says which of the issuing
    /// authorities are revoked; the lists of client certificates are signed by the running server.
    #[command(
        name = "sign-crl",
        after_help = "EXAMPLE:\n  systemctl stop portcullis\n  cp /media/offline/root.key /var/lib/portcullis/keys/\n  portcullis --data /var/lib/portcullis ca sign-crl\n  shred -u /var/lib/portcullis/keys/root.key\n  systemctl start portcullis"
    )]
    SignCrl,
    Ceremony(ceremony::CeremonyArgs),
    Rotate(rotate::RotateArgs),
    Taint(taint::TaintArgs),
    /// Publish the root's revocation list that a ceremony signed
    #[command(name = "import-crl", after_help = "EXAMPLE:\n  portcullis ca import-crl stick/root.crl")]
    ImportCrl {
        /// PEM or DER
        list: PathBuf,
        /// Key id of the root, where there are two [default: the one that signed the list]
        #[arg(long, value_name = "HEX")]
        issuer: Option<String>,
    },
}

pub(super) async fn run(args: CaArgs, context: &Context) -> Result<Outcome, CliError> {
    match args.verb {
        Verb::SignCrl => return sign_crl::run(context).await,
        Verb::Export { encrypted: Some(to), passphrase_file: Some(passphrase), with_root, .. } => {
            return backup::export(context, &to, &passphrase, with_root).await;
        }
        Verb::Restore { file, passphrase_file } => return backup::restore(context, &file, &passphrase_file).await,
        Verb::Reconcile(args) => return backup::reconcile(context, &args).await,
        Verb::Ceremony(args) => return ceremony::run(args, context).await,
        Verb::Rotate(args) => return rotate::run(args, context).await,
        Verb::ImportCrl { list, issuer } => return import_crl::run(&list, issuer, context).await,
        Verb::Taint(args) => return taint::run(args, context).await,
        Verb::Show => context.output.items(&issuers(context).await?, &COLUMNS)?,
        Verb::Export { which, out, force, .. } => {
            let issuers = issuers(context).await?;
            let wanted = which.replace(':', "").to_ascii_lowercase();
            let chosen: Vec<Value> = issuers
                .into_iter()
                .filter(|issuer| {
                    issuer["id"] == wanted || is_handed_out(issuer) && (wanted == "all" || issuer["kind"] == wanted)
                })
                .collect();
            if chosen.is_empty() {
                return Err(CliError::new(format!("there is no authority {which:?}: `portcullis ca show` lists them")));
            }
            let pem: String = chosen.iter().filter_map(|issuer| issuer["certificate_pem"].as_str()).collect();
            match out {
                Some(path) => {
                    let readers = Readers::Everyone;
                    files::write(&path, pem.as_bytes(), readers, force)?;
                    context.output.note(&format!("{} certificates written to {}", chosen.len(), path.display()));
                    if context.output.is_json() {
                        context.output.json(&Value::Array(chosen))?;
                    }
                }
                None => context.output.either(&Value::Array(chosen.clone()), || pem)?,
            }
        }
    }
    Ok(Outcome::Done)
}

/// What is only prepared is nobody's to trust yet, and what is tainted nobody's any more; both are exported by key id alone.
fn is_handed_out(issuer: &Value) -> bool {
    issuer["state"] != "prepared" && issuer["tainted_at"].is_null()
}

async fn issuers(context: &Context) -> Result<Vec<Value>, CliError> {
    Ok(context.api()?.list(PATH, &Query::default(), ISSUERS_MAX).await?.items)
}

/// A fact of an authority's revocation list: `number`, `this_update`, `next_update`.
pub(super) fn crl(issuer: &Value, member: &str) -> Option<i64> {
    issuer["crl"][member].as_i64().or_else(|| issuer[format!("crl_{member}")].as_i64())
}
