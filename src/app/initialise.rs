//! Makes a data folder: configuration, passphrase, the CA and the first administrator. Each step looks first whether it
//! has been done, so that a run that was cut short is finished by the next one.

use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::{Endpoints, Foundation};
use crate::authority::{Authority, Names, NewCertificate, Passphrase};
use crate::clock::Clock;
use crate::config::{CONFIG_FILE_NAME, Config, ConfigFile, ListenerFile, Pkcs11File, Serves};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::client::NewClient;
use crate::registry::partner::NewPartner;
use crate::registry::{Actor, Pepper};
use crate::store::{Page, Store, partner};

/// The partner and client that an installation begins with.
pub const OPERATOR_PARTNER: &str = "portcullis";
pub const OPERATOR_CLIENT: &str = "portcullis-admin";
/// Characters of a passphrase that we make.
const PASSPHRASE_BYTES: usize = 32;
/// The first administrator's certificate lives as long as its profile allows.
const ADMINISTRATOR_SECONDS: u32 = 398 * 86_400;
/// With less left, `init` issues the next one.
const ADMINISTRATOR_RENEWAL_SECONDS: i64 = 30 * 86_400;
const PASSPHRASE_FILE: &str = "keys/passphrase";

/// What a new data folder is to be.
#[derive(Clone, Debug)]
pub struct NewInstallation {
    pub environment: String,
    pub trust_domain: String,
    /// Host names and addresses of the listeners, as clients will write them.
    pub hostnames: Vec<String>,
    pub gateway: SocketAddr,
    pub mtls: SocketAddr,
    pub admin: SocketAddr,
    pub pki: SocketAddr,
    /// Absent: one is made in `keys/passphrase`.
    pub passphrase_file: Option<PathBuf>,
    /// What certificates say where CRLs are. Absent: the PKI listener's own address.
    pub pki_url: Option<String>,
    /// `iss` of the tokens. Absent: the gateway's own address.
    pub issuer: Option<String>,
    /// The token in which the CA's keys are made. Absent: they are encrypted files.
    pub pkcs11: Option<Pkcs11File>,
    /// The demo does not limit the loopback addresses that all of its callers share.
    pub exempt_loopback: bool,
}

impl NewInstallation {
    fn file(&self) -> ConfigFile {
        let listener = |name: &str, serves, address: SocketAddr, client_certificates| ListenerFile {
            name: name.to_owned(),
            serves,
            address: address.to_string(),
            client_certificates,
            certificate_hints: None,
            hostnames: match serves {
                Serves::Admin => self.admin_hostnames(),
                Serves::Gateway | Serves::Pki => self.hostnames.clone(),
            },
            certificate: None,
            key: None,
            proxy_protocol: None,
            trusted_proxies: None,
            networks: None,
            forwarded_header: None,
            insecure_trust_everyone: None,
        };
        use crate::config::ClientCertificates::{Optional, Required};
        let mut file = ConfigFile {
            environment: self.environment.clone(),
            trust_domain: self.trust_domain.clone(),
            passphrase_file: Some(self.passphrase_file.clone().unwrap_or_else(|| PathBuf::from(PASSPHRASE_FILE))),
            listener: vec![
                listener("gateway", Serves::Gateway, self.gateway, Some(Optional)),
                listener("mtls", Serves::Gateway, self.mtls, Some(Required)),
                listener("admin", Serves::Admin, self.admin, Some(Optional)),
                listener("pki", Serves::Pki, self.pki, None),
            ],
            forward_auth: Vec::new(),
            oauth: Default::default(),
            pki: Default::default(),
            limits: Default::default(),
            audit: Default::default(),
            expiry: Default::default(),
            keys: Default::default(),
            usage: Default::default(),
            log: Default::default(),
        };
        if self.exempt_loopback {
            file.limits.exempt = ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect();
        }
        file.pki.public_url.clone_from(&self.pki_url);
        file.pki.pkcs11.clone_from(&self.pkcs11);
        file.oauth.issuer.clone_from(&self.issuer);
        file
    }

