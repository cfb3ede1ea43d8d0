//! Revocation: one write, then in force. It closes live connections, and never waits for the list that tells others.

use std::collections::BTreeMap;
use std::fmt;

use pki::{KeyId, RevocationReason};
use policies::UnixSeconds;
use serde::Serialize;
use utoipa::ToSchema;

use super::certificate::{CertificateName, one};
use super::crash_point::CrashPoint;
use super::{Authority, to_the_end};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::certificate::{
    CertificateFilter, CertificateKind, CertificatePlace, CertificateRow, CertificateState, change_key,
};
use crate::store::{self, LIST_LIMIT_MAX, Page, Tx};

/// How many certificates an answer names one by one.
const ANSWER_MAX: usize = 1000;

/// What is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    Certificate(CertificateName),
    /// Every certificate of the client that is not over, those being issued this moment too.
    Client(String),
    /// Every such certificate of all clients of the partner.
    Partner(String),
    /// Every such certificate that this authority issued to clients, by its key id.
    Issuer(KeyId),
}

/// What a revocation did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Revoked {
    /// Everything that the selector names, as it now stands; the first 1000.
    pub revoked: Vec<RevokedCertificate>,
    /// How many there are.
    pub count: usize,
    /// Keys that are not certified again from now on: those of certificates revoked for `key-compromise`.
    pub keys_blocked: usize,
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
    /// True when it was not named itself, but has the compromised key of one that was.
    pub same_key: bool,
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
            Self::Issuer(issuer) => write!(formatter, "issuer {issuer}"),
        }
    }
}

