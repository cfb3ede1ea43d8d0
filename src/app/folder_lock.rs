//! One process at a time works on a data folder: two servers would count limits apart and race for the audit log, and an
//! `init` beside a server would issue what that one does not expect.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::failure::Refusal;

const FILE: &str = ".lock";

/// Held for as long as it lives. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the folder, making it where it is not there yet.
    ///
    /// # Errors
    /// `folder_in_use` while another process holds it; `data_folder` when it cannot be made or written.
    pub fn take(data: &Path) -> Result<Self, Refusal> {
        let refuse = |error: std::io::Error| {
            Refusal::invalid("data_folder", format!("cannot use the folder {}: {error}", data.display()))
        };
        if !data.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(refuse)?;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(data.join(FILE)).map_err(refuse)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Refusal::conflict(
                "folder_in_use",
                format!("another portcullis runs on {}: stop it first", data.display()),
            )),
            Err(TryLockError::Error(error)) => Err(refuse(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FolderLock;

    #[test]
    fn a_folder_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let held = FolderLock::take(&data).unwrap();
        assert_eq!(FolderLock::take(&data).unwrap_err().code, "folder_in_use");
        drop(held);
        FolderLock::take(&data).unwrap();
    }
}
