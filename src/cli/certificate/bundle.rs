//! The files of an issued certificate.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::error::CliError;
use crate::cli::files::{self, Readers};

const CERTIFICATE: &str = "client.crt";
const KEY: &str = "client.key";
const PKCS12: &str = "client.p12";
const PASSWORD: &str = "client.p12.password";

/// What goes into the files.
pub(super) struct Bundle {
    chain: String,
    key: Zeroizing<String>,
    pkcs12: Zeroizing<Vec<u8>>,
    password: Zeroizing<String>,
}

impl Bundle {
    /// Takes the server's answer apart.
    pub(super) fn of(answer: &Value) -> Result<Self, CliError> {
        let secret = |member: &str| text(answer, member).map(|text| Zeroizing::new(text.to_owned()));
        let pkcs12 = STANDARD.decode(text(answer, "pkcs12")?).map_err(|_| missing("pkcs12"))?;
        Ok(Self {
            chain: chain(answer)?,
            key: secret("private_key_pem")?,
            pkcs12: Zeroizing::new(pkcs12),
            password: secret("pkcs12_password")?,
        })
    }

    /// Makes the folder and refuses files that are there already.
    pub(super) fn check_room(folder: &Path, replace: bool) -> Result<(), CliError> {
        make(folder)?;
        let taken = [CERTIFICATE, KEY, PKCS12, PASSWORD].into_iter().map(|name| folder.join(name));
        match taken.filter(|path| path.symlink_metadata().is_ok()).find(|_| !replace) {
            Some(path) => Err(CliError::new(format!(
                "{} exists already: choose another folder with --out, or give --force",
                path.display()
            ))),
            None => Ok(()),
        }
    }

    /// Writes the files, the private ones for their owner alone.
    pub(super) fn write(&self, folder: &Path, replace: bool) -> Result<(), CliError> {
        make(folder)?;
        for (name, bytes, readers) in [
            (KEY, self.key.as_bytes(), Readers::Owner),
            (CERTIFICATE, self.chain.as_bytes(), Readers::Everyone),
            (PKCS12, &self.pkcs12, Readers::Owner),
            (PASSWORD, self.password.as_bytes(), Readers::Owner),
        ] {
            files::write(&folder.join(name), bytes, readers, replace)?;
        }
        Ok(())
    }

    /// Where the files are, for `--output json`.
    pub(super) fn files(folder: &Path) -> Value {
        let place = |name: &str| folder.join(name).display().to_string();
        json!({"certificate": place(CERTIFICATE), "key": place(KEY), "pkcs12": place(PKCS12), "pkcs12_password": place(PASSWORD)})
    }
}

pub(super) fn make(folder: &Path) -> Result<(), CliError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| CliError::new(format!("cannot make the folder {}: {error}", folder.display())))
}

/// The certificate and its issuers, leaf first, as servers and clients want it.
pub(super) fn chain(answer: &Value) -> Result<String, CliError> {
    let (certificate, chain) = (text(answer, "certificate_pem")?, text(answer, "chain_pem")?);
    // Some would call the whole file the chain; a leaf that stands in it twice confuses TLS libraries.
    if chain.starts_with(certificate.trim_end()) {
        return Ok(chain.to_owned());
    }
    Ok(format!("{}\n{chain}", certificate.trim_end()))
}

fn text<'a>(answer: &'a Value, member: &str) -> Result<&'a str, CliError> {
    answer.get(member).and_then(Value::as_str).ok_or_else(|| missing(member))
}

fn missing(member: &str) -> CliError {
    CliError::new(format!("the server's answer has no {member}: it is of another version than this program"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::{Bundle, chain};

    #[test]
    fn files_are_written_and_none_is_replaced() {
        let answer = json!({"certificate_pem": "leaf\n", "chain_pem": "issuer\n", "private_key_pem": "key", "pkcs12": "AAE=", "pkcs12_password": "p"});
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("acme/one");
        Bundle::check_room(&folder, false).unwrap();
        let bundle = Bundle::of(&answer).unwrap();
        bundle.write(&folder, false).unwrap();
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        assert_eq!((read("client.crt"), read("client.key")), (b"leaf\nissuer\n".to_vec(), b"key".to_vec()));
        assert_eq!((read("client.p12"), read("client.p12.password")), (vec![0, 1], b"p".to_vec()));
        for (name, mode) in [("client.key", 0o600), ("client.p12", 0o600), ("client.p12.password", 0o600)] {
            assert_eq!(std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
        }
        assert!(Bundle::check_room(&folder, false).unwrap_err().to_string().contains("--force"));
        assert!(bundle.write(&folder, false).is_err());
        Bundle::check_room(&folder, true).unwrap();
        bundle.write(&folder, true).unwrap();
    }

    #[test]
    fn the_leaf_stands_in_the_chain_once() {
        for given in ["issuer\n", "leaf\nissuer\n"] {
            assert_eq!(chain(&json!({"certificate_pem": "leaf\n", "chain_pem": given})).unwrap(), "leaf\nissuer\n");
        }
    }

    #[test]
    fn an_answer_of_another_version_is_refused() {
        assert!(Bundle::of(&json!({"certificate_pem": ""})).is_err());
    }
}
