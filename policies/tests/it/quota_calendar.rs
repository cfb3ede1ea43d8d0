//! Periods in time zones: short and long days, short months, skipped dates.

use jiff::Timestamp;
use policies::*;

fn at(rfc3339: &str) -> UnixSeconds {
    UnixSeconds(rfc3339.parse::<Timestamp>().unwrap().as_second())
}

fn quota(period: PeriodKind, zone: &str) -> Quota {
    Quota::new(1_000, period).unwrap().in_time_zone(zone).unwrap()
}

/// `start end`, in UTC, of the period that holds `now`.
fn period(quota: &Quota, now: &str) -> String {
    let found = quota.period_at(at(now));
    let show = |second: UnixSeconds| Timestamp::from_second(second.0).unwrap().to_string();
    assert!(found.starts_at <= at(now) && at(now) < found.ends_at, "the period holds its moment");
    assert_eq!(quota.period_at(found.starts_at), found, "the first second is in it");
    assert_eq!(quota.period_at(found.ends_at.plus(-1)), found, "the last second is in it");
    assert_eq!(quota.period_at(found.ends_at).starts_at, found.ends_at, "the next one follows without a gap");
    assert_eq!(quota.period_at(found.starts_at.plus(-1)).ends_at, found.starts_at, "so does the one before");
    format!("{} {}", show(found.starts_at), show(found.ends_at))
}

fn hours(quota: &Quota, now: &str) -> i64 {
    let found = quota.period_at(at(now));
    (found.ends_at.0 - found.starts_at.0) / 3_600
}

#[test]
fn a_day_in_utc() {
    let daily = quota(PeriodKind::Day, "UTC");
    assert_eq!(period(&daily, "2026-03-01T12:00:00Z"), "2026-03-01T00:00:00Z 2026-03-02T00:00:00Z");
    assert_eq!(period(&daily, "2026-03-01T00:00:00Z"), "2026-03-01T00:00:00Z 2026-03-02T00:00:00Z");
    assert_eq!(period(&daily, "2026-02-28T23:59:59Z"), "2026-02-28T00:00:00Z 2026-03-01T00:00:00Z");
    assert_eq!(period(&daily, "2028-02-29T08:00:00Z"), "2028-02-29T00:00:00Z 2028-03-01T00:00:00Z");
    assert_eq!(period(&daily, "1969-12-31T23:00:00Z"), "1969-12-31T00:00:00Z 1970-01-01T00:00:00Z");
}

#[test]
fn days_of_23_and_25_hours() {
    let london = quota(PeriodKind::Day, "Europe/London");
    assert_eq!(period(&london, "2026-03-29T12:00:00Z"), "2026-03-29T00:00:00Z 2026-03-29T23:00:00Z");
    assert_eq!(period(&london, "2026-10-25T12:00:00Z"), "2026-10-24T23:00:00Z 2026-10-26T00:00:00Z");
    assert_eq!(hours(&london, "2026-03-29T12:00:00Z"), 23);
    assert_eq!(hours(&london, "2026-10-25T12:00:00Z"), 25);
    assert_eq!(hours(&london, "2026-10-26T12:00:00Z"), 24);
    let new_york = quota(PeriodKind::Day, "America/New_York");
    assert_eq!(hours(&new_york, "2026-03-08T17:00:00Z"), 23);
    assert_eq!(hours(&new_york, "2026-11-01T17:00:00Z"), 25);
}

#[test]
fn clocks_that_jump_over_midnight() {
    // São Paulo 2018-11-04: 00:00 became 01:00, the day began at 01:00 local, 03:00 UTC.
    let sao_paulo = quota(PeriodKind::Day, "America/Sao_Paulo");
    assert_eq!(period(&sao_paulo, "2018-11-04T12:00:00Z"), "2018-11-04T03:00:00Z 2018-11-05T02:00:00Z");
    // And back on 2018-02-17: 24:00 became 23:00, so that day has 25 hours and midnight came once.
    assert_eq!(period(&sao_paulo, "2018-02-18T02:30:00Z"), "2018-02-17T02:00:00Z 2018-02-18T03:00:00Z");
}

#[test]
fn a_date_that_comes_twice() {
    // St John's 2010-11-07: at 00:01 the clocks went back to 23:01 of the day before.
    let st_johns = quota(PeriodKind::Day, "America/St_Johns");
    for now in ["2010-11-07T02:29:59Z", "2010-11-07T02:30:30Z", "2010-11-07T03:00:00Z", "2010-11-07T03:30:00Z"] {
        period(&st_johns, now);
    }
}

#[test]
fn a_date_that_never_came() {
    // Samoa went from 29 to 31 December 2011.
    let apia = quota(PeriodKind::Day, "Pacific/Apia");
    assert_eq!(period(&apia, "2011-12-30T09:00:00Z"), "2011-12-29T10:00:00Z 2011-12-30T10:00:00Z");
    assert_eq!(period(&apia, "2011-12-30T11:00:00Z"), "2011-12-30T10:00:00Z 2011-12-31T10:00:00Z");
    let month = quota(PeriodKind::Month, "Pacific/Apia").anchored(30).unwrap();
    assert_eq!(period(&month, "2011-12-30T11:00:00Z"), "2011-12-30T10:00:00Z 2012-01-29T10:00:00Z");
}

