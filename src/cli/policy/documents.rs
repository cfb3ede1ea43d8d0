//! Policy documents on disk.

use std::path::{Component, Path, PathBuf};

use policies::{Document, MAX_DOCUMENT_BYTES, MAX_DOCUMENTS};
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::files;

/// Documents in the order in which they make one policy.
pub(super) struct Documents {
    read: Vec<(PathBuf, String)>,
}

impl Documents {
    /// Files as they are given; of a folder its `*.toml`, sorted by name, without those that begin with a dot.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, CliError> {
        let mut files = Vec::new();
        for path in paths {
            match path.is_dir() {
                true => files.extend(of_folder(path)?),
                false => files.push(path.clone()),
            }
        }
        if files.len() > MAX_DOCUMENTS {
            return Err(CliError::new(format!("more than {MAX_DOCUMENTS} documents")));
        }
        let read = |path: PathBuf| {
            let text = files::read_text(&path, MAX_DOCUMENT_BYTES as u64)?;
            Ok((path, text))
        };
        Ok(Self { read: files.into_iter().map(read).collect::<Result<_, CliError>>()? })
    }

    pub(super) fn len(&self) -> usize {
        self.read.len()
    }

    /// Named by their path, so that an editor finds a fault's place.
    pub(super) fn with_paths(&self) -> Vec<Document> {
        self.read.iter().map(|(path, text)| Document::new(path.display().to_string(), text.clone())).collect()
    }

    /// Named by their file name alone, as the server keeps them: it is no business of its where they lay.
    pub(super) fn for_server(&self) -> Value {
        let document = |(path, text): &(PathBuf, String)| {
            let name =
                path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
            json!({"name": name, "text": text})
        };
        self.read.iter().map(document).collect()
    }
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let describe =
        |error: std::io::Error| CliError::new(format!("cannot read the folder {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(describe)? {
        let path = entry.map_err(describe)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() && !is_hidden {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(CliError::new(format!("there is no *.toml in {}", folder.display()))),
        false => Ok(files),
    }
}

/// The documents of a stored version.
pub(super) fn of_answer(answer: &Value) -> Vec<Document> {
    let text = |document: &Value, member: &str| document[member].as_str().unwrap_or_default().to_owned();
    let documents = answer["documents"].as_array().into_iter().flatten();
    documents.map(|document| Document::new(text(document, "name"), text(document, "text"))).collect()
}

/// The name of a stored document, if it can be a file's: it came from the server and must not lead out of the folder.
pub(super) fn file_name(name: &str) -> Result<&str, CliError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(CliError::new(format!("the document {name:?} has a name that no file can have"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Documents, file_name};

    #[test]
    fn a_folder_gives_its_documents_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", ".hidden.toml", "notes.txt"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("c.toml")).unwrap();
        let documents = Documents::read(&[folder.path().to_owned()]).unwrap();
        assert_eq!(
            documents.for_server().to_string(),
            r#"[{"name":"a.toml","text":"a.toml"},{"name":"b.toml","text":"b.toml"}]"#
        );
        assert!(documents.with_paths()[0].name.ends_with("/a.toml"));
    }

    #[test]
    fn an_empty_folder_is_no_policy() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Documents::read(&[folder.path().to_owned()]).is_err());
        assert!(Documents::read(&[folder.path().join("absent.toml")]).is_err());
    }

    #[test]
    fn a_stored_name_cannot_lead_out_of_the_folder() {
        assert!(file_name("a.toml").is_ok());
        for name in ["../a.toml", "/etc/a.toml", "a/b.toml", "..", ".", "", "a.toml/"] {
            assert!(file_name(name).is_err(), "{name}");
        }
    }
}
