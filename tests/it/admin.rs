//! The control plane over HTTP: who may, and the life of everything from beginning to end.

/// Who may.
mod access;

use serde_json::{Value, json};

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{Answer, Gateway, Http, Identity, Method, Partner, Session, SessionOptions, borrowed};

async fn on_admin(gateway: &Gateway, identity: Option<&Identity>, http: Http) -> Session {
    let options = SessionOptions { identity: identity.cloned(), http, ..SessionOptions::default() };
    Session::open(gateway, "admin", options).await.unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

async fn post(admin: &mut Session, path: &str, body: Value, status: u16) -> Value {
    let answer = admin.post_json(path, &body).await;
    assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
    answer.json()
}

async fn get(admin: &mut Session, path: &str) -> Value {
    let answer = admin.get(path, &[]).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    answer.json()
}

#[tokio::test]
async fn a_partner_s_life() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let admin = &mut admin;
    let scope = gateway.demo.scope.clone();
    let made =
        post(admin, "/v1/partners", json!({ "id": "globex", "name": "Globex", "contact": "it@globex.example" }), 201)
            .await;
    assert_eq!((made["id"].as_str(), made["enabled"].as_bool()), (Some("globex"), Some(true)));
    post(admin, "/v1/partners", json!({ "id": "globex" }), 409).await;
    let client = json!({ "id": "globex-orders", "partner": "globex", "scopes": [scope], "networks": ["127.0.0.0/8"] });
    post(admin, "/v1/clients", client.clone(), 201).await;
    post(admin, "/v1/clients", client, 409).await;
    post(admin, "/v1/clients", json!({ "id": "x", "partner": "nobody", "scopes": [] }), 404).await;
    post(admin, "/v1/clients", json!({ "id": "x", "partner": "globex", "scopes": ["no/such"] }), 422).await;
    let order = json!({ "client": "globex-orders" });
    let certificate = post(admin, "/v1/certificates", order.clone(), 201).await;
    let chain = format!("{}{}", text(&certificate["certificate_pem"]), text(&certificate["chain_pem"]));
    let key = post(admin, "/v1/api-keys", json!({ "client": "globex-orders", "name": "first" }), 201).await;
    let secret = post(admin, "/v1/client-secrets", order, 201).await;
    let identity = Identity::from_pem(chain.as_bytes(), text(&certificate["private_key_pem"]).as_bytes());
    let partner = Partner {
        client_id: "globex-orders".to_owned(),
        serial: identity.serial(),
        identity,
        api_key: text(&key["api_key"]),
        client_secret: text(&secret["client_secret"]),
        ..gateway.acme()
    };
    assert_eq!(certificate["id"], partner.serial);
    for method in Method::ALL {
        assert_eq!(partner.call(&gateway, method, &partner.path).await.status, 200, "{method:?}");
    }
    for (list, count) in [
        ("/v1/clients?partner=globex", 1),
        ("/v1/certificates?client=globex-orders", 1),
        ("/v1/certificates?partner=globex&state=issued", 1),
        ("/v1/certificates?partner=globex&state=revoked", 0),
        ("/v1/api-keys?client=globex-orders", 1),
        ("/v1/client-secrets?client=globex-orders", 1),
    ] {
        assert_eq!(get(admin, list).await["items"].as_array().unwrap().len(), count, "{list}");
    }
    let shown = get(admin, &format!("/v1/certificates/{}", partner.serial)).await;
    assert_eq!(
        (&shown["client"], &shown["partner"], &shown["state"]),
        (&json!("globex-orders"), &json!("globex"), &json!("issued"))
    );
    for (path, expected) in [("disable", 401), ("enable", 200)] {
        for whole in ["/v1/clients/globex-orders", "/v1/partners/globex"] {
            let changed = post(admin, &format!("{whole}/{path}"), json!({}), 200).await;
            assert_eq!(changed["disabled_by_operator"], path == "disable", "{changed}");
        }
        assert_eq!(partner.call(&gateway, Method::Certificate, &partner.path).await.status, expected, "{path}");
        assert_eq!(partner.call(&gateway, Method::ApiKey, &partner.path).await.status, expected, "{path}");
    }
}

