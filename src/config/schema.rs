//! The JSON Schema of the configuration and of a route map, for editors.
//!
//! Both come from the tables that reading itself uses, so they cannot drift. They are written in draft-07, the one that
//! every YAML language server takes. A schema knows nothing of other files: `postern check` finds more.

use serde_json::{Map, Value, json};

use crate::config::root::ROOT;
use crate::config::route::ROUTE;
use crate::config::route::condition::WHEN;
use crate::config::route_map::ROUTE_MAP;
use crate::config::shape::{Field, Format, Record, Shape, Standing};

/// The schema of `postern.yaml`.
pub fn document() -> Value {
    whole("Postern configuration", &ROOT)
}

/// The schema of a route map.
pub fn route_map() -> Value {
    whole("Postern route map", &ROUTE_MAP)
}

/// `${env:NAME}` and `${file:PATH}` may stand in any value, whatever its form.
const REFERENCE: &str = r"\$\{(env|file):[^}]+\}";

fn whole(title: &str, root: &'static Record) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!(title));
    schema.extend(record(root));
    schema.insert(
        "definitions".to_owned(),
        json!({ "reference": { "type": "string", "pattern": REFERENCE } }),
    );
    Value::Object(schema)
}

/// Fields that are not available yet are left out, and so are refused as unknown ones are.
fn record(record: &'static Record) -> Map<String, Value> {
    let available = || record.fields.iter().filter(|field| field.is_available());
    let properties: Map<String, Value> =
        available().map(|field| (field.name.to_owned(), property(field))).collect();
    let required: Vec<&str> = available()
        .filter(|field| field.standing == Standing::Required)
        .map(|field| field.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.extend(together(record));
    schema
}

/// What the fields of a record say of each other, as far as a schema can say it.
fn together(record: &'static Record) -> Map<String, Value> {
    let has = |field: &str| json!({ "required": [field] });
    let is =
        |field: &str| json!({ "required": [field], "properties": { field: { "const": true } } });
    let excludes = |field: &str, others: Vec<Value>| json!({ "if": is(field), "then": { "not": { "anyOf": others } } });
    let schema = if std::ptr::eq(record, &raw const ROUTE) {
        json!({
            "anyOf": [has("category"), has("requires"), is("public"), is("deny")],
            "allOf": [
                excludes("public", vec![has("category"), has("requires"), has("when"), is("deny")]),
                excludes("deny", ["category", "requires", "when", "max_body", "cost"].map(has).into_iter().chain([is("websocket")]).collect()),
            ],
        })
    } else if std::ptr::eq(record, &raw const WHEN) {
        json!({ "oneOf": [has("query"), has("header")] })
    } else {
        return Map::new();
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn property(field: &'static Field) -> Value {
    let default = field.default.map(|text| format!(" Default: {text}.")).unwrap_or_default();
    let mut schema = match shape(&field.shape) {
        Value::Object(schema) => schema,
        other => return other,
    };
    schema.insert("description".to_owned(), json!(format!("{}{default}", field.doc)));
    Value::Object(schema)
}

fn shape(of: &'static Shape) -> Value {
    match of {
        Shape::Format(format) | Shape::Private(format) => text(format),
        // A version of `1` is a number to editors and a word here.
        Shape::Choice { ready, .. } => {
            let numbers = ready.iter().filter_map(|word| word.parse::<u64>().ok()).map(Value::from);
            let words: Vec<Value> = ready.iter().map(|word| json!(word)).chain(numbers).collect();
            either(vec![json!({ "enum": words }), reference()])
        }
        Shape::WordOr(words, other) => either(vec![json!({ "enum": words }), shape(other)]),
        Shape::Truth => json!({ "type": "boolean" }),
        Shape::Count { least, most } => either(vec![
            json!({ "type": "integer", "minimum": least, "maximum": most }),
            reference(),
        ]),
        Shape::Duration { .. } => either(vec![
            json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
            reference(),
        ]),
        Shape::Size { .. } => either(vec![
            json!({ "type": "string", "pattern": "^[0-9]+([KMGT]i)?B$" }),
            json!({ "type": "integer", "minimum": 1 }),
            reference(),
        ]),
        Shape::Record(of) => Value::Object(record(of)),
        Shape::FilledMap(name, value) => map(name, value),
        Shape::List { of, may_be_empty } => {
            // Of what a request is held against, a word said twice is a mistake, and its reader refuses it.
            let distinct = matches!(of, Shape::Format(_) | Shape::Choice { .. }) && !may_be_empty;
            let least = u8::from(!may_be_empty);
            json!({ "type": "array", "items": shape(of), "minItems": least, "uniqueItems": distinct })
        }
        Shape::ByKind { scalar, list, mapping } => {
            either([scalar, list, mapping].into_iter().flatten().map(|of| shape(of)).collect())
        }
    }
}

fn text(format: &Format) -> Value {
    match format.pattern {
        Some(pattern) => either(vec![json!({ "type": "string", "pattern": pattern }), reference()]),
        None => json!({ "type": "string", "minLength": 1 }),
    }
}

fn map(name: &Format, value: &'static Shape) -> Value {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("minProperties".to_owned(), json!(1));
    if let Some(pattern) = name.pattern {
        schema.insert("propertyNames".to_owned(), json!({ "pattern": pattern }));
    }
    schema.insert("additionalProperties".to_owned(), shape(value));
    Value::Object(schema)
}

fn reference() -> Value {
    json!({ "$ref": "#/definitions/reference" })
}

/// One of several; a list of one is that one.
fn either(mut schemas: Vec<Value>) -> Value {
    match schemas.len() {
        1 => schemas.remove(0),
        _ => json!({ "anyOf": schemas }),
    }
}

#[cfg(test)]
mod tests {
    use jsonschema::Validator;

    use super::*;

    fn validator(schema: &Value) -> Validator {
        assert!(jsonschema::meta::is_valid(schema));
        jsonschema::validator_for(schema).unwrap()
    }

    fn yaml(text: &str) -> Value {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn the_shipped_examples_are_valid_for_an_independent_validator() {
        let configuration = validator(&document());
        let map = validator(&route_map());
        let valid = |validator: &Validator, text: &str| {
            let faults: Vec<String> = validator
                .iter_errors(&yaml(text))
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert_eq!(faults, [""; 0]);
        };
        valid(&configuration, include_str!("../../config/postern.yaml"));
        valid(&map, include_str!("../../config/routes/pracsuite.yaml"));
        valid(&map, include_str!("../../config/routes/dentally.yaml"));
        valid(&map, CONTRACT_MAP);
    }

    /// The route map of the contract, without what comes later.
    const CONTRACT_MAP: &str = include_str!("../../config/routes/example.yaml");

    #[test]
    fn broken_documents_are_not_valid() {
        let good = include_str!("../../config/postern.yaml");
        let configuration = validator(&document());
        for (written, broken) in [
            ("gateway: 127.0.0.1:8080", "gateway: localhost:8080"),
            ("workers: auto", "workers: 0"),
            ("workers: auto", "wokers: auto"),
            ("drain: 30s", "drain: 30 sec"),
            ("max_body: 100MiB", "max_body: 100MB"),
            ("preserve_host: false", "preserve_host: 'no'"),
            ("schemes: [headers]", "schemes: [barer]"),
            ("vendor_key: required", "vendor_key: never"),
            ("token_path: /oauth2/token", "token_path: /oauth2/"),
            ("store: embedded:./data", "store: ./data"),
            ("store: embedded:./data", "store: mongodb://a"),
            ("idle_expiry: off", "idle_expiry: never"),
            ("memory: 64KiB", "memory: 64KB"),
            ("url: http://127.0.0.1:9000", "url: http://127.0.0.1:9000/api"),
            ("mount: /v1", "mount: /v1/"),
            ("errors: problem", "errors: []"),
            ("mode: enforce", "key: { rate: 600/minute }"),
            ("mode: enforce", "key: { burst: 100 }"),
            ("mode: enforce", "category: { files: 60/min }"),
            ("mode: enforce", "mode: watch"),
            ("mode: enforce", "daily_quota: { bytes: 3GB }"),
            ("mode: enforce", "max_concurrent_per_key: 0"),
        ] {
            assert!(good.contains(written));
            assert!(!configuration.is_valid(&yaml(&good.replacen(written, broken, 1))), "{broken}");
        }
        let map = validator(&route_map());
        for broken in [
            "routes: [{ path: /v1/x, category: patient }]",
            "{ version: 2, routes: [{ path: /v1/x }] }",
            "{ version: 1, routes: [] }",
            "{ version: 1, routes: [{ path: v1/x, category: patient }] }",
            "{ version: 1, routes: [{ category: patient }] }",
            "{ version: 1, routes: [{ path: /v1/x, methods: [get] }] }",
            "{ version: 1, routes: [{ path: /v1/x, requires: { patient: all } }] }",
        ] {
            assert!(!map.is_valid(&yaml(broken)), "{broken}");
        }
        let route = |fields: &str| yaml(&format!("{{ version: 1, routes: [{{ {fields} }}] }}"));
        for broken in [
            "path: /v1/x",
            "path: /v1/x, public: false",
            "path: /v1/x, public: true, category: patient",
            "path: /v1/x, public: true, deny: true",
            "path: /v1/x, deny: true, requires: { patient: read }",
            "path: /v1/x, deny: true, max_body: 1MiB",
            "path: /v1/x, category: patient, cost: 0",
            "path: /v1/x, category: patient, cost: 1.5",
            "path: /v1/x, deny: true, websocket: true",
            "path: /v1/x, deny: true, cost: 5",
            "path: /v1/x, category: patient, methods: [GET, GET]",
            "path: /v1/**/x, category: patient",
            "path: /v1//x, category: patient",
            "path: '/v1/{a:float}', category: patient",
            "path: /v1/x, category: patient, when: [{ requires: { files: read } }]",
            "path: /v1/x, category: patient, when: [{ query: a, header: b, requires: { files: read } }]",
            "path: /v1/x, category: patient, when: [{ query: a, contains: 'b,c', requires: { files: read } }]",
        ] {
            assert!(!map.is_valid(&route(broken)), "{broken}");
        }
        for good in [
            "path: /, public: true",
            "path: /**, public: true",
            "path: /v1/x, category: patient, cost: 5",
            "path: /v1/x/, public: true, deny: false, max_body: 1MiB",
            "path: '/v1/{a:uuid}/$export/**', deny: true, methods: [GET, HEAD]",
            "path: '/v1/a%20b', requires: { patient: read }",
            "path: '${env:PREFIX}/x', category: '${env:CATEGORY}'",
        ] {
            assert!(map.is_valid(&route(good)), "{good}");
        }
        let with = |fields: &str| {
            assert!(good.contains("mode: enforce"));
            configuration.is_valid(&yaml(&good.replacen("mode: enforce", fields, 1)))
        };
        for good in [
            "mode: observe",
            "key: { rate: 600/min, burst: 100 }",
            "category: { billing.invoices: { rate: 5/10s } }",
            "daily_quota: { requests: 1, bytes: 3GiB }",
            "max_concurrent_per_key: 64",
        ] {
            assert!(with(good), "{good}");
        }
        assert!(!configuration.is_valid(&yaml(&format!("{good}\nregions: {{}}\n"))));
    }

    /// Every field of every table, however deep.
    fn each(record: &'static Record, seen: &mut dyn FnMut(&'static Field)) {
        for field in record.fields {
            seen(field);
            within(&field.shape, seen);
        }
    }

    fn within(shape: &'static Shape, seen: &mut dyn FnMut(&'static Field)) {
        match shape {
            Shape::Record(record) => each(record, seen),
            Shape::FilledMap(_, of) | Shape::List { of, .. } | Shape::WordOr(_, of) => {
                within(of, seen)
            }
            Shape::ByKind { scalar, list, mapping } => {
                [scalar, list, mapping].into_iter().flatten().for_each(|of| within(of, seen))
            }
            _ => {}
        }
    }

    #[test]
    fn every_sample_is_a_value_of_its_field() {
        let mut faults = Vec::new();
        let mut seen = |field: &'static Field| {
            let Some(sample) = field.sample else { return };
            let text = format!("{sample}\n");
            let node =
                crate::config::yaml::parse(&"sample".into(), text.as_bytes(), &mut faults).unwrap();
            let (_, value) = node.entry(field.name).unwrap();
            field.shape.check(value, &crate::config::shape::Trail::ROOT, &mut faults);
        };
        each(&ROOT, &mut seen);
        each(&ROUTE_MAP, &mut seen);
        assert_eq!(faults, []);
    }

    #[test]
    fn every_field_is_documented_and_every_default_is_a_value_of_its_field() {
        let mut count = 0;
        let mut faults = Vec::new();
        let mut seen = |field: &'static Field| {
            count += 1;
            assert!(field.doc.ends_with('.'), "{}", field.name);
            if let Some(default) = field.default {
                let node =
                    crate::config::yaml::parse(&"default".into(), default.as_bytes(), &mut faults)
                        .unwrap();
                field.shape.check(&node, &crate::config::shape::Trail::ROOT, &mut faults);
            }
        };
        each(&ROOT, &mut seen);
        each(&ROUTE_MAP, &mut seen);
        assert!(count > 90);
        assert_eq!(faults, []);
    }
}
