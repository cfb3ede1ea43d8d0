//! What was made elsewhere: it opens the door as it is, and can be shut like everything else.

use portcullis::registry::Actor;
use serde_json::{Value, json};

use crate::harness::{Gateway, SessionOptions};

const KEY: &str = "pk_3f9c/legacy+key=0123456789!";
const HASHED: &str = "another-old-key-7777";

async fn import(gateway: &Gateway, path: &str, body: Value) -> (u16, Value) {
    let answer = gateway.admin().await.post_json(path, &body).await;
    (answer.status.as_u16(), answer.json())
}

async fn call(gateway: &Gateway, key: &str) -> u16 {
    gateway.session().await.status("/test/hello-world", &[("x-api-key", key)]).await
}

fn sha256(text: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_key_of_another_gateway_opens_the_door_until_it_is_revoked() {
    let gateway = Gateway::start().await;
    assert_eq!(call(&gateway, KEY).await, 401);
    let keys = json!({"keys": [
        {"client": "acme-orders", "key": KEY, "name": "old"},
        {"client": "acme-orders", "sha256": sha256(HASHED), "expires_at": 1_800_000_060},
    ]});
    assert_eq!(
        import(&gateway, "/v1/api-keys/import", keys.clone()).await,
        (200, json!({"imported": 2, "unchanged": 0}))
    );
    for key in [KEY, HASHED] {
        assert_eq!(call(&gateway, key).await, 200);
        assert_eq!(call(&gateway, &format!("{key}x")).await, 401);
        assert_eq!(call(&gateway, &key[1..]).await, 401);
        assert_eq!(call(&gateway, &sha256(key)).await, 401, "the hash is not the key");
    }
    assert_eq!(
        import(&gateway, "/v1/api-keys/import", keys.clone()).await,
        (200, json!({"imported": 0, "unchanged": 2}))
    );
    let listed = gateway.admin().await.get("/v1/api-keys?client=acme-orders", &[]).await.json();
    let old: Vec<&Value> = listed["items"].as_array().unwrap().iter().filter(|key| key["imported"] == true).collect();
    assert_eq!((old[0]["last4"].as_str(), old[0]["hash_algorithm"].as_str()), (Some("789!"), Some("hmac")));
    assert_eq!((old[1]["last4"].as_str(), old[1]["hash_algorithm"].as_str()), (Some(""), Some("sha256")));

    // A restart reads the same.
    let gateway = gateway.restart().await;
    assert_eq!((call(&gateway, KEY).await, call(&gateway, HASHED).await), (200, 200));
    gateway.advance(std::time::Duration::from_secs(60));
    assert_eq!(call(&gateway, HASHED).await, 401, "it has ended");
    let id = old[0]["id"].as_str().unwrap();
    let revoked = gateway.admin().await.post_json(&format!("/v1/api-keys/{id}/revoke"), &json!({})).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(call(&gateway, KEY).await, 401);
    // And it stays revoked whoever brings it again.
    let again = json!({"keys": [{"client": "acme-orders", "key": KEY}]});
    assert_eq!(import(&gateway, "/v1/api-keys/import", again).await, (200, json!({"imported": 0, "unchanged": 1})));
    assert_eq!(call(&gateway, KEY).await, 401);
}

#[tokio::test]
async fn an_old_key_is_replaced_by_one_of_ours() {
    let gateway = Gateway::start().await;
    let keys = json!({"keys": [{"client": "acme-orders", "key": KEY}]});
    assert_eq!(import(&gateway, "/v1/api-keys/import", keys).await.0, 200);
    let listed = gateway.admin().await.get("/v1/api-keys?client=acme-orders", &[]).await.json();
    let old = listed["items"].as_array().unwrap().iter().find(|key| key["imported"] == true).unwrap().clone();
    let path = format!("/v1/api-keys/{}/rotate", old["id"].as_str().unwrap());
    let new = gateway.admin().await.post_json(&path, &json!({"grace_seconds": 60})).await.json();
    assert_eq!((new["imported"].as_bool(), new["hash_algorithm"].as_str()), (Some(false), Some("hmac")));
    let key = new["api_key"].as_str().unwrap();
    assert!(key.starts_with("pc_"), "{new}");
    assert_eq!((call(&gateway, key).await, call(&gateway, KEY).await), (200, 200));
    gateway.advance(std::time::Duration::from_secs(60));
    assert_eq!((call(&gateway, key).await, call(&gateway, KEY).await), (200, 401));
}

#[tokio::test]
async fn one_wrong_row_keeps_the_whole_part_out() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let keys = json!({"first_row": 41, "keys": [
        {"client": "acme-orders", "key": KEY},
        {"client": "nobody", "key": "0123456789"},
        {"client": "acme-orders", "key": "short"},
        {"client": "acme-orders", "key": "white space"},
        {"client": "acme-orders", "key": acme.api_key},
        {"client": "acme-orders", "key": "0123456789", "scopes": ["https://api.example.com/other"]},
        {"client": "acme-orders", "key": "0123456789", "expires_at": 1},
    ]});
    let (status, problem) = import(&gateway, "/v1/api-keys/import", keys).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("import_refused")), "{problem}");
    let rows: Vec<&str> =
        problem["details"].as_array().unwrap().iter().map(|line| &line.as_str().unwrap()[..6]).collect();
    assert_eq!(rows, ["row 42", "row 43", "row 44", "row 45", "row 46", "row 47"], "{problem}");
    assert!(!problem.to_string().contains("0123456789"), "a key stands in no message: {problem}");
    assert_eq!(call(&gateway, KEY).await, 401);
    let checked = json!({"check_only": true, "keys": [{"client": "acme-orders", "key": KEY}]});
    assert_eq!(import(&gateway, "/v1/api-keys/import", checked).await, (200, json!({"imported": 1, "unchanged": 0})));
    assert_eq!(call(&gateway, KEY).await, 401, "only checked");
    for empty in [json!({"keys": []}), json!({"keys": vec![json!({"client": "acme-orders", "key": KEY}); 10_001]})] {
        assert_eq!(import(&gateway, "/v1/api-keys/import", empty).await.1["code"], "import_size");
    }
}

