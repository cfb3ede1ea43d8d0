//! What the data folder shows without a server.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Finding, in_one_line};
use crate::cli::files;
use crate::config::Config;

/// Folders of the data folder that hold secrets, and how deep they go.
const DEPTH_MAX: usize = 3;
const FILES_MAX: usize = 10_000;

pub(super) fn look(data: &Path, now: i64) -> Vec<Finding> {
    if !data.is_dir() {
        return vec![Finding::fail(
            "folder",
            format!("there is no folder {}: `portcullis demo` or `portcullis init` makes one", data.display()),
        )];
    }
    let mut findings = Vec::new();
    match Config::load(data) {
        Ok(config) => {
            findings.push(Finding::ok("configuration", format!("{}/portcullis.toml has no faults", data.display())));
            findings.extend(config.passphrase_file.as_deref().map(passphrase));
        }
        Err(faults) => findings.extend(faults.into_iter().map(|fault| Finding::fail("configuration", fault))),
    }
    findings.extend(modes(data));
    findings.extend(database(data));
    findings.extend(certificates(data, now));
    findings
}

fn passphrase(path: &Path) -> Finding {
    match std::fs::metadata(path) {
        Err(error) => {
            Finding::fail("passphrase", format!("cannot read {}: {error}: the CA's keys stay locked", path.display()))
        }
        Ok(file) if file.len() == 0 => Finding::fail("passphrase", format!("{} is empty", path.display())),
        Ok(file) if is_open(&file) => Finding::fail("passphrase", close(path)),
        Ok(_) => Finding::ok("passphrase", format!("{} is there, and its owner's alone", path.display())),
    }
}

/// Files that only their owner may read.
fn modes(data: &Path) -> Vec<Finding> {
    let (mut open, mut closed) = (Vec::new(), 0);
    let mut folders = vec![(data.to_owned(), 0)];
    let mut left = FILES_MAX;
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            open.push(Finding::warn("modes", format!("cannot look into {}", folder.display())));
            continue;
        };
        for entry in entries.flatten().take(left) {
            left -= 1;
            // Links are not followed: what they lead to is not this folder's.
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() && depth < DEPTH_MAX {
                folders.push((path, depth + 1));
            } else if kind.is_file() && is_secret(&path) {
                match entry.metadata() {
                    Ok(file) if is_open(&file) => open.push(Finding::fail("modes", close(&path))),
                    _ => closed += 1,
                }
            }
        }
    }
    if open.is_empty() {
        open.push(Finding::ok("modes", format!("{closed} files with secrets are their owner's alone")));
    }
    open
}

fn is_secret(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".key", ".p12", ".password"].iter().any(|ending| name.ends_with(ending))
        || ["pepper", "passphrase"].iter().any(|word| name.contains(word))
        || name == "demo.json"
}

/// The databases hold no secret in the clear, but who is whose partner and who calls what.
fn database(data: &Path) -> Option<Finding> {
    let folder = std::fs::metadata(data).ok()?;
    let file = data.join("portcullis.db");
    match std::fs::metadata(&file).ok()? {
        found if is_open(&found) && is_open(&folder) => Some(Finding::warn(
            "modes",
            format!("others than its owner may read {}: chmod 700 {}", file.display(), data.display()),
        )),
        _ => None,
    }
}

fn is_open(file: &std::fs::Metadata) -> bool {
    file.permissions().mode() & 0o077 != 0
}

fn close(path: &Path) -> String {
    format!("others than its owner may read {0}: chmod 600 {0}", path.display())
}

fn certificates(data: &Path, now: i64) -> Vec<Finding> {
    let first = |path: &PathBuf| {
        let bytes = files::read(path, files::BYTES_MAX).map_err(|error| in_one_line(&error))?;
        let chain = pki::pem_certificates(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        chain.into_iter().next().ok_or_else(|| format!("{} is empty", path.display()))
    };
    let ca = data.join("ca.pem");
    let root = first(&ca)
        .and_then(|der| pki::CaCertificate::parse(&der).map_err(|error| format!("{}: {error}", ca.display())));
    let mut findings = vec![match root {
        Ok(root) => {
            let remedy = "make a new CA in time; every partner must take up its certificate";
            Finding::expiry("ca", &format!("{} ({})", ca.display(), root.subject), root.not_after, now, 365, remedy)
        }
        Err(why) => Finding::fail("ca", why),
    }];
    let admin = data.join("admin/admin.crt");
    if admin.exists() {
        let leaf = first(&admin).and_then(|der| {
            pki::ClientCertificate::parse(&der).map_err(|error| format!("{}: {error}", admin.display()))
        });
        findings.push(match leaf {
            Ok(leaf) => {
                let remedy = "issue another: portcullis certificate issue --client portcullis-admin";
                Finding::expiry("administrator", &admin.display().to_string(), leaf.not_after, now, 14, remedy)
            }
            Err(why) => Finding::fail("administrator", why),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{look, modes};
    use crate::cli::doctor::Level;

    #[test]
    fn a_key_that_others_may_read_is_found() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("keys")).unwrap();
        for (name, mode) in [("keys/root.key", 0o600), ("keys/passphrase", 0o600), ("ca.pem", 0o644)] {
            std::fs::write(data.path().join(name), "x").unwrap();
            std::fs::set_permissions(data.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let closed = modes(data.path());
        assert_eq!((closed.len(), closed[0].level), (1, Level::Ok));
        assert!(closed[0].message.starts_with("2 files"));
        std::fs::set_permissions(data.path().join("keys/root.key"), PermissionsExt::from_mode(0o640)).unwrap();
        let open = modes(data.path());
        assert_eq!((open.len(), open[0].level), (1, Level::Fail));
        assert!(open[0].message.contains("chmod 600"), "{}", open[0].message);
    }

    #[test]
    fn an_empty_folder_lacks_everything() {
        let data = tempfile::tempdir().unwrap();
        let findings = look(data.path(), 0);
        let failed: Vec<_> =
            findings.iter().filter(|finding| finding.level == Level::Fail).map(|finding| finding.check).collect();
        assert_eq!(failed, ["configuration", "ca"]);
        assert_eq!(look(&data.path().join("absent"), 0)[0].check, "folder");
    }
}
