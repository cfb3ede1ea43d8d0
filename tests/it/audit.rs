//! Every decision and every change is on record; no secret is, anywhere.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis::config::{AuditAllowed, Rate};
use portcullis::registry::Actor;
use portcullis::store::audit_change::{self, AuditChangeFilter, AuditChangeRow};
use portcullis::store::audit_log::DecisionFilter;
use serde_json::json;

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{
    Gateway, GatewayOptions, Http, Identity, Method, Partner, RawConnection, SessionOptions, Upstream, borrowed,
    logged, new_certificate,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn every_answer_has_its_record_under_the_id_it_carries() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for method in Method::ALL {
        for http in Http::BOTH {
            let (mut session, headers) = acme.prepare(&gateway, method, http).await;
            let headers = borrowed(&headers);
            for (verb, path, status, outcome) in [
                ("GET", "/test/hello-world?q=1", 200, "allowed"),
                ("HEAD", "/test/hello-world", 200, "allowed"),
                ("GET", "/test/both", 401, "method_not_accepted"),
                ("GET", "/nowhere", 404, "route_not_found"),
                ("GET", "/a//b", 400, "malformed_path"),
                ("TRACE", "/test/hello-world", 405, "method_not_allowed"),
            ] {
                let what = format!("{method:?} {http:?} {verb} {path}");
                let answer = session.send(verb, path, &headers, "").await.unwrap();
                assert_eq!(i64::from(answer.status.as_u16()), status, "{what}");
                let row = gateway.decision(answer.decision_id()).await;
                assert_eq!((row.outcome.as_str(), row.status), (outcome, status), "{what}");
                assert_eq!((row.listener.as_str(), row.source.as_str()), ("gateway", "127.0.0.1"), "{what}");
                assert_eq!(
                    (row.http_method.as_str(), row.path.as_str()),
                    (verb, path.split('?').next().unwrap()),
                    "{what}"
                );
                assert_eq!(row.at, gateway.clock.now_millis(), "{what}");
                // A key alone on a route for certificate and key: proved, and not enough.
                let proved = status == 200 || outcome == "method_not_accepted";
                assert_eq!(row.client.as_deref(), proved.then_some("acme-orders"), "{what}");
                assert_eq!(row.partner.as_deref(), proved.then_some("acme"), "{what}");
                let (name, kind) = match method {
                    Method::Certificate => ("mutual_tls", format!("client-certificate:{}", acme.serial)),
                    Method::ApiKey => ("api_key", format!("api-key:{}", acme.api_key_id())),
                    Method::Token => ("bearer", "access-token:".to_owned()),
                };
                assert_eq!(row.auth_methods.as_deref(), proved.then_some(name), "{what}");
                assert!(!proved || row.credentials.unwrap().starts_with(&kind), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn the_other_doors_are_on_record_too() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut session = gateway.session().await;
    for (answer, outcome, client) in [
        (acme.ask_token(&mut session, "").await, "allowed", Some("acme-orders")),
        (acme.ask_token(&mut session, "&scope=unknown/scope").await, "malformed_request", Some("acme-orders")),
        (
            session.post_form("/oauth2/token", &[("authorization", "Basic YWNtZS1vcmRlcnM6eA==")], "").await,
            "credential_unknown",
            Some("acme-orders"),
        ),
        (session.get("/.well-known/jwks.json", &[]).await, "allowed", None),
        (session.get("/openapi.json", &[]).await, "allowed", None),
        (session.get("/test/hello-world?access_token=x", &[]).await, "credential_in_url", None),
        (gateway.admin().await.get("/v1/status", &[]).await, "allowed", Some("portcullis-admin")),
        (gateway.admin().await.get("/nothing", &[]).await, "route_not_found", None),
    ] {
        let row = gateway.decision(answer.decision_id()).await;
        assert_eq!((row.outcome.as_str(), row.client.as_deref()), (outcome, client), "{row:?}");
        assert_eq!(row.status, i64::from(answer.status.as_u16()));
    }
    let mut raw = RawConnection::open(&gateway, &SessionOptions::default()).await;
    raw.send(b"GET / HTTP/1.1\r\n\r\n").await;
    let answer = raw.answer().await;
    assert_eq!(gateway.decision(answer.decision_id()).await.outcome, "malformed_request");
}

#[tokio::test]
async fn a_client_that_leaves_takes_no_record_with_it() {
    let upstream = Upstream::start().await;
    let action = format!("{{ proxy = {{ upstream = \"{}\" }} }}", upstream.url());
    let proxied = route("\"GET\"", "/up/{*rest}", &action);
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &proxied]))).await;
    let acme = gateway.acme();
    for method in Method::ALL {
        for http in Http::BOTH {
            let (session, headers) = acme.prepare(&gateway, method, http).await;
            let identity = (method == Method::Certificate).then(|| acme.identity.clone());
            if http == Http::Two {
                let asking = tokio::spawn(async move { session.clone().status("/up/hold", &borrowed(&headers)).await });
                upstream.holds().await;
                asking.abort();
            } else {
                let options = SessionOptions { identity, ..SessionOptions::default() };
                let mut raw = RawConnection::open(&gateway, &options).await;
                let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                raw.send(format!("GET /up/hold HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").as_bytes()).await;
                upstream.holds().await;
                // A client of HTTP/1.1 may have closed only its own side: the request goes on to its end.
                drop(raw);
                upstream.release();
            }
            let status = if http == Http::Two { 499 } else { 200 };
            // The upstream has the request; that its client did not wait must not keep it off the record.
            let filter = DecisionFilter { client: Some(acme.client_id.clone()), ..DecisionFilter::default() };
            let written = async {
                loop {
                    let newest = gateway.decisions(filter.clone()).await.into_iter().next();
                    match newest.filter(|row| row.path == "/up/hold" && row.status == status) {
                        Some(row) => return row,
                        None => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            };
            let row = tokio::time::timeout(Duration::from_secs(20), written).await.expect("a record in time");
            assert_eq!(
                (row.outcome.as_str(), row.partner.as_deref()),
                ("allowed", Some("acme")),
                "{method:?} {http:?}"
            );
            gateway.advance(SECOND);
        }
    }
}

#[tokio::test]
async fn allowed_requests_may_be_left_out_and_denials_never() {
    let options = GatewayOptions::default().configure(|config| config.audit.allowed = AuditAllowed::None);
    let gateway = Gateway::start_with(options).await;
    let acme = gateway.acme();
    for method in Method::ALL {
        assert_eq!(acme.call(&gateway, method, &acme.path).await.status, 200);
        assert_eq!(acme.call(&gateway, method, "/test/both").await.status, 401);
    }
    let rows = gateway.decisions(DecisionFilter::default()).await;
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert!(rows.iter().all(|row| row.outcome == "method_not_accepted"));
}

async fn changes(gateway: &Gateway) -> Vec<AuditChangeRow> {
    audit_change::list(&gateway.app.foundation.store, &AuditChangeFilter::default()).await.unwrap()
}

#[tokio::test]
async fn every_change_says_who_made_it_and_from_where() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut admin = gateway.admin().await;
    gateway.advance(SECOND);
    let key = admin.post_json("/v1/api-keys", &json!({ "client": "acme-orders", "name": "second" })).await;
    assert_eq!(key.status, 201, "{key:?}");
    let id = key.json()["id"].as_str().unwrap().to_owned();
    let created_at_millis = gateway.clock.now_millis();
    gateway.advance(SECOND);
    admin.post_json(&format!("/v1/api-keys/{id}/revoke"), &json!({ "reason": "lost" })).await;
    let rows = changes(&gateway).await;
    for (row, (action, at_millis)) in
        rows.iter().zip([("api-key.revoke", gateway.clock.now_millis()), ("api-key.create", created_at_millis)])
    {
        assert_eq!((row.action.as_str(), row.target.as_str()), (action, id.as_str()));
        assert_eq!((row.actor.as_str(), row.source.as_deref()), ("portcullis-admin", Some("127.0.0.1")));
        assert_eq!(row.at_millis, at_millis, "{action}");
    }
    gateway.advance(SECOND);
    // A client may take its own tokens back, and that is its deed.
    let token = acme.token(&gateway).await;
    let basic = acme.basic();
    let mut session = gateway.session_from([127, 0, 0, 2]).await;
    session.post_form("/oauth2/revoke", &[("authorization", &basic)], &format!("token={token}")).await;
    let newest = &changes(&gateway).await[0];
    assert_eq!((newest.action.as_str(), newest.actor.as_str()), ("token.revoke", "acme-orders"));
    assert_eq!(newest.source.as_deref(), Some("127.0.0.2"));
    // From the folder itself.
    let partner = Partner::create(&gateway, "globex", "globex-orders").await;
    let selector = portcullis::authority::Selector::Certificate(partner.serial.parse().unwrap());
    gateway.authority().revoke(selector, pki::RevocationReason::Superseded, &Actor::local()).await.unwrap();
    gateway.registry().set_client_enabled(&Actor::local(), "globex-orders", false).await.unwrap();
    gateway.apply(&document(&[SERVER, ACME, HELLO])).await;
    let rows = changes(&gateway).await;
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    for action in [
        "policy.apply",
        "client.disable",
        "certificate.revoke",
        "client-secret.create",
        "api-key.create",
        "certificate.issue",
        "client.create",
        "partner.create",
    ] {
        let at = actions.iter().position(|other| *other == action).unwrap_or_else(|| panic!("{action} in {actions:?}"));
        assert_eq!((rows[at].actor.as_str(), rows[at].source.as_deref()), ("local", None), "{action}");
    }
    // What is refused changed nothing and is no change.
    let before = rows.len();
    assert_eq!(admin.post_json("/v1/api-keys", &json!({ "client": "nobody" })).await.status, 404);
    assert_eq!(changes(&gateway).await.len(), before);
}

/// Everything that must not be found, by what it is.
struct Canaries(Vec<(&'static str, Vec<u8>)>);

impl Canaries {
    fn add(&mut self, what: &'static str, secret: impl Into<Vec<u8>>) {
        let secret = secret.into();
        assert!(secret.len() >= 12, "{what} is too short to be told from chance");
        self.0.push((what, secret));
    }

    /// In binary, hex and base64, as a careless `Debug` or column would have it.
    fn add_bytes(&mut self, what: &'static str, secret: &[u8]) {
        self.add(what, secret);
        self.add(what, secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.add(what, STANDARD.encode(secret).trim_end_matches('='));
        self.add(what, URL_SAFE_NO_PAD.encode(secret));
    }

    fn add_token(&mut self, token: &str) {
        self.add("token", token);
        self.add("the signature of a token", token.rsplit_once('.').unwrap().1);
    }

    /// The key's secret without its public part and checksum.
    fn add_api_key(&mut self, key: &str) {
        self.add("API key", key);
        self.add("the secret of an API key", &key[key.len() - 38..key.len() - 6]);
    }

    fn add_identity(&mut self, identity: &Identity) {
        // SEC 1 §C.4: the private scalar is an octet string of 32.
        let at = identity.key_pkcs8.windows(2).position(|pair| pair == [4, 32]).unwrap();
        self.add_bytes("private key", &identity.key_pkcs8[at + 2..at + 34]);
        self.add("private key file", &STANDARD.encode(&identity.key_pkcs8).as_bytes()[40..100]);
    }

    fn absent_from(&self, place: &str, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "{place} is empty: nothing was looked at");
        let text = latin(bytes);
        for (what, secret) in &self.0 {
            assert!(!text.contains(&latin(secret)), "{what} in {place}");
        }
    }
}

/// One character for each byte: text is searched much faster than bytes.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[tokio::test]
async fn no_secret_is_ever_written_down() {
    let upstream = Upstream::start().await;
    let action = format!("{{ proxy = {{ upstream = \"{}\" }} }}", upstream.url());
    let down = "{ proxy = { upstream = \"http://127.0.0.1:1\" } }";
    let routes = [route("\"GET\", \"POST\"", "/up/{*rest}", &action), route("\"GET\"", "/down", down)].concat();
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &routes]))).await;
    let mut canaries = Canaries(Vec::new());
    let acme = gateway.acme();
    let partner = Partner::create(&gateway, "globex", "globex-orders").await;
    for partner in [&acme, &partner] {
        canaries.add_api_key(&partner.api_key);
        canaries.add("client secret", partner.client_secret.as_bytes());
        canaries.add("basic credentials", partner.basic().strip_prefix("Basic ").unwrap());
        canaries.add_identity(&partner.identity);
    }
    canaries.add_identity(&gateway.admin_identity());
    canaries.add_bytes("pepper", &std::fs::read(gateway.data().join("keys/pepper")).unwrap());
    canaries.add("passphrase", std::fs::read(gateway.data().join("keys/passphrase")).unwrap().trim_ascii());
    canaries
        .add("PKCS#12 password", std::fs::read(gateway.data().join("acme/client.p12.password")).unwrap().trim_ascii());
    through_the_front(&gateway, &acme, &mut canaries).await;
    through_the_back(&gateway, &mut canaries).await;

    // A refused policy, a bad request, an upstream that is down: errors are where secrets like to leak.
    assert!(gateway.try_apply(&format!("client_secret = \"{}\"", acme.client_secret)).await.is_err());
    gateway.app.audit.flush().await;
    let data = gateway.data().to_owned();
    let databases = |data: &Path| {
        let mut control = false;
        for entry in std::fs::read_dir(data).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.contains(".db") && !name.ends_with("-shm") {
                let bytes = std::fs::read(&path).unwrap();
                if !bytes.is_empty() {
                    canaries.absent_from(&name, &bytes);
                    control |= latin(&bytes).contains(acme.api_key_id());
                }
            }
        }
        assert!(control, "what is not secret would have been found");
    };
    databases(&data);
    let metrics = portcullis::telemetry::metrics().unwrap().render();
    assert!(metrics.contains("portcullis_decisions_total"));
    canaries.absent_from("the metrics", metrics.as_bytes());
    let gateway = gateway.restart().await;
    databases(&data);
    // The journal is of all tests at once, and has this one in it.
    let denied = gateway.session().await.get("/nowhere", &[]).await;
    let journal = logged();
    assert!(journal.contains(denied.decision_id()), "nothing was written down of this test");
    canaries.absent_from("the log", journal.as_bytes());
}

