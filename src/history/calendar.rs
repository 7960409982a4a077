//! Hours, days and weeks of UTC: where each begins, and a list of spans without holes.

use crate::model::{Tally, Timestamp};
use crate::store::access::{Span, Step};

pub const HOUR: i64 = 3_600_000_000;
pub const DAY: i64 = 24 * HOUR;
pub const WEEK: i64 = 7 * DAY;

/// In microseconds.
pub fn length(step: Step) -> i64 {
    match step {
        Step::Hour => HOUR,
        Step::Day => DAY,
    }
}

/// The beginning of the Monday of the week that a moment is in.
pub fn monday(at: Timestamp) -> Timestamp {
    // 1970 began on a Thursday.
    const FIRST: i64 = 4 * DAY;
    let micros = at.as_micros();
    let since = micros.rem_euclid(WEEK).saturating_sub(FIRST).rem_euclid(WEEK);
    Timestamp::from_micros(micros.saturating_sub(since))
}

/// The beginning of the span that a moment is in.
pub fn start(at: Timestamp, step: Step) -> Timestamp {
    let micros = at.as_micros();
    Timestamp::from_micros(micros.saturating_sub(micros.rem_euclid(length(step))))
}

/// So many microseconds later, or earlier; the ends of time are not passed.
#[must_use]
pub fn moved(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(micros))
}

/// How many spans begin in `from..to`, `from` being the beginning of one.
pub fn count(from: Timestamp, to: Timestamp, step: Step) -> u64 {
    let micros = i128::from(to.as_micros()) - i128::from(from.as_micros());
    let length = i128::from(length(step));
    u64::try_from((micros + length - 1).div_euclid(length)).unwrap_or(0)
}

/// Every span that begins in `from..to`, `from` being the beginning of one: what was found, and nothing in between.
pub fn filled(found: Vec<Span>, from: Timestamp, to: Timestamp, step: Step) -> Vec<Span> {
    let mut found = found.into_iter().peekable();
    let mut starts = Vec::new();
    let mut start = from;
    while start < to {
        while found.next_if(|span| span.start < start).is_some() {}
        let here = found.next_if(|span| span.start == start);
        starts.push(here.unwrap_or(Span { start, tally: Tally::default() }));
        let next = moved(start, length(step));
        if next == start {
            break;
        }
        start = next;
    }
    starts
}

/// `2026-11-20`.
pub fn date(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('T').map_or_else(|| text.clone(), |(date, _)| date.to_owned())
}

/// `14:00`.
pub fn time(at: Timestamp) -> String {
    let text = at.to_string();
    let time = text.split_once('T').and_then(|(_, time)| time.get(..5));
    time.unwrap_or_default().to_owned()
}

/// `2026-11-20T14`.
pub fn date_and_hour(at: Timestamp) -> String {
    let time = time(at);
    format!("{}T{}", date(at), time.get(..2).unwrap_or_default())
}

/// The beginning of an hour that is written like `2026-11-20T14`.
pub fn hour(text: &str) -> Option<Timestamp> {
    let (date, hour) = text.split_once('T')?;
    let is_hour = hour.len() == 2 && hour.bytes().all(|byte| byte.is_ascii_digit());
    let hour: i64 = if is_hour { hour.parse().ok()? } else { return None };
    (hour < 24).then(|| day(date).map(|day| moved(day, hour * HOUR))).flatten()
}

/// The beginning of a day that is written like `2026-11-20`.
pub fn day(text: &str) -> Option<Timestamp> {
    let is_date = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date.then(|| Timestamp::parse(&format!("{text}T00:00:00Z"))).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn span(start: &str, requests: u64) -> Span {
        Span { start: at(start), tally: Tally { requests, ..Tally::default() } }
    }

    #[test]
    fn days_and_hours_begin_in_utc() {
        let moment = at("2026-11-20T14:35:06.7Z");
        assert_eq!(start(moment, Step::Hour), at("2026-11-20T14:00:00Z"));
        assert_eq!(start(moment, Step::Day), at("2026-11-20T00:00:00Z"));
        assert_eq!(start(Timestamp::from_micros(-1), Step::Day).as_micros(), -DAY);
        assert_eq!((date(moment).as_str(), time(moment).as_str()), ("2026-11-20", "14:35"));
        assert_eq!(day("2026-11-20"), Some(at("2026-11-20T00:00:00Z")));
        for bad in ["", "2026-11-2", "2026-13-20", "2026-02-30", "2026/11/20", "+026-11-20"] {
            assert_eq!(day(bad), None, "{bad}");
        }
        assert_eq!(date_and_hour(moment), "2026-11-20T14");
        assert_eq!(hour("2026-11-20T14"), Some(at("2026-11-20T14:00:00Z")));
        for bad in ["", "T", "2026-11-20", "2026-11-20T24", "2026-11-20T+1", "2026-11-20T1"] {
            assert_eq!(hour(bad), None, "{bad}");
        }
    }

    #[test]
    fn weeks_begin_on_mondays() {
        let day = at("2026-11-16T00:00:00Z");
        assert_eq!(monday(day), day);
        assert_eq!(monday(at("2026-11-20T14:35:00Z")), day);
        assert_eq!(monday(at("2026-11-22T23:59:59Z")), day);
        assert_eq!(monday(at("2026-11-23T00:00:00Z")), at("2026-11-23T00:00:00Z"));
        assert_eq!(monday(at("1970-01-01T00:00:00Z")), at("1969-12-29T00:00:00Z"));
    }

    #[test]
    fn what_nothing_was_asked_in_is_there_too() {
        let found = vec![span("2026-11-19T00:00:00Z", 9), span("2026-11-21T00:00:00Z", 3)];
        let (from, to) = (at("2026-11-20T00:00:00Z"), at("2026-11-22T12:00:00Z"));
        assert_eq!(count(from, to, Step::Day), 3);
        assert_eq!(
            filled(found, from, to, Step::Day),
            [
                span("2026-11-20T00:00:00Z", 0),
                span("2026-11-21T00:00:00Z", 3),
                span("2026-11-22T00:00:00Z", 0)
            ]
        );
    }

    proptest! {
        #[test]
        fn there_are_as_many_spans_as_are_counted(
            from in -1_000_i64..1_000, length in -50_i64..400_000_000_000, hourly in any::<bool>(),
        ) {
            let step = if hourly { Step::Hour } else { Step::Day };
            let from = Timestamp::from_micros(from * DAY);
            let to = moved(from, length);
            let spans = filled(Vec::new(), from, to, step);
            prop_assert_eq!(spans.len() as u64, count(from, to, step));
        }

        #[test]
        fn the_ends_of_time_are_no_trouble(at in any::<i64>(), by in any::<i64>()) {
            let at = Timestamp::from_micros(at);
            let _ = (start(at, Step::Day), date(at), time(at), count(at, moved(at, by), Step::Hour));
            let _ = (monday(at), date_and_hour(at));
        }
    }
}
