//! Makes an installation whose root key never was on this machine. The requests of its authorities go out to a ceremony in a
//! folder that travels, and the certificates come back in it.

use std::path::Path;

use super::initialise::{self, write_atomically};
use super::{Endpoints, Foundation};
use crate::authority::ceremony::{ROOT_CERTIFICATE, ROOT_LIST};
use crate::authority::{Authority, AuthorityRequests, Certified, Passphrase};
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::Store;

/// What the folder holds, besides the root's certificate and list.
pub const ISSUING_REQUEST: &str = "issuing.csr";
pub const ISSUING_CERTIFICATE: &str = "issuing.pem";
pub const SERVER_ISSUING_REQUEST: &str = "server-issuing.csr";
pub const SERVER_ISSUING_CERTIFICATE: &str = "server-issuing.pem";
/// Certificates and a root's list are smaller.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How far it came.
pub enum Step {
    /// The requests lie in the folder; the ceremony is to certify them.
    Requested(AuthorityRequests),
    /// The installation is whole.
    Whole(Box<Foundation>),
}

/// Puts the requests into the folder, or takes up the certificates that lie in it.
///
/// # Errors
/// Those of [`Authority::request_certificates`] and [`Authority::adopt`]; `ceremony_folder` when it cannot be used.
pub async fn step(
    config: Config,
    clock: Clock,
    passphrase: Passphrase,
    endpoints: &Endpoints,
    folder: &Path,
) -> Result<Step, Failure> {
    if !folder.is_dir() {
        let message = format!("{} is no folder: bring the one with the root's {ROOT_CERTIFICATE}.", folder.display());
        return Err(Refusal::invalid("ceremony_folder", message).into());
    }
    let settings = Foundation::settings(&config, endpoints);
    let store = Store::open(&config.database()).await?;
    let keys = super::keys(&config, &passphrase).await?;
    let made = match certified(folder)? {
        Some(certified) => {
            Authority::adopt(&store, &keys, certified, &settings, &Actor::local(), &clock).await.map(|_| None)
        }
        None => Authority::request_certificates(&store, &keys, &initialise::names()).await.map(Some),
    };
    store.close().await;
    match made? {
        Some(requests) => {
            let write = |name: &str, pem: &str| write_atomically(&folder.join(name), pem.as_bytes(), 0o644);
            write(ISSUING_REQUEST, &requests.issuing.pem)?;
            write(SERVER_ISSUING_REQUEST, &requests.server_issuing.pem)?;
            Ok(Step::Requested(requests))
        }
        None => Ok(Step::Whole(Box::new(initialise::complete(config, clock, passphrase, endpoints).await?))),
    }
}

/// What the ceremony gave; `None` while a certificate is missing.
fn certified(folder: &Path) -> Result<Option<Certified>, Failure> {
    let read = |name: &str| -> Result<Option<Vec<u8>>, Failure> {
        let path = folder.join(name);
        let describe = |error: std::io::Error| Fault::new(format!("cannot read {}: {error}", path.display()));
        if !path.try_exists().map_err(describe)? {
            return Ok(None);
        }
        if std::fs::metadata(&path).map_err(describe)?.len() > FILE_BYTES_MAX {
            let message = format!("{} is larger than {FILE_BYTES_MAX} bytes.", path.display());
            return Err(Refusal::invalid("ceremony_folder", message).into());
        }
        Ok(Some(std::fs::read(&path).map_err(describe)?))
    };
    let (Some(issuing), Some(server_issuing)) = (read(ISSUING_CERTIFICATE)?, read(SERVER_ISSUING_CERTIFICATE)?) else {
        return Ok(None);
    };
    let needed = |name: &str| -> Result<Vec<u8>, Failure> {
        read(name)?.ok_or_else(|| {
            let message = format!("{} holds certificates, but not the root's {name}: bring it too.", folder.display());
            Refusal::invalid("ceremony_folder", message).into()
        })
    };
    Ok(Some(Certified { root: needed(ROOT_CERTIFICATE)?, root_list: needed(ROOT_LIST)?, issuing, server_issuing }))
}
