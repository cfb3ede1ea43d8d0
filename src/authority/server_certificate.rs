//! The gate's own server certificate, from the server-issuing authority, renewed in good time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pki::{Identity, KeyAlgorithm, LeafRequest, PrivateKey};
use policies::UnixSeconds;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::issuance::{Order, Outcome};
use super::keys::SERVER_KEY;
use super::{Authority, off_thread, refused, to_the_end};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store;
use crate::store::certificate::{CertificateKind, CertificateRow, CertificateState};

/// How often it is asked whether a new one is due; also the pause after one could not be had.
const CHECK_EVERY: Duration = Duration::from_secs(300);
/// Names that one certificate may have.
const SERVER_NAMES_MAX: usize = 100;

/// The names that clients know the gate by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// Lower-case host names.
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
}

/// A certificate with its key, ready for TLS.
pub struct ServerCertificate {
    /// The certificate, then its authority's, and while one root follows another what they say of each other.
    pub chain: Vec<CertificateDer<'static>>,
    /// SHA-256 of the certificate, hex.
    pub thumbprint: String,
    pub not_after: UnixSeconds,
    key: PrivateKey,
    renew_at: UnixSeconds,
}

impl ServerCertificate {
    /// The private key, PKCS#8 DER: a copy, which is wiped when it is dropped.
    pub fn key_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.key.to_pkcs8_der()
    }

    fn new(der: Vec<u8>, above: Vec<Vec<u8>>, key: PrivateKey, row: &CertificateRow) -> Self {
        Self {
            thumbprint: row.thumbprint.clone().unwrap_or_default(),
            chain: std::iter::once(der).chain(above).map(CertificateDer::from).collect(),
            not_after: UnixSeconds(row.not_after),
            key,
            // When a third of its life is left.
            renew_at: UnixSeconds(row.not_after - (row.not_after - row.not_before) / 3),
        }
    }
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServerCertificate").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

/// Who the gate is to its clients: the certificate in use, and its successors.
#[derive(Debug)]
pub struct ServerIdentity {
    authority: Authority,
    names: ServerNames,
    current: watch::Sender<Arc<ServerCertificate>>,
}

impl ServerIdentity {
    /// Takes up the certificate that is there, or has a new one issued: the first time, when the names are others, and when less
    /// than a third of its life is left.
    ///
    /// # Errors
    /// `invalid_server_name`; `key_file_exposed`; what issuing refuses.
    pub async fn open(authority: Authority, names: ServerNames) -> Result<Self, Failure> {
        if names.dns.len() + names.ips.len() > SERVER_NAMES_MAX {
            let message = format!("A server certificate has at most {SERVER_NAMES_MAX} names.");
            return Err(Refusal::invalid("invalid_server_name", message).into());
        }
        let certificate = match authority.standing_server_certificate(&names).await? {
            Some(certificate) => certificate,
            None => authority.new_server_certificate(&names).await?,
        };
        Ok(Self { authority, names, current: watch::Sender::new(Arc::new(certificate)) })
    }

    /// The certificate in use.
    pub fn current(&self) -> Arc<ServerCertificate> {
        self.current.borrow().clone()
    }

    /// Hears of each renewal.
    pub fn subscribe(&self) -> watch::Receiver<Arc<ServerCertificate>> {
        self.current.subscribe()
    }

    /// Has a new certificate issued now, with a new key.
    ///
    /// # Errors
    /// What issuing refuses; the one in use stays.
    pub async fn renew(&self) -> Result<Arc<ServerCertificate>, Failure> {
        let certificate = Arc::new(self.authority.new_server_certificate(&self.names).await?);
        self.current.send_replace(certificate.clone());
        Ok(certificate)
    }

    /// Takes up what changed among the authorities: another one issues now, or one root follows another.
    ///
    /// # Errors
    /// What issuing refuses; the one in use stays.
    pub async fn follow(&self) -> Result<(), Failure> {
        let certificate = match self.authority.standing_server_certificate(&self.names).await? {
            Some(certificate) => certificate,
            None => self.authority.new_server_certificate(&self.names).await?,
        };
        if certificate.chain != self.current().chain {
            self.current.send_replace(Arc::new(certificate));
        }
        Ok(())
    }

    /// Renews when a third of the certificate's life is left, until `shutdown`. Spawn it once.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
            if self.authority.inner.clock.now() < self.current().renew_at {
                continue;
            }
            match self.renew().await {
                Ok(renewed) => {
                    tracing::info!(thumbprint = renewed.thumbprint, "the gate's server certificate was renewed")
                }
                Err(error) => {
                    metrics::counter!("portcullis_server_certificate_failures_total").increment(1);
                    tracing::error!(%error, "the gate's server certificate could not be renewed; trying again");
                }
            }
        }
    }
}

