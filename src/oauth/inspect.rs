//! Would the gate take this token, and if not, why? For administrators: a caller only ever reads `invalid_token`.

use policies::{CredentialStatus, Denial};
use serde_json::Value;

use super::issuers::NotFound;
use super::jwt::{SignedToken, TokenFault, UnverifiedToken};
use super::{OAuth, TokenRefusal};
use crate::failure::Fault;
use crate::snapshot::PolicyView;

/// What an inspection found.
#[derive(Clone, Debug)]
pub struct Inspection {
    pub verdict: Verdict,
    /// Why it is refused.
    pub reason: Option<String>,
    /// What its issuer signed; `None` when nobody known did.
    pub claims: Option<Value>,
}

/// How far a token comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The gate would take it now.
    Accepted,
    /// No known issuer signed it.
    SignatureRefused,
    /// Well signed, but it does not count: another audience, expired, revoked, its client gone or switched off.
    ClaimsRefused,
}

impl OAuth {
    /// Judges a token as the gate would now. One that is bound to a certificate is judged as if that were presented.
    ///
    /// # Errors
    /// A fault when the keys of an external issuer cannot be had.
    pub async fn inspect(&self, token: &str) -> Result<Inspection, Fault> {
        let view = self.snapshot.policy();
        let signed = match self.signed(token, &view).await? {
            Ok(signed) => signed,
            Err(fault) => return Ok(refused(Verdict::SignatureRefused, fault.to_string(), None)),
        };
        let claims = Some(Value::Object(signed.claims().clone()));
        let judged = self
            .identify(token, &view)
            .await
            .and_then(|who| self.judge(&who, who.bound_to.as_ref(), &view, self.clock.now()));
        let token = match judged {
            Ok(token) => token,
            Err(TokenRefusal::Denied(denial)) => return Ok(refused(Verdict::ClaimsRefused, inside(&denial), claims)),
            Err(TokenRefusal::Fault(fault)) => return Err(fault),
        };
        let enabled = view.client(token.client.as_str()).is_some_and(|entry| entry.client.enabled);
        let reason = match token.status {
            CredentialStatus::Active if enabled => {
                return Ok(Inspection { verdict: Verdict::Accepted, reason: None, claims });
            }
            CredentialStatus::Active => "the client or its partner is disabled",
            CredentialStatus::NotYetValid => "the token is not valid yet",
            CredentialStatus::Expired => "the token has expired",
            CredentialStatus::Revoked => "the token was revoked",
        };
        Ok(refused(Verdict::ClaimsRefused, reason.to_owned(), claims))
    }

    async fn signed(&self, token: &str, view: &PolicyView) -> Result<Result<SignedToken, TokenFault>, Fault> {
        let unverified = match UnverifiedToken::parse(token) {
            Ok(unverified) => unverified,
            Err(fault) => return Ok(Err(fault)),
        };
        if unverified.issuer() == Some(self.issuer.identifier.as_str()) {
            let ring = self.keys.ring();
            let key = unverified.key_id().and_then(|kid| ring.find(kid));
            return Ok(key
                .ok_or(TokenFault::NoKey)
                .and_then(|key| unverified.verify_signature(key.verification_key())));
        }
        let mut known = view.policy.token_issuers.iter();
        let Some(issuer) = known.find(|known| Some(known.issuer.as_str()) == unverified.issuer()) else {
            return Ok(Err(TokenFault::Issuer));
        };
        let keys = self.issuers.keys_of(issuer, &view.policy)?;
        match keys.find(unverified.key_id(), unverified.algorithm()).await {
            Ok(found) => Ok(unverified.verify_signature(&found.key)),
            Err(NotFound::NoSuchKey) => Ok(Err(TokenFault::NoKey)),
            Err(NotFound::NoKeysYet) => {
                let outside = "The keys of the token's issuer could not be fetched.";
                Err(Fault::with_outside(
                    format!("the keys of the issuer {} could not be fetched", issuer.issuer),
                    outside,
                ))
            }
        }
    }
}

fn refused(verdict: Verdict, reason: String, claims: Option<Value>) -> Inspection {
    Inspection { verdict, reason: Some(reason), claims }
}

fn inside(denial: &Denial) -> String {
    denial.detail().into_owned()
}