#[test]
fn a_month_in_dubai() {
    let month = quota(PeriodKind::Month, "Asia/Dubai");
    assert_eq!(period(&month, "2026-11-23T05:00:00Z"), "2026-10-31T20:00:00Z 2026-11-30T20:00:00Z");
    assert_eq!(period(&month, "2026-10-31T19:59:59Z"), "2026-09-30T20:00:00Z 2026-10-31T20:00:00Z");
    assert_eq!(period(&month, "2026-12-31T21:00:00Z"), "2026-12-31T20:00:00Z 2027-01-31T20:00:00Z");
    assert_eq!(month.to_string(), "1000 per month from day 1, Asia/Dubai");
}

#[test]
fn anchor_31_is_clamped_and_comes_back() {
    let month = quota(PeriodKind::Month, "UTC").anchored(31).unwrap();
    assert_eq!(period(&month, "2026-01-31T00:00:00Z"), "2026-01-31T00:00:00Z 2026-02-28T00:00:00Z");
    assert_eq!(period(&month, "2026-02-27T23:59:59Z"), "2026-01-31T00:00:00Z 2026-02-28T00:00:00Z");
    assert_eq!(period(&month, "2026-02-28T00:00:00Z"), "2026-02-28T00:00:00Z 2026-03-31T00:00:00Z");
    assert_eq!(period(&month, "2026-03-30T12:00:00Z"), "2026-02-28T00:00:00Z 2026-03-31T00:00:00Z");
    assert_eq!(period(&month, "2026-04-30T12:00:00Z"), "2026-04-30T00:00:00Z 2026-05-31T00:00:00Z");
    assert_eq!(period(&month, "2028-02-29T12:00:00Z"), "2028-02-29T00:00:00Z 2028-03-31T00:00:00Z");
    let leap = quota(PeriodKind::Month, "UTC").anchored(29).unwrap();
    assert_eq!(period(&leap, "2028-02-29T12:00:00Z"), "2028-02-29T00:00:00Z 2028-03-29T00:00:00Z");
    assert_eq!(period(&leap, "2027-02-28T12:00:00Z"), "2027-02-28T00:00:00Z 2027-03-29T00:00:00Z");
}

#[test]
fn every_anchor_cuts_four_years_without_a_gap() {
    for anchor in 1..=31 {
        let month = quota(PeriodKind::Month, "Europe/London").anchored(anchor).unwrap();
        assert_eq!(month.anchor_day(), anchor);
        let mut now = at("2025-01-01T00:00:00Z");
        let mut periods = 0;
        while now < at("2029-01-01T00:00:00Z") {
            let found = month.period_at(now);
            assert!(found.starts_at <= now && now < found.ends_at);
            let days = (found.ends_at.0 - found.starts_at.0 + 3_600) / 86_400;
            assert!((28..=31).contains(&days), "anchor {anchor}: {days} days");
            now = found.ends_at;
            periods += 1;
        }
        assert!((48..=49).contains(&periods), "anchor {anchor}: {periods}");
    }
}

#[test]
fn weeks() {
    let monday = quota(PeriodKind::Week, "UTC");
    assert_eq!(monday.week_start(), Weekday::Monday);
    assert_eq!(period(&monday, "2026-11-23T00:00:00Z"), "2026-11-23T00:00:00Z 2026-11-30T00:00:00Z");
    assert_eq!(period(&monday, "2026-11-22T23:59:59Z"), "2026-11-16T00:00:00Z 2026-11-23T00:00:00Z");
    let sunday = quota(PeriodKind::Week, "America/New_York").weeks_from(Weekday::Sunday).unwrap();
    assert_eq!(period(&sunday, "2026-11-04T00:00:00Z"), "2026-11-01T04:00:00Z 2026-11-08T05:00:00Z");
    assert_eq!(hours(&sunday, "2026-11-04T00:00:00Z"), 169);
    assert_eq!(hours(&sunday, "2026-03-10T00:00:00Z"), 167);
}

#[test]
fn the_ends_of_time() {
    for kind in [PeriodKind::Day, PeriodKind::Week, PeriodKind::Month] {
        for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"] {
            let quota = quota(kind, zone);
            for now in [i64::MIN, -62_135_596_800, 253_339_228_800, i64::MAX] {
                let found = quota.period_at(UnixSeconds(now));
                assert!(found.starts_at < found.ends_at);
            }
        }
    }
}

