//! After a restoration: what the register has forgotten is put back from what others kept.
//!
//! Others kept the certificates (their holders) and the revocation lists (whoever fetched them; the PKI listener's caches). Each is
//! signed by us, so it proves itself. A certificate comes back only with a list of its authority that is newer than it and does not
//! name it: else one that was revoked since the backup would be good again.

use pki::{ClientCertificate, RevocationList, SpiffeId, is_issued_by};
use policies::UnixSeconds;
use serde::Serialize;

use super::Authority;
use super::issuer::{Issuer, Issuers};
use crate::clock::Clock;
use crate::failure::{Failure, Refusal};
use crate::registry::Actor;
use crate::store::certificate::{CertificateKind, Reservation};
use crate::store::{self, Store, Tx};

/// Nobody publishes that many lists between a backup and a restoration (one a second for eighteen hours), and twenty octets hold
/// it easily.
const CRL_NUMBER_JUMP: i64 = 1 << 16;

/// What others kept of the time that the register has forgotten.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Client certificates, DER.
    pub certificates: Vec<Vec<u8>>,
    /// Our revocation lists; of several of one authority all count.
    pub lists: Vec<RevocationList>,
}

/// What a reconciliation put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    pub certificates_added: usize,
    /// Those that the register knew.
    pub certificates_known: usize,
    pub revocations_added: usize,
    /// Revoked serials of which the register knows nothing else; they stand on the lists from now on.
    pub unknown_serials_revoked: usize,
}

impl Authority {
    /// Marks a database as restored, before anything opens it.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn mark_restored(store: &Store, actor: &Actor, clock: &Clock) -> Result<(), Failure> {
        let mut tx = store.begin().await?;
        store::restoration::insert(&mut tx, CRL_NUMBER_JUMP, clock.now()).await?;
        let detail = serde_json::json!({ "crl_number_jump": CRL_NUMBER_JUMP });
        actor.record(&mut tx, clock, "authority.restore", "database", &detail).await?;
        Ok(tx.commit().await?)
    }

    /// Puts back what the evidence shows and ends the time in which nothing is issued, all in one transaction.
    ///
    /// # Errors
    /// `not_restored` when there is nothing to reconcile; `evidence_not_ours` for a certificate or list that no authority here
    /// signed; `list_missing` for a certificate without a newer list of its authority; `client_not_found` for one whose client is
    /// not in the registry. Nothing is changed then.
    pub async fn reconcile(&self, evidence: &Evidence, actor: &Actor) -> Result<Reconciled, Failure> {
        let (now, issuers) = (self.inner.clock.now(), self.inner.issuers());
        let mut done = Reconciled::default();
        let mut tx = self.inner.store.begin().await?;
        if store::restoration::unreconciled(&mut tx).await?.is_none() {
            let message = "This database was not restored, or is reconciled already.";
            return Err(Refusal::conflict("not_restored", message).into());
        }
        let mut lists = Vec::with_capacity(evidence.lists.len());
        for list in &evidence.lists {
            lists.push((signer_of(&issuers, list)?, list));
        }
        for der in &evidence.certificates {
            self.put_back(&mut tx, &issuers, &lists, der, now, &mut done).await?;
        }
        for (issuer, list) in &lists {
            revoke_all(&mut tx, issuer, list, now, &mut done).await?;
        }
        store::restoration::reconcile(&mut tx, now).await?;
        let detail = serde_json::to_value(done).map_err(crate::failure::Fault::from)?;
        actor.record(&mut tx, &self.inner.clock, "authority.reconcile", "database", &detail).await?;
        self.commit(tx).await?;
        tracing::info!(?done, "the restored authority is reconciled and issues again");
        Ok(done)
    }

    /// When the database was restored, if that is not reconciled: nothing is issued to clients until it is.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn unreconciled_since(&self) -> Result<Option<UnixSeconds>, Failure> {
        Ok(store::restoration::unreconciled(&self.inner.store).await?)
    }

    async fn put_back(
        &self,
        tx: &mut Tx,
        issuers: &Issuers,
        lists: &[(&Issuer, &RevocationList)],
        der: &[u8],
        now: UnixSeconds,
        done: &mut Reconciled,
    ) -> Result<(), Failure> {
        let certificate = ClientCertificate::parse(der).map_err(super::refused)?;
        let named = certificate.issuer_key_id.as_ref().and_then(|id| issuers.find(&id.to_string()));
        let serial = certificate.serial.to_string();
        let issuer = named.filter(|issuer| is_issued_by(der, &issuer.certificate_der));
        let Some(issuer) = issuer else {
            let message = format!("Certificate {serial} was issued by no authority of this installation.");
            return Err(Refusal::invalid("evidence_not_ours", message).into());
        };
        let issuer_key_id = issuer.key_id.to_string();
        if store::certificate::get(&mut *tx, &issuer_key_id, &serial).await?.is_some() {
            done.certificates_known += 1;
            return Ok(());
        }
        let newer = lists.iter().any(|(by, list)| {
            by.key_id == issuer.key_id
                && list.this_update().unix_timestamp() >= certificate.not_before
                && list.covers(der).unwrap_or(false)
        });
        if !newer {
            let message = format!(
                "Certificate {serial} needs a revocation list of {} that is newer than it: without one nobody knows whether it was \
                 revoked since the backup.",
                issuer.subject
            );
            return Err(Refusal::invalid("list_missing", message).into());
        }
        let client = self.holder_of(tx, &certificate).await?;
        let reservation = Reservation {
            issuer_key_id: issuer_key_id.clone(),
            serial: serial.clone(),
            client_id: Some(client),
            kind: CertificateKind::Client,
            profile: "client".to_owned(),
            subject: certificate.common_name.as_deref().map(|name| format!("CN={name}")).unwrap_or_default(),
            key_algorithm: certificate.key_algorithm.map(|kind| kind.to_string()).unwrap_or_default(),
            spki_fingerprint: certificate.spki_fingerprint.to_string(),
            not_before: UnixSeconds(certificate.not_before),
            not_after: UnixSeconds(certificate.not_after),
            scopes: None,
            networks: None,
            crl_partition: i64::from(issuer.partition_of(&certificate.serial)),
            replaces: None,
            enrollment_id: None,
            tbs: Vec::new(),
        };
        store::certificate::insert_reserved(tx, &reservation, now).await?;
        let thumbprint = certificate.thumbprint.to_string();
        store::certificate::mark_issued(tx, &issuer_key_id, &serial, &[], der, &thumbprint, now).await?;
        done.certificates_added += 1;
        Ok(())
    }

    /// The client that a certificate names, which must still be there under that partner.
    async fn holder_of(&self, tx: &mut Tx, certificate: &ClientCertificate) -> Result<String, Failure> {
        let serial = certificate.serial;
        let refuse =
            |why: String| Err(Refusal::not_found("client_not_found", format!("Certificate {serial} {why}")).into());
        let Some(identity) = &certificate.spiffe_id else { return refuse("names no client.".to_owned()) };
        let client = store::client::get(&mut *tx, identity.client()).await?;
        let expected = client.and_then(|client| {
            SpiffeId::new(self.trust_domain(), &client.partner_id, &client.id)
                .ok()
                .map(|expected| (expected, client.id))
        });
        match expected {
            Some((expected, client)) if expected == *identity => Ok(client),
            _ => refuse(format!("is for {identity}, who is not in the registry: create that client first.")),
        }
    }
}

