//! Bytes that two parsers read differently never reach the second parser.

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{Gateway, GatewayOptions, RawConnection, SessionOptions, Upstream};

struct Scene {
    gateway: Gateway,
    upstream: Upstream,
    host: String,
    key: String,
}

impl Scene {
    async fn start() -> Self {
        let upstream = Upstream::start().await;
        let action = format!("{{ proxy = {{ upstream = \"{}\" }} }}", upstream.url());
        let proxied = route("\"GET\", \"POST\"", "/up/{*rest}", &action);
        let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &proxied]))).await;
        let (host, key) = (gateway.address("gateway").to_string(), gateway.acme().api_key);
        Self { gateway, upstream, host, key }
    }

    async fn connect(&self) -> RawConnection {
        RawConnection::open(&self.gateway, &SessionOptions::default()).await
    }

    /// `HOST` and `KEY` stand for good header lines.
    fn request(&self, text: &str) -> Vec<u8> {
        let key = format!("x-api-key: {}\r\n", self.key);
        text.replace("HOST", &format!("Host: {}\r\n", self.host)).replace("KEY", &key).into_bytes()
    }
}

/// Refused for their head, whatever follows.
const BAD_HEADS: &[(&str, &str)] = &[
    (
        "length, then chunked",
        "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked, then length",
        "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    ),
    ("two lengths", "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
    ("one length twice", "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"),
    ("a list of lengths", "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: 4, 4\r\n\r\nabcd"),
    ("a signed length", "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: +4\r\n\r\nabcd"),
    ("a negative length", "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: -1\r\n\r\n"),
    ("a hexadecimal length", "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: 0x4\r\n\r\nabcd"),
    ("an empty length", "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length:\r\n\r\n"),
    ("a length beyond numbers", "POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: 99999999999999999999\r\n\r\n"),
    ("another coding", "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("identity", "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding: identity\r\n\r\n"),
    (
        "chunked twice",
        "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("chunked in disguise", "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("a quoted coding", "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("chunked with HTTP/1.0", "POST /up/x HTTP/1.0\r\nHOSTKEYTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a blank before the colon", "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("a blank before the name", "POST /up/x HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHOSTKEY\r\n0\r\n\r\n"),
    ("a folded line", "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("a control character", "POST /up/x HTTP/1.1\r\nHOSTKEYX-A: a\u{1}b\r\n\r\n"),
    ("no colon", "GET /up/x HTTP/1.1\r\nHOSTKEYX-A\r\n\r\n"),
    ("no name", "GET /up/x HTTP/1.1\r\nHOSTKEY: x\r\n\r\n"),
    ("no host", "GET /up/x HTTP/1.1\r\nKEY\r\n"),
    ("two hosts", "GET /up/x HTTP/1.1\r\nHOSTHOSTKEY\r\n"),
    ("two hosts that differ", "GET /up/x HTTP/1.1\r\nHOSTHost: evil.example\r\nKEY\r\n"),
    ("a bare line feed", "GET /up/x HTTP/1.1\r\nHOSTKEYX-A: a\nX-B: b\r\n\r\n"),
    ("line feeds only", "GET /up/x HTTP/1.1\nHost: localhost\n\n"),
    ("a bare carriage return", "GET /up/x HTTP/1.1\r\nHOSTKEYX-A: a\rX-B: b\r\n\r\n"),
    ("two blanks", "GET  /up/x HTTP/1.1\r\nHOSTKEY\r\n"),
    ("a tab", "GET\t/up/x HTTP/1.1\r\nHOSTKEY\r\n"),
    ("no version", "GET /up/x\r\nHOSTKEY\r\n"),
    ("another version", "GET /up/x HTTP/1.2\r\nHOSTKEY\r\n"),
    ("the version of another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("a target with a blank", "GET /up/x y HTTP/1.1\r\nHOSTKEY\r\n"),
    ("a method that is no token", "GE{T /up/x HTTP/1.1\r\nHOSTKEY\r\n"),
];

#[tokio::test]
async fn an_ambiguous_head_is_refused_and_the_connection_ends() {
    let scene = Scene::start().await;
    for (what, text) in BAD_HEADS {
        let mut raw = scene.connect().await;
        // What a smuggler would hide behind it must not be read as a request.
        let mut bytes = scene.request(text);
        bytes.extend_from_slice(&scene.request("GET /up/smuggled HTTP/1.1\r\nHOSTKEY\r\n"));
        raw.send(&bytes).await;
        let answer = raw.answer().await;
        assert_eq!(answer.problem(), (400, "malformed_request".to_owned()), "{what}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
        assert!(raw.is_closed().await, "{what}");
        let row = scene.gateway.decision(answer.decision_id()).await;
        assert_eq!(row.outcome, "malformed_request", "{what}");
    }
    assert_eq!(scene.upstream.connections(), 0, "{:?}", scene.upstream.seen());
}

#[tokio::test]
async fn a_good_request_before_a_bad_one_is_served() {
    let scene = Scene::start().await;
    for (what, text) in BAD_HEADS {
        let before = scene.upstream.seen().len();
        let mut raw = scene.connect().await;
        let mut bytes = scene.request("POST /up/first HTTP/1.1\r\nHOSTKEYContent-Length: 5\r\n\r\nfirst");
        bytes.extend_from_slice(&scene.request(
            "POST /up/second HTTP/1.1\r\nHOSTKEYTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n",
        ));
        bytes.extend_from_slice(&scene.request(text));
        raw.send(&bytes).await;
        for expected in ["first", "second"] {
            let answer = raw.answer().await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, expected.as_bytes()), "{what}");
        }
        let answer = raw.answer().await;
        assert_eq!(answer.problem(), (400, "malformed_request".to_owned()), "{what}");
        assert!(raw.is_closed().await, "{what}");
        let targets: Vec<_> = scene.upstream.seen()[before..].iter().map(|seen| seen.target.clone()).collect();
        assert_eq!(targets, ["/up/first", "/up/second"], "{what}");
    }
}

#[tokio::test]
async fn a_head_in_single_bytes_is_judged_as_one() {
    let scene = Scene::start().await;
    let mut raw = scene.connect().await;
    for byte in scene.request("POST /up/slow HTTP/1.1\r\nHOSTKEYContent-Length: 4\r\n\r\nslow") {
        raw.send(&[byte]).await;
    }
    let answer = raw.answer().await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"slow"[..]));
    for byte in scene.request("POST /up/x HTTP/1.1\r\nHOSTKEYContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n") {
        raw.send(&[byte]).await;
    }
    assert_eq!(raw.answer().await.problem(), (400, "malformed_request".to_owned()));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_too_large() {
    let scene = Scene::start().await;
    for (what, text) in [
        ("a long target", format!("GET /up/{} HTTP/1.1\r\nHOSTKEY\r\n", "x".repeat(20_000))),
        ("a long line", format!("GET /up/x HTTP/1.1\r\nHOSTKEYX-A: {}\r\n\r\n", "x".repeat(20_000))),
        ("many lines", format!("GET /up/x HTTP/1.1\r\nHOSTKEY{}\r\n", "X-A: b\r\n".repeat(101))),
    ] {
        let mut raw = scene.connect().await;
        raw.send(&scene.request(&text)).await;
        let answer = raw.answer().await;
        assert_eq!(answer.problem(), (431, "head_too_large".to_owned()), "{what}");
        assert!(raw.is_closed().await, "{what}");
    }
    let mut raw = scene.connect().await;
    raw.send(&scene.request(&format!("GET /up/x HTTP/1.1\r\nHOSTKEY{}\r\n", "X-A: b\r\n".repeat(90)))).await;
    assert_eq!(raw.answer().await.status, 200);
    // Host and key are two of the hundred that are taken.
    raw.send(&scene.request(&format!("GET /nowhere HTTP/1.1\r\nHOSTKEY{}\r\n", "X-A: b\r\n".repeat(98)))).await;
    assert_eq!(raw.answer().await.problem(), (404, "route_not_found".to_owned()));
    assert_eq!(scene.upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_broken_body_ends_the_connection_and_is_never_the_next_request() {
    let scene = Scene::start().await;
    for (what, body) in [
        ("a chunk that is longer than it says", "3\r\nabcd\r\n0\r\n\r\n"),
        ("a size that is no number", "xyz\r\nabc\r\n0\r\n\r\n"),
        ("a size with a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a size with a prefix", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a size with a blank", " 3\r\nabc\r\n0\r\n\r\n"),
        ("a size beyond numbers", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("a bare line feed after the size", "3\nabc\r\n0\r\n\r\n"),
        ("a bare line feed after the data", "3\r\nabc\n0\r\n\r\n"),
        ("a bare line feed in an extension", "3;a=\nx\r\nabc\r\n0\r\n\r\n"),
        ("an endless extension", &format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(5000))),
        ("a bad trailer", "3\r\nabc\r\n0\r\nno colon\r\n\r\n"),
        ("an endless trailer", &format!("3\r\nabc\r\n0\r\nX-A: {}\r\n\r\n", "x".repeat(9000))),
    ] {
        let mut raw = scene.connect().await;
        let mut bytes = scene.request("POST /up/broken HTTP/1.1\r\nHOSTKEYTransfer-Encoding: chunked\r\n\r\n");
        bytes.extend_from_slice(body.as_bytes());
        bytes.extend_from_slice(&scene.request("GET /up/smuggled HTTP/1.1\r\nHOSTKEY\r\n"));
        raw.send(&bytes).await;
        raw.ends_without_success(what).await;
    }
    let seen = scene.upstream.seen();
    assert!(seen.iter().all(|seen| seen.target != "/up/smuggled"), "{seen:?}");
}

#[tokio::test]
async fn trailers_and_extensions_that_are_well_formed_pass_and_are_dropped() {
    let scene = Scene::start().await;
    let mut raw = scene.connect().await;
    raw.send(&scene.request(
        "POST /up/x HTTP/1.1\r\nHOSTKEYTransfer-Encoding: chunked\r\nTrailer: x-portcullis-client\r\n\r\n\
         3;name=value\r\nabc\r\n0\r\nX-Portcullis-Client: admin\r\n\r\n",
    ))
    .await;
    let answer = raw.answer().await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"abc"[..]));
    raw.send(&scene.request("GET /up/after HTTP/1.1\r\nHOSTKEY\r\n")).await;
    assert_eq!(raw.answer().await.status, 200);
    let seen = scene.upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].header("x-portcullis-client"), Some("acme-orders"));
    assert_eq!(seen[0].header("trailer"), None);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_the_next_request() {
    let scene = Scene::start().await;
    let hidden = "GET /up/smuggled HTTP/1.1\r\nHOSTKEY\r\n";
    let hidden = String::from_utf8(scene.request(hidden)).unwrap();
    for (what, path, key, status) in [
        ("denied", "/up/x", "x-api-key: wrong\r\n", 401),
        ("without a route", "/nowhere", "KEY", 404),
        ("malformed", "/a//b", "KEY", 400),
    ] {
        for chunked in [false, true] {
            let framed = if chunked {
                format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len())
            } else {
                format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len())
            };
            let mut raw = scene.connect().await;
            raw.send(&scene.request(&format!("POST {path} HTTP/1.1\r\nHOST{key}{framed}"))).await;
            assert_eq!(raw.answer().await.status, status, "{what} chunked {chunked}");
            // Either the connection ends, or it goes on with what really is the next request.
            raw.send_if_open(&scene.request("GET /test/hello-world HTTP/1.1\r\nHOSTKEY\r\n")).await;
            if let Some(answer) = raw.answer_if_open().await {
                assert_eq!(answer.body, r#"{"message": "hello world!"}"#, "{what} chunked {chunked}");
            }
        }
    }
    assert_eq!(scene.upstream.connections(), 0, "{:?}", scene.upstream.seen());
}
