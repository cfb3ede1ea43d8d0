//! The authorization server for client credentials (RFC 6749 §4.4), and the verifier of access tokens: ours, and those of the
//! external issuers that the policy names.
//!
//! Issued tokens are not stored. What is stored is what can take them back: their `jti`, or the instant before which none of a
//! client's counts. Both are in the snapshot, and are asked on every use.

mod answer;
mod client_authentication;
mod endpoint;
mod form;
mod grant;
mod inspect;
mod introspect;
mod issuers;
pub mod jwt;
mod metadata;
mod mint;
mod presented;
mod revoke;
pub mod signing_keys;
mod token;
mod verify;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

pub use self::answer::{Authenticated, AuthenticationFailed};
pub use self::inspect::{Inspection, Verdict};
pub use self::mint::MintedToken;
pub use self::signing_keys::SigningKeys;
pub use self::token::TokenIssued;
pub use self::verify::{TokenRefusal, VerifiedToken};

use self::answer::ErrorAnswer;
use self::client_authentication::{AuthenticatedClient, Scene};
use self::endpoint::Endpoint;
use self::form::Form;
use self::issuers::Issuers;
use self::jwt::Algorithm;
use self::metadata::IssuerIdentity;
use self::presented::Presented;
use self::verify::TokenCache;
use crate::clock::Clock;
use crate::failure::Fault;
use crate::listen::PeerCertificate;
use crate::registry::{Pepper, client_secret};
use crate::snapshot::Snapshot;
use crate::store::{Store, revoked_token};

/// Largest body of a request to an endpoint.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Shortest and longest life of our tokens (Cognito's bounds: five minutes, a day).
pub const TOKEN_TTL_SECONDS_MIN: u32 = 300;
pub const TOKEN_TTL_SECONDS_MAX: u32 = 86_400;
/// Life of our tokens when nothing is configured.
pub const TOKEN_TTL_SECONDS_DEFAULT: u32 = 3600;

/// How many transactions one [`OAuth::tidy`] makes at most.
const PRUNE_ROUNDS_MAX: u32 = 100;

/// How the authorization server is set up.
#[derive(Clone, Debug)]
pub struct OAuthConfig {
    /// The `iss` of our tokens: an `https` URL without query, fragment and final `/`.
    pub issuer: String,
    /// [`TOKEN_TTL_SECONDS_MIN`] to [`TOKEN_TTL_SECONDS_MAX`].
    pub token_ttl_seconds: u32,
    /// ES256, or RS256 for verifiers that take RSA only.
    pub algorithm: Algorithm,
    /// The token endpoint answers every error with 400 and without description, as Cognito does.
    pub cognito_errors: bool,
    /// Where the relative `ca_file`s of external issuers lie: the data folder.
    pub folder: PathBuf,
}

/// The authorization server and the verifier. Shared as `Arc<OAuth>`.
pub struct OAuth {
    issuer: IssuerIdentity,
    token_ttl_seconds: u32,
    cognito_errors: bool,
    store: Store,
    snapshot: Arc<Snapshot>,
    clock: Clock,
    pepper: Arc<Pepper>,
    keys: SigningKeys,
    issuers: Issuers,
    tokens: TokenCache,
}

impl OAuth {
    /// Opens the signing keys, or makes the first. `passphrase` is that of the CA's keys; it is not kept.
    ///
    /// # Errors
    /// A fault when the configuration is out of bounds, the passphrase does not open the keys, or the database does not answer.
    pub async fn new(
        config: OAuthConfig,
        store: Store,
        snapshot: Arc<Snapshot>,
        clock: Clock,
        pepper: Arc<Pepper>,
        passphrase: &[u8],
    ) -> Result<Self, Fault> {
        let keys = SigningKeys::open(store.clone(), clock.clone(), config.algorithm, passphrase).await?;
        Self::with_keys(config, store, snapshot, clock, pepper, keys)
    }

    fn with_keys(
        config: OAuthConfig,
        store: Store,
        snapshot: Arc<Snapshot>,
        clock: Clock,
        pepper: Arc<Pepper>,
        keys: SigningKeys,
    ) -> Result<Self, Fault> {
        let issuer = IssuerIdentity::parse(&config.issuer).ok_or_else(|| {
            Fault::new(format!("the issuer {:?} is not a URL without query, fragment and final /", config.issuer))
        })?;
        if !(TOKEN_TTL_SECONDS_MIN..=TOKEN_TTL_SECONDS_MAX).contains(&config.token_ttl_seconds) {
            return Err(Fault::new(format!(
                "a token life of {} s is not between 300 and 86400",
                config.token_ttl_seconds
            )));
        }
        let issuers = Issuers::new(&clock, &config.folder);
        Ok(Self {
            issuer,
            token_ttl_seconds: config.token_ttl_seconds,
            cognito_errors: config.cognito_errors,
            store,
            snapshot,
            clock,
            pepper,
            keys,
            issuers,
            tokens: TokenCache::default(),
        })
    }

