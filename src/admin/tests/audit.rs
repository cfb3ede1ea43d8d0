use super::*;
use crate::store::audit_log::DecisionRow;

fn decision(number: u32, outcome: &str) -> DecisionRow {
    DecisionRow {
        id: format!("019ab2f4-0000-7000-8000-{number:012}"),
        at: NOW.0 * 1000 + i64::from(number),
        listener: "gateway".into(),
        source: "192.0.2.7".into(),
        http_method: "GET".into(),
        path: "/test".into(),
        route: Some("GET /test".into()),
        client: Some("acme-orders".into()),
        partner: Some("acme".into()),
        auth_methods: Some("api_key".into()),
        credentials: Some("api-key:4fG".into()),
        outcome: outcome.into(),
        status: 200,
        detail: None,
        shadow: None,
        micros: 12,
    }
}

#[tokio::test]
async fn decisions_are_there_as_soon_as_they_are_made() {
    let server = Server::new().await;
    for number in 0..5 {
        server.state.audit.record(decision(number, if number % 2 == 0 { "allowed" } else { "throttled" }));
    }
    let first = server.get("/v1/audit?limit=3").await.ok(StatusCode::OK);
    assert_eq!(first["items"][0]["id"], decision(4, "allowed").id);
    let rest = format!("/v1/audit?limit=3&after={}", first["next"].as_str().unwrap());
    let rest = server.get(&rest).await.ok(StatusCode::OK);
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["next"]), (Some(2), &Value::Null));
    let denied = server.get("/v1/audit?denied=true&client=acme-orders").await.ok(StatusCode::OK);
    assert_eq!(denied["items"].as_array().map(Vec::len), Some(2));
    let one = server.get(&format!("/v1/audit?id={}", decision(3, "").id)).await.ok(StatusCode::OK);
    assert_eq!(one["items"][0]["outcome"], "throttled");
    let none = server.get("/v1/audit?outcome=source_not_allowed").await.ok(StatusCode::OK);
    assert_eq!(none, json!({"items": [], "next": null}));
}

#[tokio::test]
async fn a_decision_is_opened_with_its_steps() {
    let server = Server::new().await;
    server.state.audit.record(decision(1, "allowed"));
    let steps = r#"[{"stage":"scopes","passed":false,"mode":"enforce","detail":"d"}]"#;
    server.state.audit.record_with(decision(2, "insufficient_scope"), Box::new(move || steps.to_owned()));
    let show = async |number: u32| server.get(&format!("/v1/audit/{}", decision(number, "").id)).await;
    let simple = show(1).await.ok(StatusCode::OK);
    assert_eq!((&simple["outcome"], &simple["steps"]), (&json!("allowed"), &Value::Null));
    let denied = show(2).await.ok(StatusCode::OK);
    assert_eq!((&denied["outcome"], &denied["steps"][0]["stage"]), (&json!("insufficient_scope"), &json!("scopes")));
    show(3).await.refused(StatusCode::NOT_FOUND, "decision_not_found");
}

#[tokio::test]
async fn changes_are_listed_with_who_made_them() {
    let server = Server::with_client().await;
    let all = server.get("/v1/audit?kind=change&actor=admin").await.ok(StatusCode::OK);
    let actions: Vec<&str> =
        all["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(
        {
            let mut sorted = actions.clone();
            sorted.sort_unstable();
            sorted
        },
        ["client.create", "partner.create"]
    );
    let one = server.get("/v1/audit?kind=change&client=acme-orders").await.ok(StatusCode::OK);
    let item = &one["items"][0];
    assert_eq!((&item["action"], &item["source"]), (&json!("client.create"), &json!("192.0.2.1")));
    assert_eq!(item["detail"]["partner"], "acme");
    let mut seen = 0;
    let mut path = "/v1/audit?kind=change&limit=1".to_owned();
    loop {
        let part = server.get(&path).await.ok(StatusCode::OK);
        seen += part["items"].as_array().unwrap().len();
        let Some(next) = part["next"].as_str() else { break };
        path = format!("/v1/audit?kind=change&limit=1&after={next}");
    }
    let whole = server.get("/v1/audit?kind=change").await.ok(StatusCode::OK);
    assert_eq!(seen, whole["items"].as_array().unwrap().len());
}
