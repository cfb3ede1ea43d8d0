use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Somebody else's authorization server, as far as we ever see it: a JWK Set over HTTP.
pub(crate) struct ExternalIssuer {
    address: SocketAddr,
    keys: Arc<Mutex<Value>>,
    fetches: Arc<AtomicUsize>,
}

impl ExternalIssuer {
    pub(crate) async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = Self { address, keys: Arc::default(), fetches: Arc::default() };
        issuer.publish(keys);
        let (keys, fetches) = (Arc::clone(&issuer.keys), Arc::clone(&issuer.fetches));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (keys, fetches) = (Arc::clone(&keys), Arc::clone(&fetches));
                tokio::spawn(async move {
                    let service = service_fn(|_: Request<hyper::body::Incoming>| {
                        fetches.fetch_add(1, Ordering::SeqCst);
                        let body = Full::new(Bytes::from(keys.lock().unwrap().to_string()));
                        async { Ok::<_, Infallible>(Response::new(body)) }
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        issuer
    }

    /// Replaces what is published.
    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        *self.keys.lock().unwrap() = json!({ "keys": keys });
    }

    pub(crate) fn jwks_uri(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.address)
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

/// A key of an external issuer, with the signer that a real one would have.
pub(crate) struct SigningKey {
    kid: &'static str,
    pair: Pair,
}

enum Pair {
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    pub(crate) fn es256(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid, pair: Pair::Ecdsa(Box::new(pair)) }
    }

    pub(crate) fn rs256(kid: &'static str) -> Self {
        Self { kid, pair: Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())) }
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ecdsa(_) => "ES256",
            Pair::Rsa(_) => "RS256",
        }
    }

    fn jwk(&self) -> Value {
        let (kid, alg, text) = (self.kid, self.algorithm(), |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes));
        match &self.pair {
            Pair::Ecdsa(pair) => {
                // SEC 1 §2.3.3: 4, then both coordinates.
                let point = pair.public_key().as_ref();
                let (x, y) = (text(&point[1..33]), text(&point[33..65]));
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "alg": alg, "x": x, "y": y })
            }
            Pair::Rsa(pair) => {
                let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
                let (_, spki) =
                    <x509_parser::x509::SubjectPublicKeyInfo<'_> as x509_parser::prelude::FromDer<_>>::from_der(
                        der.as_ref(),
                    )
                    .unwrap();
                let x509_parser::public_key::PublicKey::RSA(key) = spki.parsed().unwrap() else { panic!("an RSA key") };
                let modulus = key.modulus.strip_prefix(&[0]).unwrap_or(key.modulus);
                let (n, e) = (text(modulus), text(key.exponent));
                json!({ "kty": "RSA", "use": "sig", "kid": kid, "alg": alg, "n": n, "e": e })
            }
        }
    }

    /// A JWS in compact form. `header` adds to, and replaces, `alg` and `kid`.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let mut full = json!({ "kid": self.kid, "alg": self.algorithm() });
        for (name, value) in header.as_object().unwrap() {
            full[name] = value.clone();
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&full), encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
