//! Values with units: durations, sizes, rates and whole numbers, each with the remedy where one is written wrongly.

use std::time::Duration;

/// Why a text is not a value of its kind. The remedy may repeat the text, so it is not shown for secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Follows a colon: `… is not an address such as …: it has no port`.
    pub why: Option<String>,
    pub hint: Option<String>,
}

impl Wrong {
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), hint: None }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn did_you_mean(meant: impl std::fmt::Display) -> Self {
        Self { why: None, hint: Some(format!("did you mean {meant}?")) }
    }
}

/// `250ms 30s 5m 2h 14d`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let (digits, unit) = split(text);
    if digits.starts_with('-') {
        return Err(Wrong::because("time does not run backwards"));
    }
    let known = DURATION_UNITS.iter().find(|(name, _)| *name == unit);
    match (known, number(digits)) {
        (Some((_, millis)), Some(count)) => count
            .checked_mul(*millis)
            .map(Duration::from_millis)
            .ok_or_else(|| Wrong::because("it is too long")),
        _ => Err(meant_duration(digits, unit)),
    }
}

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn meant_duration(digits: &str, unit: &str) -> Wrong {
    let unit = unit.trim().to_ascii_lowercase();
    let short = match unit.as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return Wrong::default(),
    };
    if let Some(count) = number(digits.trim()) {
        return Wrong::did_you_mean(format!("{count}{short}"));
    }
    let factor =
        DURATION_UNITS.iter().find(|(name, _)| *name == short).map_or(1, |(_, millis)| *millis);
    match fraction(digits, factor) {
        Some(millis) if millis > 0 => Wrong::did_you_mean(format!("{millis}ms")),
        _ => Wrong::default(),
    }
}

/// `64KiB 10MiB`, or a plain number of bytes.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let (digits, unit) = split(text);
    if digits.starts_with('-') {
        return Err(Wrong::because("a size is not negative"));
    }
    let known = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
    match (known, number(digits)) {
        (Some((_, bytes)), Some(count)) => {
            count.checked_mul(*bytes).ok_or_else(|| Wrong::because("it is too large"))
        }
        _ => Err(meant_size(digits, unit)),
    }
}

const SIZE_UNITS: [(&str, u64); 6] =
    [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

fn meant_size(digits: &str, unit: &str) -> Wrong {
    let letter = unit.trim().to_ascii_lowercase();
    let short = match letter.as_str() {
        "" | "b" | "byte" | "bytes" => "",
        "k" | "kb" | "ki" | "kib" => "KiB",
        "m" | "mb" | "mi" | "mib" => "MiB",
        "g" | "gb" | "gi" | "gib" => "GiB",
        "t" | "tb" | "ti" | "tib" => "TiB",
        _ => return Wrong::default(),
    };
    number(digits.trim())
        .map_or_else(Wrong::default, |count| Wrong::did_you_mean(format!("{count}{short}")))
}

/// `1KiB/s`: bytes a second.
pub(super) fn byte_rate(text: &str) -> Result<u64, Wrong> {
    match text.split_once('/') {
        Some((bytes, "s")) => size(bytes),
        Some((bytes, _)) if size(bytes).is_ok() => Err(Wrong::did_you_mean(format!("{bytes}/s"))),
        None if size(text).is_ok() => Err(Wrong::did_you_mean(format!("{text}/s"))),
        Some(_) | None => Err(Wrong::default()),
    }
}

/// `600/min 5/10s 10/s 100/h`: a count and the window it is for.
pub(super) fn rate(text: &str) -> Result<(u64, Duration), Wrong> {
    let Some((count, window)) = text.split_once('/') else {
        return Err(number(text.trim())
            .map_or_else(Wrong::default, |count| Wrong::did_you_mean(format!("{count}/min"))));
    };
    let (digits, unit) = split(window);
    let number_of_units = if digits.is_empty() { Some(1) } else { number(digits) };
    let millis = [("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)]
        .into_iter()
        .find_map(|(name, millis)| (name == unit).then_some(millis));
    match (number(count), number_of_units, millis) {
        (Some(0), ..) | (_, Some(0), _) => Err(Wrong::because("it lets nothing through")
            .hint("leave the limit out, or deny the route")),
        (Some(count), Some(units), Some(millis)) => match u64::checked_mul(units, millis) {
            Some(window) => Ok((count, Duration::from_millis(window))),
            None => Err(Wrong::because("its window is too long")),
        },
        _ => Err(meant_rate(count, digits, unit)),
    }
}

fn meant_rate(count: &str, digits: &str, unit: &str) -> Wrong {
    let short = match unit.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "min",
        "h" | "hr" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return Wrong::default(),
    };
    match number(count.trim()) {
        Some(count) => Wrong::did_you_mean(format!("{count}/{}{short}", digits.trim())),
        None => Wrong::default(),
    }
}

/// A whole number, written with digits alone.
pub(super) fn count(text: &str) -> Result<u64, Wrong> {
    if let Some(count) = number(text) {
        return Ok(count);
    }
    if text.starts_with('-') {
        return Err(Wrong::because("it is negative"));
    }
    let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ' | '+')).collect();
    let digits = digits.trim_start_matches('0');
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            number(digits).map_or_else(|| Wrong::because("it is too large"), Wrong::did_you_mean)
        );
    }
    Err(Wrong::default())
}

