//! Moments and how they are written: RFC 3339, UTC, microseconds.
//!
//! Nothing here reads a clock: `telemetry::clock` does.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment, in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Takes any offset; gives back None where the text is not RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        if has_far_offset(text) {
            return None;
        }
        let moment: jiff::Timestamp = text.parse().ok()?;
        Some(Self(moment.as_microsecond()))
    }

    /// The moment so much later, or the last one there is.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How much later this is than `earlier`; nothing where it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Whether an offset is a day or more, which RFC 3339 does not have and the library takes.
fn has_far_offset(text: &str) -> bool {
    let written = text.split_once('[').map_or(text, |(written, _)| written);
    let time = written.split_once(['T', 't', ' ']).map_or("", |(_, time)| time);
    let hours = time.rsplit_once(['+', '-']).and_then(|(_, offset)| offset.get(..2));
    hours.and_then(|hours| hours.parse::<u8>().ok()).is_some_and(|hours| hours > 23)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{moment:.6}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom("not a time such as 2026-11-20T08:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_microseconds_and_read_with_any_offset() {
        let written = Timestamp::from_micros(1_763_625_600_000_001).to_string();
        assert_eq!(written, "2025-11-20T08:00:00.000001Z");
        assert_eq!(Timestamp::parse(&written), Some(Timestamp::from_micros(1_763_625_600_000_001)));
        assert_eq!(
            Timestamp::parse("2025-11-20T09:00:00+01:00").unwrap().to_string(),
            "2025-11-20T08:00:00.000000Z"
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn an_offset_of_a_day_is_no_offset() {
        let with = |offset: &str| Timestamp::parse(&format!("2025-11-20T09:00:00{offset}"));
        for near in ["Z", "+00:00", "-00:30", "+14:00", "+23:59", "-23:59"] {
            assert!(with(near).is_some(), "{near}");
        }
        for far in ["+24:00", "-24:00", "+25:59", "-25:59", "+99:00"] {
            assert_eq!(with(far), None, "{far}");
        }
    }

    #[test]
    fn the_ends_of_time_are_not_passed() {
        let end = Timestamp::from_micros(i64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert_eq!(Timestamp::from_micros(5).since(end), Duration::ZERO);
        assert!(!end.to_string().is_empty());
    }
}
