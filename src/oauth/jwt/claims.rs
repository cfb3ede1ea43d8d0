//! What a signed token must say to be an access token for us (RFC 7519 §4, RFC 9068 §4, Cognito's access tokens).

use policies::{CredentialStatus, Scope, ScopeSet, TokenProfile, UnixSeconds, status_at};
use serde_json::{Map, Value};

use super::json;
use super::{MAX_KEY_ID_BYTES, TokenFault};

/// No verifier here grants more for clocks that differ. Revocations are kept as long beyond the end of their tokens.
pub const LEEWAY_SECONDS_MAX: i64 = 60;

/// What is asked of a token of one issuer. What each profile asks:
///
/// | | RFC 9068 (ours too) | Cognito | generic |
/// |---|---|---|---|
/// | `typ` | `at+jwt` | none, `JWT` or `at+jwt` | none, `JWT` or `at+jwt` |
/// | `aud` | one of `audiences` | where present, one of `audiences` | one of `audiences` |
/// | `token_use` | where present, `access` | `access` | where present, `access` |
/// | client | `client_id` | `client_id` | the first of `client_id`, `azp`, `sub` that is there |
/// | scopes | `scope` | `scope` | `scope`, or else `scp` |
/// | also asked | `sub`, `iat`, `jti` | `iat` | |
#[derive(Clone, Copy, Debug)]
pub struct Expectations<'a> {
    /// Compared byte for byte: no folding of slashes or letters.
    pub issuer: &'a str,
    pub profile: TokenProfile,
    /// Identifiers that are ours; when the list is empty, only Cognito's tokens, which name no audience, can pass. `None`: it
    /// is not asked whom the token is for.
    pub audiences: Option<&'a [&'a str]>,
    /// For `exp`, `nbf` and `iat` alike; never more than [`LEEWAY_SECONDS_MAX`].
    pub leeway_seconds: i64,
}

/// When a token is good. Asked on every use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The later of `nbf` and `iat`.
    starts_at: Option<UnixSeconds>,
    expires_at: UnixSeconds,
    leeway_seconds: i64,
}

impl Lifetime {
    /// `exp`.
    pub fn expires_at(&self) -> UnixSeconds {
        self.expires_at
    }

    /// [`CredentialStatus::Active`] before `exp` plus the leeway and not more than the leeway before `nbf` and `iat`. A token
    /// from the future is as suspect as an old one: its end lies where the forger wants it.
    pub fn status_at(&self, now: UnixSeconds, revoked: bool) -> CredentialStatus {
        let starts_at = self.starts_at.map(|start| start.plus(-self.leeway_seconds));
        status_at(starts_at, Some(self.expires_at.plus(self.leeway_seconds)), revoked, now)
    }
}

/// What a token says once everything in it was judged, except the time.
#[derive(Clone, Debug)]
pub struct VerifiedClaims {
    /// Whom the token speaks for, in the issuer's words: `client_id`, `azp` or `sub`.
    pub client: String,
    pub subject: Option<String>,
    pub audiences: Vec<String>,
    /// Scopes that have a resource server's form. Others (`openid`) can match nothing here and are left out.
    pub scopes: ScopeSet,
    pub jti: Option<String>,
    /// `iat`, rounded down: a token of the same second as a revocation counts as older.
    pub issued_at: Option<UnixSeconds>,
    pub lifetime: Lifetime,
    /// `cnf.x5t#S256`: SHA-256 of the one certificate that may use the token (RFC 8705 §3.1).
    pub bound_to: Option<[u8; 32]>,
}

pub(super) fn check(
    token_type: Option<&str>,
    claims: &Map<String, Value>,
    expectations: &Expectations<'_>,
) -> Result<VerifiedClaims, TokenFault> {
    let profile = expectations.profile;
    if !is_access_token(token_type, profile) {
        return Err(TokenFault::NotAccessToken);
    }
    if required_text(claims, "iss")? != expectations.issuer {
        return Err(TokenFault::Issuer);
    }
    let audiences = audiences(claims)?;
    match (&audiences, expectations.audiences) {
        (_, None) => {}
        (Some(audiences), Some(ours)) if audiences.iter().any(|audience| ours.contains(&audience.as_str())) => {}
        (None, _) if profile == TokenProfile::Cognito => {}
        (None, _) => return Err(TokenFault::MissingClaim("aud")),
        (Some(_), Some(_)) => return Err(TokenFault::Audience),
    }
    match claims.get("token_use") {
        Some(Value::String(purpose)) if purpose == "access" => {}
        None if profile != TokenProfile::Cognito => {}
        _ => return Err(TokenFault::NotAccessToken),
    }
    let subject = optional_text(claims, "sub")?;
    let jti = optional_text(claims, "jti")?;
    let expires_at = instant(claims, "exp")?.ok_or(TokenFault::MissingClaim("exp"))?;
    let not_before = instant(claims, "nbf")?;
    let issued_at = instant(claims, "iat")?;
    match profile {
        TokenProfile::Rfc9068 => {
            subject.ok_or(TokenFault::MissingClaim("sub"))?;
            jti.ok_or(TokenFault::MissingClaim("jti"))?;
            issued_at.ok_or(TokenFault::MissingClaim("iat"))?;
        }
        TokenProfile::Cognito => {
            issued_at.ok_or(TokenFault::MissingClaim("iat"))?;
        }
        TokenProfile::Generic => {}
    }
    let starts_at = [not_before, issued_at].into_iter().flatten().map(|instant| instant.not_before).max();
    Ok(VerifiedClaims {
        client: client(claims, profile)?.to_owned(),
        subject: subject.map(str::to_owned),
        audiences: audiences.unwrap_or_default(),
        scopes: scopes(claims, profile)?,
        jti: jti.map(str::to_owned),
        issued_at: issued_at.map(|instant| UnixSeconds(instant.floor)),
        lifetime: Lifetime {
            starts_at: starts_at.map(UnixSeconds),
            expires_at: UnixSeconds(expires_at.not_before),
            leeway_seconds: expectations.leeway_seconds.clamp(0, LEEWAY_SECONDS_MAX),
        },
        bound_to: confirmation(claims)?,
    })
}

