use super::*;

#[tokio::test]
async fn a_field_that_is_not_known_is_named_with_its_place() {
    let server = Server::new().await;
    let body = "{\n  \"id\": \"acme\",\n  \"nmae\": \"Acme\"\n}";
    let refusal = server.post_text("/v1/partners", body).await.refused(StatusCode::BAD_REQUEST, "malformed_body");
    let message = refusal["message"].as_str().unwrap();
    assert!(message.contains("nmae") && message.contains("line 3"), "{message}");
    server.get("/v1/partners/acme").await.refused(StatusCode::NOT_FOUND, "partner_not_found");
}

#[tokio::test]
async fn the_path_of_a_bad_value_is_told() {
    let server = Server::new().await;
    let body = json!({"documents": [{"name": "a.toml", "text": ""}, {"name": "b.toml", "text": 7}]});
    let refusal = server.post("/v1/policies/check", body).await.refused(StatusCode::BAD_REQUEST, "malformed_body");
    assert!(refusal["message"].as_str().unwrap().contains("documents[1].text"), "{refusal}");
}

#[tokio::test]
async fn broken_json_doubled_fields_and_more_than_one_value_are_refused() {
    let server = Server::new().await;
    for body in ["{", "[]", "null", "\"acme\"", r#"{"id":"a1","id":"b1"}"#, r#"{"id":"acme"} {}"#, "\u{feff}{}"] {
        server.post_text("/v1/partners", body).await.refused(StatusCode::BAD_REQUEST, "malformed_body");
    }
    assert_eq!(server.get("/v1/partners").await.ok(StatusCode::OK)["items"], json!([]));
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_not_read() {
    let server = Server::new().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let mut request = request(Method::POST, "/v1/partners", Body::from(r#"{"id":"acme"}"#));
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        let answer = read(server.send(request).await).await;
        answer.refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    }
    let mut request = request(Method::POST, "/v1/partners", Body::from(r#"{"id":"acme"}"#));
    request.headers_mut().insert(header::CONTENT_TYPE, "Application/JSON; charset=utf-8".parse().unwrap());
    read(server.send(request).await).await.ok(StatusCode::CREATED);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::new().await;
    let body = format!(r#"{{"id":"{}"}}"#, "a".repeat(9 << 20));
    server.post_text("/v1/partners", &body).await.refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");
}

#[tokio::test]
async fn a_filter_that_is_not_known_is_refused() {
    let server = Server::with_client().await;
    for path in ["/v1/clients?partnr=acme", "/v1/partners?limit=many", "/v1/audit?kind=all"] {
        server.get(path).await.refused(StatusCode::BAD_REQUEST, "malformed_query");
    }
    server.get("/v1/partners?limit=0").await.refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_limit");
    server.get("/v1/partners?limit=1001").await.refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_limit");
    server.get("/v1/partners?after=x").await.refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_cursor");
    server.get("/v1/audit?kind=change&denied=true").await.refused(StatusCode::UNPROCESSABLE_ENTITY, "contradiction");
}

#[tokio::test]
async fn what_the_registry_refuses_is_told_in_its_words() {
    let server = Server::with_client().await;
    let client = json!({"id": "acme-more", "partner": "acme", "scopes": ["nothing/here"]});
    let refusal =
        server.post("/v1/clients", client).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "unknown_reference");
    assert!(refusal["details"][0].as_str().unwrap().contains("nothing/here"), "{refusal}");
    let key = json!({"client": "acme-orders", "ttl_seconds": 1, "expires_at": 2});
    server.post("/v1/api-keys", key).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "contradiction");
}

#[tokio::test]
async fn what_is_not_there_and_what_cannot_be_asked_are_problems_too() {
    let server = Server::new().await;
    server.get("/v1/unicorns").await.refused(StatusCode::NOT_FOUND, "route_not_found");
    let answer = read(server.send(request(Method::DELETE, "/v1/partners", Body::empty())).await).await;
    answer.refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
    server.get("/v1/policies/first").await.refused(StatusCode::BAD_REQUEST, "malformed_path");
}
