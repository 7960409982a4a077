//! Where in a configuration a value stands, and how its field may be written: what a fault says of it.

use std::fmt;

use crate::config::yaml::Key;
use crate::model::Place;

/// The way from the root to a value, for the words of a fault: `limits.key.rate`.
pub(in crate::config) struct Trail<'t> {
    pub(super) parent: Option<&'t Self>,
    pub(super) name: &'t str,
    /// Where the field is named; what it lacks is said there.
    pub(super) place: Option<&'t Place>,
    /// The field as it may be written.
    pub(super) sample: Option<&'static str>,
}

impl Trail<'_> {
    pub(in crate::config) const ROOT: Trail<'static> =
        Trail { parent: None, name: "", place: None, sample: None };

    pub(super) fn step<'t>(&'t self, key: &'t Key) -> Trail<'t> {
        Trail { parent: Some(self), name: &key.text, place: Some(&key.place), sample: None }
    }

    /// The remedy where the value is empty: only a field with a sample must not be left out.
    pub(super) fn filled(&self) -> String {
        match self.sample {
            Some(sample) => format!("write something such as `{sample}`"),
            None => "leave it out, or put something in".to_owned(),
        }
    }

    /// An item of a list has the name of the list and a place of its own.
    pub(super) fn item(&self) -> Trail<'_> {
        Trail { parent: self.parent, name: self.name, place: None, sample: None }
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent.filter(|parent| parent.parent.is_some()) {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}
