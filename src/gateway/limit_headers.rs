//! What callers are told of their limits: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11), the older
//! `X-RateLimit-*`, and the problem type of a denial.
//!
//! Only what is the caller's own is told: of a limit that everybody on a route shares, what is left would say how busy others are.
//! A limit in shadow is not in force, and not told.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use policies::{LimitState, LimitSubject, RuleMode};

use crate::config::LimitFields;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// Every field that is written here: whatever an upstream says under these names is about another limit, and replaced.
const ALL: [HeaderName; 5] = [POLICY, STANDING, LEGACY_LIMIT, LEGACY_REMAINING, LEGACY_RESET];

/// Largest Integer of a structured field (RFC 9651 §3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// §5.1: the client has used up what is its own.
pub(super) const QUOTA_EXCEEDED: ProblemType = ProblemType {
    uri: "https://iana.org/assignments/http-problem-types#quota-exceeded",
    title: "Request cannot be satisfied as assigned quota has been exceeded",
};
/// §5.2: others are being served; the client has done nothing too often.
pub(super) const REDUCED_CAPACITY: ProblemType = ProblemType {
    uri: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
    title: "Request cannot be satisfied due to temporary server capacity constraints",
};

/// A type of problem details (RFC 9457 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProblemType {
    pub(super) uri: &'static str,
    pub(super) title: &'static str,
}

impl ProblemType {
    /// That of a request that these limits denied.
    pub(super) fn of(limits: &[LimitState]) -> Self {
        if limits.iter().any(|limit| limit.is_violated() && is_own(limit)) { QUOTA_EXCEEDED } else { REDUCED_CAPACITY }
    }
}

/// The fields of one answer, written down.
#[derive(Debug, Default)]
pub(super) struct LimitHeaders(Vec<(HeaderName, HeaderValue)>);

impl LimitHeaders {
    /// Those of a request that was counted against `limits`; of one that was denied, how the limits stand that denied it: what
    /// others have left does not help before those are whole again, and `Retry-After` must not be earlier than `t` (§6).
    pub(super) fn of(limits: &[LimitState], fields: LimitFields) -> Self {
        if fields == LimitFields::Off || limits.is_empty() {
            return Self::default();
        }
        let denied = limits.iter().any(LimitState::is_violated);
        let told = || limits.iter().filter(|limit| is_told(limit));
        let standing = || told().filter(|limit| !denied || limit.is_violated());
        let mut written = Vec::with_capacity(5);
        if matches!(fields, LimitFields::Standard | LimitFields::Both) {
            let policy = list(told(), |limit, text| {
                write!(text, "\"{}\";q={};w={}", limit.name, integer(limit.limit), integer(limit.window_seconds.max(1)))
            });
            let standing = list(standing(), |limit, text| {
                write!(text, "\"{}\";r={};t={}", limit.name, integer(limit.remaining), integer(limit.reset_seconds))
            });
            written.extend(policy.map(|value| (POLICY, value)));
            written.extend(standing.map(|value| (STANDING, value)));
        }
        if matches!(fields, LimitFields::Legacy | LimitFields::Both)
            // One set of numbers is all there is: those of the limit that ends first.
            && let Some(limit) = standing().min_by_key(|limit| (limit.remaining, std::cmp::Reverse(limit.reset_seconds)))
        {
            written.push((LEGACY_LIMIT, limit.limit.into()));
            written.push((LEGACY_REMAINING, limit.remaining.into()));
            written.push((LEGACY_RESET, limit.reset_seconds.into()));
        }
        Self(written)
    }

    /// Into an answer, in place of what stands there.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        for name in ALL {
            headers.remove(name);
        }
        headers.extend(self.0);
    }
}

/// The names of the limits that denied a request. A name says nothing of who else is counted.
pub(super) fn violated(limits: &[LimitState]) -> Vec<&str> {
    limits.iter().filter(|limit| limit.is_violated()).map(|limit| &*limit.name).collect()
}

fn is_own(limit: &LimitState) -> bool {
    limit.subject != LimitSubject::Route
}

fn is_told(limit: &LimitState) -> bool {
    is_own(limit) && limit.mode == RuleMode::Enforce
}