/// Digits without a leading zero, which some readers take for octal.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

/// `1.5` of a unit, in the smallest.
fn fraction(digits: &str, factor: u64) -> Option<u64> {
    let (whole, part) = digits.trim().split_once('.')?;
    let (whole, part): (u64, u64) = (whole.parse().ok()?, part.get(..1)?.parse().ok()?);
    whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)? / 10)
}

/// Splits before the first letter: `10 MiB` is `10 ` and `MiB`.
fn split(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(wrong: Wrong) -> String {
        wrong.hint.or(wrong.why).unwrap_or_default()
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("14d", 1_209_600_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_wrong_duration_says_what_was_meant() {
        for (text, meant) in [
            ("30 sec", "did you mean 30s?"),
            ("5 minutes", "did you mean 5m?"),
            ("30", "did you mean 30s?"),
            ("1.5s", "did you mean 1500ms?"),
            ("30S", "did you mean 30s?"),
            ("-5s", "time does not run backwards"),
            ("99999999999999999d", "it is too long"),
            ("99999999999999999999s", ""),
            ("soon", ""),
            ("", ""),
            ("08s", ""),
            ("NaN", ""),
        ] {
            assert_eq!(hint(duration(text).unwrap_err()), meant, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_powers_of_two() {
        for (text, bytes) in
            [("64KiB", 65_536), ("10MiB", 10 << 20), ("1GiB", 1 << 30), ("100", 100), ("7B", 7)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, meant) in [
            ("10MB", "did you mean 10MiB?"),
            ("10 MiB", "did you mean 10MiB?"),
            ("1g", "did you mean 1GiB?"),
            ("-1", "a size is not negative"),
            ("99999999999TiB", "it is too large"),
            ("1.5MiB", ""),
        ] {
            assert_eq!(hint(size(text).unwrap_err()), meant, "{text}");
        }
    }

    #[test]
    fn rates_are_a_count_and_a_window() {
        for (text, expected, seconds) in
            [("600/min", 600, 60), ("5/10s", 5, 10), ("10/s", 10, 1), ("100/h", 100, 3600)]
        {
            assert_eq!(rate(text), Ok((expected, Duration::from_secs(seconds))), "{text}");
        }
        for (text, meant) in [
            ("600/minute", "did you mean 600/min?"),
            ("600/m", "did you mean 600/min?"),
            ("600", "did you mean 600/min?"),
            ("0/s", "leave the limit out, or deny the route"),
            ("fast", ""),
        ] {
            assert_eq!(hint(rate(text).unwrap_err()), meant, "{text}");
        }
        assert_eq!(byte_rate("1KiB/s"), Ok(1024));
        assert_eq!(hint(byte_rate("1KiB").unwrap_err()), "did you mean 1KiB/s?");
        assert_eq!(hint(byte_rate("1KiB/min").unwrap_err()), "did you mean 1KiB/s?");
    }

    #[test]
    fn numbers_that_readers_take_differently_are_refused() {
        assert_eq!(count("20000"), Ok(20_000));
        for (text, meant) in [
            ("08", "did you mean 8?"),
            ("1_000", "did you mean 1000?"),
            ("+5", "did you mean 5?"),
            ("4.0", "did you mean 4?"),
            ("-1", "it is negative"),
            ("99999999999999999999", "it is too large"),
            ("0x10", ""),
            ("1e3", ""),
            ("NaN", ""),
        ] {
            assert_eq!(hint(count(text).unwrap_err()), meant, "{text}");
        }
    }
}
