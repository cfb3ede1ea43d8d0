//! Who signs answers for an authority: a certificate for that alone, with a key that is made here, lives in memory for some days
//! at most, and is never written down.
//!
//! Nobody can revoke such a certificate (`ocsp-nocheck`), so its key must not lie about: a restart makes a new one. It comes by the
//! same road as every certificate, reserved before it is signed, so the register knows all that ever were.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pki::{Identity, KeyAlgorithm, KeyId, LeafRequest, OcspIssuer, OcspSigner, PrivateKey};
use policies::UnixSeconds;
use serde::Serialize;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::authority::issuance::{Order, Outcome};
use crate::authority::{Authority, IssuerState, crash_point, off_thread, refused, to_the_end};
use crate::failure::{Failure, Fault};
use crate::registry::Actor;
use crate::store::certificate::CertificateKind;

/// How often it is asked whether a new one is due; also the pause after one could not be had.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// The digits of the authority's key id in the name.
const GENERATION_DIGITS: usize = 8;

/// The signer of an authority's OCSP answers. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Serialize)]
pub struct OcspSignerView {
    /// The serial number of its certificate, hex.
    pub serial: String,
    pub not_before: i64,
    pub not_after: i64,
}

/// An authority that is answered for.
pub(in crate::authority) struct Delegate {
    pub(super) key_id: KeyId,
    pub(super) names: OcspIssuer,
    /// `None` until one could be issued.
    pub(super) signer: Option<Arc<OcspSigner>>,
}

#[derive(Default)]
pub(super) struct Delegates {
    current: ArcSwap<Vec<Delegate>>,
    nudged: Notify,
    /// One renewal at a time.
    turn: Mutex<()>,
}

impl Delegates {
    pub(super) fn current(&self) -> Arc<Vec<Delegate>> {
        self.current.load_full()
    }

    pub(super) fn nudge(&self) {
        self.nudged.notify_one();
    }
}

impl Authority {
    /// Sees to it that every authority that may has a signer of OCSP answers, with two thirds of its life at most behind it.
    /// `false` when one could not be had; it is tried again, and until then that authority answers `tryLater`, or with the old
    /// signer while it lasts.
    pub async fn renew_ocsp_signers(&self) -> bool {
        let delegates = &self.inner.responder.delegates;
        let _turn = delegates.turn.lock().await;
        let (issuers, before, now) = (self.inner.issuers(), delegates.current(), self.inner.clock.now());
        let mut after = Vec::new();
        let mut all = true;
        for issuer in issuers.all() {
            // What is to come has issued nothing yet, and what has ended can have no delegate that anybody would believe.
            let issued = matches!(issuer.state, IssuerState::Active | IssuerState::Retiring);
            if !issued || issuer.not_after <= now {
                continue;
            }
            let Ok(authority) = issuer.signer() else { continue };
            let known = before.iter().find(|known| known.key_id == issuer.key_id);
            if !super::may_delegate(authority) {
                tracing::debug!(issuer = issuer.subject, "this authority may not issue a signer of OCSP answers");
                continue;
            }
            let mut signer = known.and_then(|known| known.signer.clone());
            if signer.as_ref().is_none_or(|signer| renew_at(signer) <= now) {
                match self.new_ocsp_signer(authority).await {
                    Ok(renewed) => {
                        tracing::info!(issuer = issuer.subject, serial = %renewed.serial(), "new signer of OCSP answers");
                        signer = Some(Arc::new(renewed));
                    }
                    Err(error) => {
                        all = false;
                        let issuer_id = issuer.key_id.to_string();
                        metrics::counter!("portcullis_ocsp_signer_failures_total", "issuer" => issuer_id).increment(1);
                        tracing::error!(issuer = issuer.subject, %error, "no signer of OCSP answers; trying again");
                    }
                }
            }
            let end = signer.as_ref().map_or(0, |signer| signer.not_after().unix_timestamp());
            metrics::gauge!("portcullis_ocsp_signer_not_after_seconds", "issuer" => issuer.key_id.to_string())
                .set(end as f64);
            after.push(Delegate { key_id: issuer.key_id.clone(), names: OcspIssuer::of(authority), signer });
        }
        delegates.current.store(Arc::new(after));
        all
    }

    /// Renews signers when two thirds of their life are over and when authorities come, until `shutdown`. Spawn it once.
    pub async fn run_ocsp(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.inner.responder.delegates.nudged.notified() => {}
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
            self.renew_ocsp_signers().await;
        }
    }

    /// The signer of an authority's answers. `None` twice over: `None` for an authority that is not answered for,
    /// `Some(None)` where one is missing.
    pub(in crate::authority) fn ocsp_signer(&self, issuer: &KeyId) -> Option<Option<OcspSignerView>> {
        let delegates = self.inner.responder.delegates.current();
        let delegate = delegates.iter().find(|delegate| delegate.key_id == *issuer)?;
        Some(delegate.signer.as_ref().map(|signer| OcspSignerView {
            serial: signer.serial().to_string(),
            not_before: signer.not_before().unix_timestamp(),
            not_after: signer.not_after().unix_timestamp(),
        }))
    }

    async fn new_ocsp_signer(&self, authority: &Arc<pki::Issuer>) -> Result<OcspSigner, Failure> {
        let (this, authority) = (self.clone(), authority.clone());
        to_the_end(async move { this.make_ocsp_signer(authority).await }).await
    }

    async fn make_ocsp_signer(&self, authority: Arc<pki::Issuer>) -> Result<OcspSigner, Failure> {
        let key =
            off_thread("making a key", || PrivateKey::generate(KeyAlgorithm::EcdsaP256)).await?.map_err(refused)?;
        let generation: String = authority.key_id().to_string().chars().take(GENERATION_DIGITS).collect();
        let order = Order {
            signer: authority.clone(),
            request: LeafRequest {
                common_name: format!("OCSP {generation}"),
                organization: None,
                identity: Identity::Ocsp,
                public_key: key.public_key().clone(),
                lifetime: None,
            },
            kind: CertificateKind::Ocsp,
            holder: None,
            scopes: None,
            networks: None,
            claim: None,
            predecessor: None,
            enrollment: None,
            action: "certificate.issue-ocsp",
        };
        let Outcome::Issued(_, certificate) = crash_point::spared(self.carry_out(&order, &Actor::local())).await?
        else {
            return Err(Fault::new("an OCSP signer was answered from an earlier request").into());
        };
        OcspSigner::new(&authority, certificate.der, key).map_err(refused)
    }
}

/// When a third of its life is left.
fn renew_at(signer: &OcspSigner) -> UnixSeconds {
    let (begin, end) = (signer.not_before().unix_timestamp(), signer.not_after().unix_timestamp());
    UnixSeconds(end - (end - begin) / 3)
}
