//! The plaintext of a key, in a type of its own: never printed, wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A key as its holder sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainKey(Zeroizing<String>);

impl PlainKey {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself. Named so that every use is easy to find.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        assert_eq!(format!("{:?}", PlainKey::new("hunter2".into())), "PlainKey(…)");
    }
}
