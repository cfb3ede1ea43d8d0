//! Revocation: one write, then in force. It closes live connections, and never waits for the list that tells others.

use std::collections::BTreeSet;
use std::fmt;

use pki::RevocationReason;
use policies::UnixSeconds;
use serde::Serialize;
use utoipa::ToSchema;

use super::certificate::{CertificateName, one};
use super::crash_point::CrashPoint;
use super::{Authority, to_the_end};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::certificate::{
    CertificateFilter, CertificateKind, CertificatePlace, CertificateRow, CertificateState,
};
use crate::store::{self, LIST_LIMIT_MAX, Page, Tx};

/// What is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    Certificate(CertificateName),
    /// Every certificate of the client that is not over, those being issued this moment too.
    Client(String),
    /// Every such certificate of all clients of the partner.
    Partner(String),
}

/// What a revocation did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Revoked {
    /// Everything that the selector names, as it now stands.
    pub revoked: Vec<RevokedCertificate>,
    /// Live connections that were closed by it.
    pub connections_closed: usize,
    /// From the call until this node refused the certificates, on the monotonic clock.
    pub effective_after_ms: f64,
}

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RevokedCertificate {
    /// The serial number, hex.
    pub id: String,
    pub issuer: String,
    pub client: Option<String>,
    /// Seconds since the Unix epoch.
    pub revoked_at: i64,
    /// RFC 5280 §5.3.1, kebab-case.
    pub reason: String,
    /// False when it was revoked before: the first instant and reason stand.
    pub newly: bool,
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(CertificateName::Serial { issuer: None, serial }) => write!(formatter, "{serial}"),
            Self::Certificate(CertificateName::Serial { issuer: Some(issuer), serial }) => {
                write!(formatter, "{issuer}/{serial}")
            }
            Self::Certificate(CertificateName::Thumbprint(thumbprint)) => write!(formatter, "{thumbprint}"),
            Self::Client(client) => write!(formatter, "client {client}"),
            Self::Partner(partner) => write!(formatter, "partner {partner}"),
        }
    }
}

impl Authority {
    /// Revokes for good. When this returns, this node refuses the certificates, on new connections and on open ones. The
    /// lists for others are published too, unless that takes longer than a moment: then they follow, and that they cannot be
    /// signed or stored does not make the revocation fail.
    ///
    /// Certificates that were revoked before stay as they are, and asking again succeeds.
    ///
    /// # Errors
    /// `reason_not_permanent` for a hold; `certificate_not_found`, `certificate_ambiguous`, `client_not_found`,
    /// `partner_not_found`.
    pub async fn revoke(
        &self,
        selector: Selector,
        reason: RevocationReason,
        actor: &Actor,
    ) -> Result<Revoked, Failure> {
        let started_nanos = self.inner.clock.monotonic_nanos();
        if !reason.is_permanent() {
            let message = format!("`{reason}` could be taken back, and a revocation here cannot: use another reason.");
            return Err(Refusal::invalid("reason_not_permanent", message).into());
        }
        let (authority, actor) = (self.clone(), actor.clone());
        let revoked =
            to_the_end(async move { authority.revoke_now(&selector, reason, &actor, started_nanos).await }).await?;
        self.publish_promptly().await;
        Ok(revoked)
    }

    async fn revoke_now(
        &self,
        selector: &Selector,
        reason: RevocationReason,
        actor: &Actor,
        started_nanos: u64,
    ) -> Result<Revoked, Failure> {
        let now = self.inner.clock.now();
        let mut tx = self.inner.store.begin().await?;
        let mut revoked = Vec::new();
        for row in self.select(&mut tx, selector, now).await? {
            revoked.push(self.revoke_one(&mut tx, row, reason, actor, now).await?);
        }
        CrashPoint::WithinRevoke.reached();
        tx.commit().await?;
        // Before anything that can fail, and also when nothing was new: whatever happens here, the others must hear of it.
        self.make_lists_due(&revoked);
        CrashPoint::AfterRevoke.reached();
        // Also when nothing was new: whoever asks wants to be sure that it is refused here.
        let connections_closed = self.enforce().await?;
        let elapsed_nanos = self.inner.clock.monotonic_nanos().saturating_sub(started_nanos);
        self.tell(selector, reason, &revoked, connections_closed);
        Ok(Revoked { revoked, connections_closed, effective_after_ms: (elapsed_nanos / 1000) as f64 / 1000.0 })
    }