#[tokio::test]
async fn a_certificate_s_life() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let admin = &mut admin;
    let acme = gateway.acme();
    // The better way: the key never leaves its owner.
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let order = json!({ "client": "acme-orders", "csr": csr, "lifetime_seconds": 86_400 });
    let signed = post(admin, "/v1/certificates/sign", order, 201).await;
    assert!(signed["private_key_pem"].is_null());
    let chain = format!("{}{}", text(&signed["certificate_pem"]), text(&signed["chain_pem"]));
    let identity = Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes());
    let options = SessionOptions { identity: Some(identity), ..SessionOptions::default() };
    let mut session = gateway.session_with(options).await;
    assert_eq!(session.get(&acme.path, &[]).await.status, 200);
    let ending = get(admin, "/v1/certificates?expiring_within_seconds=90000").await;
    assert!(ending["items"].as_array().unwrap().iter().any(|item| item["id"] == signed["id"]), "{ending}");
    let serial = text(&signed["id"]).to_uppercase();
    let colons: Vec<_> = serial.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let revocation = json!({ "serial": colons.join(":"), "reason": "key-compromise" });
    let revoked = post(admin, "/v1/certificates/revoke", revocation.clone(), 200).await;
    assert_eq!((&revoked["revoked"][0]["id"], &revoked["revoked"][0]["newly"]), (&signed["id"], &json!(true)));
    assert_eq!(revoked["connections_closed"], 1);
    assert!(revoked["effective_after_ms"].as_f64().is_some());
    session.closed().await;
    let again = post(admin, "/v1/certificates/revoke", revocation, 200).await;
    assert_eq!(again["revoked"][0]["newly"], false);
    let all = post(admin, "/v1/certificates/revoke", json!({ "client": "acme-orders" }), 200).await;
    assert!(all["revoked"].as_array().unwrap().iter().any(|item| item["id"] == acme.serial.as_str()));
    assert_eq!(acme.call(&gateway, Method::Certificate, &acme.path).await.status, 401);
    for (bad, status) in [
        (json!({}), 422),
        (json!({ "serial": "00", "client": "acme-orders" }), 422),
        (json!({ "client": "nobody" }), 404),
        (json!({ "serial": "0123456789abcdef" }), 404),
        (json!({ "client": "acme-orders", "reason": "certificate-hold" }), 422),
        (json!({ "client": "acme-orders", "reason": "because" }), 400),
    ] {
        post(admin, "/v1/certificates/revoke", bad, status).await;
    }
    // A request that is sent again is not done again.
    let order = json!({ "client": "acme-orders" }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "b0b1c2d3")];
    let first = admin.send("POST", "/v1/certificates", &headers, order.clone()).await.unwrap();
    assert_eq!(first.status, 201, "{first:?}");
    let second = admin.send("POST", "/v1/certificates", &headers, order).await.unwrap();
    assert_eq!(second.problem(), (409, "already_issued".to_owned()));
}

#[tokio::test]
async fn the_life_of_keys_secrets_and_tokens() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let admin = &mut admin;
    let acme = gateway.acme();
    let with_key = async |key: &str| gateway.session().await.status(&acme.path, &[("x-api-key", key)]).await;
    let key = post(admin, "/v1/api-keys", json!({ "client": "acme-orders", "ttl_seconds": 3600 }), 201).await;
    let (id, old) = (text(&key["id"]), text(&key["api_key"]));
    let rotated = post(admin, &format!("/v1/api-keys/{id}/rotate"), json!({ "grace_seconds": 60 }), 201).await;
    let new = text(&rotated["api_key"]);
    assert_eq!((with_key(&old).await, with_key(&new).await), (200, 200), "both, in the grace period");
    assert_eq!(get(admin, &format!("/v1/api-keys/{id}")).await["status"], "rotating");
    post(admin, &format!("/v1/api-keys/{id}/rotate"), json!({}), 409).await;
    gateway.advance(std::time::Duration::from_secs(60));
    assert_eq!((with_key(&old).await, with_key(&new).await), (401, 200), "after it");
    let revoke = format!("/v1/api-keys/{}/revoke", text(&rotated["id"]));
    assert_eq!(post(admin, &revoke, json!({ "reason": "lost" }), 200).await["status"], "revoked");
    assert_eq!(with_key(&new).await, 401);
    post(admin, "/v1/api-keys/nosuchkey1/revoke", json!({}), 404).await;
    post(admin, "/v1/api-keys", json!({ "client": "acme-orders", "ttl_seconds": -1 }), 422).await;

    let second = post(admin, "/v1/client-secrets", json!({ "client": "acme-orders" }), 201).await;
    post(admin, "/v1/client-secrets", json!({ "client": "acme-orders" }), 409).await;
    let changed = Partner { client_secret: text(&second["client_secret"]), ..acme.clone() };
    let mut session = gateway.session().await;
    for secret in [&acme, &changed] {
        assert_eq!(secret.ask_token(&mut session, "").await.status, 200, "two live at once");
    }
    post(admin, &format!("/v1/client-secrets/{}/revoke", text(&second["id"])), json!({}), 200).await;
    assert_eq!(changed.ask_token(&mut session, "").await.status, 401);
    assert_eq!(acme.ask_token(&mut session, "").await.status, 200);

    let made = post(admin, "/v1/tokens", json!({ "client": "acme-orders" }), 201).await;
    let token = text(&made["access_token"]);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(session.get(&acme.path, &headers).await.status, 200);
    let inspected = post(admin, "/v1/tokens/inspect", json!({ "token": token }), 200).await;
    assert_eq!((&inspected["verdict"], &inspected["active"]), (&json!("accepted"), &json!(true)));
    post(admin, "/v1/tokens/revoke", json!({ "jti": text(&made["id"]), "client": "acme-orders" }), 200).await;
    assert_eq!(session.get(&acme.path, &headers).await.status, 401);
    let inspected = post(admin, "/v1/tokens/inspect", json!({ "token": token }), 200).await;
    assert_eq!((&inspected["verdict"], &inspected["active"]), (&json!("claims_refused"), &json!(false)));
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let inspected = post(admin, "/v1/tokens/inspect", json!({ "token": forged }), 200).await;
    assert_eq!(inspected["verdict"], "signature_refused");
    let other = acme.token_over(&mut session, "").await;
    post(admin, "/v1/tokens/revoke", json!({ "client": "acme-orders" }), 200).await;
    assert_eq!(session.status(&acme.path, &[("authorization", &format!("Bearer {other}"))]).await, 401);
}

