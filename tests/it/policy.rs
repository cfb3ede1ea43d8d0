//! Which policy is in force, from when, and which route a request meets.

use http::Request;
use http_body_util::{BodyExt, Full};

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{
    Answer, Gateway, GatewayOptions, Http, Method, RawConnection, Session, SessionOptions, borrowed, connect_tls,
};

fn saying(body: &str) -> String {
    document(&[SERVER, ACME, HELLO, &route("\"GET\"", "/say", &format!("{{ mock = {{ body = \"{body}\" }} }}"))])
}

#[tokio::test]
async fn a_new_version_counts_between_two_requests_of_one_connection() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for method in Method::ALL {
        gateway.apply(&document(&[SERVER, ACME, HELLO])).await;
        for http in Http::BOTH {
            let (mut session, headers) = acme.prepare(&gateway, method, http).await;
            let headers = borrowed(&headers);
            let what = format!("{method:?} {http:?}");
            gateway.apply(&document(&[SERVER, ACME, HELLO])).await;
            assert_eq!(session.get("/say", &headers).await.problem(), (404, "route_not_found".to_owned()), "{what}");
            for word in ["one", "two"] {
                gateway.apply(&saying(word)).await;
                assert_eq!(session.get("/say", &headers).await.body, word, "{what}");
            }
            assert!(session.is_open(), "{what}: no connection was dropped for it");
        }
    }
}

#[tokio::test]
async fn a_policy_with_faults_lists_them_all_and_changes_nothing() {
    let gateway = Gateway::start().await;
    let before = gateway.apply(&saying("before")).await.version;
    let acme = gateway.acme();
    let faulty = [
        // A route without accept, an unknown scope, an unknown network, a misspelt key: four faults in one pass.
        saying("after")
            + r#"
[[route]]
methods = ["GET"]
path = "/open"
action = { mock = { body = "open" } }

[[route]]
methods = ["GET"]
path = "/typo"
accept = [["mutual_tls"]]
scopes = { any = ["{server}/raed"] }
networks = ["nowhere"]
acction = { mock = { body = "typo" } }
"#,
        "not toml at all [".to_owned(),
        // A grant of what nobody declares.
        document(&[SERVER, &ACME.replace("{scope}", "{server}/unknown"), HELLO]),
    ];
    for (at, text) in faulty.iter().enumerate() {
        let refused = gateway.try_apply(text).await.unwrap_err();
        let portcullis::failure::Failure::Refused(refusal) = refused else { panic!("{refused:?}") };
        if at == 0 {
            assert!(refusal.details.len() >= 4, "{:#?}", refusal.details);
            assert!(refusal.details.iter().all(|fault| fault.contains("test.toml")), "{:#?}", refusal.details);
        }
        assert_eq!(gateway.app.foundation.snapshot.policy().version, before);
        let answer = acme.call(&gateway, Method::ApiKey, "/say").await;
        assert_eq!(answer.body, "before", "document {at}");
        assert_eq!(acme.call(&gateway, Method::ApiKey, "/open").await.status, 404, "document {at}");
    }
}

#[tokio::test]
async fn a_rollback_brings_back_what_an_older_version_said() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let (mut session, headers) = acme.prepare(&gateway, Method::Certificate, Http::Two).await;
    let headers = borrowed(&headers);
    let first = gateway.apply(&saying("first")).await.version;
    let without_acme = document(&[SERVER, HELLO, &route("\"GET\"", "/say", "{ mock = { body = \"second\" } }")]);
    gateway.apply(&without_acme).await;
    assert_eq!(session.get("/say", &headers).await.status, 401, "the client is no longer declared");
    let actor = portcullis::registry::Actor::local();
    let restored = gateway.registry().rollback_policy(&actor, first).await.unwrap();
    assert_eq!(restored.version, first + 2, "the history only grows");
    // Its certificate was never taken away, and the second policy closed no connection.
    assert_eq!(session.get("/say", &headers).await.body, "first");
}

#[tokio::test]
async fn a_policy_survives_a_restart() {
    let gateway = Gateway::start().await;
    let version = gateway.apply(&saying("still here")).await.version;
    let gateway = gateway.restart().await;
    assert_eq!(gateway.app.foundation.snapshot.policy().version, version);
    assert_eq!(gateway.acme().call(&gateway, Method::ApiKey, "/say").await.body, "still here");
}

#[tokio::test]
async fn a_route_of_another_listener_is_not_there() {
    let mtls_only = r#"
[[route]]
methods = ["GET"]
path = "/mtls-only"
accept = [["mutual_tls"]]
scopes = { any = ["{scope}"] }
listeners = ["mtls"]
action = { mock = { body = "mtls" } }
"#;
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, mtls_only]))).await;
    let acme = gateway.acme();
    let identity = SessionOptions { identity: Some(acme.identity.clone()), ..SessionOptions::default() };
    let mut on = Session::open(&gateway, "mtls", identity.clone()).await.unwrap();
    assert_eq!(on.get("/mtls-only", &[]).await.body, "mtls");
    assert_eq!(on.get(&acme.path, &[]).await.status, 200, "a route without listeners is on all");
    let mut off = gateway.session_with(identity.clone()).await;
    assert_eq!(off.get("/mtls-only", &[]).await.status, 404);
    // The control plane has its own routes, whatever a document says.
    let mut admin = Session::open(&gateway, "admin", identity).await.unwrap();
    assert_eq!(admin.get(&acme.path, &[]).await.status, 404);
}

