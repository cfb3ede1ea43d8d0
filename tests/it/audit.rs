//! Every decision and every change is on record; no secret is, anywhere.

/// What is never written down.
mod secrets;

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
async fn allowed_requests_may_be_left_out_and_denials_stay() {
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
