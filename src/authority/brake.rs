//! How fast certificates are issued at most, and the alarm before that.
//!
//! Whoever gets at the admin API, or at a bug in it, can otherwise make a hundred thousand certificates before anybody looks. A
//! bucket that a minute fills again holds what a minute may issue: at half of it an alarm is raised, at its end issuing stops.
//! Revocation lists and OCSP answers are never held up.

use std::sync::{Mutex, PoisonError};

use crate::clock::Clock;
use crate::failure::{Refusal, RefusalKind};

const NANOS_PER_MINUTE: f64 = 60e9;
/// One alarm for a burst, not one for each certificate of it.
const ALARM_PAUSE_NANOS: u64 = 60_000_000_000;

/// What taking one certificate from the bucket came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Quietly,
    /// Half of a minute's certificates are gone: somebody should look. At most once a minute.
    WithAlarm,
}

pub(super) struct Brake {
    per_minute: u32,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    left: f64,
    at_nanos: u64,
    /// When the last alarm of each kind was raised: of half, and of none left.
    alarmed: [Option<u64>; 2],
}

impl Brake {
    /// Issues `per_minute` certificates a minute at most, and as many at once.
    pub(super) fn new(per_minute: u32, clock: Clock) -> Self {
        let state = State { left: per_minute.into(), at_nanos: clock.monotonic_nanos(), alarmed: [None; 2] };
        Self { per_minute, clock, state: Mutex::new(state) }
    }

    /// Takes one. The error says whether the alarm is due.
    ///
    /// # Errors
    /// `issuing_too_fast`.
    pub(super) fn take(&self) -> Result<Taken, (Refusal, Taken)> {
        let (full, now) = (f64::from(self.per_minute), self.clock.monotonic_nanos());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        #[allow(clippy::cast_precision_loss, reason = "nanoseconds of a pause; a part in 2^52 does not matter")]
        let passed = now.saturating_sub(state.at_nanos) as f64;
        state.left = (state.left + full * passed / NANOS_PER_MINUTE).min(full);
        state.at_nanos = now;
        if state.left < 1.0 {
            let message = format!(
                "More than {} certificates were asked for within a minute (pki.issuances_per_minute). Ask again in a minute; if \
                 nobody here issues that many, somebody else does.",
                self.per_minute
            );
            let refusal = Refusal::new(RefusalKind::TooMany, "issuing_too_fast", message);
            return Err((refusal, state.alarm(1, now)));
        }
        state.left -= 1.0;
        match state.left < full / 2.0 {
            true => Ok(state.alarm(0, now)),
            false => Ok(Taken::Quietly),
        }
    }
}

impl State {
    fn alarm(&mut self, kind: usize, now: u64) -> Taken {
        let Some(last) = self.alarmed.get_mut(kind) else { return Taken::Quietly };
        if last.is_some_and(|last| now.saturating_sub(last) < ALARM_PAUSE_NANOS) {
            return Taken::Quietly;
        }
        *last = Some(now);
        Taken::WithAlarm
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use policies::UnixSeconds;

    use super::*;

    #[test]
    fn a_minute_gives_what_a_minute_may_and_alarms_at_half() {
        let clock = Clock::manual(UnixSeconds(1_800_000_000));
        let brake = Brake::new(4, clock.clone());
        assert_eq!(brake.take().unwrap(), Taken::Quietly);
        assert_eq!(brake.take().unwrap(), Taken::Quietly);
        assert_eq!(brake.take().unwrap(), Taken::WithAlarm, "half is gone");
        assert_eq!(brake.take().unwrap(), Taken::Quietly, "one alarm is enough");
        let (refusal, alarm) = brake.take().unwrap_err();
        assert_eq!((refusal.code, alarm), ("issuing_too_fast", Taken::WithAlarm));
        assert_eq!(brake.take().unwrap_err().1, Taken::Quietly);
        clock.advance(Duration::from_secs(15));
        assert_eq!(brake.take().unwrap(), Taken::Quietly, "a quarter of a minute gives one of four");
        assert!(brake.take().is_err());
        clock.advance(Duration::from_secs(3600));
        for _ in 0..2 {
            assert_eq!(brake.take().unwrap(), Taken::Quietly, "an hour fills it, and no more");
        }
        assert_eq!(brake.take().unwrap(), Taken::WithAlarm);
        brake.take().unwrap();
        assert!(brake.take().is_err());
    }
}
