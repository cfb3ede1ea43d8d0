//! A stream that counts what passes: put under TLS, it sees what a network would, less the headers of TCP and IP.

use std::io;
use std::ops::Sub;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes in both directions, as the client sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    pub sent: u64,
    pub received: u64,
}

impl Sub for Bytes {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { sent: self.sent.saturating_sub(earlier.sent), received: self.received.saturating_sub(earlier.received) }
    }
}

/// The count of one stream, readable while the stream is in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Meter {
    /// Since the stream was made.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes { sent: self.0.sent.load(Ordering::Relaxed), received: self.0.received.load(Ordering::Relaxed) }
    }
}

/// The counting stream.
#[derive(Debug)]
pub(super) struct Counted<S> {
    inner: S,
    meter: Meter,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S) -> (Self, Meter) {
        let meter = Meter::default();
        (Self { inner, meter: meter.clone() }, meter)
    }

    fn sent(&self, count: usize) -> usize {
        self.meter.0.sent.fetch_add(count as u64, Ordering::Relaxed);
        count
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let count = buf.filled().len().saturating_sub(before);
        self.meter.0.received.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        Poll::Ready(Ok(self.sent(count)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        Poll::Ready(Ok(self.sent(count)))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn both_directions_are_counted_and_nothing_twice() {
        // Sixteen bytes fit: longer writes come in parts.
        let (near, mut far) = tokio::io::duplex(16);
        let (mut counted, meter) = Counted::new(near);
        let writer = tokio::spawn(async move {
            counted.write_all(&[7; 100]).await.unwrap();
            counted.flush().await.unwrap();
            let mut answer = Vec::new();
            counted.read_to_end(&mut answer).await.unwrap();
            answer.len()
        });
        let mut got = [0; 100];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(meter.bytes(), Bytes { sent: 100, received: 0 });
        far.write_all(&[8; 33]).await.unwrap();
        drop(far);
        assert_eq!(writer.await.unwrap(), 33);
        let end = meter.bytes();
        assert_eq!(end, Bytes { sent: 100, received: 33 });
        assert_eq!(end - Bytes { sent: 90, received: 3 }, Bytes { sent: 10, received: 30 });
    }
}
