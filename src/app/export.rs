//! The whole of an installation in one encrypted file, and back again.
//!
//! What is in it: the database as it is at one instant, the keys folder (encrypted key files, or none where the keys lie in a
//! token: then the database holds their URIs), the settings, the policies, the CA certificate. What is not: the decisions in
//! `audit.db`, the root's key and the passphrase, each of which belongs somewhere else.
//!
//! A database that is restored has forgotten what happened since: certificates that were issued, revocations, the numbers of
//! revocation lists. So a restored authority jumps those numbers, and issues to nobody until it is reconciled
//! ([`crate::authority::Authority::reconcile`]).

mod sealed;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::sealed::{Opener, Sealer};
use super::initialise::make_folders;
use crate::authority::{Authority, Passphrase, ROOT_KEY};
use crate::clock::Clock;
use crate::config::{CONFIG_FILE_NAME, Config};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::Store;

/// The head of an entry is a line of JSON; more is damage.
const HEAD_BYTES_MAX: u64 = 4096;
/// Entries in one export: a thousand policies are a lot.
const ENTRIES_MAX: usize = 10_000;
const DATABASE: &str = "portcullis.db";
/// Folders that are taken whole, without folders in them.
const FOLDERS: [&str; 3] = ["keys", "policies", "admin"];
/// Single files beside them, where they are there.
const FILES: [&str; 3] = [CONFIG_FILE_NAME, "ca.pem", "demo.json"];

/// What comes before a file's octets.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    path: String,
    mode: u32,
    length: u64,
}

/// What an export or a restoration came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    pub files: usize,
    pub bytes: u64,
}

/// Writes an installation into a new file, mode 0600. A server may run on it meanwhile.
///
/// # Errors
/// `export_exists`; the faults of reading and writing.
pub async fn export(config: &Config, to: &Path, passphrase: &Passphrase, with_root: bool) -> Result<Moved, Failure> {
    let scratch = tempfolder(to)?;
    let copy = scratch.path().join(DATABASE);
    let store = Store::open(&config.database()).await?;
    let copied = store.copy_to(&copy).await;
    store.close().await;
    copied?;
    let (data, to, passphrase) = (config.data.clone(), to.to_owned(), passphrase.clone());
    let passphrase_file = config.passphrase_file.clone();
    blocking("exporting", move || {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&to).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::from(Refusal::conflict("export_exists", format!("{} is there already.", to.display())))
            }
            _ => Fault::new(format!("writing {}: {error}", to.display())).into(),
        })?;
        let mut sealer = Sealer::new(BufWriter::new(file), &passphrase)?;
        let mut moved = Moved::default();
        put(&mut sealer, &copy, DATABASE, &mut moved)?;
        for name in FILES {
            if data.join(name).is_file() {
                put(&mut sealer, &data.join(name), name, &mut moved)?;
            }
        }
        for folder in FOLDERS {
            let mut entries: Vec<_> = match std::fs::read_dir(data.join(folder)) {
                Ok(entries) => entries.collect::<Result<_, _>>()?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Fault::from(error).into()),
            };
            entries.sort_by_key(std::fs::DirEntry::file_name);
            for entry in entries {
                let (path, name) = (entry.path(), entry.file_name());
                let Some(name) = name.to_str() else { continue };
                let root = folder == "keys" && name == ROOT_KEY && !with_root;
                // Keys and what opens them do not travel in one bag.
                let opens = passphrase_file.as_deref() == Some(path.as_path());
                if name.starts_with('.') || !path.is_file() || root || opens {
                    continue;
                }
                put(&mut sealer, &path, &format!("{folder}/{name}"), &mut moved)?;
            }
        }
        let file = sealer.finish()?.into_inner().map_err(|error| Fault::new(format!("writing an export: {error}")))?;
        file.sync_all()?;
        Ok(moved)
    })
    .await
}

