//! One JSON object in which no name stands twice, read field by field.
//!
//! Two readers take different ones of two fields with the same name, so such an object has no meaning here.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::config::nearest;
use crate::model::{Misnamed, Timestamp};

/// The longest part of a line that a fault repeats.
const SHOWN_CHARS_MAX: usize = 60;
/// As many faults are told of one line by itself, and of its unknown fields.
const FAULTS_MAX: usize = 100;

/// Fields that are taken one after the other, and the faults that were found on the way.
pub(super) struct Object {
    fields: Map<String, Value>,
    faults: Vec<String>,
}

impl Object {
    /// Where the text is no such object, why.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = Unrepeated
            .deserialize(&mut reader)
            .and_then(|value| reader.end().map(|()| value))
            // Of a line, only the column says something; the message of a wrong type could show a value.
            .map_err(|error| match error.classify() {
                serde_json::error::Category::Data => message_of(&error),
                _ => format!("not JSON at column {}", error.column()),
            })?;
        match value {
            Value::Object(fields) => Ok(Self { fields, faults: Vec::new() }),
            _ => Err("expected one JSON object, such as {\"kind\":\"practice\",…}".to_owned()),
        }
    }

    /// What was read, if nothing was wrong with it; fields that nobody took are not known.
    pub(super) fn judge<T>(
        self,
        kind: &str,
        known: &[&str],
        read: Option<T>,
    ) -> Result<T, Vec<String>> {
        let mut faults = self.faults;
        let unknown = self.fields.keys().filter(|name| !known.contains(&name.as_str()));
        for name in unknown.take(FAULTS_MAX) {
            let hint = nearest(name, known.iter().copied())
                .unwrap_or_else(|| format!("known are {}", known.join(", ")));
            faults.push(format!("unknown field `{}` in a {kind}; {hint}", shown(name)));
        }
        match read {
            Some(read) if faults.is_empty() => Ok(read),
            _ => Err(faults),
        }
    }

    pub(super) fn fault(&mut self, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(message.into());
        }
    }

    /// `null` is as good as nothing.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        // In its place stays what tells that the field was known.
        self.fields.get_mut(name).map(Value::take).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.fault(format!("`{name}` must be a text"));
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, name: &str) -> Option<String> {
        let is_there = self.fields.get(name).is_some_and(|value| !value.is_null());
        if !is_there {
            self.fault(format!("`{name}` is missing"));
        }
        self.text(name)
    }

    pub(super) fn truth(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        if !value.is_boolean() {
            self.fault(format!("`{name}` must be true or false"));
        }
        value.as_bool()
    }

    pub(super) fn moment(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let moment = Timestamp::parse(&text);
        if moment.is_none() {
            self.fault(format!("`{name}` must be a time such as 2027-01-31T08:00:00Z"));
        }
        moment
    }

    pub(super) fn named<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Misnamed>,
    ) -> Option<T> {
        let text = self.text(name)?;
        self.parsed(name, &text, parse)
    }

    pub(super) fn required_name<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Misnamed>,
    ) -> Option<T> {
        let text = self.required_text(name)?;
        self.parsed(name, &text, parse)
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, Misnamed>,
    ) -> Option<T> {
        let parsed = parse(text);
        if let Err(expected) = &parsed {
            self.fault(format!("`{name}` must be {expected}, not `{}`", shown(text)));
        }
        parsed.ok()
    }
}

/// A part of a line as a fault repeats it.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{}{more}", start.escape_debug())
}

/// Our own words, without the place that serde adds.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

/// Any value, if no object in it has a name twice.
struct Unrepeated;

impl<'de> DeserializeSeed<'de> for Unrepeated {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unrepeated {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("`{}` stands in it twice", shown(&name))));
            }
            fields.insert(name, entries.next_value_seed(Self)?);
        }
        Ok(fields.into())
    }
}