/// Good and bad use of every credential, and each in the wrong place.
async fn through_the_front(gateway: &Gateway, acme: &Partner, canaries: &mut Canaries) {
    for http in Http::BOTH {
        for method in Method::ALL {
            let (mut session, headers) = acme.prepare(gateway, method, http).await;
            let headers = borrowed(&headers);
            if method == Method::Token {
                canaries.add_token(headers[0].1.strip_prefix("Bearer ").unwrap());
            }
            for (path, status) in [(acme.path.as_str(), 200), ("/up/x", 200), ("/down", 502), ("/nowhere", 404)] {
                assert_eq!(session.get(path, &headers).await.status, status, "{method:?} {path}");
            }
        }
        let mut session = gateway.session_with(SessionOptions { http, ..SessionOptions::default() }).await;
        let token = acme.token_over(&mut session, "").await;
        canaries.add_token(&token);
        let basic = acme.basic();
        for (name, value) in [
            ("x-api-key", token.clone()),
            ("x-api-key", format!("{}x", acme.api_key)),
            ("x-api-key", acme.client_secret.clone()),
            ("authorization", token.clone()),
            ("authorization", format!("Bearer {}", acme.api_key)),
            ("authorization", format!("Bearer {}", acme.client_secret)),
            ("authorization", format!("Bearer {token}x")),
            ("authorization", format!("Bearer x.{token}")),
            ("authorization", basic.clone()),
            ("authorization", format!("ApiKey {}", acme.api_key)),
        ] {
            assert_eq!(session.get(&acme.path, &[(name, &value)]).await.status, 401, "{name}");
        }
        for query in [format!("access_token={token}"), format!("api_key={}", acme.api_key)] {
            assert_eq!(session.get(&format!("{}?{query}", acme.path), &[]).await.status, 400);
        }
        for (path, form) in [
            (
                "/oauth2/token",
                format!("grant_type=client_credentials&client_id=globex-orders&client_secret={}", acme.client_secret),
            ),
            (
                "/oauth2/token",
                format!("grant_type=client_credentials&client_id={0}&client_secret={0}", acme.client_secret),
            ),
            ("/oauth2/token", format!("grant_type={}", acme.client_secret)),
            ("/oauth2/token", format!("%zz{}", acme.client_secret)),
            ("/oauth2/introspect", format!("token={token}")),
            ("/oauth2/introspect", format!("token={token}x")),
            ("/oauth2/revoke", format!("token={}", acme.api_key)),
        ] {
            session.post_form(path, &[("authorization", &basic)], &form).await;
            session.post_form(path, &[], &form).await;
        }
        let in_url = format!("/oauth2/token?client_id=acme-orders&client_secret={}", acme.client_secret);
        assert_eq!(session.post_form(&in_url, &[], "grant_type=client_credentials").await.status, 400);
    }
    let mut raw = RawConnection::open(gateway, &SessionOptions::default()).await;
    raw.send(format!("GET / HTTP/1.1\r\nx-api-key: {0}\r\nAuthorization {0}\r\n\r\n", acme.api_key).as_bytes()).await;
    assert_eq!(raw.answer().await.status, 400);
}

