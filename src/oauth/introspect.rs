//! `POST /oauth2/introspect` (RFC 7662): is this token good, and what for?

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pki::Thumbprint;
use policies::{ADMIN_READ, CredentialStatus, INTROSPECT};
use serde::Serialize;
use serde_json::json;

use super::answer::{self, ErrorAnswer};
use super::client_authentication::{AuthenticatedClient, Scene};
use super::{OAuth, read_form};
use crate::listen::PeerCertificate;

/// §2.2. About a token that is not active nothing is said but that: not whether it was, nor whose.
#[derive(Serialize)]
struct Active {
    active: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    client_id: String,
    token_type: &'static str,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    aud: Vec<String>,
    iss: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// RFC 8705 §3.2: who asks must compare it with the certificate of its own caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<serde_json::Value>,
}

impl OAuth {
    pub(super) fn introspect(
        &self,
        request: &Request<Bytes>,
        source: IpAddr,
        peer: Option<&PeerCertificate>,
    ) -> Response<Bytes> {
        let view = self.snapshot.policy();
        let scene = Scene { snapshot: &self.snapshot, view: &view, source, peer, now: self.clock.now() };
        let answered = read_form(request).and_then(|form| {
            let caller = self.authenticate(request, &form, &scene)?;
            let repeated = |_| ErrorAnswer::invalid_request("A parameter stands more than once.");
            let token = form.one("token").map_err(repeated)?;
            let token = token.ok_or_else(|| ErrorAnswer::invalid_request("The token is missing."))?;
            let active = self.active(&scene, &caller, token);
            Ok((active, caller.told()))
        });
        match answered {
            Ok((active, authenticated)) => {
                let mut response = match active {
                    Some(active) => answer::json(StatusCode::OK, &active),
                    None => answer::json(StatusCode::OK, &json!({ "active": false })),
                };
                response.extensions_mut().insert(authenticated);
                response
            }
            Err(refused) => refused.into_response(false),
        }
    }

    /// `None`: not active, or none of the caller's business.
    fn active(&self, scene: &Scene<'_>, caller: &AuthenticatedClient, token: &str) -> Option<Active> {
        let claims = self.own_claims(token, Some(scene.view)).ok()?;
        let holder = scene.view.client(&claims.client).filter(|entry| entry.client.enabled)?;
        let certificate = claims.bound_to.map(Thumbprint::from);
        let revoked = self.is_revoked(claims.jti.as_deref(), claims.issued_at, certificate.as_ref(), &holder);
        if claims.lifetime.status_at(scene.now, revoked) != CredentialStatus::Active {
            return None;
        }
        if claims.client != caller.entry.client.id.as_str() && !may_ask_about_others(caller) {
            return None;
        }
        let confirmation = claims.bound_to.map(|digest| json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(digest) }));
        Some(Active {
            active: true,
            // What the gate would let it do: the client may have less by now than when the token was made.
            scope: claims.scopes.intersection(&holder.client.scopes).to_string(),
            client_id: claims.client,
            token_type: "Bearer",
            exp: claims.lifetime.expires_at().0,
            iat: claims.issued_at.map(|instant| instant.0),
            sub: claims.subject,
            aud: claims.audiences,
            iss: self.issuer.identifier.clone(),
            jti: claims.jti,
            cnf: confirmation,
        })
    }
}

/// Its own tokens any client may ask about; those of others an API that guards itself with our tokens and holds [`INTROSPECT`],
/// or an administrator, who may read everything.
fn may_ask_about_others(caller: &AuthenticatedClient) -> bool {
    let scopes = caller.allowed_scopes();
    scopes.contains(INTROSPECT) || scopes.contains(ADMIN_READ)
}
