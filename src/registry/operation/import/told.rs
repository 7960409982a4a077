//! The faults of an import as they are gathered: not endlessly many, short, and without a key in them; told in the order of
//! the lines.
//!
//! A file can be one that was never meant for here, with a fault in every line and keys in places where none belongs. What
//! is told ends up on screens and in logs.

use crate::registry::operation::import::LineFault;
use crate::vault::key;

/// As many faults are told one by one.
pub(super) const FAULTS_MAX: usize = 1_000;
const MESSAGE_CHARS_MAX: usize = 500;

#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    list: Vec<LineFault>,
    /// The first line whose faults are not in the list.
    untold_from: Option<usize>,
    untold: usize,
    /// From there on nobody looked.
    is_cut_off: bool,
}

impl Gathered {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= FAULTS_MAX
    }

    /// Beyond those that are told, faults are only counted.
    pub(super) fn add(&mut self, line: usize, message: &str) {
        if self.is_full() {
            self.untold_from.get_or_insert(line);
            self.untold += 1;
        } else {
            self.list.push(LineFault { line, message: shown(message) });
        }
    }

    /// This line and those after it are not looked at.
    pub(super) fn cut_off(&mut self, line: usize) {
        self.untold_from.get_or_insert(line);
        self.is_cut_off = true;
    }

    pub(super) fn told(mut self) -> Vec<LineFault> {
        self.list.sort_by_key(|fault| fault.line);
        if let Some(line) = self.untold_from {
            let message = match self.untold {
                _ if self.is_cut_off => "and maybe more faults from this line on".to_owned(),
                untold => format!("and {untold} more faults from this line on"),
            };
            self.list.push(LineFault { line, message });
        }
        self.list
    }
}

/// A message may repeat what somebody wrote, and that may be a key in the wrong place.
fn shown(message: &str) -> String {
    if key::has_one(message) {
        return "there is a key where none belongs".to_owned();
    }
    let mut start: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    if start.len() < message.len() {
        start.push('…');
    }
    start
}