#[tokio::test]
async fn the_life_of_a_policy() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let admin = &mut admin;
    let with = |text: &str| {
        let text = text.replace("{server}", gateway.server()).replace("{scope}", &gateway.demo.scope);
        json!({ "documents": [{ "name": "one.toml", "text": text }] })
    };
    let current = get(admin, "/v1/policies/current").await;
    let before = current["id"].as_i64().unwrap();
    let faulty = with(&document(&[SERVER, ACME, "[[route]]\npath = \"/x\"\n"]));
    let checked = post(admin, "/v1/policies/check", faulty.clone(), 200).await;
    let faults = checked["faults"].as_array().unwrap();
    assert!(
        !faults.is_empty() && faults.iter().all(|fault| fault["line"].is_u64() && fault["document"] == "one.toml"),
        "{checked}"
    );
    let refused = post(admin, "/v1/policies", faulty, 422).await;
    assert_eq!(refused["details"].as_array().unwrap().len(), faults.len());
    assert_eq!(get(admin, "/v1/policies/current").await["id"], before);
    let new = document(&[SERVER, ACME, HELLO, &route("\"GET\"", "/new", "{ mock = { body = \"new\" } }")]);
    assert_eq!(post(admin, "/v1/policies/check", with(&new), 200).await["faults"], json!([]));
    let plan = post(admin, "/v1/policies/plan", with(&new), 200).await;
    assert_eq!(plan["current_version"], before);
    assert!(plan["changes"].as_array().unwrap().iter().any(|change| change.to_string().contains("/new")), "{plan}");
    assert_eq!(gateway.acme().call(&gateway, Method::ApiKey, "/new").await.status, 404, "a plan changes nothing");
    let mut apply = with(&new);
    apply["expected_version"] = json!(before + 7);
    post(admin, "/v1/policies", apply.clone(), 409).await;
    apply["expected_version"] = json!(before);
    apply["comment"] = json!("adds /new");
    let applied = post(admin, "/v1/policies", apply, 201).await;
    assert_eq!(applied["id"], before + 1);
    assert_eq!(gateway.acme().call(&gateway, Method::ApiKey, "/new").await.body, "new");
    let rolled = post(admin, "/v1/policies/rollback", json!({ "version": before }), 201).await;
    assert_eq!(rolled["id"], before + 2);
    assert_eq!(gateway.acme().call(&gateway, Method::ApiKey, "/new").await.status, 404);
    let history = get(admin, "/v1/policies").await;
    let newest = &history["items"][0];
    assert_eq!((&newest["id"], &newest["restored"]), (&json!(before + 2), &json!(before)));
    assert_eq!(newest["applied_by"], "portcullis-admin");
    assert_eq!(history["items"][1]["comment"], "adds /new");
    let old = get(admin, &format!("/v1/policies/{}", before + 1)).await;
    assert!(text(&old["documents"][0]["text"]).contains("/new"));
    post(admin, "/v1/policies/rollback", json!({ "version": 999 }), 404).await;
    // What a document declares is changed there, and not behind its back; the emergency brake is.
    post(admin, "/v1/clients", json!({ "id": "acme-orders", "partner": "acme", "scopes": [] }), 409).await;
    post(admin, "/v1/clients/acme-orders/disable", json!({}), 200).await;
    assert_eq!(gateway.acme().call(&gateway, Method::Certificate, "/test/hello-world").await.status, 401);
}

