//! Enrolment: a partner's certificate request, let in by a one-time token. The key is made by the partner and stays there.
//!
//! The first good request binds the token to its key. From then on the token is worth nothing but the answer to that request:
//! the same certificate as often as it is asked for, and to any other key a refusal that the operator hears of. So a token that
//! somebody reads in transit or finds later opens nothing, and a partner whose connection broke asks again and loses nothing.

use std::net::IpAddr;

use pki::{KeyAlgorithm, VerifiedRequest};
use serde_json::json;
use subtle::ConstantTimeEq as _;

pub(super) use self::token_use::EnrollmentUse;

use self::token_use::Standing;
use super::issuance::{Order, Outcome};
use super::{Authority, Issued, off_thread, refused, to_the_end};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::enrollment::{found, not_pending};
use crate::registry::{Actor, EnrollmentView, Pepper, PresentedToken, bounds};
use crate::store;
use crate::store::certificate::CertificateKind;
use crate::store::enrollment::{EnrollmentRow, EnrollmentState};

mod token_use;

/// How long a partner should wait before it asks again, while a decision is pending.
pub const PENDING_RETRY_SECONDS: u32 = 60;

/// Whom a token is for.
#[derive(Clone, Debug)]
pub struct EnrollmentHolder {
    pub enrollment: String,
    pub client: String,
    /// Networks or CIDRs to which its certificate is narrowed; `None`: not narrowed.
    pub networks: Option<Vec<String>>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Enrolled {
    Issued(Box<Issued>),
    /// A second person must agree. Ask again with the same token and the same key.
    Pending {
        /// The enrolment's id, which is no secret.
        enrollment: String,
        retry_after_seconds: u32,
    },
}

impl Authority {
    /// Answers a certificate request (PKCS#10, PEM or DER) that came with a token, from `source`. The same token with the same
    /// key gets the same answer again.
    ///
    /// # Errors
    /// `invalid_enrollment_token` (401) for every text that is not a token of ours. Of a token that is: `enrollment_expired`,
    /// `enrollment_cancelled`, `enrollment_denied`, `enrollment_used` when it came with another key before. Of the request: what
    /// [`VerifiedRequest::parse`] refuses (`weak_key`, `possession_not_proved`, `ca_requested`, …), `identity_mismatch`,
    /// `name_not_allowed`, `key_not_allowed`, `key_in_use`, `key_compromised`. And those of [`Authority::sign`]. A refused
    /// request does not use the token up.
    pub async fn enroll(
        &self,
        pepper: &Pepper,
        token: &str,
        request: &[u8],
        source: IpAddr,
    ) -> Result<Enrolled, Failure> {
        let row = self.enrollment_of(pepper, token).await?;
        let (authority, request) = (self.clone(), request.to_vec());
        to_the_end(async move { authority.enroll_now(row, request, source).await }).await
    }

    /// Whom a token is for, whatever has become of it.
    ///
    /// # Errors
    /// `invalid_enrollment_token` (401).
    pub async fn enrollment_holder(&self, pepper: &Pepper, token: &str) -> Result<EnrollmentHolder, Failure> {
        let row = self.enrollment_of(pepper, token).await?;
        Ok(EnrollmentHolder { enrollment: row.id, client: row.client_id, networks: row.networks })
    }

    /// Agrees to a waiting request, and issues the certificate: the partner has it when it asks next.
    ///
    /// # Errors
    /// `enrollment_not_found`; `approver_is_creator` when one person would do both; `enrollment_not_pending`; and those of an
    /// issuance. When the issuance is refused, the approval stands, and the partner's next request tries again.
    pub async fn approve_enrollment(
        &self,
        id: &str,
        remark: Option<&str>,
        actor: &Actor,
    ) -> Result<EnrollmentView, Failure> {
        bounds::optional_line("remark", remark, bounds::REMARK_CHARS_MAX)?;
        let (authority, actor) = (self.clone(), actor.clone());
        let (id, remark) = (id.to_owned(), remark.map(str::to_owned));
        to_the_end(async move { authority.approve_now(&id, remark.as_deref(), &actor).await }).await
    }

