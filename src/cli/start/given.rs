//! What `init` was told on the command line: the settings of a new installation, or what must agree with an old one.

use std::net::{IpAddr, SocketAddr};

use super::{ADMIN, InitArgs, parsed};
use crate::app::initialise::NewInstallation;
use crate::config::{Config, Pkcs11File, canonical_hostname};
use crate::failure::{Failure, Fault, Refusal};

/// Names the identities of an installation whose gateway has no name of its own.
pub(super) const TRUST_DOMAIN: &str = "portcullis.internal";
const ENVIRONMENT: &str = "live";
const GATEWAY: &str = "0.0.0.0:8443";
const MTLS: &str = "0.0.0.0:8444";
const PKI: &str = "0.0.0.0:8080";

/// The settings of a new installation.
pub(super) fn new_installation(args: &InitArgs) -> Result<NewInstallation, Failure> {
    let Some(first) = args.hostname.first() else {
        return Err(Refusal::invalid("hostname", "give at least one --hostname").into());
    };
    let trust_domain = match &args.trust_domain {
        Some(domain) => domain.to_ascii_lowercase(),
        None if is_address(first) => TRUST_DOMAIN.to_owned(),
        None => first.to_ascii_lowercase(),
    };
    let address = |option: &str, given: Option<SocketAddr>, default: &str| {
        let address = given.map_or_else(|| parsed(default), Ok)?;
        match address.port() {
            // The port is written into certificates and tokens: it cannot be another one at each start.
            0 => Err(Refusal::invalid("address", format!("{option} {address}: choose a port, 0 is none"))),
            _ => Ok(address),
        }
    };
    Ok(NewInstallation {
        environment: args.environment.clone().unwrap_or_else(|| ENVIRONMENT.to_owned()),
        trust_domain,
        hostnames: args.hostname.clone(),
        gateway: address("--gateway", args.gateway, GATEWAY)?,
        mtls: address("--mtls", args.mtls, MTLS)?,
        admin: address("--admin", admin(args)?, ADMIN)?,
        pki: address("--pki", args.pki, PKI)?,
        passphrase_file: passphrase_file(args)?,
        pki_url: args.pki_url.clone(),
        issuer: args.issuer.clone(),
        pkcs11: pkcs11(args)?,
        exempt_loopback: false,
    })
}

/// Refuses options that say something else than the configuration, which only its owner changes.
pub(super) fn agrees(args: &InitArgs, config: &Config) -> Result<(), Failure> {
    let mut differences = Vec::new();
    let mut compare = |option: &str, given: Option<String>, stands: Option<String>| {
        if let Some(given) = given
            && stands.as_ref() != Some(&given)
        {
            let stands = stands.unwrap_or_else(|| "not set".to_owned());
            differences.push(format!("{option} {given}: the file says {stands}"));
        }
    };
    let listener = |name: &str| config.listeners.iter().find(|listener| listener.name == name);
    let canonical = |name: &String| canonical_hostname(name).unwrap_or_else(|| name.clone());
    let hostnames: Vec<String> = args.hostname.iter().map(canonical).collect();
    let named = listener("gateway").map(|listener| listener.hostnames.join(", "));
    compare("--hostname", (!hostnames.is_empty()).then(|| hostnames.join(", ")), named);
    let domain = args.trust_domain.as_ref().map(|domain| domain.to_ascii_lowercase());
    compare("--trust-domain", domain, Some(config.trust_domain.clone()));
    compare("--environment", args.environment.clone(), Some(config.environment.clone()));
    let shown = |path: &std::path::PathBuf| path.display().to_string();
    compare(
        "--passphrase-file",
        passphrase_file(args)?.as_ref().map(shown),
        config.passphrase_file.as_ref().map(shown),
    );
    let (given, stands) = (pkcs11(args)?, config.pki.pkcs11.as_ref());
    compare(
        "--pkcs11-module",
        given.as_ref().map(|token| shown(&token.module)),
        stands.map(|token| shown(&token.module)),
    );
    compare("--pkcs11-token", given.as_ref().map(|token| token.token.clone()), stands.map(|token| token.token.clone()));
    let pin = given.as_ref().and_then(|token| token.pin_file.as_ref());
    compare("--pin-file", pin.map(shown), stands.and_then(|token| token.pin_file.as_ref()).map(shown));
    compare("--pki-url", args.pki_url.clone(), config.pki.public_url.clone());
    compare("--issuer", args.issuer.clone(), config.oauth.issuer.clone());
    for (name, given) in [("gateway", args.gateway), ("mtls", args.mtls), ("admin", admin(args)?), ("pki", args.pki)] {
        let stands = listener(name).map(|listener| listener.address.to_string());
        compare(&format!("--{name}"), given.map(|address| address.to_string()), stands);
    }
    if differences.is_empty() {
        return Ok(());
    }
    let file = config.data.join(crate::config::CONFIG_FILE_NAME);
    let message = format!("{} is there already and says otherwise: edit that file instead", file.display());
    Err(Refusal::conflict("already_initialised", message).with_details(differences).into())
}

fn admin(args: &InitArgs) -> Result<Option<SocketAddr>, Refusal> {
    args.admin.as_deref().map(parsed).transpose()
}

fn passphrase_file(args: &InitArgs) -> Result<Option<std::path::PathBuf>, Fault> {
    Ok(args.passphrase_file.as_ref().map(std::path::absolute).transpose()?)
}

/// The token, with paths that hold wherever the server is started from.
fn pkcs11(args: &InitArgs) -> Result<Option<Pkcs11File>, Fault> {
    let (Some(module), Some(token)) = (&args.pkcs11_module, &args.pkcs11_token) else { return Ok(None) };
    Ok(Some(Pkcs11File {
        module: std::path::absolute(module)?,
        token: token.clone(),
        pin_file: args.pin_file.as_ref().map(std::path::absolute).transpose()?,
    }))
}

fn is_address(hostname: &str) -> bool {
    canonical_hostname(hostname).is_some_and(|hostname| hostname.parse::<IpAddr>().is_ok())
}
