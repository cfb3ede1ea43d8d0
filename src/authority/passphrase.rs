//! The passphrase that locks the key files.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::failure::{Failure, Fault, Refusal};

/// Fewer characters can be guessed from a stolen key file, even at 600 000 rounds a guess.
pub const PASSPHRASE_MIN_CHARS: usize = 12;
/// More is not a passphrase but the wrong file.
pub const PASSPHRASE_MAX_BYTES: usize = 1024;
/// The name of the systemd credential: `LoadCredential=portcullis-passphrase:/path` (systemd.exec(5)).
pub const PASSPHRASE_CREDENTIAL: &str = "portcullis-passphrase";

const OTHERS_MAY_READ: u32 = 0o004;

/// Locks and unlocks the key files of a [`KeyDirectory`](super::KeyDirectory).
///
/// It comes from a file or from systemd, never from an argument or an environment variable: both are readable in `/proc`, end up
/// in shell histories, and are inherited by children.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes a passphrase that the program made itself or asked for on the terminal.
    ///
    /// # Errors
    /// `weak_passphrase` when it has fewer than [`PASSPHRASE_MIN_CHARS`] characters; `invalid_passphrase` when it is longer than
    /// [`PASSPHRASE_MAX_BYTES`] or holds a control character, which no terminal could repeat.
    pub fn new(text: SecretString) -> Result<Self, Refusal> {
        let plain = text.expose_secret();
        if plain.len() > PASSPHRASE_MAX_BYTES {
            return Err(Refusal::invalid(
                "invalid_passphrase",
                format!("The passphrase is longer than {PASSPHRASE_MAX_BYTES} bytes: is this the right file?"),
            ));
        }
        if plain.chars().any(char::is_control) {
            return Err(Refusal::invalid(
                "invalid_passphrase",
                "The passphrase holds a line break or another control character: keep it on one line.",
            ));
        }
        if plain.chars().count() < PASSPHRASE_MIN_CHARS {
            return Err(Refusal::invalid(
                "weak_passphrase",
                format!("The passphrase is too short: use at least {PASSPHRASE_MIN_CHARS} characters."),
            ));
        }
        Ok(Self(text))
    }

    /// Reads a file that holds the passphrase and nothing else; a newline at its end does not count.
    ///
    /// # Errors
    /// `passphrase_exposed` when everybody may read the file (its group may: that is how orchestrators mount secrets);
    /// `passphrase_unreadable`; and what [`Passphrase::new`] refuses.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        Ok(Self::new(read_line(path, &SecretCodes::PASSPHRASE, PASSPHRASE_MAX_BYTES)?)?)
    }

    /// Reads the credential [`PASSPHRASE_CREDENTIAL`] that systemd laid into `$CREDENTIALS_DIRECTORY`; `None` when the variable is
    /// not set or the credential is not there. The variable names a folder; the secret itself never stands in the environment.
    ///
    /// # Errors
    /// As [`Passphrase::from_file`].
    pub fn from_credentials_directory() -> Result<Option<Self>, Failure> {
        match credential(PASSPHRASE_CREDENTIAL)? {
            Some(path) => Ok(Some(Self::from_file(&path)?)),
            None => Ok(None),
        }
    }

    /// For the key derivation alone.
    /// For what opens keys; never for a log.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase(hidden)")
    }
}

/// The codes of what can be wrong with a file that holds a secret.
pub(super) struct SecretCodes {
    pub(super) unreadable: &'static str,
    pub(super) exposed: &'static str,
    pub(super) invalid: &'static str,
}

impl SecretCodes {
    const PASSPHRASE: Self =
        Self { unreadable: "passphrase_unreadable", exposed: "passphrase_exposed", invalid: "invalid_passphrase" };
}

/// Reads a file that holds one secret and nothing else, of which one octet more than `max_bytes` is read; a newline at its end
/// does not count.
pub(super) fn read_line(path: &Path, codes: &SecretCodes, max_bytes: usize) -> Result<SecretString, Failure> {
    let shown = path.display();
    let unreadable =
        |error: std::io::Error| Refusal::invalid(codes.unreadable, format!("{shown} cannot be read: {error}."));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() {
        return Err(Refusal::invalid(codes.unreadable, format!("{shown} is not a file.")).into());
    }
    if mode & OTHERS_MAY_READ != 0 {
        let message = format!("Everybody on this machine can read {shown} (mode {mode:04o}): run `chmod 600 {shown}`.");
        return Err(Refusal::invalid(codes.exposed, message).into());
    }
    // Room for all of it at once: a buffer that grows leaves copies of the secret behind in freed memory.
    let mut text = Zeroizing::new(Vec::with_capacity(max_bytes + 16));
    file.take(max_bytes as u64 + 3).read_to_end(&mut text).map_err(unreadable)?;
    let text = std::str::from_utf8(&text)
        .map_err(|_| Refusal::invalid(codes.invalid, format!("{shown} does not hold UTF-8 text.")))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(SecretString::from(text))
}

/// Where systemd laid a credential of this name; `None` when it did not.
pub(super) fn credential(name: &str) -> Result<Option<PathBuf>, Fault> {
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = Path::new(&directory).join(name);
    Ok(path.try_exists()?.then_some(path))
}
