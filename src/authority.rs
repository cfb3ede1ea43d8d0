//! The running certificate authority: the pure functions of [`pki`] with keys, a register and a clock.
//!
//! Three authorities: a root that signs the other two and then goes offline, one that issues client certificates, and one that
//! issues the gate's own server certificates. A certificate exists for the gate only as a row of the register: the row is
//! reserved on disk before anything is signed, and a signature that no row stands behind opens nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pki::{DistributionPoints, KeyId, SpiffeId};
use policies::UnixSeconds;
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

mod anchor;
mod brake;
pub mod ceremony;
mod certificate;
pub mod crash_point;
mod distribute;
mod enroll;
mod import_list;
mod initialise;
mod issuance;
mod issue;
mod issuer;
mod keys;
mod list;
mod ocsp;
mod offline_root;
mod passphrase;
mod publish;
mod reconcile;
mod renew;
mod renewal_window;
mod revoke;
mod root_list;
mod rotate;
mod server_certificate;
mod supersede;
mod taint;
mod token;

pub use anchor::{
    AnchorAuthorityView, AnchorListView, AnchorSourceView, AnchorView, NewAnchor, REFRESH_SECONDS_DEFAULT,
};
pub use certificate::{CertificateName, CertificateStatus, CertificateView};
pub use distribute::{CACHE_MAX_AGE_SECONDS, Content};
pub use enroll::{Enrolled, EnrollmentHolder, PENDING_RETRY_SECONDS};
pub use import_list::ImportedList;
pub use initialise::{AuthorityRequest, AuthorityRequests, Certified, Initialised, Names};
pub use issue::{IDEMPOTENCY_KEY_CHARS_MAX, Issued, IssuedKey, NewCertificate, NewSignature, Pkcs12};
pub use issuer::{CrlView, IssuerView};
pub use keys::{ISSUING_KEY, KeyDirectory, ROOT_KEY, SERVER_ISSUING_KEY, SERVER_KEY};
pub use list::{CertificateList, CertificateQuery, LIST_LIMIT_DEFAULT};
pub use ocsp::{OCSP_BODY_BYTES_MAX, OCSP_LIFETIME_SECONDS_MAX, OCSP_LIFETIME_SECONDS_MIN, OcspSignerView, is_ocsp};
pub use passphrase::{PASSPHRASE_CREDENTIAL, PASSPHRASE_MAX_BYTES, PASSPHRASE_MIN_CHARS, Passphrase};
pub use publish::{CRL_LIFETIME_SECONDS_MIN, CRL_PARTITIONS_MAX};
pub use reconcile::{Evidence, Reconciled};
pub use renew::Renewal;
pub use renewal_window::RenewalWindow;
pub use revoke::{Revoked, RevokedCertificate, Selector};
pub use rotate::{Brought, DependentClient, Rotate, Rotation, RotationStep};
pub use server_certificate::{ServerCertificate, ServerIdentity, ServerNames};
pub use taint::Tainted;
pub use token::{PIN_CREDENTIAL, Pin, Token, TokenSettings};

use brake::Brake;
use crash_point::CrashPoint;
use distribute::Shelf;
use issuer::Issuers;
use ocsp::Responder;
use publish::Publisher;

use crate::clock::Clock;
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::snapshot::{Applied, Snapshot};
use crate::store::issuer::{IssuerKind, IssuerState};
use crate::store::{self, Store, Tx};

/// What the operator decides about the authority.
#[derive(Clone, Debug)]
pub struct AuthoritySettings {
    /// The trust domain of the identities in client certificates (SPIFFE-ID §2.1): lower case, like a host name.
    pub trust_domain: String,
    /// Where others reach the PKI listener, without a slash at the end: `http://pki.example.com`. It is written into every
    /// certificate. `None` writes no addresses.
    pub pki_url: Option<String>,
    /// nextUpdate − thisUpdate of the revocation lists; at least [`CRL_LIFETIME_SECONDS_MIN`].
    pub crl_lifetime_seconds: u32,
    /// nextUpdate − now of OCSP answers: [`OCSP_LIFETIME_SECONDS_MIN`] to [`OCSP_LIFETIME_SECONDS_MAX`].
    pub ocsp_lifetime_seconds: u32,
    /// Into how many lists the revocations of an authority that is made from now on are divided, 1 to [`CRL_PARTITIONS_MAX`].
    /// Each certificate names its own. With one there is only the complete list.
    pub crl_partitions: u32,
    /// Client certificates that are issued within a minute at most.
    pub issuances_per_minute: u32,
}

