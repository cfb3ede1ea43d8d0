//! What decides between the methods besides speed: what we know, what the server says, and one thing that is tried.

use serde::Serialize;

use super::call::Stage;
use super::method::Method;
use super::row::Row;

/// The security properties of one method.
#[derive(Clone, Debug, Serialize)]
pub struct Properties {
    pub expiry: &'static str,
    pub revocation: &'static str,
    pub shared_secret: &'static str,
    pub replay: &'static str,
    pub rotation: &'static str,
    /// When the credential that was compared ends, in seconds since 1970; `None`: never, or not known.
    pub expires_at: Option<i64>,
    /// Whether `expires_at` is the answer, not a gap.
    pub expiry_is_known: bool,
    pub token_lifetime_seconds: Option<u64>,
    /// The same request again over a connection without the client's certificate: what a thief of the request has.
    pub replayed: Option<Replayed>,
}

/// What a copied request was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    pub is_served: bool,
    pub answer: String,
}

impl Properties {
    /// What is known of the method anywhere.
    pub(super) fn of(method: Method) -> Self {
        let (expiry, revocation, shared_secret, replay, rotation) = match method {
            Method::MutualTls => (
                "always, at its notAfter",
                "at once, on every request; open connections are closed; the CRL tells others",
                "none: the private key never leaves the client",
                "nothing to copy: every handshake is signed anew",
                "the next certificate overlaps the last; no secret to hand over (CSR)",
            ),
            Method::ApiKey => (
                "only if one was set",
                "at once, on every request",
                "yes, and sent with every request; the server keeps an HMAC",
                "works from wherever the client's networks allow, until it is revoked",
                "`key rotate`: the old key lives on for a grace period",
            ),
            Method::Bearer => (
                "always, soon after it was fetched",
                "at once, on every request; by token, or all of the client",
                "the client secret, sent to the token endpoint only; the server keeps an HMAC",
                "works until the token expires, at most its lifetime",
                "tokens by themselves; two client secrets live side by side",
            ),
            Method::ApiKeyWithCertificate => (
                "with the first of the two that ends",
                "at once, when either is revoked",
                "the key, useless on routes that ask for both",
                "refused where the route accepts only the two together",
                "each by itself",
            ),
            Method::BoundToken => (
                "always, soon after it was fetched",
                "at once, with the token, or with the certificate it is bound to",
                "the client secret, sent to the token endpoint only",
                "refused without the certificate's key (RFC 8705)",
                "tokens by themselves; after a new certificate, fetch a new token",
            ),
        };
        Self {
            expiry,
            revocation,
            shared_secret,
            replay,
            rotation,
            expires_at: None,
            expiry_is_known: false,
            token_lifetime_seconds: None,
            replayed: None,
        }
    }
}

/// Sends the row's request as somebody who has copied it from a log or a proxy, but not the certificate's key.
pub(super) async fn replay(row: &Row) -> Option<Replayed> {
    let answer = match row.stranger.open().await {
        Ok((mut line, _)) => line.ask(&row.question).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if answer.is_throttled() => None,
        Ok(answer) if answer.is_served() => Some(Replayed { is_served: true, answer: answer.status.to_string() }),
        Ok(answer) => Some(Replayed { is_served: false, answer: answer.described() }),
        Err(error) if error.stage == Stage::Connect => None,
        // In TLS 1.3 a listener that asks for certificates says so only after the handshake.
        Err(_) => Some(Replayed { is_served: false, answer: "connection refused".to_owned() }),
    }
}
