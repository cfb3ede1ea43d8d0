//! When a credential ends.

use policies::UnixSeconds;

use crate::failure::Refusal;

/// The longest life of a key or secret: ten years. Longer is a slip of the unit.
const TTL_SECONDS_MAX: i64 = 10 * 366 * 86_400;

/// The end of a new credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At an instant.
    At(UnixSeconds),
    /// So many seconds from now.
    After(i64),
}

impl Expiry {
    /// The instant. It must lie ahead.
    pub(super) fn instant(self, now: UnixSeconds) -> Result<UnixSeconds, Refusal> {
        let instant = match self {
            Self::At(instant) => instant,
            Self::After(seconds) => UnixSeconds(now.0.saturating_add(seconds)),
        };
        let ttl_seconds = instant.0.saturating_sub(now.0);
        if ttl_seconds <= 0 {
            return Err(Refusal::invalid("expiry_in_the_past", "The expiry does not lie in the future."));
        }
        if ttl_seconds > TTL_SECONDS_MAX {
            return Err(Refusal::invalid("expiry_too_far", "The expiry is more than ten years away."));
        }
        Ok(instant)
    }
}
