//! What is left of limits over the admin API: the same that `whoami` says, to those who may see the key.

use serde_json::{Value, json};

use crate::support::admin::{Office, assert_refused};
use crate::support::wire::{Answer, Wire};

/// Slow enough that nothing comes back while a test runs.
const LIMITS: &str = "limits:\n  key: { rate: 24/d, burst: 20 }\n  vendor: { rate: 48/d }\n  \
    practice: { rate: 96/d }\n  category: { files: { rate: 10/d } }\n";

/// By name: what is left, and of how much.
fn items(told: &Value) -> Vec<(String, u64, String)> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    let item = |item: &Value| {
        (text(item, "limit"), item["remaining"].as_u64().unwrap(), text(item, "allowed"))
    };
    told["items"].as_array().unwrap().iter().map(item).collect()
}

fn named(items: &[(&str, u64, &str)]) -> Vec<(String, u64, String)> {
    let one = |(limit, left, allowed): &(&str, u64, &str)| {
        ((*limit).to_owned(), *left, (*allowed).to_owned())
    };
    items.iter().map(one).collect()
}

fn call(office: &Office, target: &str, key: &Value, vendor: &str) -> Answer {
    let key = key["key"].as_str().unwrap();
    let mut wire = Wire::to(office.gateway);
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: gw\r\nX-Subscriber-Key: {key}\r\nX-Vendor-Key: {vendor}\r\n\r\n"
    );
    wire.send(head.as_bytes());
    wire.answer()
}

#[test]
fn what_is_left_is_told_of_a_key_a_practice_and_a_vendor() {
    let office = Office::furnished_with(LIMITS);
    let operator = &office.operator;
    let vendor = office.keep(&operator.make("/vendors/acme/keys", &json!({}))["key"]);
    let (key, other) = (office.key("north"), office.key("north"));
    let of_key = |key: &Value| format!("/keys/{}/limits", key["id"].as_str().unwrap());
    for _ in 0..3 {
        // No upstream answers; what was let through is taken all the same.
        assert_eq!(call(&office, "/v1/patients/1", &key, &vendor).status, 502);
    }
    assert_eq!(call(&office, "/v1/files/1", &key, &vendor).status, 403, "takes nothing");

    let told = operator.see(&of_key(&key));
    assert_eq!(told["mode"], "enforce");
    let (of_practice, of_files) = (("practice", 93, "96/d"), ("category:files", 10, "10/d"));
    assert_eq!(items(&told), named(&[("key", 17, "24/d"), of_practice, of_files]));
    assert_eq!(operator.see(&of_key(&key)), told, "looking takes nothing");
    let whoami = call(&office, "/.well-known/postern/whoami", &key, &vendor).json();
    let by_whoami = json!({ "items": whoami["limits"].as_array().unwrap().iter().filter(|item| item["limit"] != "vendor").collect::<Vec<_>>() });
    assert_eq!(items(&by_whoami), items(&told), "the same, and what the vendor has beside");

    let bound = json!({ "vendor": "acme", "limits": { "rate": "5/d" } });
    operator.patch(&format!("/keys/{}", other["id"].as_str().unwrap()), &bound);
    let told = operator.see(&of_key(&other));
    let of_vendor = ("vendor", 45, "48/d");
    assert_eq!(items(&told), named(&[of_vendor, of_practice, ("key", 5, "5/d"), of_files]));

    assert_eq!(items(&operator.see("/practices/north/limits")), named(&[of_practice]));
    assert_eq!(items(&operator.see("/practices/south/limits")), named(&[("practice", 96, "96/d")]));
    assert_eq!(items(&operator.see("/vendors/acme/limits")), named(&[of_vendor]));
    assert_eq!(items(&operator.see("/vendors/beta/limits")), named(&[("vendor", 48, "48/d")]));
    assert_refused(&operator.get("/vendors/nobody/limits"), 404, "not_found");
}

#[test]
fn limits_are_seen_by_those_who_see_the_key_and_no_limits_are_an_empty_list() {
    let office = Office::furnished_with("limits: { mode: observe }\n");
    let key = office.key("north")["id"].as_str().unwrap().to_owned();
    let path = format!("/keys/{key}/limits");
    let empty = json!({ "mode": "observe", "items": [] });
    let north = office.admin("nora", "practice-admin", Some("north"));
    let south = office.admin("sam", "practice-admin", Some("south"));
    let auditor = office.admin("alex", "auditor", None);
    for who in [&office.operator, &north, &auditor] {
        assert_eq!(who.see(&path), empty);
        assert_eq!(who.see("/practices/north/limits"), empty);
    }
    assert_eq!(auditor.see("/vendors/acme/limits"), empty);
    let foreign = south.get(&path).text().replace(&key, "ID");
    let nobody = south.get("/keys/000000000000/limits");
    assert_refused(&nobody, 404, "not_found");
    assert_eq!(foreign, nobody.text().replace("000000000000", "ID"));
    assert_refused(&south.get("/practices/north/limits"), 404, "not_found");
    assert_refused(&north.get("/vendors/acme/limits"), 403, "forbidden");
}
