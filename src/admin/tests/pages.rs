use super::*;

async fn text(server: &Server, path: &str) -> (http::HeaderMap, String) {
    // Anybody may look: there is no caller.
    let response = server.router.clone().oneshot(request(Method::GET, path, Body::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let headers = response.headers().clone();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (headers, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn the_console_is_made_of_files_that_are_served_and_of_no_inline_code() {
    let server = Server::new().await;
    let (headers, page) = text(&server, "/console").await;
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self'") && !policy.contains("unsafe")
    );
    assert!(!page.contains(" style=") && !page.contains(" onclick") && !page.contains("<style"));
    assert!(page.split("<script").skip(1).all(|part| part.contains(" src=\"/console/") && part.contains("></script>")));
    let mut found: Vec<String> =
        page.split('"').filter(|text| text.starts_with("/console/")).map(str::to_owned).collect();
    assert!(found.len() >= 3);
    let mut seen = Vec::new();
    while let Some(path) = found.pop() {
        if seen.contains(&path) {
            continue;
        }
        let (headers, content) = text(&server, &path).await;
        assert!(headers.contains_key(header::ETAG), "{path}");
        if path.ends_with(".js") {
            for part in content.split("from \"./").skip(1) {
                let name = part.split('"').next().unwrap();
                let folder = path.rsplit_once('/').unwrap().0;
                found.push(format!("{folder}/{name}"));
            }
            for part in content.split("from \"../").skip(1) {
                found.push(format!("/console/{}", part.split('"').next().unwrap()));
            }
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", ".style."]
            {
                assert!(!content.contains(forbidden), "{path} uses {forbidden}");
            }
        }
        seen.push(path);
    }
    assert!(seen.len() >= 14, "{seen:?}");
}

#[tokio::test]
async fn the_root_leads_to_the_console_and_the_documents_are_there() {
    let server = Server::new().await;
    let response = server.router.clone().oneshot(request(Method::GET, "/", Body::empty())).await.unwrap();
    assert_eq!(response.headers()[header::LOCATION], "/console");
    let (_, docs) = text(&server, "/docs").await;
    assert!(docs.contains("/openapi.json"));
    server.get("/console/nothing.js").await.refused(StatusCode::NOT_FOUND, "route_not_found");
}

#[tokio::test]
async fn probes_and_metrics_tell_how_it_stands() {
    let server = Server::new().await;
    text(&server, "/livez").await;
    let (_, ready) = text(&server, "/readyz").await;
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((&ready["ready"], &ready["checks"][0]["name"]), (&json!(true), &json!("database")));
    server.ready.store(false, Ordering::SeqCst);
    let unready = server.get("/readyz").await.ok(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unready["ready"], false);
    assert_eq!(server.get("/metrics").await.ok(StatusCode::OK), "portcullis_test 1\n");
}
