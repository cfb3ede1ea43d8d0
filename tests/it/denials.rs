//! How it is said that they may not: every denial's status, body and headers, in both styles.

mod table;

use std::time::Duration;

use portcullis::registry::api_key::NewApiKey;
use portcullis::registry::client::NewClient;
use portcullis::registry::{Actor, Expiry};
use serde_json::{Value, json};

use crate::harness::policy::{ACME, HELLO, SERVER, document};
use crate::harness::{Answer, Gateway, GatewayOptions, Method, Partner, Session, SessionOptions};

/// A denial that can be brought about, and how it is answered.
struct Case {
    what: &'static str,
    session: Session,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    /// Standard: status, code, `message`.
    standard: (u16, &'static str, &'static str),
    /// The scheme and what else must be in the challenges.
    challenges: &'static [&'static str],
    /// The same in the aws style: status, `message`, `x-amzn-errortype`.
    aws: (u16, &'static str, &'static str),
    retry_after: Option<&'static str>,
}

fn twin(style: &str) -> String {
    let routes = r#"
[[route]]
methods = ["GET"]
path = "/STYLE/each"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{scope}"] }
errors = "STYLE"
action = { mock = { body = "ok" } }

[[route]]
methods = ["GET"]
path = "/STYLE/key"
accept = [["api_key"]]
scopes = { any = ["{scope}"] }
errors = "STYLE"
action = { mock = { body = "ok" } }

[[route]]
methods = ["GET"]
path = "/STYLE/together"
accept = [["mutual_tls", "bearer"]]
scopes = { any = ["{scope}"] }
errors = "STYLE"
action = { mock = { body = "ok" } }

[[route]]
methods = ["GET"]
path = "/STYLE/write"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{server}/write"] }
errors = "STYLE"
action = { mock = { body = "ok" } }

[[route]]
methods = ["GET"]
path = "/STYLE/far"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
networks = ["far"]
errors = "STYLE"
action = { mock = { body = "ok" } }

[[route]]
methods = ["GET"]
path = "/STYLE/down"
public = true
errors = "STYLE"
action = { proxy = { upstream = "http://127.0.0.1:1" } }
"#;
    routes.replace("STYLE", style)
}

const PLANS: &str = r#"
[[network]]
name = "far"
cidrs = ["203.0.113.0/24"]

[[usage_plan]]
name = "slow"
throttle = { rate = 0.1, burst = 1 }

[[usage_plan]]
name = "few"
quota = { limit = 1, period = "day" }
"#;

#[tokio::test]
async fn every_denial_has_its_answer_in_both_styles() {
    let (standard, aws) = (twin("standard"), twin("aws"));
    let gateway =
        Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, PLANS, &standard, &aws]))).await;
    let mut table = table::Table::default();
    for style in ["standard", "aws"] {
        for (at, case) in cases(&gateway, style).await.into_iter().enumerate() {
            let Case { what, mut session, path, headers, standard, challenges, aws, retry_after } = case;
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let path = format!("/{style}{path}");
            let answer = session.get(&path, &headers).await;
            match style {
                "standard" => assert_standard(&answer, standard, challenges, what),
                _ => assert_aws(&answer, aws, what),
            }
            table.answered(at, what, &answer);
            assert_eq!(answer.header("retry-after"), retry_after, "{style} {what}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{style} {what}");
            let id = answer.decision_id();
            let row = gateway.decision(id).await;
            assert_eq!((row.path.as_str(), row.status), (path.as_str(), i64::from(answer.status.as_u16())), "{what}");
            // HEAD says the same without a body.
            let head = session.send("HEAD", &path, &headers, "").await.unwrap();
            assert_eq!((head.status, head.body.len()), (answer.status, 0), "HEAD {style} {what}");
            assert_eq!(head.header("content-type"), answer.header("content-type"), "HEAD {style} {what}");
            assert_eq!(head.header("ratelimit"), answer.header("ratelimit"), "HEAD {style} {what}");
        }
    }
    table.is_documented();
}

fn assert_standard(answer: &Answer, (status, code, message): (u16, &str, &str), challenges: &[&str], what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    let body = answer.json();
    // RFC 9457 §3.1, and `message` where readers of API Gateway look for it.
    assert_eq!(body["status"], status);
    if code == "throttled" || code == "quota_exceeded" {
        assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
        let violated = body["violated-policies"].as_array().unwrap();
        assert_eq!(violated.len(), 1, "{body}");
        let (policy, standing) = (answer.header("ratelimit-policy").unwrap(), answer.header("ratelimit").unwrap());
        assert!(policy.contains(violated[0].as_str().unwrap()) && standing.contains(";r=0;t="), "{policy} {standing}");
    } else {
        assert_eq!((&body["type"], &body["violated-policies"]), (&json!("about:blank"), &Value::Null));
        assert_eq!(body["title"], answer.status.canonical_reason().unwrap());
        assert_eq!(answer.header("ratelimit"), None, "{what}");
    }
    assert_eq!((body["code"].as_str(), body["message"].as_str()), (Some(code), Some(message)), "{what}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{what}");
    assert_eq!(body["decision_id"].as_str(), answer.header("x-portcullis-decision-id"), "{what}");
    let sent: Vec<_> =
        answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    assert_eq!(sent.len(), challenges.len(), "{what}: {sent:?}");
    for (sent, expected) in sent.iter().zip(challenges) {
        assert!(expected.split(' ').all(|part| sent.contains(part)), "{what}: {sent} has no {expected}");
    }
}

