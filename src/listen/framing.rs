//! A guard before hyper's HTTP/1.1 parser. hyper takes Content-Length together with Transfer-Encoding, a missing or
//! doubled Host, and bare line feeds; a proxy behind another parser must refuse all of them, or the two disagree on where
//! a request ends (request smuggling, RFC 9112 §11.2).
//!
//! The guard follows the framing itself and hands bytes on only by whole, judged heads. A head it refuses is replaced by
//! a stand-in that the service answers with the reason; the stand-in's number on the connection ties the two together, so
//! a pipelined good request before it is still served.

mod head;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

pub(super) use head::HEAD_BYTES_MAX;
pub use head::HEADERS_MAX;
pub use head::Violation;
use head::{Following, chunk_size, framing_of, head_end, header_line};

/// A chunk-size line with its extensions.
const CHUNK_LINE_BYTES_MAX: usize = 256;
/// The trailer section.
const TRAILER_BYTES_MAX: usize = 4 * 1024;
/// How much is read from the socket at once.
const READ_BYTES: usize = 8 * 1024;
/// After a refused head, what the client still sends is read this long, so that closing does not destroy the answer.
const LINGER: Duration = Duration::from_millis(250);
const LINGER_BYTES_MAX: usize = 64 * 1024;
/// What hyper reads in place of a refused head.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: portcullis.invalid\r\nconnection: close\r\n\r\n";

/// What the guard found on one connection.
#[derive(Debug, Default)]
pub struct Verdicts {
    refused: OnceLock<(u64, Violation)>,
}

impl Verdicts {
    /// The violation of request `number` (from 0), if that is the refused one.
    pub fn of(&self, number: u64) -> Option<Violation> {
        self.refused.get().filter(|(refused, _)| *refused == number).map(|(_, violation)| *violation)
    }

    /// Whether anything was refused: the connection closes after the answer.
    pub fn any(&self) -> bool {
        self.refused.get().is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head {
        scanned: usize,
    },
    /// A body of known length: bytes still to come.
    Fixed(u64),
    ChunkLine,
    /// Data of a chunk and the CRLF after it: bytes still to come.
    ChunkData(u64),
    ChunkEnd,
    Trailers {
        passed: usize,
    },
    Refused,
}

/// The guarded stream. Reads are judged; writes pass.
#[derive(Debug)]
pub struct StrictHttp1<S> {
    inner: S,
    /// Read, not yet judged.
    raw: BytesMut,
    /// Judged, for hyper.
    judged: BytesMut,
    state: State,
    heads: u64,
    verdicts: Arc<Verdicts>,
    ended: bool,
    lingering: Option<Linger>,
}

#[derive(Debug)]
struct Linger {
    deadline: Pin<Box<tokio::time::Sleep>>,
    bytes_left: usize,
}

impl<S> StrictHttp1<S> {
    pub fn new(inner: S) -> (Self, Arc<Verdicts>) {
        let verdicts = Arc::new(Verdicts::default());
        let stream = Self {
            inner,
            raw: BytesMut::new(),
            judged: BytesMut::new(),
            state: State::Head { scanned: 0 },
            heads: 0,
            verdicts: Arc::clone(&verdicts),
            ended: false,
            lingering: None,
        };
        (stream, verdicts)
    }

    /// Moves what can be judged from `raw` to `judged`. An error is a broken body: the connection cannot go on.
    fn judge(&mut self) -> io::Result<()> {
        loop {
            match self.state {
                State::Refused => {
                    self.raw.clear();
                    return Ok(());
                }
                State::Head { scanned } => match self.judge_head(scanned) {
                    Ok(Some(next)) => self.state = next,
                    Ok(None) => return Ok(()),
                    Err(violation) => self.refuse(violation),
                },
                State::Fixed(left) => {
                    let left = self.pass(left);
                    if left > 0 {
                        self.state = State::Fixed(left);
                        return Ok(());
                    }
                    self.state = State::Head { scanned: 0 };
                }
                State::ChunkLine => {
                    let Some(line) = self.line(CHUNK_LINE_BYTES_MAX)? else { return Ok(()) };
                    let size = chunk_size(&self.raw[..line]).ok_or_else(|| broken("malformed chunk size"))?;
                    self.forward(line + 2);
                    self.state = if size == 0 { State::Trailers { passed: 0 } } else { State::ChunkData(size) };
                }
                State::ChunkData(left) => {
                    let left = self.pass(left);
                    if left > 0 {
                        self.state = State::ChunkData(left);
                        return Ok(());
                    }
                    self.state = State::ChunkEnd;
                }
                State::ChunkEnd => {
                    if self.raw.len() < 2 {
                        return Ok(());
                    }
                    if &self.raw[..2] != b"\r\n" {
                        return Err(broken("a chunk is longer than its size says"));
                    }
                    self.forward(2);
                    self.state = State::ChunkLine;
                }
                State::Trailers { passed } => {
                    let Some(line) = self.line(TRAILER_BYTES_MAX.saturating_sub(passed))? else { return Ok(()) };
                    let last = line == 0;
                    if !last && header_line(&self.raw[..line]).is_err() {
                        return Err(broken("malformed trailer"));
                    }
                    self.forward(line + 2);
                    self.state =
                        if last { State::Head { scanned: 0 } } else { State::Trailers { passed: passed + line + 2 } };
                }
            }
        }
    }

