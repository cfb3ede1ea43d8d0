//! Time comes in as an argument. This is the only module that reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use policies::UnixSeconds;

/// Where the server takes the time from: the machine, or a test that turns the hands itself.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Manual { millis: Arc<AtomicI64>, started_millis: i64 },
}

impl Clock {
    /// The machine's clock: wall time for dates, monotonic time for rates.
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// A clock that stands still at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: UnixSeconds) -> Self {
        let started_millis = start.0.saturating_mul(1000);
        Self(Source::Manual { millis: Arc::new(AtomicI64::new(started_millis)), started_millis })
    }

    /// Seconds since the Unix epoch.
    pub fn now(&self) -> UnixSeconds {
        UnixSeconds(self.now_millis().div_euclid(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_millis(&self) -> i64 {
        match &self.0 {
            Source::System { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Source::Manual { millis, .. } => millis.load(Ordering::SeqCst),
        }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn unix_nanos(&self) -> i64 {
        match &self.0 {
            Source::System { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Source::Manual { millis, .. } => millis.load(Ordering::SeqCst).saturating_mul(1_000_000),
        }
    }

    /// Nanoseconds since this clock was made. Never steps back, whatever happens to wall time: rates are measured with it.
    pub fn monotonic_nanos(&self) -> u64 {
        match &self.0 {
            Source::System { started } => u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Source::Manual { millis, started_millis } => {
                let elapsed = millis.load(Ordering::SeqCst).saturating_sub(*started_millis);
                u64::try_from(elapsed).unwrap_or(0).saturating_mul(1_000_000)
            }
        }
    }

    /// Moves a manual clock forward. The system clock cannot be moved: `false`.
    pub fn advance(&self, by: std::time::Duration) -> bool {
        match &self.0 {
            Source::System { .. } => false,
            Source::Manual { millis, .. } => {
                millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
                true
            }
        }
    }
}

/// The clock of the rate limiters: governor asks for a reference it can subtract.
impl governor::clock::Clock for Clock {
    type Instant = governor::nanos::Nanos;

    fn now(&self) -> Self::Instant {
        self.monotonic_nanos().into()
    }
}
