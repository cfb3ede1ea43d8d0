//! Questions of other proxies, recorded as they send them.

use http::HeaderMap;
use portcullis::config::{Dialect, ForwardAuthSettings, ForwardedCertificate};
use portcullis::registry::Actor;
use portcullis::store::audit_log::DecisionFilter;

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{
    Answer, Gateway, GatewayOptions, Http, Identity, Partner, Session, SessionOptions, new_certificate,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const CALLER: &str = "x-portcullis-caller-secret";

fn settings(change: impl Fn(&mut ForwardAuthSettings) + Send + Sync + 'static) -> GatewayOptions {
    settings_with(&document(&[SERVER, ACME, HELLO]), change)
}

fn settings_with(policy: &str, change: impl Fn(&mut ForwardAuthSettings) + Send + Sync + 'static) -> GatewayOptions {
    GatewayOptions::policy(policy).configure(move |config| {
        let file = config.data.join("keys/edge");
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut edge = ForwardAuthSettings {
            name: "edge".to_owned(),
            dialects: Dialect::ALL.to_vec(),
            client: None,
            secret_file: Some(file),
            hostnames: vec!["api.example.com".to_owned()],
            client_certificate: ForwardedCertificate::None,
            request_ids: false,
            trusted_proxies: None,
        };
        change(&mut edge);
        config.forward_auth = vec![edge];
    })
}

/// As `ForwardAuth` of Traefik 3 asks for a GET of curl.
const TRAEFIK: &[(&str, &str)] = &[
    ("user-agent", "curl/8.5.0"),
    ("accept", "*/*"),
    ("x-forwarded-for", "192.0.2.7"),
    ("x-forwarded-host", "api.example.com"),
    ("x-forwarded-method", "GET"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-uri", "/test/hello-world?a=b"),
    ("accept-encoding", "gzip"),
];
/// As the files in deploy/ have nginx ask.
const NGINX: &[(&str, &str)] = &[
    ("x-original-method", "GET"),
    ("x-original-uri", "/test/hello-world?a=b"),
    ("x-original-host", "api.example.com"),
    ("x-real-ip", "192.0.2.7"),
];

fn asked<'a>(question: &'a [(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let replaced = |name: &&(&str, &str)| !more.iter().any(|(other, _)| *other == name.0);
    question.iter().filter(replaced).chain(more).copied().collect()
}

async fn traefik(session: &mut Session, more: &[(&str, &str)]) -> Answer {
    session.get("/forward-auth/traefik", &asked(TRAEFIK, more)).await
}

async fn nginx(session: &mut Session, more: &[(&str, &str)]) -> Answer {
    session.get("/forward-auth/nginx", &asked(NGINX, more)).await
}

async fn revoke(gateway: &Gateway, serial: &str) {
    let selector = portcullis::authority::Selector::Certificate(serial.parse().unwrap());
    gateway.authority().revoke(selector, pki::RevocationReason::Superseded, &Actor::local()).await.unwrap();
}

fn names_nobody(headers: &HeaderMap) -> bool {
    headers.get("x-portcullis-client").is_none_or(|client| client.is_empty())
}

#[tokio::test]
async fn traefik_is_answered_in_its_own_words() {
    let gateway = Gateway::start_with(settings(|_| {})).await;
    let acme = gateway.acme();
    let token = format!("Bearer {}", acme.token(&gateway).await);
    let mut session = gateway.session().await;
    for credential in [("x-api-key", acme.api_key.as_str()), ("authorization", token.as_str())] {
        let answer = traefik(&mut session, &[(CALLER, SECRET), credential]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-portcullis-client"), Some("acme-orders"));
        assert_eq!(answer.header("x-portcullis-partner"), Some("acme"));
        assert_eq!(answer.header("x-portcullis-scopes"), Some(acme.scope.as_str()));
        assert_eq!(answer.header("client-cert"), Some(""), "what is missing would be left as the client sent it");
        assert!(answer.body.is_empty());
        let row = gateway.decision(answer.decision_id()).await;
        assert_eq!((row.source.as_str(), row.path.as_str()), ("192.0.2.7", "/test/hello-world"));
        assert_eq!(row.outcome, "allowed");
    }
    let answer = traefik(&mut session, &[(CALLER, SECRET)]).await;
    assert_eq!(answer.problem(), (401, "no_credential".to_owned()));
    assert!(answer.header("www-authenticate").is_some());
    let answer = traefik(&mut session, &[(CALLER, SECRET), ("x-forwarded-uri", "/nowhere")]).await;
    assert_eq!(answer.problem(), (404, "route_not_found".to_owned()));
    let answer = traefik(&mut session, &[(CALLER, SECRET), ("x-forwarded-host", "other.example")]).await;
    assert_eq!(answer.problem(), (421, "misdirected_request".to_owned()));
    assert_eq!(answer.header("connection"), None, "the proxy's connection is kept");
    // A HEAD of the client: the question itself is a GET, whose answer has a body.
    let answer = traefik(&mut session, &[(CALLER, SECRET), ("x-forwarded-method", "HEAD")]).await;
    assert_eq!(answer.problem(), (401, "no_credential".to_owned()));
}

#[tokio::test]
async fn only_a_proxy_that_proves_itself_is_answered() {
    let gateway = Gateway::start_with(settings(|_| {})).await;
    let acme = gateway.acme();
    let key = ("x-api-key", acme.api_key.as_str());
    let mut session = gateway.session().await;
    for proof in [
        vec![],
        vec![(CALLER, "wrong")],
        vec![(CALLER, ""), (CALLER, SECRET)],
        vec![(CALLER, SECRET), (CALLER, SECRET)],
    ] {
        let headers = [proof.as_slice(), &[key]].concat();
        let answer = traefik(&mut session, &headers).await;
        assert_eq!(answer.problem(), (403, "forward_auth_caller".to_owned()), "{proof:?}");
        assert!(names_nobody(&answer.headers));
        let row = gateway.decision(answer.decision_id()).await;
        assert_eq!((row.source.as_str(), row.client), ("127.0.0.1", None), "nothing that a stranger says is believed");
    }
    // The client's certificate proves the client, not a proxy.
    let options = SessionOptions { identity: Some(acme.identity.clone()), ..SessionOptions::default() };
    let mut session = gateway.session_with(options).await;
    assert_eq!(traefik(&mut session, &[key]).await.problem(), (403, "forward_auth_caller".to_owned()));
    // On other listeners there is no such endpoint.
    let answer = gateway.admin().await.get("/forward-auth/traefik", &asked(TRAEFIK, &[(CALLER, SECRET)])).await;
    assert_eq!(answer.status, 404);
    // Nor is there one where the settings name nobody.
    let gateway = Gateway::start().await;
    let answer = traefik(&mut gateway.session().await, &[(CALLER, SECRET)]).await;
    assert_eq!(answer.problem(), (404, "route_not_found".to_owned()));
}

#[tokio::test]
async fn a_proxy_proves_itself_by_the_certificate_of_its_client_as_long_as_that_is_good() {
    let gateway = Gateway::start_with(settings(|edge| {
        edge.client = Some("edge".to_owned());
        edge.secret_file = None;
        edge.dialects = vec![Dialect::Traefik];
    }))
    .await;
    let edge = Partner::create(&gateway, "proxies", "edge").await;
    let acme = gateway.acme();
    let key = ("x-api-key", acme.api_key.as_str());
    let open = async |identity: &Identity| {
        let options = SessionOptions { identity: Some(identity.clone()), ..SessionOptions::default() };
        gateway.session_with(options).await
    };
    let mut session = open(&edge.identity).await;
    let answer = traefik(&mut session, &[key]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("x-portcullis-client"),
        Some("acme-orders"),
        "the proxy's certificate is not its client's"
    );
    assert_eq!(traefik(&mut session, &[]).await.problem(), (401, "no_credential".to_owned()));
    assert_eq!(nginx(&mut session, &[key]).await.status, 403, "a dialect that it does not speak");
    let other = Identity::issue(&gateway, new_certificate("acme-orders")).await;
    assert_eq!(traefik(&mut open(&other).await, &[key]).await.status, 403);
    gateway.registry().set_client_enabled(&Actor::local(), "edge", false).await.unwrap();
    assert_eq!(traefik(&mut open(&edge.identity).await, &[key]).await.status, 403, "a disabled proxy asks nothing");
}

#[tokio::test]
async fn what_cannot_be_read_is_denied() {
    let gateway = Gateway::start_with(settings(|_| {})).await;
    let acme = gateway.acme();
    let proof = [(CALLER, SECRET), ("x-api-key", acme.api_key.as_str())];
    let mut session = gateway.session().await;
    for (question, path, names) in [
        (
            TRAEFIK,
            "/forward-auth/traefik",
            ["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-for"],
        ),
        (NGINX, "/forward-auth/nginx", ["x-original-method", "x-original-uri", "x-original-host", "x-real-ip"]),
    ] {
        let whole = asked(question, &proof);
        assert_eq!(session.get(path, &whole).await.status, 200);
        for name in names {
            let without: Vec<_> = whole.iter().filter(|(other, _)| *other != name).copied().collect();
            let value = whole.iter().find(|(other, _)| *other == name).unwrap().1;
            let twice = [whole.as_slice(), &[(name, value)]].concat();
            let empty = asked(&whole, &[(name, "")]);
            let odd = asked(&whole, &[(name, "http://[ \"")]);
            for headers in [without, twice, empty, odd] {
                let answer = session.get(path, &headers).await;
                assert!((400..500).contains(&answer.status.as_u16()), "{name}: {headers:?}: {answer:?}");
                assert!(names_nobody(&answer.headers), "{name}");
            }
        }
    }
    // GHSA-68wm-pfjf-wqp6 and its kin.
    for target in [
        "",
        "*",
        "http://api.example.com/test/hello-world",
        "/test/hello-world#x",
        "/test/../test/hello-world",
        "//test",
        "test/hello-world",
        "/test/hello-world%",
    ] {
        let status = traefik(&mut session, &[proof[0], proof[1], ("x-forwarded-uri", target)]).await.status;
        assert!((400..500).contains(&status.as_u16()), "{target:?}: {status}");
    }
    for (path, answer) in [
        ("/forward-auth/other", 404),
        ("/forward-auth/nginx/x", 404),
        ("/forward-auth/", 404),
        ("/forward-auth/nginx?x=y", 200),
    ] {
        assert_eq!(session.get(path, &asked(NGINX, &proof)).await.status, answer, "{path}");
    }
}

#[tokio::test]
async fn nginx_gets_401_and_403_and_what_was_meant_in_headers() {
    let plan = "[[usage_plan]]\nname = \"two\"\nthrottle = { rate = 0.1, burst = 2 }\n";
    let acme = ACME.replace("partner = \"acme\"", "partner = \"acme\"\nusage_plan = \"two\"");
    let gateway = Gateway::start_with(settings_with(&document(&[SERVER, plan, &acme, HELLO]), |_| {})).await;
    let acme = gateway.acme();
    let key = ("x-api-key", acme.api_key.as_str());
    let mut session = gateway.session().await;
    let meant = |answer: &Answer| {
        let body: serde_json::Value = serde_json::from_str(answer.header("x-portcullis-body").unwrap()).unwrap();
        let status = answer.header("x-portcullis-status").unwrap().to_owned();
        (answer.status.as_u16(), status, body["code"].as_str().unwrap().to_owned())
    };
    let answer = nginx(&mut session, &[(CALLER, SECRET)]).await;
    assert_eq!(meant(&answer), (401, "401".to_owned(), "no_credential".to_owned()));
    assert!(answer.header("www-authenticate").is_some());
    let answer = nginx(&mut session, &[(CALLER, SECRET), ("x-original-uri", "/nowhere"), key]).await;
    assert_eq!(meant(&answer), (403, "404".to_owned(), "route_not_found".to_owned()));
    for _ in 0..2 {
        assert_eq!(nginx(&mut session, &[(CALLER, SECRET), key]).await.status, 200);
    }
    let answer = nginx(&mut session, &[(CALLER, SECRET), key]).await;
    assert_eq!(meant(&answer), (403, "429".to_owned(), "throttled".to_owned()));
    assert_eq!(answer.header("x-portcullis-body-type"), Some("application/problem+json"));
    assert_eq!(answer.header("retry-after"), Some("10"));
    let row = gateway.decision(answer.decision_id()).await;
    assert_eq!((row.status, row.outcome.as_str()), (429, "throttled"), "the record says what the client gets");
}

#[tokio::test]
async fn the_address_that_is_judged_is_the_client_s() {
    let networks = "[[network]]\nname = \"office\"\ncidrs = [\"203.0.113.0/24\"]\n";
    let acme = ACME.replace("partner = \"acme\"", "partner = \"acme\"\nnetworks = [\"office\"]");
    let policy = document(&[SERVER, networks, &acme, HELLO]);
    let options = settings_with(&policy, |edge| {
        let cidrs = vec!["10.0.0.0/8".parse().unwrap()];
        edge.trusted_proxies = Some(policies::TrustedProxies::new(cidrs, false).unwrap());
    });
    let gateway = Gateway::start_with(options).await;
    let acme = gateway.acme();
    let key = ("x-api-key", acme.api_key.as_str());
    let mut session = gateway.session().await;
    for (hops, status) in [
        ("203.0.113.5", 200),
        ("192.0.2.1", 403),
        ("203.0.113.5, 192.0.2.1", 403),
        ("203.0.113.5, 10.0.0.1", 200),
        ("192.0.2.1, 203.0.113.5, 10.0.0.1, 10.0.0.2", 200),
        ("::ffff:203.0.113.5", 200),
        ("203.0.113.5, unknown", 403),
    ] {
        let answer = traefik(&mut session, &[(CALLER, SECRET), key, ("x-forwarded-for", hops)]).await;
        assert_eq!(answer.status, status, "{hops}: {answer:?}");
    }
}

#[tokio::test]
async fn bad_credentials_count_against_the_client_s_address_and_not_the_proxy_s() {
    let gateway = Gateway::start_with({
        let inner = settings(|_| {});
        GatewayOptions { policy: inner.policy, ..GatewayOptions::default() }.configure(move |config| {
            inner.configure.as_ref().unwrap()(config);
            config.limits.exempt.clear();
            config.limits.failures_per_address = portcullis::config::Rate { per_second: 0.01, burst: 3 };
        })
    })
    .await;
    let mut session = gateway.session().await;
    let bad = ("x-api-key", "pc_test_nothing");
    for _ in 0..3 {
        assert_eq!(traefik(&mut session, &[(CALLER, SECRET), bad]).await.status, 401);
    }
    assert_eq!(traefik(&mut session, &[(CALLER, SECRET), bad]).await.status, 429);
    let elsewhere = ("x-forwarded-for", "192.0.2.8");
    assert_eq!(traefik(&mut session, &[(CALLER, SECRET), bad, elsewhere]).await.status, 401);
}

#[tokio::test]
async fn a_question_asked_twice_is_paid_for_once() {
    let plan = "[[usage_plan]]\nname = \"two\"\nthrottle = { rate = 0.1, burst = 2 }\n";
    let acme = ACME.replace("partner = \"acme\"", "partner = \"acme\"\nusage_plan = \"two\"");
    let other = route("\"GET\"", "/other", "{ mock = { body = \"\" } }");
    let policy = document(&[SERVER, plan, &acme, HELLO, &other]);
    let gateway = Gateway::start_with(settings_with(&policy, |edge| edge.request_ids = true)).await;
    let acme = gateway.acme();
    let proof = [(CALLER, SECRET), ("x-api-key", acme.api_key.as_str())];
    let mut session = gateway.session().await;
    let mut ask = async |id: &str, uri: &str| {
        let more = [proof.as_slice(), &[("x-portcullis-request-id", id), ("x-original-uri", uri)]].concat();
        nginx(&mut session, &more).await
    };
    const PATH: &str = "/test/hello-world";
    for _ in 0..5 {
        assert_eq!(ask("request-one", PATH).await.status, 200, "the same request again");
    }
    // Another request under the same name pays for itself.
    assert_eq!(ask("request-one", "/other").await.status, 200);
    assert_eq!(ask("request-two", PATH).await.header("x-portcullis-status"), Some("429"));
    assert_eq!(ask("request-one", PATH).await.status, 200);
    // Paid for is not allowed: everything is judged again.
    gateway.registry().set_client_enabled(&Actor::local(), "acme-orders", false).await.unwrap();
    assert_eq!(ask("request-one", PATH).await.status, 401);
    assert_eq!(ask("", PATH).await.status, 403, "a proxy that said it would send one, and did not");
}

#[tokio::test]
async fn envoy_asks_over_http_with_the_path_behind_its_prefix() {
    let gateway = Gateway::start_with(settings(|_| {})).await;
    let acme = gateway.acme();
    let token = format!("Bearer {}", acme.token(&gateway).await);
    // As Envoy 1.36 asks: Host, path and method of its client, what `allowed_headers` names, and its own address in X-Forwarded-For.
    let question = [
        ("content-length", "0"),
        ("authorization", token.as_str()),
        ("x-real-ip", "192.0.2.7"),
        ("x-forwarded-for", "192.0.2.7,10.0.0.3"),
        ("x-envoy-internal", "true"),
        ("x-envoy-expected-rq-timeout-ms", "250"),
        (CALLER, SECRET),
    ];
    for http in Http::BOTH {
        let options = SessionOptions { http, host: Some("localhost"), ..SessionOptions::default() };
        let mut session = gateway.session_with(options).await;
        session.speak_of("api.example.com");
        let answer = session.get("/forward-auth/envoy/test/hello-world?a=b", &question).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-portcullis-client"), Some("acme-orders"));
        let removed = answer.header("x-envoy-auth-headers-to-remove").unwrap();
        assert!(removed.contains("authorization") && removed.contains("client-cert"), "{removed}");
        let row = gateway.decision(answer.decision_id()).await;
        assert_eq!((row.source.as_str(), row.path.as_str()), ("192.0.2.7", "/test/hello-world"));
        let answer = session.get("/forward-auth/envoy/nowhere", &question).await;
        assert_eq!(answer.problem(), (404, "route_not_found".to_owned()));
        assert_eq!(session.get("/forward-auth/envoy", &question).await.status, 403);
        let answer = session.get("/forward-auth/envoy/test/hello-world", &question[..2]).await;
        assert_eq!(answer.problem(), (403, "forward_auth_caller".to_owned()));
        session.speak_of("other.example");
        assert_eq!(session.get("/forward-auth/envoy/test/hello-world", &question).await.status, 421);
    }
    let denied = gateway.decisions(DecisionFilter::default()).await;
    assert!(
        denied.iter().all(|row| row.client.is_none() || row.outcome == "allowed" || row.outcome == "route_not_found")
    );
}

#[tokio::test]
async fn a_certificate_counts_from_a_proxy_of_which_the_settings_say_so() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    for (kind, header) in
        [(ForwardedCertificate::ClientCert, "client-cert"), (ForwardedCertificate::Xfcc, "x-forwarded-client-cert")]
    {
        let gateway = Gateway::start_with(settings(move |edge| edge.client_certificate = kind)).await;
        let acme = gateway.acme();
        let value = |der: &[u8]| match kind {
            ForwardedCertificate::Xfcc => {
                let pem = pki::pem_certificate(der);
                format!("Cert=\"{}\"", percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC))
            }
            _ => format!(":{}:", STANDARD.encode(der)),
        };
        let mut session = gateway.session().await;
        let shown = value(&acme.identity.chain[0]);
        let answer = traefik(&mut session, &[(CALLER, SECRET), (header, &shown)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-portcullis-method"), Some("mutual_tls"));
        assert_eq!(
            answer.header("client-cert"),
            Some(format!(":{}:", STANDARD.encode(&acme.identity.chain[0])).as_str())
        );
        // Without proof of the proxy the header is worth nothing.
        assert_eq!(traefik(&mut session, &[(header, &shown)]).await.status, 403);
        // A certificate that was never issued here, though it says so.
        let key = rcgen::KeyPair::generate().unwrap();
        let forged = rcgen::CertificateParams::new(vec!["acme".to_owned()]).unwrap().self_signed(&key).unwrap();
        let answer = traefik(&mut session, &[(CALLER, SECRET), (header, &value(forged.der()))]).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(traefik(&mut session, &[(CALLER, SECRET), (header, "Cert=")]).await.status, 403);
        revoke(&gateway, &acme.serial).await;
        let answer = traefik(&mut session, &[(CALLER, SECRET), (header, &shown)]).await;
        assert_eq!(answer.status, 401, "revoked");
    }
    // Of other proxies it is the client's word.
    let gateway = Gateway::start_with(settings(|_| {})).await;
    let acme = gateway.acme();
    let shown = format!(":{}:", STANDARD.encode(&acme.identity.chain[0]));
    let mut session = gateway.session().await;
    let answer = traefik(&mut session, &[(CALLER, SECRET), ("client-cert", &shown)]).await;
    assert_eq!(answer.problem(), (401, "no_credential".to_owned()));
}
