//! The folder of private keys: encrypted PKCS#8 files that nobody but the gate's own user may read.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pki::{KeyAlgorithm, KeyId, PrivateKey, Signer};

use super::token::Locator;
use super::{Passphrase, Token, off_thread};
use crate::failure::{Failure, Fault, Refusal};

/// An RSA-4096 key takes 3.3 KiB; more is the wrong file.
const KEY_FILE_MAX_BYTES: u64 = 16 * 1024;
/// Read, written or run by the group or by others.
const GROUP_OR_OTHERS: u32 = 0o077;
const LOCK_FILE: &str = ".lock";

/// The root's key. Only initialisation and the root's own revocation list need it: it belongs on a medium that is locked away.
pub const ROOT_KEY: &str = "root.key";
/// The key that signs client certificates.
pub const ISSUING_KEY: &str = "issuing.key";
/// The key that signs the gate's server certificates.
pub const SERVER_ISSUING_KEY: &str = "server-issuing.key";
/// The key of the gate's own server certificate.
pub const SERVER_KEY: &str = "server.key";

/// Where the private keys lie: the folder, the passphrase that locks its files, and the token of the authorities' keys, where
/// there is one.
#[derive(Clone, Debug)]
pub struct KeyDirectory {
    path: Arc<Path>,
    passphrase: Passphrase,
    token: Option<Token>,
}

/// What signs for an authority, and where its key lies, as the table of authorities says it.
pub(super) struct LocatedKey {
    /// A file in the folder, or a `pkcs11:` URI.
    pub(super) location: String,
    pub(super) signer: Arc<dyn Signer>,
}

/// Held while key files are made or replaced; another process that wants the same is refused, not queued.
#[derive(Debug)]
pub(super) struct KeyDirectoryLock(#[allow(dead_code, reason = "the lock lives as long as the file is open")] File);

impl KeyDirectory {
    /// Names the folder. Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>, passphrase: Passphrase) -> Self {
        Self { path: path.into().into(), passphrase, token: None }
    }

    /// Makes the authorities' keys in this token from now on. Those that lie in files stay there and go on signing.
    #[must_use]
    pub fn with_token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The token of the authorities' keys.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// What signs with the key at a location: a file, which is unlocked, or an object in the token, which is found.
    ///
    /// # Errors
    /// As [`KeyDirectory::load`]; `no_token` when the key lies in a token and the settings name none; `token_key_missing`;
    /// `token_key_extractable`.
    pub(super) async fn signer(&self, location: &str) -> Result<Arc<dyn Signer>, Failure> {
        if !Locator::is_one(location) {
            return Ok(Arc::new(self.load(location).await?));
        }
        let Some(token) = self.token.clone() else {
            let message = format!("The key {location} lies in a token: say in portcullis.toml which one (pki.pkcs11).");
            return Err(Refusal::conflict("no_token", message).into());
        };
        let locator = location.parse()?;
        Ok(Arc::new(off_thread("finding a key in the token", move || token.key(locator)).await??))
    }

    /// Whether a key of this name was made here: as a file, or in a token with a note of where it lies.
    pub(super) fn holds_key(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.holds(name)? || self.holds(&note(name))?)
    }

    /// The key of this name, from its file or from the token; `None` when there is none.
    ///
    /// # Errors
    /// As [`KeyDirectory::signer`].
    pub(super) async fn located(&self, name: &str) -> Result<Option<LocatedKey>, Failure> {
        let location = match (self.holds(name)?, self.holds(&note(name))?) {
            (true, _) => name.to_owned(),
            (false, true) => read_private(&self.path.join(note(name)))?,
            (false, false) => return Ok(None),
        };
        Ok(Some(LocatedKey { signer: self.signer(&location).await?, location }))
    }

    /// Makes a new key for an authority: in the token, where there is one, with a note in the folder of where it lies; else in a
    /// file. `name` is told the identifier of the key.
    ///
    /// # Errors
    /// As [`KeyDirectory::create`]; what the token refuses.
    pub(super) async fn make_signer(
        &self,
        lock: &KeyDirectoryLock,
        purpose: &str,
        algorithm: KeyAlgorithm,
        name: impl FnOnce(&KeyId) -> String,
    ) -> Result<LocatedKey, Failure> {
        if let Some(token) = self.token.clone() {
            let label = format!("portcullis-{purpose}");
            let key = off_thread("making a key in the token", move || token.generate(&label, algorithm)).await??;
            let location = key.location();
            write_whole(&self.path, &note(&name(key.public_key().key_id())), location.as_bytes())?;
            return Ok(LocatedKey { location, signer: Arc::new(key) });
        }
        let made = off_thread("making a key", move || PrivateKey::generate(algorithm)).await?;
        let key = made.map_err(|error| Fault::new(format!("making a key: {error}")))?;
        let location = name(key.public_key().key_id());
        let signer = Arc::new(self.create(lock, &location, key).await?);
        Ok(LocatedKey { location, signer })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a file of this name.
    pub(super) fn holds(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.path.join(name).try_exists()?)
    }

    /// The names of the files in the folder.
    pub(super) fn names(&self) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes the folder (mode 0700) where it is missing.
    pub(super) fn make(&self) -> Result<(), Fault> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|error| Fault::new(format!("making {}: {error}", self.path.display())))
    }

    /// Locks the folder against other processes until the answer is dropped.
    ///
    /// # Errors
    /// `keys_locked` when another process holds it.
    pub(super) fn lock(&self) -> Result<KeyDirectoryLock, Failure> {
        let path = self.path.join(LOCK_FILE);
        let fault = |error: std::io::Error| Fault::new(format!("locking {}: {error}", path.display()));
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => Ok(KeyDirectoryLock(file)),
            Err(TryLockError::WouldBlock) => Err(Refusal::conflict(
                "keys_locked",
                format!("Another process is changing the keys in {}: wait for it.", self.path.display()),
            )
            .into()),
            Err(TryLockError::Error(error)) => Err(fault(error).into()),
        }
    }

    /// Reads and unlocks a key file. The derivation takes some tenths of a second, on a thread of its own.
    ///
    /// # Errors
    /// `key_file_missing`; `key_file_exposed` when group or others have any right to the file; `wrong_passphrase`;
    /// `key_file_damaged`.
    pub(super) async fn load(&self, name: &str) -> Result<PrivateKey, Failure> {
        let (keys, path) = (self.clone(), self.path.join(name));
        off_thread("unlocking a key", move || {
            let text = read_private(&path)?;
            PrivateKey::decrypt(&text, keys.passphrase.expose()).map_err(|error| not_opened(&path, error).into())
        })
        .await?
    }

    /// Writes a new key file, and gives the key back.
    ///
    /// # Errors
    /// `key_file_exists`: an authority's key is never overwritten. The caller holds the lock, so that nobody can come in between.
    pub(super) async fn create(
        &self,
        lock: &KeyDirectoryLock,
        name: &str,
        key: PrivateKey,
    ) -> Result<PrivateKey, Failure> {
        if self.holds(name)? {
            let path = self.path.join(name);
            return Err(Refusal::conflict("key_file_exists", format!("{} exists already.", path.display())).into());
        }
        self.replace(lock, name, key).await
    }

    /// Writes a key file, in place of an older one of that name, and gives the key back.
    pub(super) async fn replace(
        &self,
        _lock: &KeyDirectoryLock,
        name: &str,
        key: PrivateKey,
    ) -> Result<PrivateKey, Failure> {
        let (keys, name) = (self.clone(), name.to_owned());
        off_thread("locking a key", move || {
            let pem = key
                .encrypt(keys.passphrase.expose())
                .map_err(|error| Fault::new(format!("encrypting {name}: {error}")))?;
            write_whole(&keys.path, &name, pem.as_bytes())?;
            Ok(key)
        })
        .await?
    }
}

