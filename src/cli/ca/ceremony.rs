//! The root's ceremonies. Nothing here opens a socket: a machine without network runs them.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use pki::{AuthorityName, KeyAlgorithm, ProfileKind, RevocationReason};
use serde::Serialize;
use serde_json::Value;

use crate::authority::Passphrase;
use crate::authority::ceremony::{Ceremony, NewIssuing, NewRoot, ROOT_CERTIFICATE, ROOT_LIST, Revoke, TRANSCRIPT};
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::{moment, table};

/// Keep the root's key on a machine without network: make it, sign with it, and write down what was done
///
/// The root lives in a folder of its own (--root): root.key (encrypted), root.pem, root.crl and transcript.jsonl, in which every
/// step is written with the SHA-256 of each file that it read or made. The passphrase is the one thing that is not hashed. Only
/// requests, certificates and lists travel between that machine and the server; `init --ceremony` makes and takes them.
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLE (the second and fourth line on the server, the others on the machine without network):\n  portcullis ca ceremony init-root --root root --passphrase-file root.passphrase\n  portcullis --data /var/lib/portcullis init --hostname api.example.com --ceremony stick\n  portcullis ca ceremony sign-issuing --root root --passphrase-file root.passphrase --kind issuing \\\n    --request stick/issuing.csr --out stick/issuing.pem --pki-url http://pki.example.com\n  portcullis --data /var/lib/portcullis init --ceremony stick"
)]
pub(super) struct CeremonyArgs {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand, Debug)]
enum Step {
    /// Make a root: its key, its certificate and its first revocation list
    #[command(
        name = "init-root",
        after_help = "EXAMPLE:\n  portcullis ca ceremony init-root --root root --passphrase-file root.passphrase --name 'Example Root CA' \\\n    --witness 'A. Auditor' --witness 'B. Builder'"
    )]
    InitRoot {
        #[command(flatten)]
        root: Root,
        /// Common name; the first digits of its key id are added
        #[arg(long, default_value = "Portcullis Root CA")]
        name: String,
        /// Organization in its name
        #[arg(long)]
        organization: Option<String>,
        /// How long it lives [default: 15 years]
        #[arg(long)]
        days: Option<u32>,
        /// `ecdsa-p384` or `rsa-4096`
        #[arg(long, default_value = "ecdsa-p384")]
        key_algorithm: KeyAlgorithm,
    },
    /// Certify the key of an issuing authority, from the request that the server made
    #[command(
        name = "sign-issuing",
        after_help = "EXAMPLE:\n  portcullis ca ceremony sign-issuing --root root --passphrase-file root.passphrase --kind issuing \\\n    --request stick/issuing.csr --out stick/issuing.pem --pki-url http://pki.example.com"
    )]
    SignIssuing {
        #[command(flatten)]
        root: Root,
        /// What it will issue: certificates of clients, or of the gate itself
        #[arg(long, value_enum)]
        kind: Kind,
        /// PKCS#10, PEM or DER
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// Where the certificate is written; must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Common name [default: the request's]; the first digits of its key id are added
        #[arg(long)]
        name: Option<String>,
        /// Organization in its name
        #[arg(long, requires = "name")]
        organization: Option<String>,
        /// How long it lives [default: 3 years]
        #[arg(long)]
        days: Option<u32>,
        /// Where the server publishes lists (its --pki-url), written into the certificate
        #[arg(long, value_name = "URL")]
        pki_url: Option<String>,
    },
    /// Certify another root under this one, for the time while one follows the other
    #[command(
        name = "cross-sign",
        after_help = "EXAMPLE (who has only the old root installed then reaches what the new one signs):\n  portcullis ca ceremony cross-sign --root old-root --passphrase-file old.passphrase \\\n    --other new-root/root.pem --out stick/new-with-old.pem --pki-url http://pki.example.com"
    )]
    CrossSign {
        #[command(flatten)]
        root: Root,
        /// The other root, PEM
        #[arg(long, value_name = "FILE")]
        other: PathBuf,
        /// Where the certificate is written; must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Where the server publishes lists (its --pki-url), written into the certificate
        #[arg(long, value_name = "URL")]
        pki_url: Option<String>,
    },
    /// Sign the root's next revocation list, for another year
    ///
    /// It says all that the last one said (root.crl in the folder, which it replaces), and what --revoke adds. Bring it to the
    /// server with `ca import-crl`.
    #[command(
        name = "sign-crl",
        after_help = "EXAMPLES:\n  portcullis ca ceremony sign-crl --root root --passphrase-file root.passphrase\n  portcullis ca ceremony sign-crl --root root --passphrase-file root.passphrase --revoke issuing.pem --reason ca-compromise"
    )]
    SignCrl {
        #[command(flatten)]
        root: Root,
        /// Certificate of the root's to revoke, PEM; repeat for more
        #[arg(long, value_name = "FILE")]
        revoke: Vec<PathBuf>,
        /// A reason of RFC 5280 in kebab-case
        #[arg(long, default_value = "ca-compromise", requires = "revoke")]
        reason: RevocationReason,
    },
    /// Hold the transcript against itself and against the files that are still there
    #[command(after_help = "EXAMPLE:\n  portcullis ca ceremony verify --root root")]
    Verify {
        /// The root's folder
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
    },
}

