//! A token against a key set and rules, without a server: the gate's own functions.

use policies::{CredentialStatus, TokenProfile, UnixSeconds};
use serde_json::{Map, Value, json};

use crate::oauth::jwt::{Envelope, Expectations, LEEWAY_SECONDS_MAX, SignedToken, TokenFault, VerificationKey};

/// More keys than this no issuer has.
const KEYS_MAX: usize = 100;
/// What the gate forgives between clocks.
const LEEWAY_SECONDS: i64 = 30;
const _: () = assert!(LEEWAY_SECONDS <= LEEWAY_SECONDS_MAX);

/// What is asked of the claims.
pub(super) struct Rules<'a> {
    /// Absent: whoever the token says it is by.
    pub(super) issuer: Option<&'a str>,
    pub(super) profile: TokenProfile,
    /// Empty: it is not asked whom the token is for.
    pub(super) audiences: &'a [String],
    /// Seconds since 1970.
    pub(super) at: i64,
}

/// What became of the token.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Accepted {
        claims: Map<String, Value>,
    },
    SignatureRefused {
        why: String,
    },
    /// The claims are absent when what was signed is no JSON object.
    ClaimsRefused {
        why: String,
        claims: Option<Map<String, Value>>,
    },
}

impl Verdict {
    /// In the form of the server's answer.
    pub(super) fn into_json(self) -> Value {
        match self {
            Self::Accepted { claims } => {
                json!({"active": true, "verdict": "accepted", "reason": null, "claims": claims})
            }
            Self::SignatureRefused { why } => {
                json!({"active": false, "verdict": "signature_refused", "reason": why, "claims": null})
            }
            Self::ClaimsRefused { why, claims } => {
                json!({"active": false, "verdict": "claims_refused", "reason": why, "claims": claims})
            }
        }
    }
}

/// The usable keys of a JWK Set, or of a single JWK.
pub(super) fn keys(document: &[u8]) -> Result<Vec<VerificationKey>, String> {
    let document: Value = serde_json::from_slice(document).map_err(|error| format!("it is not JSON: {error}"))?;
    let listed = match document.get("keys") {
        Some(Value::Array(keys)) => keys.as_slice(),
        None if document.get("kty").is_some() => std::slice::from_ref(&document),
        _ => return Err("it is not a JSON Web Key Set".to_owned()),
    };
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for jwk in listed.iter().take(KEYS_MAX) {
        match VerificationKey::from_jwk(jwk) {
            Ok(key) => keys.push(key),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    match (keys.is_empty(), faults.first()) {
        (false, _) => Ok(keys),
        (true, None) => Err("there is no key in it".to_owned()),
        (true, Some(fault)) => Err(format!("there is no key in it that can be used: {fault}")),
    }
}

/// Judges as the gate would that has these keys and rules.
pub(super) fn judge(token: &str, keys: &[VerificationKey], rules: &Rules<'_>) -> Verdict {
    let refused = |fault: TokenFault| Verdict::SignatureRefused { why: fault.to_string() };
    let envelope = match Envelope::parse(token) {
        Ok(envelope) => envelope,
        Err(fault) => return refused(fault),
    };
    let Some(key) = find(keys, &envelope) else { return refused(TokenFault::NoKey) };
    if let Err(fault) = envelope.verify_signature(key) {
        return refused(fault);
    }
    match envelope.open(key) {
        Ok(signed) => judge_claims(&signed, rules),
        Err(fault) => Verdict::ClaimsRefused { why: fault.to_string(), claims: None },
    }
}

/// The key that the token names; a token that names none means the only one there is.
fn find<'k>(keys: &'k [VerificationKey], envelope: &Envelope<'_>) -> Option<&'k VerificationKey> {
    match (envelope.key_id(), keys) {
        (Some(key_id), keys) => {
            let named = |key: &&VerificationKey| key.key_id() == Some(key_id) && key.supports(envelope.algorithm());
            keys.iter().find(named)
        }
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

fn judge_claims(signed: &SignedToken, rules: &Rules<'_>) -> Verdict {
    let claims = signed.claims().clone();
    let named = claims.get("iss").and_then(Value::as_str).unwrap_or_default().to_owned();
    let audiences: Vec<&str> = rules.audiences.iter().map(String::as_str).collect();
    let checked = signed.check(&Expectations {
        issuer: rules.issuer.unwrap_or(&named),
        profile: rules.profile,
        audiences: (!audiences.is_empty()).then_some(&audiences),
        leeway_seconds: LEEWAY_SECONDS,
    });
    let why = match checked {
        Err(fault) => fault.to_string(),
        Ok(verified) => match verified.lifetime.status_at(UnixSeconds(rules.at), false) {
            CredentialStatus::Active => return Verdict::Accepted { claims },
            CredentialStatus::Expired => "the token has expired".to_owned(),
            CredentialStatus::NotYetValid => "the token is not valid yet".to_owned(),
            CredentialStatus::Revoked => "the token was revoked".to_owned(),
        },
    };
    Verdict::ClaimsRefused { why, claims: Some(claims) }
}

#[cfg(test)]
mod tests;
