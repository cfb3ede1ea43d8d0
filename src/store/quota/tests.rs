use policies::UnixSeconds;

use crate::store::tests::store;
use crate::store::{Tx, quota};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

const DAILY: quota::QuotaKey<'static> = quota::QuotaKey {
    subject_kind: "client",
    subject: "acme-orders",
    route: "",
    name: "daily",
    period: "day",
    mode: "enforce",
};

fn period(starts_at: i64, ends_at: i64) -> policies::QuotaPeriod {
    policies::QuotaPeriod { starts_at: UnixSeconds(starts_at), ends_at: UnixSeconds(ends_at) }
}

#[tokio::test]
async fn a_quota_is_taken_whole_or_not_at_all() {
    let (_folder, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    let today = period(0, 86_400);
    assert!(!quota::reserve(&mut tx, DAILY, today.starts_at, 1, 10).await.unwrap(), "not entered");
    assert_eq!(quota::enter(&mut tx, DAILY, today, 0, NOW).await.unwrap().used, 0);
    let used = async |tx: &mut Tx| quota::get(tx, DAILY, UnixSeconds(0)).await.unwrap().unwrap().used;
    assert!(!quota::reserve(&mut tx, DAILY, today.starts_at, 11, 10).await.unwrap());
    assert!(quota::reserve(&mut tx, DAILY, today.starts_at, 6, 10).await.unwrap());
    assert!(!quota::reserve(&mut tx, DAILY, today.starts_at, 5, 10).await.unwrap());
    assert!(quota::reserve(&mut tx, DAILY, today.starts_at, 4, 10).await.unwrap());
    assert!(quota::reserve(&mut tx, DAILY, today.starts_at, 0, 10).await.is_err());
    quota::give_back(&mut tx, DAILY, today.starts_at, 3).await.unwrap();
    assert_eq!(used(&mut tx).await, 7);
    quota::give_back(&mut tx, DAILY, today.starts_at, 30).await.unwrap();
    assert_eq!(used(&mut tx).await, 0);
    // A limit lowered below what is used refuses, and does not wrap.
    assert!(quota::reserve(&mut tx, DAILY, today.starts_at, 5, 10).await.unwrap());
    assert!(!quota::reserve(&mut tx, DAILY, today.starts_at, i64::MAX, i64::MAX).await.unwrap());
    assert!(!quota::reserve(&mut tx, DAILY, today.starts_at, 1, 3).await.unwrap());
    quota::extend(&mut tx, DAILY, today.starts_at, 100).await.unwrap();
    quota::reset(&mut tx, DAILY, today.starts_at).await.unwrap();
    let row = quota::enter(&mut tx, DAILY, today, 0, NOW).await.unwrap();
    assert_eq!((row.used, row.extra), (0, 100));
}

#[tokio::test]
async fn a_calendar_that_changes_carries_what_was_used() {
    let (_folder, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    let take = async |tx: &mut Tx, starts_at: i64, amount: i64| {
        assert!(quota::reserve(tx, DAILY, UnixSeconds(starts_at), amount, 1000).await.unwrap());
    };
    // Two days of a calendar whose day begins at 1000.
    quota::enter(&mut tx, DAILY, period(1000, 2000), 0, UnixSeconds(1100)).await.unwrap();
    take(&mut tx, 1000, 30).await;
    let row = quota::enter(&mut tx, DAILY, period(2000, 3000), 0, UnixSeconds(2100)).await.unwrap();
    assert_eq!((row.used, row.carried), (0, 0), "the next period of the same calendar begins at nothing");
    take(&mut tx, 2000, 7).await;
    // Then the day begins 500 earlier: it overlaps both.
    let row = quota::enter(&mut tx, DAILY, period(1500, 2500), 0, UnixSeconds(2200)).await.unwrap();
    assert_eq!((row.used, row.carried), (37, 37));
    take(&mut tx, 1500, 5).await;
    quota::give_back(&mut tx, DAILY, UnixSeconds(1500), 50).await.unwrap();
    assert_eq!(
        quota::get(&mut tx, DAILY, UnixSeconds(1500)).await.unwrap().unwrap().used,
        37,
        "what was carried was served"
    );
    take(&mut tx, 1500, 5).await;
    // Its next day does not count the first calendar again: that one ended at 2200.
    let row = quota::enter(&mut tx, DAILY, period(2500, 3500), 0, UnixSeconds(2600)).await.unwrap();
    assert_eq!((row.used, row.carried), (0, 0));
    take(&mut tx, 2500, 2).await;
    // Back again: its own 7, and the 5 and 2 that were served meanwhile.
    let row = quota::enter(&mut tx, DAILY, period(2000, 3000), 0, UnixSeconds(2700)).await.unwrap();
    assert_eq!((row.used, row.carried), (7 + 5 + 2, 5 + 2));
    // Another quota, mode or kind of period knows nothing of it.
    for other in [
        quota::QuotaKey { name: "other", ..DAILY },
        quota::QuotaKey { mode: "shadow", ..DAILY },
        quota::QuotaKey { period: "month", ..DAILY },
        quota::QuotaKey { subject: "globex", ..DAILY },
        quota::QuotaKey { subject_kind: "client_route", route: "GET /", ..DAILY },
    ] {
        assert_eq!(quota::enter(&mut tx, other, period(1500, 2500), 0, UnixSeconds(2200)).await.unwrap().used, 0);
    }
}

/// Whatever an operator does to the calendar, and whenever: nobody is served whom the period in force has no room for. What was
/// served before under other calendars may be more than this one's limit; it then has no room left.
#[tokio::test]
async fn no_change_of_calendar_passes_the_limit() {
    const LIMIT: i64 = 40;
    let (_folder, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    let plain = policies::Quota::new(40, policies::PeriodKind::Day).unwrap();
    let zones = ["UTC", "Asia/Dubai", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/London"];
    let calendars: Vec<_> = zones.iter().map(|zone| plain.clone().in_time_zone(zone).unwrap()).collect();
    // A linear congruential generator: the same walk in every run.
    let mut state = 20_261_125_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut now, mut calendar, mut served, mut denied) = (NOW, &calendars[0], Vec::new(), 0);
    for _ in 0..1500 {
        now = now.plus(i64::try_from(draw(4000)).unwrap());
        if draw(12) == 0 {
            calendar = &calendars[usize::try_from(draw(zones.len() as u64)).unwrap()];
        }
        let period = calendar.period_at(now);
        quota::enter(&mut tx, DAILY, period, 0, now).await.unwrap();
        let amount = i64::try_from(draw(6)).unwrap() + 1;
        if quota::reserve(&mut tx, DAILY, period.starts_at, amount, LIMIT).await.unwrap() {
            served.push((now, amount));
            let within = served.iter().filter(|(at, _)| (period.starts_at..period.ends_at).contains(at));
            assert!(within.map(|(_, amount)| amount).sum::<i64>() <= LIMIT, "at {now:?} in {}", calendar.time_zone());
        } else {
            denied += 1;
        }
    }
    assert!(denied > 100 && served.len() > 100, "{denied} denied, {} served", served.len());
}

#[tokio::test]
async fn only_the_first_period_is_cut_by_the_offset() {
    let (_folder, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    let first = quota::enter(&mut tx, DAILY, period(1000, 2000), 40, UnixSeconds(1500)).await.unwrap();
    assert_eq!((first.used, first.carried), (40, 40));
    assert_eq!(quota::enter(&mut tx, DAILY, period(1000, 2000), 40, UnixSeconds(1500)).await.unwrap(), first);
    assert_eq!(quota::enter(&mut tx, DAILY, period(2000, 3000), 40, UnixSeconds(2500)).await.unwrap().used, 0);
    // Nor does it come back when old periods are forgotten.
    assert_eq!(quota::prune(&mut tx, UnixSeconds(9000)).await.unwrap(), 1);
    assert_eq!(quota::prune(&mut tx, UnixSeconds(9000)).await.unwrap(), 0);
    assert_eq!(quota::enter(&mut tx, DAILY, period(8000, 9000), 40, UnixSeconds(8500)).await.unwrap().used, 0);
}

#[tokio::test]
async fn what_was_used_before_the_upgrade_still_counts() {
    let (_folder, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    // As the migration leaves a row of the old table.
    sqlx::query(
        "INSERT INTO quota_periods VALUES ('client', 'acme-orders', '', 'daily', 'day', 'enforce', 1000, 0, 60, 0, 0)",
    )
    .execute(tx.connection())
    .await
    .unwrap();
    let row = quota::enter(&mut tx, DAILY, period(1000, 2000), 40, UnixSeconds(1500)).await.unwrap();
    assert_eq!((row.used, row.ends_at), (60, 2000));
}