/// The control plane makes secrets, shows them once, and is told some.
async fn through_the_back(gateway: &Gateway, canaries: &mut Canaries) {
    let mut admin = gateway.admin().await;
    let text = |answer: &crate::harness::Answer, name: &str| {
        answer.json()[name].as_str().unwrap_or_else(|| panic!("{name} in {answer:?}")).to_owned()
    };
    let key = admin.post_json("/v1/api-keys", &json!({ "client": "acme-orders" })).await;
    canaries.add_api_key(&text(&key, "api_key"));
    let rotated = admin.post_json(&format!("/v1/api-keys/{}/rotate", text(&key, "id")), &json!({})).await;
    canaries.add_api_key(&text(&rotated, "api_key"));
    let own = "brought_along_by_the_partner_0123456789";
    canaries.add("a secret that was brought along", own);
    let secret = admin.post_json("/v1/client-secrets", &json!({ "client": "acme-orders", "value": own })).await;
    assert_eq!(secret.status, 201, "{secret:?}");
    // One too many: refused with the secret in the request.
    let refused = "one_too_many_brought_along_0123456789";
    canaries.add("a secret that was refused", refused);
    let secret = admin.post_json("/v1/client-secrets", &json!({ "client": "acme-orders", "value": refused })).await;
    assert_eq!(secret.status, 409, "{secret:?}");
    let misspelt = admin.post_json("/v1/client-secrets", &json!({ "client": "acme-orders", "valeu": refused })).await;
    assert_eq!(misspelt.status, 400, "{misspelt:?}");
    let order = json!({ "client": "acme-orders" });
    let certificate = admin.post_json("/v1/certificates", &order).await;
    let (pem, key) = (text(&certificate, "certificate_pem"), text(&certificate, "private_key_pem"));
    canaries.add_identity(&Identity::from_pem(pem.as_bytes(), key.as_bytes()));
    canaries.add("PKCS#12 password", text(&certificate, "pkcs12_password"));
    let token = admin.post_json("/v1/tokens", &order).await;
    let token = text(&token, "access_token");
    canaries.add_token(&token);
    for path in ["/v1/tokens/inspect", "/v1/tokens/revoke"] {
        assert_eq!(admin.post_json(path, &json!({ "token": token })).await.status, 200);
    }
    let identity = Identity::issue(gateway, new_certificate("acme-orders")).await;
    canaries.add_identity(&identity);
    // What is shown later shows nothing.
    for path in [
        "/v1/api-keys?client=acme-orders",
        "/v1/client-secrets?client=acme-orders",
        "/v1/certificates",
        "/v1/audit",
        "/v1/audit?kind=change",
        "/v1/issuers",
        "/v1/status",
        "/metrics",
        "/v1/policies/current",
    ] {
        let answer = admin.get(path, &[]).await;
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        canaries.absent_from(path, &answer.body);
    }
}

