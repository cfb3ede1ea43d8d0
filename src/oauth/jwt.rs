//! JSON Web Tokens (RFC 7515, 7517, 7519, 8725, 9068), pure: bytes, keys and rules in, a verdict out.
//!
//! ```text
//! UnverifiedToken -> SignedToken -> VerifiedClaims      (each made only from the one before)
//! ```
//!
//! The cryptography is aws-lc-rs, called directly: keys are parsed once when they are learned, not for each token, and there
//! is no validation with defaults that could be left on or off (CVE-2026-25537: a malformed `exp` that counted as absent).

mod algorithm;
mod claims;
mod fault;
mod json;
mod key;
mod signing;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use serde_json::{Map, Value};

pub use algorithm::Algorithm;
pub use claims::{Expectations, LEEWAY_SECONDS_MAX, Lifetime, VerifiedClaims};
pub use fault::{KeyFault, TokenFault};
pub use key::{PublicJwk, VerificationKey};
pub use signing::SigningKey;

/// Longer tokens are refused before anything in them is read.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// A key identifier is a name to look up, nothing longer.
pub const MAX_KEY_ID_BYTES: usize = 256;

/// A token whose signature nobody has checked. It tells only what is needed to find the key: who claims to have issued it,
/// the key's name and the algorithm. **All three are the sender's words.**
#[derive(Debug)]
pub struct UnverifiedToken<'a> {
    signing_input: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<String>,
    token_type: Option<String>,
    claims: Map<String, Value>,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a compact JWS apart (RFC 7515 §7.1).
    ///
    /// Refused: JSON serialisations, encrypted tokens (five parts), nested tokens (`cty`), any `crit` and `b64` (extensions
    /// that a verifier must know, and this one knows none: CVE-2025-59420, CVE-2026-32597), compression, `none` and HMAC
    /// algorithms. `jku`, `x5u`, `x5c` and `jwk` name keys of the sender's choice and are never looked at.
    pub fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenFault::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenFault::NotCompact)?;
        if header.is_empty() || payload.is_empty() || payload.contains('.') {
            return Err(TokenFault::NotCompact);
        }
        let header = json::object(&json::base64url(header)?)?;
        for refused in ["crit", "b64", "enc", "zip", "cty"] {
            if header.contains_key(refused) {
                return Err(TokenFault::Header(refused));
            }
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => Algorithm::from_str(name)?,
            _ => return Err(TokenFault::Algorithm),
        };
        let key_id = short_text(&header, "kid")?;
        let token_type = short_text(&header, "typ")?;
        let signature = json::base64url(signature)?;
        let claims = json::object(&json::base64url(payload)?)?;
        Ok(Self { signing_input, signature, algorithm, key_id, token_type, claims })
    }

    /// Who the token says issued it. Only good for finding that issuer's keys in the configuration.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// The name of the key: for a look-up in memory, never a path or a query.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The algorithm the token says it is signed with. The key decides whether that may be.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks the signature with a key that was found by the caller's own means.
    ///
    /// # Errors
    /// [`TokenFault::Algorithm`] when the key is not for the token's algorithm, [`TokenFault::Signature`].
    pub fn verify_signature(self, key: &VerificationKey) -> Result<SignedToken, TokenFault> {
        key.verify(self.algorithm, self.signing_input.as_bytes(), &self.signature)?;
        Ok(SignedToken { token_type: self.token_type, claims: self.claims })
    }
}

/// A token that was signed with a key the caller trusts. Whether it is for us, and what it allows, is still open.
#[derive(Debug)]
pub struct SignedToken {
    token_type: Option<String>,
    claims: Map<String, Value>,
}

impl SignedToken {
    /// What the issuer signed, to be shown to a person.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Judges what the issuer signed. Time is not judged here: [`VerifiedClaims::lifetime`] is asked on every use, so that
    /// nothing that is kept can outlive the token.
    pub fn check(&self, expectations: &Expectations<'_>) -> Result<VerifiedClaims, TokenFault> {
        claims::check(self.token_type.as_deref(), &self.claims, expectations)
    }
}

fn short_text(header: &Map<String, Value>, member: &'static str) -> Result<Option<String>, TokenFault> {
    match header.get(member) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_KEY_ID_BYTES => Ok(Some(text.clone())),
        Some(_) => Err(TokenFault::Header(member)),
    }
}
