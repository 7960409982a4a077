//! Whether a caller asks for CSV: `Accept` of RFC 9110, 12.5.1, for one question.

/// CSV is named, and liked no less than JSON is. Whoever takes anything gets JSON.
pub(super) fn wants_csv(accept: &str) -> bool {
    let mut csv: Option<u16> = None;
    let mut json = 0;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let weight = weight.map_or(1000, thousandths);
        match kind.as_str() {
            "text/csv" => csv = Some(weight),
            "application/json" => json = weight,
            _ => {}
        }
    }
    csv.is_some_and(|csv| csv > 0 && csv >= json)
}

/// `0.5` as 500; what is no weight weighs nothing.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" if is_digits => 1000,
        "0" if is_digits => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_for_who_names_it_and_likes_it_no_less_than_json() {
        for accept in [
            "text/csv",
            "Text/CSV; charset=utf-8",
            "application/json;q=0.5, text/csv",
            "text/csv;q=0.001",
            "text/csv, */*;q=0.1",
            "application/json, text/csv",
        ] {
            assert!(wants_csv(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/*",
            "application/json",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/csv;q=0",
            "text/csv;q=0.000",
            "text/csv;q=0.5, application/json",
            "text/csv;q=x",
            "text/csvx",
        ] {
            assert!(!wants_csv(accept), "{accept}");
        }
    }
}