#[tokio::test]
async fn head_inherits_get_and_other_methods_do_not() {
    let routes = [
        route("\"GET\"", "/things", "{ mock = { headers = { x-from = \"get\" }, body = \"things\" } }"),
        route("\"POST\"", "/things", "{ mock = { status = 201, body = \"made\" } }"),
        route("\"HEAD\", \"PUT\"", "/headed", "{ mock = { headers = { x-from = \"head\" }, body = \"\" } }"),
        route("\"GET\"", "/things/{id}", "{ mock = { body = \"one\" } }"),
    ];
    let gateway =
        Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &routes.concat()]))).await;
    let acme = gateway.acme();
    for method in Method::ALL {
        for http in Http::BOTH {
            let (mut session, headers) = acme.prepare(&gateway, method, http).await;
            let headers = borrowed(&headers);
            for (verb, path, status, body) in [
                ("GET", "/things", 200, "things"),
                ("HEAD", "/things", 200, ""),
                ("POST", "/things", 201, "made"),
                ("HEAD", "/headed", 200, ""),
                ("GET", "/things/7", 200, "one"),
            ] {
                let answer = session.send(verb, path, &headers, "").await.unwrap();
                assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, body.as_bytes()), "{verb} {path}");
            }
            for (verb, path) in [
                ("PUT", "/things"),
                ("DELETE", "/things"),
                ("OPTIONS", "/things"),
                ("PATCH", "/things/7"),
                ("GET", "/headed"),
                ("get", "/things"),
                ("FOO", "/things"),
                ("GET", "/Things"),
                ("GET", "/things/"),
                ("GET", "/things/7/8"),
                ("GET", "/"),
            ] {
                let answer = session.send(verb, path, &headers, "").await.unwrap();
                assert_eq!(answer.problem(), (404, "route_not_found".to_owned()), "{verb} {path}");
            }
        }
    }
}

#[tokio::test]
async fn every_spelling_of_a_path_but_one_is_refused() {
    let inner = [
        route("\"GET\"", "/pub/{*rest}", "{ mock = { body = \"public part\" } }"),
        route("\"GET\"", "/admin/users", "{ mock = { body = \"inner part\" } }"),
    ];
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &inner.concat()]))).await;
    let acme = gateway.acme();
    let mut raw = RawConnection::open(&gateway, &SessionOptions::default()).await;
    let host = gateway.address("gateway");
    for path in [
        "/pub/../admin/users",
        "/pub/./x",
        "/pub/%2e%2e/admin/users",
        "/pub/.%2E/admin/users",
        "/pub/..%2fadmin/users",
        "/pub/x%2Fy",
        "/pub//x",
        "//admin/users",
        "/admin//users",
        "/pub/..;/admin/users",
        "/admin;x=1/users",
        "/admin%3b/users",
        "/%61dmin/users",
        "/admin/%75sers",
        "/admin/users%00",
        "/admin/users%09",
        "/pub/%5c..%5cadmin",
        "/pub\\..\\admin\\users",
        "/pub/%252e%252e/admin",
        "/pub/%c0%ae%c0%ae/admin",
        "/pub/%ff",
        "/pub/%",
        "/pub/%2",
        "/pub/%zz",
        "/pub/{x}",
        "/admin/users/..",
        "/admin/users/.",
        "*",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {}\r\n\r\n", acme.api_key);
        raw.send(request.as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.problem(), (400, "malformed_path".to_owned()), "{path}");
    }
    // Not one of them hurt the connection, and good escapes pass as they are.
    for path in ["/admin/users", "/pub/a%20b", "/pub/%C3%A9?x=/../y", "/pub/x;y".split_once(';').unwrap().0] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {}\r\n\r\n", acme.api_key);
        raw.send(request.as_bytes()).await;
        assert_eq!(raw.answer().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn odd_bytes_over_http_2_are_refused_like_others() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut session = gateway.session_with(SessionOptions { http: Http::Two, ..SessionOptions::default() }).await;
    let key = [("x-api-key", acme.api_key.as_str())];
    // Nothing stands before the parser of HTTP/2, and it takes what is not ASCII.
    for path in ["/é", "/test/hello-world\u{200b}", &format!("/{}", "é".repeat(400)), &format!("//{}", "é".repeat(400))]
    {
        let answer = session.get(path, &key).await;
        assert_eq!(answer.problem(), (400, "malformed_path".to_owned()), "{path}");
        assert!(path.starts_with(&gateway.decision(answer.decision_id()).await.path));
    }
    assert_eq!(session.get(&acme.path, &key).await.status, 200);
    // Bytes that are no text, where a credential should be.
    for name in ["x-api-key", "authorization"] {
        let mut request =
            Request::builder().uri(format!("https://localhost{}", acme.path)).body(Full::default().boxed()).unwrap();
        request.headers_mut().insert(name, http::HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap());
        assert_eq!(session.transmit(request).await.unwrap().status(), 400, "{name}");
    }
}

