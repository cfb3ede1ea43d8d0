//! The generic cell rate algorithm (ITU-T I.371 Annex A), as arithmetic: a throttle, a number and the time in; a number out.
//!
//! All that is remembered of a bucket is one instant, its *theoretical arrival time* (TAT): when it would be whole again if nothing
//! more came. A request is let in if the TAT it leaves behind is no further off than `burst` requests take to be earned. So `burst`
//! pass at once, then one every `1 / rate`; nothing has to be refilled in the background, and a bucket may be forgotten as soon as its
//! TAT is past, never before: one that is forgotten earlier is given its burst anew (Traefik's was, twice a second).

use std::num::NonZeroU64;

use crate::plan::Throttle;

const NANOS_PER_SECOND: f64 = 1e9;
/// The emission interval of the smallest rate: a millionth a second.
const INTERVAL_NANOS_MAX: f64 = 1e15;

/// A throttle in nanoseconds. Instants are nanoseconds of a monotonic clock; 0 is long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gcra {
    interval_nanos: NonZeroU64,
    burst: u32,
}

impl Gcra {
    /// The arithmetic of a throttle. The interval is rounded to the nanosecond: at a million a second that is a thousandth part.
    #[must_use]
    pub fn of(throttle: Throttle) -> Self {
        let interval = (NANOS_PER_SECOND / throttle.rate_per_second).round().clamp(1.0, INTERVAL_NANOS_MAX);
        Self { interval_nanos: NonZeroU64::new(interval as u64).unwrap_or(NonZeroU64::MIN), burst: throttle.burst }
    }

    /// How long one request takes to be earned.
    #[must_use]
    pub const fn interval_nanos(self) -> u64 {
        self.interval_nanos.get()
    }

    /// How long a spent bucket takes to be whole.
    #[must_use]
    pub const fn fill_nanos(self) -> u64 {
        self.interval_nanos().saturating_mul(self.burst as u64)
    }

    /// Takes one request at `now`: the TAT that it leaves.
    ///
    /// # Errors
    /// How long until one would pass, in nanoseconds. Nothing is spent: the TAT stays what it was.
    pub const fn take(self, tat: u64, now: u64) -> Result<u64, u64> {
        let from = if tat > now { tat } else { now };
        let next = from.saturating_add(self.interval_nanos());
        let debt = next - now;
        if debt <= self.fill_nanos() { Ok(next) } else { Err(debt - self.fill_nanos()) }
    }

    /// The TAT after one request that was taken and not served is given back.
    #[must_use]
    pub const fn give_back(self, tat: u64) -> u64 {
        tat.saturating_sub(self.interval_nanos())
    }

    /// How many requests would pass at once.
    #[must_use]
    pub const fn remaining(self, tat: u64, now: u64) -> u64 {
        self.fill_nanos().saturating_sub(tat.saturating_sub(now)) / self.interval_nanos()
    }

    /// The TAT of a bucket out of which all was taken at `at`.
    #[must_use]
    pub const fn spent_at(self, at: u64) -> u64 {
        at.saturating_add(self.fill_nanos())
    }

    /// No further off than a bucket that is spent at `now`: what a clock that was set back, or a larger plan, would make of it.
    #[must_use]
    pub const fn clamp(self, tat: u64, now: u64) -> u64 {
        let spent = self.spent_at(now);
        if tat < spent { tat } else { spent }
    }

    /// The TAT of a bucket that was counted by other terms until now: as many requests are out of it as were, and none is lost.
    /// Instants alone would not do: a partner moved to a slower plan would be given most of a new burst, one moved to a faster plan
    /// would wait as long as the slow one asked.
    #[must_use]
    pub fn carried_over(self, tat: u64, from: Self, now: u64) -> u64 {
        let debt = u128::from(tat.saturating_sub(now)) * u128::from(self.interval_nanos());
        let debt = debt.div_ceil(u128::from(from.interval_nanos()));
        self.clamp(now.saturating_add(u64::try_from(debt).unwrap_or(u64::MAX)), now)
    }
}