    /// The administrator works on this machine, whatever the world calls it: the command line must get in by the bound address.
    fn admin_hostnames(&self) -> Vec<String> {
        let mut names = self.hostnames.clone();
        let address = self.admin.ip();
        let own = match address.is_unspecified() {
            true => "127.0.0.1".to_owned(),
            false => address.to_string(),
        };
        for name in ["localhost".to_owned(), own] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Checks everything that can be wrong with it, before anything is written.
    ///
    /// # Errors
    /// `invalid_settings`, with every fault.
    pub fn check(&self, data: &Path) -> Result<ConfigFile, Failure> {
        let refuse = |faults| Refusal::invalid("invalid_settings", "these settings do not fit").with_details(faults);
        let file = self.file();
        let config = file.clone().check(data).map_err(refuse)?;
        Foundation::settings(&config, &Endpoints::configured(&config)).check()?;
        Ok(file)
    }
}

/// Writes the folder, the configuration and the passphrase. Does nothing where they are.
pub fn lay_folder(data: &Path, new: &NewInstallation) -> Result<Config, Failure> {
    let config_path = data.join(CONFIG_FILE_NAME);
    let file = if config_path.exists() { None } else { Some(new.check(data)?) };
    make_folders(data)?;
    if let Some(file) = file {
        if new.passphrase_file.is_none() && !data.join(PASSPHRASE_FILE).exists() {
            write_secret(&data.join(PASSPHRASE_FILE), random_words()?.as_bytes())?;
        }
        let text = toml::to_string(&file).map_err(|error| Fault::new(format!("configuration: {error}")))?;
        let text = format!("# Portcullis. Every setting: docs/configuration.md\n{text}");
        write_atomically(&config_path, text.as_bytes(), 0o600)?;
    }
    Ok(Config::load(data).map_err(|faults| {
        Refusal::invalid("invalid_configuration", "the configuration does not fit").with_details(faults)
    })?)
}

/// Makes the data folder and the folders in it, where they are not there yet.
pub fn make_folders(data: &Path) -> Result<(), Refusal> {
    for folder in [data.to_owned(), data.join("keys"), data.join("policies"), data.join("admin")] {
        if !folder.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
                Refusal::invalid("data_folder", format!("cannot make the folder {}: {error}", folder.display()))
            })?;
        }
    }
    Ok(())
}

/// Makes the CA and the first administrator, where they are not there yet.
pub async fn initialise(
    config: Config,
    clock: Clock,
    passphrase: Passphrase,
    endpoints: &Endpoints,
) -> Result<Foundation, Failure> {
    let store = Store::open(&config.database()).await?;
    let keys = super::keys(&config, &passphrase).await?;
    let settings = Foundation::settings(&config, endpoints);
    let made = Authority::initialise(&store, &keys, &names(), &settings, &Actor::local(), &clock).await;
    store.close().await;
    made?;
    complete(config, clock, passphrase, endpoints).await
}

/// What the authorities of an installation are called.
pub(super) fn names() -> Names {
    Names { common_name: "Portcullis".to_owned(), organization: None }
}

/// Makes what an installation needs besides its authorities, where it is not there yet.
pub(super) async fn complete(
    config: Config,
    clock: Clock,
    passphrase: Passphrase,
    endpoints: &Endpoints,
) -> Result<Foundation, Failure> {
    let store = Store::open(&config.database()).await?;
    // A pepper made anew would silently refuse every key and secret there is: only an empty installation gets one.
    let empty = partner::list(&store, Page { limit: 1, offset: 0 }).await?.is_empty();
    if empty {
        Pepper::load_or_create(&config.pepper())?;
    }
    store.close().await;
    let foundation = Foundation::open(config, clock, passphrase, endpoints).await?;
    write_roots(&foundation)?;
    // From its first moment on, a server answers where its certificates say that the lists are.
    if foundation.authority.issuers().iter().any(|issuer| issuer.signs && issuer.crl.is_none()) {
        foundation.authority.publish_now().await?;
    }
    administrator(&foundation).await?;
    Ok(foundation)
}

/// Lays out what verifies the gate, for the command line and for whoever is given it.
pub(super) fn write_roots(foundation: &Foundation) -> Result<(), Fault> {
    let (path, pem) = (foundation.config.data.join("ca.pem"), foundation.authority.root_pem());
    match std::fs::read(&path) {
        Ok(there) if there == pem.as_bytes() => Ok(()),
        _ => write_atomically(&path, pem.as_bytes(), 0o644),
    }
}

