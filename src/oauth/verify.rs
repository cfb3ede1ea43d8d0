//! The gate's question about a bearer token: whose is it, and does it count now?
//!
//! *Who* is remembered, *may* is not: on every use the time, the revocations and the certificate the token is bound to are
//! looked at anew.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use pki::Thumbprint;
use policies::{
    ClientId, CredentialStatus, Denial, RESERVED_RESOURCE_SERVER, ScopeSet, TokenIssuer, TokenProfile, UnixSeconds,
};

use super::OAuth;
use super::issuers::{IssuerKeys, NotFound};
use super::jwt::{Expectations, Lifetime, MAX_TOKEN_BYTES, TokenFault, UnverifiedToken, VerifiedClaims};
use crate::failure::Fault;
use crate::snapshot::{ClientEntry, PolicyView};

/// How many verified tokens are remembered.
const REMEMBERED_MAX: u64 = 100_000;
/// How long one is remembered at most. It bounds memory; what bounds trust is asked on every use.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);
/// Forgiven between the clocks of nodes that share our keys.
const OWN_LEEWAY_SECONDS: i64 = 30;

/// A token whose signature and claims are good. Whether it counts now is its `status`: the gate judges it in its own order, so
/// that a revoked token from a wrong address is denied for the address.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    pub client: ClientId,
    /// What the token allows; the client's own scopes bound it.
    pub scopes: ScopeSet,
    pub jti: Option<Arc<str>>,
    pub issuer: Arc<str>,
    pub issued_at: Option<UnixSeconds>,
    pub expires_at: UnixSeconds,
    /// The certificate it is bound to, which the caller has presented.
    pub bound_to: Option<Thumbprint>,
    /// Now: active, not yet valid, expired or revoked.
    pub status: CredentialStatus,
}

/// Why there is no [`VerifiedToken`].
#[derive(Debug)]
pub enum TokenRefusal {
    /// The caller's doing. Inside it says what is wrong, outside it is `invalid_token` (RFC 6750 §3.1).
    Denied(Denial),
    /// Ours, or that of an issuer whose keys we have never got.
    Fault(Fault),
}

/// Verified tokens by the SHA-256 of their whole text. Its size is bounded and the least used go first.
pub(super) struct TokenCache(pub(super) moka::sync::Cache<[u8; 32], Arc<Remembered>>);

/// Who a token speaks for. Nothing here says that it may.
pub(super) struct Remembered {
    client: ClientId,
    scopes: ScopeSet,
    jti: Option<Arc<str>>,
    issuer: Arc<str>,
    issued_at: Option<UnixSeconds>,
    lifetime: Lifetime,
    pub(super) bound_to: Option<Thumbprint>,
    /// Under which policy it was judged: an issuer that is taken out of it takes its tokens with it.
    policy_version: i64,
    signer: Signer,
}

/// Whose keys, and which generation of them: a key that is withdrawn takes its tokens with it.
enum Signer {
    Own { generation: u64 },
    External { keys: Arc<IssuerKeys>, generation: u64 },
}

impl Default for TokenCache {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(REMEMBERED_FOR).build())
    }
}

