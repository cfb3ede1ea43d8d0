//! The one way a certificate comes to be, for clients and for the gate itself: reserve, lint, sign, store.
//!
//! Serial and octets are on disk before the signature exists (as in Let's Encrypt's Boulder): whenever the process ends, the
//! register knows every certificate that may exist, to the last octet but the signature, and what was not finished is never
//! accepted. A certificate under a throw-away key stands trial for the real one; then exactly the stored octets are signed, and
//! the row takes no others. Only then is the caller answered.

use std::sync::Arc;

use pki::{IssuedCertificate, KeyId, LeafRequest, Prepared, Profile, RevocationReason, Serial};
use policies::UnixSeconds;

use super::brake::Taken;
use super::crash_point::CrashPoint;
use super::enroll::EnrollmentUse;
use super::publish::Scope;
use super::renew::Predecessor;
use super::{Authority, off_thread, random_serial, refused};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::{self, Actor};
use crate::store::certificate::{CertificateKind, CertificateRow, CertificateState, Reservation, change_key};
use crate::store::client::ClientRow;
use crate::store::idempotency::IdempotencyRow;
use crate::store::partner::PartnerRow;
use crate::store::{self, Tx};

/// A serial collides once in 2^63 certificates. Twice in a row, and the generator of randomness is broken.
const SERIAL_ATTEMPTS_MAX: u32 = 2;

/// What is to be issued, as far as it was decided before the register was asked.
pub(super) struct Order {
    pub(super) signer: Arc<pki::Issuer>,
    pub(super) request: LeafRequest,
    pub(super) kind: CertificateKind,
    /// For client certificates.
    pub(super) holder: Option<Holder>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) networks: Option<Vec<String>>,
    pub(super) claim: Option<Claim>,
    /// The certificate that this one renews.
    pub(super) predecessor: Option<Predecessor>,
    /// The enrolment that this is issued for.
    pub(super) enrollment: Option<EnrollmentUse>,
    /// For the audit: `certificate.issue`.
    pub(super) action: &'static str,
}

/// The client that a certificate is for.
pub(super) struct Holder {
    pub(super) client: ClientRow,
    pub(super) partner: PartnerRow,
}

/// A request that may be sent twice and must be done once.
pub(super) struct Claim {
    /// The caller's key, with the caller's own name in front.
    pub(super) key: String,
    /// SHA-256 of what is asked.
    pub(super) request: String,
}

/// How an order ends well.
pub(super) enum Outcome {
    Issued(CertificateRow, IssuedCertificate),
    /// An earlier request under the same key was answered with this.
    Before(CertificateRow),
}

enum Reserved {
    Now(Prepared),
    Before(CertificateRow),
    SerialTaken,
}

impl Authority {
    /// Carries an order out. The caller must let it run to its end.
    pub(super) async fn carry_out(&self, order: &Order, actor: &Actor) -> Result<Outcome, Failure> {
        self.brake(order, actor).await?;
        let prepared = match self.reserve(order, actor).await? {
            Reserved::Now(prepared) => prepared,
            Reserved::Before(row) => return Ok(Outcome::Before(row)),
            Reserved::SerialTaken => {
                return Err(Fault::new("serial numbers repeat: the random generator is broken").into());
            }
        };
        CrashPoint::AfterReserve.reached();
        let (issuer, serial) = (prepared.issuer_key_id().to_string(), prepared.serial().to_string());
        let finished = self.sign_and_store(order, prepared, actor).await;
        if finished.is_err() {
            self.give_up(&issuer, &serial).await;
        }
        let (row, certificate) = finished?;
        CrashPoint::AfterStore.reached();
        self.enforce().await?;
        metrics::counter!("portcullis_certificates_issued_total", "kind" => order.kind.as_str()).increment(1);
        CrashPoint::BeforeAnswer.reached();
        Ok(Outcome::Issued(row, certificate))
    }

