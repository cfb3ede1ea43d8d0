use std::path::{Path, PathBuf};

use clap::Args;
use pki::{ClientCertificate, KeyAlgorithm, PrivateKey};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{bundle, item};
use crate::cli::admin_api::AdminApi;
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::files::{self, Readers};
use crate::cli::{moment, table};

const CERTIFICATE: &str = "client.crt";
const KEY: &str = "client.key";

/// Renew a certificate with itself: a new key made here, a new certificate for it; the old one stays good beside it
///
/// The certificate is the one that is shown to the server: --certificate and --key, else the administrator's in the data folder.
/// --admin may name any listener that asks for certificates, so partners use this command too.
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis certificate renew --out admin-new\n  portcullis certificate renew --admin https://api.example.com:8443 --ca ca.pem --certificate client.crt --key client.key --in-place\n  portcullis certificate renew --in-place --if-due\n\nThe last one may run daily, by cron: it does nothing until the server says that it is time."
)]
pub(super) struct RenewArgs {
    /// `ecdsa-p256`, `ecdsa-p384`, `ed25519`, `rsa-2048`, `rsa-3072` or `rsa-4096` [default: as the old key]
    #[arg(long, value_name = "ALGORITHM")]
    key_algorithm: Option<KeyAlgorithm>,
    /// Do nothing unless the server says that it is time
    #[arg(long)]
    if_due: bool,
    #[command(flatten)]
    place: Place,
    /// Replace files that are there already
    #[arg(long, requires = "out")]
    force: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Place {
    /// Write client.crt (with chain) and client.key into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Put the new certificate and key in the place of the old ones, which are kept beside them as *.old
    #[arg(long)]
    in_place: bool,
}

pub(super) async fn run(args: RenewArgs, context: &Context) -> Result<Outcome, CliError> {
    let mut api = context.api()?;
    let connection = api.connection().clone();
    let old = read_leaf(&connection.certificate)?;
    let parsed = ClientCertificate::parse(&old).map_err(|error| unreadable(&connection.certificate, &error))?;
    let path = item(&parsed.serial.to_string())?;
    if args.if_due
        && let Some(start) = not_due_before(&mut api, &path, context.now()).await?
    {
        let when = moment::with_distance(start, context.now());
        context.output.note(&format!("certificate {} is not due: renew it from {when} on", parsed.serial));
        return Ok(Outcome::Done);
    }
    let files = Files::new(&args, &connection.certificate, &connection.key)?;
    let algorithm = args.key_algorithm.or(parsed.key_algorithm).unwrap_or(KeyAlgorithm::EcdsaP256);
    let key = PrivateKey::generate(algorithm).map_err(|error| CliError::new(error.to_string()))?;
    let request = pki::renewal_request(&key, &old).map_err(|error| CliError::new(error.to_string()))?;
    // On disk before it is certified: a certificate whose key was lost would be one more to revoke.
    files.write_key(key.to_pkcs8_pem().as_bytes())?;
    let answer = api.post(&format!("{path}/renew"), &json!({ "csr": pki::pem_request(&request) })).await;
    let answer = answer.inspect_err(|_| files.take_back())?;
    files.finish(bundle::chain(&answer)?.as_bytes())?;
    let end = answer["not_after"].as_i64().map_or_else(String::new, |at| moment::with_distance(at, context.now()));
    context.output.note(&format!(
        "Certificate {} for {}, expires {end}; renews {}",
        table::shown(&answer["id"]),
        table::shown(&answer["client"]),
        parsed.serial
    ));
    context.output.either(&answer, || files.told())?;
    Ok(Outcome::Done)
}

fn read_leaf(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut chain =
        pki::pem_certificates(&files::read(path, files::BYTES_MAX)?).map_err(|error| unreadable(path, &error))?;
    Ok(chain.swap_remove(0))
}

fn unreadable(path: &Path, error: &pki::Error) -> CliError {
    CliError::new(format!("{}: {error}", path.display()))
}

/// The start of the window, if that is still to come.
async fn not_due_before(api: &mut AdminApi, path: &str, now: i64) -> Result<Option<i64>, CliError> {
    let window = api.get(&format!("{path}/renewal-info")).await?;
    let start = window["suggestedWindow"]["start"].as_str();
    let start = start.and_then(|start| OffsetDateTime::parse(start, &Rfc3339).ok()).ok_or_else(|| {
        CliError::new("the server's answer has no suggestedWindow: it is of another version than this program")
    })?;
    Ok(Some(start.unix_timestamp()).filter(|start| *start > now))
}

/// Where the new key and certificate go. The key is written first, under a name of its own; both take their places at the end.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    new_key: PathBuf,
    keep_old: bool,
}

