//! Authorities of partners: which client a certificate of theirs means, and whether that is so now.
//!
//! There is no row for such a certificate, and its authority may be hostile. So who it is follows from the chain of
//! signatures up to what an operator imported ([`path`]), from the operator's rules for that one authority, and from its
//! revocation lists; nothing that the certificate says of its own issuer counts.

mod load;
mod path;

use std::sync::Arc;

use arc_swap::ArcSwap;
use moka::sync::Cache;
use pki::{PathAuthority, VerifiedRevocationList};
use policies::{
    ADMIN_SCOPES, ClientId, CredentialStatus, Denial, ForeignRules, PartnerId, ScopeSet, UnixSeconds, status_at,
};
use rustls::DistinguishedName;
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;

pub(crate) use self::path::ForeignPath;

use super::policy_view::PolicyView;
use crate::failure::Fault;
use crate::store::Store;
use crate::store::anchor::RevocationMode;

/// Chains whose path is remembered. A path takes some kilobytes; it stays true as long as the anchors do.
const PATHS_MAX: u64 = 4_096;
/// How far a partner's clock may be ahead of ours before its list counts as not yet made.
pub const CLOCK_SKEW_SECONDS: i64 = 300;

/// Every anchor, and the paths that were found to them.
pub struct Anchors {
    set: ArcSwap<AnchorSet>,
    changes: watch::Sender<u64>,
}

/// The anchors of one moment. Another set is another cache: no path outlives a change of trust.
pub(crate) struct AnchorSet {
    anchors: Vec<Arc<Anchor>>,
    /// Those of `anchors`, in the same order.
    authorities: Vec<PathAuthority>,
    /// Those that were imported with any of them.
    intermediates: Vec<PathAuthority>,
    paths: Cache<[u8; 32], Arc<ForeignPath>>,
}

/// One authority of a partner.
pub(crate) struct Anchor {
    id: Arc<str>,
    partner: PartnerId,
    rules: ForeignRules,
    authority: PathAuthority,
    intermediates: Vec<PathAuthority>,
    mode: RevocationMode,
    grace_seconds: i64,
    verifier: Arc<dyn ClientCertVerifier>,
    lists: ArcSwap<Vec<Arc<VerifiedRevocationList>>>,
}

/// Whom a certificate of a partner's authority means.
#[derive(Clone, Debug)]
pub struct ForeignIdentity {
    pub client: ClientId,
    pub status: CredentialStatus,
    /// `<anchor>/<serial>`: two authorities may use one serial.
    pub credential_id: Arc<str>,
    /// All of the client's scopes but those of the control plane, when it has any of these: no partner's authority makes
    /// administrators.
    pub scopes: Option<ScopeSet>,
}

/// Why a chain means nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotForeign {
    /// It ends at none of the anchors: whatever it is, it is not a partner's.
    Unanchored,
    /// It does, and is refused.
    Refused(Denial),
}

impl Anchors {
    pub(super) async fn load(store: &Store) -> Result<Self, Fault> {
        let anchors = load::all(store).await?;
        Ok(Self { set: ArcSwap::from_pointee(AnchorSet::new(anchors)), changes: watch::Sender::new(0) })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.set.load().anchors.is_empty()
    }

    /// Counts up each time an anchor comes, goes or changes; news of its lists do not count.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The names of the anchors, for the hint in a handshake by which clients choose their certificate.
    pub fn subjects(&self) -> Vec<DistinguishedName> {
        self.set.load().anchors.iter().flat_map(|anchor| anchor.verifier.root_hint_subjects().to_vec()).collect()
    }

    /// Whether a handshake with this chain (leaf first) may go on: it ends at an anchor, and each certificate of it is within
    /// its dates at `seconds`. Who it is, is asked on every request.
    ///
    /// # Errors
    /// Why not.
    pub fn check_chain<C: AsRef<[u8]>>(&self, chain: &[C], seconds: i64) -> Result<(), rustls::CertificateError> {
        let path = self.set.load().find(chain).ok_or(rustls::CertificateError::UnknownIssuer)?;
        match path.status(UnixSeconds(seconds)) {
            CredentialStatus::NotYetValid => Err(rustls::CertificateError::NotValidYet),
            CredentialStatus::Active => Ok(()),
            _ => Err(rustls::CertificateError::Expired),
        }
    }

    /// Whom the chain (leaf first) means at `now`. Runs on every request.
    ///
    /// # Errors
    /// [`NotForeign`].
    pub fn judge<C: AsRef<[u8]>>(
        &self,
        chain: &[C],
        view: &PolicyView,
        now: UnixSeconds,
    ) -> Result<ForeignIdentity, NotForeign> {
        let path = self.set.load().find(chain).ok_or(NotForeign::Unanchored)?;
        path.judge(view, now).map_err(|refused| {
            metrics::counter!("portcullis_anchor_refusals_total", "anchor" => path.anchor().id.to_string(), "reason" => refused.reason)
                .increment(1);
            NotForeign::Refused(refused.denial)
        })
    }

    /// The lists that are held for an anchor.
    pub fn lists(&self, id: &str) -> Vec<Arc<VerifiedRevocationList>> {
        let set = self.set.load();
        let anchor = set.anchors.iter().find(|anchor| *anchor.id == *id);
        anchor.map_or_else(Vec::new, |anchor| anchor.lists.load().to_vec())
    }

