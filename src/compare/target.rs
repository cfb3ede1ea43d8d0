//! What is called, with which credentials, and who may make more of them. Secrets come from files only: arguments can be
//! read by every process of the machine.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::endpoint::Endpoint;
use super::identity::Identity;
use crate::failure::Refusal;

/// Certificates, keys, secrets, `demo.json`: nothing of it is larger.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where to look. What is absent is taken from the data folder.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Made by `demo` or `init`.
    pub data: Option<PathBuf>,
    /// The route that is called.
    pub url: Option<String>,
    pub ca: Option<PathBuf>,
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    pub api_key_file: Option<PathBuf>,
    pub client_id: Option<String>,
    pub client_secret_file: Option<PathBuf>,
    pub token_url: Option<String>,
    pub scope: Option<String>,
    /// URL of the admin listener.
    pub admin: Option<String>,
    pub admin_certificate: Option<PathBuf>,
    pub admin_key: Option<PathBuf>,
}

/// What a client of the gate holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    pub(super) identity: Option<Identity>,
    pub(super) api_key: Option<SecretString>,
    pub(super) secret: Option<ClientSecret>,
}

/// With what tokens are fetched.
#[derive(Clone, Debug)]
pub(super) struct ClientSecret {
    pub(super) client: String,
    pub(super) secret: SecretString,
}

/// The admin listener and an administrator.
#[derive(Debug)]
pub(super) struct AdminAccess {
    pub(super) endpoint: Endpoint,
    pub(super) identity: Identity,
}

/// Everything that a comparison needs to know.
#[derive(Debug)]
pub struct Target {
    pub(super) route: Endpoint,
    pub(super) token: Endpoint,
    pub(super) scope: Option<String>,
    pub(super) ca_pem: Vec<u8>,
    /// The client whose credentials are compared, or whose like is.
    pub(super) client: Option<String>,
    pub(super) own: Credentials,
    /// Credentials were named one by one: they are to be measured themselves.
    pub(super) own_are_meant: bool,
    pub(super) admin: Option<AdminAccess>,
}

/// `demo.json` and `endpoints.json`, as far as they are used here. Paths are relative to the folder.
#[derive(Default, Deserialize)]
struct Folder {
    gateway: Option<String>,
    admin: Option<String>,
    client_id: Option<String>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    api_key: Option<String>,
    client_secret: Option<String>,
    scope: Option<String>,
    token_url: Option<String>,
    path: Option<String>,
}

impl Target {
    /// Reads the files and looks the hosts up. Nothing is sent yet.
    pub async fn find(sources: &Sources) -> Result<Self, Refusal> {
        let data = sources.data.as_deref();
        let folder: Folder = read_json(data, "demo.json")?;
        let places: Folder = read_json(data, "endpoints.json")?;
        let missing = |what: &str| Refusal::invalid("nothing_to_compare", what.to_owned());
        let gateway = places.gateway.or_else(|| folder.gateway.clone());
        let url = match (&sources.url, &gateway, &folder.path) {
            (Some(url), ..) => url.clone(),
            (None, Some(gateway), Some(path)) => format!("{gateway}{path}"),
            _ => {
                return Err(missing(
                    "say what to call: --url https://HOST/PATH, or a folder that `portcullis demo` made with --data DIR",
                ));
            }
        };
        let route = Endpoint::look_up(&url).await?;
        let ca = sources.ca.clone().or_else(|| data.map(|data| data.join("ca.pem")));
        let ca = ca.ok_or_else(|| missing("say whom to trust: --ca FILE with the CA certificates of the server"))?;
        let own_are_meant = sources.client_certificate.is_some()
            || sources.client_key.is_some()
            || sources.api_key_file.is_some()
            || sources.client_secret_file.is_some();
        let own = if own_are_meant { given_credentials(sources)? } else { found_credentials(sources, data, &folder)? };
        let client = sources.client_id.clone().or(folder.client_id).or_else(|| {
            let identity = own.identity.as_ref()?.certificate()?.spiffe_id?;
            Some(identity.client().to_string())
        });
        // The demo's token endpoint is that of another run when the ports were free ones; its own file says so.
        let token = match sources.token_url.clone().or(folder.token_url.filter(|_| sources.url.is_none())) {
            Some(url) => Endpoint::look_up(&url).await?,
            None => route.at("/oauth2/token"),
        };
        Ok(Self {
            route,
            token,
            scope: sources.scope.clone().or(folder.scope.filter(|_| sources.url.is_none())),
            ca_pem: read(&ca)?,
            client,
            own,
            own_are_meant,
            admin: admin_access(sources, data, places.admin.or(folder.admin)).await?,
        })
    }
}

