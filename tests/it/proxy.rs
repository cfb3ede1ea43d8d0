//! To an upstream and back: what goes through, what does not, and what the upstream may believe.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{
    Gateway, GatewayOptions, Http, Method, Partner, RawConnection, SessionOptions, Upstream, borrowed,
};

const VERBS: &str = "\"GET\", \"POST\", \"PUT\", \"DELETE\"";

fn proxied(path: &str, upstream: &str, more: &str) -> String {
    route(VERBS, path, &format!("{{ proxy = {{ upstream = \"{upstream}\"{more} }} }}"))
}

fn policy(routes: &[String]) -> GatewayOptions {
    GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &routes.concat()]))
}

async fn start(upstream: &Upstream) -> Gateway {
    Gateway::start_with(policy(&[proxied("/up/{*rest}", &upstream.url(), "")])).await
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    const PART: usize = 64 * 1024;
    const PARTS: usize = 120;
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let acme = gateway.acme();
    for http in Http::BOTH {
        let (session, headers) = acme.prepare(&gateway, Method::Certificate, http).await;
        let (send, receive) = mpsc::channel::<Bytes>(1);
        let frames = stream::unfold(receive, |mut receive| async move {
            let part = receive.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(part)), receive))
        });
        let body = StreamBody::new(frames).boxed();
        send.send(Bytes::from_static(b"first")).await.unwrap();
        let answer = session.start("POST", "/up/stream", &borrowed(&headers), body).await.unwrap();
        let mut answer = answer.into_body();
        // The answer begins before the request has ended: nobody waits for the whole of either.
        let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "first", "{http:?}");
        // More than any buffer on the way holds.
        let feeding = tokio::spawn(async move {
            for number in 0..PARTS {
                send.send(Bytes::from(vec![u8::try_from(number).unwrap(); PART])).await.unwrap();
            }
        });
        let rest = answer.collect().await.unwrap().to_bytes();
        feeding.await.unwrap();
        assert_eq!(rest.len(), PART * PARTS, "{http:?}");
        for (number, part) in rest.chunks(PART).enumerate() {
            assert!(part.iter().all(|byte| usize::from(*byte) == number), "{http:?} part {number}");
        }
    }
}

#[tokio::test]
async fn connections_to_an_upstream_are_kept_and_shared() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let acme = gateway.acme();
    for round in 0..3 {
        for method in Method::ALL {
            for http in Http::BOTH {
                let (mut session, headers) = acme.prepare(&gateway, method, http).await;
                let body = format!("{round} {method:?} {http:?}");
                let answer = session.send("POST", "/up/echo", &borrowed(&headers), body.clone()).await.unwrap();
                assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, body.as_bytes()));
            }
        }
    }
    assert_eq!((upstream.seen().len(), upstream.connections()), (18, 1));
}

#[tokio::test]
async fn the_request_arrives_as_it_was_meant() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start_with(policy(&[
        proxied("/up/{*rest}", &upstream.url(), ""),
        proxied("/based/{*rest}", &format!("{}/base", upstream.url()), ""),
        proxied("/hosted", &upstream.url(), ", preserve_host = true"),
    ]))
    .await;
    let acme = gateway.acme();
    for http in Http::BOTH {
        let (mut session, headers) = acme.prepare(&gateway, Method::ApiKey, http).await;
        let mut headers = borrowed(&headers);
        headers.extend([("x-own", "kept"), ("accept", "text/plain"), ("cookie", "a=1"), ("cookie", "b=2")]);
        for (verb, path, target, body) in [
            ("GET", "/up/a%20b/%C3%A9?x=1&y=%2F..%2F&z", "/up/a%20b/%C3%A9?x=1&y=%2F..%2F&z", ""),
            ("POST", "/up/x?", "/up/x?", "body"),
            ("PUT", "/based/y", "/base/based/y", "put"),
            ("DELETE", "/hosted", "/hosted", ""),
        ] {
            let answer = session.send(verb, path, &headers, body).await.unwrap();
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, body.as_bytes()), "{http:?} {verb} {path}");
            let seen = upstream.last();
            assert_eq!((seen.method.as_str(), seen.target.as_str()), (verb, target), "{http:?}");
            assert_eq!(seen.header("x-own"), Some("kept"));
            assert_eq!(seen.header("accept"), Some("text/plain"));
            // RFC 9113 §8.2.3: crumbs are one line in HTTP/1.1.
            assert_eq!(seen.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"], "{http:?}");
            let ours = gateway.address("gateway").to_string();
            let host = if path == "/hosted" { ours.clone() } else { upstream.address.to_string() };
            assert_eq!(seen.header("host"), Some(host.as_str()), "{http:?} {path}");
            assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
            assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
            assert_eq!(seen.header("x-forwarded-host"), Some(ours.as_str()));
            let lengths = seen.headers.get_all("content-length").iter().count();
            assert_eq!(
                lengths + seen.headers.get_all("transfer-encoding").iter().count(),
                usize::from(!body.is_empty())
            );
        }
    }
}