fn assert_aws(answer: &Answer, (status, message, kind): (u16, &str, &str), what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.json(), json!({ "message": message }) as Value, "{what}");
    assert_eq!(answer.header("x-amzn-errortype"), Some(kind), "{what}");
    assert_eq!(answer.header("x-amzn-requestid"), answer.header("x-portcullis-decision-id"), "{what}");
    assert_eq!(answer.header("www-authenticate"), None, "{what}");
}

async fn cases(gateway: &Gateway, style: &str) -> Vec<Case> {
    let acme = gateway.acme();
    let key = |key: &str| vec![("x-api-key", key.to_owned())];
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let plain = || gateway.session();
    let with = async |partner: &Partner| {
        let options = SessionOptions { identity: Some(partner.identity.clone()), ..SessionOptions::default() };
        gateway.session_with(options).await
    };
    let of_its_own = async |name: &str| {
        let name = format!("{name}-{style}");
        Partner::create(gateway, &name, &name).await
    };
    let (stranger, off) = (of_its_own("stranger").await, of_its_own("off").await);
    let off_token = off.token(gateway).await;
    gateway.registry().set_client_enabled(&Actor::local(), &off.client_id, false).await.unwrap();
    let old = NewApiKey { client: acme.client_id.clone(), expiry: Some(Expiry::After(1)), ..NewApiKey::default() };
    let old = Partner::new_key(gateway, old).await;
    gateway.advance(Duration::from_secs(1));
    let mut on_plans = Vec::new();
    for plan in ["slow", "few"] {
        let new = NewClient {
            id: format!("{plan}-{style}"),
            partner: plan.to_owned(),
            scopes: vec![acme.scope.clone()],
            usage_plan: Some(plan.to_owned()),
            ..NewClient::default()
        };
        let partner = Partner::create_as(gateway, new).await;
        assert_eq!(partner.call(gateway, Method::ApiKey, &acme.path).await.status, 200);
        on_plans.push(partner);
    }
    let token = acme.token(gateway).await;
    let all = &["Bearer realm", "ApiKey", "MutualTLS"][..];
    let unknown = (401, "credential_unknown", "Unauthorized");
    let invalid = (401, "invalid_token", "Unauthorized");
    let unauthorized = (401, "Unauthorized", "UnauthorizedException");
    let forbidden = (403, "Forbidden", "ForbiddenException");
    let case = |what, session, path, headers, standard, challenges, aws| Case {
        what,
        session,
        path,
        headers,
        standard,
        challenges,
        aws,
        retry_after: None,
    };
    vec![
        case("nothing", plain().await, "/each", vec![], (401, "no_credential", "Unauthorized"), all, unauthorized),
        case(
            "nothing, keys only",
            plain().await,
            "/key",
            vec![],
            (401, "no_credential", "Unauthorized"),
            &["ApiKey"],
            forbidden,
        ),
        case("an unknown key", plain().await, "/each", key("pc_test_x"), unknown, &["ApiKey"], forbidden),
        case("an expired key", plain().await, "/each", key(&old), unknown, &["ApiKey"], forbidden),
        case("a disabled client's key", plain().await, "/each", key(&off.api_key), unknown, &["ApiKey"], forbidden),
        case("a disabled client's certificate", with(&off).await, "/each", vec![], unknown, &["ApiKey"], unauthorized),
        case(
            "a bad token",
            plain().await,
            "/each",
            bearer("a.b.c"),
            invalid,
            &["Bearer error=\"invalid_token\""],
            unauthorized,
        ),
        case(
            "a disabled client's token",
            plain().await,
            "/each",
            bearer(&off_token),
            invalid,
            &["Bearer error=\"invalid_token\""],
            unauthorized,
        ),
        case(
            "two clients",
            with(&stranger).await,
            "/each",
            bearer(&token),
            (403, "credential_mismatch", "Forbidden"),
            &[],
            forbidden,
        ),
        case(
            "a method that is not taken",
            plain().await,
            "/together",
            bearer(&token),
            (401, "method_not_accepted", "Unauthorized"),
            &["Bearer realm", "MutualTLS"],
            unauthorized,
        ),
        case(
            "a certificate where keys are taken",
            with(&stranger).await,
            "/key",
            vec![],
            (401, "method_not_accepted", "Unauthorized"),
            &["ApiKey"],
            forbidden,
        ),
        case(
            "from elsewhere",
            plain().await,
            "/far",
            key(&acme.api_key),
            (403, "source_not_allowed", "Forbidden"),
            &[],
            forbidden,
        ),
        case(
            "a token without the scope",
            plain().await,
            "/write",
            bearer(&token),
            (403, "insufficient_scope", "Forbidden"),
            &["Bearer error=\"insufficient_scope\" /write\""],
            unauthorized,
        ),
        case(
            "a key without the scope",
            plain().await,
            "/write",
            key(&acme.api_key),
            (403, "insufficient_scope", "Forbidden"),
            &[],
            unauthorized,
        ),
        Case {
            retry_after: Some("10"),
            ..case(
                "too fast",
                plain().await,
                "/each",
                key(&on_plans[0].api_key),
                (429, "throttled", "Too Many Requests"),
                &[],
                (429, "Too Many Requests", "TooManyRequestsException"),
            )
        },
        Case {
            // START is 08:00; each round has let one second go by. Each client has a second of its own after midnight.
            retry_after: Some(if style == "standard" { "57873" } else { "57604" }),
            ..case(
                "too much",
                plain().await,
                "/each",
                key(&on_plans[1].api_key),
                (429, "quota_exceeded", "Limit Exceeded"),
                &[],
                (429, "Limit Exceeded", "LimitExceededException"),
            )
        },
        case(
            "an upstream that is not there",
            plain().await,
            "/down",
            vec![],
            (502, "upstream_unreachable", "Bad Gateway"),
            &[],
            (502, "Bad Gateway", "InternalServerErrorException"),
        ),
    ]
}