/// RFC 9068 §2.1, RFC 8725 §3.11: the explicit type keeps ID tokens, logout tokens and DPoP proofs of the same issuer out.
fn is_access_token(token_type: Option<&str>, profile: TokenProfile) -> bool {
    let is = |name: &str| token_type.is_some_and(|token_type| token_type.eq_ignore_ascii_case(name));
    let explicit = is("at+jwt") || is("application/at+jwt");
    match profile {
        TokenProfile::Rfc9068 => explicit,
        TokenProfile::Cognito | TokenProfile::Generic => explicit || token_type.is_none() || is("JWT"),
    }
}

fn client(claims: &Map<String, Value>, profile: TokenProfile) -> Result<&str, TokenFault> {
    let names: &[&'static str] = match profile {
        TokenProfile::Rfc9068 | TokenProfile::Cognito => &["client_id"],
        TokenProfile::Generic => &["client_id", "azp", "sub"],
    };
    for name in names {
        // The first that is there decides, known here or not: a token could else pick the one that suits it.
        if let Some(client) = optional_text(claims, name)? {
            return Ok(client);
        }
    }
    Err(TokenFault::MissingClaim("client_id"))
}

fn scopes(claims: &Map<String, Value>, profile: TokenProfile) -> Result<ScopeSet, TokenFault> {
    let name = match profile {
        TokenProfile::Generic if !claims.contains_key("scope") => "scp",
        _ => "scope",
    };
    let items: Vec<&str> = match claims.get(name) {
        None => Vec::new(),
        Some(Value::String(list)) if list.is_empty() => Vec::new(),
        // RFC 6749 §3.3: one space between two; anything else that looks like a space is part of no scope.
        Some(Value::String(list)) => list.split(' ').collect(),
        Some(Value::Array(list)) if name == "scp" => {
            list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenFault::MalformedClaim("scp"))?
        }
        Some(_) => return Err(TokenFault::MalformedClaim(name)),
    };
    if !items.iter().all(|item| is_scope_token(item)) {
        return Err(TokenFault::MalformedClaim(name));
    }
    Ok(items.into_iter().filter_map(|item| item.parse::<Scope>().ok()).collect())
}

/// `scope-token` of RFC 6749 §3.3.
fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

fn audiences(claims: &Map<String, Value>) -> Result<Option<Vec<String>>, TokenFault> {
    let malformed = TokenFault::MalformedClaim("aud");
    match claims.get("aud") {
        None => Ok(None),
        Some(Value::String(one)) => Ok(Some(vec![one.clone()])),
        Some(Value::Array(list)) => {
            let list = list.iter().map(|item| item.as_str().map(str::to_owned));
            list.collect::<Option<_>>().map(Some).ok_or(malformed)
        }
        Some(_) => Err(malformed),
    }
}

/// RFC 7800 §3.1. A confirmation that we cannot check (a DPoP key, `jkt`) must not turn into a bearer token.
fn confirmation(claims: &Map<String, Value>) -> Result<Option<[u8; 32]>, TokenFault> {
    let malformed = TokenFault::MalformedClaim("cnf");
    match claims.get("cnf") {
        None => Ok(None),
        Some(Value::Object(methods)) if methods.len() == 1 => {
            let digest = methods.get("x5t#S256").and_then(Value::as_str).ok_or(malformed)?;
            let digest = json::base64url(digest).map_err(|_| malformed)?;
            digest.try_into().map(Some).map_err(|_| malformed)
        }
        Some(_) => Err(malformed),
    }
}

/// A NumericDate (RFC 7519 §2) on both sides of its fraction.
#[derive(Clone, Copy)]
struct Instant {
    /// The last whole second that is not after it.
    floor: i64,
    /// The first whole second that is not before it: a clock of whole seconds passes both at once.
    not_before: i64,
}

/// Absent is one thing, malformed another: a parser that took `"exp": "never"` for no `exp` was CVE-2026-25537.
fn instant(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Instant>, TokenFault> {
    /// The largest integers that every double below them holds exactly in range of `i64`.
    const BOUND: f64 = 9.0e18;
    let malformed = TokenFault::MalformedClaim(name);
    let number = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(malformed),
    };
    if let Some(whole) = number.as_i64() {
        return Ok(Some(Instant { floor: whole, not_before: whole }));
    }
    match number.as_f64() {
        Some(value) if value.abs() < BOUND => {
            Ok(Some(Instant { floor: value.floor() as i64, not_before: value.ceil() as i64 }))
        }
        _ => Err(malformed),
    }
}

fn required_text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, TokenFault> {
    match claims.get(name) {
        None => Err(TokenFault::MissingClaim(name)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(TokenFault::MalformedClaim(name)),
    }
}

/// A name that is kept and looked up: not empty, and not longer than a name.
fn optional_text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, TokenFault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_KEY_ID_BYTES => Ok(Some(text)),
        Some(_) => Err(TokenFault::MalformedClaim(name)),
    }
}
