//! Access tokens: made, looked at, taken back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AdminState;
use super::body::{Body, Created};
use super::operator::Operator;
use super::problem::Problem;
use crate::failure::Refusal;
use crate::oauth::{Inspection, Verdict};

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    #[schema(example = "acme-orders")]
    client: String,
    /// Some of the client's scopes; absent: all of them.
    scopes: Option<Vec<String>>,
}

/// A token, the only time that it is shown.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// By which it can be revoked.
    id: String,
    access_token: String,
    /// Seconds.
    expires_in: u32,
    /// Always `Bearer`.
    token_type: &'static str,
    scope: String,
}

/// A token to look at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenToInspect {
    token: String,
}

/// Whether the gate would take a token now.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenVerdict {
    active: bool,
    /// `accepted`, `signature_refused` (no known issuer signed it) or `claims_refused` (well signed, but it does not count).
    verdict: &'static str,
    reason: Option<String>,
    /// What its issuer signed.
    #[schema(value_type = Option<Object>)]
    claims: Option<serde_json::Value>,
}

impl From<Inspection> for TokenVerdict {
    fn from(inspection: Inspection) -> Self {
        let verdict = match inspection.verdict {
            Verdict::Accepted => "accepted",
            Verdict::SignatureRefused => "signature_refused",
            Verdict::ClaimsRefused => "claims_refused",
        };
        let active = inspection.verdict == Verdict::Accepted;
        Self { active, verdict, reason: inspection.reason, claims: inspection.claims }
    }
}

/// What to revoke: a token, a `jti` together with its `client`, or all tokens of a `client`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRevocation {
    /// The whole token.
    token: Option<String>,
    /// A token's `jti` claim, which the audit log names.
    jti: Option<String>,
    /// The client; without `jti` all tokens that it was issued until now.
    client: Option<String>,
}

/// What was revoked.
#[derive(Serialize, ToSchema)]
pub(super) struct RevokedTokens {
    /// Always true: when this answers, this node refuses them.
    revoked: bool,
}

/// Make a token for a client
///
/// Without the client's secret, to try a route. It is in the answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "issue_token", tag = "Tokens", request_body = NewToken,
    responses((status = 201, description = "The token", body = MadeToken)))]
pub(super) async fn issue(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(new): Body<NewToken>,
) -> Result<Created<MadeToken>, Problem> {
    let token = state.oauth.mint(&actor, &new.client, new.scopes.as_deref()).await?;
    Ok(Created(MadeToken {
        id: token.jti.to_string(),
        access_token: token.access_token.expose_secret().to_owned(),
        expires_in: token.expires_in,
        token_type: "Bearer",
        scope: token.scope,
    }))
}

/// Say whether the gate would take a token
///
/// In the body, not in the URL: URLs end up in logs.
#[utoipa::path(post, path = "/v1/tokens/inspect", operation_id = "inspect_token", tag = "Tokens", request_body = TokenToInspect,
    responses((status = 200, description = "The verdict, and what the token says", body = TokenVerdict)))]
pub(super) async fn inspect(
    State(state): State<Arc<AdminState>>,
    Body(asked): Body<TokenToInspect>,
) -> Result<Json<TokenVerdict>, Problem> {
    Ok(Json(state.oauth.inspect(&asked.token).await?.into()))
}

/// Revoke tokens
///
/// When this answers, this node refuses them.
#[utoipa::path(post, path = "/v1/tokens/revoke", operation_id = "revoke_tokens", tag = "Tokens", request_body = TokenRevocation,
    responses((status = 200, description = "They are revoked", body = RevokedTokens)))]
pub(super) async fn revoke(
    State(state): State<Arc<AdminState>>,
    Operator(actor): Operator,
    Body(revocation): Body<TokenRevocation>,
) -> Result<Json<RevokedTokens>, Problem> {
    match (revocation.token, revocation.jti, revocation.client) {
        (Some(token), None, None) => state.oauth.revoke_token(&actor, &token).await?,
        (None, Some(jti), client) => {
            // The name of the client is for the record alone: a jti is unique by itself.
            state.oauth.revoke_jti(&actor, client.as_deref().unwrap_or("unknown"), &jti).await?;
        }
        (None, None, Some(client)) => state.oauth.revoke_client_tokens(&actor, &client).await?,
        _ => {
            return Err(Refusal::invalid("ambiguous_selector", "Give exactly one of token, jti and client.").into());
        }
    }
    Ok(Json(RevokedTokens { revoked: true }))
}