    /// `None`: the head is not complete yet.
    fn judge_head(&mut self, scanned: usize) -> Result<Option<State>, Violation> {
        // RFC 9112 §2.2: an empty line before the request line is to be ignored.
        while scanned == 0 && self.raw.starts_with(b"\r\n") {
            self.raw.advance(2);
        }
        let Some(end) = head_end(&self.raw, scanned)? else {
            if self.raw.len() > HEAD_BYTES_MAX {
                return Err(Violation::TooLarge);
            }
            // A CR at the end may be half of a line break: it is looked at again with its LF.
            let half = usize::from(self.raw.last() == Some(&b'\r'));
            self.state = State::Head { scanned: self.raw.len() - half };
            return Ok(None);
        };
        if end > HEAD_BYTES_MAX {
            return Err(Violation::TooLarge);
        }
        let next = match framing_of(&self.raw[..end])? {
            Following::Nothing => State::Head { scanned: 0 },
            Following::Fixed(length) => State::Fixed(length),
            Following::Chunks => State::ChunkLine,
        };
        self.forward(end);
        self.heads += 1;
        Ok(Some(next))
    }

    fn refuse(&mut self, violation: Violation) {
        // First come, first told: nothing after a refused head is read.
        let _ = self.verdicts.refused.set((self.heads, violation));
        self.judged.extend_from_slice(STAND_IN);
        self.state = State::Refused;
    }

    /// Passes up to `left` body bytes on; returns what is still to come.
    fn pass(&mut self, left: u64) -> u64 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.raw.len());
        self.forward(count);
        left - count as u64
    }

    fn forward(&mut self, count: usize) {
        let part = self.raw.split_to(count);
        if self.judged.is_empty() {
            self.judged = part;
        } else {
            self.judged.extend_from_slice(&part);
        }
    }

    /// Length of the next line without its CRLF; `None` if it is not whole yet.
    fn line(&self, max: usize) -> io::Result<Option<usize>> {
        let window = &self.raw[..self.raw.len().min(max + 2)];
        match window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            Some(at) if window[at] == b'\n' => Err(broken("a bare LF in a chunked body")),
            Some(at) if at + 1 == self.raw.len() => Ok(None),
            Some(at) if window.get(at + 1) == Some(&b'\n') => Ok(Some(at)),
            Some(_) => Err(broken("a bare CR in a chunked body")),
            None if self.raw.len() > max => Err(broken("a chunk line or trailer is too long")),
            None => Ok(None),
        }
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictHttp1<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.judged.is_empty() {
                let count = this.judged.len().min(buf.remaining());
                buf.put_slice(&this.judged[..count]);
                this.judged.advance(count);
                return Poll::Ready(Ok(()));
            }
            if this.state == State::Refused {
                // An end of file here would make hyper drop the answer; the stand-in's `connection: close` ends it.
                return Poll::Pending;
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            this.raw.reserve(READ_BYTES);
            let read = ready!(poll_read_buf(Pin::new(&mut this.inner), cx, &mut this.raw))?;
            if read == 0 {
                this.ended = true;
                continue;
            }
            this.judge()?;
        }
    }
}

impl<S: AsyncRead + Unpin> StrictHttp1<S> {
    /// Reads away what a refused client still sends: closing with unread bytes would reset the connection under the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(linger) = &mut self.lingering else { return Poll::Ready(()) };
        let mut scratch = [0_u8; 2048];
        loop {
            if linger.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut window = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut window)) {
                Ok(()) if window.filled().is_empty() || window.filled().len() > linger.bytes_left => {
                    return Poll::Ready(());
                }
                Ok(()) => linger.bytes_left -= window.filled().len(),
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictHttp1<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.state != State::Refused {
            return Pin::new(&mut this.inner).poll_shutdown(cx);
        }
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            let deadline = Box::pin(tokio::time::sleep(LINGER));
            this.lingering = Some(Linger { deadline, bytes_left: LINGER_BYTES_MAX });
        }
        this.poll_linger(cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
