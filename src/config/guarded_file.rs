use std::path::Path;

use crate::failure::Fault;

/// Reads a file that the settings name, whole.
///
/// # Errors
/// A fault that names the file: it cannot be read, is larger than `bytes_max`, or is a secret that others than its owner may read.
pub fn read_guarded_file(path: &Path, bytes_max: u64, is_secret: bool) -> Result<Vec<u8>, Fault> {
    use std::os::unix::fs::PermissionsExt as _;
    let unreadable = |why: String| Fault::new(format!("{}: {why}", path.display()));
    let file = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if file.len() > bytes_max {
        return Err(unreadable(format!("larger than {bytes_max} bytes")));
    }
    if is_secret && file.permissions().mode() & 0o077 != 0 {
        return Err(unreadable("others than its owner may read it: chmod 600".to_owned()));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}
