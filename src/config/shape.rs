//! What a value may look like, declared once: the checks, the hints and the JSON Schema all come from these tables.

use std::fmt;

use crate::config::fault::Fault;
use crate::config::value::{self, Wrong};
use crate::config::yaml::{Key, Kind, Meaning, Node, Scalar};

mod trail;

pub(super) use trail::Trail;

/// A mapping with known fields.
#[derive(Debug)]
pub(super) struct Record {
    /// One of these, as a fault calls it: `a route`.
    pub name: &'static str,
    pub fields: &'static [Field],
}

/// One field of a [`Record`].
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    /// One sentence for people; the schema shows it in editors.
    pub doc: &'static str,
    pub shape: Shape,
    /// As it would be written.
    pub default: Option<&'static str>,
    pub standing: Standing,
    /// The field as it may be written, for the remedy where it is missing or empty.
    pub sample: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Optional,
    Required,
    /// Its feature is not built yet: the field is refused, with this remedy, and never ignored.
    Later(&'static str),
}

#[derive(Debug)]
pub(super) enum Shape {
    Format(&'static Format),
    /// The same for a secret, which no fault shows.
    Private(&'static Format),
    Choice {
        ready: &'static [&'static str],
        later: &'static [&'static str],
    },
    /// One of these words, or the shape.
    WordOr(&'static [&'static str], &'static Self),
    Truth,
    Count {
        least: u64,
        most: u64,
    },
    Duration {
        least: &'static str,
        most: &'static str,
    },
    Size {
        least: &'static str,
        most: &'static str,
    },
    Record(&'static Record),
    /// Names to values, at least one; a name has a format of its own.
    FilledMap(&'static Format, &'static Self),
    /// At least one, unless `may_be_empty`.
    List {
        of: &'static Self,
        may_be_empty: bool,
    },
    /// By how it is written; at least one of the three.
    ByKind {
        scalar: Option<&'static Self>,
        list: Option<&'static Self>,
        mapping: Option<&'static Self>,
    },
}

/// A text with a form.
pub(super) struct Format {
    /// `an address such as 127.0.0.1:8080`.
    pub expected: &'static str,
    pub check: fn(&str) -> Result<(), Wrong>,
    /// For editors: an ECMA regular expression, nowhere stricter than `check`.
    pub pattern: Option<&'static str>,
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }
}

impl Field {
    pub(super) const fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, doc, shape, default: None, standing: Standing::Optional, sample: None }
    }

    #[must_use]
    pub(super) const fn required(self, sample: &'static str) -> Self {
        Self { standing: Standing::Required, ..self.sample(sample) }
    }

    #[must_use]
    pub(super) const fn sample(self, text: &'static str) -> Self {
        Self { sample: Some(text), ..self }
    }

    /// Whether it can be written in this version, which what has no part that can be written cannot either.
    pub(super) fn is_available(&self) -> bool {
        !matches!(self.standing, Standing::Later(_))
            && !matches!(self.shape, Shape::Record(record) if record.is_all_later())
    }

    #[must_use]
    pub(super) const fn default(self, text: &'static str) -> Self {
        Self { default: Some(text), ..self }
    }

    #[must_use]
    pub(super) const fn later(self, remedy: &'static str) -> Self {
        Self { standing: Standing::Later(remedy), ..self }
    }
}

/// A hint that names the nearest of the known words, if one is near.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<String> {
    nearest_word(word, known).map(did_you_mean)
}

fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

fn nearest_word<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    const NEAR: f64 = 0.6;
    // The work grows with the product of both lengths, and nobody mistypes a word as long as that.
    const LONGEST: usize = 128;
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let score = |name: &str| strsim::normalized_damerau_levenshtein(&lower, &name.to_lowercase());
    let best = known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (score(name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= NEAR).then_some(best.1)
}

