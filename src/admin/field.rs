//! The fields of requests: one table for reading them, for the faults that name them, and for the OpenAPI document.
//!
//! A [`Record`] lists its fields; [`Record::read`] looks at all of them and gives back every fault at once, or a
//! [`Given`], out of which each field is taken with the very constant that described it, and so with its type. A query
//! string is a record, too, whose values are all texts.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::admin::problem::Problem;
use crate::registry::operation::{FieldFault, Patch};

pub(super) mod kind;

/// Why a value is not of a kind: where within it (empty for the whole), and what was expected.
pub(super) type Wrong = Vec<(String, String)>;

/// What a value may be, and how it is described.
#[derive(Debug)]
pub(super) struct Kind<T> {
    pub(super) read: fn(&Value) -> Result<T, Wrong>,
    /// JSON Schema.
    pub(super) schema: fn() -> Value,
}

/// Whether a field must be there, and what `null` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    /// Left out or null: none.
    Optional,
    /// May be left out, and is never null.
    Kept,
}

#[derive(Debug)]
pub(super) struct Field<T: 'static> {
    name: &'static str,
    kind: &'static Kind<T>,
    presence: Presence,
    about: &'static str,
}

impl<T> Field<T> {
    const fn new(
        name: &'static str,
        kind: &'static Kind<T>,
        presence: Presence,
        about: &'static str,
    ) -> Self {
        Self { name, kind, presence, about }
    }

    pub(super) const fn required(
        name: &'static str,
        kind: &'static Kind<T>,
        about: &'static str,
    ) -> Self {
        Self::new(name, kind, Presence::Required, about)
    }

    pub(super) const fn optional(
        name: &'static str,
        kind: &'static Kind<T>,
        about: &'static str,
    ) -> Self {
        Self::new(name, kind, Presence::Optional, about)
    }

    pub(super) const fn kept(
        name: &'static str,
        kind: &'static Kind<T>,
        about: &'static str,
    ) -> Self {
        Self::new(name, kind, Presence::Kept, about)
    }
}

/// A field of whatever type, as a record lists it.
pub(super) trait AnyField: Sync {
    fn name(&self) -> &'static str;
    fn presence(&self) -> Presence;
    fn schema(&self) -> Value;
    fn about(&self) -> &'static str;
    fn faults(&self, value: &Value) -> Wrong;
    /// Why it is never taken, where that is more than that nobody knows it.
    fn refusal(&self) -> Option<&'static str> {
        None
    }
}

/// What another body takes and this one never does, and why.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) &'static str, pub(super) &'static str);

impl AnyField for Fixed {
    fn name(&self) -> &'static str {
        self.0
    }

    fn presence(&self) -> Presence {
        Presence::Kept
    }

    fn schema(&self) -> Value {
        Value::Bool(false)
    }

    fn about(&self) -> &'static str {
        self.1
    }

    fn faults(&self, _: &Value) -> Wrong {
        vec![(String::new(), self.1.to_owned())]
    }

    fn refusal(&self) -> Option<&'static str> {
        Some(self.1)
    }
}

impl<T> AnyField for Field<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn presence(&self) -> Presence {
        self.presence
    }

    fn schema(&self) -> Value {
        (self.kind.schema)()
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn faults(&self, value: &Value) -> Wrong {
        (self.kind.read)(value).err().unwrap_or_default()
    }
}

/// The fields of one body or one query string.
pub(super) struct Record {
    pub(super) name: &'static str,
    pub(super) fields: &'static [&'static dyn AnyField],
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({})", self.name)
    }
}

/// Fields that were all found well formed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Given(Map<String, Value>);

impl Record {
    /// Nothing may be given.
    pub(super) const NONE: Self = Self { name: "", fields: &[] };

    pub(super) fn read(&self, value: Value) -> Result<Given, Problem> {
        let Value::Object(map) = value else {
            return Err(Problem::invalid_field("", "the body must be an object"));
        };
        let mut faults = Vec::new();
        for (name, value) in &map {
            match self.fields.iter().find(|field| field.name() == name) {
                Some(field) => match field.refusal() {
                    Some(why) => faults.push(fault(name, why)),
                    None => faults.extend(check(*field, value)),
                },
                None => faults.push(self.unknown(name)),
            }
        }
        let missing = |field: &&&dyn AnyField| {
            field.presence() == Presence::Required && !map.contains_key(field.name())
        };
        let missing = self.fields.iter().filter(missing);
        faults.extend(missing.map(|field| fault(field.name(), "is required")));
        if faults.is_empty() { Ok(Given(map)) } else { Err(Problem::invalid(&faults)) }
    }

