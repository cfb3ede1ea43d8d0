use super::*;

#[tokio::test]
async fn without_a_proved_caller_nothing_is_told_or_done() {
    let server = Server::new().await;
    let anonymous = Caller { client: None, source: [192, 0, 2, 1].into(), decision_id: "decision-1".into() };
    for caller in [None, Some(anonymous)] {
        for (method, path) in [(Method::GET, "/v1/partners"), (Method::POST, "/v1/partners"), (Method::GET, "/metrics")]
        {
            let mut request = request(method, path, Body::empty());
            if let Some(caller) = caller.clone() {
                request.extensions_mut().insert(caller);
            }
            let response = server.router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        }
    }
}

#[tokio::test]
async fn another_site_cannot_use_the_administrators_browser() {
    let server = Server::with_client().await;
    let ask = |name: &'static str, value: &'static str| {
        let mut request = request(Method::POST, "/v1/partners/acme/disable", Body::empty());
        request.headers_mut().insert(name, value.parse().unwrap());
        let server = &server;
        async move { read(server.send(request).await).await }
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example.com"),
        ("origin", "https://admin.example.com.evil.example"),
        ("origin", "https://admin.example.com:9444"),
        ("origin", "http://admin.example.com"),
        ("origin", "null"),
    ] {
        ask(name, value).await.refused(StatusCode::FORBIDDEN, "cross_site_request");
    }
    assert_eq!(server.get("/v1/partners/acme").await.ok(StatusCode::OK)["enabled"], true);
    ask("sec-fetch-site", "same-origin").await.ok(StatusCode::OK);
    ask("origin", "https://admin.example.com").await.ok(StatusCode::OK);
}

#[tokio::test]
async fn answers_are_not_kept_by_caches() {
    let server = Server::new().await;
    let response = server.send(request(Method::GET, "/v1/partners", Body::empty())).await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
}
