use super::*;

#[tokio::test]
async fn a_partner_gets_a_client_and_the_client_a_key() {
    let server = Server::with_client().await;
    let partner = server.get("/v1/partners/acme").await.ok(StatusCode::OK);
    assert_eq!(
        (&partner["id"], &partner["name"], &partner["enabled"]),
        (&json!("acme"), &json!("Acme Ltd"), &json!(true))
    );
    let order = json!({"client": "acme-orders", "name": "first", "ttl_seconds": 60, "networks": ["offices"]});
    let key = server.post("/v1/api-keys", order).await.ok(StatusCode::CREATED);
    assert!(key["api_key"].as_str().unwrap().starts_with("pc_test_"));
    assert_eq!(key["expires_at"], NOW.0 + 60);
    let id = key["id"].as_str().unwrap();
    let shown = server.get(&format!("/v1/api-keys/{id}")).await.ok(StatusCode::OK);
    assert_eq!((&shown["status"], shown.get("api_key")), (&json!("active"), None));
    let listed = server.get("/v1/api-keys?client=acme-orders").await.ok(StatusCode::OK);
    assert_eq!((listed["items"][0]["id"].as_str(), &listed["next"]), (Some(id), &Value::Null));
}

#[tokio::test]
async fn what_exists_already_is_a_conflict() {
    let server = Server::with_client().await;
    let again = server.post("/v1/partners", json!({"id": "acme"})).await;
    again.refused(StatusCode::CONFLICT, "partner_exists");
}

#[tokio::test]
async fn a_partner_without_a_name_is_called_by_its_id() {
    let server = Server::new().await;
    let partner = server.post("/v1/partners", json!({"id": "globex"})).await.ok(StatusCode::CREATED);
    assert_eq!(partner["name"], "globex");
}

#[tokio::test]
async fn a_partner_that_is_switched_off_takes_its_clients_along() {
    let server = Server::with_client().await;
    let off = server.post_text("/v1/partners/acme/disable", "").await.ok(StatusCode::OK);
    assert_eq!(off["enabled"], false);
    let client = server.get("/v1/clients/acme-orders").await.ok(StatusCode::OK);
    assert_eq!((&client["enabled"], &client["partner_disabled"]), (&json!(false), &json!(true)));
    server.post("/v1/partners/acme/enable", json!({})).await.ok(StatusCode::OK);
    server.post("/v1/clients/acme-orders/disable", json!({})).await.ok(StatusCode::OK);
    let client = server.get("/v1/clients?partner=acme").await.ok(StatusCode::OK);
    assert_eq!(client["items"][0]["disabled_by_operator"], true);
    let client = server.post("/v1/clients/acme-orders/enable", json!({})).await.ok(StatusCode::OK);
    assert_eq!(client["enabled"], true);
}

#[tokio::test]
async fn a_list_is_walked_part_by_part() {
    let server = Server::new().await;
    for number in 0..5 {
        server.post("/v1/partners", json!({"id": format!("partner-{number}")})).await.ok(StatusCode::CREATED);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let part = server.get(&format!("/v1/partners?limit=2{after}")).await.ok(StatusCode::OK);
        let items = part["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match part["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["partner-0", "partner-1", "partner-2", "partner-3", "partner-4"]);
}

#[tokio::test]
async fn what_ends_soon_is_listed_whatever_it_is() {
    let server = Server::with_client().await;
    let secret = json!({"client": "acme-orders", "expires_at": NOW.0 + 50});
    server.post("/v1/client-secrets", secret).await.ok(StatusCode::CREATED);
    for ttl in [100, 10_000_000] {
        let key = json!({"client": "acme-orders", "ttl_seconds": ttl});
        server.post("/v1/api-keys", key).await.ok(StatusCode::CREATED);
    }
    let certificate = json!({"client": "acme-orders", "lifetime_seconds": 86_400, "pkcs12": false});
    server.post("/v1/certificates", certificate).await.ok(StatusCode::CREATED);
    let soon = server.get("/v1/expiring?within_seconds=90000").await.ok(StatusCode::OK);
    let kinds: Vec<&str> =
        soon["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["client-secret", "api-key", "client-certificate"]);
    let status = server.get("/v1/status").await.ok(StatusCode::OK);
    let expected = json!({"partners": 1, "clients": 1, "certificates": 1, "api_keys": 2, "client_secrets": 1});
    assert_eq!(
        (&status["counts"], &status["caller"], &status["policy_version"]),
        (&expected, &json!("admin"), &json!(1))
    );
}
