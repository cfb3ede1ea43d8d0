//! External issuers (a Cognito pool, Keycloak, Auth0): whose tokens the policy lets in, and with which keys they are checked.

mod issuer_keys;
mod jwks_client;
mod key_set;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use policies::{Policy, TokenIssuer};

pub(super) use self::issuer_keys::{IssuerKeys, NotFound};
use self::jwks_client::JwksClient;
use crate::clock::Clock;
use crate::failure::Fault;

/// How many fetches all issuers together may cause at once, and how soon one more may follow: strangers choose the issuer and
/// the key that their tokens name.
const FETCHES_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();
const FETCH_PERIOD: Duration = Duration::from_millis(500);

type FetchLimiter = RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Nanos>>;

/// The keys of every issuer that was asked for.
pub(super) struct Issuers {
    clock: Clock,
    fetch_limiter: Arc<FetchLimiter>,
    /// By `jwks_uri`.
    known: papaya::HashMap<String, Arc<IssuerKeys>>,
}

impl Issuers {
    pub(super) fn new(clock: &Clock) -> Self {
        // A period of zero would be no limit; governor says so with `None`.
        let quota = Quota::with_period(FETCH_PERIOD).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(FETCHES_BURST);
        let fetch_limiter = Arc::new(RateLimiter::direct_with_clock(quota, clock.clone()));
        Self { clock: clock.clone(), fetch_limiter, known: papaya::HashMap::new() }
    }

    /// The keys of an issuer of this policy. Nothing is fetched before a token asks for one.
    pub(super) fn keys_of(&self, issuer: &TokenIssuer, policy: &Policy) -> Result<Arc<IssuerKeys>, Fault> {
        let known = self.known.pin();
        let ca_file = issuer.ca_file.as_deref().map(Path::new);
        if let Some(keys) = known.get(&issuer.jwks_uri)
            && keys.trusts(ca_file)
        {
            return Ok(Arc::clone(keys));
        }
        let client = JwksClient::new(&issuer.jwks_uri, ca_file)?;
        let keys = Arc::new(IssuerKeys::new(client, self.clock.clone(), Arc::clone(&self.fetch_limiter)));
        known.retain(|uri, _| policy.token_issuers.iter().any(|issuer| issuer.jwks_uri == *uri));
        known.insert(issuer.jwks_uri.clone(), Arc::clone(&keys));
        Ok(keys)
    }
}
