//! Lengths of time as people write them: `90s`, `15m`, `24h`, `90d`, `2w`.

use std::fmt;
use std::str::FromStr;

/// A hundred years: what is longer is a slip of the finger.
const SECONDS_MAX: u64 = 100 * 365 * 86_400;
const UNITS: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    seconds: u64,
}

impl Span {
    pub(super) fn seconds(self) -> u64 {
        self.seconds
    }

    /// `now` minus this span, both in seconds since 1970.
    pub(super) fn before(self, now: i64) -> i64 {
        now.saturating_sub(i64::try_from(self.seconds).unwrap_or(i64::MAX))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a length of time: write a number and s, m, h, d or w, like 15m, 24h or 90d");
        let (number, seconds_each) =
            UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds))).ok_or_else(wrong)?;
        // `u64::from_str` would also take a plus sign.
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*seconds_each));
        match seconds.filter(|seconds| *seconds <= SECONDS_MAX) {
            Some(seconds) => Ok(Self { seconds }),
            None => Err(format!("{text} is longer than 100 years")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds_each) =
            UNITS.into_iter().find(|(_, seconds)| self.seconds.is_multiple_of(*seconds)).unwrap_or(("s", 1));
        write!(formatter, "{}{unit}", self.seconds / seconds_each)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn lengths_of_time_are_read() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("24h", 86_400), ("90d", 7_776_000), ("2w", 1_209_600), ("0s", 0)]
        {
            assert_eq!(text.parse::<Span>().map(Span::seconds), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "15", "m", "1.5h", "-1h", "+1h", "1h30m", "1 h", "1y", "h1", "١h", "36501d", "99999999999999999999d"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn they_are_shown_in_the_largest_unit_that_fits() {
        for text in ["90s", "15m", "25h", "90d", "2w"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()), Ok(text.to_owned()));
        }
    }
}
