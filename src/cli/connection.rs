//! Where the server is, and with what to introduce oneself.

use std::path::{Path, PathBuf};

use http::Uri;
use serde::Deserialize;

use super::error::CliError;
use super::files;
use super::global::Global;

/// How to get a data folder; also said where only offline commands would work.
const NO_DATA_FOLDER: &str = "no data folder: run `portcullis demo`, or give --data DIR or PORTCULLIS_DATA";

/// What `serve` writes into `endpoints.json` and `demo` into `demo.json`; members that are not used here are passed over.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Endpoints {
    pub(super) admin: Option<String>,
    pub(super) gateway: Option<String>,
    pub(super) pki: Option<String>,
    /// A path that the demo guards; only in `demo.json`.
    pub(super) path: Option<String>,
}

impl Endpoints {
    /// Reads what lies in the folder; what `serve` wrote last comes first.
    pub(super) fn read(data: &Path) -> Result<Self, CliError> {
        let read = |name: &str| -> Result<Option<Self>, CliError> {
            let path = data.join(name);
            if !path.exists() {
                return Ok(None);
            }
            let bytes = files::read(&path, files::BYTES_MAX)?;
            serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| CliError::new(format!("{} cannot be read: {error}", path.display())))
        };
        let (serve, demo) = (read("endpoints.json")?.unwrap_or_default(), read("demo.json")?.unwrap_or_default());
        Ok(Self {
            admin: serve.admin.or(demo.admin),
            gateway: serve.gateway.or(demo.gateway),
            pki: serve.pki.or(demo.pki),
            path: demo.path,
        })
    }
}

/// Everything that is needed to talk to the admin listener.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// `https://127.0.0.1:9443`, without a path.
    pub(super) url: String,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it stands in the Host header.
    pub(super) authority: String,
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Connection {
    /// From the options, and for what they leave out from the data folder.
    pub(super) fn find(global: &Global) -> Result<Self, CliError> {
        let data = global.data();
        let in_data = |given: &Option<PathBuf>, name: &str, option: &str| match (given, &data) {
            (Some(given), _) => Ok(given.clone()),
            (None, Some(data)) => Ok(data.join(name)),
            (None, None) if global.admin.is_some() => {
                Err(CliError::new(format!("give {option} FILE, or a data folder with --data DIR or PORTCULLIS_DATA")))
            }
            (None, None) => Err(CliError::new(NO_DATA_FOLDER)),
        };
        if let Some(data) = &data
            && !data.is_dir()
        {
            return Err(CliError::new(format!(
                "there is no folder {}: `portcullis demo` or `portcullis init` makes one",
                data.display()
            )));
        }
        let ca = in_data(&global.ca, "ca.pem", "--ca")?;
        let certificate = in_data(&global.certificate, "admin/admin.crt", "--certificate")?;
        let key = in_data(&global.key, "admin/admin.key", "--key")?;
        let url = match (&global.admin, &data) {
            (Some(url), _) => url.clone(),
            (None, Some(data)) => Endpoints::read(data)?.admin.ok_or_else(|| {
                CliError::new(format!(
                    "{} does not say where the server is: start it with `portcullis serve --data {0}`, or give --admin URL",
                    data.display()
                ))
            })?,
            (None, None) => return Err(CliError::new(NO_DATA_FOLDER)),
        };
        for file in [&ca, &certificate, &key] {
            if !file.is_file() {
                return Err(CliError::new(format!("there is no file {}", file.display())));
            }
        }
        let place = Place::parse(&url)?;
        Ok(Self { url, host: place.host, port: place.port, authority: place.authority, ca, certificate, key })
    }
}

struct Place {
    host: String,
    port: u16,
    authority: String,
}

impl Place {
    fn parse(url: &str) -> Result<Self, CliError> {
        let wrong = || {
            CliError::new(format!("{url:?} is not the URL of an admin listener: write it like https://127.0.0.1:9443"))
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
        if uri.scheme_str() != Some("https") || !bare {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(443), authority: authority.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Connection, Place};
    use crate::cli::global::Global;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("admin")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn of(data: &tempfile::TempDir) -> Global {
        Global { data: Some(data.path().to_owned()), ..Global::default() }
    }

    const FILES: [(&str, &str); 3] = [("ca.pem", ""), ("admin/admin.crt", ""), ("admin/admin.key", "")];

    #[test]
    fn the_data_folder_says_where_the_server_is() {
        let demo = folder(&[&FILES[..], &[("demo.json", r#"{"admin":"https://127.0.0.1:1","api_key":"k"}"#)]].concat());
        assert_eq!(Connection::find(&of(&demo)).unwrap().port, 1);
        std::fs::write(demo.path().join("endpoints.json"), r#"{"admin":"https://[::1]:2","listeners":[]}"#).unwrap();
        let found = Connection::find(&of(&demo)).unwrap();
        assert_eq!((found.host.as_str(), found.port, found.authority.as_str()), ("::1", 2, "[::1]:2"));
        assert_eq!(found.key, demo.path().join("admin/admin.key"));
    }

    #[test]
    fn options_come_before_the_folder() {
        let demo = folder(&[&FILES[..], &[("demo.json", r#"{"admin":"https://127.0.0.1:1"}"#)]].concat());
        let mut global = of(&demo);
        global.admin = Some("https://gate.example.com/".to_owned());
        global.ca = Some(demo.path().join("admin/admin.crt"));
        let found = Connection::find(&global).unwrap();
        assert_eq!((found.host.as_str(), found.port, found.ca.ends_with("admin.crt")), ("gate.example.com", 443, true));
    }

    #[test]
    fn what_is_missing_is_said() {
        let say = |global: &Global| Connection::find(global).unwrap_err().to_string();
        assert!(say(&Global::default()).contains("no data folder: run `portcullis demo`"));
        let no_folder = Global { data: Some(PathBuf::from("/nowhere")), ..Global::default() };
        assert!(say(&no_folder).contains("there is no folder /nowhere"));
        assert!(say(&Global { data: Some(PathBuf::new()), ..Global::default() }).contains("no data folder"));
        assert!(say(&of(&folder(&FILES))).contains("does not say where the server is"));
        let halves = Global { admin: Some("https://a:1".to_owned()), ..Global::default() };
        assert!(say(&halves).contains("give --ca FILE"));
        let keyless = folder(&[("ca.pem", ""), ("admin/admin.crt", ""), ("demo.json", r#"{"admin":"https://a:1"}"#)]);
        assert!(say(&of(&keyless)).contains("admin.key"));
        assert!(say(&of(&folder(&[("demo.json", "{")]))).contains("demo.json cannot be read"));
    }

    #[test]
    fn only_bare_https_urls_are_taken() {
        for url in ["http://a:1", "a:1", "https://a:1/v1", "https://a:1?x", "https://user@a:1", "", "https://"] {
            assert!(Place::parse(url).is_err(), "{url}");
        }
    }
}