#[tokio::test]
async fn the_upstream_learns_who_asks_and_nothing_that_proved_it() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let acme = gateway.acme();
    for method in Method::ALL {
        for http in Http::BOTH {
            let what = format!("{method:?} {http:?}");
            let (mut session, headers) = acme.prepare(&gateway, method, http).await;
            let answer = session.get("/up/who", &borrowed(&headers)).await;
            assert_eq!(answer.status, 200, "{what}");
            let seen = upstream.last();
            assert_eq!(seen.header("x-portcullis-client"), Some("acme-orders"), "{what}");
            assert_eq!(seen.header("x-portcullis-partner"), Some("acme"), "{what}");
            assert_eq!(seen.header("x-portcullis-scopes"), Some(acme.scope.as_str()), "{what}");
            assert_eq!(seen.header("x-portcullis-decision-id"), Some(answer.decision_id()), "{what}");
            let name = match method {
                Method::Certificate => "mutual_tls",
                Method::ApiKey => "api_key",
                Method::Token => "bearer",
            };
            assert_eq!(seen.header("x-portcullis-method"), Some(name), "{what}");
            for secret in ["x-api-key", "authorization"] {
                assert_eq!(seen.header(secret), None, "{what}");
            }
            // RFC 9440 §2.2: a byte sequence, the DER of the leaf.
            match (method, seen.header("client-cert")) {
                (Method::Certificate, Some(value)) => {
                    let encoded = value.strip_prefix(':').and_then(|value| value.strip_suffix(':')).unwrap();
                    assert_eq!(STANDARD.decode(encoded).unwrap(), acme.identity.chain[0]);
                }
                (_, value) => assert_eq!(value, None, "{what}"),
            }
        }
    }
}

/// What a client might use to speak for us, in the spellings that upstreams fold together.
const FORGED: &[&str] = &[
    "X-Portcullis-Client",
    "x-portcullis-partner",
    "x-portcullis-scopes",
    "x-portcullis-method",
    "x-portcullis-decision-id",
    "x-portcullis-something-new",
    "x_portcullis_client",
    "X-Portcullis_Client",
    "x_portcullis-scopes",
    "client-cert",
    "client-cert-chain",
    "Client_Cert",
    "forwarded",
    "x-forwarded-for",
    "X_Forwarded_For",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-client-cert",
    "x-real-ip",
    "x_real_ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-ssl-client-dn",
];

