//! Points in time as people read and write them: RFC 3339 in UTC, and how far away.

use std::str::FromStr;

use time::OffsetDateTime;
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;

use super::span::Span;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// `2026-12-22T05:14:40Z (in 29 d)`; both in seconds since 1970.
pub(super) fn with_distance(at: i64, now: i64) -> String {
    format!("{} ({})", rfc3339(at), distance(at, now))
}

/// `2026-12-22T05:14:40Z`; a number that is no time is shown as it is.
pub(super) fn rfc3339(at: i64) -> String {
    OffsetDateTime::from_unix_timestamp(at)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.to_string())
}

/// `2026-12-22T05:14:40.123Z`, of milliseconds.
pub(super) fn rfc3339_millis(at: i64) -> String {
    format!("{}.{:03}Z", rfc3339(at.div_euclid(1000)).trim_end_matches('Z'), at.rem_euclid(1000))
}

/// `in 29 d`, `12 min ago`.
pub(super) fn distance(at: i64, now: i64) -> String {
    let seconds = at.abs_diff(now);
    let length = match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        // Up to two days in hours: "1 d" would hide whether it is tonight or tomorrow.
        HOUR..172_800 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    };
    if at < now { format!("{length} ago") } else { format!("in {length}") }
}

/// A point in time on the command line: RFC 3339 with an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) unix_seconds: i64,
}

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| format!("{text:?} is not a time: write it like 2027-01-15T08:00:00Z (RFC 3339)"))?;
        Ok(Self { unix_seconds: at.to_offset(UtcOffset::UTC).unix_timestamp() })
    }
}

/// The past on the command line: a point in time, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    At(Instant),
    Ago(Span),
}

impl Since {
    /// Seconds since 1970.
    pub(super) fn unix_seconds(self, now: i64) -> i64 {
        match self {
            Self::At(instant) => instant.unix_seconds,
            Self::Ago(span) => span.before(now),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(instant) = text.parse() {
            return Ok(Self::At(instant));
        }
        text.parse().map(Self::Ago).map_err(|_| {
            format!("{text:?} is neither a length of time (15m, 24h, 90d) nor a time (2027-01-15T08:00:00Z)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Instant, Since, distance, rfc3339, rfc3339_millis, with_distance};

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn distances_are_rounded_down_to_what_a_person_plans_with() {
        for (seconds, shown) in [
            (0, "in 0 s"),
            (59, "in 59 s"),
            (60, "in 1 min"),
            (3_599, "in 59 min"),
            (86_400, "in 24 h"),
            (172_799, "in 47 h"),
            (172_800, "in 2 d"),
            (29 * 86_400 + 5, "in 29 d"),
            (-1, "1 s ago"),
            (-7_200, "2 h ago"),
            (-90 * 86_400, "90 d ago"),
        ] {
            assert_eq!(distance(NOW + seconds, NOW), shown);
        }
        assert_eq!(distance(i64::MIN, i64::MAX), "213503982334601 d ago");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(rfc3339(NOW), "2027-01-15T08:00:00Z");
        assert_eq!(rfc3339_millis(NOW * 1000 + 42), "2027-01-15T08:00:00.042Z");
        assert_eq!(with_distance(NOW + 86_400, NOW), "2027-01-16T08:00:00Z (in 24 h)");
        assert_eq!(rfc3339(i64::MAX), "9223372036854775807");
    }

    #[test]
    fn times_are_read_with_their_offset() {
        for text in ["2027-01-15T08:00:00Z", "2027-01-15T12:00:00+04:00", "2027-01-15T08:00:00.9Z"] {
            assert_eq!(text.parse(), Ok(Instant { unix_seconds: NOW }), "{text}");
        }
        for text in ["2027-01-15", "2027-01-15T08:00:00", "now", ""] {
            assert!(text.parse::<Instant>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_past_is_a_time_or_a_length() {
        assert_eq!("1h".parse::<Since>().map(|since| since.unix_seconds(NOW)), Ok(NOW - 3_600));
        assert_eq!("2027-01-15T08:00:00Z".parse::<Since>().map(|since| since.unix_seconds(0)), Ok(NOW));
        assert!("yesterday".parse::<Since>().is_err());
    }
}