    /// The enrolment that a token opens.
    async fn enrollment_of(&self, pepper: &Pepper, token: &str) -> Result<EnrollmentRow, Failure> {
        let unknown = || Refusal::unauthorized("invalid_enrollment_token", "This is not a token of this server.");
        let presented = PresentedToken::parse(token).ok_or_else(unknown)?;
        let mac = presented.mac(pepper);
        let row = store::enrollment::get(&self.inner.store, presented.id()).await?;
        let stored = row.as_ref().map_or(&[0; 32][..], |row| &row.hmac);
        match (bool::from(stored.ct_eq(&mac)), row) {
            (true, Some(row)) => Ok(row),
            _ => Err(unknown().into()),
        }
    }

    async fn enroll_now(&self, row: EnrollmentRow, bytes: Vec<u8>, source: IpAddr) -> Result<Enrolled, Failure> {
        let actor = Actor { name: format!("enrollment:{}", row.id), source: Some(source) };
        // Before the request costs anything. Judged again below, in the transaction that uses the token.
        token_use::check_alive(&row, self.inner.clock.now())?;
        let request =
            off_thread("reading a request", move || VerifiedRequest::parse(&bytes)).await?.map_err(refused)?;
        let used = EnrollmentUse::new(&row, &request, source);
        match used.standing(&row, self.inner.clock.now()) {
            Ok(Standing::Fresh) => {}
            Ok(Standing::Waiting) => return Ok(pending(&row)),
            // Answered before, and the request is not judged anew: a key that was blocked since is not issued to again.
            Ok(Standing::Approved | Standing::Taken { .. }) => {}
            Err(refusal) => {
                if refusal.code == token_use::USED {
                    self.note_misuse(&row, &used, &actor).await?;
                }
                return Err(refusal.into());
            }
        }
        let order = self.enrollment_order(&row, &request, used).await?;
        if row.needs_approval && row.state == EnrollmentState::Open {
            return self.submit(&row, &order, &actor).await;
        }
        self.issue_enrolled(&order, &actor).await.map(|issued| Enrolled::Issued(Box::new(issued)))
    }

    async fn approve_now(&self, id: &str, remark: Option<&str>, actor: &Actor) -> Result<EnrollmentView, Failure> {
        let now = self.inner.clock.now();
        let mut tx = self.inner.store.begin().await?;
        let row = found(&mut tx, id).await?;
        if row.state != EnrollmentState::Pending || row.expired_at(now) {
            return Err(not_pending(&row, now).into());
        }
        if row.created_by == actor.name {
            let message = "Somebody else than the one who made the token must approve what came with it.";
            return Err(Refusal::forbidden("approver_is_creator", message).into());
        }
        let (from, to) = (EnrollmentState::Pending, EnrollmentState::Approved);
        store::enrollment::decide(&mut tx, id, from, to, &actor.name, remark, now).await?;
        let detail = json!({
            "client": row.client_id, "spki_fingerprint": row.spki_fingerprint, "created_by": row.created_by,
            "requested_from": row.source, "remark": remark,
        });
        actor.record(&mut tx, &self.inner.clock, "enrollment.approve", id, &detail).await?;
        tx.commit().await?;
        let request = store::enrollment::request(&self.inner.store, id).await?;
        let request = request.ok_or_else(|| Fault::new(format!("the enrolment {id} has no request")))?;
        let request =
            off_thread("reading a request", move || VerifiedRequest::parse(&request)).await?.map_err(refused)?;
        let used = EnrollmentUse::again(&row, &request)?;
        let order = self.enrollment_order(&row, &request, used).await?;
        self.issue_enrolled(&order, actor).await?;
        let row = found(&self.inner.store, id).await?;
        Ok(EnrollmentView::new(row, self.inner.clock.now()))
    }

