//! What a caller may is what it may when its request is there as a whole; and what it sent is not told on.

use std::time::Duration;

use serde_json::json;

use crate::support::admin::{Office, assert_refused, faulty_fields};
use crate::support::wire::Wire;

/// Long enough that the head was read and judged.
const A_WHILE: Duration = Duration::from_millis(300);

#[test]
fn who_is_dismissed_or_demoted_before_the_end_of_its_body_does_nothing() {
    let office = Office::furnished();
    let operator = &office.operator;
    for (username, status) in [("ned", 401), ("kim", 403)] {
        let wanted = json!({ "username": username, "role": "operator", "practice": null });
        office.keep(&operator.make("/admins", &wanted)["password"]);
        let tokens = format!("/admins/{username}/tokens");
        let token = office.keep(&operator.make(&tokens, &json!({ "name": "t" }))["token"]);
        let body = json!({ "id": username, "name": "Late" }).to_string();
        let head = format!(
            "POST /api/v1/practices HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let (early, late) = body.as_bytes().split_at(body.len() / 2);
        let mut wire = Wire::to(office.address);
        wire.send(&[head.as_bytes(), early].concat());
        std::thread::sleep(A_WHILE);
        let path = format!("/admins/{username}");
        if status == 401 {
            assert_eq!(operator.delete(&path).status, 204);
        } else {
            assert_eq!(operator.patch(&path, &json!({ "role": "auditor" })).status, 200);
        }
        wire.send(late);
        let answer = wire.answer_to("POST").expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_refused(&operator.get(&format!("/practices/{username}")), 404, "not_found");
    }
}

#[test]
fn who_is_dismissed_while_its_import_is_worked_on_has_done_nothing_since() {
    let office = Office::furnished();
    let operator = &office.operator;
    let wanted = json!({ "username": "mal", "role": "operator", "practice": null });
    office.keep(&operator.make("/admins", &wanted)["password"]);
    let token = operator.make("/admins/mal/tokens", &json!({ "name": "t" }));
    let token = office.keep(&token["token"]);
    // Keys that people chose are hashed at length: this takes seconds.
    let line = |number: u32| json!({ "kind": "vendor_key", "vendor": "acme", "key": format!("chosen-{number}") });
    let lines: Vec<String> = (0..40).map(|number| line(number).to_string()).collect();
    let body = lines.join("\n");
    let head = format!(
        "POST /api/v1/import HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/jsonl\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut wire = Wire::to(office.address);
    wire.send(&[head.as_bytes(), body.as_bytes()].concat());
    std::thread::sleep(A_WHILE);
    assert_eq!(operator.delete("/admins/mal").status, 204);
    let answer = wire.answer_to("POST").expect("an answer");
    // Whichever came first: after its dismissal there is nothing of it.
    let audit = operator.see("/audit");
    let entries = audit["items"].as_array().unwrap();
    let dismissal = entries.iter().position(|entry| entry["action"] == "admin.delete").unwrap();
    let later = entries.iter().take(dismissal);
    assert!(later.clone().all(|entry| entry["username"] != "mal"), "{audit}");
    let is_early = entries.iter().any(|entry| entry["action"] == "import");
    assert_eq!(answer.status, if is_early { 201 } else { 401 }, "{}", answer.text());
}

#[test]
fn a_key_in_the_wrong_place_is_neither_kept_nor_told_on() {
    let office = Office::furnished();
    let operator = &office.operator;
    let secret = "pst_sub_0123456789ab_ThisIsSecret";
    for (path, body, field) in [
        ("/practices", json!({ "id": "west", "name": secret }), "name"),
        ("/practices/north/users", json!({ "username": secret, "name": "X" }), "username"),
        ("/vendors", json!({ "id": "v", "name": "V", "contact": secret }), "contact"),
        ("/vendors", json!({ "id": "v", "name": "V", secret: 1 }), "pst_…"),
    ] {
        let answer = operator.post(path, &body);
        assert_eq!(faulty_fields(&answer), [field], "{path}");
        assert!(!answer.text().contains("ThisIsSecret"), "{}", answer.text());
    }
    for path in [format!("/{secret}"), format!("/practices/{secret}"), format!("/admins/{secret}")]
    {
        let answer = operator.get(&path);
        assert_refused(&answer, 404, "not_found");
        assert!(!answer.text().contains("ThisIsSecret"), "{}", answer.text());
    }
    assert!(!operator.see("/audit").to_string().contains("ThisIsSecret"));
}
