//! Who asks, as the upstream learns it, and what no caller can make it believe.

use super::*;

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
