//! Who gets to the control plane, and from where.

use super::*;

/// Reading and writing, as the gate tells them apart.
const GUARDED: &[(&str, &str)] = &[
    ("GET", "/v1/status"),
    ("GET", "/v1/partners"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/audit/0193c0de-5a5a-7000-8000-0123456789ab"),
    ("GET", "/v1/policies/current"),
    ("GET", "/v1/nothing-of-the-sort"),
    ("GET", "/metrics"),
    ("POST", "/v1/partners"),
    ("POST", "/v1/certificates"),
    ("POST", "/v1/certificates/revoke"),
    ("POST", "/v1/policies"),
    ("POST", "/v1/explain"),
    ("DELETE", "/v1/partners/acme"),
    ("PUT", "/v1/partners/acme"),
];

#[tokio::test]
async fn only_an_administrator_gets_in() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for http in Http::BOTH {
        let mut anonymous = on_admin(&gateway, None, http).await;
        let mut partner = on_admin(&gateway, Some(&acme.identity), http).await;
        for (verb, path) in GUARDED {
            let answer = anonymous.send(verb, path, &[], "{}").await.unwrap();
            assert_eq!(answer.problem(), (401, "no_credential".to_owned()), "{verb} {path}");
            let answer = partner.send(verb, path, &[], "{}").await.unwrap();
            assert_eq!(answer.problem(), (403, "insufficient_scope".to_owned()), "{verb} {path}");
            let answer = anonymous.send(verb, path, &[("x-api-key", &acme.api_key)], "{}").await.unwrap();
            assert_eq!(answer.status, 403, "{verb} {path} with acme's key");
            let answer = anonymous.send(verb, path, &[("x-api-key", "pc_test_x")], "{}").await.unwrap();
            assert_eq!(answer.status, 401, "{verb} {path} with a bad key");
        }
        // Probes and pages hold no secrets.
        for path in ["/livez", "/readyz", "/openapi.json"] {
            assert_eq!(anonymous.get(path, &[]).await.status, 200, "{path}");
        }
        let mut administrator = on_admin(&gateway, Some(&gateway.admin_identity()), http).await;
        let status = get(&mut administrator, "/v1/status").await;
        assert_eq!(status["caller"], "portcullis-admin");
        let names: Vec<_> =
            status["listeners"].as_array().unwrap().iter().map(|listed| text(&listed["name"])).collect();
        assert_eq!(names, ["gateway", "mtls", "admin", "pki"]);
    }
}

#[tokio::test]
async fn an_administrator_has_three_methods_too_and_may_have_less_scope() {
    let gateway = Gateway::start().await;
    let administrator = Partner::equip(&gateway, "portcullis-admin").await;
    let reader = Partner::create_as(
        &gateway,
        portcullis::registry::client::NewClient {
            id: "auditor".to_owned(),
            partner: "auditors".to_owned(),
            scopes: vec!["portcullis/admin.read".to_owned()],
            ..Default::default()
        },
    )
    .await;
    for method in Method::ALL {
        let asking = async |partner: &Partner| {
            let (_, headers) = partner.prepare(&gateway, method, Http::One).await;
            let identity = (method == Method::Certificate).then_some(&partner.identity);
            (on_admin(&gateway, identity, Http::One).await, headers)
        };
        let (mut session, headers) = asking(&administrator).await;
        let mut headers = borrowed(&headers);
        headers.push(("content-type", "application/json"));
        assert_eq!(session.get("/v1/status", &headers).await.status, 200, "{method:?}");
        let body = format!(r#"{{"id":"by-{}"}}"#, format!("{method:?}").to_lowercase());
        let made = session.send("POST", "/v1/partners", &headers, body).await.unwrap();
        assert_eq!(made.status, 201, "{method:?} {made:?}");
        let (mut session, headers) = asking(&reader).await;
        let mut headers = borrowed(&headers);
        headers.push(("content-type", "application/json"));
        assert_eq!(session.get("/v1/partners", &headers).await.status, 200, "{method:?}");
        // Questions with a body are reading.
        let question = r#"{"method":"GET","path":"/test/hello-world"}"#;
        let answer = session.send("POST", "/v1/explain", &headers, question).await.unwrap();
        assert_eq!(answer.status, 200, "{method:?} {answer:?}");
        for (path, body) in
            [("/v1/partners", r#"{"id":"no"}"#), ("/v1/partners/acme/disable", "{}"), ("/v1/tokens", "{}")]
        {
            let answer = session.send("POST", path, &headers, body).await.unwrap();
            assert_eq!(answer.problem(), (403, "insufficient_scope".to_owned()), "{method:?} {path}");
        }
    }
}

#[tokio::test]
async fn the_control_plane_is_on_its_own_listener_only() {
    let gateway = Gateway::start().await;
    let identity = gateway.admin_identity();
    for listener in ["gateway", "mtls"] {
        let options = SessionOptions { identity: Some(identity.clone()), ..SessionOptions::default() };
        let mut session = Session::open(&gateway, listener, options).await.unwrap();
        for path in ["/v1/status", "/v1/partners", "/metrics", "/livez", "/readyz", "/console", "/v1/audit"] {
            assert_eq!(
                session.get(path, &[]).await.problem(),
                (404, "route_not_found".to_owned()),
                "{listener} {path}"
            );
        }
    }
    // A document cannot take its paths either: these are two tables.
    let taken = route("\"GET\"", "/v1/status", "{ mock = { body = \"mock\" } }");
    gateway.apply(&document(&[SERVER, ACME, HELLO, &taken])).await;
    let acme = gateway.acme();
    assert_eq!(acme.call(&gateway, Method::Certificate, "/v1/status").await.body, "mock");
    assert_eq!(get(&mut gateway.admin().await, "/v1/status").await["caller"], "portcullis-admin");
    let mut partner = on_admin(&gateway, Some(&acme.identity), Http::One).await;
    assert_eq!(partner.get("/v1/status", &[]).await.status, 403);
}

#[tokio::test]
async fn a_policy_that_locks_everybody_out_does_not_lock_out_its_repair() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let nothing = json!({ "documents": [{ "name": "empty.toml", "text": "" }] });
    post(&mut admin, "/v1/policies", nothing, 201).await;
    assert_eq!(gateway.acme().call(&gateway, Method::ApiKey, "/test/hello-world").await.status, 404);
    let version = get(&mut admin, "/v1/policies").await["items"][1]["id"].as_i64().unwrap();
    post(&mut admin, "/v1/policies/rollback", json!({ "version": version }), 201).await;
    // Tokens of the second in which the client was withdrawn could not be told from older ones.
    gateway.advance(std::time::Duration::from_secs(1));
    for method in Method::ALL {
        assert_eq!(gateway.acme().call(&gateway, method, "/test/hello-world").await.status, 200, "{method:?}");
    }
}
