//! Counts the bytes of bodies that pass through, to their end or to where they break off.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::{Counts, Key, Usage};

/// The bytes of one request. What passes before the answer's head is counted with the request; what passes later is counted when
/// the last body is gone, in the hour that it is then: an hour that is over does not change.
pub struct Meter {
    usage: Usage,
    key: OnceLock<Key>,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    /// Whether bodies are counted here, and whether the answer's is one of them.
    passes: AtomicBool,
    gives: AtomicBool,
}

impl Meter {
    pub fn new(usage: &Usage) -> Arc<Self> {
        Arc::new(Self {
            usage: usage.clone(),
            key: OnceLock::new(),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            passes: AtomicBool::new(false),
            gives: AtomicBool::new(false),
        })
    }

    /// So much of the request's body was read.
    pub fn took(&self, bytes: usize) {
        self.request_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The request's body, counted as it passes.
    pub fn taking<B>(self: &Arc<Self>, body: B) -> Metered<B> {
        self.passes.store(true, Ordering::Relaxed);
        Metered { body, meter: Arc::clone(self), takes: true }
    }

    /// The answer's body, counted as it passes.
    pub fn giving<B>(self: &Arc<Self>, body: B) -> Metered<B> {
        self.passes.store(true, Ordering::Relaxed);
        self.gives.store(true, Ordering::Relaxed);
        Metered { body, meter: Arc::clone(self), takes: false }
    }

    /// Whether the answer's body is counted here.
    pub fn gives(&self) -> bool {
        self.gives.load(Ordering::Relaxed)
    }

    /// What has passed so far, once.
    pub fn read(&self) -> (u64, u64) {
        (self.request_bytes.swap(0, Ordering::Relaxed), self.response_bytes.swap(0, Ordering::Relaxed))
    }

    /// Says what all later bytes belong to.
    pub fn belongs_to(&self, key: &Key) {
        if self.passes.load(Ordering::Relaxed) {
            let _ = self.key.set(key.clone());
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let (request_bytes, response_bytes) = self.read();
        if let Some(mut key) = self.key.take()
            && request_bytes + response_bytes > 0
        {
            key.hour = self.usage.hour();
            self.usage.add(key, &Counts { request_bytes, response_bytes, ..Counts::default() });
        }
    }
}

/// A body that is counted.
pub struct Metered<B> {
    body: B,
    meter: Arc<Meter>,
    takes: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Metered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let count = if self.takes { &self.meter.request_bytes } else { &self.meter.response_bytes };
            count.fetch_add(data.remaining() as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