#[tokio::test]
async fn clients_and_their_secrets_come_in_bulk() {
    let gateway = Gateway::start().await;
    let scope = gateway.demo.scope.clone();
    let clients: Vec<Value> = (0..1200)
        .map(|number| json!({"id": format!("device-{number}"), "partner": "acme", "scopes": [scope], "networks": ["127.0.0.0/8"]}))
        .collect();
    let clients = json!({"clients": clients});
    assert_eq!(
        import(&gateway, "/v1/clients/import", clients.clone()).await,
        (200, json!({"imported": 1200, "unchanged": 0}))
    );
    assert_eq!(import(&gateway, "/v1/clients/import", clients).await.1, json!({"imported": 0, "unchanged": 1200}));
    let other = json!({"clients": [
        {"id": "device-1", "partner": "acme"},
        {"id": "new-1", "partner": "nobody"},
        {"id": "new-2", "partner": "acme", "usage_plan": "none"},
        {"id": "new-3", "partner": "acme"},
        {"id": "new-3", "partner": "acme"},
    ]});
    let (status, problem) = import(&gateway, "/v1/clients/import", other).await;
    assert_eq!((status, problem["details"].as_array().unwrap().len()), (422, 4), "{problem}");

    let secrets = json!({"secrets": [
        {"client": "device-7", "secret": "~from.another-server/with+signs=%"},
        {"client": "device-8", "secret": "0123456789abcdef"},
    ]});
    assert_eq!(import(&gateway, "/v1/client-secrets/import", secrets.clone()).await.1["imported"], 2);
    assert_eq!(import(&gateway, "/v1/client-secrets/import", secrets).await.1["unchanged"], 2);
    let mut session = gateway.session_with(SessionOptions::default()).await;
    let mut device = gateway.acme();
    device.client_id = "device-7".to_owned();
    device.client_secret = "~from.another-server/with+signs=%".to_owned();
    let token = device.token_over(&mut session, "").await;
    let bearer = format!("Bearer {token}");
    assert_eq!(session.get("/test/hello-world", &[("authorization", &bearer)]).await.status, 200);
    device.client_secret = "0123456789abcdef".to_owned();
    assert_eq!(device.ask_token(&mut session, "").await.status, 401, "that one is another client's");
    let third = json!({"secrets": [
        {"client": "device-8", "secret": "0123456789abcdeg"},
        {"client": "device-8", "secret": "0123456789abcdeh"},
    ]});
    let (_, problem) = import(&gateway, "/v1/client-secrets/import", third).await;
    assert!(problem["details"][0].as_str().unwrap().starts_with("row 2: "), "two live ones are enough: {problem}");

    // The partner's switch reaches them, and a restart brings them back.
    let gateway = gateway.restart().await;
    let registry = gateway.registry();
    assert!(registry.snapshot.policy().client("device-1199").unwrap().client.enabled);
    registry.set_client_enabled(&Actor::local(), "device-1199", false).await.unwrap();
    assert!(!registry.snapshot.policy().client("device-1199").unwrap().client.enabled);
}

#[tokio::test]
async fn a_key_that_nobody_uses_and_one_that_is_used_still_are_found() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let day = std::time::Duration::from_secs(86_400);
    let listed = async |query: &str| -> Vec<String> {
        gateway.app.sightings.flush().await.unwrap();
        let answer = gateway.admin().await.get(&format!("/v1/api-keys?{query}"), &[]).await.json();
        let ids = answer["items"].as_array().unwrap().iter();
        ids.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    };
    let old = acme.api_key_id().to_owned();
    assert_eq!(listed("unused_for_seconds=86400").await, Vec::<String>::new(), "it is too young");
    gateway.advance(2 * day);
    assert_eq!(listed("unused_for_seconds=86400").await, [old.as_str()]);
    assert_eq!(call(&gateway, &acme.api_key).await, 200);
    assert_eq!(listed("unused_for_seconds=86400").await, Vec::<String>::new());

    gateway.advance(std::time::Duration::from_secs(60));
    let rotated = gateway.admin().await.post_json(&format!("/v1/api-keys/{old}/rotate"), &json!({})).await;
    assert_eq!(rotated.status, 201);
    assert_eq!(listed("replaced_in_use=true").await, Vec::<String>::new(), "it was used before only");
    gateway.advance(std::time::Duration::from_secs(120));
    assert_eq!(call(&gateway, &acme.api_key).await, 200);
    assert_eq!(listed("replaced_in_use=true").await, [old.as_str()]);
    let shown = gateway.admin().await.get(&format!("/v1/api-keys/{old}"), &[]).await.json();
    assert_eq!(shown["last_seen_source"], "127.0.0.1");
    assert!(shown["last_seen_route"].as_str().unwrap().contains("/test/hello-world"), "{shown}");
}