impl Files {
    fn new(args: &RenewArgs, old_certificate: &Path, old_key: &Path) -> Result<Self, CliError> {
        let (certificate, key) = match &args.place.out {
            Some(folder) => {
                bundle::make(folder)?;
                (folder.join(CERTIFICATE), folder.join(KEY))
            }
            None => (old_certificate.to_owned(), old_key.to_owned()),
        };
        if !args.place.in_place
            && !args.force
            && let Some(path) = [&certificate, &key].into_iter().find(|path| path.symlink_metadata().is_ok())
        {
            return Err(CliError::new(format!(
                "{} exists already: choose another folder with --out, or give --force",
                path.display()
            )));
        }
        Ok(Self { new_key: with_suffix(&key, "new"), certificate, key, keep_old: args.place.in_place })
    }

    fn write_key(&self, pem: &[u8]) -> Result<(), CliError> {
        // One that lies there was left by a renewal that broke off, and was certified for nobody who came back for it.
        files::write(&self.new_key, pem, Readers::Owner, true)
    }

    /// The server refused: what was certified for nobody is no key.
    fn take_back(&self) {
        let _ = std::fs::remove_file(&self.new_key);
    }

    fn finish(&self, chain: &[u8]) -> Result<(), CliError> {
        let new_certificate = with_suffix(&self.certificate, "new");
        files::write(&new_certificate, chain, Readers::Everyone, true)?;
        for (new, place) in [(&self.new_key, &self.key), (&new_certificate, &self.certificate)] {
            let moved = match self.keep_old {
                true => std::fs::rename(place, with_suffix(place, "old")),
                false => Ok(()),
            };
            moved.and_then(|()| std::fs::rename(new, place)).map_err(|error| {
                CliError::new(format!(
                    "the certificate was renewed, but {} could not be put in place: {error}",
                    place.display()
                ))
                .with_details([format!(
                    "key and certificate are in {} and {}",
                    self.new_key.display(),
                    new_certificate.display()
                )])
            })?;
        }
        Ok(())
    }

    fn told(&self) -> String {
        format!(
            "  {}  the certificate and its chain\n  {}  the private key\n",
            self.certificate.display(),
            self.key.display()
        )
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Files, with_suffix};

    #[test]
    fn old_files_are_kept_and_the_key_stays_private() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("client.crt"), folder.path().join("client.key"));
        std::fs::write(&certificate, "old chain").unwrap();
        std::fs::write(&key, "old key").unwrap();
        let files = Files {
            new_key: with_suffix(&key, "new"),
            certificate: certificate.clone(),
            key: key.clone(),
            keep_old: true,
        };
        files.write_key(b"new key").unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), b"old key", "until the certificate is there the old pair stands");
        files.finish(b"new chain").unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), b"new key");
        assert_eq!(std::fs::read(&certificate).unwrap(), b"new chain");
        assert_eq!(std::fs::read(with_suffix(&key, "old")).unwrap(), b"old key");
        assert_eq!(std::fs::read(with_suffix(&certificate, "old")).unwrap(), b"old chain");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_refused_renewal_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("client.key");
        std::fs::write(&key, "old key").unwrap();
        let files = Files {
            new_key: with_suffix(&key, "new"),
            certificate: folder.path().join("client.crt"),
            key: key.clone(),
            keep_old: true,
        };
        files.write_key(b"new key").unwrap();
        files.take_back();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