    /// A query string: each name once.
    pub(super) fn read_query(&self, query: &str) -> Result<Given, Problem> {
        let mut map = Map::new();
        let mut twice = HashSet::new();
        for (name, text) in form(query) {
            if map.insert(name.clone(), Value::String(text)).is_some() {
                twice.insert(name);
            }
        }
        if twice.is_empty() {
            return self.read(Value::Object(map));
        }
        let faults: Vec<_> = twice.iter().map(|name| fault(name, "is there twice")).collect();
        Err(Problem::invalid(&faults))
    }

    fn taken(&self) -> impl Iterator<Item = &'static dyn AnyField> {
        self.fields.iter().copied().filter(|field| field.refusal().is_none())
    }

    fn unknown(&self, name: &str) -> FieldFault {
        let known: Vec<&str> = self.taken().map(|field| field.name()).collect();
        let score = |known: &str| strsim::normalized_damerau_levenshtein(name, known);
        let near = known.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)));
        let message = match near.filter(|near| score(near) >= 0.6) {
            Some(near) => format!("is unknown here; did you mean `{near}`?"),
            None if known.is_empty() => "is unknown here; nothing is taken".to_owned(),
            None => format!("is unknown here; there are {}", known.join(", ")),
        };
        let shown: String = name.chars().take(64).collect();
        FieldFault { field: shown, message }
    }

    /// As a JSON Schema.
    pub(super) fn schema(&self) -> Value {
        let property = |field: &'static dyn AnyField| {
            let mut schema = field.schema();
            if field.presence() == Presence::Optional {
                schema = json!({ "anyOf": [schema, { "type": "null" }] });
            }
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".to_owned(), Value::from(field.about()));
            }
            (field.name().to_owned(), schema)
        };
        let required = self.fields.iter().filter(|field| field.presence() == Presence::Required);
        json!({
            "type": "object",
            "properties": self.taken().map(property).collect::<Map<_, _>>(),
            "required": required.map(|field| field.name()).collect::<Vec<_>>(),
            "additionalProperties": false,
        })
    }
}

fn fault(field: &str, message: &str) -> FieldFault {
    FieldFault { field: field.chars().take(64).collect(), message: message.to_owned() }
}

fn check(field: &dyn AnyField, value: &Value) -> Vec<FieldFault> {
    if value.is_null() {
        return match field.presence() {
            Presence::Optional => Vec::new(),
            Presence::Required => vec![fault(field.name(), "is required")],
            Presence::Kept => {
                vec![fault(field.name(), "cannot be emptied: give a value or leave it out")]
            }
        };
    }
    let named = |(within, message): (String, String)| FieldFault {
        field: format!("{}{within}", field.name()),
        message,
    };
    field.faults(value).into_iter().map(named).collect()
}

impl Given {
    /// The value of a field; None where it was left out or is null.
    pub(super) fn get<T>(&self, field: &Field<T>) -> Option<T> {
        self.0.get(field.name).and_then(|value| (field.kind.read)(value).ok())
    }

    /// The value of a field that its record requires.
    pub(super) fn must<T>(&self, field: &Field<T>) -> Result<T, Problem> {
        self.get(field).ok_or_else(|| Problem::invalid_field(field.name, "is required"))
    }

    pub(super) fn patch<T>(&self, field: &Field<T>) -> Patch<T> {
        match self.0.get(field.name) {
            None => Patch::Keep,
            Some(value) => (field.kind.read)(value).map_or(Patch::Clear, Patch::Set),
        }
    }

    /// The names that were given.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The pairs of `application/x-www-form-urlencoded`, decoded; what is not UTF-8 is replaced.
pub(super) fn form(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let digits = after.first_chunk::<2>().filter(|_| *first == b'%');
        match digits.and_then(|[high, low]| crate::model::hex::byte(*high, *low)) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => bytes.push(if *first == b'+' { b' ' } else { *first }),
        }
    }
    // What is decoded may be a password: no copy of it stays behind.
    String::from_utf8(bytes).unwrap_or_else(|odd| {
        let bytes = Zeroizing::new(odd.into_bytes());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests;
