//! Printing, and the exit codes that go with it. Nothing else in the program prints an answer.
//!
//! A reader that went away (`postern routes list | head -1`) is no fault: nothing more is said, and the exit code stays
//! that of the answer. Unless a secret went with it: that is shown once and nowhere else, so nobody having read it is
//! the end of it, and said.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a command found, for people and for programs.
#[derive(Debug)]
pub(super) struct Answer {
    /// For people, without the last line break.
    pub(super) text: String,
    /// For programs.
    pub(super) json: Value,
    /// The JSON is a list whose items are documents of their own, one a line.
    is_lines: bool,
    /// There is a secret in it, which nothing but `keys reveal` shows again, and that not everywhere.
    is_shown_once: bool,
    /// Why the answer is no; the exit code is 1 then.
    pub(super) refusal: Option<String>,
}

/// The command line asks for something that only it can say: exit code 2, as for an unknown flag.
#[derive(Debug)]
pub(super) struct Usage(pub(super) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl Answer {
    pub(super) fn done(text: impl Into<String>, json: Value) -> Self {
        let (is_lines, is_shown_once) = (false, false);
        Self { text: text.into(), json, is_lines, is_shown_once, refusal: None }
    }

    /// For programs, every item is a line of its own.
    pub(super) fn lines(text: impl Into<String>, items: Vec<Value>) -> Self {
        Self { is_lines: true, ..Self::done(text, Value::Array(items)) }
    }

    /// There are secrets in it.
    #[must_use]
    pub(super) fn shown_once(self) -> Self {
        Self { is_shown_once: true, ..self }
    }

    #[must_use]
    pub(super) fn refused_if(mut self, refused: bool, reason: impl FnOnce() -> String) -> Self {
        self.refusal = refused.then(reason);
        self
    }
}

/// Prints an answer, or the reason why there is none.
pub(super) fn finish(answer: anyhow::Result<Answer>, json: bool) -> ExitCode {
    let (code, refusal) = match answer {
        Ok(answer) => (1, show(answer, json)),
        Err(error) if error.is::<Usage>() => (2, Some(format!("{error:#}"))),
        Err(error) => (1, Some(format!("{error:#}"))),
    };
    let Some(reason) = refusal else { return ExitCode::SUCCESS };
    // The exit code says it where stderr cannot.
    let _unprintable = print(&mut io::stderr().lock(), &format!("postern: {reason}"));
    ExitCode::from(code)
}

/// Prints an answer; gives back why it is none.
fn show(answer: Answer, json: bool) -> Option<String> {
    let text = match &answer.json {
        Value::Array(items) if json && answer.is_lines => {
            items.iter().map(|item| format!("{item}\n")).collect()
        }
        one if json => format!("{one:#}"),
        _ => answer.text,
    };
    let unwritten = match print(&mut io::stdout().lock(), &text) {
        Ok(()) => return answer.refusal,
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => error.to_string(),
        Err(_) if !answer.is_shown_once => return answer.refusal,
        Err(_) => "nobody reads it".to_owned(),
    };
    let lost =
        if answer.is_shown_once { "; the secret in it may never be shown again" } else { "" };
    Some(format!("the answer could not be written: {unwritten}{lost}"))
}

/// An answer that is too long to be held, or has no end: written as it is found.
#[derive(Debug)]
pub(super) struct Flow(BufWriter<io::Stdout>);

/// Whoever read went away, which is no fault: there is nothing left to be done.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads it")]
pub(super) struct Unread;

impl Flow {
    pub(super) fn open() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Whether people read it.
    pub(super) fn is_on_terminal() -> bool {
        io::stdout().is_terminal()
    }

    /// Text with its line breaks.
    pub(super) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.0.write_all(text.as_bytes()).map_err(unwritten)
    }

    /// So that it is seen now.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.0.flush().map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Unread.into();
    }
    anyhow::Error::new(error).context("the answer could not be written")
}

/// A remark beside the answer.
pub(super) fn note(text: &str) {
    // A remark that cannot be printed is missed, no more.
    let _unprintable = print(&mut io::stderr().lock(), &format!("postern: {text}"));
}

/// How far a long piece of work is, told on a terminal alone, once it has taken a moment.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    told: Option<Instant>,
    is_on_terminal: bool,
    has_line: bool,
}

impl Progress {
    const PAUSE: Duration = Duration::from_millis(500);

    pub(super) fn of(what: &'static str) -> Self {
        let is_on_terminal = io::stderr().is_terminal();
        Self { what, told: is_on_terminal.then(Instant::now), is_on_terminal, has_line: false }
    }

    pub(super) fn tell(&mut self, done: usize, all: usize) {
        self.say(&format_args!("{done} of {all}"));
    }

    /// Where nobody knows how much there is.
    pub(super) fn tell_so_far(&mut self, done: usize) {
        self.say(&done);
    }

    fn say(&mut self, how_far: &dyn fmt::Display) {
        if self.told.is_none_or(|told| told.elapsed() < Self::PAUSE) {
            return;
        }
        (self.told, self.has_line) = (Some(Instant::now()), true);
        let _unprintable = write!(io::stderr().lock(), "\r{}: {how_far}", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_on_terminal && self.has_line {
            let _unprintable = writeln!(io::stderr().lock());
        }
    }
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
