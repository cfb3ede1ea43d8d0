//! A count per calendar period, in the time zone of the contract.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{MAX_QUOTA_LIMIT, PlanError};
use crate::limit::LimitSubject;
use crate::rule::RuleMode;
use crate::text;
use crate::time::UnixSeconds;

/// Instants outside year 1 to 9998 are clamped, so that calendar arithmetic never leaves what it can express.
const CALENDAR_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_339_228_800;
const SECONDS_PER_DAY: i64 = 86_400;

/// The kind of calendar period a quota counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodKind {
    /// From local midnight to local midnight: 23 or 25 hours when the clocks change.
    Day,
    /// Seven local days from the first day of the week.
    Week,
    /// From the anchor day of one month to that of the next.
    Month,
}

impl PeriodKind {
    /// The name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

impl PeriodKind {
    /// The name of a quota of this period that was given none.
    #[must_use]
    pub const fn default_name(self) -> &'static str {
        match self {
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
        }
    }
}

impl fmt::Display for PeriodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// So many requests in each calendar period (API Gateway's quota, with the time zone and anchor it lacks).
#[derive(Clone, PartialEq)]
pub struct Quota {
    /// Requests in one period, 1 to [`MAX_QUOTA_LIMIT`].
    pub limit: u64,
    /// Which period.
    pub period: PeriodKind,
    /// Whether it denies.
    pub mode: RuleMode,
    name: Names,
    offset: u64,
    time_zone: TimeZone,
    time_zone_name: String,
    anchor_day: i8,
    week_start: Weekday,
}

/// One period of a quota: from `starts_at` up to, but not including, `ends_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuotaPeriod {
    /// First second of the period.
    pub starts_at: UnixSeconds,
    /// First second of the next period: when the count begins again.
    pub ends_at: UnixSeconds,
}

/// Written down once: they are told with every answer.
#[derive(Clone, PartialEq)]
struct Names {
    own: Arc<str>,
    partner: Arc<str>,
    route: Arc<str>,
}

impl Names {
    fn new(own: &str) -> Self {
        let (partner, route) = (format!("partner-{own}"), format!("route-{own}"));
        Self { own: Arc::from(own), partner: partner.into(), route: route.into() }
    }
}

impl Quota {
    /// A quota in UTC; months begin on the 1st, weeks on Monday.
    ///
    /// # Errors
    /// [`PlanError::Limit`] if `limit` is 0 or above [`MAX_QUOTA_LIMIT`].
    pub fn new(limit: u64, period: PeriodKind) -> Result<Self, PlanError> {
        if !(1..=MAX_QUOTA_LIMIT).contains(&limit) {
            return Err(PlanError::Limit);
        }
        Ok(Self {
            limit,
            period,
            mode: RuleMode::Enforce,
            name: Names::new(period.default_name()),
            offset: 0,
            time_zone: TimeZone::UTC,
            time_zone_name: "UTC".to_owned(),
            anchor_day: 1,
            week_start: Weekday::Monday,
        })
    }