impl Authority {
    /// Revokes for good. When this returns, this node refuses the certificates, on new connections and on open ones. The
    /// lists for others are published too, unless that takes longer than a moment: then they follow, and that they cannot be
    /// signed or stored does not make the revocation fail.
    ///
    /// Certificates that were revoked before stay as they are, and asking again succeeds. With `key-compromise` the keys are
    /// blocked, and every other certificate of such a key is revoked too, whoever has it. Tokens that are bound to a revoked
    /// certificate end with it.
    ///
    /// What a selector names in thousands is revoked by the thousand: all of it has happened when this returns, and some of it
    /// when it fails. Ask again then.
    ///
    /// # Errors
    /// `reason_not_permanent` for a hold; `certificate_not_found`, `certificate_ambiguous`, `client_not_found`,
    /// `partner_not_found`, `issuer_not_found`.
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
        let mut done =
            Revoked { revoked: Vec::new(), count: 0, keys_blocked: 0, connections_closed: 0, effective_after_ms: 0.0 };
        let mut newly = 0;
        let mut after = None;
        loop {
            let now = self.inner.clock.now();
            let mut tx = self.inner.store.begin().await?;
            let batch = self.select(&mut tx, selector, after, now).await?;
            after = batch.next;
            let mut revoked = Vec::new();
            for row in &batch.rows {
                revoked.push(self.revoke_one(&mut tx, row, reason, actor, now).await?);
            }
            if reason == RevocationReason::KeyCompromise {
                done.keys_blocked += self.block_keys(&mut tx, &batch.rows, &mut revoked, actor, now).await?;
            }
            // Held from before the commit, so that what this closes is counted here and not by who follows the feed.
            let held = self.inner.snapshot.hold().await;
            CrashPoint::WithinRevoke.reached();
            tx.commit().await?;
            // Before anything that can fail, and also when nothing was new: whatever happens here, the others must hear of it.
            self.make_lists_due(&revoked);
            CrashPoint::AfterRevoke.reached();
            // Also when nothing was new: whoever asks wants to be sure that it is refused here.
            let applied = held.catch_up(&self.inner.store).await;
            done.connections_closed += self.enforced(applied)?;
            newly += revoked.iter().filter(|certificate| certificate.newly).count();
            done.count += revoked.len();
            revoked.truncate(ANSWER_MAX.saturating_sub(done.revoked.len()));
            done.revoked.extend(revoked);
            if after.is_none() {
                break;
            }
        }
        let elapsed_nanos = self.inner.clock.monotonic_nanos().saturating_sub(started_nanos);
        done.effective_after_ms = (elapsed_nanos / 1000) as f64 / 1000.0;
        if newly > 0 {
            metrics::counter!("portcullis_certificates_revoked_total", "reason" => reason.as_str())
                .increment(newly as u64);
            let (count, connections_closed) = (newly, done.connections_closed);
            tracing::info!(%selector, %reason, count, connections_closed, "revoked");
        }
        Ok(done)
    }

    async fn revoke_one(
        &self,
        tx: &mut Tx,
        row: &CertificateRow,
        reason: RevocationReason,
        actor: &Actor,
        now: UnixSeconds,
    ) -> Result<RevokedCertificate, Failure> {
        let newly = store::revocation::insert(tx, &row.issuer_key_id, &row.serial, reason.as_str(), now).await?;
        if newly {
            let detail = serde_json::json!({ "issuer": row.issuer_key_id, "client": row.client_id, "reason": reason });
            actor.record(tx, &self.inner.clock, "certificate.revoke", &row.serial, &detail).await?;
        }
        let (revoked_at, reason) = match (row.revoked_at, &row.revocation_reason) {
            (Some(at), Some(reason)) if !newly => (at, reason.clone()),
            _ => (now.0, reason.to_string()),
        };
        Ok(RevokedCertificate {
            id: row.serial.clone(),
            issuer: row.issuer_key_id.clone(),
            client: row.client_id.clone(),
            revoked_at,
            reason,
            newly,
            same_key: false,
        })
    }

    /// A key in the wrong hands is so in every certificate of it, and comes back with whoever has it. Gives how many keys were not
    /// blocked before.
    async fn block_keys(
        &self,
        tx: &mut Tx,
        rows: &[CertificateRow],
        revoked: &mut Vec<RevokedCertificate>,
        actor: &Actor,
        now: UnixSeconds,
    ) -> Result<usize, Failure> {
        let reason = RevocationReason::KeyCompromise;
        let keys: BTreeMap<&str, &CertificateRow> =
            rows.iter().map(|row| (row.spki_fingerprint.as_str(), row)).collect();
        let mut blocked = 0;
        for (key, row) in keys {
            let source = change_key(&row.issuer_key_id, &row.serial);
            if store::blocked_key::insert(tx, key, reason.as_str(), &source, now).await? {
                blocked += 1;
                let detail = serde_json::json!({ "reason": reason, "certificate": source });
                actor.record(tx, &self.inner.clock, "key.block", key, &detail).await?;
            }
            for other in store::certificate::find_by_key(&mut *tx, key).await? {
                let over =
                    other.revoked_at.is_some() || other.not_after < now.0 || other.state == CertificateState::Orphaned;
                if !over {
                    let one = self.revoke_one(tx, &other, reason, actor, now).await?;
                    revoked.push(RevokedCertificate { same_key: true, ..one });
                }
            }
        }
        Ok(blocked)
    }

    /// The next certificates that the selector names.
    async fn select(
        &self,
        tx: &mut Tx,
        selector: &Selector,
        after: Option<CertificatePlace>,
        now: UnixSeconds,
    ) -> Result<Batch, Failure> {
        let missing = |code, what: &str, id: &str| Refusal::not_found(code, format!("There is no {what} {id:?}."));
        let filter = match selector {
            Selector::Certificate(name) => {
                let row = one(self.find(&mut *tx, name).await?)?;
                return Ok(Batch { rows: vec![row], next: None });
            }
            Selector::Client(client) => {
                if store::client::get(&mut *tx, client).await?.is_none() {
                    return Err(missing("client_not_found", "client", client).into());
                }
                CertificateFilter { client: Some(client.clone()), ..Default::default() }
            }
            Selector::Partner(partner) => {
                if store::partner::get(&mut *tx, partner).await?.is_none() {
                    return Err(missing("partner_not_found", "partner", partner).into());
                }
                CertificateFilter { partner: Some(partner.clone()), ..Default::default() }
            }
            Selector::Issuer(issuer) => {
                let issuer = issuer.to_string();
                if store::issuer::get(&mut *tx, &issuer).await?.is_none() {
                    return Err(missing("issuer_not_found", "authority", &issuer).into());
                }
                CertificateFilter { issuer_key_id: Some(issuer), ..Default::default() }
            }
        };
        Ok(not_over(tx, CertificateFilter { after, ..filter }, now).await?)
    }

    fn make_lists_due(&self, revoked: &[RevokedCertificate]) {
        let all = self.inner.issuers();
        let places = revoked.iter().filter_map(|certificate| {
            let issuer = all.find(&certificate.issuer)?;
            let serial = certificate.id.parse().ok()?;
            Some((&issuer.key_id, issuer.partition_of(&serial)))
        });
        self.inner.publisher.nudge_partitions(places);
    }
}

/// Some of the certificates that a selector names.
struct Batch {
    rows: Vec<CertificateRow>,
    /// After which place the others come; `None` when these are the last.
    next: Option<CertificatePlace>,
}

/// What could still be accepted: issued or about to be, not revoked, not expired. One page of it.
async fn not_over(tx: &mut Tx, filter: CertificateFilter, now: UnixSeconds) -> Result<Batch, Fault> {
    let filter = CertificateFilter {
        kind: Some(CertificateKind::Client),
        revoked: Some(false),
        ends_from: Some(now),
        page: Page::first(LIST_LIMIT_MAX),
        ..filter
    };
    let mut rows = store::certificate::list(&mut *tx, &filter).await?;
    let full = rows.len() == LIST_LIMIT_MAX as usize;
    let next = rows.last().filter(|_| full).map(|last| CertificatePlace {
        created_at: last.created_at,
        serial: last.serial.clone(),
        issuer_key_id: last.issuer_key_id.clone(),
    });
    rows.retain(|row| row.state != CertificateState::Orphaned);
    Ok(Batch { rows, next })
}
