//! Requests made up from the OpenAPI document, as schemathesis does: good ones, ones a little wrong, and nonsense. None
//! may cause a 500, and every answer is one that the document describes, down to its fields.

use serde_json::{Map, Value, json};

use super::support::admin::{Client, Office};

const ROUNDS: usize = 40;

/// A seeded source of choices, so that a failure can be had again.
struct Dice(fastrand::Rng);

const ODD: [&str; 14] = [
    "",
    " ",
    "\u{0}",
    "a\nb",
    "null",
    "-1",
    "é",
    "\u{202e}x",
    "../..",
    "%2e%2e",
    "' OR 1=1 --",
    "<script>",
    "=cmd|'/c calc'!A1",
    "\u{1f469}\u{200d}\u{1f52c}",
];

impl Dice {
    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.0.usize(..of.len())]
    }

    fn chance(&mut self, in_a_hundred: u32) -> bool {
        self.0.u32(..100) < in_a_hundred
    }

    fn nonsense(&mut self) -> Value {
        match self.0.u32(..10) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(1.5),
            4 => json!(u64::MAX),
            5 => json!([]),
            6 => json!({}),
            7 => json!([[[[1]]]]),
            8 => json!("x".repeat(self.0.usize(..3000))),
            _ => json!(*self.one(&ODD)),
        }
    }

    /// A value of a schema, or now and then of none.
    fn value(&mut self, schema: &Value, wrong: u32) -> Value {
        if self.chance(wrong) {
            return self.nonsense();
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let chosen = self.one(choices).clone();
            return self.value(&chosen, wrong);
        }
        if let Some(words) = schema["enum"].as_array() {
            return self.one(words).clone();
        }
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        match kind.unwrap_or("null") {
            "string" => self.text(schema),
            "boolean" => json!(self.0.bool()),
            "integer" => json!(self.0.u32(1..300)),
            "array" => {
                (0..self.0.usize(..3)).map(|_| self.value(&schema["items"], wrong)).collect()
            }
            "object" => self.object(schema, wrong),
            _ => Value::Null,
        }
    }

    fn text(&mut self, schema: &Value) -> Value {
        let known =
            ["north", "south", "acme", "beta", "lee", "standard", "other", "7", "24h", "600/min"];
        if schema["format"] == "date-time" {
            let times =
                ["2099-01-01T00:00:00Z", "2001-02-03T04:05:06.7+08:00", "9999-12-31T23:59:59Z"];
            return json!(*self.one(&times));
        }
        if schema["format"] == "date" {
            return json!(*self.one(&["2026-11-20", "2001-02-03", "2026-02-30"]));
        }
        match self.0.u32(..10) {
            0 => json!(*self.one(&ODD)),
            1..=4 => json!(*self.one(&known)),
            5 => json!("/v1/patients/7?include=notes"),
            _ => json!((0..self.0.usize(1..20)).map(|_| self.0.lowercase()).collect::<String>()),
        }
    }

    fn object(&mut self, schema: &Value, wrong: u32) -> Value {
        let mut object = Map::new();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.contains(&json!(name));
            if (is_required && !self.chance(wrong)) || self.chance(50) {
                object.insert(name.clone(), self.value(property, wrong));
            }
        }
        if let Some(others) = schema["additionalProperties"].as_object() {
            let name = *self.one(&["patient", "files", "billing.invoices", "nothing", "é"]);
            object.insert(name.to_owned(), self.value(&Value::Object(others.clone()), wrong));
        }
        if self.chance(wrong) {
            object.insert((*self.one(&ODD)).to_owned(), self.nonsense());
        }
        Value::Object(object)
    }

    fn query(&mut self, parameters: &[Value], wrong: u32) -> String {
        let mut pairs = Vec::new();
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            if self.chance(50) {
                let value = self.value(&parameter["schema"], wrong);
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                pairs.push(format!("{}={}", parameter["name"].as_str().unwrap(), escaped(&text)));
            }
        }
        if self.chance(wrong) {
            pairs.push(
                (*self.one(&["x", "=", "limit=%", "limit=%ff", "&&", "cursor=AAAA"])).to_owned(),
            );
        }
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one =
        |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// The document with its references written out, so that a schema stands for itself.
