//! The static limits of an address, before it is known who asks. Each listener counts by itself: a flood against one closes no other.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::AddressLimiter;
use crate::clock::Clock;
use crate::config::LimitSettings;

/// The static limits of [`LimitSettings`].
pub struct AddressLimits {
    /// A handful; by name.
    listeners: Vec<(String, ListenerLimits)>,
    exempt: Vec<IpNet>,
}

struct ListenerLimits {
    handshakes: AddressLimiter,
    requests: AddressLimiter,
    failures: AddressLimiter,
}

impl AddressLimits {
    pub fn new<'a>(settings: &LimitSettings, listeners: impl IntoIterator<Item = &'a str>, clock: &Clock) -> Self {
        let limits = |name: &str| {
            let limits = ListenerLimits {
                handshakes: AddressLimiter::new(settings.handshakes_per_address, clock.clone()),
                requests: AddressLimiter::new(settings.requests_per_address, clock.clone()),
                failures: AddressLimiter::new(settings.failures_per_address, clock.clone()),
            };
            (name.to_owned(), limits)
        };
        Self { listeners: listeners.into_iter().map(limits).collect(), exempt: settings.exempt.clone() }
    }

    fn is_exempt(&self, source: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(&source))
    }

    /// The limits of a listener. A name that is none of ours is nobody's, and waits: it cannot happen, and must not open anything.
    fn of(&self, listener: &str) -> Result<&ListenerLimits, Duration> {
        const UNKNOWN: Duration = Duration::from_secs(1);
        let found = self.listeners.iter().find(|(name, _)| name == listener);
        found.map(|(_, limits)| limits).ok_or(UNKNOWN)
    }

    /// Counts a handshake.
    pub fn handshake(&self, listener: &str, source: IpAddr) -> Result<(), Duration> {
        if self.is_exempt(source) { Ok(()) } else { self.of(listener)?.handshakes.spend(source) }
    }

    /// Counts a request, before anything is known of it.
    pub fn request(&self, listener: &str, source: IpAddr) -> Result<(), Duration> {
        if self.is_exempt(source) { Ok(()) } else { self.of(listener)?.requests.spend(source) }
    }

    /// Counts a failed authentication. When the allowance is spent, failures from the address are answered with how long to
    /// wait. What is good still passes: one machine with an expired key must not lock out those that share its address, and
    /// secrets of 190 bits are not guessed. Never the client's own allowance is touched: a stranger who presents a partner's
    /// name must not be able to spend what the partner has.
    pub fn failure(&self, listener: &str, source: IpAddr) -> Result<(), Duration> {
        if self.is_exempt(source) { Ok(()) } else { self.of(listener)?.failures.spend(source) }
    }

    /// Forgets addresses whose allowance is whole again. Called every few seconds.
    pub fn housekeep(&self) {
        for (_, limits) in &self.listeners {
            for limiter in [&limits.handshakes, &limits.requests, &limits.failures] {
                limiter.housekeep();
            }
        }
    }
}
