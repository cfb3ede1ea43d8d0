//! A guard before hyper's HTTP/1.1 parser. hyper takes Content-Length together with Transfer-Encoding, a missing or
//! doubled Host, and bare line feeds; a proxy behind another parser must refuse all of them, or the two disagree on where
//! a request ends (request smuggling, RFC 9112 §11.2).
//!
//! The guard follows the framing itself and hands bytes on only by whole, judged heads. A head it refuses is replaced by
//! a stand-in that the service answers with the reason; the stand-in's number on the connection ties the two together, so
//! a pipelined good request before it is still served.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A request head, request line included, may not be longer.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines in one head.
pub(super) const HEADERS_MAX: usize = 100;
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

/// Why a head was refused. `Display` is fit for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("lines must end in CRLF; a bare CR or LF was found")]
    BareLineBreak,
    #[error("the request line must be METHOD, target and HTTP/1.1, with one space between")]
    RequestLine,
    #[error("a header line is malformed: no colon, a space before the colon, or a character that is not allowed")]
    HeaderLine,
    #[error("header values may not be folded over several lines")]
    FoldedHeader,
    #[error("exactly one Host header is required")]
    Host,
    #[error("Content-Length must be given once, in digits")]
    ContentLength,
    #[error("the only Transfer-Encoding is chunked, given once")]
    TransferEncoding,
    #[error("Content-Length and Transfer-Encoding may not come together")]
    AmbiguousLength,
    #[error("the request head is larger than 16 KiB or has more than 100 header lines")]
    TooLarge,
}

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
    Head { scanned: usize },
    /// A body of known length: bytes still to come.
    Fixed(u64),
    ChunkLine,
    /// Data of a chunk and the CRLF after it: bytes still to come.
    ChunkData(u64),
    ChunkEnd,
    Trailers { passed: usize },
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
        let next = framing_of(&self.raw[..end])?;
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

/// Where the head ends (after the empty line), looking from `from` on. Every line break must be CRLF.
fn head_end(raw: &[u8], from: usize) -> Result<Option<usize>, Violation> {
    let mut at = from;
    while let Some(offset) = raw[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        at += offset;
        if raw[at] == b'\n' {
            return Err(Violation::BareLineBreak);
        }
        match raw.get(at + 1) {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(_) => return Err(Violation::BareLineBreak),
        }
        if at >= 2 && &raw[at - 2..at] == b"\r\n" {
            return Ok(Some(at + 2));
        }
        at += 2;
    }
    Ok(None)
}

/// Judges a whole head and says what follows it.
fn framing_of(head: &[u8]) -> Result<State, Violation> {
    let mut lines = Lines(head);
    let request_line = lines.next().ok_or(Violation::RequestLine)?;
    let old = request_version(request_line)?;
    let (mut hosts, mut length, mut chunked, mut count) = (0_u32, None::<u64>, false, 0_usize);
    for line in lines {
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > HEADERS_MAX {
            return Err(Violation::TooLarge);
        }
        let (name, value) = header_line(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            // Twice the same is refused too: an upstream may read "5, 5" otherwise than we do.
            if length.is_some() {
                return Err(Violation::ContentLength);
            }
            length = Some(content_length(value).ok_or(Violation::ContentLength)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || old || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Violation::TransferEncoding);
            }
            chunked = true;
        }
    }
    if hosts != 1 {
        return Err(Violation::Host);
    }
    match (chunked, length) {
        (true, Some(_)) => Err(Violation::AmbiguousLength),
        (true, None) => Ok(State::ChunkLine),
        (false, Some(length)) if length > 0 => Ok(State::Fixed(length)),
        (false, _) => Ok(State::Head { scanned: 0 }),
    }
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let at = self.0.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, rest) = (&self.0[..at], &self.0[at + 2..]);
        self.0 = rest;
        Some(line)
    }
}

/// Checks `METHOD SP target SP HTTP/1.x`; `true` for HTTP/1.0.
fn request_version(line: &[u8]) -> Result<bool, Violation> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Violation::RequestLine);
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(Violation::RequestLine);
    }
    if target.is_empty() || !target.iter().all(|byte| (0x21..0x7f).contains(byte)) {
        return Err(Violation::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(Violation::RequestLine),
    }
}

/// Splits `name: value`, refusing everything that two parsers read differently.
fn header_line(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Violation::FoldedHeader);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Violation::HeaderLine)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Violation::HeaderLine);
    }
    if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
        return Err(Violation::HeaderLine);
    }
    Ok((name, value.trim_ascii()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Digits only: `+3` and ` 3 ` were smuggled past hyper once (CVE-2021-32715).
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    if line.iter().any(|byte| *byte < 0x20 && *byte != b'\t') {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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
            let read = {
                let spare = this.raw.len();
                this.raw.resize(spare + READ_BYTES, 0);
                let mut window = ReadBuf::new(&mut this.raw[spare..]);
                let polled = Pin::new(&mut this.inner).poll_read(cx, &mut window);
                let filled = window.filled().len();
                this.raw.truncate(spare + filled);
                ready!(polled)?;
                filled
            };
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
