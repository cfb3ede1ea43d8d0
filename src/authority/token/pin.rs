//! The PIN of a token's user.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::super::passphrase::{SecretCodes, credential, read_line};
use crate::failure::{Failure, Refusal};

/// More is not a PIN but the wrong file.
const PIN_MAX_BYTES: usize = 255;
/// The name of the systemd credential: `LoadCredential=portcullis-pkcs11-pin:/path` (systemd.exec(5)).
pub const PIN_CREDENTIAL: &str = "portcullis-pkcs11-pin";

const CODES: SecretCodes = SecretCodes { unreadable: "pin_unreadable", exposed: "pin_exposed", invalid: "invalid_pin" };

/// Opens a token. Like the passphrase it comes from a file or from systemd, never from an argument or the environment. Its
/// strength is the token's business, which locks itself after some wrong ones.
#[derive(Clone)]
pub struct Pin(SecretString);

impl Pin {
    /// Reads a file that holds the PIN and nothing else; a newline at its end does not count.
    ///
    /// # Errors
    /// `pin_exposed` when everybody may read the file; `pin_unreadable`; `invalid_pin`.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        let text = read_line(path, &CODES, PIN_MAX_BYTES)?;
        let plain = text.expose_secret();
        if plain.is_empty() || plain.len() > PIN_MAX_BYTES || plain.chars().any(char::is_control) {
            let message = format!("{} does not hold one line with a PIN.", path.display());
            return Err(Refusal::invalid("invalid_pin", message).into());
        }
        Ok(Self(text))
    }

    /// Reads the credential [`PIN_CREDENTIAL`] that systemd laid into `$CREDENTIALS_DIRECTORY`; `None` when it is not there.
    ///
    /// # Errors
    /// As [`Pin::from_file`].
    pub fn from_credentials_directory() -> Result<Option<Self>, Failure> {
        match credential(PIN_CREDENTIAL)? {
            Some(path) => Ok(Some(Self::from_file(&path)?)),
            None => Ok(None),
        }
    }

    /// For the login alone.
    pub(super) fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pin(hidden)")
    }
}
