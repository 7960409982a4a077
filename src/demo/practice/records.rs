//! Collections of records in memory.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The most records a collection keeps: a demo that is left running must not grow for ever.
const MOST: usize = 1_000;

/// Every collection by its name in the path.
#[derive(Debug, Default)]
pub(super) struct Records {
    collections: BTreeMap<&'static str, Collection>,
    made: u64,
}

#[derive(Debug, Default)]
struct Collection {
    /// What ids begin with: `appt` in `appt-1`.
    prefix: &'static str,
    items: Vec<Value>,
}

impl Records {
    /// Adds a collection; its items get ids from 1.
    pub(super) fn with(
        mut self,
        name: &'static str,
        prefix: &'static str,
        items: impl IntoIterator<Item = Value>,
    ) -> Self {
        let numbered = (1..).zip(items).map(|(number, item)| identified(prefix, number, item));
        let items: Vec<Value> = numbered.collect();
        self.made = self.made.max(u64::try_from(items.len()).unwrap_or_default());
        self.collections.insert(name, Collection { prefix, items });
        self
    }

    pub(super) fn has(&self, collection: &str) -> bool {
        self.collections.contains_key(collection)
    }

    fn items(&self, collection: &str) -> &[Value] {
        self.collections.get(collection).map_or(&[], |collection| &collection.items)
    }

    /// All of a collection; patients with their clinical notes, if asked.
    pub(super) fn list(&self, collection: &str, with_notes: bool) -> Vec<Value> {
        let mut items = self.items(collection).to_vec();
        if with_notes && collection == "patients" {
            for patient in &mut items {
                let of_patient = |note: &&Value| note.get("patient") == patient.get("id");
                let notes: Vec<_> =
                    self.items("notes").iter().filter(of_patient).cloned().collect();
                set(patient, "notes", Value::from(notes));
            }
        }
        items
    }

    pub(super) fn one(&self, collection: &str, id: &str) -> Option<Value> {
        self.items(collection).iter().find(|item| is(item, id)).cloned()
    }

    /// Patients whose name contains the text, in any case.
    pub(super) fn search(&self, name: &str) -> Vec<Value> {
        let wanted = name.to_lowercase();
        let matches = |item: &&Value| {
            let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
            name.to_lowercase().contains(&wanted)
        };
        self.items("patients").iter().filter(matches).cloned().collect()
    }

    /// Adds a record; the oldest one makes place in a collection that is full.
    pub(super) fn create(&mut self, collection: &str, fields: Value, by: &str) -> Value {
        self.made += 1;
        let Some(collection) = self.collections.get_mut(collection) else { return Value::Null };
        let mut record = identified(collection.prefix, self.made, fields);
        set(&mut record, "created_by", by.into());
        if collection.items.len() >= MOST {
            collection.items.remove(0);
        }
        collection.items.push(record.clone());
        record
    }

    pub(super) fn change(
        &mut self,
        collection: &str,
        id: &str,
        fields: Value,
        by: &str,
    ) -> Option<Value> {
        let items = &mut self.collections.get_mut(collection)?.items;
        let record = items.iter_mut().find(|item| is(item, id))?;
        if let Value::Object(fields) = fields {
            for (name, value) in fields.into_iter().filter(|(name, _)| name != "id") {
                set(record, &name, value);
            }
        }
        set(record, "changed_by", by.into());
        Some(record.clone())
    }

    pub(super) fn remove(&mut self, collection: &str, id: &str) -> Option<Value> {
        let items = &mut self.collections.get_mut(collection)?.items;
        let position = items.iter().position(|item| is(item, id))?;
        Some(items.remove(position))
    }
}

fn is(item: &Value, id: &str) -> bool {
    item.get("id").and_then(Value::as_str) == Some(id)
}

/// The record with its id in front.
fn identified(prefix: &str, number: u64, fields: Value) -> Value {
    let mut record = json!({ "id": format!("{prefix}-{number}") });
    if let Value::Object(fields) = fields {
        for (name, value) in fields.into_iter().filter(|(name, _)| name != "id") {
            set(&mut record, &name, value);
        }
    }
    record
}

fn set(record: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = record {
        fields.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::practice::people;

    #[test]
    fn what_is_written_is_there_and_what_is_removed_is_not() {
        let mut records = people::records();
        let made = records.create("appointments", json!({ "id": "x", "reason": "Flu" }), "mia");
        let id = made["id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("appt-") && made["created_by"] == "mia", "{made}");
        let changed = records.change("appointments", &id, json!({ "reason": "Cough" }), "sam");
        assert_eq!(changed.unwrap()["reason"], "Cough");
        assert_eq!(records.one("appointments", &id).unwrap()["changed_by"], "sam");
        assert!(records.remove("appointments", &id).is_some());
        assert_eq!(records.one("appointments", &id), None);
    }

    #[test]
    fn a_search_finds_parts_of_names_in_any_case() {
        let found = people::records().search("WIL");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["name"], "Noah Williams");
    }

    #[test]
    fn notes_come_with_patients_only_when_asked() {
        let records = people::records();
        assert!(records.list("patients", false).iter().all(|one| one.get("notes").is_none()));
        let with = records.list("patients", true);
        assert!(with.iter().any(|one| !one["notes"].as_array().unwrap().is_empty()));
    }

    #[test]
    fn a_collection_stays_bounded() {
        let mut records = people::records();
        for _ in 0..=MOST {
            records.create("contacts", json!({}), "a loop");
        }
        assert_eq!(records.list("contacts", false).len(), MOST);
    }
}
