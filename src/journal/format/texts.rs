//! Texts of a record as they are read: many short ones, looked at together.

use crate::journal::format::Bytes;

/// Texts that follow each other. Whether they are UTF-8 is looked at once for all of them: the length before a text is
/// mostly a character, too. What comes behind one where it is not is looked at by itself.
pub(super) struct Texts<'a> {
    rest: Bytes<'a>,
    /// So much of the rest, from its front on, is known to be UTF-8.
    known: &'a str,
}

impl<'a> Texts<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let known = str::from_utf8(bytes)
            .or_else(|error| str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()));
        Self { rest: Bytes(bytes), known: known.unwrap_or_default() }
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let before = self.rest.0.len();
        let length = usize::try_from(self.rest.number()?).ok()?;
        let known = self.known.get(before - self.rest.0.len()..).unwrap_or_default();
        let (text, rest) = self.rest.0.split_at_checked(length)?;
        self.rest = Bytes(rest);
        if let Some((text, known)) = known.split_at_checked(length) {
            self.known = known;
            return Some(text);
        }
        self.known = "";
        str::from_utf8(text).ok()
    }

    /// What comes behind so many of them.
    pub(super) fn behind(mut self, count: usize) -> Option<&'a [u8]> {
        for _ in 0..count {
            self.next()?;
        }
        Some(self.rest())
    }

    /// What comes behind them.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest.0
    }
}
