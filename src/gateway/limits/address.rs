use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};
use metrics::counter;

use crate::clock::Clock;
use crate::config::Rate;

/// Addresses remembered one by one, for each limit. Beyond it new ones share an allowance with others: a flood of addresses may coarsen
/// the limit, but never push a live entry out, which would hand it a new burst.
const ADDRESSES_MAX: usize = 200_000;
/// Allowances that are shared then.
const SHARED: usize = 4096;
/// Enough that two requests at once seldom meet in one.
const SHARDS: usize = 64;
/// What a network of IPv6 (/48: what one site has, 65 536 times a /64) may spend, as a multiple of one /64. Without it, whoever has a
/// site has as many bursts as there are subnets in it.
const NETWORK_SHARE: u32 = 16;

type Keyed = RateLimiter<u128, Addresses, Clock, NoOpMiddleware<Nanos>>;

/// One rate for every address: IPv4 by /32, IPv6 by /64 (what one subscriber has), and by /48 for all of a site together.
pub struct AddressLimiter {
    hosts: Keyed,
    networks: Keyed,
    clock: Clock,
}

impl AddressLimiter {
    pub fn new(rate: Rate, clock: Clock) -> Self {
        let network = Rate {
            per_second: rate.per_second * f64::from(NETWORK_SHARE),
            burst: rate.burst.saturating_mul(NETWORK_SHARE),
        };
        let limiter = |rate: Rate| RateLimiter::new(quota(rate), Addresses::new(ADDRESSES_MAX), clock.clone());
        Self { hosts: limiter(rate), networks: limiter(network), clock: clock.clone() }
    }

    /// Takes one from the address's allowance; `Err` is how long to wait. What the address has not spends nothing of its network's.
    pub fn spend(&self, source: IpAddr) -> Result<(), Duration> {
        match source {
            IpAddr::V4(address) => self.check(&self.hosts, address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                self.check(&self.hosts, bits & (u128::MAX << 64))?;
                self.check(&self.networks, bits & (u128::MAX << 80))
            }
        }
    }

    /// Forgets allowances that are whole again.
    pub fn housekeep(&self) {
        for limiter in [&self.hosts, &self.networks] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    fn check(&self, limiter: &Keyed, key: u128) -> Result<(), Duration> {
        limiter.check_key(&key).map_err(|not_until| not_until.wait_time_from(governor::clock::Clock::now(&self.clock)))
    }
}

/// `burst` at once, then one every `1 / per_second`. governor's own `per_second` would set the burst to the rate.
fn quota(rate: Rate) -> Quota {
    let period = Duration::from_secs_f64(1.0 / rate.per_second.max(1e-6));
    let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(period.max(Duration::from_nanos(1)))
        .unwrap_or_else(|| Quota::per_second(burst))
        .allow_burst(burst)
}

/// governor's state for so many keys and no more. Its own stores have no bound.
struct Addresses {
    shards: Box<[Mutex<HashMap<u128, u64>>]>,
    shared: Box<[Mutex<Option<u64>>]>,
    count: AtomicUsize,
    count_max: usize,
}

impl Addresses {
    fn new(count_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shared: (0..SHARED).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            count_max,
        }
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, HashMap<u128, u64>> {
        locked(&self.shards[mixed(key) % SHARDS])
    }
}

impl StateStore for Addresses {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut shard = self.shard(*key);
        if let Some(state) = shard.get_mut(key) {
            let (outcome, next) = f(Some(Nanos::from(*state)))?;
            *state = next.as_u64();
            return Ok(outcome);
        }
        if self.count.load(Ordering::Relaxed) < self.count_max {
            let (outcome, next) = f(None)?;
            shard.insert(*key, next.as_u64());
            self.count.fetch_add(1, Ordering::Relaxed);
            return Ok(outcome);
        }
        drop(shard);
        counter!("portcullis_address_limits_shared_total").increment(1);
        // By /24 and /48: neighbours share with one another rather than with strangers.
        let coarse = if key >> 32 == 0xffff { key >> 8 } else { key >> 80 };
        let mut state = locked(&self.shared[mixed(coarse) % SHARED]);
        let (outcome, next) = f(state.map(Nanos::from))?;
        *state = Some(next.as_u64());
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u128> for Addresses {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.shards {
            let mut shard = locked(shard);
            let before = shard.len();
            shard.retain(|_, state| *state > drop_below.as_u64());
            self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
    }

    fn shrink_to_fit(&self) {
        for shard in &self.shards {
            let mut shard = locked(shard);
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
        }
    }

    fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spreads keys over a few places. Whoever can choose addresses that meet gains nothing: a place is only a lock, or a coarser limit.
fn mixed(key: u128) -> usize {
    let folded = (key as u64) ^ ((key >> 64) as u64);
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize
}

#[cfg(test)]
mod tests {
    use policies::UnixSeconds;

    use super::*;

    fn limiter(burst: u32) -> (AddressLimiter, Clock) {
        let clock = Clock::manual(UnixSeconds(1_800_000_000));
        (AddressLimiter::new(Rate { per_second: 0.01, burst }, clock.clone()), clock)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_subscriber_has_a_share_and_a_site_has_sixteen() {
        let (limiter, clock) = limiter(2);
        let spend = |text: &str| limiter.spend(address(text)).is_ok();
        assert!(spend("2001:db8:1:1::1") && spend("2001:db8:1:1::2"));
        assert!(!spend("2001:db8:1:1::3"), "one /64");
        for subnet in 2..=16 {
            assert!(spend(&format!("2001:db8:1:{subnet:x}::1")) && spend(&format!("2001:db8:1:{subnet:x}::2")));
        }
        assert!(!spend("2001:db8:1:ffff::1"), "one /48 has sixteen times as much");
        assert!(spend("2001:db8:2:1::1"), "another site has its own");
        assert!(
            spend("192.0.2.1") && spend("192.0.2.1") && !spend("192.0.2.1") && spend("192.0.2.2"),
            "IPv4 by address"
        );
        clock.advance(Duration::from_secs(100));
        assert!(spend("2001:db8:1:1::1") && !spend("2001:db8:1:1::1"));
    }

    #[test]
    fn a_flood_of_addresses_pushes_no_live_one_out() {
        let clock = Clock::manual(UnixSeconds(1_800_000_000));
        let rate = Rate { per_second: 0.01, burst: 2 };
        let limiter: Keyed = RateLimiter::new(quota(rate), Addresses::new(3), clock.clone());
        let held = [10_u128, 20, 30];
        for key in held {
            assert!(limiter.check_key(&(key << 80)).is_ok() && limiter.check_key(&(key << 80)).is_ok());
        }
        let flooded = (0..100_000_u128).filter(|key| limiter.check_key(&((1_000 + key) << 80)).is_ok()).count();
        assert!(flooded <= 2 * SHARED, "{flooded} of what shares got through");
        assert_eq!(limiter.len(), 3, "no more are held");
        for key in held {
            assert!(limiter.check_key(&(key << 80)).is_err(), "{key} is as spent as before");
        }
        clock.advance(Duration::from_secs(300));
        limiter.retain_recent();
        assert_eq!(limiter.len(), 0);
        assert!(limiter.check_key(&(7 << 80)).is_ok());
    }
}