impl OAuth {
    /// Verifies an access token: ours, or one of an external issuer of `view`'s policy.
    ///
    /// `peer` is the thumbprint of the client certificate that the connection was made with. A token that is bound to another,
    /// or to one when there is none, is refused (RFC 8705 §3).
    ///
    /// It waits only for an external issuer's keys, and only when the token names one that is not known.
    pub async fn verify(
        &self,
        token: &str,
        peer: Option<&Thumbprint>,
        view: &PolicyView,
        now: UnixSeconds,
    ) -> Result<VerifiedToken, TokenRefusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::TooLong.into());
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        let who = match self.tokens.0.get(&key).filter(|remembered| self.still_stands(remembered, view)) {
            Some(remembered) => remembered,
            None => {
                let who = Arc::new(self.identify(token, view).await?);
                if who.lifetime.status_at(now, false) == CredentialStatus::Active {
                    self.tokens.0.insert(key, Arc::clone(&who));
                }
                who
            }
        };
        let judged = self.judge(&who, peer, view, now)?;
        if judged.status == CredentialStatus::Expired {
            self.tokens.0.invalidate(&key);
        }
        Ok(judged)
    }

    /// What a token of ours says, whether or not it counts now. Without a view nothing is asked of its audience: a token that
    /// nobody would take any more can still be revoked.
    pub(super) fn own_claims(&self, token: &str, view: Option<&PolicyView>) -> Result<VerifiedClaims, TokenFault> {
        let unverified = UnverifiedToken::parse(token)?;
        if unverified.issuer() != Some(self.issuer.identifier.as_str()) {
            return Err(TokenFault::Issuer);
        }
        self.check_own(unverified, view).map(|(claims, _)| claims)
    }

    /// Whether a token was taken back: by name, with the certificate it is bound to (also where nobody presents that: at
    /// introspection), or with all that its client had been issued. One that does not say when it was issued counts as the oldest.
    pub(super) fn is_revoked(
        &self,
        jti: Option<&str>,
        issued_at: Option<UnixSeconds>,
        bound_to: Option<&Thumbprint>,
        client: &ClientEntry,
    ) -> bool {
        let by_name = jti.is_some_and(|jti| self.snapshot.token_revoked(jti));
        let by_client =
            client.tokens_not_before.is_some_and(|not_before| issued_at.is_none_or(|issued_at| issued_at < not_before));
        let by_certificate = bound_to.is_some_and(|certificate| self.snapshot.certificate_revoked(certificate));
        by_name || by_client || by_certificate
    }

    fn still_stands(&self, remembered: &Remembered, view: &PolicyView) -> bool {
        let same_keys = match &remembered.signer {
            Signer::Own { generation } => *generation == self.keys.ring().generation,
            Signer::External { keys, generation } => {
                keys.refresh_if_old();
                *generation == keys.generation()
            }
        };
        same_keys && remembered.policy_version == view.version
    }

    pub(super) async fn identify(&self, token: &str, view: &PolicyView) -> Result<Remembered, TokenRefusal> {
        let unverified = UnverifiedToken::parse(token)?;
        let issuer = unverified.issuer().ok_or(TokenFault::MissingClaim("iss"))?;
        let (claims, client, issuer, signer) = if issuer == self.issuer.identifier {
            let (claims, generation) = self.check_own(unverified, Some(view))?;
            let client = claims.client.parse().map_err(|_| TokenFault::MalformedClaim("client_id"))?;
            (claims, client, self.issuer.identifier.as_str().into(), Signer::Own { generation })
        } else {
            // A look-up among the names in the policy: nothing that the token says is ever fetched.
            let known =
                view.policy.token_issuers.iter().find(|known| known.issuer == issuer).ok_or(TokenFault::Issuer)?;
            let (claims, signer) = self.check_external(unverified, known, view).await?;
            let client = known.clients.get(&claims.client).cloned();
            let client = client.ok_or_else(|| invalid("the issuer's client is not mapped to one of ours"))?;
            (claims, client, known.issuer.as_str().into(), signer)
        };
        Ok(Remembered {
            client,
            scopes: claims.scopes,
            jti: claims.jti.map(Into::into),
            issuer,
            issued_at: claims.issued_at,
            lifetime: claims.lifetime,
            bound_to: claims.bound_to.map(Thumbprint::from),
            policy_version: view.version,
            signer,
        })
    }

    fn check_own(
        &self,
        token: UnverifiedToken<'_>,
        view: Option<&PolicyView>,
    ) -> Result<(VerifiedClaims, u64), TokenFault> {
        let ring = self.keys.ring();
        let key = token.key_id().and_then(|kid| ring.find(kid)).ok_or(TokenFault::NoKey)?;
        let signed = token.verify_signature(key.verification_key())?;
        let servers = view.into_iter().flat_map(|view| &view.policy.resource_servers);
        let audiences: Vec<&str> = servers
            .map(|server| server.identifier.as_str())
            .chain([RESERVED_RESOURCE_SERVER, self.issuer.identifier.as_str()])
            .collect();
        let claims = signed.check(&Expectations {
            issuer: &self.issuer.identifier,
            profile: TokenProfile::Rfc9068,
            audiences: view.is_some().then_some(&audiences),
            leeway_seconds: OWN_LEEWAY_SECONDS,
        })?;
        Ok((claims, ring.generation))
    }

    async fn check_external(
        &self,
        token: UnverifiedToken<'_>,
        issuer: &TokenIssuer,
        view: &PolicyView,
    ) -> Result<(VerifiedClaims, Signer), TokenRefusal> {
        let algorithm = token.algorithm();
        if !issuer.algorithms.iter().any(|allowed| allowed == algorithm.as_str()) {
            return Err(TokenFault::Algorithm.into());
        }
        let keys = self.issuers.keys_of(issuer, &view.policy).map_err(TokenRefusal::Fault)?;
        let found = keys.find(token.key_id(), algorithm).await.map_err(|not_found| match not_found {
            NotFound::NoSuchKey => TokenFault::NoKey.into(),
            NotFound::NoKeysYet => TokenRefusal::Fault(Fault::new(format!(
                "the keys of the issuer {} could not be fetched",
                issuer.issuer
            ))),
        })?;
        let audiences: Vec<&str> = issuer.audiences.iter().map(String::as_str).collect();
        let claims = token.verify_signature(&found.key)?.check(&Expectations {
            issuer: &issuer.issuer,
            profile: issuer.profile,
            audiences: Some(&audiences),
            leeway_seconds: i64::from(issuer.leeway_seconds),
        })?;
        Ok((claims, Signer::External { keys, generation: found.generation }))
    }

    /// What is asked on every use.
    pub(super) fn judge(
        &self,
        who: &Remembered,
        peer: Option<&Thumbprint>,
        view: &PolicyView,
        now: UnixSeconds,
    ) -> Result<VerifiedToken, TokenRefusal> {
        if who.bound_to.is_some() && who.bound_to.as_ref() != peer {
            return Err(invalid("the token is bound to a client certificate that was not presented"));
        }
        let client = view.client(who.client.as_str()).ok_or_else(|| invalid("the token's client does not exist"))?;
        let revoked = self.is_revoked(who.jti.as_deref(), who.issued_at, who.bound_to.as_ref(), &client);
        Ok(VerifiedToken {
            client: who.client.clone(),
            scopes: who.scopes.clone(),
            jti: who.jti.clone(),
            issuer: Arc::clone(&who.issuer),
            issued_at: who.issued_at,
            expires_at: who.lifetime.expires_at(),
            bound_to: who.bound_to,
            status: who.lifetime.status_at(now, revoked),
        })
    }
}

fn invalid(detail: &str) -> TokenRefusal {
    TokenRefusal::Denied(Denial::InvalidToken { detail: detail.to_owned() })
}

impl From<TokenFault> for TokenRefusal {
    fn from(fault: TokenFault) -> Self {
        invalid(&fault.to_string())
    }
}