impl Authority {
    /// The certificate that belongs to the key file, if it is still what is wanted.
    async fn standing_server_certificate(&self, names: &ServerNames) -> Result<Option<ServerCertificate>, Failure> {
        if !self.inner.keys.holds(SERVER_KEY)? {
            return Ok(None);
        }
        let key = match self.inner.keys.load(SERVER_KEY).await {
            Ok(key) => key,
            // Unlike an authority's key this one can be had anew.
            Err(Failure::Refused(refusal)) if matches!(refusal.code, "wrong_passphrase" | "key_file_damaged") => {
                tracing::warn!(error = %refusal, "the server's key cannot be used: a new one is made");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let issuers = self.inner.issuers();
        let issuer = issuers.server_issuing();
        let issuer_key_id = issuer.key_id.to_string();
        let fingerprint = key.public_key().fingerprint().to_string();
        let rows = store::certificate::find_by_key(&self.inner.store, &fingerprint).await?;
        let good = |row: &CertificateRow| {
            row.kind == CertificateKind::Server
                && row.state == CertificateState::Issued
                && row.revoked_at.is_none()
                && row.issuer_key_id == issuer_key_id
        };
        let Some(row) = rows.into_iter().rev().find(good) else { return Ok(None) };
        let Some(der) = store::certificate::der(&self.inner.store, &row.issuer_key_id, &row.serial).await? else {
            return Ok(None);
        };
        if !names_all(&der, names)? {
            return Ok(None);
        }
        let certificate = ServerCertificate::new(der, issuers.chain(issuer, self.inner.clock.now()), key, &row);
        Ok((self.inner.clock.now() < certificate.renew_at).then_some(certificate))
    }

    async fn new_server_certificate(&self, names: &ServerNames) -> Result<ServerCertificate, Failure> {
        let (authority, names) = (self.clone(), names.clone());
        to_the_end(async move { authority.make_server_certificate(&names).await }).await
    }

    async fn make_server_certificate(&self, names: &ServerNames) -> Result<ServerCertificate, Failure> {
        let lock = self.inner.keys.lock()?;
        let key =
            off_thread("making a key", || PrivateKey::generate(KeyAlgorithm::EcdsaP256)).await?.map_err(refused)?;
        let common_name = names.dns.first().cloned().or_else(|| names.ips.first().map(ToString::to_string));
        let order = Order {
            signer: self.inner.issuers().server_issuing().signer()?.clone(),
            request: LeafRequest {
                // For people; longer host names stand whole in the subjectAltName.
                common_name: common_name.unwrap_or_default().chars().take(64).collect(),
                organization: None,
                identity: Identity::Server { dns: names.dns.clone(), ips: names.ips.clone() },
                public_key: key.public_key().clone(),
                lifetime: None,
            },
            kind: CertificateKind::Server,
            holder: None,
            scopes: None,
            networks: None,
            claim: None,
            predecessor: None,
            enrollment: None,
            action: "certificate.issue-server",
        };
        let Outcome::Issued(row, certificate) = self.carry_out(&order, &Actor::local()).await? else {
            return Err(Fault::new("a server certificate was answered from an earlier request").into());
        };
        // Last: until the new certificate stands, the old key file is the one that has a certificate. A crash before this line
        // leaves a certificate that nobody can use, and the next start issues another.
        let key = self.inner.keys.replace(&lock, SERVER_KEY, key).await?;
        let issuers = self.inner.issuers();
        let above = issuers.find(&row.issuer_key_id).map(|issuer| issuers.chain(issuer, self.inner.clock.now()));
        Ok(ServerCertificate::new(certificate.der, above.unwrap_or_default(), key, &row))
    }
}

/// Whether a certificate is good for all of these names. One that has more of them is: a name that was taken away from the
/// gate goes with the next renewal.
fn names_all(der: &[u8], names: &ServerNames) -> Result<bool, Fault> {
    let der = CertificateDer::from(der);
    let certificate =
        ParsedCertificate::try_from(&der).map_err(|error| Fault::new(format!("our certificate: {error}")))?;
    let dns = names.dns.iter().map(|name| ServerName::try_from(name.as_str()));
    let ips = names.ips.iter().map(|ip| Ok(ServerName::from(*ip)));
    Ok(dns.chain(ips).all(|name| name.is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())))
}
