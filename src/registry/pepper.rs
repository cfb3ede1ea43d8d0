//! The server's own secret, without which the stored HMACs of keys and secrets are of no use to a thief of the database.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::failure::Fault;

/// The file is these 32 bytes and nothing else.
const PEPPER_BYTES: usize = 32;
/// The only permissions it may have.
const OWNER_ONLY: u32 = 0o600;

/// A key for HMAC-SHA-256 (RFC 2104). No slow derivation is needed: what it guards has 190 random bits.
pub struct Pepper(hmac::Key);

impl Pepper {
    /// Reads `path`, or makes it. Several processes that start at once get the same pepper.
    ///
    /// # Errors
    /// As [`Pepper::load`].
    pub fn load_or_create(path: &Path) -> Result<Self, Fault> {
        match Self::load(path) {
            Err(_) if !path.exists() => {
                Self::create(path)?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// Reads `path`. With a new pepper every key and secret would be refused, so that a server which has some must use this.
    ///
    /// # Errors
    /// A fault when it is absent, of another length, or open to others than its owner.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        let shown = path.display();
        let mut file = fs::File::open(path).map_err(|error| Fault::new(format!("opening {shown}: {error}")))?;
        let mode = file.metadata()?.mode() & 0o777;
        if mode & !OWNER_ONLY != 0 {
            return Err(Fault::new(format!("{shown} is open to others (mode {mode:o}); run chmod 600 {shown}")));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(PEPPER_BYTES + 1));
        // One byte more than it should have, so that a longer file is seen and none is read whole.
        (&mut file).take(PEPPER_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() != PEPPER_BYTES {
            return Err(Fault::new(format!("{shown} does not have {PEPPER_BYTES} bytes")));
        }
        Ok(Self::from_bytes(&bytes))
    }

    /// HMAC-SHA-256 of `bytes`. `domain` (`api-key`, `client-secret`) keeps the uses apart: a client secret that equals a key's
    /// secret part does not have its HMAC, so a row of one table is worth nothing in the other.
    pub fn hmac(&self, domain: &'static str, bytes: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(domain.as_bytes());
        context.update(&[0]);
        context.update(bytes);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    /// The key by which the buckets of throttles are named.
    pub fn throttle_seed(&self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.hmac("throttle-buckets", &[]);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Writes a new one beside `path` and links it into place: a crash leaves the whole file or none, and the first of two
    /// processes wins.
    fn create(path: &Path) -> Result<(), Fault> {
        let mut bytes = Zeroizing::new([0; PEPPER_BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| Fault::new("no randomness for the pepper"))?;
        let draft = path.with_extension(format!("draft-{}", std::process::id()));
        _ = fs::remove_file(&draft);
        let context = |error| Fault::new(format!("writing {}: {error}", path.display()));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&draft).map_err(context)?;
        let written = file.write_all(&*bytes).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&draft, path));
        _ = fs::remove_file(&draft);
        match written {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(context(error)),
            _ => {}
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pepper(hidden)")
    }
}
