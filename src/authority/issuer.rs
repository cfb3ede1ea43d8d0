//! The authorities of this installation and their keys.

use std::sync::Arc;

use pki::{KeyId, Serial, Thumbprint};
use policies::UnixSeconds;
use rustls::pki_types::CertificateDer;
use serde::Serialize;

use super::publish::{ListName, Scope};
use super::{
    Authority, IssuerKind, IssuerState, KeyDirectory, OcspSignerView, TrustAnchors, instant, off_thread, refused,
};
use crate::clock::Clock;
use crate::failure::{Failure, Fault, Refusal};
use crate::store::crl::CrlRow;
use crate::store::cross_certificate::CrossCertificateRow;
use crate::store::issuer::IssuerRow;
use crate::store::{self, Store, stored};

/// An authority, as it is shown. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Serialize)]
pub struct IssuerView {
    /// subjectKeyIdentifier, hex: what `/ca/<id>.cer` and `/crl/<id>.crl` are named after.
    pub id: String,
    /// `root`, `issuing` or `server-issuing`.
    pub kind: &'static str,
    /// `prepared`, `trusted`, `active` or `retiring`.
    pub state: &'static str,
    pub state_since: i64,
    /// Since then nothing that it issued is accepted.
    pub tainted_at: Option<i64>,
    pub subject: String,
    pub not_after: i64,
    pub created_at: i64,
    /// SHA-256 of the DER, hex.
    pub thumbprint: String,
    pub certificate_pem: String,
    /// The file of its key in the keys folder, or a `pkcs11:` URI; absent when the key is kept elsewhere.
    pub key_location: Option<String>,
    /// Whether its key is loaded here.
    pub signs: bool,
    /// Into how many lists its revocations are divided, besides the complete one.
    pub crl_partitions: u32,
    /// Its newest complete revocation list.
    pub crl: Option<CrlView>,
    /// Whether its certificates say that there is a responder to ask.
    pub ocsp: bool,
    /// The signer of its OCSP answers; absent while there is none.
    pub ocsp_signer: Option<OcspSignerView>,
    /// Of all its lists, the one that ends first.
    pub crl_ends_first: Option<CrlView>,
}

/// A published revocation list. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Serialize)]
pub struct CrlView {
    pub number: i64,
    pub this_update: i64,
    pub next_update: i64,
    /// How many certificates are on it; absent when nobody counted.
    pub entries: Option<i64>,
    /// How long it is.
    pub octets: i64,
}

impl From<&CrlRow> for CrlView {
    fn from(row: &CrlRow) -> Self {
        Self {
            number: row.number,
            this_update: row.this_update,
            next_update: row.next_update,
            entries: row.entries,
            octets: row.octets,
        }
    }
}

impl Authority {
    /// Every authority: the root first, then the others, oldest first.
    pub fn issuers(&self) -> Vec<IssuerView> {
        let issuers = self.inner.issuers();
        issuers
            .all
            .iter()
            .map(|issuer| IssuerView {
                id: issuer.key_id.to_string(),
                kind: issuer.kind.as_str(),
                state: issuer.state.as_str(),
                state_since: issuer.state_since.0,
                tainted_at: issuer.tainted_at.map(|at| at.0),
                subject: issuer.subject.clone(),
                not_after: issuer.not_after.0,
                created_at: issuer.created_at.0,
                thumbprint: Thumbprint::of(&issuer.certificate_der).to_string(),
                certificate_pem: pki::pem_certificate(&issuer.certificate_der),
                key_location: issuer.key_location.clone(),
                signs: issuer.signer.is_ok(),
                crl_partitions: issuer.crl_partitions,
                crl: self.inner.publisher.newest(&issuer.key_id).map(|list| CrlView::from(&list.row)),
                crl_ends_first: self.inner.publisher.first_to_end(&issuer.key_id).map(|list| CrlView::from(&list.row)),
                ocsp: self.ocsp_signer(&issuer.key_id).is_some(),
                ocsp_signer: self.ocsp_signer(&issuer.key_id).flatten(),
            })
            .collect()
    }
}

/// One authority. What is in it never changes; another generation is another one.
pub(super) struct Issuer {
    pub(super) key_id: KeyId,
    pub(super) kind: IssuerKind,
    pub(super) state: IssuerState,
    pub(super) state_since: UnixSeconds,
    /// Since then nothing that it issued is accepted.
    pub(super) tainted_at: Option<UnixSeconds>,
    pub(super) subject: String,
    pub(super) certificate_der: Vec<u8>,
    pub(super) not_after: UnixSeconds,
    pub(super) created_at: UnixSeconds,
    pub(super) key_location: Option<String>,
    /// Into how many lists its revocations are divided; chosen when it was made.
    pub(super) crl_partitions: u32,
    /// Why it cannot sign, where it cannot.
    signer: Result<Arc<pki::Issuer>, NoSigner>,
}

