use std::path::{Path, PathBuf};

use clap::Args;
use pki::RevocationList;
use serde_json::json;

use super::judge;
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::files;
use crate::cli::moment::{self, Instant};
use crate::listen::ChainVerdict;

/// A list of a million certificates takes 53 MB, and a third more in PEM.
const CRL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Judge a certificate chain offline, with the verifier of the listeners: exit 0 accepted, 1 rejected
///
/// It judges the chain, and with --crl the revocation lists. Whether the certificate is one of ours and may call now, only the
/// gate knows: `certificate show`, `policy explain`.
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis certificate verify --trust ca.pem client.crt\n  portcullis certificate verify --trust ca.pem --crl crls.pem --at 2027-01-15T08:00:00Z client.crt"
)]
pub(super) struct VerifyArgs {
    /// CA certificates that the chain may end at (PEM, or one in DER)
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// Revocation lists (PEM or DER); then there must be one of the leaf's issuer. Repeat for more files
    #[arg(long = "crl", value_name = "FILE")]
    crls: Vec<PathBuf>,
    /// When to judge (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Instant>,
    /// The chain, leaf first (PEM, or one certificate in DER)
    chain: PathBuf,
}

pub(super) fn run(args: VerifyArgs, context: &Context) -> Result<Outcome, CliError> {
    let anchors = certificates(files::read(&args.trust, files::BYTES_MAX)?)
        .map_err(|error| CliError::new(format!("{}: {error}", args.trust.display())))?;
    let chain = files::read(&args.chain, files::BYTES_MAX)?;
    let crls = args.crls.iter().map(|path| files::read(path, CRL_BYTES_MAX)).collect::<Result<Vec<_>, _>>()?;
    let at = args.at.map_or_else(|| context.now(), |at| at.unix_seconds);
    let verdict = verdict(anchors, chain, (!crls.is_empty()).then_some(&crls), at, &args.chain);
    let (word, reason, outcome) = match verdict {
        ChainVerdict::Accepted => ("accepted", None, Outcome::Done),
        ChainVerdict::Rejected(reason) => ("rejected", Some(reason), Outcome::Refused),
    };
    let answer = json!({"verdict": word, "reason": reason, "at": moment::rfc3339(at)});
    context.output.either(&answer, || match &reason {
        Some(reason) => format!("{word}: {reason}\n"),
        None => format!("{word}\n"),
    })?;
    Ok(outcome)
}

/// What cannot be read is rejected too: a listener would do the same.
fn verdict(
    anchors: Vec<Vec<u8>>,
    chain: Vec<u8>,
    crls: Option<&Vec<Vec<u8>>>,
    at: i64,
    chain_file: &Path,
) -> ChainVerdict {
    let chain = match certificates(chain) {
        Ok(chain) => chain,
        Err(error) => return ChainVerdict::Rejected(format!("{}: {error}", chain_file.display())),
    };
    let lists = match crls.map(|files| read_lists(files)).transpose() {
        Ok(lists) => lists,
        Err(error) => return ChainVerdict::Rejected(error.to_string()),
    };
    judge::chain(anchors, &chain, lists.as_deref(), at)
}

/// PEM, or a single certificate in DER: a SEQUENCE of more than 127 octets, which is no UTF-8.
fn certificates(bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, pki::Error> {
    match bytes.as_slice() {
        [0x30, 0x81..=0x84, ..] => Ok(vec![bytes]),
        _ => pki::pem_certificates(&bytes),
    }
}

fn read_lists(files: &[Vec<u8>]) -> Result<Vec<RevocationList>, pki::Error> {
    files.iter().map(|file| RevocationList::read_all(file)).collect::<Result<Vec<_>, _>>().map(|lists| lists.concat())
}