    /// Whose lists count for an anchor: its own, and those of what was imported below it.
    pub fn signers(&self, id: &str) -> Vec<PathAuthority> {
        let set = self.set.load();
        set.anchors.iter().find(|anchor| *anchor.id == *id).map_or_else(Vec::new, |anchor| anchor.list_signers())
    }

    /// Takes an anchor up anew, or out.
    pub(super) async fn look_at(&self, store: &Store, id: &str) -> Result<(), Fault> {
        let before = self.set.load_full();
        let known = before.anchors.iter().find(|anchor| *anchor.id == *id).map(|anchor| anchor.lists.load_full());
        let now = load::one(store, id, known.as_deref().map_or(&[], Vec::as_slice)).await?;
        let others = before.anchors.iter().filter(|anchor| *anchor.id != *id).cloned();
        self.set.store(Arc::new(AnchorSet::new(others.chain(now).collect())));
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Takes an anchor's lists up anew; those that did not change are not read again.
    pub(super) async fn look_at_lists(&self, store: &Store, id: &str) -> Result<(), Fault> {
        let set = self.set.load_full();
        let Some(anchor) = set.anchors.iter().find(|anchor| *anchor.id == *id) else { return Ok(()) };
        let known = anchor.lists.load_full();
        let lists = load::lists(store, id, anchor.list_signers(), &known).await?;
        anchor.lists.store(Arc::new(lists));
        Ok(())
    }
}

impl AnchorSet {
    fn new(anchors: Vec<Arc<Anchor>>) -> Self {
        Self {
            authorities: anchors.iter().map(|anchor| anchor.authority.clone()).collect(),
            intermediates: anchors.iter().flat_map(|anchor| anchor.intermediates.clone()).collect(),
            paths: Cache::builder().max_capacity(PATHS_MAX).build(),
            anchors,
        }
    }
}

impl Anchor {
    /// Whose lists count: the anchor's own and those of what was imported with it.
    fn list_signers(&self) -> Vec<PathAuthority> {
        std::iter::once(&self.authority).chain(&self.intermediates).cloned().collect()
    }
}

/// A refusal with its word for the metrics.
struct Refused {
    reason: &'static str,
    denial: Denial,
}

impl ForeignPath {
    fn status(&self, now: UnixSeconds) -> CredentialStatus {
        // X.509 is still valid in the second that notAfter names (RFC 5280 §4.1.2.5).
        let end = UnixSeconds(self.not_after().saturating_add(1));
        status_at(Some(UnixSeconds(self.not_before())), Some(end), false, now)
    }

    fn judge(&self, view: &PolicyView, now: UnixSeconds) -> Result<ForeignIdentity, Refused> {
        let anchor = self.anchor();
        let name = self.credential_id();
        let unknown = |reason, detail| Refused { reason, denial: Denial::CredentialUnknown { detail } };
        let client = self
            .client()
            .as_ref()
            .map_err(|refusal| unknown(refusal.code(), format!("client certificate {name}: {refusal}")))?;
        // The rules name clients; that they are this partner's is asked of what stands now.
        let entry =
            view.client(client.as_str()).filter(|entry| entry.client.partner == anchor.partner).ok_or_else(|| {
                let detail = format!("client certificate {name}: partner {} has no client {client}", anchor.partner);
                unknown("unmapped", detail)
            })?;
        let status = match self.status(now) {
            CredentialStatus::Active if self.is_revoked(now)? => CredentialStatus::Revoked,
            status => status,
        };
        let is_admins = |scope: &policies::Scope| ADMIN_SCOPES.contains(&scope.as_str());
        let granted = &entry.client.scopes;
        let scopes =
            granted.iter().any(is_admins).then(|| granted.iter().filter(|scope| !is_admins(scope)).cloned().collect());
        Ok(ForeignIdentity { client: client.clone(), status, credential_id: Arc::clone(name), scopes })
    }

    /// Each link is asked for, the authorities between as well: a partner may have taken one of them back.
    fn is_revoked(&self, now: UnixSeconds) -> Result<bool, Refused> {
        let anchor = self.anchor();
        let lists = anchor.lists.load();
        let mut undecided = None;
        for link in self.links() {
            let mut newest_end = None;
            for list in lists.iter().filter(|list| link.is_covered_by(list)) {
                if list.contains(link.serial()) {
                    return Ok(true);
                }
                if list.this_update() <= now.0.saturating_add(CLOCK_SKEW_SECONDS) {
                    newest_end = newest_end.max(Some(list.next_update()));
                }
            }
            let ends = newest_end.map(|end| end.saturating_add(anchor.grace_seconds));
            if ends.is_none_or(|end| now.0 >= end) {
                let why = if newest_end.is_some() { "has lapsed" } else { "is missing" };
                undecided.get_or_insert_with(|| format!("the revocation list of {} {why}", link.issuer_name()));
            }
        }
        match undecided {
            Some(why) if anchor.mode == RevocationMode::Required => {
                let detail = format!("client certificate {}: {why}", self.credential_id());
                Err(Refused { reason: "no_revocation_list", denial: Denial::CredentialRevoked { detail } })
            }
            _ => Ok(false),
        }
    }
}