#[tokio::test]
async fn connect_and_trace_are_not_for_a_gateway() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let host = gateway.address("gateway");
    for (method, target) in
        [("TRACE", acme.path.clone()), ("CONNECT", host.to_string()), ("CONNECT", "10.0.0.1:22".to_owned())]
    {
        let mut raw = RawConnection::open(&gateway, &SessionOptions::default()).await;
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {}\r\n\r\n", acme.api_key);
        raw.send(request.as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()), "{method} {target}");
        assert!(answer.header("allow").is_some_and(|allow| !allow.contains(method)));
    }
    let mut session = gateway.session_with(SessionOptions { http: Http::Two, ..SessionOptions::default() }).await;
    let answer = session.send("TRACE", &acme.path, &[("x-api-key", &acme.api_key)], "").await.unwrap();
    assert_eq!(answer.status, 405);
    let request = Request::builder().method("CONNECT").uri("10.0.0.1:22").body(Full::default().boxed()).unwrap();
    // A tunnel is either refused with an answer or with a reset; never opened.
    if let Ok(answer) = session.transmit(request).await {
        assert_eq!(answer.status(), 405);
    }
}

#[tokio::test]
async fn a_listener_answers_for_its_own_names_only() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let address = gateway.address("gateway");
    let port = address.port();
    let get = async |target: &str, host: &str| -> Answer {
        let mut raw = RawConnection::open(&gateway, &SessionOptions::default()).await;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {}\r\n\r\n", acme.api_key);
        raw.send(request.as_bytes()).await;
        raw.answer().await
    };
    let path = acme.path.as_str();
    for host in [
        format!("127.0.0.1:{port}"),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        format!("LOCALHOST:{port}"),
        "localhost.".to_owned(),
    ] {
        assert_eq!(get(path, &host).await.status, 200, "Host: {host}");
        assert_eq!(get(&format!("https://{host}{path}"), &host).await.status, 200, "absolute {host}");
    }
    for host in [
        "example.com",
        "localhost.example.com",
        "127.0.0.2",
        "[::1]",
        "evil@localhost",
        "localhost@evil",
        "",
        "local host",
        "localhost:80:90",
        "0x7f.1",
    ] {
        assert_eq!(get(path, host).await.problem(), (421, "misdirected_request".to_owned()), "Host: {host:?}");
    }
    // RFC 9112 §3.2.2 lets the target win; whoever forwards Host would disagree, so they must be the same.
    for (target, host) in [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost")] {
        let answer = get(&format!("https://{target}{path}"), host).await;
        assert_eq!(answer.problem(), (400, "malformed_request".to_owned()), "{target} and {host}");
    }
    let answer = get(&format!("https://evil.example{path}"), "localhost").await;
    assert!(matches!(answer.status.as_u16(), 400 | 421), "{answer:?}");
}

#[tokio::test]
async fn http_2_names_one_host_as_well() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let session = gateway.session_with(SessionOptions { http: Http::Two, ..SessionOptions::default() }).await;
    let ask = async |authority: &str, host: Option<&str>| {
        let mut request =
            Request::builder().uri(format!("https://{authority}{}", acme.path)).header("x-api-key", &acme.api_key);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        session.transmit(request.body(Full::default().boxed()).unwrap()).await.unwrap().status().as_u16()
    };
    assert_eq!(ask("localhost", None).await, 200);
    assert_eq!(ask("127.0.0.1", Some("127.0.0.1")).await, 200);
    assert_eq!(ask("localhost", Some("127.0.0.1")).await, 400, "RFC 9113 §8.3.1: they must not differ");
    assert_eq!(ask("example.com", None).await, 421);
    assert_eq!(ask("example.com", Some("example.com")).await, 421);
}

#[tokio::test]
async fn another_server_name_in_the_handshake_is_misdirected() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let good = SessionOptions { host: Some("localhost"), ..SessionOptions::default() };
    let mut session = gateway.session_with(good).await;
    assert_eq!(session.get(&acme.path, &[("x-api-key", &acme.api_key)]).await.status, 200);
    // The client would refuse the certificate too, so it is told to check for localhost and to send another name.
    let config = crate::harness::blind_tls_config(&gateway);
    let other = SessionOptions { host: Some("other.example"), tls: Some(config), ..SessionOptions::default() };
    match connect_tls(&gateway, "gateway", &other).await {
        // An alert in the handshake is as good as an answer.
        Err(error) => assert!(error.to_string().contains("alert"), "{error}"),
        Ok(stream) => {
            let mut raw = RawConnection::over(stream);
            let request =
                format!("GET {} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {}\r\n\r\n", acme.path, acme.api_key);
            raw.send(request.as_bytes()).await;
            assert_eq!(raw.answer().await.problem(), (421, "misdirected_request".to_owned()));
        }
    }
}
