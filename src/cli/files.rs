//! Files of people: read with a limit, written without overwriting, private ones for their owner alone.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::CliError;

/// Certificates, keys, JSON, requests: nothing of ours is larger.
pub(super) const BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reads a whole file of at most `max` bytes.
pub(super) fn read(path: &Path, max: u64) -> Result<Vec<u8>, CliError> {
    let describe = |error: std::io::Error| CliError::new(format!("cannot read {}: {error}", path.display()));
    read_limited(File::open(path).map_err(describe)?, max)
        .map_err(describe)?
        .ok_or_else(|| CliError::new(format!("{} is larger than {max} bytes", path.display())))
}

/// Reads standard input up to its end.
pub(super) fn read_stdin(max: u64) -> Result<Vec<u8>, CliError> {
    read_limited(std::io::stdin().lock(), max)
        .map_err(|error| CliError::new(format!("cannot read standard input: {error}")))?
        .ok_or_else(|| CliError::new(format!("standard input is longer than {max} bytes")))
}

fn read_limited(source: impl Read, max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    source.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

/// Reads text.
pub(super) fn read_text(path: &Path, max: u64) -> Result<String, CliError> {
    String::from_utf8(read(path, max)?).map_err(|_| CliError::new(format!("{} is not UTF-8 text", path.display())))
}

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    Everyone,
    /// Mode 0600 from the first moment on: a secret that was readable for a while has been read.
    Owner,
}

/// Writes a new file; with `replace`, an existing one is removed first. Follows no link that lies in its place.
pub(super) fn write(path: &Path, bytes: &[u8], readers: Readers, replace: bool) -> Result<(), CliError> {
    let describe = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CliError::new(format!("{} exists already: choose another place, or give --force", path.display()))
        }
        _ => CliError::new(format!("cannot write {}: {error}", path.display())),
    };
    if replace
        && let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(describe(error));
    }
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(describe)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(describe)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Readers, read, write};

    #[test]
    fn nothing_is_overwritten_unless_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.key");
        write(&path, b"first", Readers::Owner, false).unwrap();
        let refused = write(&path, b"second", Readers::Owner, false).unwrap_err();
        assert!(refused.to_string().contains("--force"), "{refused}");
        assert_eq!(read(&path, 5).unwrap(), b"first");
        write(&path, b"second", Readers::Owner, true).unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"second");
        assert!(read(&path, 5).unwrap_err().to_string().contains("larger than 5 bytes"));
    }

    #[test]
    fn a_key_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (readers, mode) in [(Readers::Owner, 0o600), (Readers::Everyone, 0o644)] {
            let path = folder.path().join(format!("{mode:o}"));
            write(&path, b"", readers, false).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !mode, 0);
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_key_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("client.key"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(write(&link, b"key", Readers::Owner, false).is_err());
        write(&link, b"key", Readers::Owner, true).unwrap();
        assert!(!target.exists());
    }
}