async fn administrator(foundation: &Foundation) -> Result<(), Failure> {
    let actor = Actor::local();
    let registry = &foundation.registry;
    if is_absent(registry.partner(OPERATOR_PARTNER).await)? {
        registry.create_partner(&actor, NewPartner::named(OPERATOR_PARTNER, "Portcullis operators")).await?;
    }
    // Whoever has locked himself out gets in again by the files, and the log says so.
    if registry.partner(OPERATOR_PARTNER).await?.disabled_by_operator {
        registry.set_partner_enabled(&actor, OPERATOR_PARTNER, true).await?;
    }
    if is_absent(registry.client(OPERATOR_CLIENT).await)? {
        let new = NewClient {
            id: OPERATOR_CLIENT.to_owned(),
            partner: OPERATOR_PARTNER.to_owned(),
            description: Some("The first administrator".to_owned()),
            scopes: policies::ADMIN_SCOPES.iter().map(ToString::to_string).collect(),
            ..NewClient::default()
        };
        registry.create_client(&actor, new).await?;
    }
    if registry.client(OPERATOR_CLIENT).await?.disabled_by_operator {
        registry.set_client_enabled(&actor, OPERATOR_CLIENT, true).await?;
    }
    let folder = foundation.config.data.join("admin");
    let ends = ends_at(foundation, &folder.join("admin.crt"));
    let lasts = ends.is_some_and(|ends| ends - foundation.clock.now().0 > ADMINISTRATOR_RENEWAL_SECONDS);
    if !folder.join("admin.key").exists() || !lasts {
        issue_into(foundation, OPERATOR_CLIENT, &folder, "admin", Some(ADMINISTRATOR_SECONDS)).await?;
    }
    Ok(())
}

/// When the certificate in this file ends. `None`: there is none that could be used; its authority may have been tainted.
fn ends_at(foundation: &Foundation, path: &Path) -> Option<i64> {
    let chain = pki::pem_certificates(&std::fs::read(path).ok()?).ok()?;
    let certificate = pki::ClientCertificate::parse(chain.first()?).ok()?;
    let entry = foundation.snapshot.certificate(certificate.issuer_key_id.as_ref()?, &certificate.serial)?;
    entry.revoked.is_none().then_some(certificate.not_after)
}

/// Issues a certificate with a key of ours and writes `NAME.crt` (with chain), `NAME.p12`, its password, and last `NAME.key`,
/// whose presence says that the rest is there.
pub(super) async fn issue_into(
    foundation: &Foundation,
    client: &str,
    folder: &Path,
    name: &str,
    lifetime_seconds: Option<u32>,
) -> Result<(), Failure> {
    let new = NewCertificate {
        client: client.to_owned(),
        lifetime_seconds,
        key_algorithm: pki::KeyAlgorithm::EcdsaP256,
        scopes: None,
        networks: None,
        pkcs12: true,
        idempotency_key: None,
    };
    let issued = foundation.authority.issue(new, &Actor::local()).await?;
    let file = |extension: &str| folder.join(format!("{name}.{extension}"));
    // A key that is still there would say that it belongs to the certificate written next.
    let _ = std::fs::remove_file(file("key"));
    write_atomically(&file("crt"), format!("{}{}", issued.certificate_pem, issued.chain_pem).as_bytes(), 0o644)?;
    if let Some(key) = &issued.key {
        if let Some(pkcs12) = &key.pkcs12 {
            write_secret(&file("p12"), &pkcs12.file)?;
            write_secret(&file("p12.password"), pkcs12.password.expose_secret().as_bytes())?;
        }
        write_secret(&file("key"), key.private_key_pem.expose_secret().as_bytes())?;
    }
    Ok(())
}

/// Whether the look-up ended in "not found"; any other failure is passed on.
pub(super) fn is_absent<T>(found: Result<T, Failure>) -> Result<bool, Failure> {
    match found {
        Ok(_) => Ok(false),
        Err(Failure::Refused(refusal)) if refusal.kind == crate::failure::RefusalKind::NotFound => Ok(true),
        Err(failure) => Err(failure),
    }
}

pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    write_atomically(path, bytes, 0o600)
}

/// A crash leaves the old file or the new one, never half of either.
pub(super) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Fault> {
    use std::io::Write;
    let describe = |error: std::io::Error| Fault::new(format!("cannot write {}: {error}", path.display()));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let _ = std::fs::remove_file(&temporary);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(describe)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(describe)?;
    std::fs::rename(&temporary, path).map_err(describe)
}

fn random_words() -> Result<Zeroizing<String>, Fault> {
    use base64::Engine;
    let mut random = Zeroizing::new([0_u8; PASSPHRASE_BYTES]);
    aws_lc_rs::rand::fill(random.as_mut_slice()).map_err(|_| Fault::new("no randomness"))?;
    Ok(Zeroizing::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random.as_slice())))
}
