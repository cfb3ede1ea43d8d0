use std::sync::Arc;
use std::time::Duration;

use governor::RateLimiter;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use papaya::HashMap;
use policies::{ClientId, Throttle};

use super::address::quota;
use crate::clock::Clock;

type Direct = RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Nanos>>;

struct ClientThrottle {
    throttle: Throttle,
    limiter: Direct,
}

/// The throttles of usage plans, one for each client that has called. Exact: with burst B and rate r a client passes B at
/// once, then r a second. A plan that changes its throttle starts the client's allowance anew.
pub struct ClientThrottles {
    clients: HashMap<ClientId, Arc<ClientThrottle>>,
    clock: Clock,
}

impl ClientThrottles {
    pub fn new(clock: Clock) -> Self {
        Self { clients: HashMap::new(), clock }
    }

    /// Takes one; `Err` is how long until the next would pass.
    pub fn spend(&self, client: &ClientId, throttle: Throttle) -> Result<(), Duration> {
        let guard = self.clients.pin();
        let entry = match guard.get(client) {
            Some(entry) if entry.throttle == throttle => Arc::clone(entry),
            _ => {
                let fresh = Arc::new(ClientThrottle {
                    throttle,
                    limiter: RateLimiter::direct_with_clock(
                        quota(throttle.rate_per_second, throttle.burst),
                        self.clock.clone(),
                    ),
                });
                // Two first requests at once must share one allowance: whoever comes second takes the first one's.
                let kept = guard.update_or_insert(
                    client.clone(),
                    |present| if present.throttle == throttle { Arc::clone(present) } else { Arc::clone(&fresh) },
                    Arc::clone(&fresh),
                );
                Arc::clone(kept)
            }
        };
        entry.limiter.check().map_err(|not_until| not_until.wait_time_from(governor::clock::Clock::now(&self.clock)))
    }

    /// How many clients have an allowance in memory.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}
