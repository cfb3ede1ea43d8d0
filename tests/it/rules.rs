//! A rule in shadow denies nobody, and everybody reads what it would have done.

use portcullis::config::AuditAllowed;
use portcullis::store::audit_log::DecisionFilter;

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{Gateway, GatewayOptions, Http, Method, borrowed};

const ELSEWHERE: &str = r#"
[[network]]
name = "elsewhere"
cidrs = ["203.0.113.0/24"]
"#;

/// Each of these routes has one rule that says no to Acme's key, by its mode.
const RULES: &str = r#"
[[route]]
methods = ["GET"]
path = "/from/{mode}"
accept = [["api_key"]]
networks = ["elsewhere"]
rules = { networks = "MODE" }
action = { mock = { body = "from" } }

[[route]]
methods = ["GET"]
path = "/write/{mode}"
accept = [["api_key"]]
scopes = { any = ["{server}/write"] }
rules = { scopes = "MODE" }
action = { mock = { body = "write" } }

[[route]]
methods = ["GET"]
path = "/together/{mode}"
accept = [["mutual_tls", "api_key"]]
rules = { methods = "MODE" }
action = { mock = { body = "together" } }

[[route]]
methods = ["GET"]
path = "/all/{mode}"
accept = [["mutual_tls", "api_key"]]
networks = ["elsewhere"]
scopes = { any = ["{server}/write"] }
rules = { networks = "MODE", methods = "MODE", scopes = "MODE" }
action = { mock = { body = "all" } }
"#;

const EXPECTED: [(&str, &str, &str); 4] = [
    ("/from", "source_not_allowed", "networks"),
    ("/write", "insufficient_scope", "scopes"),
    ("/together", "method_not_accepted", "methods"),
    ("/all", "source_not_allowed", "networks methods scopes"),
];

async fn start(mode: &str, allowed: AuditAllowed) -> Gateway {
    let rules = RULES.replace("MODE", mode).replace("{mode}", mode);
    let options = GatewayOptions::policy(&document(&[SERVER, ELSEWHERE, ACME, HELLO, &rules]));
    Gateway::start_with(options.configure(move |config| config.audit.allowed = allowed)).await
}

async fn count(gateway: &Gateway, rule: &str) -> u64 {
    let mut admin = gateway.admin().await;
    let metrics = String::from_utf8(admin.get("/metrics", &[]).await.body.to_vec()).unwrap();
    let line = format!("portcullis_shadow_denials_total{{rule=\"{rule}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn enforce_denies_shadow_reports_and_off_is_silent() {
    let acme_sends = async |gateway: &Gateway, path: &str| {
        let (mut session, headers) = gateway.acme().prepare(gateway, Method::ApiKey, Http::Two).await;
        session.get(path, &borrowed(&headers)).await
    };
    for (mode, status) in [("enforce", None), ("shadow", Some(200)), ("off", Some(200))] {
        let gateway = start(mode, AuditAllowed::All).await;
        for (path, code, rules) in EXPECTED {
            let before = count(&gateway, rules.split(' ').next().unwrap()).await;
            let answer = acme_sends(&gateway, &format!("{path}/{mode}")).await;
            let row = gateway.decision(answer.decision_id()).await;
            let after = count(&gateway, rules.split(' ').next().unwrap()).await;
            let what = format!("{mode} {path}: {row:?}");
            match status {
                None => assert_eq!(answer.code(), code, "{what}"),
                Some(status) => assert_eq!(answer.status, status, "{what}"),
            }
            assert_eq!(row.outcome, if status.is_some() { "allowed" } else { code }, "{what}");
            assert_eq!(row.shadow.as_deref(), (mode == "shadow").then_some(rules), "{what}");
            // Other tests of this process count in the same registry.
            if mode == "shadow" {
                assert!(after > before, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_log_of_denials_alone_keeps_what_a_shadow_would_have_denied() {
    let gateway = start("shadow", AuditAllowed::None).await;
    let (mut session, headers) = gateway.acme().prepare(&gateway, Method::ApiKey, Http::Two).await;
    assert_eq!(session.get("/test/hello-world", &borrowed(&headers)).await.status, 200);
    assert_eq!(session.get("/write/shadow", &borrowed(&headers)).await.status, 200);
    let shadowed = gateway.decisions(DecisionFilter { shadow_only: true, ..DecisionFilter::default() }).await;
    assert_eq!(shadowed.len(), 1, "{shadowed:?}");
    assert_eq!(shadowed[0].path, "/write/shadow");
    let all = gateway.decisions(DecisionFilter { client: Some("acme-orders".into()), ..DecisionFilter::default() });
    assert_eq!(all.await.len(), 1, "what was simply allowed is not there");
    // The same by the admin API.
    let mut admin = gateway.admin().await;
    let listed = admin.get("/v1/audit?shadow=true", &[]).await.json();
    assert_eq!(listed["items"][0]["shadow"], "scopes", "{listed}");
    assert_eq!(admin.get("/v1/audit?kind=change&shadow=true", &[]).await.status, 422);
}

#[tokio::test]
async fn a_mode_takes_effect_with_its_policy_version() {
    let gateway = start("enforce", AuditAllowed::All).await;
    let (mut session, headers) = gateway.acme().prepare(&gateway, Method::ApiKey, Http::Two).await;
    assert_eq!(session.get("/write/enforce", &borrowed(&headers)).await.status, 403);
    let with = |mode: &str| {
        document(&[SERVER, ELSEWHERE, ACME, HELLO, &RULES.replace("MODE", mode).replace("{mode}", "enforce")])
    };
    gateway.apply(&with("shadow")).await;
    assert_eq!(session.get("/write/enforce", &borrowed(&headers)).await.status, 200);
    gateway.apply(&with("enforce")).await;
    assert_eq!(session.get("/write/enforce", &borrowed(&headers)).await.status, 403);
}

#[tokio::test]
async fn the_token_endpoint_and_enrolment_report_a_watched_allowlist_too() {
    let watched = ACME.replace("scopes", "networks = [\"elsewhere\"]\nrules = { networks = \"shadow\" }\nscopes");
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ELSEWHERE, &watched, HELLO]))).await;
    gateway.acme().token(&gateway).await;
    let order = serde_json::json!({ "client": "acme-orders" });
    let enrollment = gateway.admin().await.post_json("/v1/enrollments", &order).await.json();
    let token = format!("Bearer {}", enrollment["token"].as_str().unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wishes = rcgen::CertificateParams::default();
    wishes.distinguished_name = rcgen::DistinguishedName::new();
    wishes.distinguished_name.push(rcgen::DnType::CommonName, "acme-orders");
    let request = wishes.serialize_request(&key).unwrap();
    let headers = [("authorization", token.as_str()), ("content-type", "application/pkcs10")];
    let answer = gateway.session().await.send("POST", "/v1/enroll", &headers, request.der().to_vec()).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let shadowed = gateway.decisions(DecisionFilter { shadow_only: true, ..DecisionFilter::default() }).await;
    let told: Vec<_> =
        shadowed.iter().map(|row| (row.path.as_str(), row.outcome.as_str(), row.shadow.as_deref())).collect();
    assert_eq!(
        told,
        [("/v1/enroll", "allowed", Some("networks")), ("/oauth2/token", "allowed", Some("networks"))],
        "{shadowed:?}"
    );
}
