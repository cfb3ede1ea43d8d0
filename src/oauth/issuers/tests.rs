//! A JWK Set's server that answers as it is told, and counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use policies::UnixSeconds;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::oauth::jwt::{Algorithm, SigningKey};

/// What the server does with the next request.
#[derive(Clone)]
pub(in crate::oauth) enum Answer {
    Keys(Vec<Value>),
    Raw(String),
    /// The keys, but later.
    Late(Vec<Value>, Duration),
    /// Octets that never end, without saying how many.
    Endless,
    /// Nothing, and the connection stays open.
    Silence,
}

pub(in crate::oauth) struct JwksServer {
    pub(in crate::oauth) uri: String,
    requests: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

impl JwksServer {
    pub(in crate::oauth) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let server = Self { uri, requests: Arc::default(), answer: Arc::new(Mutex::new(answer)) };
        let (requests, answer) = (Arc::clone(&server.requests), Arc::clone(&server.answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let requests = Arc::clone(&requests);
                tokio::spawn(async move { serve(stream, answer, &requests).await });
            }
        });
        server
    }

    pub(in crate::oauth) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(in crate::oauth) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer, requests: &AtomicUsize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => return,
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let keys = |keys: Vec<Value>| {
        let document = json!({ "keys": keys }).to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{document}", document.len())
    };
    let text = match answer {
        Answer::Keys(list) => keys(list),
        Answer::Raw(text) => text,
        Answer::Late(list, delay) => {
            tokio::time::sleep(delay).await;
            keys(list)
        }
        Answer::Endless => {
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"keys\":[\"").await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            return;
        }
        Answer::Silence => std::future::pending().await,
    };
    _ = stream.write_all(text.as_bytes()).await;
    _ = stream.shutdown().await;
}

pub(in crate::oauth) fn new_key() -> SigningKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    SigningKey::from_pkcs8(Algorithm::Es256, pair.to_pkcs8v1().unwrap().as_ref()).unwrap()
}

pub(in crate::oauth) fn jwk(key: &SigningKey) -> Value {
    serde_json::to_value(key.public_jwk()).unwrap()
}

const TIMEOUT: Duration = Duration::from_millis(300);

fn clock() -> Clock {
    Clock::manual(UnixSeconds(1_800_000_000))
}

fn limiter(clock: &Clock) -> Arc<FetchLimiter> {
    Issuers::new(clock, Path::new("")).fetch_limiter
}

fn keys_at(server: &JwksServer, clock: &Clock) -> Arc<IssuerKeys> {
    let client = JwksClient::new(&server.uri, None).unwrap().with_timeout(TIMEOUT);
    Arc::new(IssuerKeys::new(client, clock.clone(), limiter(clock)))
}

async fn knows(keys: &Arc<IssuerKeys>, kid: &str) -> Result<(), NotFound> {
    keys.find(Some(kid), Algorithm::Es256).await.map(drop)
}

fn wait(clock: &Clock, seconds: u64) {
    assert!(clock.advance(Duration::from_secs(seconds)));
}

/// Until the background has caught up.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come about within two seconds");
}

#[tokio::test]
async fn keys_are_fetched_once() {
    let (key, clock) = (new_key(), clock());
    let server = JwksServer::start(Answer::Keys(vec![jwk(&key)])).await;
    let keys = keys_at(&server, &clock);
    for _ in 0..5 {
        assert_eq!(knows(&keys, key.key_id()).await, Ok(()));
    }
    assert_eq!((server.requests(), keys.generation()), (1, 1));
}

