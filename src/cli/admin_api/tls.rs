//! Who we are and whom we believe, and what to say when either fails.

use std::error::Error as _;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::cli::connection::Connection;
use crate::cli::error::CliError;
use crate::cli::files;

/// Trusts exactly the CA file: the machine's own roots are of no concern here.
pub(super) fn connector(connection: &Connection) -> Result<TlsConnector, CliError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&connection.ca)? {
        roots.add(certificate).map_err(|error| {
            CliError::new(format!("{} holds a certificate that cannot be trusted: {error}", connection.ca.display()))
        })?;
    }
    let key = Zeroizing::new(files::read(&connection.key, files::BYTES_MAX)?);
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| CliError::new(format!("{} is not an unencrypted private key in PEM", connection.key.display())))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::new(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&connection.certificate)?, key)
        .map_err(|error| {
            CliError::new(format!(
                "{} and {} do not fit: {error}",
                connection.certificate.display(),
                connection.key.display()
            ))
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    pki::pem_certificates(&files::read(path, files::BYTES_MAX)?)
        .map(|certificates| certificates.into_iter().map(CertificateDer::from).collect())
        .map_err(|error| CliError::new(format!("{}: {error}", path.display())))
}

/// The handshake failed.
pub(super) fn refused(connection: &Connection, error: &std::io::Error) -> CliError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => CliError::new(format!(
            "the certificate of {} does not verify against {}: {why}",
            connection.url,
            connection.ca.display()
        ))
        .with_details([
            "another server listens there, or its CA is another one: give the right --admin or --ca".to_owned(),
        ]),
        Some(rustls::Error::AlertReceived(alert)) => unwelcome(connection, &format!("{alert:?}")),
        _ => CliError::new(format!("TLS with {} failed: {error}", connection.url)),
    }
}

/// The connection failed under a request. In TLS 1.3 a server says only then that it does not take our certificate.
pub(super) fn broken(connection: &Connection, error: &hyper::Error) -> CliError {
    let mut source = error.source();
    while let Some(cause) = source {
        let of_tls = cause
            .downcast_ref::<rustls::Error>()
            .or_else(|| cause.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = of_tls {
            return unwelcome(connection, &format!("{alert:?}"));
        }
        source = cause.source();
    }
    CliError::new(format!("the connection to {} broke: {error}", connection.url))
}

fn unwelcome(connection: &Connection, alert: &str) -> CliError {
    CliError::new(format!(
        "{} does not accept the certificate {}: {alert}",
        connection.url,
        connection.certificate.display()
    ))
    .with_details(["it may have expired or be of another CA: give another with --certificate and --key".to_owned()])
}