    /// What is to be issued for a request, if it may be.
    async fn enrollment_order(
        &self,
        row: &EnrollmentRow,
        request: &VerifiedRequest,
        used: EnrollmentUse,
    ) -> Result<Order, Failure> {
        check_key_policy(row, request.public_key().algorithm())?;
        let holder = self.holder(&row.client_id).await?;
        request.check_identity(&self.identity(&holder)?).map_err(refused)?;
        let lifetime_seconds = row.lifetime_seconds.and_then(|seconds| u32::try_from(seconds).ok());
        Ok(Order {
            signer: self.inner.issuers().issuing().signer()?.clone(),
            request: self.leaf_request(&holder, request.public_key().clone(), lifetime_seconds)?,
            kind: CertificateKind::Client,
            holder: Some(holder),
            scopes: row.scopes.clone(),
            networks: row.networks.clone(),
            claim: None,
            predecessor: None,
            enrollment: Some(used),
            action: "certificate.enroll",
        })
    }

    /// Keeps a request for a second person.
    async fn submit(&self, row: &EnrollmentRow, order: &Order, actor: &Actor) -> Result<Enrolled, Failure> {
        let used = order.enrollment.as_ref().ok_or_else(|| Fault::new("an enrolment without its token"))?;
        let now = self.inner.clock.now();
        let mut tx = self.inner.store.begin().await?;
        let standing = used.standing(&found(&mut tx, &row.id).await?, now)?;
        // A second copy of the request came first: then its answer is this one's too.
        if matches!(standing, Standing::Fresh) {
            self.check_order(&mut tx, order, now).await?;
            used.submit(&mut tx, EnrollmentState::Pending, now).await?;
            let detail = json!({ "client": row.client_id, "spki_fingerprint": used.spki_fingerprint() });
            actor.record(&mut tx, &self.inner.clock, "enrollment.request", &row.id, &detail).await?;
            tx.commit().await?;
            metrics::counter!("portcullis_enrollments_total", "outcome" => "pending").increment(1);
            tracing::info!(enrollment = row.id, client = row.client_id, "a certificate request waits for approval");
        }
        Ok(pending(row))
    }

    async fn issue_enrolled(&self, order: &Order, actor: &Actor) -> Result<Issued, Failure> {
        match self.carry_out(order, actor).await? {
            Outcome::Issued(row, certificate) => {
                metrics::counter!("portcullis_enrollments_total", "outcome" => "issued").increment(1);
                Ok(self.issued(row, &certificate.der, None))
            }
            Outcome::Before(row) if row.revoked_at.is_some() => {
                let message = "The certificate of this enrolment was revoked. Ask for a new token.";
                Err(Refusal::conflict("enrollment_revoked", message).into())
            }
            Outcome::Before(row) => self.issued_before(row).await,
        }
    }

    /// Somebody who holds the token has another key: the partner by mistake, or somebody else. The operator must hear of it.
    async fn note_misuse(&self, row: &EnrollmentRow, used: &EnrollmentUse, actor: &Actor) -> Result<(), Failure> {
        metrics::counter!("portcullis_enrollments_total", "outcome" => "misused").increment(1);
        let mut tx = self.inner.store.begin().await?;
        // Once: a row for each attempt would let the holder of one token fill the log.
        if store::enrollment::note_misuse(&mut tx, &row.id, self.inner.clock.now()).await? {
            tracing::warn!(enrollment = row.id, client = row.client_id, source = ?actor.source, "a used token came with another key");
            let detail = json!({
                "client": row.client_id, "first_key": row.spki_fingerprint, "first_source": row.source,
                "other_key": used.spki_fingerprint(),
            });
            actor.record(&mut tx, &self.inner.clock, "enrollment.misuse", &row.id, &detail).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

fn pending(row: &EnrollmentRow) -> Enrolled {
    Enrolled::Pending { enrollment: row.id.clone(), retry_after_seconds: PENDING_RETRY_SECONDS }
}

fn check_key_policy(row: &EnrollmentRow, kind: KeyAlgorithm) -> Result<(), Refusal> {
    match &row.key_algorithms {
        Some(allowed) if !allowed.iter().any(|allowed| allowed == kind.as_str()) => {
            let message = format!("This token is for a key of another kind than {kind}: use {}.", allowed.join(" or "));
            Err(Refusal::invalid("key_not_allowed", message))
        }
        _ => Ok(()),
    }
}
