//! A PKCS#11 token (an HSM, a smart card, SoftHSM2) that holds the authorities' keys: made inside, used inside, never outside.
//!
//! Only digests go in and signatures come out. Sessions are kept and taken in turn; when the token was away (restarted, pulled,
//! logged out by another), all of them are thrown away and the signature is tried once more on a new one.

mod key;
mod locator;
mod pin;
mod sessions;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::slot::Slot;
use pki::KeyAlgorithm;

pub(super) use key::TokenKey;
pub(super) use locator::Locator;
pub use pin::{PIN_CREDENTIAL, Pin};

use sessions::Sessions;

use crate::failure::{Failure, Fault, Refusal};

/// CKA_ID of a key: enough that no two are taken for each other.
const KEY_ID_OCTETS: usize = 16;

/// Which token, and how to reach it.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// The vendor's PKCS#11 library: `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// CKA_LABEL of the token.
    pub label: String,
}

/// A token that is logged in to. Cheap to clone.
#[derive(Clone)]
pub struct Token {
    inner: Arc<Inner>,
}

struct Inner {
    label: String,
    sessions: Sessions,
}

impl Token {
    /// Loads the library, finds the token by its label and logs in. Blocks: call it off the async threads.
    ///
    /// # Errors
    /// `token_module_unusable`; `token_not_found`; `token_pin_wrong`, `token_pin_locked`, neither of which is ever tried again by
    /// itself: a few wrong PINs lock a token for good.
    pub fn open(settings: &TokenSettings, pin: Pin) -> Result<Self, Failure> {
        let module = loaded(&settings.module)?;
        let slot = find(&module, settings)?;
        let sessions = Sessions::new(module, slot, pin);
        let token = Self { inner: Arc::new(Inner { label: settings.label.clone(), sessions }) };
        token.inner.sessions.with(|_| Ok(())).map_err(|error| token.failure("logging in", &error))?;
        Ok(token)
    }

    /// The label it was found by.
    pub fn label(&self) -> &str {
        &self.inner.label
    }

    /// Makes a key pair inside: sensitive, never extractable, for signing alone. Blocks.
    ///
    /// # Errors
    /// `token_key_kind` for a kind that tokens are not asked for; a fault when the token does not make it.
    pub(super) fn generate(&self, label: &str, algorithm: KeyAlgorithm) -> Result<TokenKey, Failure> {
        let mut id = [0; KEY_ID_OCTETS];
        rand::fill(&mut id).map_err(|_| Fault::new("no randomness for a key's id"))?;
        TokenKey::generate(self, Locator::new(&self.inner.label, label, &id), algorithm)
    }

    /// Finds the key pair that a locator names. Blocks.
    ///
    /// # Errors
    /// `token_key_missing`; `token_key_extractable` when it could leave the token, or was not made in it.
    pub(super) fn key(&self, locator: Locator) -> Result<TokenKey, Failure> {
        if locator.token() != self.inner.label {
            let message = format!(
                "{locator} lies in another token than {:?}, which the settings name (pki.pkcs11.token).",
                self.inner.label
            );
            return Err(Refusal::conflict("token_key_missing", message).into());
        }
        TokenKey::find(self, locator)
    }

    /// What the token answered, in words of ours.
    fn failure(&self, doing: &str, error: &TokenError) -> Failure {
        let label = &self.inner.label;
        match error {
            TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
                Refusal::invalid("token_pin_wrong", format!("The PIN is not that of the token {label:?}.")).into()
            }
            TokenError::Pkcs11(RvError::PinLocked | RvError::PinExpired, _) => {
                let message =
                    format!("The PIN of the token {label:?} is locked or has expired: its officer must reset it.");
                Refusal::conflict("token_pin_locked", message).into()
            }
            error => Fault::new(format!("{doing} in the token {label:?}: {error}")).into(),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("label", &self.inner.label).finish_non_exhaustive()
    }
}

/// A library is initialised once for a process, whoever asks, and stays until its end: finalising it would end everybody's sessions.
fn loaded(path: &Path) -> Result<Pkcs11, Failure> {
    static LOADED: Mutex<Option<HashMap<PathBuf, Pkcs11>>> = Mutex::new(None);
    let unusable = |error: TokenError| {
        let message = format!("{} cannot be used as a PKCS#11 library: {error}.", path.display());
        Failure::from(Refusal::invalid("token_module_unusable", message))
    };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(unusable)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(unusable(error)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn find(module: &Pkcs11, settings: &TokenSettings) -> Result<Slot, Failure> {
    let fault = |error: TokenError| Fault::new(format!("asking {} for its tokens: {error}", settings.module.display()));
    let mut found = Vec::new();
    for slot in module.get_slots_with_initialized_token().map_err(fault)? {
        if module.get_token_info(slot).map_err(fault)?.label().trim_end() == settings.label {
            found.push(slot);
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] => {
            let message = format!("{} has no token with the label {:?}.", settings.module.display(), settings.label);
            Err(Refusal::not_found("token_not_found", message).into())
        }
        // Which of them holds the keys would be a guess.
        several => {
            let message = format!("{} tokens have the label {:?}: give each its own.", several.len(), settings.label);
            Err(Refusal::conflict("token_not_found", message).into())
        }
    }
}