/// A List of Items (RFC 9651 §3.1). The names are of letters, digits, `.`, `_` and `-`: no String needs escaping.
fn list<'a>(
    limits: impl Iterator<Item = &'a LimitState>,
    item: impl Fn(&LimitState, &mut String) -> std::fmt::Result,
) -> Option<HeaderValue> {
    let mut text = String::with_capacity(96);
    for limit in limits {
        if !text.is_empty() {
            text.push_str(", ");
        }
        item(limit, &mut text).ok()?;
    }
    if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
}

fn integer(number: u64) -> u64 {
    number.min(INTEGER_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use policies::LimitKind;

    use super::*;

    fn limit(name: &'static str, subject: LimitSubject, remaining: u64) -> LimitState {
        LimitState {
            name: name.into(),
            kind: if name.ends_with("burst") { LimitKind::Throttle } else { LimitKind::Quota },
            subject,
            limit: 100,
            window_seconds: 60,
            remaining,
            reset_seconds: 30,
            mode: RuleMode::Enforce,
            passed: true,
            retry_after: Duration::ZERO,
        }
    }

    fn written(limits: &[LimitState], fields: LimitFields) -> Vec<String> {
        let mut headers = HeaderMap::new();
        LimitHeaders::of(limits, fields).write(&mut headers);
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn each_setting_writes_its_fields() {
        let limits = [limit("burst", LimitSubject::Client, 99), limit("daily", LimitSubject::Client, 5)];
        let standard = [
            "ratelimit-policy: \"burst\";q=100;w=60, \"daily\";q=100;w=60",
            "ratelimit: \"burst\";r=99;t=30, \"daily\";r=5;t=30",
        ];
        let legacy = ["x-ratelimit-limit: 100", "x-ratelimit-remaining: 5", "x-ratelimit-reset: 30"];
        assert_eq!(written(&limits, LimitFields::Standard), standard);
        assert_eq!(written(&limits, LimitFields::Legacy), legacy);
        assert_eq!(written(&limits, LimitFields::Both), [&standard[..], &legacy[..]].concat());
        assert_eq!(written(&limits, LimitFields::Off), [""; 0]);
        assert_eq!(written(&[], LimitFields::Both), [""; 0]);
    }

    #[test]
    fn nobody_learns_what_others_have_left() {
        let mut shared = limit("route-burst", LimitSubject::Route, 7);
        let mut watched = limit("weekly", LimitSubject::Client, 3);
        watched.mode = RuleMode::Shadow;
        watched.passed = false;
        assert_eq!(written(&[shared.clone(), watched.clone()], LimitFields::Both), [""; 0]);
        shared.passed = false;
        assert_eq!(written(&[shared.clone(), watched], LimitFields::Both), [""; 0]);
        assert_eq!(violated(std::slice::from_ref(&shared)), ["route-burst"]);
        assert_eq!(ProblemType::of(std::slice::from_ref(&shared)), REDUCED_CAPACITY);
        let mut own = limit("daily", LimitSubject::Client, 0);
        own.passed = false;
        assert_eq!(ProblemType::of(&[shared, own]), QUOTA_EXCEEDED);
    }

    #[test]
    fn a_denial_tells_of_what_denied() {
        let mut daily = limit("daily", LimitSubject::Client, 0);
        daily.passed = false;
        let limits = [limit("burst", LimitSubject::Client, 99), daily];
        assert_eq!(
            written(&limits, LimitFields::Standard),
            ["ratelimit-policy: \"burst\";q=100;w=60, \"daily\";q=100;w=60", "ratelimit: \"daily\";r=0;t=30"]
        );
    }

    #[test]
    fn numbers_stay_integers_of_a_structured_field() {
        let mut odd = limit("daily", LimitSubject::Client, u64::MAX);
        (odd.limit, odd.window_seconds, odd.reset_seconds) = (u64::MAX, 0, u64::MAX);
        let most = INTEGER_MAX;
        assert_eq!(
            written(&[odd], LimitFields::Standard),
            [format!("ratelimit-policy: \"daily\";q={most};w=1"), format!("ratelimit: \"daily\";r={most};t={most}")]
        );
    }

    #[test]
    fn what_an_upstream_says_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-limit", HeaderValue::from_static("1"));
        headers.insert("ratelimit", HeaderValue::from_static("\"theirs\";r=1"));
        LimitHeaders::default().write(&mut headers);
        assert_eq!(headers.len(), 2, "where we have nothing to say, it stays");
        LimitHeaders::of(&[limit("daily", LimitSubject::Client, 5)], LimitFields::Standard).write(&mut headers);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["ratelimit"], "\"daily\";r=5;t=30");
    }
}
