use super::*;

#[tokio::test]
async fn a_certificate_is_issued_shown_and_revoked() {
    let server = Server::with_client().await;
    let order = json!({"client": "acme-orders", "scopes": [SCOPE]});
    let issued = server.post("/v1/certificates", order).await.ok(StatusCode::CREATED);
    for (field, beginning) in [("certificate_pem", "-----BEGIN CERT"), ("private_key_pem", "-----BEGIN PRIVATE")] {
        assert!(issued[field].as_str().unwrap().starts_with(beginning), "{field}");
    }
    assert!(issued["pkcs12"].is_string() && issued["pkcs12_password"].is_string());
    let id = issued["id"].as_str().unwrap();
    let shown = server.get(&format!("/v1/certificates/{}", id.to_uppercase())).await.ok(StatusCode::OK);
    assert_eq!((&shown["state"], shown.get("private_key_pem")), (&json!("issued"), None));
    let listed = server.get("/v1/certificates?client=acme-orders&state=issued").await.ok(StatusCode::OK);
    assert_eq!(listed["items"][0]["id"], id);
    let order = json!({"serial": id, "reason": "key-compromise"});
    let revoked = server.post("/v1/certificates/revoke", order).await.ok(StatusCode::OK);
    assert_eq!(revoked["revoked"][0]["id"], id);
    assert!(revoked["effective_after_ms"].is_number());
    let shown = server.get(&format!("/v1/certificates/{id}")).await.ok(StatusCode::OK);
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("revoked"), &json!("key-compromise")));
}

#[tokio::test]
async fn an_issuance_that_is_asked_for_twice_is_done_once() {
    let server = Server::with_client().await;
    let ask = || async {
        let body = Body::from(json!({"client": "acme-orders", "pkcs12": false}).to_string());
        let mut request = request(Method::POST, "/v1/certificates", body);
        request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        request.headers_mut().insert("idempotency-key", "once".parse().unwrap());
        read(server.send(request).await).await
    };
    ask().await.ok(StatusCode::CREATED);
    ask().await.refused(StatusCode::CONFLICT, "already_issued");
}

#[tokio::test]
async fn a_revocation_names_exactly_one_thing() {
    let server = Server::with_client().await;
    for body in [json!({}), json!({"client": "acme-orders", "partner": "acme"})] {
        let answer = server.post("/v1/certificates/revoke", body).await;
        answer.refused(StatusCode::UNPROCESSABLE_ENTITY, "ambiguous_selector");
    }
    let all = server.post("/v1/certificates/revoke", json!({"partner": "acme"})).await.ok(StatusCode::OK);
    assert_eq!(all["revoked"], json!([]));
    let unknown = server.post("/v1/certificates/revoke", json!({"serial": "0a", "reason": "bored"})).await;
    let refusal = unknown.refused(StatusCode::BAD_REQUEST, "malformed_body");
    assert!(refusal["message"].as_str().unwrap().contains("field reason"), "{refusal}");
}

#[tokio::test]
async fn a_key_is_rotated_and_revoked() {
    let server = Server::with_client().await;
    let old = server.post("/v1/api-keys", json!({"client": "acme-orders"})).await.ok(StatusCode::CREATED);
    let path = format!("/v1/api-keys/{}", old["id"].as_str().unwrap());
    let new = server.post_text(&format!("{path}/rotate"), "").await.ok(StatusCode::CREATED);
    assert_ne!(new["api_key"], old["api_key"]);
    let rotating = server.get(&path).await.ok(StatusCode::OK);
    assert_eq!((&rotating["status"], &rotating["expires_at"]), (&json!("rotating"), &json!(NOW.0 + 86_400)));
    let revoked = server.post(&format!("{path}/revoke"), json!({"reason": "leaked"})).await.ok(StatusCode::OK);
    assert_eq!((&revoked["status"], &revoked["revocation_reason"]), (&json!("revoked"), &json!("leaked")));
}

