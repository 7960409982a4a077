//! The names of what lies in Redis, and how moments are put into hours and days. What each holds is told in `access`.

use crate::model::Timestamp;
use crate::store::access::Whose;

pub(super) const STREAM: &str = "postern:access";
pub(super) const LANES: &str = "{postern:access}:lanes";
pub(super) const COUNTED: &str = "{postern:access}:counted";
/// Lanes whose files are gone, and since when.
pub(super) const OVER: &str = "{postern:access}:over";
pub(super) const DAYS: &str = "{postern:access}:days";
pub(super) const SUM_DAYS: &str = "{postern:access}:sum-days";
pub(super) const EXPIRED: &str = "{postern:access}:expired";
pub(super) const SUMS_EXPIRED: &str = "{postern:access}:sums-expired";
pub(super) const ACKNOWLEDGED: &str = "{postern:access}:acknowledged";

/// What the scripts that look at lanes need.
pub(super) const OF_LANES: [&str; 3] = [STREAM, LANES, COUNTED];

/// Small questions in one pipeline: about a millisecond of Redis's time.
pub(super) const AT_ONCE: usize = 500;

/// In bytes: some four thousand records. Whoever has more of them in an hour has an index by the minute, too, so that no
/// page has to read a whole busy hour.
pub(super) const LONGEST: usize = 64 * 1024;

pub(super) const MINUTE: i64 = 60_000_000;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

pub(super) fn hour_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(HOUR)
}

pub(super) fn day_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(DAY)
}

pub(super) fn start_of_hour(hour: i64) -> Timestamp {
    Timestamp::from_micros(hour.saturating_mul(HOUR))
}

pub(super) fn start_of_day(day: i64) -> Timestamp {
    Timestamp::from_micros(day.saturating_mul(DAY))
}

pub(super) const EVERYBODY: &str = "e";

pub(super) fn of_practice(practice: &str) -> String {
    format!("p:{practice}")
}

pub(super) fn of_key(key: &str) -> String {
    format!("k:{key}")
}

pub(super) fn of(whose: &Whose) -> String {
    match whose {
        Whose::Everybody => EVERYBODY.to_owned(),
        Whose::Practice(practice) => of_practice(practice),
        Whose::Key(key) => of_key(key),
    }
}

pub(super) fn index_of_hour(hour: i64, whose: &str) -> String {
    format!("{{postern:access}}:at:{hour}:{whose}")
}

pub(super) fn index_of_minute(minute: i64, whose: &str) -> String {
    format!("{{postern:access}}:minute:{minute}:{whose}")
}

pub(super) fn hours(whose: &str) -> String {
    format!("{{postern:access}}:hours:{whose}")
}

pub(super) fn sum(day: i64, whose: &str) -> String {
    format!("{{postern:access}}:sum:{day}:{whose}")
}

pub(super) fn refused(day: i64, whose: &str) -> String {
    format!("{{postern:access}}:refused:{day}:{whose}")
}

pub(super) fn on(day: i64) -> String {
    format!("{{postern:access}}:on:{day}")
}

pub(super) fn sums_on(day: i64) -> String {
    format!("{{postern:access}}:sums-on:{day}")
}
