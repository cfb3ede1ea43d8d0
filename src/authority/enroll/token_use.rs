//! What one token still allows one key. The only reading of an enrolment's state: asked once before any work, and once more in
//! the transaction that changes it.

use std::net::IpAddr;

use pki::VerifiedRequest;
use policies::UnixSeconds;

use crate::authority::issuance::{Earlier, became};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::enrollment::found;
use crate::store::Tx;
use crate::store::enrollment::{self, EnrollmentRow, EnrollmentState, Submission};

/// The code of a token that another key used up.
pub(super) const USED: &str = "enrollment_used";

/// A token with the request that came with it.
#[derive(Clone, Debug)]
pub(in crate::authority) struct EnrollmentUse {
    id: String,
    request: Vec<u8>,
    key_algorithm: String,
    spki_fingerprint: String,
    source: String,
}

/// Where an enrolment stands, for one key.
pub(super) enum Standing {
    /// No request came yet.
    Fresh,
    /// This key's request waits for a decision.
    Waiting,
    /// It was agreed to.
    Approved,
    /// A serial is or was reserved for it.
    Taken { issuer: String, serial: String },
}

impl EnrollmentUse {
    pub(super) fn new(row: &EnrollmentRow, request: &VerifiedRequest, source: IpAddr) -> Self {
        Self {
            id: row.id.clone(),
            request: request.der().to_vec(),
            key_algorithm: request.public_key().algorithm().to_string(),
            spki_fingerprint: request.public_key().fingerprint().to_string(),
            source: source.to_string(),
        }
    }

    /// The use that the row remembers.
    pub(super) fn again(row: &EnrollmentRow, request: &VerifiedRequest) -> Result<Self, Fault> {
        let source = row.source.as_deref().and_then(|source| source.parse().ok());
        let source = source.ok_or_else(|| Fault::new(format!("the enrolment {} has no source", row.id)))?;
        Ok(Self::new(row, request, source))
    }

    pub(in crate::authority) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn spki_fingerprint(&self) -> &str {
        &self.spki_fingerprint
    }

    /// What the enrolment holds for this key.
    pub(super) fn standing(&self, row: &EnrollmentRow, now: UnixSeconds) -> Result<Standing, Refusal> {
        check_alive(row, now)?;
        if row.state == EnrollmentState::Open {
            return Ok(Standing::Fresh);
        }
        if row.spki_fingerprint.as_deref() != Some(&self.spki_fingerprint) {
            let message = "This token was used already, for another key. Ask for a new one.";
            return Err(Refusal::conflict(USED, message));
        }
        match (row.state, &row.issuer_key_id, &row.serial) {
            (EnrollmentState::Pending, ..) => Ok(Standing::Waiting),
            (EnrollmentState::Signing | EnrollmentState::Issued, Some(issuer), Some(serial)) => {
                Ok(Standing::Taken { issuer: issuer.clone(), serial: serial.clone() })
            }
            _ => Ok(Standing::Approved),
        }
    }

    /// What became of an earlier use of the token with this key.
    ///
    /// # Errors
    /// The token may not be used (any more), or waits for a decision.
    pub(in crate::authority) async fn earlier(&self, tx: &mut Tx, now: UnixSeconds) -> Result<Earlier, Failure> {
        let row = found(&mut *tx, &self.id).await?;
        match self.standing(&row, now)? {
            Standing::Fresh if !row.needs_approval => Ok(Earlier::None),
            Standing::Fresh | Standing::Waiting => {
                let message = "This request waits for a second person. Ask again later.";
                Err(Refusal::conflict("enrollment_pending", message).into())
            }
            Standing::Approved => Ok(Earlier::None),
            Standing::Taken { issuer, serial } => became(tx, &issuer, &serial).await,
        }
    }

    /// Binds the token to this key.
    pub(super) async fn submit(&self, tx: &mut Tx, to: EnrollmentState, now: UnixSeconds) -> Result<(), Failure> {
        let submission = Submission {
            request: &self.request,
            key_algorithm: &self.key_algorithm,
            spki_fingerprint: &self.spki_fingerprint,
            source: &self.source,
        };
        match enrollment::submit(tx, &self.id, &submission, to, now).await? {
            true => Ok(()),
            false => Err(Fault::new(format!("the enrolment {} changed within a transaction", self.id)).into()),
        }
    }

    /// Uses the token up, in the transaction that reserves the serial.
    pub(in crate::authority) async fn reserve(
        &self,
        tx: &mut Tx,
        issuer: &str,
        serial: &str,
        now: UnixSeconds,
    ) -> Result<(), Failure> {
        if found(&mut *tx, &self.id).await?.state == EnrollmentState::Open {
            self.submit(tx, EnrollmentState::Approved, now).await?;
        }
        match enrollment::reserve(tx, &self.id, issuer, serial).await? {
            true => Ok(()),
            false => Err(Fault::new(format!("the enrolment {} changed within a transaction", self.id)).into()),
        }
    }

    /// In the transaction that puts the certificate in force.
    pub(in crate::authority) async fn finish(&self, tx: &mut Tx, serial: &str) -> Result<(), Failure> {
        match enrollment::mark_issued(tx, &self.id, serial).await? {
            true => Ok(()),
            false => Err(Fault::new(format!("the enrolment {} no longer waits for {serial}", self.id)).into()),
        }
    }
}

/// Whether the token gets any answer at all.
///
/// # Errors
/// `enrollment_cancelled`, `enrollment_denied`, `enrollment_expired`.
pub(super) fn check_alive(row: &EnrollmentRow, now: UnixSeconds) -> Result<(), Refusal> {
    match row.state {
        EnrollmentState::Cancelled => {
            Err(Refusal::forbidden("enrollment_cancelled", "This token was taken back. Ask for a new one."))
        }
        EnrollmentState::Denied => {
            let why = row.decision.as_deref().unwrap_or("no reason was given");
            Err(Refusal::forbidden(
                "enrollment_denied",
                format!("The request was turned down: {why}. Ask whoever sent you the token."),
            ))
        }
        _ if row.expired_at(now) => {
            Err(Refusal::forbidden("enrollment_expired", "This token has expired. Ask for a new one."))
        }
        _ => Ok(()),
    }
}
