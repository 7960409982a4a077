//! Printing, and the exit codes that go with it. Nothing else in the program prints an answer.
//!
//! A reader that went away (`postern routes list | head -1`) is no fault: nothing more is said, and the exit code stays
//! that of the answer.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::Value;

/// What a command found, for people and for programs.
#[derive(Debug)]
pub(super) struct Answer {
    /// For people, without the last line break.
    pub(super) text: String,
    /// For programs.
    pub(super) json: Value,
    /// Why the answer is no; the exit code is 1 then.
    pub(super) refusal: Option<String>,
}

impl Answer {
    pub(super) fn done(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, refusal: None }
    }

    #[must_use]
    pub(super) fn refused_if(mut self, refused: bool, reason: impl FnOnce() -> String) -> Self {
        self.refusal = refused.then(reason);
        self
    }
}

/// Prints an answer, or the reason why there is none.
pub(super) fn finish(answer: anyhow::Result<Answer>, json: bool) -> ExitCode {
    let refusal = match answer {
        Ok(answer) => {
            let text = if json { pretty(&answer.json) } else { answer.text };
            match print(&mut io::stdout().lock(), &text) {
                Ok(()) => answer.refusal,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => answer.refusal,
                Err(error) => Some(format!("the answer could not be written: {error}")),
            }
        }
        Err(error) => Some(format!("{error:#}")),
    };
    let Some(reason) = refusal else { return ExitCode::SUCCESS };
    // The exit code says it where stderr cannot.
    let _unprintable = print(&mut io::stderr().lock(), &format!("postern: {reason}"));
    ExitCode::from(1)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn print(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        stream.write_all(b"\n")?;
    }
    stream.flush()
}

/// Lines whose columns begin at the same place; the last column is as long as it is.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_where_their_text_ends() {
        let rows = [["GET", "/a", "x"], ["DELETE", "/longer", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "GET     /a       x\nDELETE  /longer");
    }

    #[test]
    fn text_ends_in_one_line_break() {
        for (text, printed) in [("a", "a\n"), ("a\n", "a\n"), ("", "")] {
            let mut stream = Vec::new();
            print(&mut stream, text).unwrap();
            assert_eq!(stream, printed.as_bytes());
        }
    }
}
