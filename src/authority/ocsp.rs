//! The OCSP responder (RFC 6960, with the profile of RFC 5019 and the nonces of RFC 9654), for relying parties other than the
//! gate: the gate itself asks its register.
//!
//! An answer says what the register says at that moment. One without a nonce is kept and given again, but only while the register
//! still says what it says: a revocation is visible here the moment the revoking call returns, and nothing has to be evicted.

mod answers;
mod delegates;
mod exchange;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use pki::{CertificateId, OcspRefusal, OcspRequest, OcspStatus, Profile, ProfileKind, RevocationReason, Serial};
use policies::UnixSeconds;
use tokio::sync::Semaphore;

use super::{Authority, AuthoritySettings, instant, off_thread};
use crate::failure::Fault;
use crate::store;
use crate::store::certificate::{CertificateRow, CertificateState};

pub use delegates::OcspSignerView;
pub use exchange::{OCSP_BODY_BYTES_MAX, is_ocsp};

use answers::{Answer, Answers};
use delegates::{Delegate, Delegates};
use exchange::Question;

/// Shorter, and every client would come back before the next answer is worth anything.
pub const OCSP_LIFETIME_SECONDS_MIN: u32 = 600;
/// Longer, and a relying party that keeps an answer hears of a revocation a week late.
pub const OCSP_LIFETIME_SECONDS_MAX: u32 = 604_800;
/// Questions that wait for a signature. More are told to come back: each nonce costs us a signature and its sender nothing.
const WAITING_MAX: usize = 256;
/// A node that has not read the changes for so long reads them before it vouches for anything.
const STALENESS_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// What answers: the delegates that sign, and what they have signed.
pub(super) struct Responder {
    delegates: Delegates,
    answers: Answers,
    /// As many signatures at once as there are processors.
    signing: Semaphore,
    waiting: Semaphore,
}

impl Responder {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            delegates: Delegates::default(),
            answers: Answers::new(),
            signing: Semaphore::new(processors),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// Says that the authorities may have changed.
    pub(super) fn nudge(&self) {
        self.delegates.nudge();
    }
}

impl AuthoritySettings {
    /// Where the responder of this authority is asked; `None` when it may not have a delegate to answer for it.
    pub(super) fn ocsp_url(&self, authority: &pki::Issuer) -> Option<String> {
        let url = self.pki_url.as_ref().filter(|_| may_delegate(authority))?;
        Some(format!("{url}{}", exchange::PATH))
    }
}

impl Authority {
    /// Answers a question that came to the PKI listener, by `POST /ocsp` or `GET /ocsp/<base64>` (RFC 6960 appendix A).
    ///
    /// `body` is that of a POST, at most [`OCSP_BODY_BYTES_MAX`]; `None` when it was larger or did not come whole. A question that
    /// cannot be answered gets an OCSP error with HTTP status 200, as RFC 6960 has it.
    pub async fn answer_ocsp(&self, head: &Parts, body: Option<Bytes>) -> Response<Bytes> {
        let question = match exchange::read(head, body) {
            Ok(question) => question,
            Err(answer) => return *answer,
        };
        let outcome = match question {
            Question::Clear(request) => self.ocsp(&request).await,
            Question::Guessed(candidates) => self.ocsp_of_one(&candidates).await,
            Question::Malformed(why) => {
                tracing::debug!(%why, "an OCSP question cannot be read");
                Err(OcspRefusal::MalformedRequest)
            }
        };
        let status = outcome.as_ref().map_or_else(|refusal| refusal.as_str(), |answer| answer.status.as_str());
        metrics::counter!("portcullis_ocsp_answers_total", "status" => status).increment(1);
        match outcome {
            Ok(answer) => exchange::answered(head, &answer, self.inner.clock.now()),
            Err(refusal) => exchange::refused(head, refusal),
        }
    }

    async fn ocsp(&self, request: &OcspRequest) -> Result<Answer, OcspRefusal> {
        let delegates = self.inner.responder.delegates.current();
        let ours = |id: &CertificateId| delegates.iter().find(|delegate| delegate.names.issued(id));
        // One signature, one authority that it can speak for: the first that is ours. Of certificates of others the answer says
        // that it does not know them.
        let delegate = request.certificates.iter().find_map(ours).ok_or(OcspRefusal::Unauthorized)?;
        let mut statuses = Vec::with_capacity(request.certificates.len());
        for id in &request.certificates {
            statuses.push(match delegate.names.issued(id) {
                true => self.ocsp_status(delegate, id.serial()).await.map_err(|fault| {
                    tracing::error!(fault = fault.inside(), "the status of a certificate cannot be read");
                    OcspRefusal::InternalError
                })?,
                false => OcspStatus::Unknown,
            });
        }
        let now = self.inner.clock.now();
        let kept = match (&request.certificates[..], &request.nonce) {
            ([id], None) => Some(id),
            _ => None,
        };
        if let Some(id) = kept
            && let Some(answer) = self.inner.responder.answers.get(id, statuses[0], delegate, now)
        {
            return Ok(answer);
        }
        let answer = self.sign_ocsp(delegate, request, statuses, now).await?;
        if let Some(id) = kept {
            self.inner.responder.answers.keep(id.clone(), answer.clone());
        }
        Ok(answer)
    }