#[tokio::test]
async fn no_copy_of_our_headers_gets_through() {
    let upstream = Upstream::start().await;
    let public = format!(
        "\n[[route]]\nmethods = [\"GET\"]\npath = \"/public\"\npublic = true\naction = {{ proxy = {{ upstream = \"{}\" }} }}\n",
        upstream.url()
    );
    let gateway = Gateway::start_with(policy(&[proxied("/up/{*rest}", &upstream.url(), ""), public])).await;
    let acme = gateway.acme();
    for method in Method::ALL {
        for http in Http::BOTH {
            for path in ["/up/forged", "/public"] {
                let (mut session, headers) = acme.prepare(&gateway, method, http).await;
                let mut headers = borrowed(&headers);
                for name in FORGED {
                    headers.extend([(*name, "forged"), (*name, "forged-again")]);
                }
                if http == Http::One {
                    // Hop-by-hop names are removed; ours must not be removed with them.
                    headers.push(("connection", "x-portcullis-client, x-portcullis-scopes, x-forwarded-for, close"));
                }
                let answer = session.get(path, &headers).await;
                assert_eq!(answer.status, 200, "{method:?} {http:?}");
                let seen = upstream.last();
                let what = format!("{method:?} {http:?} {path}: {:?}", seen.headers);
                assert!(seen.headers.values().all(|value| !value.as_bytes().starts_with(b"forged")), "{what}");
                assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"), "{what}");
                let client = (path == "/up/forged").then_some("acme-orders");
                assert_eq!(seen.header("x-portcullis-client"), client, "{what}");
                assert_eq!(seen.header("x-portcullis-scopes"), client.map(|_| acme.scope.as_str()), "{what}");
                assert_eq!(seen.header("x-portcullis-decision-id"), Some(answer.decision_id()), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn hop_by_hop_headers_end_at_the_gate_in_both_directions() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let acme = gateway.acme();
    let (mut session, headers) = acme.prepare(&gateway, Method::ApiKey, Http::One).await;
    let mut headers = borrowed(&headers);
    headers.extend([
        ("connection", "keep-alive, x-hop, upgrade"),
        ("x-hop", "hop"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x-later"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic YTpi"),
        ("proxy-connection", "keep-alive"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("expect", "100-continue"),
        ("x-end-to-end", "kept"),
    ]);
    let answer = session.send("POST", "/up/hops", &headers, "body").await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"body"[..]));
    let seen = upstream.last();
    for (name, _) in &headers[1..headers.len() - 1] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-end-to-end"), Some("kept"));
    assert_eq!(answer.header("x-upstream"), Some("yes"));
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(answer.header("x-secret-hop"), None, "named by the upstream's Connection");
    // What an upstream says in our name would be believed by whoever reads the answer.
    assert_eq!(answer.header("x-portcullis-client"), None);
    assert_eq!(answer.headers.get_all("x-portcullis-decision-id").iter().count(), 1);
    assert_eq!(gateway.decision(answer.decision_id()).await.outcome, "allowed");
}

#[tokio::test]
async fn continue_is_said_to_those_who_may_go_on_only() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let acme = gateway.acme();
    let host = gateway.address("gateway");
    let mut raw = RawConnection::open(&gateway, &SessionOptions::default()).await;
    let head = |key: &str| {
        format!(
            "POST /up/x HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    raw.send(head(&acme.api_key).as_bytes()).await;
    assert_eq!(raw.answer().await.status, 100);
    raw.send(b"body").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"body"[..]));
    raw.send(head("wrong").as_bytes()).await;
    assert_eq!(raw.answer().await.status, 401);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    const LIMIT: usize = 100_000;
    let upstream = Upstream::start().await;
    let options = policy(&[proxied("/up/{*rest}", &upstream.url(), "")]);
    let gateway = Gateway::start_with(options.configure(|config| config.limits.body_bytes_max = LIMIT as u64)).await;
    let acme = gateway.acme();
    for http in Http::BOTH {
        for (size, expected) in [(LIMIT, 200), (LIMIT + 1, 413), (10 * LIMIT, 413)] {
            for chunked in [false, true] {
                let what = format!("{http:?} {size} chunked {chunked}");
                let (session, headers) = acme.prepare(&gateway, Method::ApiKey, http).await;
                let parts: Vec<_> = vec![b'x'; size].chunks(7000).map(Bytes::copy_from_slice).collect();
                let body = if chunked {
                    StreamBody::new(stream::iter(parts.into_iter().map(|part| Ok(Frame::data(part))))).boxed()
                } else {
                    http_body_util::Full::from(vec![b'x'; size]).boxed()
                };
                let answer = session.start("POST", "/up/large", &borrowed(&headers), body).await;
                // A server that stops reading may cut the line under a client that goes on writing.
                let Ok(answer) = answer else {
                    assert_eq!(expected, 413, "{what}");
                    continue;
                };
                assert_eq!(answer.status(), expected, "{what}");
                if expected == 413 {
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body["code"], "body_too_large", "{what}");
                }
            }
        }
    }
    let whole = upstream.seen().into_iter().all(|seen| seen.body.len() == LIMIT);
    assert!(whole, "the upstream took nothing that was cut off for a whole request");
}

/// An upstream that does this with each connection.
async fn misbehaving(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                if !matches!(stream.read(&mut request).await, Ok(1..)) {
                    return;
                }
                let _ = stream.write_all(answer).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn an_upstream_s_failure_is_a_bad_gateway_and_says_nothing_of_inside() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let cases = [
        ("nobody", nobody, "upstream_unreachable"),
        ("silent", misbehaving(b"").await, "upstream_broken"),
        ("no-http", misbehaving(b"SSH-2.0-OpenSSH_9.6\r\n").await, "upstream_broken"),
        ("half-a-head", misbehaving(b"HTTP/1.1 200 OK\r\nContent-").await, "upstream_broken"),
        (
            "two-lengths",
            misbehaving(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab").await,
            "upstream_broken",
        ),
        (
            "switched",
            misbehaving(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await,
            "upstream_broken",
        ),
    ];
    let routes: Vec<_> =
        cases.iter().map(|(name, address, _)| proxied(&format!("/{name}"), &format!("http://{address}"), "")).collect();
    let gateway = Gateway::start_with(policy(&routes)).await;
    let acme = gateway.acme();
    for http in Http::BOTH {
        let (mut session, headers) = acme.prepare(&gateway, Method::ApiKey, http).await;
        for (name, address, code) in cases {
            let answer = session.get(&format!("/{name}"), &borrowed(&headers)).await;
            assert_eq!(answer.problem(), (502, code.to_owned()), "{name} {http:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.json()["message"], "Bad Gateway");
            let outside = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(!outside.contains(&address.port().to_string()), "{outside}");
            let inside = gateway.decision(answer.decision_id()).await;
            assert_eq!((inside.outcome.as_str(), inside.client.as_deref()), (code, Some("acme-orders")));
            assert!(inside.detail.unwrap().contains(&address.to_string()), "{name}");
        }
        assert!(session.is_open());
    }
}

#[tokio::test]
async fn every_shape_of_a_good_answer_comes_through() {
    let cases = [
        ("empty", misbehaving(b"HTTP/1.1 204 No Content\r\n\r\n").await, 204, ""),
        ("unchanged", misbehaving(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n").await, 304, ""),
        (
            "early",
            misbehaving(
                b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            )
            .await,
            200,
            "ok",
        ),
        (
            "to-the-end",
            misbehaving(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil I close").await,
            200,
            "until I close",
        ),
        ("old", misbehaving(b"HTTP/1.0 200 OK\r\n\r\nold").await, 200, "old"),
        (
            "chunked",
            misbehaving(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nch\r\n4\r\nunks\r\n0\r\n\r\n")
                .await,
            200,
            "chunks",
        ),
        ("error", misbehaving(b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nwrong").await, 500, "wrong"),
        (
            "unauthorized",
            misbehaving(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Own\r\nContent-Length: 0\r\n\r\n").await,
            401,
            "",
        ),
    ];
    let routes: Vec<_> = cases
        .iter()
        .map(|(name, address, ..)| proxied(&format!("/{name}"), &format!("http://{address}"), ""))
        .collect();
    let gateway = Gateway::start_with(policy(&routes)).await;
    let acme = gateway.acme();
    for http in Http::BOTH {
        let (mut session, headers) = acme.prepare(&gateway, Method::ApiKey, http).await;
        for (name, _, status, body) in cases {
            for _ in 0..2 {
                let answer = session.get(&format!("/{name}"), &borrowed(&headers)).await;
                assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, body.as_bytes()), "{name} {http:?}");
                // The gate let it through, whatever the upstream said.
                assert_eq!(gateway.decision(answer.decision_id()).await.outcome, "allowed", "{name}");
            }
        }
    }
    let upstream = Upstream::start().await;
    gateway.apply(policy(&[proxied("/up/{*rest}", &upstream.url(), "")]).policy.as_deref().unwrap()).await;
    for http in Http::BOTH {
        let (mut session, headers) = acme.prepare(&gateway, Method::ApiKey, http).await;
        let answer = session.send("HEAD", "/up/x", &borrowed(&headers), "").await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("x-upstream")), (200, Some("yes")));
        assert_eq!(upstream.last().method, "HEAD");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_pass_for_a_whole_one() {
    let cases = [
        ("length", misbehaving(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await),
        ("chunked", misbehaving(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await),
    ];
    let routes: Vec<_> =
        cases.iter().map(|(name, address)| proxied(&format!("/{name}"), &format!("http://{address}"), "")).collect();
    let gateway = Gateway::start_with(policy(&routes)).await;
    let acme = gateway.acme();
    for (name, _) in cases {
        for http in Http::BOTH {
            let (session, headers) = acme.prepare(&gateway, Method::ApiKey, http).await;
            let body = http_body_util::Empty::new().boxed();
            let answer = session.start("GET", &format!("/{name}"), &borrowed(&headers), body).await;
            // The head may have gone out; then the body must end in an error.
            if let Ok(answer) = answer {
                assert_eq!(answer.status(), 200, "{name} {http:?}");
                assert!(answer.into_body().collect().await.is_err(), "{name} {http:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_has_its_time_and_no_more() {
    let upstream = Upstream::start().await;
    // A listener whose queue is full does not even take connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let deaf = socket.local_addr().unwrap();
    let _listener = socket.listen(0).unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(deaf)).await {
        queue.push(stream);
    }
    let gateway = Gateway::start_with(policy(&[
        proxied("/up/{*rest}", &upstream.url(), ", timeout_seconds = 1"),
        proxied("/deaf", &format!("http://{deaf}"), ", timeout_seconds = 20, connect_timeout_seconds = 1"),
    ]))
    .await;
    let acme = gateway.acme();
    for (path, expected) in [("/up/hold", (504, "upstream_timeout")), ("/deaf", (502, "upstream_unreachable"))] {
        let started = Instant::now();
        let answer = acme.call(&gateway, Method::Certificate, path).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{path}");
        assert!((1..8).contains(&started.elapsed().as_secs()), "{path}: {:?}", started.elapsed());
    }
    // The next one finds the upstream as it was.
    assert_eq!(acme.call(&gateway, Method::ApiKey, "/up/x").await.status, 200);
}

#[tokio::test]
async fn one_client_s_answers_never_reach_another() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let acme = gateway.acme();
    let other = Partner::create(&gateway, "globex", "globex-orders").await;
    let mut tasks = Vec::new();
    for round in 0..40_u32 {
        let partner = if round.is_multiple_of(2) { &acme } else { &other };
        let (session, headers) = partner.prepare(&gateway, Method::ApiKey, Http::Two).await;
        for number in 0..10 {
            let (mut session, headers) = (session.clone(), headers.clone());
            tasks.push(tokio::spawn(async move {
                let body = format!("{round}-{number}");
                let answer = session.send("POST", "/up/echo", &borrowed(&headers), body.clone()).await.unwrap();
                assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, body.as_bytes()));
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    for seen in upstream.seen() {
        let round: usize = String::from_utf8_lossy(&seen.body).split_once('-').unwrap().0.parse().unwrap();
        let owner = if round.is_multiple_of(2) { "acme-orders" } else { "globex-orders" };
        assert_eq!(seen.header("x-portcullis-client"), Some(owner));
    }
}
