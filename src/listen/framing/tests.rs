use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use super::{STAND_IN, StrictHttp1, Violation};

/// What hyper would read, and the refused request, when the bytes come in pieces of `piece`.
fn through(bytes: &[u8], piece: usize) -> (std::io::Result<Vec<u8>>, Option<(u64, Violation)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut builder = tokio_io_mock(bytes, piece);
        let (mut stream, verdicts) = StrictHttp1::new(&mut builder);
        let mut out = Vec::new();
        let mut buffer = [0_u8; 1000];
        let result = loop {
            tokio::select! {
                biased;
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => break Ok(out),
                    Ok(count) => out.extend_from_slice(&buffer[..count]),
                    Err(error) => break Err(error),
                },
                () = std::future::ready(()) => break Ok(out),
            }
        };
        (result, verdicts.refused.get().copied())
    })
}

/// A reader that gives `piece` bytes at a time, then the end.
fn tokio_io_mock(bytes: &[u8], piece: usize) -> impl tokio::io::AsyncRead + Unpin {
    struct Pieces(Vec<u8>, usize, usize);
    impl tokio::io::AsyncRead for Pieces {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let end = (self.1 + self.2).min(self.0.len());
            let end = end.min(self.1 + buf.remaining());
            let part = self.0[self.1..end].to_vec();
            buf.put_slice(&part);
            self.1 = end;
            std::task::Poll::Ready(Ok(()))
        }
    }
    Pieces(bytes.to_vec(), 0, piece.max(1))
}

const GOOD: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET /x?y=z HTTP/1.1\r\nhost:a\r\nX-Empty:\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: v\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab\ncd\nGET / HTTP/1.0\r\nHost: a\r\n\r\n",
];

#[test]
fn good_requests_pass_unchanged_however_they_are_cut() {
    for bytes in GOOD {
        for piece in [1, 2, 3, 7, 64, 4096] {
            let (out, refused) = through(bytes, piece);
            let expected = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
            assert_eq!(String::from_utf8_lossy(&out.unwrap()), String::from_utf8_lossy(expected));
            assert_eq!(refused, None);
        }
    }
}

#[test]
fn ambiguous_heads_never_pass() {
    let long = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &[b'a'; 20_000], b"\r\n\r\n"].concat();
    let cases: &[(&[u8], Violation)] = &[
        (b"GET / HTTP/1.1\nHost: a\n\n", Violation::BareLineBreak),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Violation::BareLineBreak),
        (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", Violation::BareLineBreak),
        (b"GET / HTTP/1.1\r\n\r\n", Violation::Host),
        (b"GET / HTTP/1.0\r\n\r\n", Violation::Host),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Violation::Host),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Violation::Host),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            Violation::AmbiguousLength,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            Violation::AmbiguousLength,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", Violation::ContentLength),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", Violation::ContentLength),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", Violation::ContentLength),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Violation::TransferEncoding),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::TransferEncoding),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Violation::HeaderLine),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", Violation::FoldedHeader),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", Violation::HeaderLine),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Violation::RequestLine),
        (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", Violation::RequestLine),
        (&long, Violation::TooLarge),
    ];
    for (bytes, violation) in cases {
        for piece in [1, 5, 4096] {
            let (out, refused) = through(bytes, piece);
            assert_eq!(refused, Some((0, *violation)), "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
            assert_eq!(out.unwrap(), STAND_IN);
        }
    }
}

#[test]
fn a_good_request_before_a_bad_one_is_still_served() {
    let bytes = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    let (out, refused) = through(bytes, 4096);
    assert_eq!(refused, Some((1, Violation::Host)));
    assert_eq!(out.unwrap(), [b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), STAND_IN].concat());
}

#[test]
fn broken_chunks_end_the_connection() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n",
        "5\r\nhelloXX",
        " 5\r\nhello\r\n",
        "5\rhello",
        "-1\r\n",
        "0\r\nbad trailer\r\n\r\n",
    ] {
        let (out, _) = through(format!("{head}{body}").as_bytes(), 4096);
        assert!(out.is_err(), "{body:?}");
    }
}

proptest! {
    /// However bytes are cut, hyper sees the same; and nothing makes the guard panic.
    #[test]
    fn cutting_changes_nothing(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(b'a'), any::<u8>()], 0..200), piece in 1_usize..50) {
        let mut request = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        request.extend_from_slice(&bytes);
        let (whole, refused) = through(&request, 4096);
        let (cut, refused_cut) = through(&request, piece);
        prop_assert_eq!(refused, refused_cut);
        prop_assert_eq!(whole.is_err(), cut.is_err());
        if let (Ok(whole), Ok(cut)) = (whole, cut) { prop_assert_eq!(whole, cut); }
    }
}
