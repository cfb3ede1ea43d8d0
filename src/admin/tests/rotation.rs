use super::*;

async fn issuers(server: &Server, kind: &str) -> Vec<Value> {
    let listed = server.get("/v1/issuers").await.ok(StatusCode::OK);
    listed["items"].as_array().unwrap().iter().filter(|issuer| issuer["kind"] == kind).cloned().collect()
}

#[tokio::test]
async fn a_generation_follows_another_over_http() {
    let server = Server::with_client().await;
    let issued = server.post("/v1/certificates", json!({"client": "acme-orders", "pkcs12": false})).await;
    let old = issued.ok(StatusCode::CREATED)["issuer"].clone();
    let rotate = |order: Value| server.post("/v1/issuers/rotate", order);
    let dry = rotate(json!({"kind": "issuing", "to": "active", "dry_run": true})).await.ok(StatusCode::OK);
    let planned: Vec<_> = dry["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    assert_eq!(
        (planned, &dry["old"], &dry["would_break"]),
        (vec![json!("prepare"), json!("trust"), json!("activate")], &old, &json!(1))
    );
    assert_eq!(issuers(&server, "issuing").await.len(), 1, "a dry run does nothing");
    let done = rotate(json!({"kind": "issuing", "to": "active"})).await.ok(StatusCode::OK);
    assert!(done["next"].as_str().unwrap().contains("--dry-run"), "{done:#}");
    let issuers_now = issuers(&server, "issuing").await;
    let mut states: Vec<_> = issuers_now.iter().filter_map(|issuer| issuer["state"].as_str()).collect();
    states.sort_unstable();
    assert_eq!(states, ["active", "retiring"]);
    let refused = rotate(json!({"kind": "issuing"})).await.refused(StatusCode::CONFLICT, "issuer_in_use");
    assert!(refused["details"][0].as_str().unwrap().starts_with("acme-orders: 1 live"), "{refused:#}");
    rotate(json!({"kind": "issuing", "to": "removed", "force": true})).await.ok(StatusCode::OK);
    assert_eq!(issuers(&server, "issuing").await.len(), 1);
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused() {
    let server = Server::new().await;
    let rotate = |order: Value| server.post("/v1/issuers/rotate", order);
    rotate(json!({"kind": "root", "list": "x"})).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "certificate_missing");
    rotate(json!({"kind": "issuing", "to": "removed"})).await.refused(StatusCode::CONFLICT, "nothing_retires");
    rotate(json!({"kind": "issuing", "to": "retiring"})).await.refused(StatusCode::BAD_REQUEST, "malformed_body");
    let brought = rotate(json!({"kind": "issuing", "certificate": "nothing"})).await;
    brought.refused(StatusCode::UNPROCESSABLE_ENTITY, "malformed_pem");
    let root = rotate(json!({"kind": "root", "certificate": "nothing", "list": "nothing"})).await;
    root.refused(StatusCode::UNPROCESSABLE_ENTITY, "malformed_pem");
}

#[tokio::test]
async fn an_authority_is_tainted_by_its_key_id() {
    let server = Server::with_client().await;
    let id = issuers(&server, "issuing").await[0]["id"].as_str().unwrap().to_owned();
    server.post("/v1/issuers/0a0b/taint", json!({})).await.refused(StatusCode::NOT_FOUND, "issuer_not_found");
    let tainted = server.post(&format!("/v1/issuers/{id}/taint"), json!({})).await.ok(StatusCode::OK);
    assert_eq!((&tainted["id"], &tainted["newly"]), (&json!(id), &json!(true)));
    assert!(issuers(&server, "issuing").await[0]["tainted_at"].is_i64());
    let issued = server.post("/v1/certificates", json!({"client": "acme-orders", "pkcs12": false})).await;
    issued.refused(StatusCode::CONFLICT, "issuer_tainted");
}

#[tokio::test]
async fn a_roots_list_is_taken_once_and_from_its_root_only() {
    let server = Server::new().await;
    let root = issuers(&server, "root").await.remove(0);
    let below = issuers(&server, "issuing").await.remove(0);
    let path = |issuer: &Value| format!("/v1/issuers/{}/crl", issuer["id"].as_str().unwrap());
    let key = std::fs::read_to_string(server._folder.path().join("keys/root.key")).unwrap();
    let key = pki::PrivateKey::decrypt(&key, PASSPHRASE.as_bytes()).unwrap();
    let now = time::OffsetDateTime::from_unix_timestamp(NOW.0).unwrap();
    let signer = pki::Issuer::load(root["certificate_pem"].as_str().unwrap().as_bytes(), key, now).unwrap();
    let list = |number: u64, days: i64| {
        let request = pki::CrlRequest {
            number,
            this_update: now + time::Duration::days(days),
            next_update: now + time::Duration::days(days + 365),
            revoked: Vec::new(),
            distribution_point: None,
        };
        json!({"list": signer.sign_crl(request).unwrap().pem()})
    };
    server.post(&path(&root), list(1, 0)).await.refused(StatusCode::CONFLICT, "old_list");
    let future = server.post(&path(&root), list(9, 1)).await;
    future.refused(StatusCode::UNPROCESSABLE_ENTITY, "root_list_unusable");
    let foreign = server.post(&path(&below), list(9, 0)).await;
    foreign.refused(StatusCode::UNPROCESSABLE_ENTITY, "not_a_root");
    let taken = server.post(&path(&root), list(9, 0)).await.ok(StatusCode::OK);
    assert_eq!((&taken["id"], &taken["number"]), (&root["id"], &json!(9)));
    assert_eq!(issuers(&server, "root").await[0]["crl_number"], 9, "it is published");
    server.post(&path(&root), list(9, 0)).await.refused(StatusCode::CONFLICT, "old_list");
}