#[test]
fn what_is_refused() {
    assert_eq!(Quota::new(0, PeriodKind::Day).unwrap_err(), PlanError::Limit);
    let month = Quota::new(1, PeriodKind::Month).unwrap();
    let day = Quota::new(1, PeriodKind::Day).unwrap();
    assert_eq!(month.clone().anchored(0).unwrap_err(), PlanError::AnchorDay);
    assert_eq!(month.clone().anchored(32).unwrap_err(), PlanError::AnchorDay);
    assert!(matches!(day.clone().anchored(1).unwrap_err(), PlanError::Misplaced(_)));
    assert!(matches!(month.clone().weeks_from(Weekday::Sunday).unwrap_err(), PlanError::Misplaced(_)));
    for zone in ["", "Dubai", "Asia/Dubay", "../etc/passwd", "+04:00", "Local"] {
        assert!(matches!(month.clone().in_time_zone(zone), Err(PlanError::TimeZone(_))), "{zone:?}");
    }
    assert_eq!(month.in_time_zone("asia/dubai").unwrap().time_zone(), "Asia/Dubai");
}

#[test]
fn throttles() {
    assert!(Throttle::new(0.000_001, 1).is_ok() && Throttle::new(1e6, 1_000_000).is_ok());
    for rate in [0.0, -1.0, 1e-7, 1e6 + 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Throttle::new(rate, 1), Err(PlanError::Rate), "{rate}");
    }
    for burst in [0, 1_000_001, u32::MAX] {
        assert_eq!(Throttle::new(1.0, burst), Err(PlanError::Burst), "{burst}");
    }
}

/// London against Dubai: on the day that clocks go back or forward both calendars still tile time, and a quota that moves from
/// the one to the other in the middle of a period is in a period that overlaps the one it left.
#[test]
fn a_zone_that_changes_in_the_middle_of_a_period() {
    let dubai = quota(PeriodKind::Month, "Asia/Dubai");
    let utc = quota(PeriodKind::Month, "UTC");
    assert_eq!(period(&dubai, "2026-11-15T00:00:00Z"), "2026-10-31T20:00:00Z 2026-11-30T20:00:00Z");
    assert_eq!(period(&utc, "2026-11-15T00:00:00Z"), "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z");
    for zone in ["Europe/London", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"] {
        for kind in [PeriodKind::Day, PeriodKind::Week, PeriodKind::Month] {
            let (before, after) = (quota(kind, "Asia/Dubai"), quota(kind, zone));
            let mut now = at("2026-03-20T00:00:00Z");
            while now < at("2026-11-05T00:00:00Z") {
                let (left, entered) = (before.period_at(now), after.period_at(now));
                assert!(left.starts_at < entered.ends_at && entered.starts_at < left.ends_at, "{zone} {kind} {now:?}");
                now = now.plus(7 * 3_600 + 11);
            }
        }
    }
}

#[test]
fn several_quotas_each_with_a_name() {
    let daily = Quota::new(5, PeriodKind::Day).unwrap();
    assert_eq!((&**daily.name(), daily.offset(), daily.mode), ("daily", 0, RuleMode::Enforce));
    assert_eq!(&**Quota::new(5, PeriodKind::Week).unwrap().name(), "weekly");
    let contract = Quota::new(5, PeriodKind::Month).unwrap().named("contract").unwrap().offset_by(5).unwrap();
    let contract = contract.in_mode(RuleMode::Shadow);
    assert_eq!(
        contract.to_string(),
        "5 per month from day 1, UTC, named contract, 5 off the first period, mode shadow"
    );
    assert_eq!(&**contract.name_for(LimitSubject::Partner), "partner-contract");
    assert_eq!(&**contract.name_for(LimitSubject::ClientRoute), "route-contract");
    for name in ["partner-daily", "route-x", "burst", "key-burst"] {
        assert!(matches!(daily.clone().named(name), Err(PlanError::QuotaNameTaken(_))), "{name:?}");
    }
    assert_ne!(contract, contract.clone().in_mode(RuleMode::Enforce));
    assert_eq!(daily.clone().offset_by(6).unwrap_err(), PlanError::Offset);
    for name in ["", "a b", "\"", "é", "-a"] {
        assert!(matches!(daily.clone().named(name), Err(PlanError::QuotaName(_))), "{name:?}");
    }
}

#[test]
fn leap_days_in_every_zone() {
    for zone in ["UTC", "Asia/Dubai", "America/New_York", "Pacific/Kiritimati"] {
        for (anchor, year, days) in [(29, 2027, 28), (29, 2028, 29), (30, 2028, 30), (31, 2028, 31), (1, 2028, 29)] {
            let month = quota(PeriodKind::Month, zone).anchored(anchor).unwrap();
            // The period that begins with the last of February, or holds all of it.
            let first = if anchor == 1 { 15 } else { 28 + i64::from(year == 2028) };
            let now = at(&format!("{year}-02-{first:02}T12:00:00Z"));
            let found = month.period_at(now);
            let expected = match (anchor, year) {
                (1, _) => days,
                // From the clamped last of February to the anchor in March.
                (_, 2027) => 29,
                _ => 29 + i64::from(anchor) - 29,
            };
            // New York puts its clocks forward on 12 March 2028 and 14 March 2027.
            let hours = (found.ends_at.0 - found.starts_at.0 + 3_600) / 3_600;
            assert_eq!(hours / 24, expected, "anchor {anchor} in {zone}, {year}");
        }
    }
}
