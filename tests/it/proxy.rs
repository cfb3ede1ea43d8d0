//! To an upstream and back: what goes through, what does not, and what the upstream may believe.

/// What comes back.
mod answers;
/// What the upstream may believe.
mod headers;

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
