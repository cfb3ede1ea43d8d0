use std::collections::HashSet;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use policies::{Document, Policy};
use serde_json::Value;

use super::{GatewayDocs, PublishedListener, Site, SwaggerUi, gateway_document};

/// Set to write the golden document anew.
const BLESS: &str = "PORTCULLIS_BLESS";

#[test]
fn the_document_of_a_sample_policy_is_the_golden_one() {
    let document = gateway_document(&sample("three-methods"), &site());
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openapi/three-methods.json");
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(golden, format!("{document:#}\n")).unwrap();
    }
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    same(&document, &expected, "");
}

/// Equal, or a panic that names the place.
fn same(found: &Value, expected: &Value, place: &str) {
    if let (Value::Object(found), Value::Object(expected)) = (found, expected) {
        let names: Vec<_> = found.keys().collect();
        assert_eq!(names, expected.keys().collect::<Vec<_>>(), "members of {place}");
        found.iter().for_each(|(name, value)| same(value, &expected[name], &format!("{place}/{name}")));
    } else {
        assert_eq!(found, expected, "{place}; run with {BLESS}=1 when the change is meant");
    }
}

#[test]
fn every_sample_gives_a_sound_document() {
    for name in ["three-methods", "partner-read-only", "reverse-proxy", "cognito-issuer"] {
        check(&gateway_document(&sample(name), &site()));
    }
}

#[test]
fn any_of_several_scopes_are_alternatives_and_all_of_them_are_one() {
    let document = gateway_document(&policy(SEVERAL), &site());
    let any = &document["paths"]["/any"]["get"]["security"];
    assert_eq!(any, &serde_json::json!([{"oauth2": ["api/a"]}, {"oauth2": ["api/b"]}]));
    let all = &document["paths"]["/all"]["get"]["security"];
    assert_eq!(all, &serde_json::json!([{"mutualTLS": [], "oauth2": ["api/a", "api/b"]}, {"apiKey": []}]));
    assert_eq!(document["paths"]["/public"]["get"]["security"], serde_json::json!([]));
    check(&document);
}

#[test]
fn paths_of_one_shape_are_one_path_with_one_name_for_the_parameter() {
    let document = gateway_document(&policy(SEVERAL), &site());
    let item = &document["paths"]["/orders/{id}"];
    assert!(item["get"].is_object() && item["post"].is_object());
    assert_eq!(document["paths"].get("/orders/{order}"), None);
    assert_eq!(item["parameters"][0]["name"], "id");
    let files = &document["paths"]["/files/{rest}"];
    assert!(files["parameters"][0]["description"].as_str().unwrap().contains("slashes"));
    assert!(files["description"].as_str().unwrap().contains("PROPFIND"));
}

#[test]
fn a_route_of_some_listeners_only_says_where_and_of_no_listener_is_left_out() {
    let document = gateway_document(&policy(SEVERAL), &site());
    let servers = &document["paths"]["/strict"]["get"]["servers"];
    assert_eq!(servers.as_array().map(Vec::len), Some(1));
    assert_eq!(servers[0]["url"], "https://mtls.example.com:8444");
    assert_eq!(document["paths"].get("/elsewhere"), None);
    assert_eq!(document["paths"]["/any"]["get"].get("servers"), None);
}

#[test]
fn the_refusals_of_a_route_are_in_its_own_style() {
    let document = gateway_document(&policy(SEVERAL), &site());
    let aws = &document["paths"]["/aws"]["get"]["responses"];
    assert_eq!(aws["401"]["$ref"], "#/components/responses/AwsUnauthorized");
    assert_eq!(aws["400"]["$ref"], "#/components/responses/BadRequest");
    let standard = &document["paths"]["/any"]["get"]["responses"];
    assert_eq!(standard["401"]["$ref"], "#/components/responses/Unauthorized");
    assert_eq!(document["paths"]["/public"]["get"]["responses"].get("401"), None);
}

#[test]
fn text_of_the_policy_does_not_become_markup_of_the_page() {
    let ui = SwaggerUi::new("/docs", "/openapi.json", "<script>alert(1)</script>");
    let page = String::from_utf8(ui.asset("/docs").unwrap().bytes.to_vec()).unwrap();
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;"));
}

#[test]
fn the_page_runs_no_script_but_its_own_files_and_they_are_there() {
    let ui = SwaggerUi::new("/docs", "/openapi.json", "API");
    let page = String::from_utf8(ui.asset("/docs/").unwrap().bytes.to_vec()).unwrap();
    for part in page.split("<script").skip(1) {
        assert!(part.starts_with(" src=\"/docs/"), "an inline script: {part}");
    }
    for attribute in page.split(['"']).filter(|text| text.starts_with("/docs/")) {
        assert!(ui.asset(attribute).is_some(), "{attribute} is not served");
    }
    assert!(ui.asset("/docs/../Cargo.toml").is_none());
    let answer = ui.asset("/docs").unwrap().answer(&HeaderMap::new());
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"));
}