impl Record {
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(super) fn check(&self, node: &Node, trail: &Trail<'_>, faults: &mut Vec<Fault>) {
        let Kind::Mapping(entries) = &node.kind else {
            faults.push(expected("a mapping", node, trail));
            return;
        };
        let mut has_later = false;
        let mut meant = Vec::new();
        for (key, value) in entries {
            let Some(field) = self.field(&key.text) else {
                let message =
                    format!("unknown field `{}` in {}", key.text.escape_debug(), self.name);
                let near = nearest_word(&key.text, self.fields.iter().map(|field| field.name));
                meant.extend(near);
                let hint = near.map_or_else(|| self.known(), did_you_mean);
                faults.push(Fault::new(key.place.clone(), message).hint(hint));
                continue;
            };
            let trail = Trail { sample: field.sample, ..trail.step(key) };
            if let Standing::Later(remedy) = field.standing {
                has_later = true;
                let message = format!("`{trail}` is not available yet");
                faults.push(Fault::new(key.place.clone(), message).hint(remedy));
                // An empty part is refused with that already.
                if matches!(&value.kind, Kind::Mapping(entries) if entries.is_empty()) {
                    continue;
                }
            }
            if value.is_nothing() {
                faults.push(
                    Fault::new(value.place.clone(), format!("`{trail}` has no value"))
                        .hint("give it one, or leave the field out"),
                );
            } else {
                field.shape.check(value, &trail, faults);
            }
        }
        let missing = self.fields.iter().filter(|field| {
            field.standing == Standing::Required
                && node.entry(field.name).is_none()
                && !meant.contains(&field.name)
        });
        // A part that waits for a later version is to be rewritten as a whole; what it lacks would only distract.
        let place = trail.place.unwrap_or(&node.place);
        for field in missing.filter(|_| !has_later) {
            let message = format!("{} has no `{}`", self.name, field.name);
            let fault = Fault::new(place.clone(), message);
            faults.push(match field.sample {
                Some(sample) => fault.hint(format!("add `{sample}`")),
                None => fault.hint("add it"),
            });
        }
        if self.is_all_later() && entries.is_empty() {
            faults.push(
                Fault::new(node.place.clone(), format!("`{trail}` is not available yet"))
                    .hint("leave it out"),
            );
        }
    }

    /// The names of its fields and of all within them.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let within = |field: &'static Field| field.shape.names().into_iter().chain([field.name]);
        self.fields.iter().flat_map(within).collect()
    }

    fn is_all_later(&self) -> bool {
        self.fields.iter().all(|field| matches!(field.standing, Standing::Later(_)))
    }

    fn known(&self) -> String {
        let ready = self.fields.iter().filter(|field| field.is_available());
        let names: Vec<&str> = ready.map(|field| field.name).collect();
        if names.is_empty() {
            "leave it out".to_owned()
        } else {
            format!("known are {}", names.join(", "))
        }
    }
}

impl Shape {
    pub(super) fn check(&self, node: &Node, trail: &Trail<'_>, faults: &mut Vec<Fault>) {
        match (self, &node.kind) {
            (Self::Record(record), _) => record.check(node, trail, faults),
            (Self::FilledMap(name, shape), Kind::Mapping(entries)) => {
                check_map(name, shape, entries, trail, faults);
                if entries.is_empty() {
                    let fault = Fault::new(node.place.clone(), format!("`{trail}` is empty"));
                    faults.push(fault.hint(trail.filled()));
                }
            }
            (Self::List { of, may_be_empty }, Kind::Sequence(items)) => {
                items.iter().for_each(|item| of.check(item, &trail.item(), faults));
                if items.is_empty() && !may_be_empty {
                    let fault =
                        Fault::new(node.place.clone(), format!("`{trail}` is an empty list"));
                    faults.push(fault.hint(trail.filled()));
                }
            }
            (Self::ByKind { scalar: Some(shape), .. }, Kind::Scalar(_))
            | (Self::ByKind { list: Some(shape), .. }, Kind::Sequence(_))
            | (Self::ByKind { mapping: Some(shape), .. }, Kind::Mapping(_)) => {
                shape.check(node, trail, faults)
            }
            (Self::WordOr(_, shape), Kind::Sequence(_) | Kind::Mapping(_)) => {
                shape.check(node, trail, faults)
            }
            (_, Kind::Scalar(scalar)) if !self.is_made_of_parts() => {
                faults.extend(self.check_scalar(node, scalar, trail));
            }
            _ => faults.push(expected(&self.expected(), node, trail)),
        }
    }