/// What was named one by one, and nothing else: credentials of two clients would only tell that they do not fit.
fn given_credentials(sources: &Sources) -> Result<Credentials, Refusal> {
    let identity = match (&sources.client_certificate, &sources.client_key) {
        (Some(certificate), Some(key)) => Some(identity(certificate, key)?),
        (None, None) => None,
        _ => {
            return Err(Refusal::invalid(
                "half_an_identity",
                "--client-certificate and --client-key belong together: give both",
            ));
        }
    };
    let secret = match (&sources.client_secret_file, &sources.client_id) {
        (Some(file), Some(client)) => Some(ClientSecret { client: client.clone(), secret: read_secret(file)? }),
        (Some(_), None) => {
            return Err(Refusal::invalid("half_a_client", "--client-secret-file needs --client-id beside it"));
        }
        (None, _) => None,
    };
    let api_key = sources.api_key_file.as_deref().map(read_secret).transpose()?;
    Ok(Credentials { identity, api_key, secret })
}

/// The demo's, unless another client is meant.
fn found_credentials(sources: &Sources, data: Option<&Path>, folder: &Folder) -> Result<Credentials, Refusal> {
    let (Some(data), Some(client)) = (data, &folder.client_id) else { return Ok(Credentials::default()) };
    if sources.client_id.as_ref().is_some_and(|meant| meant != client) {
        return Ok(Credentials::default());
    }
    let identity = match (&folder.client_certificate, &folder.client_key) {
        (Some(certificate), Some(key)) => Some(identity(&data.join(certificate), &data.join(key))?),
        _ => None,
    };
    let secret = |text: &String| ClientSecret { client: client.clone(), secret: SecretString::from(text.as_str()) };
    Ok(Credentials {
        identity,
        api_key: folder.api_key.as_deref().map(SecretString::from),
        secret: folder.client_secret.as_ref().map(secret),
    })
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, Refusal> {
    Identity::from_pem(&read(certificate)?, &read(key)?, &certificate.display().to_string())
}

async fn admin_access(
    sources: &Sources,
    data: Option<&Path>,
    found: Option<String>,
) -> Result<Option<AdminAccess>, Refusal> {
    let in_data = |given: &Option<PathBuf>, name: &str| given.clone().or_else(|| data.map(|data| data.join(name)));
    let url = sources.admin.clone().or(found);
    let (Some(url), Some(certificate), Some(key)) =
        (url, in_data(&sources.admin_certificate, "admin/admin.crt"), in_data(&sources.admin_key, "admin/admin.key"))
    else {
        return Ok(None);
    };
    let is_given = sources.admin_certificate.is_some() || sources.admin_key.is_some();
    let is_there = certificate.exists() && key.exists();
    if !is_given && !is_there {
        return Ok(None);
    }
    Ok(Some(AdminAccess { endpoint: Endpoint::look_up(&url).await?, identity: identity(&certificate, &key)? }))
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let wrong = |why: String| Refusal::invalid("unreadable_file", format!("cannot read {}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|error| wrong(error.to_string()))
}

/// One line; the line break at the end is the editor's, not the secret's.
fn read_secret(path: &Path) -> Result<SecretString, Refusal> {
    let wrong = |why: &str| Refusal::invalid("unreadable_file", format!("{}: {why}", path.display()));
    let text = String::from_utf8(read(path)?).map_err(|_| wrong("it is not text"))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(|character: char| character.is_control() || character == ' ') {
        return Err(wrong("it must hold one secret on one line"));
    }
    Ok(SecretString::from(line))
}

/// The defaults when there is no such file.
fn read_json<T: DeserializeOwned + Default>(data: Option<&Path>, name: &str) -> Result<T, Refusal> {
    let Some(path) = data.map(|data| data.join(name)).filter(|path| path.exists()) else { return Ok(T::default()) };
    // The text of a parser's error could quote a secret.
    serde_json::from_slice(&read(&path)?).map_err(|error| {
        Refusal::invalid("unreadable_file", format!("{} is damaged at line {}", path.display(), error.line()))
    })
}

#[cfg(test)]
mod tests;