    /// The `iss` of our tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer.identifier
    }

    /// Where tokens are asked for.
    pub fn token_endpoint(&self) -> String {
        format!("{}{}", self.issuer.origin, Endpoint::Token.path())
    }

    /// The keys that sign our tokens: to rotate or withdraw them.
    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Whether one of our endpoints is at `path`. Paths must be normal: no dot segments, no escapes.
    pub fn serves(&self, path: &str) -> bool {
        Endpoint::at(path, &self.issuer.path).is_some()
    }

    /// Answers a request to one of our endpoints.
    ///
    /// `peer` is the client certificate whose key the connection has proved. The extensions of the response say what became of
    /// it: [`AuthenticationFailed`] (count it by address), [`Authenticated`], [`TokenIssued`].
    pub async fn handle(
        &self,
        request: Request<Bytes>,
        source: IpAddr,
        peer: Option<&PeerCertificate>,
    ) -> Response<Bytes> {
        let Some(endpoint) = Endpoint::at(request.uri().path(), &self.issuer.path) else {
            return answer::empty(StatusCode::NOT_FOUND);
        };
        let head = request.method() == Method::HEAD;
        let reading = head || request.method() == Method::GET;
        let mut response = match (endpoint, request.method()) {
            (Endpoint::Token, &Method::POST) => self.token(&request, source, peer),
            (Endpoint::Token, &Method::OPTIONS) => token_preflight(),
            (Endpoint::Revoke, &Method::POST) => self.revoke(&request, source, peer).await,
            (Endpoint::Introspect, &Method::POST) => self.introspect(&request, source, peer),
            (Endpoint::Jwks, _) if reading => self.jwks(),
            (Endpoint::ServerMetadata, _) if reading => self.metadata(false),
            (Endpoint::OpenIdConfiguration, _) if reading => self.metadata(true),
            _ => answer::method_not_allowed(endpoint.methods()),
        };
        if head {
            let length = response.body().len();
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Bytes::new();
        }
        response
    }

    /// Forgets what no longer matters: revocations of tokens that have expired, signing keys that signed none that is alive.
    /// Call it every few minutes.
    pub async fn tidy(&self) -> Result<(), Fault> {
        self.keys.remove_outdated().await?;
        // Small transactions: a revocation that comes meanwhile waits for one of them at most.
        for _ in 0..PRUNE_ROUNDS_MAX {
            let mut tx = self.store.begin().await?;
            let forgotten = revoked_token::prune(&mut tx, self.clock.now()).await?;
            tx.commit().await?;
            if forgotten < u64::from(revoked_token::PRUNE_MAX) {
                break;
            }
        }
        self.snapshot.catch_up(&self.store).await?;
        Ok(())
    }

    /// Whether the caller is a client in force. The same for all endpoints.
    fn authenticate(
        &self,
        request: &Request<Bytes>,
        form: &Form,
        scene: &Scene<'_>,
    ) -> Result<AuthenticatedClient, ErrorAnswer> {
        let presented = Presented::read(request.headers(), form)?;
        client_authentication::authenticate(scene, &presented, |secret| client_secret::mac(&self.pepper, secret))
    }
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OAuth")
            .field("issuer", &self.issuer.identifier)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Reads the form of a POST.
///
/// # Errors
/// `invalid_request`: parameters in the URL, where logs and proxies would keep them (RFC 6749 §2.3.1), another content type,
/// a body that is too large or cannot be read.
fn read_form(request: &Request<Bytes>) -> Result<Form, ErrorAnswer> {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(ErrorAnswer::invalid_request("Parameters must be in the body, not in the URL."));
    }
    if request.body().len() > BODY_BYTES_MAX {
        let answer = ErrorAnswer::invalid_request("The body is too large.");
        return Err(answer.with_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let mut types = request.headers().get_all(header::CONTENT_TYPE).iter();
    let is_form = match (types.next(), types.next()) {
        (Some(one), None) => {
            let essence = one.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        }
        _ => false,
    };
    if !is_form {
        return Err(ErrorAnswer::invalid_request("The body must be application/x-www-form-urlencoded."));
    }
    Form::parse(request.body()).map_err(|_| ErrorAnswer::invalid_request("The form is malformed."))
}

/// Browsers ask this before a page may send an `Authorization` header (Fetch Standard, CORS protocol).
fn token_preflight() -> Response<Bytes> {
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    answer::allow_any_origin(headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    headers.insert(header::ALLOW, HeaderValue::from_static(Endpoint::Token.methods()));
    response
}
