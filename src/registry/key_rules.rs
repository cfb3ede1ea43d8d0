//! How long keys may live.

use policies::UnixSeconds;

use super::Expiry;
use crate::failure::Refusal;

/// The longest life of keys, by the operator's settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyRules {
    /// No key that is made here lives longer. `None`: up to ten years, or for ever.
    pub max_ttl_seconds: Option<i64>,
    /// And none that is brought along. `None`: as `max_ttl_seconds`.
    pub imported_max_ttl_seconds: Option<i64>,
}

impl KeyRules {
    /// When a key ends that is made at `now`. Without a wish it lives as long as it may.
    pub(super) fn end_of_new(&self, wish: Option<Expiry>, now: UnixSeconds) -> Result<Option<UnixSeconds>, Refusal> {
        bounded(wish, self.max_ttl_seconds, "max_ttl_days", now)
    }

    /// The same for one that is brought along.
    pub(super) fn end_of_imported(
        &self,
        wish: Option<Expiry>,
        now: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, Refusal> {
        match self.imported_max_ttl_seconds {
            Some(max) => bounded(wish, Some(max), "imported_max_ttl_days", now),
            None => self.end_of_new(wish, now),
        }
    }

    /// When a successor ends that lives as long as its predecessor did, or as long as it may now.
    pub(super) fn end_of_successor(&self, lifetime_seconds: Option<i64>, now: UnixSeconds) -> Option<UnixSeconds> {
        let seconds = match (lifetime_seconds, self.max_ttl_seconds) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        seconds.map(|seconds| UnixSeconds(now.0.saturating_add(seconds)))
    }
}

fn bounded(
    wish: Option<Expiry>,
    max: Option<i64>,
    setting: &str,
    now: UnixSeconds,
) -> Result<Option<UnixSeconds>, Refusal> {
    let wish = wish.map(|expiry| expiry.instant(now)).transpose()?;
    let Some(max) = max else { return Ok(wish) };
    let latest = UnixSeconds(now.0.saturating_add(max));
    match wish {
        Some(instant) if instant > latest => {
            let message = format!("Such a key lives at most {} days here: keys.{setting} says so.", max / 86_400);
            Err(Refusal::invalid("expiry_beyond_rule", message))
        }
        Some(instant) => Ok(Some(instant)),
        None => Ok(Some(latest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_000);
    const DAY: i64 = 86_400;

    #[test]
    fn a_wish_is_granted_within_the_rule_and_the_rule_without_a_wish() {
        let free = KeyRules::default();
        assert_eq!(free.end_of_new(None, NOW).unwrap(), None);
        let rules = KeyRules { max_ttl_seconds: Some(90 * DAY), imported_max_ttl_seconds: Some(30 * DAY) };
        assert_eq!(rules.end_of_new(None, NOW).unwrap(), Some(NOW.plus(90 * DAY)));
        assert_eq!(rules.end_of_new(Some(Expiry::After(DAY)), NOW).unwrap(), Some(NOW.plus(DAY)));
        let refused = rules.end_of_new(Some(Expiry::After(90 * DAY + 1)), NOW).unwrap_err();
        assert_eq!(refused.code, "expiry_beyond_rule");
        assert_eq!(rules.end_of_imported(None, NOW).unwrap(), Some(NOW.plus(30 * DAY)));
        let refused = rules.end_of_imported(Some(Expiry::After(31 * DAY)), NOW).unwrap_err();
        assert!(refused.to_string().contains("imported_max_ttl_days"), "{refused}");
    }

    #[test]
    fn a_successor_lives_no_longer_than_the_rule_says_now() {
        let rules = KeyRules { max_ttl_seconds: Some(90 * DAY), imported_max_ttl_seconds: None };
        assert_eq!(rules.end_of_successor(None, NOW), Some(NOW.plus(90 * DAY)));
        assert_eq!(rules.end_of_successor(Some(365 * DAY), NOW), Some(NOW.plus(90 * DAY)));
        assert_eq!(rules.end_of_successor(Some(DAY), NOW), Some(NOW.plus(DAY)));
        assert_eq!(KeyRules::default().end_of_successor(None, NOW), None);
    }
}
