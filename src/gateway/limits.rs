//! What bites: the static limits of one address, before it is known who asks, and the usage plan of a client.
//!
//! governor does the counting (GCRA, no background refill). Addresses share one quota, so a keyed limiter serves them; each
//! client has a limiter of its own, remade only when its plan's throttle changes.

mod address;
mod client;
mod quota;

pub use address::AddressLimiter;
pub use client::ClientThrottles;
pub use quota::{
    QuotaAsked, QuotaCount, QuotaSubject, Quotas, Standing, quotas_of_client, quotas_of_partner, quotas_of_request,
    wait_for_reset,
};

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::Clock;
use crate::config::LimitSettings;

/// The static limits of [`LimitSettings`].
pub struct AddressLimits {
    handshakes: AddressLimiter,
    requests: AddressLimiter,
    failures: AddressLimiter,
    exempt: Vec<IpNet>,
}

impl AddressLimits {
    pub fn new(settings: &LimitSettings, clock: &Clock) -> Self {
        Self {
            handshakes: AddressLimiter::new(settings.handshakes_per_address, clock.clone()),
            requests: AddressLimiter::new(settings.requests_per_address, clock.clone()),
            failures: AddressLimiter::new(settings.failures_per_address, clock.clone()),
            exempt: settings.exempt.clone(),
        }
    }

    fn is_exempt(&self, source: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(&source))
    }

    /// Counts a handshake.
    pub fn handshake(&self, source: IpAddr) -> Result<(), Duration> {
        if self.is_exempt(source) { Ok(()) } else { self.handshakes.spend(source) }
    }

    /// Counts a request, before anything is known of it.
    pub fn request(&self, source: IpAddr) -> Result<(), Duration> {
        if self.is_exempt(source) { Ok(()) } else { self.requests.spend(source) }
    }

    /// Counts a failed authentication. When the allowance is spent, failures from the address are answered with how long to
    /// wait. What is good still passes: one machine with an expired key must not lock out those that share its address, and
    /// secrets of 190 bits are not guessed. Never the client's own allowance is touched: a stranger who presents a partner's
    /// name must not be able to spend what the partner has.
    pub fn failure(&self, source: IpAddr) -> Result<(), Duration> {
        if self.is_exempt(source) { Ok(()) } else { self.failures.spend(source) }
    }

    /// Forgets addresses whose allowance is whole again. Called every few seconds.
    pub fn housekeep(&self) {
        for limiter in [&self.handshakes, &self.requests, &self.failures] {
            limiter.housekeep();
        }
    }
}