#[tokio::test]
async fn whoever_is_refused_without_end_fills_no_disk_and_hides_nobody_else() {
    let options = GatewayOptions::policy(&document(&[SERVER, ACME, HELLO]))
        .configure(|config| config.audit.denials_per_address = Rate { per_second: 0.1, burst: 3 });
    let gateway = Gateway::start_with(options).await;
    let refused = async |source: [u8; 4], times: usize| {
        let options = SessionOptions { source: Some(source.into()), ..SessionOptions::default() };
        let mut session = gateway.session_with(options).await;
        for _ in 0..times {
            assert_eq!(session.status("/test/hello-world", &[("x-api-key", "nobody's")]).await, 401);
        }
    };
    let recorded = async |source: &str| {
        let rows = gateway.decisions(DecisionFilter { denied_only: true, ..DecisionFilter::default() }).await;
        rows.iter().filter(|row| row.source == source).count()
    };
    refused([127, 0, 0, 2], 10).await;
    refused([127, 0, 0, 3], 2).await;
    assert_eq!((recorded("127.0.0.2").await, recorded("127.0.0.3").await), (3, 2));
    gateway.advance(10 * SECOND);
    refused([127, 0, 0, 2], 2).await;
    assert_eq!(recorded("127.0.0.2").await, 4);
    // What is let through is recorded all the same.
    let acme = gateway.acme();
    let options = SessionOptions { source: Some([127, 0, 0, 2].into()), ..SessionOptions::default() };
    let mut session = gateway.session_with(options).await;
    let answer = session.get("/test/hello-world", &[("x-api-key", acme.api_key.as_str())]).await;
    assert_eq!(gateway.decision(answer.decision_id()).await.outcome, "allowed");
}