/// Makes an installation from an export. Its authorities jump their list numbers and issue to nobody until they are reconciled.
///
/// # Errors
/// `folder_not_empty`; `wrong_passphrase`, `export_damaged`; nothing is left behind then.
pub async fn restore(from: &Path, data: &Path, passphrase: &Passphrase, clock: &Clock) -> Result<Moved, Failure> {
    let occupied = std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        let message = format!("{} is not empty: restore into a new folder.", data.display());
        return Err(Refusal::conflict("folder_not_empty", message).into());
    }
    let scratch = tempfolder(data)?;
    let (folder, source, passphrase) = (scratch.path().to_owned(), from.to_owned(), passphrase.clone());
    let moved = blocking("restoring", move || unpack(&source, &folder, &passphrase)).await?;
    let store = Store::open(&scratch.path().join(DATABASE)).await?;
    let marked = Authority::mark_restored(&store, &Actor::local(), clock).await;
    store.close().await;
    marked?;
    // The folder is empty or not there; a rename puts all of it in place at once.
    match std::fs::remove_dir(data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Fault::from(error).into()),
        _ => {}
    }
    std::fs::rename(scratch.path(), data)
        .map_err(|error| Fault::new(format!("moving into {}: {error}", data.display())))?;
    scratch.keep();
    make_folders(data)?;
    Ok(moved)
}

fn unpack(from: &Path, into: &Path, passphrase: &Passphrase) -> Result<Moved, Failure> {
    let damaged =
        |why: &str| Failure::from(Refusal::invalid("export_damaged", format!("The export is damaged: {why}.")));
    let cut = |_: std::io::Error| damaged("it is cut short or changed");
    let file = File::open(from).map_err(|error| {
        Refusal::invalid("export_unreadable", format!("{} cannot be read: {error}.", from.display()))
    })?;
    let mut opener = BufReader::new(Opener::new(file, passphrase)?);
    let mut moved = Moved::default();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(head) = read_head(&mut opener)? {
        let relative = inner_path(&head.path).ok_or_else(|| damaged("it holds a file outside of its folder"))?;
        if moved.files == ENTRIES_MAX || !seen.insert(relative.clone()) {
            return Err(damaged("it holds too many files, or one twice"));
        }
        let path = into.join(&relative);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        }
        let mode = if head.mode & 0o077 == 0 { 0o600 } else { 0o644 };
        let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let copied = std::io::copy(&mut (&mut opener).take(head.length), &mut target).map_err(cut)?;
        if copied != head.length {
            return Err(damaged("it is cut short"));
        }
        target.sync_all()?;
        moved.files += 1;
        moved.bytes += copied;
    }
    match seen.contains(Path::new(DATABASE)) && seen.contains(Path::new(CONFIG_FILE_NAME)) {
        true => Ok(moved),
        false => Err(damaged("it holds no database or no settings")),
    }
}

fn read_head(from: &mut impl std::io::BufRead) -> Result<Option<Head>, Failure> {
    let damaged = || Failure::from(Refusal::invalid("export_damaged", "The export is damaged or cut short."));
    let mut line = Vec::new();
    let read = std::io::BufRead::read_until(&mut from.take(HEAD_BYTES_MAX), b'\n', &mut line).map_err(|_| damaged())?;
    if read == 0 {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|_| damaged())
}

/// A relative path of one or two plain names.
fn inner_path(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    let known = match text.split_once('/') {
        Some((folder, name)) => FOLDERS.contains(&folder) && !name.is_empty() && !name.contains('/'),
        None => text == DATABASE || FILES.contains(&text),
    };
    (plain && known).then(|| path.to_owned())
}

fn put(into: &mut impl Write, path: &Path, name: &str, moved: &mut Moved) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| Fault::new(format!("reading {}: {error}", path.display())))?;
    let metadata = file.metadata()?;
    let head = Head { path: name.to_owned(), mode: metadata.permissions().mode() & 0o777, length: metadata.len() };
    let mut line = serde_json::to_vec(&head).map_err(Fault::from)?;
    line.push(b'\n');
    into.write_all(&line)?;
    let copied = std::io::copy(&mut file.take(head.length), into)?;
    if copied != head.length {
        return Err(Fault::new(format!("{} changed while it was read", path.display())).into());
    }
    moved.files += 1;
    moved.bytes += copied;
    Ok(())
}

/// A folder beside `near`, mode 0700, which goes away unless it is kept: on the same disk, so that a rename moves it.
fn tempfolder(near: &Path) -> Result<Scratch, Fault> {
    let near = std::path::absolute(near)?;
    let parent = near.parent().ok_or_else(|| Fault::new("a path without a folder"))?;
    let path = parent.join(format!(".portcullis-{}", uuid::Uuid::now_v7().simple()));
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&path).map_err(|error| Fault::new(format!("making {}: {error}", path.display())))?;
    Ok(Scratch(path))
}

struct Scratch(PathBuf);

impl Scratch {
    fn path(&self) -> &Path {
        &self.0
    }

    /// It was moved away: nothing is left to remove.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Fault::new(format!("{doing}: {error}")))?
}
