use super::*;

fn documents(text: &str) -> Value {
    json!([{"name": "policy.toml", "text": text}])
}

#[tokio::test]
async fn a_policy_is_checked_planned_applied_and_rolled_back() {
    let server = Server::new().await;
    let wrong = format!("{POLICY}\n[[network]]\nname = \"offices\"\ncidrs = [\"x\"]\n");
    let checked = server.post("/v1/policies/check", json!({"documents": documents(&wrong)})).await.ok(StatusCode::OK);
    let fault = &checked["faults"][0];
    assert_eq!(fault["document"], "policy.toml");
    assert!(fault["line"].as_u64().unwrap() > 15, "{fault}");
    let good = server.post("/v1/policies/check", json!({"documents": documents(POLICY)})).await.ok(StatusCode::OK);
    assert_eq!((&good["faults"], good["warnings"].as_array().map(Vec::len)), (&json!([]), Some(2)), "{good}");

    let new = POLICY.replace("203.0.113.0/24", "198.51.100.0/24");
    let plan = server.post("/v1/policies/plan", json!({"documents": documents(&new)})).await.ok(StatusCode::OK);
    assert_eq!((&plan["current_version"], &plan["changes"][0]["what"]), (&json!(1), &json!("network")));

    let order = json!({"documents": documents(&new), "comment": "moved", "expected_version": 1});
    let applied = server.post("/v1/policies", order.clone()).await.ok(StatusCode::CREATED);
    assert_eq!((&applied["id"], &applied["unchanged"]), (&json!(2), &json!(false)));
    let other = json!({"documents": documents(POLICY), "expected_version": 1});
    server.post("/v1/policies", other).await.refused(StatusCode::CONFLICT, "policy_changed");
    let refused = server.post("/v1/policies", json!({"documents": documents(&wrong)})).await;
    let refused = refused.refused(StatusCode::UNPROCESSABLE_ENTITY, "policy_invalid");
    assert!(!refused["details"].as_array().unwrap().is_empty());

    let back = server.post("/v1/policies/rollback", json!({"version": 1})).await.ok(StatusCode::CREATED);
    assert_eq!(back["id"], 3);
    let current = server.get("/v1/policies/current").await.ok(StatusCode::OK);
    assert_eq!((&current["id"], &current["restored"]), (&json!(3), &json!(1)));
    assert_eq!(current["documents"][0]["text"], POLICY);
    let history = server.get("/v1/policies?limit=2").await.ok(StatusCode::OK);
    let ids: Vec<&Value> = history["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids, [3, 2]);
    assert!(history["items"][0].get("documents").is_none());
    let second = server.get("/v1/policies/2").await.ok(StatusCode::OK);
    assert_eq!((&second["comment"], &second["applied_by"]), (&json!("moved"), &json!("admin")));
}

#[tokio::test]
async fn a_decision_is_explained() {
    let server = Server::with_client().await;
    let asked = json!({"method": "GET", "path": "/test", "client": "acme-orders", "presents": ["api_key"]});
    let answer = server.post("/v1/explain", asked).await.ok(StatusCode::OK);
    assert_eq!((&answer["decision"], &answer["route"]), (&json!("allow"), &json!("GET /test")));
    assert!(answer["steps"].as_array().unwrap().iter().all(|step| step["passed"] == true));
    let asked = json!({"method": "GET", "path": "/test", "client": "acme-orders", "presents": ["mutual_tls"]});
    let answer = server.post("/v1/explain", asked).await.ok(StatusCode::OK);
    assert_eq!((&answer["decision"], &answer["code"]), (&json!("deny"), &json!("method_not_accepted")));
    let unknown = server.post("/v1/explain", json!({"method": "GET", "path": "/test", "verb": "x"})).await;
    unknown.refused(StatusCode::BAD_REQUEST, "malformed_body");
}