#[test]
fn a_browser_that_has_the_page_is_told_so() {
    let docs = GatewayDocs::new(site());
    let policy = sample("three-methods");
    let first = docs.answer("/openapi.json", &HeaderMap::new(), 1, &policy).unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    let mut headers = HeaderMap::new();
    headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
    let second = docs.answer("/openapi.json", &headers, 1, &policy).unwrap();
    assert_eq!((second.status(), second.body().len()), (StatusCode::NOT_MODIFIED, 0));
    headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"another\""));
    assert_eq!(docs.answer("/openapi.json", &headers, 1, &policy).unwrap().status(), StatusCode::OK);
    assert!(docs.answer("/test/hello-world", &headers, 1, &policy).is_none());
}

#[test]
fn a_new_version_of_the_policy_is_a_new_document() {
    let docs = GatewayDocs::new(site());
    let one = docs.answer("/openapi.json", &HeaderMap::new(), 1, &sample("three-methods")).unwrap();
    let same = docs.answer("/openapi.json", &HeaderMap::new(), 1, &policy(SEVERAL)).unwrap();
    let other = docs.answer("/openapi.json", &HeaderMap::new(), 2, &policy(SEVERAL)).unwrap();
    assert_eq!(one.body(), same.body());
    assert_ne!(one.body(), other.body());
}

/// What a reader relies on: references that lead somewhere, schemes that exist, ids used once, descriptions everywhere.
pub(crate) fn check(document: &Value) {
    assert_eq!(document["openapi"], "3.1.0");
    references(document, document);
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    let known_scopes = schemes["oauth2"]["flows"]["clientCredentials"]["scopes"].as_object().unwrap();
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let named: HashSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        for (method, operation) in item.as_object().unwrap() {
            if !operation.is_object() {
                continue;
            }
            let place = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{place}: operationId used twice");
            let own = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
            let shared = item.get("parameters").and_then(Value::as_array).into_iter().flatten();
            let in_path = own.chain(shared).filter(|parameter| parameter["in"] == "path");
            let given: HashSet<&str> = in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(given, named, "{place}: parameters");
            for alternative in operation["security"].as_array().unwrap_or_else(|| panic!("{place}: no security")) {
                for (scheme, scopes) in alternative.as_object().unwrap() {
                    assert!(schemes.contains_key(scheme), "{place}: no scheme {scheme}");
                    for scope in scopes.as_array().unwrap() {
                        assert!(known_scopes.contains_key(scope.as_str().unwrap()), "{place}: no scope {scope}");
                    }
                }
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(!responses.is_empty(), "{place}: no responses");
            for (status, response) in responses {
                let described =
                    response.get("description").is_some_and(|text| text != "") || response.get("$ref").is_some();
                assert!(described, "{place}: {status} has no description");
            }
        }
    }
}

fn references(whole: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(whole.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|value| references(whole, value));
        }
        Value::Array(items) => items.iter().for_each(|item| references(whole, item)),
        _ => {}
    }
}

fn sample(name: &str) -> Policy {
    policy(&std::fs::read_to_string(format!("{}/policies/samples/{name}.toml", env!("CARGO_MANIFEST_DIR"))).unwrap())
}

fn policy(text: &str) -> Policy {
    Policy::parse(&[Document { name: "test.toml".into(), text: text.into() }]).unwrap()
}

fn site() -> Site {
    let listener = |name: &str, url: &str| PublishedListener {
        name: name.into(),
        url: url.into(),
        description: format!("The listener {name}."),
    };
    Site {
        title: "Partner API".into(),
        token_url: "/oauth2/token".into(),
        listeners: vec![listener("gateway", "/"), listener("mtls", "https://mtls.example.com:8444")],
    }
}

const SEVERAL: &str = r#"
[[resource_server]]
identifier = "api"
name = "The API"
scopes = [{ name = "a", description = "Do a" }, { name = "b", description = "" }]

[[route]]
methods = ["GET"]
path = "/any"
accept = [["bearer"]]
scopes = { any = ["api/a", "api/b"] }
action = { mock = { status = 200, body = '[1]' } }

[[route]]
methods = ["GET"]
path = "/all"
accept = [["mutual_tls", "bearer"], ["api_key"]]
scopes = { all = ["api/a", "api/b"] }
action = { mock = { status = 204 } }

[[route]]
methods = ["GET"]
path = "/public"
public = true
action = { mock = { status = 200, body = "hello" } }

[[route]]
methods = ["GET"]
path = "/orders/{id}"
accept = [["api_key"]]
action = { mock = { status = 200, body = "{}" } }

[[route]]
methods = ["POST", "PUT"]
path = "/orders/{order}"
accept = [["api_key"]]
action = { proxy = { upstream = "http://127.0.0.1:9" } }

[[route]]
methods = ["GET", "PROPFIND"]
path = "/files/{*rest}"
accept = [["api_key"]]
action = { mock = { status = 200, body = "{" , headers = { x-kind = "file" } } }

[[route]]
methods = ["GET"]
path = "/strict"
listeners = ["mtls"]
accept = [["mutual_tls"]]
action = { mock = { status = 200, body = "{}" } }

[[route]]
methods = ["GET"]
path = "/elsewhere"
listeners = ["other"]
accept = [["mutual_tls"]]
action = { mock = { status = 200, body = "{}" } }

[[route]]
methods = ["GET"]
path = "/aws"
errors = "aws"
accept = [["bearer"]]
action = { mock = { status = 200, body = "{}" } }
"#;
