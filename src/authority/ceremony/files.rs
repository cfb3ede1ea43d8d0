//! What a ceremony reads and makes. Each file that goes over the bench is hashed, and the transcript says so.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pki::Thumbprint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Ceremony, transcript};
use crate::failure::{Failure, Fault, Refusal};

/// Requests, certificates and a root's lists are smaller.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A file as the transcript names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hashed {
    /// Inside the root's folder its name, otherwise the path that was given.
    pub(super) file: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Where one step of a ceremony is worked on.
pub(super) struct Bench<'a> {
    ceremony: &'a Ceremony,
    action: &'static str,
    read: Vec<Hashed>,
    made: Vec<Hashed>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(ceremony: &'a Ceremony, action: &'static str) -> Self {
        Self { ceremony, action, read: Vec::new(), made: Vec::new() }
    }

    /// A file in the root's folder.
    pub(super) fn own(&self, name: &str) -> PathBuf {
        self.ceremony.folder.join(name)
    }

    /// # Errors
    /// `file_missing`; `file_too_large`.
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<u8>, Failure> {
        let bytes = read(path)?;
        self.read.push(self.hashed(path, &bytes));
        Ok(bytes)
    }

    /// Notes a file that was read elsewhere: the key, which only the key folder opens.
    pub(super) fn note_read(&mut self, path: &Path) -> Result<(), Failure> {
        self.read(path).map(|_| ())
    }

    /// # Errors
    /// `file_exists`: nothing is overwritten.
    pub(super) fn refuse_existing(&self, paths: &[&Path]) -> Result<(), Failure> {
        for path in paths {
            if path.try_exists().map_err(Fault::from)? {
                let message = format!("{} exists already: nothing is overwritten.", path.display());
                return Err(Refusal::conflict("file_exists", message).into());
            }
        }
        Ok(())
    }

    /// Writes a public file, whole or not at all.
    pub(super) fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        write(path, bytes)?;
        self.made.push(self.hashed(path, bytes));
        Ok(())
    }

    /// Notes a file that was made elsewhere.
    pub(super) fn note_made(&mut self, path: &Path) -> Result<(), Failure> {
        let bytes = read(path)?;
        self.made.push(self.hashed(path, &bytes));
        Ok(())
    }

    /// Writes the step into the transcript. Last: what it names is on the disk then.
    pub(super) fn finish(self, facts: &impl Serialize) -> Result<(), Failure> {
        let facts: Value = serde_json::to_value(facts).map_err(Fault::from)?;
        transcript::append(self.ceremony, self.action, facts, self.read, self.made)
    }

    fn hashed(&self, path: &Path, bytes: &[u8]) -> Hashed {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let inside = path.strip_prefix(&self.ceremony.folder).unwrap_or(&whole);
        Hashed {
            file: inside.display().to_string(),
            bytes: bytes.len() as u64,
            sha256: Thumbprint::of(bytes).to_string(),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let fault = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::from(Refusal::not_found("file_missing", format!("{shown} is not there.")))
        }
        _ => Fault::new(format!("reading {shown}: {error}")).into(),
    };
    let mut bytes = Vec::new();
    File::open(path).map_err(fault)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("{shown} is larger than {FILE_BYTES_MAX} bytes.");
        return Err(Refusal::invalid("file_too_large", message).into());
    }
    Ok(bytes)
}

/// A crash leaves the old file or the new one. Public: a folder that is carried about is read under another user's name.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    Ok(written().map_err(|error| Fault::new(format!("writing {}: {error}", path.display())))?)
}