    /// The words that are its values, and the names of fields within it.
    fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Record(record) => record.names(),
            Self::FilledMap(_, of) | Self::List { of, .. } => of.names(),
            Self::WordOr(words, of) => [words, of.names().as_slice()].concat(),
            Self::Choice { ready, later } => [*ready, *later].concat(),
            Self::ByKind { scalar, list, mapping } => {
                [scalar, list, mapping].into_iter().flatten().flat_map(|of| of.names()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn is_made_of_parts(&self) -> bool {
        matches!(
            self,
            Self::Record(_) | Self::FilledMap(..) | Self::List { .. } | Self::ByKind { .. }
        )
    }

    fn check_scalar(&self, node: &Node, scalar: &Scalar, trail: &Trail<'_>) -> Option<Fault> {
        // What could not be put in was said where it is named.
        if scalar.is_lost() {
            return None;
        }
        let what = || self.expected();
        match self.judge(scalar).err()? {
            Misfit::Later => {
                let message = format!("{} for `{trail}` is not available yet", scalar.shown());
                Some(Fault::new(node.place.clone(), message).hint(self.choices()))
            }
            Misfit::Wrong(_) if scalar.secret || matches!(self, Self::Private(_)) => {
                Some(misfit_hidden(node, trail, &what()))
            }
            Misfit::Wrong(wrong) => Some(misfit(node, scalar, trail, &what(), wrong)),
        }
    }

    fn judge(&self, scalar: &Scalar) -> Result<(), Misfit> {
        let text = scalar.text.as_str();
        match self {
            Self::WordOr(words, _) if words.contains(&text) => Ok(()),
            Self::WordOr(words, shape) => shape.judge(scalar).map_err(|misfit| match misfit {
                Misfit::Wrong(Wrong { why, hint: None }) => {
                    Misfit::Wrong(Wrong { why, hint: nearest(text, words.iter().copied()) })
                }
                Misfit::Wrong(_) | Misfit::Later => misfit,
            }),
            Self::Format(format) | Self::Private(format) => {
                (format.check)(text)?;
                match scalar.meaning() {
                    Meaning::Text => Ok(()),
                    _ => Err(Wrong::default().hint("put it in quotes").into()),
                }
            }
            Self::Choice { ready, .. } if ready.contains(&text) => Ok(()),
            Self::Choice { later, .. } if later.contains(&text) => Err(Misfit::Later),
            Self::Choice { ready, later } => {
                let hint = nearest(text, ready.iter().chain(*later).copied());
                Err(Wrong::default().hint(hint.unwrap_or_else(|| self.choices())).into())
            }
            Self::Truth => match scalar.meaning() {
                Meaning::Truth(_) => Ok(()),
                _ => Err(meant_truth(text).into()),
            },
            Self::Count { least, most } => {
                let count = value::count(text)?;
                if !scalar.plain && !scalar.secret {
                    return Err(Wrong::default().hint("leave the quotes out").into());
                }
                within(count, *least, *most, &format!("{least} to {most}"))
            }
            Self::Duration { least, most } => {
                let bound = |text| value::duration(text).unwrap_or_default();
                let range = format!("{least} to {most}");
                within(value::duration(text)?, bound(least), bound(most), &range)
            }
            Self::Size { least, most } => {
                let bound = |text| value::size(text).unwrap_or_default();
                within(value::size(text)?, bound(least), bound(most), &format!("{least} to {most}"))
            }
            Self::Record(_) | Self::FilledMap(..) | Self::List { .. } | Self::ByKind { .. } => {
                Ok(())
            }
        }
    }

    fn choices(&self) -> String {
        match self {
            Self::Choice { ready: [only], .. } => format!("write `{only}`"),
            Self::Choice { ready, .. } => format!("take one of {}", ready.join(", ")),
            _ => String::new(),
        }
    }

    /// As a fault calls it.
    fn expected(&self) -> String {
        match self {
            Self::Format(format) | Self::Private(format) => format.expected.to_owned(),
            Self::Choice { ready, later } => match [*ready, *later].concat().as_slice() {
                [only] => format!("`{only}`"),
                words => format!("one of {}", words.join(", ")),
            },
            Self::WordOr(words, shape) => format!("{}, or {}", words.join(", "), shape.expected()),
            Self::Truth => "true or false".to_owned(),
            Self::Count { .. } => "a whole number".to_owned(),
            Self::Duration { .. } => "a duration such as 30s".to_owned(),
            Self::Size { .. } => "a size such as 64KiB".to_owned(),
            Self::Record(_) | Self::FilledMap(..) => "a mapping".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::ByKind { scalar, list, mapping } => {
                let parts = [scalar, list, mapping];
                let words: Vec<String> =
                    parts.into_iter().flatten().map(|shape| shape.expected()).collect();
                words.join(" or ")
            }
        }
    }
}

fn check_map(
    name: &Format,
    shape: &Shape,
    entries: &[(Key, Node)],
    trail: &Trail<'_>,
    faults: &mut Vec<Fault>,
) {
    for (key, value) in entries {
        if let Err(wrong) = (name.check)(&key.text) {
            let why = wrong.why.map(|why| format!(": {why}")).unwrap_or_default();
            let message =
                format!("`{}` in `{trail}` is not {}{why}", key.text.escape_debug(), name.expected);
            let fault = Fault::new(key.place.clone(), message);
            faults.push(if let Some(hint) = wrong.hint { fault.hint(hint) } else { fault });
        }
        let trail = trail.step(key);
        if value.is_nothing() {
            faults.push(Fault::new(value.place.clone(), format!("`{trail}` has no value")));
        } else {
            shape.check(value, &trail, faults);
        }
    }
}

/// A fault about a value of another kind than its field takes.
fn expected(what: &str, node: &Node, trail: &Trail<'_>) -> Fault {
    let field = trail.to_string();
    let field = if field.is_empty() { String::new() } else { format!("`{field}`: ") };
    Fault::new(node.place.clone(), format!("{field}expected {what}, found {}", node.found()))
}

/// Why a scalar is not what its field takes.
enum Misfit {
    Wrong(Wrong),
    /// It is known, and its feature is not built yet.
    Later,
}

impl From<Wrong> for Misfit {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

fn within<T: PartialOrd + Copy>(value: T, least: T, most: T, range: &str) -> Result<(), Misfit> {
    if value < least || value > most {
        return Err(Wrong::because("it is out of range")
            .hint(format!("take one from {range}"))
            .into());
    }
    Ok(())
}

/// A fault about a secret: neither the reason nor the remedy may repeat it.
fn misfit_hidden(node: &Node, trail: &Trail<'_>, what: &str) -> Fault {
    let message = format!("`{trail}`: expected {what}, found something else");
    Fault::new(node.place.clone(), message)
        .hint("the value is not shown, because it may be a secret")
}

/// A fault about a scalar that is not what its field takes.
fn misfit(node: &Node, scalar: &Scalar, trail: &Trail<'_>, what: &str, wrong: Wrong) -> Fault {
    let why = wrong.why.map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("`{trail}`: expected {what}, found {}{why}", scalar.shown());
    let fault = Fault::new(node.place.clone(), message);
    if let Some(hint) = wrong.hint { fault.hint(hint) } else { fault }
}

fn meant_truth(text: &str) -> Wrong {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "1" | "true" => Wrong::default().hint("write true"),
        "no" | "off" | "n" | "0" | "false" => Wrong::default().hint("write false"),
        _ => Wrong::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_looked_for_of_words_alone() {
        let word = "a".repeat(127);
        assert!(nearest(&word, [&*format!("{word}b")]).is_some());
        assert_eq!(nearest(&format!("{word}aa"), [&*word]), None, "whatever was pasted there");
        assert_eq!(nearest(&word, [&*format!("{word}aa")]), None);
    }
}