#[derive(Clone, Debug)]
enum NoSigner {
    /// The root's key is offline; the key of a removed authority is not wanted any more.
    NotLoaded,
    /// The certificate does not hold now. The gate still opens: keys and tokens need no authority.
    NotValid(pki::Error),
}

impl Issuer {
    /// Whether what it issued may be accepted at all.
    pub(super) fn is_trusted(&self) -> bool {
        let standing = matches!(self.state, IssuerState::Trusted | IssuerState::Active | IssuerState::Retiring);
        standing && self.tainted_at.is_none()
    }

    /// The lists it has: with one partition, the complete one is all.
    pub(super) fn list_scopes(&self) -> impl Iterator<Item = Scope> + use<> {
        let partitions = if self.crl_partitions > 1 { self.crl_partitions } else { 0 };
        (0..partitions).map(Scope::Partition).chain([Scope::Complete])
    }

    /// Which of them a certificate with this serial number is on once it is revoked. The last octets are as random as the others.
    pub(super) fn partition_of(&self, serial: &Serial) -> u32 {
        let last =
            serial.as_bytes().iter().rev().take(4).rev().fold(0, |number, octet| number << 8 | u32::from(*octet));
        last % self.crl_partitions
    }

    /// The key that signs for it.
    pub(super) fn signer(&self) -> Result<&Arc<pki::Issuer>, Failure> {
        match &self.signer {
            Ok(signer) => Ok(signer),
            Err(NoSigner::NotValid(error)) => Err(refused(error.clone())),
            Err(NoSigner::NotLoaded) => {
                Err(Refusal::conflict("key_not_loaded", format!("The key of {} is not loaded here.", self.subject))
                    .into())
            }
        }
    }
}

/// All authorities that are not removed. Exactly one of each kind is active.
pub(super) struct Issuers {
    all: Vec<Arc<Issuer>>,
    root: usize,
    issuing: usize,
    server_issuing: usize,
    /// What one root says of another.
    bridges: Vec<CrossCertificateRow>,
}

impl Issuers {
    /// Reads the table and unlocks the keys of those that sign here.
    /// Those of `before` that stand as they stood are taken over: unlocking a key takes some tenths of a second.
    pub(super) async fn open(
        store: &Store,
        keys: &KeyDirectory,
        clock: &Clock,
        before: Option<&Self>,
    ) -> Result<Self, Failure> {
        let mut rows = store::issuer::list(store).await?;
        if rows.is_empty() {
            return Err(Refusal::conflict(
                "not_initialised",
                "There is no certificate authority yet: make one with `portcullis init`.",
            )
            .into());
        }
        rows.retain(|row| row.state != IssuerState::Removed);
        rows.sort_by_key(|row| row.kind != IssuerKind::Root);
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let known =
                before.and_then(|before| before.all.iter().find(|issuer| issuer.key_id.to_string() == row.key_id));
            all.push(Arc::new(Issuer::open(row, keys, clock, known.map(|known| &**known)).await?));
        }
        let active = |kind: IssuerKind| {
            let mut found =
                all.iter().enumerate().filter(|(_, issuer)| issuer.kind == kind && issuer.state == IssuerState::Active);
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok(index),
                (None, _) => Err(Fault::new(format!("the database has no active {} authority", kind.as_str()))),
                _ => Err(Fault::new(format!("the database has several active {} authorities", kind.as_str()))),
            }
        };
        let (root, issuing) = (active(IssuerKind::Root)?, active(IssuerKind::Issuing)?);
        let server_issuing = active(IssuerKind::ServerIssuing)?;
        let bridges = store::cross_certificate::list(store).await?;
        Ok(Self { root, issuing, server_issuing, bridges, all })
    }

    pub(super) fn all(&self) -> &[Arc<Issuer>] {
        &self.all
    }

    pub(super) fn root(&self) -> &Issuer {
        &self.all[self.root]
    }

    /// The one that issues client certificates now.
    pub(super) fn issuing(&self) -> &Issuer {
        &self.all[self.issuing]
    }

    /// The one that issues the gate's server certificates now.
    pub(super) fn server_issuing(&self) -> &Issuer {
        &self.all[self.server_issuing]
    }

    pub(super) fn find(&self, key_id: &str) -> Option<&Issuer> {
        self.all.iter().map(|issuer| &**issuer).find(|issuer| issuer.key_id.to_string() == key_id)
    }

    /// The lists that are signed here.
    pub(super) fn lists(&self) -> impl Iterator<Item = ListName> {
        let signing = self.all.iter().filter(|issuer| issuer.signer.is_ok());
        signing.flat_map(|issuer| issuer.list_scopes().map(|scope| ListName::new(&issuer.key_id, scope)))
    }

    /// Those whose key is loaded, and which so sign revocation lists here.
    pub(super) fn signing(&self) -> impl Iterator<Item = &KeyId> {
        self.all.iter().filter(|issuer| issuer.signer.is_ok()).map(|issuer| &issuer.key_id)
    }

    /// What a holder of one of its certificates sends after it: the authority's own, and while one root follows another, what the
    /// other says of its root. Who has either root installed then reaches it in one straight line.
    pub(super) fn chain(&self, issuer: &Issuer, now: UnixSeconds) -> Vec<Vec<u8>> {
        let is_root = |other: &&Arc<Issuer>| other.kind == IssuerKind::Root && other.is_trusted();
        let root = self.all.iter().find(|root| {
            root.kind == IssuerKind::Root && pki::is_issued_by(&issuer.certificate_der, &root.certificate_der)
        });
        let bridged = |bridge: &&CrossCertificateRow| {
            let by = self.all.iter().filter(is_root).any(|other| other.key_id.to_string() == bridge.issuer_key_id);
            let of = root.is_some_and(|root| root.key_id.to_string() == bridge.subject_key_id);
            by && of && bridge.not_after > now.0
        };
        let bridges = self.bridges.iter().filter(bridged).map(|bridge| bridge.certificate.clone());
        std::iter::once(issuer.certificate_der.clone()).chain(bridges).collect()
    }

    /// What EST hands out as the CA certificates: the roots and those that issue to clients now or soon, and while one root follows
    /// another, what each says of the other (RFC 7030 §4.1.3: OldWithNew and NewWithOld).
    pub(super) fn ca_certificates(&self, now: UnixSeconds) -> Vec<Vec<u8>> {
        let anchors = self.trust_anchors();
        let trusted = |id: &str| self.find(id).is_some_and(Issuer::is_trusted);
        let stands = |bridge: &&CrossCertificateRow| {
            bridge.not_after > now.0 && trusted(&bridge.subject_key_id) && trusted(&bridge.issuer_key_id)
        };
        let bridges = self.bridges.iter().filter(stands).map(|bridge| bridge.certificate.clone());
        anchors.roots.iter().chain(&anchors.issuing).map(|der| der.to_vec()).chain(bridges).collect()
    }

    pub(super) fn trust_anchors(&self) -> TrustAnchors {
        let of = |kind: IssuerKind| self.all.iter().filter(move |issuer| issuer.kind == kind && issuer.is_trusted());
        let der = |issuer: &Arc<Issuer>| CertificateDer::from(issuer.certificate_der.clone());
        let mut roots: Vec<_> = of(IssuerKind::Root).collect();
        roots.sort_by_key(|root| root.state != IssuerState::Active);
        let mut anchors = TrustAnchors {
            roots: roots.into_iter().map(der).collect(),
            issuing: of(IssuerKind::Issuing).map(der).collect(),
        };
        // With everything tainted a handshake must still end somewhere: each request is denied all the same.
        if anchors.roots.is_empty() && anchors.issuing.is_empty() {
            anchors.roots.push(CertificateDer::from(self.root().certificate_der.clone()));
        }
        anchors
    }
}

