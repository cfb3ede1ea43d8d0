//! What upstreams answer, well and badly.

use super::*;

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