fn resolved(value: &Value, schemas: &Value) -> Value {
    match value {
        Value::Object(map) => match map.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let name = reference.strip_prefix("#/components/schemas/").unwrap();
                resolved(&schemas[name], schemas)
            }
            None => Value::Object(
                map.iter().map(|(name, value)| (name.clone(), resolved(value, schemas))).collect(),
            ),
        },
        Value::Array(items) => items.iter().map(|item| resolved(item, schemas)).collect(),
        other => other.clone(),
    }
}

struct Target<'d> {
    method: String,
    path: &'d str,
    operation: &'d Value,
    keys: [String; 2],
}

impl Target<'_> {
    fn path(&self, dice: &mut Dice, wrong: u32) -> String {
        let mut path = self.path.to_owned();
        for (name, known) in [
            ("{practice}", &["north", "south"][..]),
            ("{vendor}", &["acme", "beta"]),
            ("{username}", &["lee", "spare"]),
            ("{kid}", &["000000000000"]),
            ("{token}", &["000000000000"]),
            ("{alert}", &["never_used:000000000000:2026-11-20"]),
            ("{key}", &[self.keys[0].as_str(), self.keys[1].as_str()]),
        ] {
            let text = if dice.chance(wrong) { *dice.one(&ODD) } else { *dice.one(known) };
            path = path.replace(name, &escaped(text));
        }
        path
    }

    fn try_once(&self, client: &Client, dice: &mut Dice) {
        let wrong = *dice.one(&[0, 0, 5, 30]);
        let parameters = self.operation["parameters"].as_array().cloned().unwrap_or_default();
        let path = self.path(dice, wrong) + &dice.query(&parameters, wrong);
        let mut headers = String::new();
        if parameters.iter().any(|parameter| parameter["in"] == "header") && dice.chance(20) {
            let tag = *dice.one(&["*", "\"1\"", "W/\"1\"", "nonsense", "\""]);
            headers += &format!("If-Match: {tag}\r\n");
        }
        let content = &self.operation["requestBody"]["content"];
        let mut body = Vec::new();
        if let Some((kind, content)) = content.as_object().and_then(|content| content.iter().next())
        {
            let kind = if dice.chance(wrong / 3) { "text/plain" } else { kind };
            headers += &format!("Content-Type: {kind}\r\n");
            body = dice.value(&content["schema"], wrong).to_string().into_bytes();
            if dice.chance(wrong / 3) {
                let cut = dice.0.usize(..=body.len());
                body.truncate(cut);
            }
        }
        let answer = client.raw(&self.method, &path, &headers, &body);
        let sent = String::from_utf8_lossy(&body);
        let shown =
            format!("{} {path}\n{headers}{sent}\n{} {}", self.method, answer.status, answer.text());
        assert_ne!(answer.status, 500, "{shown}");
        // An empty segment makes another path, which may be a longer or a shorter one of the document, or none.
        if path.contains("//") || path.split('?').next().unwrap().ends_with('/') {
            return;
        }
        let documented = &self.operation["responses"][answer.status.to_string()];
        assert!(documented.is_object(), "not in the document: {shown}");
        let Some(content) = documented["content"].as_object() else {
            assert!(answer.body.is_empty(), "{shown}");
            return;
        };
        let kind = answer.head.one("content-type").unwrap_or_default();
        let content = content.get(kind).unwrap_or_else(|| panic!("another type: {shown}"));
        if kind.ends_with("json") {
            let validator = jsonschema::validator_for(&content["schema"]).unwrap();
            let errors: Vec<String> =
                validator.iter_errors(&answer.json()).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}\n{shown}");
        }
    }
}

#[test]
fn made_up_requests_are_answered_as_the_document_says() {
    let office = Office::furnished();
    office.hired("spare", "auditor", None);
    let id = |practice| office.key(practice)["id"].as_str().unwrap().to_owned();
    let keys = [id("north"), id("south")];
    let document = Client::stranger(office.address).see("/openapi.json");
    let paths = resolved(&document["paths"], &document["components"]["schemas"]);
    let clients = [
        office.operator.clone(),
        office.operator.clone(),
        office.operator.clone(),
        office.admin("nora", "practice-admin", Some("north")),
        office.admin("alex", "auditor", None),
    ];
    let mut dice = Dice(fastrand::Rng::with_seed(0x5eed));
    for (path, operations) in paths.as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let target = Target { method, path, operation, keys: keys.clone() };
            for _ in 0..ROUNDS {
                let client = dice.one(&clients).clone();
                target.try_once(&client, &mut dice);
            }
        }
    }
    assert_eq!(office.operator.see("/audit/verify")["ok"], true, "after all that");
}
