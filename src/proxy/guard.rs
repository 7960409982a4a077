//! Strict reading of the wire, beside hyper's own: what is not exactly HTTP is refused, never repaired.
//!
//! hyper takes bare line feeds, fragments and lists of codings, and drops some of them without a trace, so the bytes are
//! looked at here before hyper has them. [`h1`] and [`h2`] are pure state machines; [`io`] lets them see what is read.

pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod io;

use std::fmt;

use crate::model::Refusal;

/// What is wrong with a head of HTTP/1 that hyper may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// `#` in the request target.
    Fragment,
    TargetTooLong,
    HeadTooLarge,
    /// The text says what.
    Malformed(&'static str),
}

impl Flaw {
    pub(crate) fn refusal(self, max_target: usize) -> Refusal {
        match self {
            Self::Fragment => {
                Refusal::AmbiguousPath("it has a fragment, which no request may carry")
            }
            Self::TargetTooLong => Refusal::TargetTooLong { limit: max_target },
            Self::HeadTooLarge => Refusal::HeadersTooLarge,
            Self::Malformed(what) => Refusal::MalformedRequest(what),
        }
    }
}

/// The connection cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poisoned(pub(crate) &'static str);

impl fmt::Display for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Poisoned {}
