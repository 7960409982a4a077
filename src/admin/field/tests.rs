//! Every fault named at once, and schemas that agree with the readers.

use serde_json::json;

use super::kind::{
    CURSOR, FLAG, LIMITS, NAME, NETWORKS, OVERLAP, PAGE_SIZE, PERMISSIONS, TIME, USERNAME, cursor,
};
use super::*;

static TITLE: Field<String> = Field::required("name", &NAME, "What people call it.");
static ON: Field<bool> = Field::kept("api_access", &FLAG, "Whether it is on.");
static END: Field<crate::model::Timestamp> = Field::optional("expires_at", &TIME, "Its end.");
static GRANTS: Field<Vec<kind::Grant>> = Field::kept("permissions", &PERMISSIONS, "What it may.");
static THING: Record = Record { name: "Thing", fields: &[&TITLE, &ON, &END, &GRANTS] };

fn errors(value: Value) -> Vec<(String, String)> {
    let response = THING.read(value).unwrap_err();
    let text = format!("{response:?}");
    assert!(text.contains("422"), "{text}");
    response.errors_for_tests()
}

#[test]
fn every_fault_is_named_at_once() {
    let found = errors(json!({
        "nmae": "x", "api_access": "yes", "expires_at": "soon",
        "permissions": { "patient": "reed", "files": "read", "contact": 7 },
    }));
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        ["nmae", "api_access", "expires_at", "permissions.patient", "permissions.contact", "name"]
    );
    assert!(found[0].1.contains("did you mean `name`?"), "{found:?}");
}

#[test]
fn null_empties_only_what_may_be_empty() {
    let given = THING.read(json!({ "name": "x", "expires_at": null })).unwrap();
    assert_eq!(given.patch(&END), Patch::Clear);
    assert_eq!(given.patch(&ON), Patch::Keep);
    assert_eq!(given.get(&TITLE).as_deref(), Some("x"));
    assert_eq!(errors(json!({ "name": "x", "api_access": null }))[0].0, "api_access");
    assert_eq!(errors(json!({ "name": null }))[0].0, "name");
    assert_eq!(errors(json!([])).len(), 1);
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = THING.schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for value in [
        json!({ "name": "x" }),
        json!({ "name": "x", "expires_at": null, "api_access": true }),
        json!({ "name": "x", "permissions": { "patient": "write-only" } }),
        json!({}),
        json!({ "name": "" }),
        json!({ "name": 7 }),
        json!({ "name": "x", "more": 1 }),
        json!({ "name": "x", "api_access": null }),
        json!({ "name": "x", "permissions": { "patient": "all" } }),
        json!([]),
    ] {
        assert_eq!(validator.is_valid(&value), THING.read(value.clone()).is_ok(), "{value}");
    }
}

#[test]
fn a_query_is_read_by_the_same_table() {
    static LIMIT: Field<usize> = Field::kept("limit", &PAGE_SIZE, "");
    static NEXT: Field<String> = Field::kept("cursor", &CURSOR, "");
    static LIST: Record = Record { name: "", fields: &[&LIMIT, &NEXT] };
    let given = LIST.read_query(&format!("limit=7&cursor={}", cursor("nörth"))).unwrap();
    assert_eq!((given.get(&LIMIT), given.get(&NEXT).as_deref()), (Some(7), Some("nörth")));
    for bad in
        ["limit=0", "limit=201", "limit=x", "limit=1&limit=1", "cursor=!", "cursor=", "lmit=1"]
    {
        assert!(LIST.read_query(bad).is_err(), "{bad}");
    }
    assert!(LIST.read_query("").is_ok());
}

#[test]
fn forms_are_decoded_and_never_fail() {
    let pairs: Vec<_> = form("a=b+c%21&%C3%A9=%&x&=%zz&%ff=1").collect();
    let expected = [("a", "b c!"), ("é", "%"), ("x", ""), ("", "%zz"), ("\u{fffd}", "1")];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

fn takes<T>(kind: &Kind<T>, value: &Value) -> bool {
    let validator = jsonschema::validator_for(&(kind.schema)()).unwrap();
    let taken = (kind.read)(value).is_ok();
    assert!(validator.is_valid(value) || !taken, "{value} is read and is not of the schema");
    taken
}

#[test]
fn limits_are_a_rate_and_perhaps_a_burst() {
    for good in [
        json!({ "rate": "600/min" }),
        json!({ "rate": "5/10s", "burst": 1 }),
        json!({ "rate": "9999999999/999999d", "burst": null }),
    ] {
        assert!(takes(&LIMITS, &good), "{good}");
    }
    for bad in [
        json!({}),
        json!({ "rate": "0/min" }),
        json!({ "rate": "600" }),
        json!({ "rate": "600/minute" }),
        json!({ "rate": "-1/s" }),
        json!({ "rate": "1/0s" }),
        json!({ "rate": "1/s", "burst": 0 }),
        json!({ "rate": "1/s", "burst": 1.5 }),
        json!({ "rate": "1/s", "brust": 1 }),
        json!("600/min"),
    ] {
        assert!(!takes(&LIMITS, &bad), "{bad}");
    }
}

#[test]
fn other_kinds_say_no_to_what_they_are_not() {
    assert!(takes(&OVERLAP, &json!("24h")) && takes(&OVERLAP, &json!("0s")));
    for bad in ["", "24", "h", "-1h", "1.5h", "999999999d", "08h", "24H", "1h "] {
        assert!(!takes(&OVERLAP, &json!(bad)), "{bad}");
    }
    let networks = (NETWORKS.read)(&json!(["192.0.2.7/24", "2001:db8::1"])).unwrap();
    let shown: Vec<_> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["192.0.2.0/24", "2001:db8::1/128"]);
    assert!(!takes(&NETWORKS, &json!(["192.0.2.256"])) && !takes(&NETWORKS, &json!("10.0.0.1")));
    for bad in [json!("a\u{7}b"), json!("  "), json!("x".repeat(201)), json!(null)] {
        assert!(!takes(&NAME, &bad), "{bad}");
    }
    assert!(takes(&USERNAME, &json!("O'Hara@clinic")) && !takes(&USERNAME, &json!("a b")));
    assert!(takes(&TIME, &json!("2026-11-20T09:00:00+01:00")) && !takes(&TIME, &json!("soon")));
}
