//! The client against a server that answers what a test wants, over real TLS.

use std::path::Path;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{AdminApi, Query};
use crate::cli::context::{Context, Outcome};
use crate::cli::global::Global;
use crate::cli::output::{Format, Output};
use crate::cli::{Arguments, connection::Connection};
use crate::clock::Clock;

/// What the server was asked: method and path, `idempotency-key`, body.
type Asked = Arc<Mutex<Vec<(String, Option<String>, Value)>>>;

/// A CA, a certificate for 127.0.0.1 and one for an administrator, in a folder as `demo` lays it.
struct House {
    folder: TempDir,
    ca: rcgen::Certificate,
    server: (rcgen::Certificate, KeyPair),
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let leaf = |names: Vec<String>| {
            let key = KeyPair::generate().unwrap();
            (CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap(), key)
        };
        let server = leaf(vec!["127.0.0.1".to_owned()]);
        let admin = leaf(Vec::new());
        std::fs::create_dir(folder.path().join("admin")).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        std::fs::write(folder.path().join("admin/admin.crt"), admin.0.pem()).unwrap();
        std::fs::write(folder.path().join("admin/admin.key"), admin.1.serialize_pem()).unwrap();
        Self { folder, ca, server }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Serves until the test ends; takes only certificates of `trusted`'s CA.
    async fn serve(&self, trusted: &Self, answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Asked {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(trusted.ca.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let key = PrivateKeyDer::try_from(self.server.1.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.server.0.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        std::fs::write(self.path().join("endpoints.json"), json!({"admin": url}).to_string()).unwrap();
        let (acceptor, answer) = (TlsAcceptor::from(Arc::new(config)), Arc::new(answer));
        let asked = Asked::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, answer, log) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                        async move {
                            let what = format!("{} {}", request.method(), request.uri());
                            let once =
                                request.headers().get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            let body = serde_json::from_slice(&body).unwrap_or_default();
                            let (status, text) = answer(&what);
                            log.lock().unwrap().push((what, once, body));
                            Response::builder().status(status).body(text)
                        }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
                });
            }
        });
        asked
    }

    fn global(&self) -> Global {
        Global { data: Some(self.path().to_owned()), ..Global::default() }
    }

    fn api(&self) -> AdminApi {
        AdminApi::new(Connection::find(&self.global()).unwrap()).unwrap()
    }

    /// Runs a command line in this folder: how it ended, and what it wrote to standard output.
    async fn run(&self, command: &[&str]) -> (Result<Outcome, String>, String) {
        let data = self.path().to_str().unwrap();
        let words = [&["portcullis", "--data", data], command].concat();
        let arguments = <Arguments as clap::Parser>::try_parse_from(words).unwrap();
        let memory = Arc::new(Mutex::new(Vec::new()));
        let clock = Clock::manual(policies::UnixSeconds(1_800_000_000));
        let output = Output::new(arguments.global.output, clock.clone()).into_memory(Arc::clone(&memory));
        let context = Context { global: arguments.global, output, clock };
        let outcome = crate::cli::dispatch(arguments.command, &context).await.map_err(|error| error.to_string());
        let written = String::from_utf8(memory.lock().unwrap().clone()).unwrap();
        (outcome, written)
    }
}