impl Issuer {
    async fn open(row: IssuerRow, keys: &KeyDirectory, clock: &Clock, known: Option<&Self>) -> Result<Self, Failure> {
        let unchanged = |known: &&Self| {
            known.certificate_der == row.certificate && known.key_location == row.key_location && known.signer.is_ok()
        };
        let signer = match (&row.key_location, row.kind) {
            _ if known.filter(unchanged).is_some() => {
                known.and_then(|known| known.signer.as_ref().ok()).cloned().ok_or(NoSigner::NotLoaded)
            }
            (Some(file), IssuerKind::Issuing | IssuerKind::ServerIssuing) => {
                let (key, certificate, now) =
                    (keys.signer(file).await?, row.certificate.clone(), instant(clock.now())?);
                match off_thread("loading an authority", move || pki::Issuer::load(&certificate, key, now)).await? {
                    Ok(signer) => Ok(Arc::new(signer)),
                    Err(error @ (pki::Error::OutlivesIssuer { .. } | pki::Error::IssuerNotYetValid { .. })) => {
                        tracing::error!(issuer = row.subject, %error, "this authority cannot sign");
                        Err(NoSigner::NotValid(error))
                    }
                    Err(pki::Error::KeyMismatch) => {
                        let path = keys.path().join(file);
                        return Err(Refusal::conflict(
                            "key_mismatch",
                            format!("{} is not the key of {}: restore the right one.", path.display(), row.subject),
                        )
                        .into());
                    }
                    Err(error) => return Err(Fault::new(format!("loading {}: {error}", row.subject)).into()),
                }
            }
            _ => Err(NoSigner::NotLoaded),
        };
        Ok(Self {
            key_id: stored("issuer key id", &row.key_id)?,
            kind: row.kind,
            state: row.state,
            state_since: UnixSeconds(row.state_since),
            tainted_at: row.tainted_at.map(UnixSeconds),
            subject: row.subject,
            certificate_der: row.certificate,
            not_after: UnixSeconds(row.not_after),
            created_at: UnixSeconds(row.created_at),
            key_location: row.key_location,
            crl_partitions: u32::try_from(row.crl_partitions).unwrap_or(1).max(1),
            signer,
        })
    }
}