#[tokio::test]
async fn a_token_is_made_inspected_and_revoked() {
    let server = Server::with_client().await;
    let token = server.post("/v1/tokens", json!({"client": "acme-orders"})).await.ok(StatusCode::CREATED);
    assert_eq!((&token["token_type"], &token["scope"]), (&json!("Bearer"), &json!(SCOPE)));
    let text = token["access_token"].as_str().unwrap();
    let inspect = || async { server.post("/v1/tokens/inspect", json!({"token": text})).await.ok(StatusCode::OK) };
    let good = inspect().await;
    assert_eq!((&good["active"], &good["verdict"]), (&json!(true), &json!("accepted")));
    assert_eq!(good["claims"]["client_id"], "acme-orders");
    server.post("/v1/tokens/revoke", json!({"token": text})).await.ok(StatusCode::OK);
    let bad = inspect().await;
    assert_eq!((&bad["active"], &bad["verdict"]), (&json!(false), &json!("claims_refused")));
    assert_eq!(bad["reason"], "the token was revoked");
    let (head, _) = text.rsplit_once('.').unwrap();
    let forged = json!({"token": format!("{head}.{}", "A".repeat(86))});
    let forged = server.post("/v1/tokens/inspect", forged).await.ok(StatusCode::OK);
    assert_eq!((&forged["verdict"], &forged["claims"]), (&json!("signature_refused"), &Value::Null));
}

#[tokio::test]
async fn a_token_of_a_client_that_is_off_does_not_count() {
    let server = Server::with_client().await;
    let token = server.post("/v1/tokens", json!({"client": "acme-orders"})).await.ok(StatusCode::CREATED);
    server.post("/v1/clients/acme-orders/disable", json!({})).await.ok(StatusCode::OK);
    let verdict = server.post("/v1/tokens/inspect", json!({"token": token["access_token"]})).await.ok(StatusCode::OK);
    assert_eq!((&verdict["active"], &verdict["verdict"]), (&json!(false), &json!("claims_refused")));
    let refused = server.post("/v1/tokens", json!({"client": "acme-orders"})).await;
    refused.refused(StatusCode::CONFLICT, "client_disabled");
    let unknown = server.post("/v1/tokens", json!({"client": "nobody"})).await;
    unknown.refused(StatusCode::NOT_FOUND, "client_not_found");
}

#[tokio::test]
async fn a_token_cannot_have_more_than_its_client() {
    let server = Server::with_client().await;
    let order = json!({"client": "acme-orders", "scopes": ["portcullis/admin.write"]});
    server.post("/v1/tokens", order).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "scope_not_granted");
}

#[tokio::test]
async fn what_is_shown_once_is_in_no_list() {
    let server = Server::with_client().await;
    let for_client = json!({"client": "acme-orders"});
    let key = server.post("/v1/api-keys", for_client.clone()).await.ok(StatusCode::CREATED);
    let secret = server.post("/v1/client-secrets", for_client.clone()).await.ok(StatusCode::CREATED);
    let token = server.post("/v1/tokens", for_client.clone()).await.ok(StatusCode::CREATED);
    let certificate = server.post("/v1/certificates", for_client).await.ok(StatusCode::CREATED);
    let secrets: Vec<&str> = [
        &key["api_key"],
        &secret["client_secret"],
        &token["access_token"],
        &certificate["private_key_pem"],
        &certificate["pkcs12"],
        &certificate["pkcs12_password"],
    ]
    .into_iter()
    .map(|value| value.as_str().unwrap())
    .collect();
    let id = certificate["id"].as_str().unwrap();
    let shown = format!("/v1/certificates/{id}");
    for path in [
        "/v1/api-keys",
        "/v1/client-secrets?client=acme-orders",
        "/v1/certificates",
        &shown,
        "/v1/audit?kind=change",
        "/v1/audit?kind=decision",
        "/v1/clients/acme-orders",
        "/v1/expiring?within_seconds=40000000",
    ] {
        let text = server.get(path).await.ok(StatusCode::OK).to_string();
        for secret in &secrets {
            assert!(!text.contains(secret) && !text.contains(&json!(secret).to_string()), "{path} shows {secret}");
        }
    }
}