#[tokio::test]
async fn answers_come_over_mutual_tls() {
    let house = House::new();
    let asked = house.serve(&house, |_| (200, r#"{"id":"acme"}"#.to_owned())).await;
    let mut api = house.api();
    assert_eq!(api.get("/v1/partners/acme").await.unwrap(), json!({"id": "acme"}));
    api.post("/v1/partners", &json!({"id": "acme"})).await.unwrap();
    api.post_once("/v1/certificates", &json!({})).await.unwrap();
    let asked = asked.lock().unwrap();
    assert_eq!(asked[1], ("POST /v1/partners".to_owned(), None, json!({"id": "acme"})));
    assert!(asked[2].1.as_ref().is_some_and(|key| key.len() == 36));
}

#[tokio::test]
async fn lists_are_followed_to_the_limit() {
    let house = House::new();
    let asked = house
        .serve(&house, |what| {
            let page = match what.contains("after=b") {
                false => json!({"items": [{"id": "a"}, {"id": "b"}], "next": "b"}),
                true => json!({"items": [{"id": "c"}], "next": null}),
            };
            (200, page.to_string())
        })
        .await;
    let mut api = house.api();
    let all = api.list("/v1/clients", &Query::default().with("partner", Some("acme")), 1000).await.unwrap();
    assert_eq!((all.items.len(), all.has_more), (3, false));
    assert_eq!(asked.lock().unwrap()[1].0, "GET /v1/clients?partner=acme&limit=998&after=b");
    let some = api.list("/v1/clients", &Query::default(), 2).await.unwrap();
    assert_eq!((some.items.len(), some.has_more), (2, true));
    let exact = api.list("/v1/clients", &Query::default(), 3).await.unwrap();
    assert_eq!((exact.items.len(), exact.has_more), (3, false));
}

#[tokio::test]
async fn a_problem_is_said_in_the_servers_words() {
    let house = House::new();
    let problem = json!({
        "type": "about:blank", "title": "Unprocessable Content", "status": 422, "code": "weak_key",
        "message": "The key is too weak.\u{1b}[2J", "details": ["use ecdsa-p256"], "decision_id": "0193",
    });
    let text = problem.to_string();
    house.serve(&house, move |_| (422, text.clone())).await;
    let refused = house.api().get("/v1/x").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "error: The key is too weak.\\u{1b}[2J\n  use ecdsa-p256\n  code: weak_key, decision_id: 0193"
    );
    assert_eq!(refused.to_json(), problem);
}

#[tokio::test]
async fn hints_are_given_where_the_server_cannot() {
    let house = House::new();
    house
        .serve(&house, |what| match what {
            "GET /401" => (401, r#"{"message":"Unauthorized"}"#.to_owned()),
            "GET /403" => (403, r#"{"message":"Forbidden","code":"insufficient_scope"}"#.to_owned()),
            "GET /421" => (421, String::new()),
            _ => (200, "<html>".to_owned()),
        })
        .await;
    let mut api = house.api();
    for (path, hint) in
        [("/401", "--certificate"), ("/403", "portcullis/admin.read"), ("/421", "hostnames"), ("/html", "is not JSON")]
    {
        let refused = api.get(path).await.unwrap_err().to_string();
        assert!(refused.contains(hint), "{refused}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_missing() {
    let house = House::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    std::fs::write(house.path().join("endpoints.json"), json!({"admin": url}).to_string()).unwrap();
    let refused = house.api().get("/v1/status").await.unwrap_err().to_string();
    assert!(refused.contains("no server answers at") && refused.contains("portcullis serve"), "{refused}");
}

#[tokio::test]
async fn a_server_of_another_ca_is_not_believed() {
    let (house, other) = (House::new(), House::new());
    other.serve(&other, |_| (200, "{}".to_owned())).await;
    std::fs::copy(other.path().join("endpoints.json"), house.path().join("endpoints.json")).unwrap();
    let refused = house.api().get("/v1/status").await.unwrap_err().to_string();
    assert!(refused.contains("does not verify against") && refused.contains("ca.pem"), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_the_server_does_not_take_is_named() {
    let (house, other) = (House::new(), House::new());
    house.serve(&other, |_| (200, "{}".to_owned())).await;
    let refused = house.api().get("/v1/status").await.unwrap_err().to_string();
    assert!(refused.contains("does not accept the certificate") && refused.contains("admin.crt"), "{refused}");
}

#[test]
fn files_that_do_not_fit_are_named() {
    let house = House::new();
    std::fs::write(house.path().join("endpoints.json"), r#"{"admin":"https://127.0.0.1:1"}"#).unwrap();
    let refuse = |house: &House| AdminApi::new(Connection::find(&house.global()).unwrap()).err().unwrap().to_string();
    let other = House::new();
    std::fs::copy(other.path().join("admin/admin.key"), house.path().join("admin/admin.key")).unwrap();
    assert!(refuse(&house).contains("do not fit"), "{}", refuse(&house));
    std::fs::write(house.path().join("admin/admin.key"), "no key").unwrap();
    assert!(refuse(&house).contains("not an unencrypted private key"));
    std::fs::write(house.path().join("ca.pem"), "no certificate").unwrap();
    assert!(refuse(&house).contains("ca.pem"));
}

#[tokio::test]
async fn json_output_is_exactly_the_answer() {
    let house = House::new();
    let key = json!({"id": "k1", "client": "acme-orders", "expires_at": null, "api_key": "pc_demo_k1_secret"});
    house
        .serve(&house, move |what| match what {
            "POST /v1/api-keys" => (201, key.to_string()),
            _ => (200, json!({"items": [{"id": "k1"}], "next": null}).to_string()),
        })
        .await;
    let (outcome, written) = house.run(&["key", "create", "--client", "acme-orders", "--output", "json"]).await;
    assert_eq!(outcome, Ok(Outcome::Done));
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap()["api_key"], "pc_demo_k1_secret");
    let (_, written) = house.run(&["key", "create", "--client", "acme-orders"]).await;
    assert_eq!(written, "pc_demo_k1_secret\n", "alone, so that $(…) takes it");
    let (_, written) = house.run(&["key", "list", "--output", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), json!([{"id": "k1"}]));
}

#[tokio::test]
async fn an_issued_certificate_becomes_files() {
    let house = House::new();
    let answer = json!({
        "id": "5f2c90aa17de4b0c", "client": "acme-orders", "not_after": 1_807_776_000, "certificate_pem": "leaf\n",
        "chain_pem": "issuer\n", "private_key_pem": "the key", "pkcs12": "AAE=", "pkcs12_password": "the password",
    });
    let asked = house.serve(&house, move |_| (201, answer.to_string())).await;
    let out = house.path().join("acme");
    let command =
        ["certificate", "issue", "--client", "acme-orders", "--lifetime", "90d", "--out", out.to_str().unwrap()];
    let (outcome, written) = house.run(&command).await;
    assert_eq!(outcome, Ok(Outcome::Done));
    assert!(written.contains("5f2c90aa17de4b0c for acme-orders, expires 2027-04-15T08:00:00Z (in 90 d)"), "{written}");
    assert!(written.contains("curl --cacert") && !written.contains("the key") && !written.contains("the password"));
    assert_eq!(std::fs::read(out.join("client.crt")).unwrap(), b"leaf\nissuer\n");
    assert_eq!(asked.lock().unwrap()[0].2, json!({"client": "acme-orders", "lifetime_seconds": 7_776_000}));
    // The files are there now: nothing is asked for a second time.
    let (outcome, _) = house.run(&command).await;
    assert!(outcome.unwrap_err().contains("--force"));
    assert_eq!(asked.lock().unwrap().len(), 1);
    let (_, written) = house.run(&[&command[..], &["--force", "--output", "json"]].concat()).await;
    let json: Value = serde_json::from_str(&written).unwrap();
    assert!(json.get("private_key_pem").is_none() && json["files"]["key"].as_str().unwrap().ends_with("client.key"));
}

#[tokio::test]
async fn what_a_token_is_worth_is_the_exit_code() {
    let house = House::new();
    house
        .serve(&house, |_| {
            (200, json!({"active": false, "verdict": "claims_refused", "reason": "expired", "claims": {}}).to_string())
        })
        .await;
    let (outcome, written) = house.run(&["token", "inspect", "a.b.c"]).await;
    assert_eq!((outcome, written.as_str()), (Ok(Outcome::ClaimsRefused), "claims refused: expired\n"));
}

#[tokio::test]
async fn applying_a_policy_names_the_version_it_was_planned_against() {
    let house = House::new();
    let asked = house
        .serve(&house, |what| match what {
            "POST /v1/policies/plan" => (200, json!({"current_version": 3, "changes": []}).to_string()),
            _ => (201, json!({"id": 4}).to_string()),
        })
        .await;
    let folder = house.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.toml"), "# nothing\n").unwrap();
    let (outcome, written) =
        house.run(&["policy", "apply", folder.to_str().unwrap(), "--yes", "--output", "json"]).await;
    assert_eq!((outcome, written.as_str()), (Ok(Outcome::Done), "{\n  \"id\": 4\n}\n"));
    let documents = json!([{"name": "a.toml", "text": "# nothing\n"}]);
    assert_eq!(asked.lock().unwrap()[1].2, json!({"documents": documents, "expected_version": 3}));
}

#[tokio::test]
async fn a_policy_is_checked_without_a_server() {
    let house = House::new();
    let file = house.path().join("a.toml");
    std::fs::write(&file, "[[client]]\nid = \"a\"\nscope = 1\n").unwrap();
    let (outcome, written) = house.run(&["policy", "check", file.to_str().unwrap()]).await;
    assert_eq!(outcome, Ok(Outcome::Refused));
    assert!(written.starts_with(&format!("{}:", file.display())) && written.ends_with("faults\n"), "{written}");
    std::fs::write(&file, "").unwrap();
    let (outcome, written) = house.run(&["policy", "check", file.to_str().unwrap(), "--output", "json"]).await;
    assert_eq!((outcome, written.as_str()), (Ok(Outcome::Done), "{\n  \"faults\": [],\n  \"warnings\": []\n}\n"));
}

#[test]
fn the_format_is_a_table_unless_asked() {
    assert_eq!(Format::default(), Format::Table);
}
