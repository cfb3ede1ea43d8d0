//! Fetching an access token (RFC 6749 §4.4), with the client's certificate or without.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::call::{Answer, CallError, Question};
use super::endpoint::Endpoint;
use super::target::ClientSecret;

/// A token and what it says of itself.
pub(super) struct Token {
    pub(super) text: SecretString,
    pub(super) lifetime_seconds: Option<u64>,
    /// The certificate that alone may use it (RFC 8705 §3.1): `cnf` is there.
    pub(super) is_bound: bool,
}

/// `scope`: what is asked for; absent, all that the client has.
pub(super) fn question(endpoint: &Endpoint, secret: &ClientSecret, scope: Option<&str>) -> Option<Question> {
    let mut form = "grant_type=client_credentials".to_owned();
    if let Some(scope) = scope {
        form.push_str("&scope=");
        form.extend(utf8_percent_encode(scope, NON_ALPHANUMERIC));
    }
    let pair = STANDARD.encode(format!("{}:{}", secret.client, secret.secret.expose_secret()));
    let mut basic = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    basic.set_sensitive(true);
    Some(Question::post(endpoint, "application/x-www-form-urlencoded", form).with(header::AUTHORIZATION, basic))
}

/// Reads the answer of the token endpoint.
pub(super) fn read(answer: &Answer) -> Result<Token, String> {
    let body = answer.json().unwrap_or_default();
    let text = body.get("access_token").and_then(Value::as_str).filter(|_| answer.status.is_success());
    let Some(text) = text else { return Err(format!("the token endpoint answered {}", answer.described())) };
    Ok(Token {
        is_bound: claims(text).is_some_and(|claims| claims.get("cnf").is_some()),
        lifetime_seconds: body.get("expires_in").and_then(Value::as_u64),
        text: SecretString::from(text),
    })
}

/// Why there is no token.
pub(super) fn failed(error: &CallError) -> String {
    format!("the token endpoint gave no answer: {error}")
}

/// The claims of a token, unverified: it is ours, and only read to say what it is.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// `Authorization: Bearer …`.
pub(super) fn header(token: &Token) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.text.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// How long until a token is fetched anew while measuring goes on.
pub(super) fn refresh_after(token: &Token) -> Duration {
    Duration::from_secs(token.lifetime_seconds.unwrap_or(300) / 2)
}