#[tokio::test]
async fn questions_are_answered() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let admin = &mut admin;
    let acme = gateway.acme();
    let denied = acme.call(&gateway, Method::ApiKey, "/test/both").await;
    let trail = get(admin, &format!("/v1/audit?id={}", denied.decision_id())).await;
    assert_eq!(trail["items"][0]["outcome"], "method_not_accepted");
    assert_eq!(get(admin, "/v1/audit?denied=true&client=acme-orders").await["items"].as_array().unwrap().len(), 1);
    let made = post(admin, "/v1/partners", json!({ "id": "fresh" }), 201).await;
    let change = get(admin, "/v1/audit?kind=change&action=partner.create&partner=fresh").await;
    assert_eq!(
        (&change["items"][0]["target"], &change["items"][0]["actor"]),
        (&made["id"], &json!("portcullis-admin"))
    );
    let question = json!({ "method": "GET", "path": "/test/both", "client": "acme-orders", "presents": ["api_key"] });
    let told = post(admin, "/v1/explain", question, 200).await;
    assert_eq!((&told["decision"], &told["code"]), (&json!("deny"), &json!("method_not_accepted")));
    assert!(told["steps"].as_array().unwrap().len() >= 4, "{told}");
    let issuers = get(admin, "/v1/issuers").await;
    let kinds: Vec<_> = issuers["items"].as_array().unwrap().iter().map(|item| text(&item["kind"])).collect();
    for kind in ["root", "issuing", "server-issuing"] {
        assert!(kinds.contains(&kind.to_owned()), "{kinds:?}");
    }
    let metrics = admin.get("/metrics", &[]).await;
    let body = String::from_utf8_lossy(&metrics.body).into_owned();
    for name in ["portcullis_decisions_total", "portcullis_handshakes_total", "portcullis_decision_seconds"] {
        assert!(body.contains(name), "{name}");
    }
    let ready = admin.get("/readyz", &[]).await;
    assert_eq!((ready.status.as_u16(), &ready.json()["ready"]), (200, &json!(true)));
    // Lists come in parts, and the parts are the whole.
    for number in 0..7 {
        post(admin, "/v1/partners", json!({ "id": format!("many-{number}") }), 201).await;
    }
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let part = get(admin, &format!("/v1/partners?limit=3{after}")).await;
        all.extend(part["items"].as_array().unwrap().iter().map(|item| text(&item["id"])));
        let Some(next) = part["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all.len(), "{all:?}");
    assert!((0..7).all(|number| all.contains(&format!("many-{number}"))), "{all:?}");
}

#[tokio::test]
async fn what_is_misspelt_is_refused_and_changes_nothing() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let before = gateway.app.foundation.snapshot.seq();
    let json = [("content-type", "application/json")];
    for (path, headers, body, status, code) in [
        ("/v1/partners", &json[..], r#"{"id":"x","nmae":"X"}"#, 400, "malformed_body"),
        ("/v1/partners", &json, r#"{"id":7}"#, 400, "malformed_body"),
        ("/v1/partners", &json, r#"{"id":"x"} trailing"#, 400, "malformed_body"),
        ("/v1/partners", &json, r#"{"id":"x""#, 400, "malformed_body"),
        ("/v1/partners", &json, r#"{"id":"Not An Id"}"#, 422, "invalid_partner_id"),
        ("/v1/partners", &[], r#"{"id":"x"}"#, 415, "unsupported_media_type"),
        ("/v1/partners", &[("content-type", "text/plain")], r#"{"id":"x"}"#, 415, "unsupported_media_type"),
        ("/v1/partnerss", &json, "{}", 404, "route_not_found"),
        ("/v1/partners/acme", &json, "{}", 405, "method_not_allowed"),
    ] {
        let answer = admin.send("POST", path, headers, body).await.unwrap();
        assert_eq!(answer.problem(), (status, code.to_owned()), "{path} {body}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["decision_id"].as_str(), answer.header("x-portcullis-decision-id"), "{path} {body}");
    }
    for path in ["/v1/audit?nonsense=1", "/v1/partners?limit=many"] {
        assert_eq!(admin.get(path, &[]).await.status, 400, "{path}");
    }
    for path in ["/v1/partners?limit=0", "/v1/partners?limit=1001"] {
        assert_eq!(admin.get(path, &[]).await.status, 422, "{path}");
    }
    // Another site's page in the administrator's browser.
    for header in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let answer = admin.send("POST", "/v1/partners", &[json[0], header], r#"{"id":"forged"}"#).await.unwrap();
        assert_eq!(answer.problem(), (403, "cross_site_request".to_owned()), "{header:?}");
    }
    let large: Answer = admin.send("POST", "/v1/partners", &json, vec![b' '; (8 << 20) + 1]).await.unwrap();
    assert_eq!(large.problem(), (413, "body_too_large".to_owned()));
    assert_eq!(gateway.app.foundation.snapshot.seq(), before);
}
