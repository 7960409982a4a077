//! Access records as CSV (RFC 4180), safe to open in a spreadsheet.
//!
//! A cell is quoted where its text could end it. A cell whose text begins like a formula (`=`, `+`, `-`, `@`, a tab or a
//! carriage return) gets an apostrophe in front, which spreadsheets show as nothing and take for text: a user agent is
//! whatever a stranger sends, and `=HYPERLINK(…)` in it must not run on the desk of who reads the log.
//!
//! Where the comma is the decimal sign, as in most of Europe, a spreadsheet splits at `;` instead, and others at tabs. To
//! these a line is other cells, and the quotes of ours are none: they stand in the middle. So what follows a `;`, a tab or
//! the end of a line within a text, quotes left out, may not begin like a formula either, and gets the apostrophe in its
//! place: `x;=A1` is written `"x;'=A1"`. Nothing is taken away, so that it can still be read what was sent.

use std::borrow::Cow;

use crate::model::AccessRecord;

/// The fields of a record, and how many requests it stands for.
pub fn header() -> String {
    let mut text = String::new();
    line(&mut text, AccessRecord::FIELDS.into_iter().chain(["count"]));
    text
}

/// One record under that header.
pub fn record(out: &mut String, record: &AccessRecord<'_>) {
    let AccessRecord { id, node, opening, outcome } = record;
    let number = |number: u64| Cow::Owned(number.to_string());
    let cells: [Cow<'_, str>; 24] = [
        Cow::Owned(id.to_string()),
        Cow::Owned(opening.ts.to_string()),
        Cow::Borrowed(node),
        Cow::Owned(opening.request_id.to_string()),
        Cow::Borrowed(&opening.practice),
        Cow::Borrowed(&opening.key),
        Cow::Borrowed(&opening.vendor),
        Cow::Borrowed(&opening.owner),
        Cow::Borrowed(&opening.api),
        Cow::Borrowed(&opening.method),
        Cow::Borrowed(&opening.route),
        Cow::Borrowed(&opening.path),
        Cow::Borrowed(&opening.category),
        Cow::Borrowed(&opening.access),
        Cow::Borrowed(outcome.decision.name()),
        Cow::Borrowed(&outcome.code),
        Cow::Owned(outcome.status.to_string()),
        number(outcome.bytes_in),
        number(outcome.bytes_out),
        number(outcome.duration_us),
        outcome.upstream_us.map_or(Cow::Borrowed(""), number),
        Cow::Owned(opening.ip.to_string()),
        Cow::Borrowed(&opening.user_agent),
        Cow::Owned(outcome.count.to_string()),
    ];
    line(out, cells.iter().map(|cell| &**cell));
}

/// A line of cells.
pub fn line<'a>(out: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (index, text) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        cell(out, text);
    }
    out.push_str("\r\n");
}

/// What begins a formula, and what some spreadsheet begins a cell after.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

fn cell(out: &mut String, text: &str) {
    let must_quote = text.contains([',', '"', ';', '\t', '\r', '\n']);
    if must_quote {
        out.push('"');
    }
    if text.starts_with(['\t', '\r']) {
        out.push('\'');
    }
    let mut is_beginning = true;
    for c in text.chars() {
        if is_beginning && FORMULA.contains(&c) {
            out.push('\'');
        }
        if c == '"' {
            out.push('"');
        }
        out.push(c);
        is_beginning = SEPARATORS.contains(&c) || (is_beginning && c == '"');
    }
    if must_quote {
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reader of RFC 4180, written without looking at the writer.
    fn read(text: &str) -> Vec<Vec<String>> {
        let (mut lines, mut cells, mut cell) = (Vec::new(), Vec::new(), String::new());
        let mut chars = text.chars().peekable();
        let mut is_quoted = false;
        while let Some(c) = chars.next() {
            match c {
                '"' if is_quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' => is_quoted = !is_quoted,
                c if is_quoted => cell.push(c),
                ',' => cells.push(std::mem::take(&mut cell)),
                '\r' => {
                    assert_eq!(chars.next(), Some('\n'), "a bare carriage return");
                    cells.push(std::mem::take(&mut cell));
                    lines.push(std::mem::take(&mut cells));
                }
                c => cell.push(c),
            }
        }
        assert!(!is_quoted && cell.is_empty() && cells.is_empty(), "it ends with its line");
        lines
    }

    #[test]
    fn a_formula_is_shown_and_not_run() {
        let mut text = String::new();
        line(&mut text, ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a=b", "", "'x"]);
        assert_eq!(text, "'=1+1,'+1,'-1,'@SUM(A1),\"'\tx\",\"'\rx\",a=b,,'x\r\n");
    }

    #[test]
    fn nor_is_one_behind_a_semicolon_or_a_tab() {
        for (text, written) in [
            ("x;=HYPERLINK(A1)", "\"x;'=HYPERLINK(A1)\""),
            ("x\t@SUM(A1)", "\"x\t'@SUM(A1)\""),
            ("x;\"=1;", "\"x;\"\"'=1;\""),
            ("x;;-1", "\"x;;'-1\""),
            ("x\n+1", "\"x\n'+1\""),
            ("Mozilla/5.0 (X11; Linux) a=b", "\"Mozilla/5.0 (X11; Linux) a=b\""),
        ] {
            let mut found = String::new();
            cell(&mut found, text);
            assert_eq!(found, written, "{text}");
        }
    }

    #[test]
    fn the_header_names_the_fields_of_the_contract() {
        let header = header();
        let fields: Vec<&str> = header.trim_end().split(',').collect();
        assert_eq!(fields.len(), 24);
        assert!(header.starts_with("id,ts,node,request_id,practice,key,vendor,owner,api,method,"));
        assert!(header.ends_with("upstream_us,ip,user_agent,count\r\n"), "{header}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_begins_no_formula(
            lines in prop::collection::vec(prop::collection::vec("[=+@\\-\t\r\n\",;'a é]{0,6}|\\PC{0,8}", 1..5), 0..5),
        ) {
            let mut text = String::new();
            for cells in &lines {
                line(&mut text, cells.iter().map(String::as_str));
            }
            let found = read(&text);
            prop_assert_eq!(found.len(), lines.len());
            for (found, expected) in found.iter().flatten().zip(lines.iter().flatten()) {
                prop_assert!(!found.starts_with(['=', '+', '-', '@', '\t', '\r']), "{found:?}");
                prop_assert_eq!(found.replace('\'', ""), expected.replace('\'', ""));
                if !expected.contains(['=', '+', '-', '@', '\t', '\r']) {
                    prop_assert_eq!(found, expected);
                }
            }
            // To who does not split at commas: no piece begins a formula, whether its quotes are taken for such or not.
            for piece in text.split([';', '\t', '\r', '\n']) {
                prop_assert!(!piece.trim_start_matches('"').starts_with(['=', '+', '-', '@']), "{piece:?}");
            }
        }
    }
}
