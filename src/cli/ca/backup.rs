//! An installation into one encrypted file, back again, and what a restored one needs before it issues.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::app::export::{self, Moved};
use crate::app::folder_lock::FolderLock;
use crate::app::{Endpoints, Foundation, find_passphrase};
use crate::authority::{Evidence, Passphrase};
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::start;
use crate::registry::Actor;

/// A list of a million entries takes 53 MB.
const EVIDENCE_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(super) async fn export(
    context: &Context,
    to: &Path,
    passphrase: &Path,
    with_root: bool,
) -> Result<Outcome, CliError> {
    let data = folder(context)?;
    let (config, passphrase) = (start::load(&data)?, Passphrase::from_file(passphrase)?);
    let moved = export::export(&config, to, &passphrase, with_root).await?;
    told(context, &moved, || format!("Exported {} files to {}.\n", moved.files, to.display()))
}

pub(super) async fn restore(context: &Context, from: &Path, passphrase: &Path) -> Result<Outcome, CliError> {
    let (data, passphrase) = (folder(context)?, Passphrase::from_file(passphrase)?);
    let moved = export::restore(from, &data, &passphrase, &context.clock).await?;
    let data = data.display();
    told(context, &moved, || {
        format!(
            "Restored {} files into {data}.\n\
             The authority revokes and publishes; it issues to nobody until `portcullis --data {data} ca reconcile`.\n\
             Put the passphrase of its keys back before you start it.\n",
            moved.files
        )
    })
}

fn told(context: &Context, moved: &Moved, text: impl FnOnce() -> String) -> Result<Outcome, CliError> {
    context.output.either(&json!(moved), text)?;
    Ok(Outcome::Done)
}

/// What `ca reconcile` was given.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis --data /var/lib/portcullis ca reconcile --crl last-published.crl --certificate acme.crt\n  portcullis --data /var/lib/portcullis ca reconcile --nothing-was-lost"
)]
pub(super) struct ReconcileArgs {
    /// A revocation list of ours (PEM or DER) that was published after the export; repeat for more
    #[arg(long, value_name = "FILE", required_unless_present = "nothing_was_lost")]
    crl: Vec<PathBuf>,
    /// Client certificates of ours (PEM) that were issued after the export; repeat for more
    #[arg(long, value_name = "FILE")]
    certificate: Vec<PathBuf>,
    /// Nothing was issued and nothing revoked after the export
    #[arg(long, conflicts_with_all = ["crl", "certificate"])]
    nothing_was_lost: bool,
}

pub(super) async fn reconcile(context: &Context, args: &ReconcileArgs) -> Result<Outcome, CliError> {
    let data = folder(context)?;
    let config = start::load(&data)?;
    let mut evidence = Evidence::default();
    for path in &args.crl {
        evidence.lists.extend(pki::RevocationList::read_all(&read(path)?).map_err(|error| unusable(path, &error))?);
    }
    for path in &args.certificate {
        evidence.certificates.extend(pki::pem_certificates(&read(path)?).map_err(|error| unusable(path, &error))?);
    }
    // An authority of ours comes along in every chain file, and is known.
    evidence.certificates.retain(|der| !pki::ClientCertificate::parse(der).is_ok_and(|read| read.is_ca));
    let _lock = FolderLock::take(&data)?;
    let (passphrase, endpoints) = (find_passphrase(&config)?, Endpoints::configured(&config));
    let foundation = Foundation::open(config, context.clock.clone(), passphrase, &endpoints).await?;
    let done = foundation.authority.reconcile(&evidence, &Actor::local()).await;
    foundation.store.close().await;
    let done = done?;
    context.output.either(&json!(done), || {
        format!(
            "Reconciled: {} certificates and {} revocations put back, {} unknown serials revoked. The authority issues again.\n",
            done.certificates_added, done.revocations_added, done.unknown_serials_revoked
        )
    })?;
    Ok(Outcome::Done)
}

fn folder(context: &Context) -> Result<PathBuf, CliError> {
    context.global.data().ok_or_else(|| CliError::new("say which data folder: --data DIR or PORTCULLIS_DATA"))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let refuse = |why: String| CliError::new(format!("{}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if length > EVIDENCE_BYTES_MAX {
        return Err(refuse(format!("it is larger than {EVIDENCE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|error| refuse(error.to_string()))
}

fn unusable(path: &Path, error: &pki::Error) -> CliError {
    CliError::new(format!("{}: {error}", path.display()))
}
