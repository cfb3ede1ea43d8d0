//! `POST /oauth2/token`: an access token for a client that proves its secret (RFC 6749 §4.4).

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pki::Thumbprint;
use policies::{ClientId, ScopeSet, UnixSeconds};
use serde::Serialize;

use super::answer::{self, ErrorAnswer, ErrorCode};
use super::client_authentication::{AuthenticatedClient, Scene};
use super::form::Form;
use super::grant::{self, Grant};
use super::{OAuth, read_form};
use crate::failure::Fault;
use crate::listen::PeerCertificate;

const GRANT_TYPE: &str = "client_credentials";

/// In the extensions of a response that carries a token: which one, for the audit. Not the token.
#[derive(Clone, Debug)]
pub struct TokenIssued {
    pub jti: Arc<str>,
    pub client: ClientId,
    pub scopes: ScopeSet,
    pub expires_at: UnixSeconds,
    /// The certificate that alone may use it.
    pub bound_to: Option<Thumbprint>,
}

/// RFC 6749 §5.1, in Cognito's order: three members, and `scope` when it is not what was asked for.
#[derive(Serialize)]
struct Answer {
    access_token: String,
    expires_in: u32,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// The claims of RFC 9068 §2.2 and those that readers of Cognito's tokens look for, in one.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: Audience<'a>,
    client_id: &'a str,
    iat: i64,
    exp: i64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    token_use: &'static str,
    auth_time: i64,
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

/// RFC 7519 §4.1.3: a string when there is one.
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Several(&'a [String]),
}

/// RFC 8705 §3.1.
#[derive(Serialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

impl OAuth {
    pub(super) fn token(
        &self,
        request: &Request<Bytes>,
        source: IpAddr,
        peer: Option<&PeerCertificate>,
    ) -> Response<Bytes> {
        let view = self.snapshot.policy();
        let scene = Scene { snapshot: &self.snapshot, view: &view, source, peer, now: self.clock.now() };
        let (form, client) = match read_form(request).and_then(|form| {
            let client = self.authenticate(request, &form, &scene)?;
            Ok((form, client))
        }) {
            Ok(authenticated) => authenticated,
            Err(refused) => return self.token_error(refused),
        };
        let mut response = match self.grant_token(&scene, &form, &client) {
            Ok((body, issued)) => {
                let mut response = answer::json(StatusCode::OK, &body);
                answer::allow_any_origin(response.headers_mut());
                response.extensions_mut().insert(issued);
                response
            }
            Err(refused) => self.token_error(refused),
        };
        response.extensions_mut().insert(client.told());
        response
    }

    fn token_error(&self, refused: ErrorAnswer) -> Response<Bytes> {
        let mut response = refused.into_response(self.cognito_errors);
        answer::allow_any_origin(response.headers_mut());
        response
    }

    fn grant_token(
        &self,
        scene: &Scene<'_>,
        form: &Form,
        client: &AuthenticatedClient,
    ) -> Result<(Answer, TokenIssued), ErrorAnswer> {
        let repeated = |_| ErrorAnswer::invalid_request("A parameter stands more than once.");
        match form.one("grant_type").map_err(repeated)? {
            Some(GRANT_TYPE) => {}
            Some(_) => {
                return Err(ErrorAnswer::new(
                    ErrorCode::UnsupportedGrantType,
                    "The grant_type must be client_credentials.",
                ));
            }
            None => return Err(ErrorAnswer::invalid_request("The grant_type is missing.")),
        }
        let requested = form.one("scope").map_err(repeated)?;
        let resources: Vec<&str> = form.all("resource").collect();
        let grant = grant::decide(&scene.view.policy, &client.allowed_scopes(), requested, &resources)?;
        if client.entry.tokens_not_before.is_some_and(|instant| instant > scene.now) {
            // All tokens of this second were just revoked; one issued now could not be told from them.
            return Err(ErrorAnswer::new(ErrorCode::TemporarilyUnavailable, "Try again in a second."));
        }
        let (access_token, issued) = self.sign_token(client, &grant, scene.now)?;
        let scope = grant.differs.then(|| grant.scopes.to_string());
        Ok((Answer { access_token, expires_in: self.token_ttl_seconds, token_type: "Bearer", scope }, issued))
    }

    pub(super) fn sign_token(
        &self,
        client: &AuthenticatedClient,
        grant: &Grant,
        now: UnixSeconds,
    ) -> Result<(String, TokenIssued), Fault> {
        let client_id = &client.entry.client.id;
        let jti = random_id()?;
        let expires_at = now.plus(i64::from(self.token_ttl_seconds));
        let bound_to = client.certificate.as_ref().map(|certificate| certificate.thumbprint);
        let claims = Claims {
            iss: &self.issuer.identifier,
            sub: client_id.as_str(),
            aud: match grant.audiences.as_slice() {
                [] => Audience::One(&self.issuer.identifier),
                [one] => Audience::One(one),
                several => Audience::Several(several),
            },
            client_id: client_id.as_str(),
            iat: now.0,
            exp: expires_at.0,
            jti: &jti,
            scope: (!grant.scopes.is_empty()).then(|| grant.scopes.to_string()),
            token_use: "access",
            auth_time: now.0,
            version: 2,
            cnf: bound_to.map(|thumbprint| Confirmation { thumbprint: thumbprint.x5t_s256() }),
        };
        let signed = self.keys.ring().active.sign(&claims);
        let token = signed.map_err(|fault| Fault::new(format!("signing a token: {fault}")))?;
        let issued = TokenIssued {
            jti: jti.into(),
            client: client_id.clone(),
            scopes: grant.scopes.clone(),
            expires_at,
            bound_to,
        };
        Ok((token, issued))
    }
}

/// 128 random bits: nobody can guess the `jti` of another's token, or make two of one.
fn random_id() -> Result<String, Fault> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Fault::new("no randomness for a token id"))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}
