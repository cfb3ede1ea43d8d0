//! One method made ready: whom it connects as, and the request that it sends.

use std::time::Instant;

use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::call::{Answer, Door, Question};
use super::endpoint::Endpoint;
use super::identity::Trust;
use super::method::Method;
use super::target::{Credentials, Target};
use super::token::{self, Token};
use crate::failure::Refusal;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A method with its credentials.
pub(super) struct Row {
    pub(super) method: Method,
    /// Every connection a full handshake.
    pub(super) full: Door,
    /// Connections after the first resume.
    pub(super) resuming: Door,
    /// Without the client's certificate.
    pub(super) stranger: Door,
    pub(super) question: Question,
    pub(super) token: Option<FetchedToken>,
}

/// The token in use and how to get another.
pub(super) struct FetchedToken {
    pub(super) door: Door,
    pub(super) question: Question,
    pub(super) token: Token,
    fetched: Instant,
}

impl Row {
    /// Makes the method ready; a token is fetched. `Err` says what is missing, for people.
    pub(super) async fn prepare(
        method: Method,
        target: &Target,
        trust: &Trust,
        credentials: &Credentials,
    ) -> Result<Self, String> {
        let said = |refusal: Refusal| refusal.message;
        let identity = match (method.has_certificate(), &credentials.identity) {
            (true, None) => return Err("no client certificate is given".to_owned()),
            (true, Some(identity)) => Some(identity),
            (false, _) => None,
        };
        let door = |endpoint: &Endpoint, resumes| {
            let tls = trust.connector(identity, resumes).map_err(said)?;
            Ok::<_, String>(Door { endpoint: endpoint.clone(), tls })
        };
        let mut row = Self {
            method,
            full: door(&target.route, false)?,
            resuming: door(&target.route, true)?,
            stranger: Door { endpoint: target.route.clone(), tls: trust.connector(None, false).map_err(said)? },
            question: Question::get(&target.route),
            token: None,
        };
        if method.has_api_key() {
            let key = credentials.api_key.as_ref().ok_or("no API key is given")?;
            let mut value = HeaderValue::from_str(key.expose_secret()).map_err(|_| "the API key is no header value")?;
            value.set_sensitive(true);
            row.question = row.question.with(API_KEY, value);
        }
        if method.has_token() {
            let secret = credentials.secret.as_ref().ok_or("no client secret is given, with which to fetch a token")?;
            let question = token::question(&target.token, secret, target.scope.as_deref())
                .ok_or("the client's id or secret cannot be sent")?;
            let door = door(&target.token, false)?;
            let token = fetch(&door, &question).await?;
            if method == Method::BoundToken && !token.is_bound {
                return Err("the token endpoint binds no tokens to certificates".to_owned());
            }
            row.token = Some(FetchedToken { door, question, token, fetched: Instant::now() });
            row.present_token();
        }
        Ok(row)
    }

    /// Fetches the token anew before it grows old under a long measurement.
    pub(super) async fn refresh(&mut self) -> Result<(), String> {
        let Some(fetched) = &mut self.token else { return Ok(()) };
        if fetched.fetched.elapsed() >= token::refresh_after(&fetched.token) {
            fetched.token = fetch(&fetched.door, &fetched.question).await?;
            fetched.fetched = Instant::now();
            self.present_token();
        }
        Ok(())
    }

    fn present_token(&mut self) {
        if let Some(value) = self.token.as_ref().and_then(|fetched| token::header(&fetched.token)) {
            self.question = self.question.clone().with(http::header::AUTHORIZATION, value);
        }
    }
}

async fn fetch(door: &Door, question: &Question) -> Result<Token, String> {
    let answer: Answer =
        async { door.open().await?.0.ask(question).await }.await.map_err(|error| token::failed(&error))?;
    token::read(&answer)
}
