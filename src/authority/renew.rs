//! Renewal: who holds a certificate gets the next one for it, for the same client and with the same narrowing.
//!
//! The gate has proved the certificate and judged it, its grace after the end included. What another writer could upset in between
//! (a revocation above all) is judged again in the transaction that takes the serial: a renewal must not outrun a revocation.

use pki::{KeyChange, KeyId, Profile, ProfileKind, Serial, Thumbprint, VerifiedRequest};
use policies::UnixSeconds;

use super::issuance::{Claim, Order, Outcome};
use super::{Authority, Issued, off_thread, refused, to_the_end};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::certificate::{CertificateKind, CertificateRow, CertificateState};
use crate::store::renewal_terms::RenewalTermsRow;
use crate::store::{self, Tx};

/// Successors of one certificate. Renewal is repeated when an answer was lost; more is a program that does not keep what it gets.
const SUCCESSORS_MAX: i64 = 5;
/// Renewals of one client within [`RENEWALS_WINDOW_SECONDS`]: a stolen certificate must not fill the register.
const RENEWALS_MAX: i64 = 200;
const RENEWALS_WINDOW_SECONDS: i64 = 3_600;

/// A certificate to renew, as the gate proved it.
#[derive(Clone, Debug)]
pub struct Renewal {
    pub issuer: KeyId,
    pub serial: Serial,
    /// Of the whole certificate: issuer and serial alone are what anybody can write into one.
    pub thumbprint: Thumbprint,
    /// PKCS#10, PEM or DER. Its key is taken, and nothing else.
    pub request: Vec<u8>,
    /// Whether the request must repeat subject and subjectAltName of the certificate (RFC 7030 §4.2.2).
    pub names_repeated: bool,
}

/// The certificate that an order renews.
pub(super) struct Predecessor {
    issuer: String,
    serial: String,
    client: String,
    /// How long it stays good beside its successor.
    overlap_seconds: Option<i64>,
}

impl Authority {
    /// Issues the next certificate for the holder of one. When this returns, this node accepts it. The same request again, and it
    /// is the same certificate.
    ///
    /// The new certificate is for the same client, narrowed as the old one is, and lives as long. The old one stays good until
    /// its end, or for the overlap that the client's terms set.
    ///
    /// # Errors
    /// `certificate_not_found`, `certificate_not_renewable` when it is revoked, superseded, or over for longer than the grace;
    /// `key_change_required`, `renewed_too_often`, `names_differ`; and those of [`Authority::sign`].
    pub async fn renew(&self, renewal: Renewal, actor: &Actor) -> Result<Issued, Failure> {
        let (authority, actor) = (self.clone(), actor.clone());
        to_the_end(async move { authority.renew_now(renewal, &actor).await }).await
    }

    async fn renew_now(&self, renewal: Renewal, actor: &Actor) -> Result<Issued, Failure> {
        let bytes = renewal.request;
        let request =
            off_thread("reading a request", move || VerifiedRequest::parse(&bytes)).await?.map_err(refused)?;
        let (issuer, serial) = (renewal.issuer.to_string(), renewal.serial.to_string());
        let row = store::certificate::get(&self.inner.store, &issuer, &serial).await?.ok_or_else(not_found)?;
        if row.thumbprint.as_deref() != Some(renewal.thumbprint.to_string().as_str()) {
            return Err(not_found().into());
        }
        let client = row.client_id.as_deref().ok_or_else(not_found)?;
        let terms = store::renewal_terms::get(&self.inner.store, client).await?.unwrap_or_default();
        let fingerprint = request.public_key().fingerprint().to_string();
        if terms.key_change() == KeyChange::Required && fingerprint == row.spki_fingerprint {
            let message = "A renewal needs a new key: make one, and send a request that is signed with it.";
            return Err(Refusal::invalid("key_change_required", message).into());
        }
        let holder = self.holder(client).await?;
        request.check_identity(&self.identity(&holder)?).map_err(refused)?;
        if renewal.names_repeated {
            let der = store::certificate::der(&self.inner.store, &issuer, &serial).await?;
            let der = der.ok_or_else(|| Fault::new(format!("the issued certificate {serial} has no bytes")))?;
            pki::check_same_names(&request, &der).map_err(refused)?;
        }
        let lifetime_seconds = self.lifetime_seconds(&row);
        let order = Order {
            signer: self.inner.issuers().issuing().signer()?.clone(),
            request: self.leaf_request(&holder, request.public_key().clone(), lifetime_seconds)?,
            kind: CertificateKind::Client,
            scopes: row.scopes.clone(),
            networks: row.networks.clone(),
            // A client's own keys have its name in front, and no client's name holds a slash.
            claim: Some(Claim { key: format!("/renew/{issuer}/{serial}/{fingerprint}"), request: fingerprint }),
            predecessor: Some(Predecessor {
                issuer,
                serial,
                client: client.to_owned(),
                overlap_seconds: terms.overlap_seconds,
            }),
            holder: Some(holder),
            enrollment: None,
            action: "certificate.renew",
        };
        match self.carry_out(&order, actor).await? {
            Outcome::Issued(row, certificate) => Ok(self.issued(row, &certificate.der, None)),
            Outcome::Before(row) if row.revoked_at.is_some() => {
                let message =
                    "The certificate that was issued for this request is revoked. Make a new key and ask again.";
                Err(Refusal::conflict("renewal_revoked", message).into())
            }
            Outcome::Before(row) => self.issued_before(row).await,
        }
    }

