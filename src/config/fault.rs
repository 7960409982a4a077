//! One thing that is wrong with a configuration: where, what, and what to do about it.

use std::fmt::{self, Write};

use crate::model::Place;

/// Shown as `FILE:LINE:COL: message`, with the hint on the same line after ` — `. It stays one line whatever the texts
/// hold: control characters are shown as escapes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub place: Place,
    pub message: String,
    /// The remedy, where there is one to name.
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine(f);
        write!(line, "{}: {}", self.place, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(line, " — {hint}"))
    }
}

/// Escapes what could break a line, or drive the terminal that shows it.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        text.chars().try_for_each(|c| {
            if breaks(c) { write!(self.0, "{}", c.escape_default()) } else { self.0.write_char(c) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_whatever_it_holds() {
        let place = Place { file: "a\nb.yaml".into(), line: 1, column: 2 };
        let fault = Fault::new(place, "`/v1/é\n` ends\0").hint("not \u{1b}[31m\u{2028}");
        assert_eq!(
            fault.to_string(),
            r"a\nb.yaml:1:2: `/v1/é\n` ends\u{0} — not \u{1b}[31m\u{2028}"
        );
    }
}
