//! A partner comes with a token and a request of its own making, and leaves with a certificate that opens the gate.

use portcullis::config::Rate;
use portcullis::registry::client::NewClient;
use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, GatewayOptions, Identity, Partner, Session, SessionOptions};

const PATH: &str = "/v1/enroll";

/// A key and its PKCS#10 request, as openssl makes them.
struct Made {
    key: Vec<u8>,
    request: Vec<u8>,
}

fn make(more: &[&str]) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("openssl")
        .args([
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=acme-orders",
        ])
        .args(["-keyout", "made.key", "-out", "made.csr"])
        .args(more)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    Made { key: read("made.key"), request: read("made.csr") }
}

async fn create(gateway: &Gateway, order: Value) -> Value {
    let answer = gateway.admin().await.post_json("/v1/enrollments", &order).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

async fn token(gateway: &Gateway) -> String {
    text(&create(gateway, json!({"client": "acme-orders"})).await["token"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

async fn send(session: &mut Session, token: &str, request: &[u8], headers: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {token}");
    let all = [&[("authorization", bearer.as_str())], headers].concat();
    session.send("POST", PATH, &all, request.to_vec()).await.unwrap()
}

#[tokio::test]
async fn what_comes_back_opens_the_gate() {
    let gateway = Gateway::start().await;
    let made = make(&[]);
    let mut session = gateway.session().await;
    let answer =
        send(&mut session, &token(&gateway).await, &made.request, &[("content-type", "application/pkcs10")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/pem-certificate-chain"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let identity = Identity::from_pem(&answer.body, &made.key);
    assert_eq!(identity.chain.len(), 2, "leaf and issuing authority");
    let options = SessionOptions { identity: Some(identity), ..SessionOptions::default() };
    let mut enrolled = gateway.session_with(options).await;
    assert_eq!(enrolled.status(&gateway.demo.path, &[]).await, 200);
}

#[tokio::test]
async fn pem_der_and_json_in_pem_and_json_out() {
    let gateway = Gateway::start().await;
    let made = make(&[]);
    let der = make(&["-outform", "DER"]);
    let mut session = gateway.session().await;
    let token = token(&gateway).await;
    let first = send(&mut session, &token, &made.request, &[]).await;
    assert_eq!(first.status, 200, "{first:?}");
    let order = json!({"csr": String::from_utf8(made.request.clone()).unwrap()}).to_string();
    let kinds = [("content-type", "application/json; charset=utf-8"), ("accept", "text/html, application/json;q=0.9")];
    let answer = send(&mut session, &token, order.as_bytes(), &kinds).await;
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let json = answer.json();
    assert_eq!(
        (&json["status"], &json["client"], &json["state"]),
        (&json!("issued"), &json!("acme-orders"), &json!("issued"))
    );
    let chain = text(&json["certificate_pem"]) + &text(&json["chain_pem"]);
    assert_eq!(chain.as_bytes(), first.body, "the same token with the same key");
    let mut other = crate::enrollment::token(&gateway).await;
    let answer = send(&mut session, &other, &der.request, &[("content-type", "application/pkcs10")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    other.push('x');
    assert_eq!(send(&mut session, &other, &der.request, &[]).await.status, 401);
}

#[tokio::test]
async fn who_may_not_is_told_why() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let made = make(&[]);
    let mut session = gateway.session().await;
    let answer = session.send("POST", PATH, &[], made.request.clone()).await.unwrap();
    assert_eq!(answer.problem(), (401, "no_credential".to_owned()));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"portcullis\""));
    for wrong in ["pe_test_x", acme.api_key.as_str()] {
        let answer = send(&mut session, wrong, &made.request, &[]).await;
        assert_eq!(answer.problem(), (401, "invalid_enrollment_token".to_owned()));
    }
    let answer = session.get(PATH, &[]).await;
    assert_eq!((answer.problem(), answer.header("allow")), ((405, "method_not_allowed".to_owned()), Some("POST")));

    let token = token(&gateway).await;
    for (request, kind, expected) in [
        (b"{".to_vec(), "application/json", (400, "malformed_body")),
        (b"{\"csr\": \"x\", \"more\": 1}".to_vec(), "application/json", (400, "malformed_body")),
        (b"hello".to_vec(), "multipart/form-data", (415, "unsupported_media_type")),
        (b"hello".to_vec(), "", (422, "malformed_pem")),
        (vec![b'x'; 40_000], "", (413, "body_too_large")),
        (make(&["-addext", "basicConstraints=CA:TRUE"]).request, "", (422, "ca_requested")),
        (make(&["-addext", "subjectAltName=DNS:api.example.com"]).request, "", (422, "name_not_allowed")),
    ] {
        // A body that is too large ends its connection.
        let mut session = gateway.session().await;
        let answer = send(&mut session, &token, &request, &[("content-type", kind)]).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{answer:?}");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        send(&mut gateway.session().await, &token, &made.request, &[]).await.status,
        200,
        "the token is still good"
    );
}

#[tokio::test]
async fn tokens_cannot_be_guessed_at_leisure() {
    let options = GatewayOptions::default().configure(|config| {
        config.limits.exempt.clear();
        config.limits.failures_per_address = Rate { per_second: 0.1, burst: 5 };
    });
    let gateway = Gateway::start_with(options).await;
    let (made, token) = (make(&[]), token(&gateway).await);
    let mut session = gateway.session().await;
    for _ in 0..5 {
        assert_eq!(send(&mut session, "pe_test_x", &made.request, &[]).await.status, 401);
    }
    assert_eq!(send(&mut session, "pe_test_x", &made.request, &[]).await.problem(), (429, "throttled".to_owned()));
    assert_eq!(send(&mut session, &token, &made.request, &[]).await.status, 200, "what is good still passes");
}

#[tokio::test]
async fn nothing_is_issued_before_a_second_person_agrees() {
    let gateway = Gateway::start().await;
    let second = Partner::create_as(
        &gateway,
        NewClient {
            id: "second-admin".to_owned(),
            partner: "operations".to_owned(),
            scopes: vec!["portcullis/admin.read".to_owned(), "portcullis/admin.write".to_owned()],
            ..NewClient::default()
        },
    )
    .await;
    let made = make(&[]);
    let created =
        create(&gateway, json!({"client": "acme-orders", "needs_approval": true, "remark": "ticket 7"})).await;
    let (id, token) = (text(&created["id"]), text(&created["token"]));
    let mut session = gateway.session().await;
    let answer = send(&mut session, &token, &made.request, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (202, Some("60")), "{answer:?}");
    assert_eq!((&answer.json()["status"], &answer.json()["enrollment"]), (&json!("pending"), &json!(id)));

    let mut admin = gateway.admin().await;
    let approve = format!("/v1/enrollments/{id}/approve");
    let waiting = admin.get("/v1/enrollments?state=pending", &[]).await.json();
    assert_eq!((waiting["items"].as_array().unwrap().len(), &waiting["items"][0]["id"]), (1, &json!(id)));
    assert_eq!(admin.post_json(&approve, &json!({})).await.problem(), (403, "approver_is_creator".to_owned()));
    let options = SessionOptions { identity: Some(second.identity.clone()), ..SessionOptions::default() };
    let mut other = Session::open(&gateway, "admin", options).await.unwrap();
    let approved = other.post_json(&approve, &json!({"remark": "read back by phone"})).await;
    assert_eq!(
        (approved.status.as_u16(), &approved.json()["decided_by"]),
        (200, &json!("second-admin")),
        "{approved:?}"
    );
    let answer = send(&mut session, &token, &made.request, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let shown = admin.get(&format!("/v1/enrollments/{id}"), &[]).await.json();
    assert_eq!((&shown["status"], &shown["remark"]), (&json!("issued"), &json!("ticket 7")));
    let serial = Identity::from_pem(&answer.body, &made.key).serial();
    assert_eq!(shown["certificate"], json!(serial));
    let audit = admin.get("/v1/audit?kind=change&limit=100", &[]).await.json().to_string();
    for action in ["enrollment.create", "enrollment.request", "enrollment.approve", "certificate.enroll"] {
        assert!(audit.contains(action), "{action} is not in {audit}");
    }
    assert!(!audit.contains(&token), "the token is in the audit");
}