    /// The gate's own certificates are few and made by itself; a flood of others must not keep it from renewing them.
    async fn brake(&self, order: &Order, actor: &Actor) -> Result<(), Failure> {
        if order.kind != CertificateKind::Client {
            return Ok(());
        }
        let (taken, refusal) = match self.inner.brake.take() {
            Ok(taken) => (taken, None),
            Err((refusal, taken)) => (taken, Some(refusal)),
        };
        let stopped = refusal.is_some();
        if stopped {
            metrics::counter!("portcullis_issuances_refused_total").increment(1);
        }
        if taken == Taken::WithAlarm {
            metrics::counter!("portcullis_issuance_alarms_total").increment(1);
            let per_minute = self.inner.settings.issuances_per_minute;
            tracing::error!(
                actor = actor.name,
                per_minute,
                stopped,
                "certificates are being issued unusually fast: more than half of what a minute may"
            );
            let mut tx = self.inner.store.begin().await?;
            let detail = serde_json::json!({ "issuances_per_minute": per_minute, "stopped": stopped });
            actor.record(&mut tx, &self.inner.clock, "authority.issuing-fast", order.action, &detail).await?;
            tx.commit().await?;
        }
        match refusal {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    async fn reserve(&self, order: &Order, actor: &Actor) -> Result<Reserved, Failure> {
        for _ in 0..SERIAL_ATTEMPTS_MAX {
            let prepared = self.prepare(order).await?;
            match self.try_reserve(order, prepared, actor).await? {
                Reserved::SerialTaken => tracing::error!("a random serial number was taken already"),
                reserved => return Ok(reserved),
            }
        }
        Ok(Reserved::SerialTaken)
    }

    async fn prepare(&self, order: &Order) -> Result<Prepared, Failure> {
        let (signer, request, serial) = (order.signer.clone(), order.request.clone(), random_serial()?);
        let list = self.list_of(signer.key_id(), &serial)?;
        let (mut points, now) = (self.inner.settings.distribution_points_of(signer.key_id(), list), self.now()?);
        points.ocsp = self.inner.settings.ocsp_url(&signer);
        let profile = Profile::builtin(request.identity.profile_kind());
        off_thread("preparing a certificate", move || {
            signer.prepare(&profile, request, serial, &points, now).map_err(refused)
        })
        .await?
    }

    /// The list that a certificate with this serial number names.
    fn list_of(&self, issuer: &KeyId, serial: &Serial) -> Result<Scope, Fault> {
        let issuers = self.inner.issuers();
        let issuer = issuers.find(&issuer.to_string()).ok_or_else(|| Fault::new("an unknown authority issues"))?;
        Ok(if issuer.crl_partitions > 1 { Scope::Partition(issuer.partition_of(serial)) } else { Scope::Complete })
    }

    /// All checks that another writer could upset happen inside the transaction that takes the serial.
    async fn try_reserve(&self, order: &Order, prepared: Prepared, actor: &Actor) -> Result<Reserved, Failure> {
        let now = self.inner.clock.now();
        let (issuer, serial) = (prepared.issuer_key_id().to_string(), prepared.serial().to_string());
        let mut tx = self.inner.store.begin().await?;
        self.check_reconciled(&mut tx, order).await?;
        let mut replaces = false;
        if let Some(claim) = &order.claim {
            match earlier(&mut tx, claim).await? {
                Earlier::None => {}
                Earlier::CameToNothing => replaces = true,
                Earlier::Issued(row) => return Ok(Reserved::Before(row)),
            }
        }
        if let Some(used) = &order.enrollment
            && let Earlier::Issued(row) = used.earlier(&mut tx, now).await?
        {
            return Ok(Reserved::Before(row));
        }
        self.check_may_issue(&mut tx, &issuer, order.kind).await?;
        self.check_order(&mut tx, order, now).await?;
        if let Some(predecessor) = &order.predecessor {
            predecessor.check(&mut tx, now).await?;
        }
        if store::certificate::get(&mut tx, &issuer, &serial).await?.is_some() {
            return Ok(Reserved::SerialTaken);
        }
        let reservation = Reservation {
            issuer_key_id: issuer.clone(),
            serial: serial.clone(),
            client_id: order.holder.as_ref().map(|holder| holder.client.id.clone()),
            kind: order.kind,
            profile: order.request.identity.profile_kind().as_str().to_owned(),
            subject: prepared.subject().to_owned(),
            key_algorithm: order.request.public_key.algorithm().to_string(),
            spki_fingerprint: prepared.spki_fingerprint().to_string(),
            not_before: UnixSeconds(prepared.not_before().unix_timestamp()),
            not_after: UnixSeconds(prepared.not_after().unix_timestamp()),
            scopes: order.scopes.clone(),
            networks: order.networks.clone(),
            crl_partition: self.list_of(prepared.issuer_key_id(), &prepared.serial())?.partition(),
            replaces: order.predecessor.as_ref().map(|predecessor| predecessor.serial().to_owned()),
            enrollment_id: order.enrollment.as_ref().map(|used| used.id().to_owned()),
            tbs: prepared.tbs_der().to_vec(),
        };
        store::certificate::insert_reserved(&mut tx, &reservation, now).await?;
        if let Some(used) = &order.enrollment {
            used.reserve(&mut tx, &issuer, &serial, now).await?;
        }
        if let Some(Claim { key, request }) = &order.claim {
            let row = IdempotencyRow {
                key: key.clone(),
                request: request.clone(),
                answer: change_key(&issuer, &serial),
                created_at: now.0,
            };
            match replaces {
                true => store::idempotency::replace(&mut tx, &row).await?,
                false => _ = store::idempotency::insert(&mut tx, &row).await?,
            }
        }
        CrashPoint::WithinReserve.reached();
        tx.commit().await?;
        tracing::debug!(serial, issuer, actor = actor.name, "serial reserved");
        Ok(Reserved::Now(prepared))
    }

    async fn sign_and_store(
        &self,
        order: &Order,
        prepared: Prepared,
        actor: &Actor,
    ) -> Result<(CertificateRow, IssuedCertificate), Failure> {
        let tbs = prepared.tbs_der().to_vec();
        let signer = order.signer.clone();
        let linted = off_thread("judging a certificate", move || signer.lint(prepared)).await?.map_err(refused)?;
        CrashPoint::AfterLint.reached();
        let signer = order.signer.clone();
        let signed = off_thread("signing a certificate", move || signer.sign_linted(linted)).await?;
        let certificate = signed.map_err(refused)?;
        CrashPoint::AfterSign.reached();
        let now = self.inner.clock.now();
        let (issuer, serial) = (certificate.issuer_key_id.to_string(), certificate.serial.to_string());
        let mut tx = self.inner.store.begin().await?;
        let thumbprint = certificate.thumbprint.to_string();
        let stored =
            store::certificate::mark_issued(&mut tx, &issuer, &serial, &tbs, &certificate.der, &thumbprint, now)
                .await?;
        let row = store::certificate::get(&mut tx, &issuer, &serial).await?.filter(|_| stored);
        let row = row.ok_or_else(|| {
            Fault::new(format!("the reservation of {serial} is gone: another server runs on this database"))
        })?;
        if row.revoked_at.is_some() {
            let message = "The certificate was revoked while it was being issued.";
            return Err(Refusal::conflict("revoked_meanwhile", message).into());
        }
        if let Some(predecessor) = &order.predecessor {
            predecessor.supersede(&mut tx, now).await?;
        }
        if let Some(used) = &order.enrollment {
            used.finish(&mut tx, &serial).await?;
        }
        let detail = serde_json::json!({
            "issuer": issuer, "client": row.client_id, "not_after": row.not_after, "thumbprint": thumbprint,
            "scopes": row.scopes, "networks": row.networks, "replaces": row.replaces,
        });
        actor.record(&mut tx, &self.inner.clock, order.action, &serial, &detail).await?;
        CrashPoint::WithinStore.reached();
        tx.commit().await?;
        Ok((row, certificate))
    }

    /// What could not be finished must not stay reserved until the next start. Where this fails too, that start will do it.
    async fn give_up(&self, issuer: &str, serial: &str) {
        let orphaned = async {
            let mut tx = self.inner.store.begin().await?;
            let orphaned = store::certificate::orphan(&mut tx, issuer, serial, self.inner.clock.now()).await?;
            self.commit(tx).await?;
            Ok::<_, Failure>(orphaned)
        };
        match orphaned.await {
            Ok(true) => {
                metrics::counter!("portcullis_certificates_orphaned_total").increment(1);
                tracing::warn!(
                    serial,
                    "issuance failed after its serial was reserved: the certificate will never be accepted"
                );
            }
            Ok(false) => {}
            Err(error) => tracing::error!(serial, %error, "a failed issuance could not be closed"),
        }
        let issuers = self.inner.issuers();
        let place = issuers.find(issuer).zip(serial.parse().ok());
        let place = place.map(|(issuer, serial)| (&issuer.key_id, issuer.partition_of(&serial)));
        self.inner.publisher.nudge_partitions(place);
    }

    /// What another writer could upset, checked inside the transaction that depends on it.
    pub(super) async fn check_order(&self, tx: &mut Tx, order: &Order, now: UnixSeconds) -> Result<(), Failure> {
        if let Some(holder) = &order.holder {
            self.check_holder(tx, order, holder).await?;
        }
        self.check_key(tx, order, now).await
    }

    /// The client must be there and in force at the instant of reservation, and the narrowing must narrow.
    async fn check_holder(&self, tx: &mut Tx, order: &Order, holder: &Holder) -> Result<(), Failure> {
        let client = in_force(store::client::get(&mut *tx, &holder.client.id).await?, &holder.client.id)?;
        if client.partner_id != holder.partner.id {
            let message = format!("{} was moved to another partner just now. Ask again.", client.id);
            return Err(Refusal::conflict("client_changed", message).into());
        }
        partner_in_force(store::partner::get(&mut *tx, &client.partner_id).await?)?;
        // What is committed before a transaction begins is all there is; the snapshot has it after this.
        self.inner.snapshot.catch_up(&self.inner.store).await?;
        let policy = self.inner.snapshot.policy();
        Ok(registry::narrowing::check_narrowing(&policy, &client, order.scopes.as_deref(), order.networks.as_deref())?)
    }

    /// A restored register has forgotten what it issued and revoked since the backup: to issue more on top of that would bury it.
    async fn check_reconciled(&self, tx: &mut Tx, order: &Order) -> Result<(), Failure> {
        if order.kind == CertificateKind::Client && store::restoration::unreconciled(&mut *tx).await?.is_some() {
            let message = "The database was restored from an export, and nothing is issued until `portcullis ca reconcile` has put \
                           back what it has forgotten.";
            return Err(Refusal::conflict("not_reconciled", message).into());
        }
        Ok(())
    }

    /// One key, one owner. A key that two partners hold lets each be taken for the other by whoever maps keys to names; a key
    /// that was stolen once comes back with its thief; an authority's key in a leaf is an authority's key in the wrong hands.
    async fn check_key(&self, tx: &mut Tx, order: &Order, now: UnixSeconds) -> Result<(), Failure> {
        let key = &order.request.public_key;
        let in_use = |whose: &str| {
            let message = format!("This key already belongs to {whose}. Make a new key for each client.");
            Err(Refusal::conflict("key_in_use", message).into())
        };
        if self.inner.issuers().all().iter().any(|issuer| issuer.key_id == *key.key_id()) {
            return in_use("an authority of this installation");
        }
        if store::blocked_key::get(&mut *tx, &key.fingerprint().to_string()).await?.is_some() {
            let message = "This key is blocked, because it was compromised. Make a new key.";
            return Err(Refusal::conflict("key_compromised", message).into());
        }
        let partner = order.holder.as_ref().map(|holder| &holder.partner.id);
        for row in store::certificate::find_by_key(&mut *tx, &key.fingerprint().to_string()).await? {
            if row.revocation_reason.as_deref() == Some(RevocationReason::KeyCompromise.as_str()) {
                let message = "A certificate of this key was revoked because the key was compromised. Make a new key.";
                return Err(Refusal::conflict("key_compromised", message).into());
            }
            let live = row.revoked_at.is_none() && row.state != CertificateState::Orphaned && row.not_after >= now.0;
            if !live {
                continue;
            }
            let owner = match &row.client_id {
                Some(client) => store::client::get(&mut *tx, client).await?.map(|client| client.partner_id),
                None => None,
            };
            if owner.as_ref() != partner {
                return in_use(if row.client_id.is_some() { "another partner" } else { "the gate itself" });
            }
        }
        Ok(())
    }

    /// The client and its partner, both in force.
    pub(super) async fn holder(&self, client: &str) -> Result<Holder, Failure> {
        let client = in_force(store::client::get(&self.inner.store, client).await?, client)?;
        let partner = partner_in_force(store::partner::get(&self.inner.store, &client.partner_id).await?)?;
        Ok(Holder { client, partner })
    }
}

/// What became of an earlier request for the same.
pub(super) enum Earlier {
    None,
    /// A crash or a fault ended it: nobody has that certificate.
    CameToNothing,
    Issued(CertificateRow),
}

/// What became of an earlier request under the same key.
async fn earlier(tx: &mut Tx, claim: &Claim) -> Result<Earlier, Failure> {
    let Some(row) = store::idempotency::get(&mut *tx, &claim.key).await? else { return Ok(Earlier::None) };
    if row.request != claim.request {
        let message = "This idempotency key was used for another request. Use a new one for each request.";
        return Err(Refusal::conflict("idempotency_key_reused", message).into());
    }
    match row.answer.split_once('/') {
        Some((issuer, serial)) => became(tx, issuer, serial).await,
        None => Ok(Earlier::CameToNothing),
    }
}

/// What became of a serial that was reserved before.
pub(super) async fn became(tx: &mut Tx, issuer: &str, serial: &str) -> Result<Earlier, Failure> {
    match store::certificate::get(tx, issuer, serial).await? {
        Some(certificate) if certificate.state == CertificateState::Issued => Ok(Earlier::Issued(certificate)),
        Some(certificate) if certificate.state == CertificateState::Reserved => {
            let message = "The same request is being worked on. Ask again in a moment.";
            Err(Refusal::conflict("in_progress", message).into())
        }
        _ => Ok(Earlier::CameToNothing),
    }
}

fn in_force(row: Option<ClientRow>, id: &str) -> Result<ClientRow, Refusal> {
    let row = row.ok_or_else(|| Refusal::not_found("client_not_found", format!("There is no client {id:?}.")))?;
    match row.in_force() {
        true => Ok(row),
        false => Err(Refusal::conflict("client_disabled", format!("The client {id} is disabled. Enable it first."))),
    }
}

fn partner_in_force(row: Option<PartnerRow>) -> Result<PartnerRow, Failure> {
    let row = row.ok_or_else(|| Fault::new("a client without a partner"))?;
    match row.in_force() {
        true => Ok(row),
        false => {
            let message = format!("The partner {} is disabled. Enable it first.", row.id);
            Err(Refusal::conflict("partner_disabled", message).into())
        }
    }
}
