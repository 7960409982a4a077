//! What answers are made of: the tables behind the schemas of the OpenAPI document.
//!
//! Handlers write their objects by hand, so every answer of the tests is held against these tables.

use serde_json::{Map, Value, json};

/// The fields of one kind of object.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// Each with a remark, where the name does not say it all.
    pub(super) fields: &'static [(&'static str, Out, &'static str)],
}

/// What a field of an answer is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Out {
    Text,
    Time,
    Flag,
    Whole,
    /// Zero or more, with a fraction.
    Number,
    Choice(&'static [&'static str]),
    /// Or null.
    Maybe(&'static Self),
    List(&'static Self),
    /// Every value of an object.
    Map(&'static Self),
    Of(&'static Shape),
    /// Not in every answer.
    Sometimes(&'static Self),
    Anything,
}

impl Out {
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Whole => json!({ "type": "integer", "minimum": 0 }),
            Self::Number => json!({ "type": "number", "minimum": 0 }),
            Self::Choice(words) => json!({ "type": "string", "enum": words }),
            Self::Maybe(out) => json!({ "anyOf": [out.schema(), { "type": "null" }] }),
            Self::List(out) => json!({ "type": "array", "items": out.schema() }),
            Self::Map(out) => json!({ "type": "object", "additionalProperties": out.schema() }),
            Self::Of(shape) => {
                json!({ "$ref": format!("#/components/schemas/{}", shape.name) })
            }
            Self::Sometimes(out) => out.schema(),
            Self::Anything => json!({}),
        }
    }

    /// The objects that its schema points to.
    fn shapes(self, found: &mut Vec<&'static Shape>) {
        match self {
            Self::Maybe(out) | Self::List(out) | Self::Map(out) | Self::Sometimes(out) => {
                out.shapes(found);
            }
            Self::Of(shape) => shape.gather(found),
            Self::Text
            | Self::Time
            | Self::Flag
            | Self::Whole
            | Self::Choice(_)
            | Self::Number
            | Self::Anything => {}
        }
    }
}

impl Shape {
    pub(super) fn schema(&self) -> Value {
        let property = |(name, out, about): &(&str, Out, &str)| {
            let mut schema = out.schema();
            if let (false, Some(map)) = (about.is_empty(), schema.as_object_mut()) {
                map.insert("description".to_owned(), Value::from(*about));
            }
            ((*name).to_owned(), schema)
        };
        let always = self.fields.iter().filter(|(_, out, _)| !matches!(out, Out::Sometimes(_)));
        json!({
            "type": "object",
            "properties": self.fields.iter().map(property).collect::<Map<_, _>>(),
            "required": always.map(|(name, ..)| *name).collect::<Vec<_>>(),
            "additionalProperties": false,
        })
    }

    /// This one and all that it points to, each once.
    pub(super) fn gather(&'static self, found: &mut Vec<&'static Self>) {
        if found.iter().any(|known| known.name == self.name) {
            return;
        }
        found.push(self);
        self.fields.iter().for_each(|(_, out, _)| out.shapes(found));
    }
}