fn signer_of<'a>(issuers: &'a Issuers, list: &RevocationList) -> Result<&'a Issuer, Failure> {
    let named = issuers.all().iter().find(|issuer| list.names(&issuer.certificate_der));
    let signed = named.filter(|issuer| list.verify(&issuer.certificate_der).is_ok());
    signed.map(|issuer| &**issuer).ok_or_else(|| {
        let message =
            format!("The revocation list of {} was signed by no authority of this installation.", list.issuer());
        Refusal::invalid("evidence_not_ours", message).into()
    })
}

async fn revoke_all(
    tx: &mut Tx,
    issuer: &Issuer,
    list: &RevocationList,
    now: UnixSeconds,
    done: &mut Reconciled,
) -> Result<(), Failure> {
    let issuer_key_id = issuer.key_id.to_string();
    for entry in list.entries().map_err(super::refused)? {
        let serial = entry.serial.to_string();
        let row = store::certificate::get(&mut *tx, &issuer_key_id, &serial).await?;
        if row.is_none() {
            // All that is left of it is its serial. As a row it stays refused, and stays on the lists to the authority's end.
            let reservation = Reservation {
                issuer_key_id: issuer_key_id.clone(),
                serial: serial.clone(),
                client_id: None,
                kind: CertificateKind::Client,
                profile: "client".to_owned(),
                subject: "known from a revocation list alone".to_owned(),
                key_algorithm: String::new(),
                spki_fingerprint: String::new(),
                not_before: UnixSeconds(0),
                not_after: issuer.not_after,
                scopes: None,
                networks: None,
                crl_partition: i64::from(issuer.partition_of(&entry.serial)),
                replaces: None,
                enrollment_id: None,
                tbs: Vec::new(),
            };
            store::certificate::insert_reserved(tx, &reservation, now).await?;
            store::certificate::orphan(tx, &issuer_key_id, &serial, now).await?;
            done.unknown_serials_revoked += 1;
        }
        if let (Some(row), pki::RevocationReason::KeyCompromise) = (&row, entry.reason) {
            let source = format!("certificate {serial}");
            store::blocked_key::insert(tx, &row.spki_fingerprint, entry.reason.as_str(), &source, now).await?;
        }
        let at = UnixSeconds(entry.revoked_at.unix_timestamp());
        let reason = entry.reason.as_str();
        if store::revocation::insert(tx, &issuer_key_id, &serial, reason, at).await? && row.is_some() {
            done.revocations_added += 1;
        }
    }
    Ok(())
}