    async fn revoke_one(
        &self,
        tx: &mut Tx,
        row: CertificateRow,
        reason: RevocationReason,
        actor: &Actor,
        now: UnixSeconds,
    ) -> Result<RevokedCertificate, Failure> {
        let newly = store::revocation::insert(tx, &row.issuer_key_id, &row.serial, reason.as_str(), now).await?;
        if newly {
            let detail = serde_json::json!({ "issuer": row.issuer_key_id, "client": row.client_id, "reason": reason });
            actor.record(tx, &self.inner.clock, "certificate.revoke", &row.serial, &detail).await?;
        }
        let first = (row.revoked_at, row.revocation_reason);
        let (revoked_at, reason) = match first {
            (Some(at), Some(reason)) if !newly => (at, reason),
            _ => (now.0, reason.to_string()),
        };
        Ok(RevokedCertificate {
            id: row.serial,
            issuer: row.issuer_key_id,
            client: row.client_id,
            revoked_at,
            reason,
            newly,
        })
    }

    async fn select(&self, tx: &mut Tx, selector: &Selector, now: UnixSeconds) -> Result<Vec<CertificateRow>, Failure> {
        let filter = match selector {
            Selector::Certificate(name) => return Ok(vec![one(self.find(&mut *tx, name).await?)?]),
            Selector::Client(client) => {
                if store::client::get(&mut *tx, client).await?.is_none() {
                    return Err(
                        Refusal::not_found("client_not_found", format!("There is no client {client:?}.")).into()
                    );
                }
                CertificateFilter { client: Some(client.clone()), ..Default::default() }
            }
            Selector::Partner(partner) => {
                if store::partner::get(&mut *tx, partner).await?.is_none() {
                    return Err(
                        Refusal::not_found("partner_not_found", format!("There is no partner {partner:?}.")).into()
                    );
                }
                CertificateFilter { partner: Some(partner.clone()), ..Default::default() }
            }
        };
        Ok(not_over(tx, filter, now).await?)
    }

    fn tell(
        &self,
        selector: &Selector,
        reason: RevocationReason,
        revoked: &[RevokedCertificate],
        connections_closed: usize,
    ) {
        let count = revoked.iter().filter(|certificate| certificate.newly).count();
        if count == 0 {
            return;
        }
        metrics::counter!("portcullis_certificates_revoked_total", "reason" => reason.as_str()).increment(count as u64);
        tracing::info!(%selector, %reason, count, connections_closed, "revoked");
    }

    fn make_lists_due(&self, revoked: &[RevokedCertificate]) {
        let issuers: BTreeSet<&str> = revoked.iter().map(|certificate| certificate.issuer.as_str()).collect();
        if issuers.is_empty() {
            return;
        }
        let all = self.inner.issuers();
        let issuers = issuers.into_iter().filter_map(|issuer| all.find(issuer));
        self.inner.publisher.nudge(issuers.map(|issuer| &issuer.key_id));
    }
}

/// All that could still be accepted: issued or about to be, not revoked, not expired.
async fn not_over(tx: &mut Tx, filter: CertificateFilter, now: UnixSeconds) -> Result<Vec<CertificateRow>, Fault> {
    let mut filter = CertificateFilter {
        kind: Some(CertificateKind::Client),
        revoked: Some(false),
        ends_from: Some(now),
        page: Page::first(LIST_LIMIT_MAX),
        ..filter
    };
    let mut found = Vec::new();
    loop {
        let page = store::certificate::list(&mut *tx, &filter).await?;
        let Some(last) = page.last() else { return Ok(found) };
        filter.after = Some(CertificatePlace {
            created_at: last.created_at,
            serial: last.serial.clone(),
            issuer_key_id: last.issuer_key_id.clone(),
        });
        found.extend(page.into_iter().filter(|row| row.state != CertificateState::Orphaned));
    }
}
