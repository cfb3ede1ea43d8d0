use std::path::Path;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::{Sources, Target};

const DEMO: &str = r#"{"gateway":"https://127.0.0.1:1","mtls":"https://127.0.0.1:2","admin":"https://127.0.0.1:3",
    "client_id":"acme-orders","api_key":"pc_demo_key","client_secret":"hidden","scope":"s/x",
    "token_url":"https://127.0.0.1:1/oauth2/token","path":"/test/hello-world"}"#;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn of(data: &Path) -> Sources {
    Sources { data: Some(data.to_owned()), ..Sources::default() }
}

async fn refused(sources: &Sources) -> String {
    Target::find(sources).await.unwrap_err().message
}

#[tokio::test]
async fn a_demo_needs_no_options() {
    let demo = folder(&[("demo.json", DEMO), ("ca.pem", "")]);
    let target = Target::find(&of(demo.path())).await.unwrap();
    assert_eq!(target.route.url, "https://127.0.0.1:1/test/hello-world");
    assert_eq!(target.token.url, "https://127.0.0.1:1/oauth2/token");
    assert_eq!((target.client.as_deref(), target.scope.as_deref()), (Some("acme-orders"), Some("s/x")));
    assert_eq!(target.own.api_key.as_ref().unwrap().expose_secret(), "pc_demo_key");
    assert_eq!(target.own.secret.as_ref().unwrap().client, "acme-orders");
    assert!(!target.own_are_meant && target.admin.is_none());
    assert!(!format!("{target:?}").contains("hidden"));
}

#[tokio::test]
async fn where_the_server_is_now_comes_before_where_it_was() {
    let endpoints = r#"{"gateway":"https://127.0.0.1:7","admin":"https://127.0.0.1:8","listeners":[]}"#;
    let demo = folder(&[("demo.json", DEMO), ("endpoints.json", endpoints), ("ca.pem", "")]);
    assert_eq!(Target::find(&of(demo.path())).await.unwrap().route.authority, "127.0.0.1:7");
}

#[tokio::test]
async fn credentials_that_are_named_are_not_mixed_with_the_demos() {
    let demo = folder(&[("demo.json", DEMO), ("ca.pem", ""), ("key", "pc_live_mine\n"), ("secret", "s3cret")]);
    let mut sources = of(demo.path());
    sources.api_key_file = Some(demo.path().join("key"));
    let target = Target::find(&sources).await.unwrap();
    assert!(target.own_are_meant && target.own.secret.is_none());
    assert_eq!(target.own.api_key.as_ref().unwrap().expose_secret(), "pc_live_mine");
    sources.client_secret_file = Some(demo.path().join("secret"));
    assert!(refused(&sources).await.contains("--client-id"));
    sources.client_id = Some("globex".to_owned());
    assert_eq!(Target::find(&sources).await.unwrap().own.secret.unwrap().client, "globex");
    let other = Sources { client_id: Some("globex".to_owned()), ..of(demo.path()) };
    assert!(Target::find(&other).await.unwrap().own.api_key.is_none());
}

#[tokio::test]
async fn another_route_has_its_own_token_endpoint() {
    let demo = folder(&[("demo.json", DEMO), ("ca.pem", "")]);
    let sources = Sources { url: Some("https://127.0.0.1:9/orders".to_owned()), ..of(demo.path()) };
    let target = Target::find(&sources).await.unwrap();
    assert_eq!(target.token.url, "https://127.0.0.1:9/oauth2/token");
    assert_eq!(target.scope, None);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_said_without_secrets() {
    assert!(refused(&Sources::default()).await.contains("say what to call"));
    let url = Sources { url: Some("https://127.0.0.1:9/".to_owned()), ..Sources::default() };
    assert!(refused(&url).await.contains("--ca FILE"));
    let damaged = folder(&[("demo.json", r#"{"api_key":"pc_demo_key","path":7}"#)]);
    let said = refused(&of(damaged.path())).await;
    assert!(said.contains("demo.json is damaged at line 1") && !said.contains("pc_demo"), "{said}");
    let lines = folder(&[("demo.json", DEMO), ("ca.pem", ""), ("key", "one\ntwo")]);
    let sources = Sources { api_key_file: Some(lines.path().join("key")), ..of(lines.path()) };
    assert!(refused(&sources).await.contains("one secret on one line"));
    let half = Sources { client_key: Some(lines.path().join("key")), ..of(lines.path()) };
    assert!(refused(&half).await.contains("belong together"));
}
