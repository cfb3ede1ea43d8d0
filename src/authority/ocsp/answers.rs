//! Answers that are given again.

use bytes::Bytes;
use http::HeaderValue;
use moka::sync::Cache;
use pki::{CertificateId, OcspAnswer, OcspStatus, Serial, Thumbprint};
use policies::UnixSeconds;

use super::Delegate;

/// An answer has about a thousand octets, so these are the answers about some sixty thousand certificates.
const ANSWERS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What an entry takes beside its answer.
const OVERHEAD_BYTES: u32 = 400;

/// A signed answer, and what it was made from.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) der: Bytes,
    /// Of the certificate asked about first.
    pub(super) status: OcspStatus,
    pub(super) this_update: UnixSeconds,
    pub(super) next_update: UnixSeconds,
    pub(super) etag: HeaderValue,
    /// It repeats a nonce, so it answers one question and no other.
    pub(super) once: bool,
    signer: Serial,
}

impl Answer {
    pub(super) fn new(signed: OcspAnswer, status: OcspStatus, signer: Serial, once: bool) -> Self {
        let etag = HeaderValue::try_from(format!("\"{}\"", Thumbprint::of(&signed.der)));
        Self {
            etag: etag.unwrap_or(HeaderValue::from_static("\"\"")),
            der: signed.der.into(),
            status,
            this_update: UnixSeconds(signed.this_update.unix_timestamp()),
            next_update: UnixSeconds(signed.next_update.unix_timestamp()),
            once,
            signer,
        }
    }

    /// Half of its life is left.
    fn is_fresh(&self, now: UnixSeconds) -> bool {
        now.0 >= self.this_update.0 && now.0 < self.this_update.0 + (self.next_update.0 - self.this_update.0) / 2
    }
}

/// The answers without a nonce, by what was asked. The question's own octets are the key: an answer repeats them.
pub(super) struct Answers(Cache<CertificateId, Answer>);

impl Answers {
    pub(super) fn new() -> Self {
        let weigh = |_: &CertificateId, answer: &Answer| {
            u32::try_from(answer.der.len()).unwrap_or(u32::MAX).saturating_add(OVERHEAD_BYTES)
        };
        Self(Cache::builder().weigher(weigh).max_capacity(ANSWERS_BYTES_MAX).build())
    }

    /// The answer that is there, if it still says what is so, and by the delegate that signs now.
    pub(super) fn get(
        &self,
        id: &CertificateId,
        status: OcspStatus,
        delegate: &Delegate,
        now: UnixSeconds,
    ) -> Option<Answer> {
        let answer = self.0.get(id)?;
        let signer = delegate.signer.as_ref().map(|signer| signer.serial());
        (answer.status == status && Some(answer.signer) == signer && answer.is_fresh(now)).then_some(answer)
    }

    pub(super) fn keep(&self, id: CertificateId, answer: Answer) {
        self.0.insert(id, answer);
    }
}
