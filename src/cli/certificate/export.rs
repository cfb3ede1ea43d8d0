use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::item;
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::files::{self, Readers};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encoding {
    Pem,
    Der,
}

/// Print a certificate; private keys are kept nowhere and cannot be exported
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis certificate export 5f2c90aa17de4b0c | openssl x509 -noout -text\n  portcullis certificate export 5f2c90aa17de4b0c --format der --out acme.cer"
)]
pub(super) struct ExportArgs {
    /// Serial number or SHA-256 thumbprint, in hex
    serial: String,
    /// How the certificate is written
    #[arg(long, value_enum, default_value = "pem")]
    format: Encoding,
    /// Write a new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file
    #[arg(long, requires = "out")]
    force: bool,
}

pub(super) async fn run(args: ExportArgs, context: &Context) -> Result<Outcome, CliError> {
    let answer = context.api()?.get(&item(&args.serial)?).await?;
    let pem = ["pem", "certificate_pem"].into_iter().find_map(|member| answer.get(member).and_then(Value::as_str));
    let Some(pem) = pem else {
        return Err(CliError::new("this certificate was never signed, so there is nothing to export"));
    };
    let bytes = match args.format {
        Encoding::Pem => pem.as_bytes().to_vec(),
        Encoding::Der => pki::pem_certificates(pem.as_bytes())
            .map_err(|error| CliError::new(format!("the server's certificate cannot be read: {error}")))?
            .swap_remove(0),
    };
    if let Some(path) = &args.out {
        files::write(path, &bytes, Readers::Everyone, args.force)?;
        context.output.note(&format!("written to {}", path.display()));
    }
    match (context.output.is_json(), args.out) {
        (true, _) => context.output.json(&answer)?,
        (false, None) => context.output.bytes(&bytes)?,
        (false, Some(_)) => {}
    }
    Ok(Outcome::Done)
}
