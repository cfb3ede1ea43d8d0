//! What one request head says of where it ends and what follows it. Pure: bytes in, verdict out.

/// A request head, request line included, may not be longer.
pub(in crate::listen) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines in one head.
pub const HEADERS_MAX: usize = 100;

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
    /// A trusted proxy does not say who called.
    #[error("the header in which proxies name the caller came more than once or cannot be read")]
    Forwarded,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Following {
    Nothing,
    /// A body of so many bytes.
    Fixed(u64),
    Chunks,
}

/// Where the head ends (after the empty line), looking from `from` on. Every line break must be CRLF.
pub(super) fn head_end(raw: &[u8], from: usize) -> Result<Option<usize>, Violation> {
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
pub(super) fn framing_of(head: &[u8]) -> Result<Following, Violation> {
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
        (true, None) => Ok(Following::Chunks),
        (false, Some(length)) if length > 0 => Ok(Following::Fixed(length)),
        (false, _) => Ok(Following::Nothing),
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
    // A fragment is for the client alone (RFC 9112 §3.2); programs differ on whether it ends the path.
    if target.is_empty() || !target.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'#') {
        return Err(Violation::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(Violation::RequestLine),
    }
}

/// Splits `name: value`, refusing everything that two parsers read differently.
pub(super) fn header_line(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
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

/// The size that a chunk line begins with; `None` if it is not plain hexadecimal.
pub(super) fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    if line.iter().any(|byte| *byte < 0x20 && *byte != b'\t') {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