#[tokio::test]
async fn those_who_come_together_share_one_fetch() {
    let (key, clock) = (new_key(), clock());
    let server = JwksServer::start(Answer::Late(vec![jwk(&key)], Duration::from_millis(100))).await;
    let keys = keys_at(&server, &clock);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let (keys, kid) = (Arc::clone(&keys), key.key_id().to_owned());
            tokio::spawn(async move { knows(&keys, &kid).await })
        })
        .collect();
    for task in waiting {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch_in_ten_seconds() {
    let (key, clock) = (new_key(), clock());
    let server = JwksServer::start(Answer::Keys(vec![jwk(&key)])).await;
    let keys = keys_at(&server, &clock);
    assert_eq!(knows(&keys, key.key_id()).await, Ok(()));
    for round in 1..4 {
        wait(&clock, 10);
        let flood: Vec<_> = (0..200)
            .map(|number| {
                let keys = Arc::clone(&keys);
                tokio::spawn(async move { knows(&keys, &format!("unknown-{number}")).await })
            })
            .collect();
        for task in flood {
            assert_eq!(task.await.unwrap(), Err(NotFound::NoSuchKey));
        }
        assert_eq!(server.requests(), 1 + round);
        assert_eq!(knows(&keys, key.key_id()).await, Ok(()), "the honest key is never pushed out");
    }
    wait(&clock, 9);
    assert_eq!(knows(&keys, "unknown").await, Err(NotFound::NoSuchKey));
    assert_eq!(server.requests(), 4);
}

#[tokio::test]
async fn a_rotated_key_is_found_at_its_first_token() {
    let (old, new, clock) = (new_key(), new_key(), clock());
    let server = JwksServer::start(Answer::Keys(vec![jwk(&old)])).await;
    let keys = keys_at(&server, &clock);
    assert_eq!(knows(&keys, old.key_id()).await, Ok(()));
    server.set(Answer::Keys(vec![jwk(&old), jwk(&new)]));
    wait(&clock, 10);
    assert_eq!(knows(&keys, new.key_id()).await, Ok(()));
    assert_eq!(knows(&keys, old.key_id()).await, Ok(()));
    assert_eq!((server.requests(), keys.generation()), (2, 2));
}

#[tokio::test]
async fn old_keys_are_refreshed_while_they_are_used() {
    let (old, new, clock) = (new_key(), new_key(), clock());
    let server = JwksServer::start(Answer::Keys(vec![jwk(&old)])).await;
    let keys = keys_at(&server, &clock);
    assert_eq!(knows(&keys, old.key_id()).await, Ok(()));
    wait(&clock, 3599);
    assert_eq!(knows(&keys, old.key_id()).await, Ok(()));
    assert_eq!(server.requests(), 1);
    server.set(Answer::Keys(vec![jwk(&new)]));
    wait(&clock, 1);
    assert_eq!(knows(&keys, old.key_id()).await, Ok(()), "nobody waits for it");
    until(|| keys.generation() == 2).await;
    assert_eq!(knows(&keys, old.key_id()).await, Err(NotFound::NoSuchKey), "a key that the issuer took back is gone");
    assert_eq!((knows(&keys, new.key_id()).await, server.requests()), (Ok(()), 2));
}

#[tokio::test]
async fn the_same_document_is_no_news() {
    let (key, clock) = (new_key(), clock());
    let server = JwksServer::start(Answer::Keys(vec![jwk(&key)])).await;
    let keys = keys_at(&server, &clock);
    assert_eq!(knows(&keys, key.key_id()).await, Ok(()));
    wait(&clock, 3600);
    keys.refresh_if_old();
    until(|| server.requests() == 2).await;
    wait(&clock, 10);
    assert_eq!(knows(&keys, "unknown").await, Err(NotFound::NoSuchKey));
    assert_eq!((server.requests(), keys.generation()), (3, 1));
}

#[tokio::test]
async fn no_failure_takes_the_keys_away() {
    let elsewhere = JwksServer::start(Answer::Keys(vec![jwk(&new_key())])).await;
    let good = new_key();
    let private = {
        let mut leaked = jwk(&good);
        leaked["d"] = json!("AAAA");
        leaked
    };
    let answer = |head: &str, text: &str| {
        Answer::Raw(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    };
    let body = |text: &str| answer("200 OK", text);
    // Every refused answer would be a good one but for the one thing that is wrong with it.
    let planted = json!({ "keys": [jwk(&new_key())] }).to_string();
    let padded = format!("{{\"keys\":[{}],\"x\":\"{}\"}}", jwk(&new_key()), "y".repeat(256 * 1024));
    for (name, wrong) in [
        ("an error", answer("500 Internal Server Error", &planted)),
        ("not found", answer("404 Not Found", &planted)),
        ("another success", answer("203 Non-Authoritative Information", &planted)),
        ("no content", Answer::Raw("HTTP/1.1 204 No Content\r\n\r\n".into())),
        ("a redirect", answer(&format!("302 Found\r\nLocation: {}", elsewhere.uri), &planted)),
        ("a moved set", answer(&format!("308 Permanent Redirect\r\nLocation: {}", elsewhere.uri), &planted)),
        ("no HTTP", Answer::Raw("hello".into())),
        ("nothing", Answer::Raw(String::new())),
        ("a cut body", Answer::Raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"keys\":[".into())),
        ("no JSON", body("<html>")),
        ("a list", body("[]")),
        ("no list of keys", body("{}")),
        ("another list", body("{\"keys\":{}}")),
        ("no keys", Answer::Keys(vec![])),
        ("only keys for other things", Answer::Keys(vec![json!({"kty": "oct", "k": "AAAA"}), private])),
        ("too much", body(&padded)),
        ("too much without a length", Answer::Endless),
        ("a large head", Answer::Raw(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n{{}}", "y".repeat(100_000)))),
        ("silence", Answer::Silence),
    ] {
        let clock = clock();
        let server = JwksServer::start(Answer::Keys(vec![jwk(&good)])).await;
        let keys = keys_at(&server, &clock);
        assert_eq!(knows(&keys, good.key_id()).await, Ok(()));
        server.set(wrong);
        wait(&clock, 10);
        assert_eq!(knows(&keys, "unknown").await, Err(NotFound::NoSuchKey), "{name}");
        assert_eq!((server.requests(), keys.generation()), (2, 1), "{name}");
        assert_eq!(knows(&keys, good.key_id()).await, Ok(()), "{name}");
        // An hour later it is asked again at most once a minute.
        wait(&clock, 3600);
        assert_eq!(knows(&keys, good.key_id()).await, Ok(()), "{name}");
        until(|| server.requests() == 3).await;
    }
    assert_eq!(elsewhere.requests(), 0, "no redirect is followed");
}

#[tokio::test]
async fn an_issuer_that_never_answered_is_no_fault_of_the_caller() {
    let clock = clock();
    let server = JwksServer::start(Answer::Raw("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".into())).await;
    let keys = keys_at(&server, &clock);
    for _ in 0..20 {
        assert_eq!(knows(&keys, "any").await, Err(NotFound::NoKeysYet));
    }
    assert_eq!(server.requests(), 1, "and is left in peace for a while");
    let key = new_key();
    server.set(Answer::Keys(vec![jwk(&key)]));
    wait(&clock, 10);
    assert_eq!(knows(&keys, key.key_id()).await, Ok(()));
}

#[tokio::test]
async fn who_hangs_up_does_not_take_the_fetch_along() {
    let (key, clock) = (new_key(), clock());
    let server = JwksServer::start(Answer::Late(vec![jwk(&key)], Duration::from_millis(100))).await;
    let keys = keys_at(&server, &clock);
    let stranger = {
        let keys = Arc::clone(&keys);
        tokio::spawn(async move { knows(&keys, "unknown").await })
    };
    until(|| server.requests() == 1).await;
    stranger.abort();
    until(|| keys.generation() == 1).await;
    assert_eq!((knows(&keys, key.key_id()).await, server.requests()), (Ok(()), 1));
}

#[tokio::test]
async fn all_issuers_together_have_a_limit() {
    let (key, clock) = (new_key(), clock());
    let server = JwksServer::start(Answer::Keys(vec![jwk(&key)])).await;
    let limiter = limiter(&clock);
    for _ in 0..40 {
        let client = JwksClient::new(&server.uri, None).unwrap();
        let keys = Arc::new(IssuerKeys::new(client, clock.clone(), Arc::clone(&limiter)));
        _ = knows(&keys, key.key_id()).await;
    }
    assert_eq!(server.requests(), 20);
}

#[tokio::test]
async fn one_bad_key_does_not_void_the_set() {
    let (key, clock) = (new_key(), clock());
    let list = vec![json!(null), json!("x"), json!({"kty": "EC"}), json!({"kty": "oct", "k": "x"}), jwk(&key)];
    let server = JwksServer::start(Answer::Keys(list)).await;
    assert_eq!(knows(&keys_at(&server, &clock), key.key_id()).await, Ok(()));
    let mut many: Vec<Value> = (0..100).map(|_| json!({"kty": "oct"})).collect();
    many.push(jwk(&key));
    server.set(Answer::Keys(many));
    assert_eq!(knows(&keys_at(&server, &clock), key.key_id()).await, Err(NotFound::NoKeysYet), "the 101st");
}

#[tokio::test]
async fn a_token_without_key_name_means_the_only_key() {
    let (one, two, clock) = (new_key(), new_key(), clock());
    let server = JwksServer::start(Answer::Keys(vec![jwk(&one)])).await;
    let keys = keys_at(&server, &clock);
    assert!(keys.find(None, Algorithm::Es256).await.is_ok());
    assert!(keys.find(None, Algorithm::Rs256).await.is_err());
    server.set(Answer::Keys(vec![jwk(&one), jwk(&two)]));
    let keys = keys_at(&server, &clock);
    assert_eq!(keys.find(None, Algorithm::Es256).await.err(), Some(NotFound::NoSuchKey), "of two it could be either");
    assert_eq!(knows(&keys, two.key_id()).await, Ok(()));
    assert!(keys.find(Some(two.key_id()), Algorithm::EdDsa).await.is_err());
}

#[test]
fn addresses_that_keys_do_not_come_from() {
    for uri in [
        "http://issuer.example/jwks",
        "http://localhost/jwks",
        "http://127.0.0.1.example/jwks",
        "http://10.0.0.1/jwks",
        "https://user:password@issuer.example/jwks",
        "file:///etc/passwd",
        "ftp://issuer.example/jwks",
        "/jwks",
        "issuer.example",
        "",
    ] {
        assert!(JwksClient::new(uri, None).is_err(), "{uri}");
    }
    for uri in ["https://issuer.example/jwks", "http://127.0.0.1:1/jwks", "http://[::1]:1/jwks", "http://127.9.9.9/"] {
        assert!(JwksClient::new(uri, None).is_ok(), "{uri}");
    }
}

#[tokio::test]
async fn trust_anchors_are_those_of_the_file() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::pki_types::pem::PemObject as _;

    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, other) = (authority(), authority());
    let pair = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&pair, &ours).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivatePkcs8KeyDer::from_pem_slice(pair.serialize_pem().as_bytes()).unwrap().into(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}/jwks", listener.local_addr().unwrap());
    let key = new_key();
    let answer = Answer::Keys(vec![jwk(&key)]);
    tokio::spawn(async move {
        let requests = AtomicUsize::new(0);
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, answer.clone(), &requests).await;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let fetch = async |file: Option<&str>| {
        let client = JwksClient::new(&uri, file.map(|file| folder.path().join(file))).unwrap();
        client.fetch().await.map_err(|fault| fault.inside().to_owned())
    };
    std::fs::write(folder.path().join("ours.pem"), ours.pem()).unwrap();
    std::fs::write(folder.path().join("other.pem"), other.pem()).unwrap();
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    assert!(fetch(Some("ours.pem")).await.is_ok());
    for file in [Some("other.pem"), Some("empty.pem"), Some("absent.pem"), None] {
        let refused = fetch(file).await.unwrap_err();
        assert!(refused.contains("fetching https://127.0.0.1"), "{file:?}: {refused}");
    }
    // The file is read anew for each fetch.
    std::fs::write(folder.path().join("other.pem"), ours.pem()).unwrap();
    assert!(fetch(Some("other.pem")).await.is_ok());
}
