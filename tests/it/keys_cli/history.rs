//! Usage, activity and alerts from the command line: the same that the admin API tells.

use serde_json::json;

use super::Office;
use crate::support::eventually;
use crate::support::fixture::{has_secret, key_id};

#[test]
fn what_is_left_of_limits_is_told_as_a_table_and_as_json() {
    let office = Office::open();
    let (all, read) = (key_id("key-all"), key_id("key-read"));
    assert_eq!(office.postern(&["keys", "limits", all]).done().out, "no limit holds\n");
    office.postern(&["keys", "edit", read, "--rate", "24/d", "--burst", "5"]).done();
    for _ in 0..2 {
        assert_eq!(office.gateway.request("GET", "/v1/appointments", "key-read").status, 200);
    }
    let told = office.json(&["keys", "limits", read]);
    assert_eq!((&told["mode"], &told["items"][0]["remaining"]), (&json!("enforce"), &json!(3)));
    let text = office.postern(&["keys", "limits", read]).done().out;
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..5], ["key", "24/d", "5", "3", "in"], "{text}");
    assert!(["2h", "1h"].contains(&lines[1][5]), "an hour each: {text}");
    assert_eq!(lines.len(), 2, "{text}");
    let nobody = office.postern(&["keys", "limits", "000000000000"]);
    assert_eq!(nobody.code, 1, "{}", nobody.err);
}

#[test]
fn what_was_asked_is_told_as_a_table_as_json_and_as_csv() {
    let office = Office::open();
    let (all, read) = (key_id("key-all"), key_id("key-read"));
    for _ in 0..3 {
        assert_eq!(office.gateway.get("/v1/appointments").status, 200);
    }
    for _ in 0..6 {
        assert_eq!(office.gateway.request("POST", "/v1/appointments", "key-read").status, 403);
    }
    let records = |args: &[&str]| {
        let found = office.json(&[&["keys", "activity"], args].concat());
        found["items"].as_array().unwrap().clone()
    };
    eventually("records in the store", || {
        records(&[all]).len() == 3 && records(&[read]).len() == 6
    });
    assert_eq!(records(&[read, "--status", "403", "--decision", "deny"]).len(), 6);
    assert_eq!(records(&[read, "--category", "patient"]).len(), 0);
    assert_eq!(records(&[all, "--limit", "2"]).len(), 2);
    let text = office.postern(&["keys", "activity", all]).done().out;
    assert_eq!(
        text.lines().filter(|line| line.contains("/v1/appointments/**")).count(),
        3,
        "{text}"
    );
    let csv = office.postern(&["keys", "activity", all, "--csv"]).done().out;
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.starts_with("id,ts,node,request_id,") && !has_secret(&csv), "{csv}");
    let also = office.postern(&["keys", "activity", all, "--format", "csv"]).done().out;
    assert_eq!(also, csv);
    let json = office.postern(&["keys", "activity", all, "--format", "json"]).done().out;
    assert_eq!(json, office.postern(&["keys", "activity", all, "--json"]).done().out);
    for two in [["--csv", "--json"], ["--csv", "--format=csv"], ["--format=csv", "--json"]] {
        assert_eq!(office.postern(&[&["keys", "activity", all], &two[..]].concat()).code, 2);
    }
    let sheet = |how: &[&str]| {
        office.postern(&[&["logs", "export", "--key", all], how].concat()).done().out
    };
    assert_eq!(sheet(&["--csv"]), sheet(&["--format", "csv"]));
    assert_eq!(sheet(&["--csv"]).lines().count(), 4);
    assert_eq!(sheet(&["--practice", "north"]).lines().count(), 3, "a key and its practice");
    let strange = office.postern(&["logs", "export", "--key", all, "--practice", "nowhere"]);
    assert_eq!(strange.code, 1, "{}", strange.out);
    let wrong = office.postern(&["keys", "activity", all, "--status", "4x"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("status"), "{}", wrong.err);

    let usage = office.json(&["keys", "usage", all, "--step", "hour"]);
    assert_eq!((&usage["total"]["requests"], &usage["total"]["denied"]), (&json!(3), &json!(0)));
    let usage = office.json(&["practices", "usage", "north"]);
    assert_eq!((&usage["total"]["requests"], &usage["total"]["denied"]), (&json!(9), &json!(6)));
    let text = office.postern(&["practices", "usage", "north"]).done().out;
    assert_eq!(text.lines().count(), 32, "a heading, thirty days and their sum: {text}");
    assert!(text.contains('█'), "{text}");

    let text = office.postern(&["keys", "usage", all, "--to", "2020-01-01"]).done().out;
    assert_eq!(text.trim_end(), "no requests from 2019-12-02 to 2019-12-31");

    let alerts = office.json(&["practices", "alerts", "north"]);
    let alert = &alerts["items"][0];
    assert_eq!((&alert["kind"], &alert["key"]), (&json!("missing_permission"), &json!(read)));
    let text = office.postern(&["practices", "alerts", "north"]).done().out;
    assert!(text.contains("refused 6 times") && text.contains("`appointment: write`"), "{text}");
    let id = alert["id"].as_str().unwrap();
    office.postern(&["practices", "alerts", "north", "--acknowledge", id]).done();
    let noted = &office.json(&["practices", "alerts", "north"])["items"][0]["acknowledged"];
    assert!(noted["by"].is_string(), "{noted}");
}
