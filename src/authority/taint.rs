//! The emergency: an authority's key is, or may be, in other hands.

use serde::Serialize;
use utoipa::ToSchema;

use super::Authority;
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store;
use crate::store::certificate::CertificateKind;
use crate::store::issuer::{IssuerRow, IssuerState};

/// An authority that is denied. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Tainted {
    /// Its key id, hex.
    pub id: String,
    pub kind: &'static str,
    pub subject: String,
    pub tainted_at: i64,
    /// False when it was tainted before.
    pub newly: bool,
    /// Connections that came in with a certificate of it.
    pub connections_closed: usize,
    /// From the call until this node denied it, on the monotonic clock.
    pub effective_after_ms: f64,
}

impl Authority {
    /// Denies everything that an authority issued, on open connections too, and with a root everything below it. It issues
    /// nothing any more; its revocation lists go on. There is no way back: a key that was in other hands stays in other hands.
    ///
    /// # Errors
    /// `issuer_not_found`.
    pub async fn taint(&self, issuer: &str, actor: &Actor) -> Result<Tainted, Failure> {
        let (authority, issuer, actor) = (self.clone(), issuer.to_owned(), actor.clone());
        super::to_the_end(async move { authority.taint_to_the_end(&issuer, &actor).await }).await
    }

    async fn taint_to_the_end(&self, issuer: &str, actor: &Actor) -> Result<Tainted, Failure> {
        let started_nanos = self.inner.clock.monotonic_nanos();
        let now = self.inner.clock.now();
        let mut tx = self.inner.store.begin().await?;
        let row = self.named(store::issuer::get(&mut tx, &canonical(issuer)).await?)?;
        let newly = store::issuer::taint(&mut tx, &row.key_id, now).await?;
        if newly {
            let detail = serde_json::json!({ "kind": row.kind.as_str(), "state": row.state.as_str() });
            actor.record(&mut tx, &self.inner.clock, "issuer.taint", &row.key_id, &detail).await?;
        }
        let connections_closed = self.commit(tx).await?;
        let nanos = self.inner.clock.monotonic_nanos().saturating_sub(started_nanos);
        let effective_after_ms = nanos as f64 / 1e6;
        if newly {
            tracing::error!(
                issuer = row.key_id,
                subject = row.subject,
                "this authority is tainted: all it issued is denied"
            );
            metrics::counter!("portcullis_issuers_tainted_total", "kind" => row.kind.as_str()).increment(1);
        }
        // It is denied already. That the listeners' anchors follow is for handshakes only, and must not fail this.
        if let Err(error) = self.reload_issuers().await {
            tracing::error!(%error, "the authorities could not be read again");
        }
        Ok(Tainted {
            kind: row.kind.as_str(),
            tainted_at: if newly { now.0 } else { row.tainted_at.unwrap_or(now.0) },
            id: row.key_id,
            subject: row.subject,
            newly,
            connections_closed,
            effective_after_ms,
        })
    }

    /// Whether an authority may sign another certificate of this kind, at the instant of the transaction.
    ///
    /// # Errors
    /// `issuer_tainted`; `issuer_not_active` for one that has been followed by another.
    pub(super) async fn check_may_issue(
        &self,
        tx: &mut store::Tx,
        issuer: &str,
        kind: CertificateKind,
    ) -> Result<(), Failure> {
        // A retiring authority, and a tainted one, still tell of revocations, and need a signer for that.
        let tells = kind == CertificateKind::Ocsp;
        let row = store::issuer::get(tx, issuer).await?;
        let row = row.ok_or_else(|| Fault::new(format!("the authority {issuer} is gone")))?;
        let id = store::stored("issuer key id", issuer)?;
        let tainted = row.tainted_at.is_some() || self.inner.snapshot.issuer_denied(&id).is_some();
        if tainted && !tells {
            let message = format!("{} is tainted and issues nothing: rotate it (`portcullis ca rotate`).", row.subject);
            return Err(Refusal::conflict("issuer_tainted", message).into());
        }
        if row.state != IssuerState::Active && !(tells && row.state == IssuerState::Retiring) {
            let message = format!("{} is {}: it issues nothing any more.", row.subject, row.state.as_str());
            return Err(Refusal::conflict("issuer_not_active", message).into());
        }
        Ok(())
    }

    pub(super) fn named(&self, row: Option<IssuerRow>) -> Result<IssuerRow, Refusal> {
        row.ok_or_else(|| Refusal::not_found("issuer_not_found", "There is no authority of that key id."))
    }
}

/// Key ids are pasted with colons and in capitals.
pub(super) fn canonical(issuer: &str) -> String {
    issuer.trim().replace(':', "").to_ascii_lowercase()
}
