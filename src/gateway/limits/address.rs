use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::config::Rate;

/// Addresses remembered one by one. Beyond it, whole networks (/24, /48) share an allowance: a flood of addresses may
/// coarsen the limit, but never push a live entry out, which would hand it a new burst.
const ADDRESSES_MAX: usize = 200_000;

type Keyed = RateLimiter<IpAddr, DashMapStateStore<IpAddr>, Clock, NoOpMiddleware<Nanos>>;

/// One rate for every address: IPv4 by /32, IPv6 by /64 (what one subscriber has).
pub struct AddressLimiter {
    limiter: Keyed,
    clock: Clock,
    crowded: AtomicBool,
}

impl AddressLimiter {
    pub fn new(rate: Rate, clock: Clock) -> Self {
        Self {
            limiter: RateLimiter::dashmap_with_clock(quota(rate.per_second, rate.burst), clock.clone()),
            clock,
            crowded: AtomicBool::new(false),
        }
    }

    /// Takes one from the address's allowance; `Err` is how long to wait.
    pub fn spend(&self, source: IpAddr) -> Result<(), Duration> {
        let key = self.key(source);
        self.limiter.check_key(&key).map_err(|not_until| not_until.wait_time_from(self.clock.now_nanos()))
    }

    /// Forgets allowances that are whole again.
    pub fn housekeep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        self.crowded.store(self.limiter.len() > ADDRESSES_MAX, Ordering::Relaxed);
    }

    fn key(&self, source: IpAddr) -> IpAddr {
        let crowded = self.crowded.load(Ordering::Relaxed);
        match source {
            IpAddr::V4(address) => {
                let mask = if crowded { 0xffff_ff00 } else { u32::MAX };
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let kept = if crowded { 48 } else { 64 };
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - kept))))
            }
        }
    }
}

/// `burst` at once, then one every `1 / per_second`. governor's own `per_second` would set the burst to the rate.
pub(super) fn quota(per_second: f64, burst: u32) -> Quota {
    let period = Duration::from_secs_f64(1.0 / per_second.max(1e-6));
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(period.max(Duration::from_nanos(1)))
        .unwrap_or_else(|| Quota::per_second(burst))
        .allow_burst(burst)
}

impl Clock {
    fn now_nanos(&self) -> Nanos {
        governor::clock::Clock::now(self)
    }
}