/// The file that says where in a token the key of this name lies. It is public, and no key is lost with it while the database is
/// there; an installation that lost its database finds by it that there were keys.
pub(super) fn note(name: &str) -> String {
    format!("{name}.pkcs11")
}

/// Writes `dir/name` so that after a crash there is the whole file or none of it: a new file with mode 0600, synced, renamed, and
/// the folder synced.
pub(super) fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Fault> {
    let unique = uuid::Uuid::now_v7().simple();
    let (path, temporary) = (dir.join(name), dir.join(format!(".{name}.{unique}")));
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    written().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Fault::new(format!("writing {}: {error}", path.display()))
    })
}

fn read_private(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::not_found(
            "key_file_missing",
            format!("{shown} is missing: restore it from the backup of the keys."),
        )
        .into(),
        _ => Failure::from(Fault::new(format!("reading {shown}: {error}"))),
    })?;
    // Asked of the open file, not of the path: what is checked is what is read.
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & GROUP_OR_OTHERS != 0 {
        return Err(Refusal::forbidden(
            "key_file_exposed",
            format!("{shown} is open to its group or to others (mode {mode:04o}): run `chmod 600 {shown}`."),
        )
        .into());
    }
    let damaged = |why: &str| Refusal::invalid("key_file_damaged", format!("{shown} is not a key file: {why}."));
    if !metadata.is_file() || metadata.len() > KEY_FILE_MAX_BYTES {
        return Err(damaged("it is too large, or no file").into());
    }
    let mut text = String::new();
    file.take(KEY_FILE_MAX_BYTES).read_to_string(&mut text).map_err(|_| damaged("it is not text"))?;
    Ok(text)
}

fn not_opened(path: &Path, error: pki::Error) -> Refusal {
    let shown = path.display();
    match error {
        pki::Error::WrongPassphrase => Refusal::invalid(
            "wrong_passphrase",
            format!("{shown} cannot be opened: the passphrase is wrong, or the file is damaged."),
        ),
        error => Refusal::invalid("key_file_damaged", format!("{shown} cannot be used: {error}.")),
    }
}