    /// As long as the one before was meant to live: a certificate that was issued for a day must not become one for a quarter.
    /// `None`, the profile's default, for one that was cut short by the end of its authority.
    fn lifetime_seconds(&self, row: &CertificateRow) -> Option<u32> {
        let issuers = self.inner.issuers();
        if issuers.find(&row.issuer_key_id).is_some_and(|issuer| issuer.not_after.0 <= row.not_after) {
            return None;
        }
        let backdate = Profile::builtin(ProfileKind::Client).backdate().whole_seconds();
        u32::try_from(row.not_after - row.not_before - backdate).ok().filter(|seconds| *seconds > 0)
    }
}

impl Predecessor {
    pub(super) fn serial(&self) -> &str {
        &self.serial
    }

    /// Whether it may still be renewed, in the transaction that takes its successor's serial.
    pub(super) async fn check(&self, tx: &mut Tx, now: UnixSeconds) -> Result<(), Failure> {
        let row = store::certificate::get(&mut *tx, &self.issuer, &self.serial).await?.ok_or_else(not_found)?;
        let terms = store::renewal_terms::get(&mut *tx, &self.client).await?.unwrap_or_default();
        if let Some(why) = not_renewable(&row, &terms, now) {
            let message = format!("This certificate cannot be renewed: {why}. Ask for an enrolment.");
            return Err(Refusal::conflict("certificate_not_renewable", message).into());
        }
        if row.client_id.as_deref() != Some(&self.client) {
            return Err(Fault::new(format!("certificate {} changed its client", self.serial)).into());
        }
        if store::certificate::count_successors(&mut *tx, &self.serial).await? >= SUCCESSORS_MAX {
            let message =
                format!("This certificate was renewed {SUCCESSORS_MAX} times. Renew the newest of its successors.");
            return Err(Refusal::conflict("renewed_too_often", message).into());
        }
        let since = now.plus(-RENEWALS_WINDOW_SECONDS);
        if store::certificate::count_renewed_since(&mut *tx, &self.client, since).await? >= RENEWALS_MAX {
            let message =
                format!("This client renewed {RENEWALS_MAX} certificates within the last hour. Wait for another.");
            return Err(Refusal::conflict("renewed_too_often", message).into());
        }
        Ok(())
    }

    /// Ends it early, where the terms say so, in the transaction that puts its successor in force.
    pub(super) async fn supersede(&self, tx: &mut Tx, now: UnixSeconds) -> Result<(), Fault> {
        match self.overlap_seconds {
            Some(overlap) => {
                store::certificate::supersede(tx, &self.issuer, &self.serial, now.plus(overlap), now).await
            }
            None => Ok(()),
        }
    }
}

/// Why not.
fn not_renewable(row: &CertificateRow, terms: &RenewalTermsRow, now: UnixSeconds) -> Option<&'static str> {
    if row.revoked_at.is_some() {
        return Some("it is revoked");
    }
    if row.state != CertificateState::Issued || row.kind != CertificateKind::Client {
        return Some("it was never handed out");
    }
    if row.superseded_at.is_some_and(|at| at <= now.0) {
        return Some("its successor has taken its place");
    }
    (now.0 > row.not_after.saturating_add(terms.grace_seconds)).then_some("it has expired")
}

fn not_found() -> Refusal {
    Refusal::not_found("certificate_not_found", "There is no certificate of that serial.")
}