    /// The same quota in the IANA time zone `name`, from the database compiled in: every node cuts the month at the
    /// same second, whatever zone files its machine has.
    ///
    /// # Errors
    /// [`PlanError::TimeZone`] if there is no such zone.
    pub fn in_time_zone(mut self, name: &str) -> Result<Self, PlanError> {
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| PlanError::TimeZone(name.to_owned()))?;
        self.time_zone_name = zone.iana_name().unwrap_or(name).to_owned();
        self.time_zone = zone;
        Ok(self)
    }

    /// The same monthly quota, beginning on this day of the month; in a shorter month, on its last day.
    ///
    /// # Errors
    /// [`PlanError::AnchorDay`] outside 1 to 31, [`PlanError::Misplaced`] if the period is not a month.
    pub fn anchored(mut self, day: u8) -> Result<Self, PlanError> {
        if self.period != PeriodKind::Month {
            return Err(PlanError::Misplaced("anchor_day goes with period = \"month\""));
        }
        self.anchor_day = i8::try_from(day).ok().filter(|day| (1..=31).contains(day)).ok_or(PlanError::AnchorDay)?;
        Ok(self)
    }

    /// The same weekly quota, beginning on this day of the week.
    ///
    /// # Errors
    /// [`PlanError::Misplaced`] if the period is not a week.
    pub fn weeks_from(mut self, first: Weekday) -> Result<Self, PlanError> {
        if self.period != PeriodKind::Week {
            return Err(PlanError::Misplaced("week_start goes with period = \"week\""));
        }
        self.week_start = first;
        Ok(self)
    }

    /// The same quota under a name of its own: what callers, operators and the counters know it by.
    ///
    /// # Errors
    /// [`PlanError::QuotaName`].
    pub fn named(mut self, name: &str) -> Result<Self, PlanError> {
        if !text::is_name(name) {
            return Err(PlanError::QuotaName(name.to_owned()));
        }
        if name.starts_with("partner-") || name.starts_with("route-") || name.ends_with("burst") {
            return Err(PlanError::QuotaNameTaken(name.to_owned()));
        }
        self.name = Names::new(name);
        Ok(self)
    }

    /// The same quota, of which so much counts as used when a client's first period begins (API Gateway's `offset`): who joins
    /// in the middle of a month gets the rest of it.
    ///
    /// # Errors
    /// [`PlanError::Offset`] if it is more than the limit.
    pub fn offset_by(mut self, offset: u64) -> Result<Self, PlanError> {
        if offset > self.limit {
            return Err(PlanError::Offset);
        }
        self.offset = offset;
        Ok(self)
    }

    /// The same quota in another mode.
    #[must_use]
    pub fn in_mode(mut self, mode: RuleMode) -> Self {
        self.mode = mode;
        self
    }

    /// The name: `daily`, `weekly` or `monthly` unless one was given.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name.own
    }

    /// The name as callers see it, who may be counted by quotas of one name several times: `daily`, `partner-daily`, `route-daily`.
    #[must_use]
    pub fn name_for(&self, subject: LimitSubject) -> &Arc<str> {
        match subject {
            LimitSubject::Client | LimitSubject::Credential => &self.name.own,
            LimitSubject::Partner => &self.name.partner,
            LimitSubject::Route | LimitSubject::ClientRoute => &self.name.route,
        }
    }

    /// What counts as used when the first period begins, requests.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The IANA name of the time zone.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.time_zone_name
    }

    /// The day of the month on which a monthly period begins, 1 to 31.
    #[must_use]
    pub fn anchor_day(&self) -> u8 {
        self.anchor_day.unsigned_abs()
    }

    /// The day on which a weekly period begins.
    #[must_use]
    pub fn week_start(&self) -> Weekday {
        self.week_start
    }

    /// The period that holds `now`.
    ///
    /// Periods follow one another without gap or overlap. The local date is only the first guess and the instants
    /// decide: where clocks go back over midnight, one date comes twice.
    #[must_use]
    pub fn period_at(&self, now: UnixSeconds) -> QuotaPeriod {
        let seconds = now.0.clamp(*CALENDAR_SECONDS.start(), *CALENDAR_SECONDS.end());
        let today = Timestamp::from_second(seconds).map_or(Date::ZERO, |now| self.time_zone.to_datetime(now).date());
        let mut first = self.first_day(today);
        while self.start_of(first) > seconds {
            first = self.neighbour(first, -1);
        }
        let mut next = self.neighbour(first, 1);
        while self.start_of(next) <= seconds {
            first = next;
            next = self.neighbour(first, 1);
        }
        QuotaPeriod { starts_at: UnixSeconds(self.start_of(first)), ends_at: UnixSeconds(self.start_of(next)) }
    }

    /// The first day of the period whose days include `date`.
    fn first_day(&self, date: Date) -> Date {
        match self.period {
            PeriodKind::Day => date,
            PeriodKind::Week => add_days(date, -i64::from(self.week_start.until(date.weekday()))),
            PeriodKind::Month => {
                let anchor = self.anchor_in(date);
                if anchor <= date { anchor } else { self.neighbour(anchor, -1) }
            }
        }
    }

    /// The first day of the period `step` (1 or -1) after the one that begins on `first`.
    fn neighbour(&self, first: Date, step: i64) -> Date {
        match self.period {
            PeriodKind::Day => add_days(first, step),
            PeriodKind::Week => add_days(first, 7 * step),
            // By way of the first of the month: a clamped 28 February must lead to 31 March, not to the 28th.
            PeriodKind::Month => self.anchor_in(if step > 0 {
                add_days(first.last_of_month(), 1)
            } else {
                add_days(first.first_of_month(), -1)
            }),
        }
    }

    /// The anchor day in the month of `date`, clamped to its last day.
    fn anchor_in(&self, date: Date) -> Date {
        add_days(date.first_of_month(), i64::from(self.anchor_day.min(date.days_in_month()) - 1))
    }

    /// The first instant of a local day; where the clocks jump over midnight, the first second after the jump.
    fn start_of(&self, date: Date) -> i64 {
        date.to_zoned(self.time_zone.clone())
            .and_then(|midnight| midnight.start_of_day())
            .map_or_else(|_| utc_midnight(date), |start| start.timestamp().as_second())
    }
}

/// Never reached inside [`CALENDAR_SECONDS`]; keeps the arithmetic total.
fn utc_midnight(date: Date) -> i64 {
    let epoch = Date::constant(1970, 1, 1);
    (epoch.duration_until(date).as_secs() / SECONDS_PER_DAY) * SECONDS_PER_DAY
}

fn add_days(date: Date, days: i64) -> Date {
    date.saturating_add(jiff::SignedDuration::from_secs(days * SECONDS_PER_DAY))
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quota({self})")
    }
}

/// `100000 per month from day 1, Asia/Dubai`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.limit, self.period)?;
        match self.period {
            PeriodKind::Day => {}
            PeriodKind::Week => write!(f, " from {:?}", self.week_start)?,
            PeriodKind::Month => write!(f, " from day {}", self.anchor_day)?,
        }
        write!(f, ", {}", self.time_zone_name)?;
        if *self.name.own != *self.period.default_name() {
            write!(f, ", named {}", self.name.own)?;
        }
        if self.offset > 0 {
            write!(f, ", {} off the first period", self.offset)?;
        }
        if self.mode != RuleMode::Enforce {
            write!(f, ", mode {}", self.mode)?;
        }
        Ok(())
    }
}