    /// Of the readings of a damaged question, the one about a certificate that there is.
    async fn ocsp_of_one(&self, candidates: &[OcspRequest]) -> Result<Answer, OcspRefusal> {
        let mut last = Err(OcspRefusal::MalformedRequest);
        for request in candidates {
            let answer = self.ocsp(request).await;
            if answer.as_ref().is_ok_and(|answer| answer.status != OcspStatus::NotIssued) {
                return answer;
            }
            last = answer.or(last);
        }
        last
    }

    async fn sign_ocsp(
        &self,
        delegate: &Delegate,
        request: &OcspRequest,
        statuses: Vec<OcspStatus>,
        now: UnixSeconds,
    ) -> Result<Answer, OcspRefusal> {
        let responder = &self.inner.responder;
        let signer = delegate.signer.clone().ok_or(OcspRefusal::TryLater)?;
        let _place = responder.waiting.try_acquire().map_err(|_| OcspRefusal::TryLater)?;
        let _turn = responder.signing.acquire().await.map_err(|_| OcspRefusal::TryLater)?;
        let lifetime = time::Duration::seconds(self.inner.settings.ocsp_lifetime_seconds.into());
        let (ids, nonce): (Vec<CertificateId>, _) = (request.certificates.clone(), request.nonce.clone());
        let status = statuses[0];
        let signed = async {
            let (signer, at) = (signer.clone(), instant(now)?);
            off_thread("signing an OCSP answer", move || {
                let answers: Vec<_> = ids.iter().zip(statuses).collect();
                signer.sign(&answers, nonce.as_deref(), lifetime, at)
            })
            .await?
            .map_err(|error| Fault::new(error.to_string()))
        };
        metrics::counter!("portcullis_ocsp_signatures_total").increment(1);
        match signed.await {
            Ok(signed) => Ok(Answer::new(signed, status, signer.serial(), request.nonce.is_some())),
            Err(fault) => {
                tracing::error!(fault = fault.inside(), issuer = %delegate.key_id, "an OCSP answer could not be signed");
                Err(OcspRefusal::TryLater)
            }
        }
    }

    /// What the register says of a certificate of this authority, now.
    async fn ocsp_status(&self, delegate: &Delegate, serial: Serial) -> Result<OcspStatus, Fault> {
        let (issuer, snapshot) = (&delegate.key_id, &self.inner.snapshot);
        if snapshot.age() > STALENESS_MAX {
            snapshot.catch_up(&self.inner.store).await?;
        }
        let status = match snapshot.certificate(issuer, &serial) {
            Some(entry) => entry.revoked.map_or(Ok(OcspStatus::Good), |fact| revoked(fact.at, fact.reason)),
            // The snapshot has client certificates only, and those of another process a moment later.
            None => {
                let row = store::certificate::get(&self.inner.store, &issuer.to_string(), &serial.to_string()).await?;
                row.map_or(Ok(OcspStatus::NotIssued), |row| status_of(&row))
            }
        };
        // Nothing of a tainted authority is good, whatever its row says.
        match (status?, snapshot.issuer_denied(issuer)) {
            (OcspStatus::Good | OcspStatus::NotIssued, Some(fact)) => revoked(fact.at, fact.reason),
            (status, _) => Ok(status),
        }
    }
}

/// Whether an authority may have a signer of OCSP answers: imported ones, and those of the first release for servers, may not.
fn may_delegate(authority: &pki::Issuer) -> bool {
    authority.may_issue(&Profile::builtin(ProfileKind::Ocsp)).is_ok()
}

/// What was never finished was given to nobody, and counts as revoked: what a crash left behind may have been signed.
fn status_of(row: &CertificateRow) -> Result<OcspStatus, Fault> {
    match (row.revoked_at, row.state) {
        (Some(at), _) => {
            // A reason that cannot be read revokes all the same.
            let reason = row.revocation_reason.as_deref().and_then(|reason| reason.parse().ok());
            revoked(UnixSeconds(at), reason.unwrap_or(RevocationReason::Unspecified))
        }
        (None, CertificateState::Issued) => Ok(OcspStatus::Good),
        (None, CertificateState::Reserved | CertificateState::Orphaned) => {
            revoked(UnixSeconds(row.created_at), RevocationReason::Unspecified)
        }
    }
}

fn revoked(at: UnixSeconds, reason: RevocationReason) -> Result<OcspStatus, Fault> {
    Ok(OcspStatus::Revoked { at: instant(at)?, reason })
}
