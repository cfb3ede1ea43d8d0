use super::*;

async fn document(server: &Server) -> Value {
    server.get("/openapi.json").await.ok(StatusCode::OK)
}

#[tokio::test]
async fn the_document_is_sound() {
    let document = document(&Server::new().await).await;
    crate::openapi::tests::check(&document);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get(crate::openapi::SERVED_BY_GATE).is_some() {
                continue; // tests/it/renewal.rs asks these, through a gate
            }
            let security = operation["security"].as_array().unwrap();
            assert_eq!(security.len(), 3, "{method} {path}");
            let scope = security[2]["oauth2"][0].as_str().unwrap();
            let question = ["/check", "/plan", "/explain", "/inspect"].iter().any(|end| path.ends_with(end));
            let reads = method == "get" || question;
            assert_eq!(
                scope,
                if reads { "portcullis/admin.read" } else { "portcullis/admin.write" },
                "{method} {path}"
            );
            assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn everything_that_is_described_is_served() {
    let server = Server::new().await;
    let document = document(&server).await;
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get(crate::openapi::SERVED_BY_GATE).is_some() {
                continue;
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace("{version}", "7").replace(['{', '}'], "");
            let answer = read(server.send(request(method.clone(), &path, Body::empty())).await).await;
            let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
            assert!(
                !["route_not_found", "method_not_allowed", "internal_error"].contains(&code.as_str()),
                "{method} {path}: {code}"
            );
            operations += 1;
        }
    }
    assert!(operations >= 34, "{operations}");
}

#[tokio::test]
async fn no_body_schema_lets_unknown_fields_through() {
    let document = document(&Server::new().await).await;
    let schemas = &document["components"]["schemas"];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let Some(reference) = schema["$ref"].as_str() else { continue };
            let name = reference.rsplit('/').next().unwrap();
            assert_eq!(schemas[name]["additionalProperties"], false, "{method} {path}: {name}");
        }
    }
}
