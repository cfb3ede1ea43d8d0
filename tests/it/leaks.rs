//! Who reports a leaked key has it revoked, and nobody else has anything.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::config::{LeakReporterSettings, LeakVerification};
use portcullis::registry::Actor;
use portcullis::registry::api_key::NewApiKey;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::harness::{Gateway, GatewayOptions};

const PATH: &str = "/v1/leaked-keys";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const KEY_ID: &str = "f9525bf080f75b3506ca1ead061add62b8633a346606dc5fe544e29231c6ee0d";

/// A gate with two reporters, and the key that the second one signs with.
async fn start() -> (Gateway, EcdsaKeyPair, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    std::fs::set_permissions(folder.path().join("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(folder.path().join("github.pem"), pem(pair.public_key().as_ref())).unwrap();
    let reporters = reporters(folder.path());
    let options = GatewayOptions::default().configure(move |config| config.keys.leak_reporters = reporters.clone());
    (Gateway::start_with(options).await, pair, folder)
}

fn reporters(folder: &Path) -> Vec<LeakReporterSettings> {
    let ecdsa = LeakVerification::Ecdsa { key_id: KEY_ID.into(), public_key_file: folder.join("github.pem") };
    vec![
        LeakReporterSettings {
            name: "scanner".into(),
            verification: LeakVerification::Hmac { secret_file: folder.join("secret") },
        },
        LeakReporterSettings { name: "github".into(), verification: ecdsa },
    ]
}

/// RFC 5480: what `openssl ec -pubout` writes.
fn pem(point: &[u8]) -> String {
    let mut der =
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            .to_vec();
    der.extend(point);
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn by_secret(body: &str) -> Vec<(&'static str, String)> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    vec![("x-portcullis-signature", format!("sha256={hex}"))]
}

fn by_key(pair: &EcdsaKeyPair, body: &str) -> Vec<(&'static str, String)> {
    let signature = pair.sign(&SystemRandom::new(), body.as_bytes()).unwrap();
    vec![
        ("github-public-key-identifier", KEY_ID.to_owned()),
        ("github-public-key-signature", STANDARD.encode(signature)),
    ]
}

async fn report(gateway: &Gateway, headers: &[(&'static str, String)], body: &str) -> (u16, Value) {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = gateway.session().await.send("POST", PATH, &headers, body.to_owned()).await.unwrap();
    (answer.status.as_u16(), answer.json())
}

async fn call(gateway: &Gateway, key: &str) -> u16 {
    gateway.session().await.status("/test/hello-world", &[("x-api-key", key)]).await
}

#[tokio::test]
async fn a_signed_report_revokes_before_it_is_answered() {
    let (gateway, pair, _folder) = start().await;
    let acme = gateway.acme();
    let new = NewApiKey { client: "acme-orders".into(), ..NewApiKey::default() };
    let other = gateway.registry().create_api_key(&Actor::local(), new).await.unwrap();
    let (other, other_key) = (other.view, other.key.expose_secret().to_owned());
    let body = json!([{ "token": acme.api_key, "type": "portcullis_api_key", "url": "https://example.com/leak", "source": "commit" },
                      { "token": "pc_test_0000000000_00000000000000000000000000000000000000" }])
    .to_string();
    assert_eq!(call(&gateway, &acme.api_key).await, 200);
    let (status, told) = report(&gateway, &by_secret(&body), &body).await;
    assert_eq!((status, told), (200, json!({"revoked": 1, "known": 0, "unknown": 1})));
    assert_eq!(call(&gateway, &acme.api_key).await, 401);
    assert_eq!(call(&gateway, &other_key).await, 200, "it was not reported");
    let (_, told) = report(&gateway, &by_secret(&body), &body).await;
    assert_eq!(told, json!({"revoked": 0, "known": 1, "unknown": 1}), "again: nothing");

    let body = json!([{ "token": other_key }]).to_string();
    let (status, told) = report(&gateway, &by_key(&pair, &body), &body).await;
    assert_eq!((status, told), (200, json!({"revoked": 1, "known": 0, "unknown": 0})));
    assert_eq!(call(&gateway, &other_key).await, 401);
    let shown = gateway.admin().await.get(&format!("/v1/api-keys/{}", other.id), &[]).await.json();
    assert_eq!(shown["revocation_reason"], "key-compromise", "{shown}");
    let changes = gateway.admin().await.get("/v1/audit?kind=change&action=api-key.revoke", &[]).await.json();
    let mut actors: Vec<&str> =
        changes["items"].as_array().unwrap().iter().map(|row| row["actor"].as_str().unwrap()).collect();
    actors.sort_unstable();
    assert_eq!(actors, ["leak-reporter:github", "leak-reporter:scanner"], "{changes}");
}

#[tokio::test]
async fn a_report_that_nobody_signed_changes_nothing() {
    let (gateway, pair, _folder) = start().await;
    let acme = gateway.acme();
    let body = json!([{ "token": acme.api_key }]).to_string();
    let other = body.clone() + " ";
    let mut stranger = by_key(&EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(), &body);
    let mut unknown = by_key(&pair, &body);
    unknown[0].1 = "another".into();
    let mut twice = by_secret(&body);
    twice.extend(by_secret(&body));
    stranger.extend([("x-portcullis-signature", "sha256=".into())]);
    for headers in [vec![], by_secret(&other), by_key(&pair, &other), stranger, unknown, twice] {
        let (status, told) = report(&gateway, &headers, &body).await;
        assert_eq!((status, told["code"].as_str()), (401, Some("report_not_signed")), "{headers:?}");
    }
    assert_eq!(call(&gateway, &acme.api_key).await, 200);
}

#[tokio::test]
async fn a_report_that_cannot_be_read_is_refused_whole_and_its_keys_are_not_told() {
    let (gateway, _, _folder) = start().await;
    let acme = gateway.acme();
    let long = Value::Array(vec![json!({ "token": acme.api_key }); 1001]).to_string();
    for (body, code) in [
        (format!("[{{\"token\":\"{}\"}}", acme.api_key), "malformed_report"),
        (json!({ "token": acme.api_key }).to_string(), "malformed_report"),
        (json!([{ "token": acme.api_key }, { "token": 7 }]).to_string(), "malformed_report"),
        (long, "report_too_long"),
    ] {
        let (status, told) = report(&gateway, &by_secret(&body), &body).await;
        assert_eq!((status, told["code"].as_str()), (422, Some(code)));
        assert!(!told.to_string().contains(&acme.api_key));
    }
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(report(&gateway, &by_secret(&large), &large).await.0, 413);
    assert_eq!(gateway.session().await.status(PATH, &[]).await, 405);
    assert_eq!(call(&gateway, &acme.api_key).await, 200);
}

#[tokio::test]
async fn without_reporters_there_is_nothing_to_report_to() {
    let gateway = Gateway::start().await;
    let (status, told) = report(&gateway, &by_secret("[]"), "[]").await;
    assert_eq!((status, told["code"].as_str()), (501, Some("not_offered")));
}