/// The certificate authority of one installation. Cheap to clone.
#[derive(Clone)]
pub struct Authority {
    inner: Arc<Inner>,
}

struct Inner {
    settings: AuthoritySettings,
    keys: KeyDirectory,
    store: Store,
    snapshot: Arc<Snapshot>,
    clock: Clock,
    /// Swapped whole when an authority is made or moves on in its life.
    issuers: ArcSwap<Issuers>,
    reloading: tokio::sync::Mutex<()>,
    publisher: Publisher,
    shelf: ArcSwap<Shelf>,
    responder: Responder,
    brake: Brake,
}

/// What the TLS verifier builds chains to.
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    /// The roots, the active one first.
    pub roots: Vec<CertificateDer<'static>>,
    /// The authorities that issue client certificates, retiring ones too. Partners' clients often send their leaf alone: with
    /// these as anchors such a chain is complete.
    pub issuing: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// Takes up the authority that [`Authority::initialise`] made: unlocks the issuing keys (the root's is not read), and turns
    /// the reservations that a crash left behind into orphans, which are never good and stand on the revocation list.
    ///
    /// # Errors
    /// `not_initialised`; `invalid_settings`; and what reading a key file refuses: `wrong_passphrase`, `key_file_exposed`,
    /// `key_file_missing`, `key_file_damaged`.
    pub async fn open(
        settings: AuthoritySettings,
        keys: KeyDirectory,
        store: Store,
        snapshot: Arc<Snapshot>,
        clock: Clock,
    ) -> Result<Self, Failure> {
        CrashPoint::announce();
        settings.check()?;
        let issuers = Issuers::open(&store, &keys, &clock, None).await?;
        let publisher = Publisher::open(&store, &issuers).await?;
        let shelf = ArcSwap::from_pointee(publisher.shelf(&issuers));
        let brake = Brake::new(settings.issuances_per_minute, clock.clone());
        let authority = Self {
            inner: Arc::new(Inner {
                settings,
                keys,
                store,
                snapshot,
                clock,
                issuers: ArcSwap::from_pointee(issuers),
                reloading: tokio::sync::Mutex::default(),
                publisher,
                shelf,
                responder: Responder::new(),
                brake,
            }),
        };
        authority.orphan_what_a_crash_left().await?;
        let unreconciled = authority.unreconciled_since().await?;
        metrics::gauge!("portcullis_authority_unreconciled").set(if unreconciled.is_some() { 1.0 } else { 0.0 });
        if let Some(UnixSeconds(restored_at)) = unreconciled {
            tracing::error!(
                restored_at,
                "the database was restored: nothing is issued to clients until `portcullis ca reconcile`"
            );
        }
        authority.inner.publisher.nudge(authority.inner.issuers().signing());
        Ok(authority)
    }

    /// Takes up what has changed among the authorities: new ones, and those that moved on in their life. Who made the change calls
    /// this before it answers; the others hear of it by the feed.
    ///
    /// # Errors
    /// As [`Authority::open`]; the authorities stay as they were.
    pub async fn reload_issuers(&self) -> Result<(), Failure> {
        let _one_at_a_time = self.inner.reloading.lock().await;
        let before = self.inner.issuers();
        let issuers = Issuers::open(&self.inner.store, &self.inner.keys, &self.inner.clock, Some(&before)).await?;
        self.inner.publisher.take_up(&self.inner.store, &issuers).await?;
        self.inner.shelf.store(Arc::new(self.inner.publisher.shelf(&issuers)));
        self.inner.issuers.store(Arc::new(issuers));
        self.inner.publisher.nudge(self.inner.issuers().signing().filter(|id| before.find(&id.to_string()).is_none()));
        self.inner.responder.nudge();
        Ok(())
    }

    /// What a verifier of client certificates needs.
    pub fn trust_anchors(&self) -> TrustAnchors {
        self.inner.issuers().trust_anchors()
    }

    /// The authorities that partners should know (DER): what EST calls the CA certificates.
    pub fn ca_certificates(&self) -> Vec<Vec<u8>> {
        self.inner.issuers().ca_certificates(self.inner.clock.now())
    }

    /// The root's certificate in PEM: what partners install to verify the gate, and what verifies theirs. Both roots, the active
    /// one first, while one follows the other.
    pub fn root_pem(&self) -> String {
        self.trust_anchors().roots.iter().map(|root| pki::pem_certificate(root)).collect()
    }

    /// The trust domain of the identities it issues.
    pub fn trust_domain(&self) -> &str {
        &self.inner.settings.trust_domain
    }

    async fn orphan_what_a_crash_left(&self) -> Result<(), Failure> {
        let mut tx = self.inner.store.begin().await?;
        let now = self.inner.clock.now();
        let orphans = store::certificate::orphan_reserved(&mut tx, now).await?;
        if orphans > 0 {
            tracing::warn!(
                orphans,
                "certificates were being issued when the server last ended: they will never be accepted"
            );
            metrics::counter!("portcullis_certificates_orphaned_total").increment(orphans);
            let detail = serde_json::json!({ "orphans": orphans });
            Actor::local().record(&mut tx, &self.inner.clock, "certificate.orphan", "reserved", &detail).await?;
        }
        self.commit(tx).await?;
        Ok(())
    }

    /// Makes a write durable, and returns when this node enforces it: how many live connections that closed.
    async fn commit(&self, tx: Tx) -> Result<usize, Failure> {
        tx.commit().await?;
        Ok(self.enforce().await?)
    }

    /// Returns when this node enforces all that was committed.
    async fn enforce(&self) -> Result<usize, Fault> {
        let applied = self.inner.snapshot.catch_up(&self.inner.store).await;
        self.enforced(applied)
    }

    fn enforced(&self, applied: Result<Applied, Fault>) -> Result<usize, Fault> {
        match applied {
            Ok(applied) => Ok(applied.connections_closed),
            Err(fault) => Err(Fault::with_outside(
                format!("committed, but not in force on this node: {}", fault.inside()),
                "The change was stored, but this node could not take it up yet.",
            )),
        }
    }

    fn shelf(&self) -> arc_swap::Guard<Arc<Shelf>> {
        self.inner.shelf.load()
    }

    fn now(&self) -> Result<OffsetDateTime, Fault> {
        instant(self.inner.clock.now())
    }
}

