//! `POST /oauth2/revoke` (RFC 7009), for access tokens: what Cognito cannot do. And the administrator's revocations.
//!
//! 200 means: on disk, and in force on this node. When the store fails the answer is 503, never a 200 that is not true
//! (CVE-2020-15223).

use std::net::IpAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use policies::{CredentialStatus, UnixSeconds};
use serde_json::json;

use super::answer::{self, Authenticated, ErrorAnswer};
use super::client_authentication::Scene;
use super::{OAuth, read_form};
use crate::failure::{Failure, Fault, Refusal};
use crate::listen::PeerCertificate;
use crate::registry::Actor;
use crate::store::revoked_token::RevokedTokenRow;
use crate::store::{client, revoked_token};

/// How long a revocation by `jti` alone is kept: ten years.
const UNKNOWN_END_SECONDS: i64 = 10 * 366 * 86_400;
/// Longest `jti` that can be revoked by name, in bytes.
const JTI_BYTES_MAX: usize = 256;

impl OAuth {
    pub(super) async fn revoke(
        &self,
        request: &Request<Bytes>,
        source: IpAddr,
        peer: Option<&PeerCertificate>,
    ) -> Response<Bytes> {
        match self.revoke_own(request, source, peer).await {
            Ok(authenticated) => {
                let mut response = answer::empty(StatusCode::OK);
                response.extensions_mut().insert(authenticated);
                response
            }
            Err(refused) => refused.into_response(false),
        }
    }

    /// Revokes a token of any client of ours, whole as it was issued. Expired ones too: nothing is then left to do.
    ///
    /// # Errors
    /// `token_unknown` when we did not issue it.
    pub async fn revoke_token(&self, actor: &Actor, token: &str) -> Result<(), Failure> {
        let token = self
            .own_token(token)
            .ok_or_else(|| Refusal::not_found("token_unknown", "This is not a token that was issued here."))?;
        self.store_revocation(actor, &token).await?;
        Ok(())
    }

    /// Revokes a token by its `jti`, which the audit names. It holds for external issuers' tokens as well.
    ///
    /// # Errors
    /// `invalid_jti` when it cannot be one.
    pub async fn revoke_jti(&self, actor: &Actor, client: &str, jti: &str) -> Result<(), Failure> {
        if jti.is_empty() || jti.len() > JTI_BYTES_MAX {
            return Err(Refusal::invalid("invalid_jti", "A jti has 1 to 256 bytes.").into());
        }
        // Its end is not known, and an external issuer's token may live long: a revocation must outlive it.
        let expires_at = self.clock.now().plus(UNKNOWN_END_SECONDS);
        let token = OwnToken { client: client.to_owned(), jti: jti.to_owned(), expires_at, dead: false };
        self.store_revocation(actor, &token).await?;
        Ok(())
    }

    /// Revokes every token of a client that was issued up to now, ours and external ones.
    ///
    /// # Errors
    /// `client_not_found`.
    pub async fn revoke_client_tokens(&self, actor: &Actor, client: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        // `iat` has whole seconds: what was issued earlier in this very second must go too.
        let instant = now.plus(1);
        let mut tx = self.store.begin().await?;
        if !client::revoke_tokens_before(&mut tx, client, instant, now).await? {
            return Err(Refusal::not_found("client_not_found", format!("There is no client {client:?}.")).into());
        }
        actor.record(&mut tx, &self.clock, "token.revoke-all", client, &json!({ "issued_before": instant.0 })).await?;
        tx.commit().await?;
        self.snapshot.catch_up(&self.store).await?;
        Ok(())
    }

    async fn revoke_own(
        &self,
        request: &Request<Bytes>,
        source: IpAddr,
        peer: Option<&PeerCertificate>,
    ) -> Result<Authenticated, ErrorAnswer> {
        let form = read_form(request)?;
        let (client, authenticated) = {
            let view = self.snapshot.policy();
            let scene = Scene { snapshot: &self.snapshot, view: &view, source, peer, now: self.clock.now() };
            let caller = self.authenticate(request, &form, &scene)?;
            let client = caller.entry.client.id.clone();
            (client, caller.told())
        };
        let repeated = |_| ErrorAnswer::invalid_request("A parameter stands more than once.");
        let token = form.one("token").map_err(repeated)?;
        let token = token.ok_or_else(|| ErrorAnswer::invalid_request("The token is missing."))?;
        // `token_type_hint` may be wrong (§2.1) and there is one kind of token: it is not read.
        match self.own_token(token) {
            // §2.2: a token that means nothing here is as good as revoked. Another client's looks the same from outside: no
            // effect, and nothing that tells whether it exists.
            Some(token) if token.client == client.as_str() => {
                let actor = Actor { name: client.as_str().to_owned(), source: Some(source) };
                self.store_revocation(&actor, &token).await?;
            }
            _ => {}
        }
        Ok(authenticated)
    }

    /// Durable first, then in force here, then answered.
    async fn store_revocation(&self, actor: &Actor, token: &OwnToken) -> Result<(), Fault> {
        if token.dead {
            return Ok(());
        }
        let now = self.clock.now();
        let row = RevokedTokenRow {
            jti: token.jti.clone(),
            client_id: token.client.clone(),
            expires_at: token.expires_at.0,
            revoked_at: now.0,
        };
        let mut tx = self.store.begin().await?;
        if revoked_token::insert(&mut tx, &row, now).await? {
            let detail = json!({ "client": row.client_id, "expires_at": row.expires_at });
            actor.record(&mut tx, &self.clock, "token.revoke", &row.jti, &detail).await?;
        }
        tx.commit().await?;
        self.snapshot.catch_up(&self.store).await?;
        Ok(())
    }

    /// What a token of ours says, in force or not; `None` for anything that we did not sign.
    fn own_token(&self, token: &str) -> Option<OwnToken> {
        let claims = self.own_claims(token, None).ok()?;
        let dead = claims.lifetime.status_at(self.clock.now(), false) == CredentialStatus::Expired;
        Some(OwnToken { client: claims.client, jti: claims.jti?, expires_at: claims.lifetime.expires_at(), dead })
    }
}

/// What a revocation writes down.
struct OwnToken {
    client: String,
    jti: String,
    expires_at: UnixSeconds,
    /// It has expired; nothing needs to be written.
    dead: bool,
}