#[derive(Args, Debug)]
struct Root {
    /// The root's folder
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// File with the passphrase of the root's key
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
    /// Who watches, for the transcript; repeat for more
    #[arg(long = "witness", value_name = "NAME")]
    witnesses: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Issuing,
    ServerIssuing,
}

impl Root {
    fn set_up(self, context: &Context) -> Result<Ceremony, CliError> {
        let passphrase = Passphrase::from_file(&self.passphrase_file)?;
        Ok(Ceremony::new(self.root, passphrase, context.clock.clone(), self.witnesses))
    }
}

pub(super) async fn run(args: CeremonyArgs, context: &Context) -> Result<Outcome, CliError> {
    match args.step {
        Step::InitRoot { root, name, organization, days, key_algorithm } => {
            let ceremony = root.set_up(context)?;
            let name = AuthorityName { common_name: name, organization };
            let made = ceremony.init_root(NewRoot { name, algorithm: key_algorithm, days }).await?;
            said(context, &made, &[&ceremony.folder().join(ROOT_CERTIFICATE)], ceremony.folder())
        }
        Step::SignIssuing { root, kind, request, out, name, organization, days, pki_url } => {
            let ceremony = root.set_up(context)?;
            let new = NewIssuing {
                kind: match kind {
                    Kind::Issuing => ProfileKind::Issuing,
                    Kind::ServerIssuing => ProfileKind::ServerIssuing,
                },
                name: name.map(|common_name| AuthorityName { common_name, organization }),
                days,
                pki_url,
            };
            let signed = ceremony.sign_issuing(&request, new, &out).await?;
            said(context, &signed, &[&out], ceremony.folder())
        }
        Step::CrossSign { root, other, out, pki_url } => {
            let ceremony = root.set_up(context)?;
            let signed = ceremony.cross_sign(&other, pki_url.as_deref(), &out).await?;
            said(context, &signed, &[&out], ceremony.folder())
        }
        Step::SignCrl { root, revoke, reason } => {
            let ceremony = root.set_up(context)?;
            let signed = ceremony.sign_list(Revoke { certificates: &revoke, reason }).await?;
            said(context, &signed, &[&ceremony.folder().join(ROOT_LIST)], ceremony.folder())
        }
        Step::Verify { root } => verify(context, &root),
    }
}

/// What was made, for the witnesses to write down.
fn said(context: &Context, facts: &impl Serialize, files: &[&Path], folder: &Path) -> Result<Outcome, CliError> {
    let facts = serde_json::to_value(facts).map_err(|error| CliError::new(error.to_string()))?;
    context.output.either(&facts, || {
        let mut text = String::new();
        for (name, value) in facts.as_object().into_iter().flatten() {
            let shown = match (name.ends_with("_after") || name.ends_with("_update"), value.as_i64()) {
                (true, Some(at)) => moment::with_distance(at, context.now()),
                _ => table::shown(value),
            };
            text.push_str(&format!("{:<20}{shown}\n", name.replace('_', " ")));
        }
        for file in files {
            text.push_str(&format!("{:<20}{}\n", "written", file.display()));
        }
        text.push_str(&format!("{:<20}{}\n", "transcript", folder.join(TRANSCRIPT).display()));
        text
    })?;
    Ok(Outcome::Done)
}

fn verify(context: &Context, root: &Path) -> Result<Outcome, CliError> {
    let report = Ceremony::check_transcript(root)?;
    let answer: Value = serde_json::to_value(&report).map_err(|error| CliError::new(error.to_string()))?;
    context.output.either(&answer, || {
        let mut text = format!("steps {}\nSHA-256 of the last line {}\n", report.steps, report.last_sha256);
        for file in &report.files {
            text.push_str(&format!("{:<8}{}  {}\n", file.now, file.sha256, file.file));
        }
        for fault in &report.faults {
            text.push_str(&format!("fault: {fault}\n"));
        }
        text
    })?;
    Ok(if report.faults.is_empty() { Outcome::Done } else { Outcome::Refused })
}