impl Inner {
    /// The authorities as they are now; what is held of them does not change.
    fn issuers(&self) -> Arc<Issuers> {
        self.issuers.load_full()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl AuthoritySettings {
    /// # Errors
    /// `invalid_settings`.
    pub fn check(&self) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::invalid("invalid_settings", message));
        if let Err(error) = SpiffeId::new(&self.trust_domain, "partner", "client") {
            return refuse(error.to_string());
        }
        if let Some(url) = &self.pki_url {
            let host = url.strip_prefix("http://").unwrap_or_default();
            if host.is_empty() || url.ends_with('/') || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
                return refuse(format!("The PKI address {url:?} must begin with http:// and end without a slash."));
            }
        }
        if self.crl_lifetime_seconds < CRL_LIFETIME_SECONDS_MIN {
            return refuse(format!("Revocation lists must live at least {CRL_LIFETIME_SECONDS_MIN} seconds."));
        }
        if !(OCSP_LIFETIME_SECONDS_MIN..=OCSP_LIFETIME_SECONDS_MAX).contains(&self.ocsp_lifetime_seconds) {
            return refuse(format!(
                "OCSP answers must live {OCSP_LIFETIME_SECONDS_MIN} to {OCSP_LIFETIME_SECONDS_MAX} seconds."
            ));
        }
        if !(1..=CRL_PARTITIONS_MAX).contains(&self.crl_partitions) {
            return refuse(format!("Revocations can be divided into 1 to {CRL_PARTITIONS_MAX} lists."));
        }
        if self.crl_partitions > 1 && self.pki_url.is_none() {
            return refuse("Revocations can be divided only where certificates say which list is theirs.".to_owned());
        }
        if self.issuances_per_minute == 0 {
            return refuse("At least one certificate a minute must be possible.".to_owned());
        }
        Ok(())
    }

    /// Into how many lists the revocations of a new authority are divided. Only the certificates of clients come in numbers that
    /// are worth it.
    fn crl_partitions_of(&self, kind: IssuerKind) -> i64 {
        if kind == IssuerKind::Issuing { i64::from(self.crl_partitions) } else { 1 }
    }

    /// Where the status and the certificate of this authority are found: what its certificates say.
    fn distribution_points(&self, authority: &KeyId) -> DistributionPoints {
        self.distribution_points_of(authority, publish::Scope::Complete)
    }

    /// The same for a certificate whose revocation goes on this list.
    fn distribution_points_of(&self, authority: &KeyId, list: publish::Scope) -> DistributionPoints {
        let at = |path: String| self.pki_url.as_ref().map(|url| format!("{url}{path}"));
        DistributionPoints {
            crl: self.crl_address(authority, list),
            ca_issuers: at(format!("/ca/{authority}.cer")),
            ocsp: None,
        }
    }
}

