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
mod envelope;
mod fault;
mod json;
mod key;
mod signing;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use algorithm::Algorithm;
pub use claims::{Expectations, LEEWAY_SECONDS_MAX, Lifetime, VerifiedClaims};
pub use envelope::Envelope;
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
    envelope: Envelope<'a>,
    claims: Map<String, Value>,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a compact JWS apart (RFC 7515 §7.1), as [`Envelope::parse`] does, and reads the claims in it.
    pub fn parse(token: &'a str) -> Result<Self, TokenFault> {
        let envelope = Envelope::parse(token)?;
        let claims = envelope.claims()?;
        Ok(Self { envelope, claims })
    }

    /// Who the token says issued it. Only good for finding that issuer's keys in the configuration.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// The name of the key: for a look-up in memory, never a path or a query.
    pub fn key_id(&self) -> Option<&str> {
        self.envelope.key_id()
    }

    /// The algorithm the token says it is signed with. The key decides whether that may be.
    pub fn algorithm(&self) -> Algorithm {
        self.envelope.algorithm()
    }

    /// Checks the signature with a key that was found by the caller's own means.
    ///
    /// # Errors
    /// [`TokenFault::Algorithm`] when the key is not for the token's algorithm, [`TokenFault::Signature`].
    pub fn verify_signature(self, key: &VerificationKey) -> Result<SignedToken, TokenFault> {
        self.envelope.verify_signature(key)?;
        Ok(self.envelope.signed(self.claims))
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
