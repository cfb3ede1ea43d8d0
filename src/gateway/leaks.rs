//! `POST /v1/leaked-keys`: a leak scanner tells which keys it found, and they are revoked before it has its answer.
//!
//! A report proves who sends it by a signature over its body: as GitHub's secret scanning signs (ECDSA P-256), or by HMAC-SHA-256
//! under a shared secret. Nothing in it is secret from us, and sending it again changes nothing, so that it needs no time and no
//! nonce.

use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use hyper::Response;
use hyper::body::Incoming;
use metrics::counter;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;

use super::endpoints::read_body;
use super::stop::Stop;
use super::trail::Trail;
use super::{Gate, renewal};
use crate::config::{LeakReporterSettings, LeakVerification, read_guarded_file};
use crate::failure::{Fault, Refusal};
use crate::listen::Connection;
use crate::registry::{Actor, Registry};

/// Where scanners report.
pub(super) const PATH: &str = "/v1/leaked-keys";
/// A report of a thousand findings.
const BODY_BYTES_MAX: usize = 1 << 20;
/// More come in another report.
const FINDINGS_MAX: usize = 1_000;
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// A secret that can be guessed lets anybody ask which texts are keys.
const SECRET_BYTES_MIN: usize = 32;

/// One thing that was found. What else a scanner says of it is not needed.
#[derive(Deserialize)]
struct Finding {
    token: String,
}

/// Who may report, and who revokes.
pub struct Leaks {
    registry: Registry,
    reporters: Vec<Reporter>,
}

struct Reporter {
    name: String,
    proof: Proof,
}

enum Proof {
    /// `Github-Public-Key-Identifier` names the key, `Github-Public-Key-Signature` is base64 of an ASN.1 signature over the body.
    Ecdsa { key_id: String, key: ParsedPublicKey },
    /// `X-Portcullis-Signature: sha256=<hex>` over the body.
    Hmac(hmac::Key),
}

impl Leaks {
    /// Reads the keys of all reporters.
    ///
    /// # Errors
    /// A fault that names the file which does not hold what it should.
    pub fn load(settings: &[LeakReporterSettings], registry: Registry) -> Result<Self, Fault> {
        let reporters = settings.iter().map(|reporter| {
            let proof = match &reporter.verification {
                LeakVerification::Ecdsa { key_id, public_key_file } => {
                    Proof::Ecdsa { key_id: key_id.clone(), key: p256_key(public_key_file)? }
                }
                LeakVerification::Hmac { secret_file } => {
                    let secret = read_guarded_file(secret_file, FILE_BYTES_MAX, true)?;
                    let secret = secret.trim_ascii();
                    if secret.len() < SECRET_BYTES_MIN {
                        let shown = secret_file.display();
                        return Err(Fault::new(format!("{shown} must hold at least {SECRET_BYTES_MIN} bytes")));
                    }
                    Proof::Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret))
                }
            };
            Ok(Reporter { name: reporter.name.clone(), proof })
        });
        Ok(Self { registry, reporters: reporters.collect::<Result<_, Fault>>()? })
    }

    /// The name of the reporter whose signature this is.
    fn reporter(&self, headers: &HeaderMap, body: &[u8]) -> Option<&str> {
        let reporter = self.reporters.iter().find(|reporter| reporter.proof.holds(headers, body))?;
        Some(&reporter.name)
    }
}

impl Proof {
    fn holds(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let header = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(value)
        };
        match self {
            Self::Ecdsa { key_id, key } => {
                header("github-public-key-identifier").is_some_and(|given| given == key_id)
                    && header("github-public-key-signature")
                        .and_then(|signature| STANDARD.decode(signature).ok())
                        .is_some_and(|signature| key.verify_sig(body, &signature).is_ok())
            }
            // Verified in constant time by the library.
            Self::Hmac(key) => header("x-portcullis-signature")
                .and_then(|value| pki::read_hex(value.strip_prefix("sha256=")?))
                .is_some_and(|signature| hmac::verify(key, body, &signature).is_ok()),
        }
    }
}

/// Answers a report.
pub(super) async fn answer(
    gate: &Gate,
    connection: &Connection,
    parts: &Parts,
    body: Incoming,
    trail: &mut Trail<'_>,
) -> Result<Response<Body>, Stop> {
    if parts.method != Method::POST {
        return Err(renewal::not_allowed(parts, "POST"));
    }
    if gate.leaks.reporters.is_empty() {
        return Err(Stop::NotOffered("No leak reporter is configured here (keys.leak_reporter)."));
    }
    let body = read_body(body, BODY_BYTES_MAX).await?;
    let Some(reporter) = gate.leaks.reporter(&parts.headers, &body) else {
        counter!("portcullis_leaked_keys_total", "outcome" => "refused").increment(1);
        let message = "The signature is missing, or not that of a reporter of this gate.";
        return Err(Stop::Refused(Refusal::unauthorized("report_not_signed", message)));
    };
    // What serde says may quote the body, and that holds keys.
    let findings: Vec<Finding> = serde_json::from_slice(&body)
        .map_err(|_| Refusal::invalid("malformed_report", "The body is not a JSON list of objects with a `token`."))?;
    if findings.len() > FINDINGS_MAX {
        let message = format!("A report has at most {FINDINGS_MAX} findings.");
        return Err(Stop::Refused(Refusal::invalid("report_too_long", message)));
    }
    let actor = Actor { name: format!("leak-reporter:{reporter}"), source: Some(connection.source) };
    let texts: Vec<&str> = findings.iter().map(|finding| finding.token.as_str()).collect();
    let outcome = gate.leaks.registry.revoke_leaked(&actor, &texts).await?;
    for (word, count) in [("revoked", outcome.revoked), ("known", outcome.known), ("unknown", outcome.unknown)] {
        counter!("portcullis_leaked_keys_total", "outcome" => word).increment(count);
    }
    if outcome.revoked > 0 {
        tracing::warn!(reporter, keys = outcome.revoked, "leaked API keys were reported and are revoked");
    }
    trail.outcome("allowed", Some(format!("{} leaked keys revoked for {reporter}", outcome.revoked)));
    let answer = json!({"revoked": outcome.revoked, "known": outcome.known, "unknown": outcome.unknown});
    let mut response = Response::new(Body::from(answer.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A P-256 key in PEM.
fn p256_key(path: &Path) -> Result<ParsedPublicKey, Fault> {
    let wrong = || Fault::new(format!("{} does not hold a P-256 public key in PEM", path.display()));
    let pem = read_guarded_file(path, FILE_BYTES_MAX, false)?;
    let key = SubjectPublicKeyInfoDer::from_pem_slice(&pem).map_err(|_| wrong())?;
    ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).map_err(|_| wrong())
}

impl std::fmt::Debug for Leaks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.reporters.iter().map(|reporter| reporter.name.as_str()).collect();
        formatter.debug_struct("Leaks").field("reporters", &names).finish_non_exhaustive()
    }
}