/// Runs what takes milliseconds of CPU (signatures, key derivation) where it keeps no request waiting.
async fn off_thread<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Fault::new(format!("{doing}: {error}")))
}

/// Lets an operation run to its end although the caller goes away: a half-done issuance leaves an orphan, and a revocation that
/// is stored but not enforced leaves a hole.
async fn to_the_end<T: Send + 'static>(
    operation: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(operation)
        .await
        .map_err(|error| Fault::new(format!("an operation of the authority ended: {error}")))?
}

/// Whose fault an error of the pure functions is: the caller's, who asked for what cannot be, or ours.
fn refused(error: pki::Error) -> Failure {
    use pki::Error as E;
    match &error {
        E::Crypto(_)
        | E::Signer(_)
        | E::Lint(_)
        | E::WeakSerial { .. }
        | E::WrongIssuer
        | E::ProfileMismatch { .. }
        | E::InvalidProfile(_)
        | E::IssuerNotPermitted(_)
        | E::CrlNotPermitted
        | E::InvalidCrl(_)
        | E::KeyMismatch
        | E::NotAnAuthority(_)
        | E::MalformedCertificate(_)
        | E::Pkcs12(_)
        | E::OcspNotBelieved(_)
        | E::UnusableOcspSigner(_)
        | E::InvalidTime => Fault::new(error.to_string()).into(),
        E::OutlivesIssuer { .. } | E::IssuerNotYetValid { .. } | E::KeyReused => {
            Refusal::conflict(error.code(), sentence(&error)).into()
        }
        _ => Refusal::invalid(error.code(), sentence(&error)).into(),
    }
}

/// The same where somebody else's certificates and lists are read: what is wrong with them is never our fault.
fn foreign_refusal(error: pki::Error) -> Refusal {
    Refusal::invalid(error.code(), sentence(&error))
}

fn sentence(error: &pki::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn instant(at: UnixSeconds) -> Result<OffsetDateTime, Fault> {
    OffsetDateTime::from_unix_timestamp(at.0).map_err(|_| Fault::new(format!("the clock says {} seconds", at.0)))
}

fn random_serial() -> Result<pki::Serial, Fault> {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| Fault::new("no randomness for a serial number"))?;
    Ok(pki::Serial::from_random(octets))
}

#[cfg(test)]
mod tests;
