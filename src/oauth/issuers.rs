//! External issuers (a Cognito pool, Keycloak, Auth0): whose tokens the policy lets in, and with which keys they are checked.

mod issuer_keys;
mod jwks_client;
mod key_set;
#[cfg(test)]
pub(super) mod tests;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
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
    /// Where relative files of trust anchors lie.
    folder: PathBuf,
    fetch_limiter: Arc<FetchLimiter>,
    known: papaya::HashMap<Place, Arc<IssuerKeys>>,
}

/// Where keys come from: the address, and the trust anchors it is asked with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    jwks_uri: String,
    ca_file: Option<PathBuf>,
}

impl Issuers {
    pub(super) fn new(clock: &Clock, folder: &Path) -> Self {
        // A period of zero would be no limit; governor says so with `None`.
        let quota =
            Quota::with_period(FETCH_PERIOD).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(FETCHES_BURST);
        let fetch_limiter = Arc::new(RateLimiter::direct_with_clock(quota, clock.clone()));
        Self { clock: clock.clone(), folder: folder.to_owned(), fetch_limiter, known: papaya::HashMap::new() }
    }

    /// The keys of an issuer of this policy. Nothing is fetched before a token asks for one.
    pub(super) fn keys_of(&self, issuer: &TokenIssuer, policy: &Policy) -> Result<Arc<IssuerKeys>, Fault> {
        let known = self.known.pin();
        let place = self.place(issuer);
        if let Some(keys) = known.get(&place) {
            return Ok(Arc::clone(keys));
        }
        let client = JwksClient::new(&place.jwks_uri, place.ca_file.clone())?;
        let keys = IssuerKeys::new(client, self.clock.clone(), Arc::clone(&self.fetch_limiter));
        known.retain(|place, _| policy.token_issuers.iter().any(|issuer| self.place(issuer) == *place));
        // Whoever was first: two of them would fetch twice.
        Ok(Arc::clone(known.get_or_insert(place, Arc::new(keys))))
    }

    fn place(&self, issuer: &TokenIssuer) -> Place {
        let ca_file = issuer.ca_file.as_ref().map(|file| self.folder.join(file));
        Place { jwks_uri: issuer.jwks_uri.clone(), ca_file }
    }
}
