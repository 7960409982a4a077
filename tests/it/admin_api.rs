//! The admin API of contract.md, section 5: what each endpoint does, and what it refuses.

use serde_json::{Value, json};

use super::support::admin::{Client, Office, assert_refused, faulty_fields};

#[test]
fn practices_are_made_listed_and_changed() {
    let office = Office::open();
    let operator = &office.operator;
    let made = operator.make("/practices", &json!({ "id": "north", "name": "North" }));
    assert_eq!((&made["api_access"], &made["plan"]), (&json!(true), &json!(null)));
    assert_refused(
        &operator.post("/practices", &json!({ "id": "north", "name": "N" })),
        409,
        "duplicate",
    );
    let changed = operator.patch("/practices/north", &json!({ "name": "Norden", "plan": "gold" }));
    assert_eq!(changed.status, 200, "{}", changed.text());
    let seen = operator.see("/practices/north");
    assert_eq!((&seen["name"], &seen["plan"]), (&json!("Norden"), &json!("gold")));
    operator.patch("/practices/north", &json!({ "plan": null }));
    assert_eq!(operator.see("/practices/north")["plan"], Value::Null);
    assert_refused(&operator.get("/practices/south"), 404, "not_found");
    assert_refused(&operator.get("/practices/No%20such"), 404, "not_found");
    assert_refused(&operator.get("/practices/%ff"), 404, "not_found");
}

#[test]
fn lists_are_paged_to_the_end_and_never_twice() {
    let office = Office::open();
    let operator = &office.operator;
    for n in 0..7 {
        operator.make("/practices", &json!({ "id": format!("p{n}"), "name": "P" }));
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = operator.see(&format!("/practices?limit=3{cursor}"));
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, (0..7).map(|n| format!("p{n}")).collect::<Vec<_>>());
    for query in ["limit=0", "limit=201", "limit=many", "cursor=!!", "lmit=3", "limit=1&limit=2"] {
        let answer = operator.get(&format!("/practices?{query}"));
        assert_eq!(faulty_fields(&answer), [query.split('=').next().unwrap()], "{query}");
    }
}

#[test]
fn users_are_found_and_stay_while_they_own_keys() {
    let office = Office::furnished();
    let operator = &office.operator;
    let users = "/practices/north/users";
    let odd = json!({ "username": "O'Hara@clinic?", "name": "Maeve" });
    operator.make(users, &odd);
    let one = "/practices/north/users/O%27Hara%40clinic%3F";
    assert_eq!(operator.see(one)["name"], "Maeve");
    for (wanted, expected) in [("LEE", 1), ("dr", 1), ("maeve", 1), ("nobody", 0), ("", 2)] {
        let found = operator.see(&format!("{users}?q={wanted}"));
        assert_eq!(found["items"].as_array().unwrap().len(), expected, "{wanted}");
    }
    assert_eq!(operator.patch(one, &json!({ "name": "M. O'Hara" })).json()["name"], "M. O'Hara");
    assert_eq!(operator.delete(one).status, 204);
    assert_refused(&operator.delete(one), 404, "not_found");
    office.key("north");
    assert_refused(&operator.delete("/practices/north/users/lee"), 409, "owner_in_use");
}

#[test]
fn vendors_are_reviewed_and_have_keys() {
    let office = Office::furnished();
    let operator = &office.operator;
    assert_eq!(operator.see("/vendors/beta")["status"], "pending");
    let agreed = json!({ "status": "approved", "review": "seen", "agreement_expires": "2099-01-01T00:00:00Z" });
    assert_eq!(operator.patch("/vendors/beta", &agreed).json()["status"], "approved");
    let made = operator.make("/vendors/beta/keys", &json!({}));
    let secret = office.keep(&made["key"]);
    assert!(secret.starts_with("pst_ven_"));
    let bare = operator.raw("POST", "/api/v1/vendors/beta/keys", "", b"");
    assert_eq!(bare.status, 201, "without a body: {}", bare.text());
    office.keep(&bare.json()["key"]);
    let keys = operator.see("/vendors/beta/keys");
    assert_eq!(keys["items"].as_array().unwrap().len(), 2);
    assert!(!keys.to_string().contains(&secret));
    let path = format!("/vendors/beta/keys/{}", made["id"].as_str().unwrap());
    let revoked = operator.delete(&path).json();
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    assert_eq!(operator.delete(&path).json(), revoked);
    let other = format!("/vendors/acme/keys/{}", made["id"].as_str().unwrap());
    assert_refused(&operator.delete(&other), 404, "not_found");
}

#[test]
fn a_practice_admin_sees_of_vendors_what_it_needs_to_bind_keys() {
    let office = Office::furnished();
    let north = office.admin("nora", "practice-admin", Some("north"));
    let seen = north.see("/vendors");
    assert_eq!(seen["items"], json!([{ "id": "acme", "name": "Acme", "status": "approved" }]));
    assert_refused(&north.get("/vendors/beta"), 404, "not_found");
    assert_refused(&north.get("/vendors/acme/keys"), 403, "forbidden");
}

#[test]
fn a_practice_admin_may_switch_its_api_access_and_nothing_else_of_its_practice() {
    let office = Office::furnished();
    let north = office.admin("nora", "practice-admin", Some("north"));
    assert_eq!(north.patch("/practices/north", &json!({ "api_access": false })).status, 200);
    assert_eq!(north.see("/practices/north")["api_access"], false);
    assert_refused(&north.patch("/practices/north", &json!({ "name": "Mine" })), 403, "forbidden");
    assert_refused(
        &north.patch("/practices/south", &json!({ "api_access": false })),
        404,
        "not_found",
    );
    assert_eq!(north.see("/practices")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn what_another_practice_has_is_answered_like_what_nobody_has() {
    let office = Office::furnished();
    let north = office.admin("nora", "practice-admin", Some("north"));
    let id = office.key("south")["id"].as_str().unwrap().to_owned();
    for method in ["GET", "DELETE"] {
        let foreign = north.raw(method, &format!("/api/v1/keys/{id}"), "", b"");
        let nobody = north.raw(method, "/api/v1/keys/000000000000", "", b"");
        let told = |text: String, id: &str| text.replace(id, "ID");
        assert_eq!(told(foreign.text(), &id), told(nobody.text(), "000000000000"), "{method}");
        assert_refused(&foreign, 404, "not_found");
    }
    let question = |key: &str| json!({ "method": "GET", "target": "/v1/patients/7", "key": key });
    assert_refused(&north.post("/routes/explain", &question(&id)), 404, "not_found");
    assert_refused(&north.get("/audit?practice=south"), 404, "not_found");
    let text = north.see("/audit").to_string();
    assert!(!text.contains("south") && !text.contains(&id), "{text}");
    let body = json!({ "name": "x", "owner": "lee", "api": "standard" });
    assert_refused(&north.post("/practices/south/keys", &body), 404, "not_found");
}

#[test]
fn an_edit_of_what_was_not_seen_is_refused() {
    let office = Office::furnished();
    let operator = &office.operator;
    let path = format!("/keys/{}", office.key("north")["id"].as_str().unwrap());
    for path in ["/practices/north", "/practices/north/users/lee", "/vendors/acme", &path] {
        let tag = operator.get(path).head.one("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is strong");
        let matching = operator.with(&format!("If-Match: {tag}"));
        let changed = matching.patch(path, &json!({ "name": "First" }));
        assert_eq!(changed.status, 200, "{path}: {}", changed.text());
        let next = operator.get(path).head.one("etag").unwrap().to_owned();
        assert_eq!(changed.head.one("etag"), Some(next.as_str()), "{path}");
        assert_ne!(next, tag, "{path}");
        assert_refused(&matching.patch(path, &json!({ "name": "Second" })), 412, "stale");
        assert_eq!(operator.see(path)["name"], "First", "{path}");
        assert_eq!(
            operator.with("If-Match: *").patch(path, &json!({ "name": "Third" })).status,
            200
        );
        let weak = operator.with(&format!("If-Match: W/{next}"));
        assert_refused(&weak.patch(path, &json!({ "name": "x" })), 412, "stale");
        let malformed = operator.with("If-Match: 7");
        assert_refused(&malformed.patch(path, &json!({ "name": "x" })), 400, "malformed_request");
    }
    let stale = operator.with("If-Match: \"0\"");
    assert_refused(&stale.delete(&path), 412, "stale");
    assert_refused(&stale.post(&format!("{path}/rotate"), &json!({})), 412, "stale");
}

#[test]
fn json_has_one_reading() {
    let office = Office::open();
    let operator = &office.operator;
    let send = |kind: &str, body: &[u8]| {
        let kind =
            if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        operator.raw("POST", "/api/v1/admins", &kind, body)
    };
    let good = br#"{"username":"kim","role":"auditor"}"#;
    for kind in [
        "",
        "text/plain",
        "application/xml",
        "application/json; charset=latin1",
        "application/jsonp",
    ] {
        assert_refused(&send(kind, good), 415, "unsupported_media_type");
    }
    let utf16: Vec<u8> =
        String::from_utf8_lossy(good).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bodies: [&[u8]; 8] = [
        br#"{"username":"kim","role":"auditor","role":"operator"}"#,
        b"\xef\xbb\xbf{\"username\":\"kim\",\"role\":\"auditor\"}",
        br#"{"username":"kim","role":NaN}"#,
        br#"{"username":"kim","role":"auditor"} x"#,
        b"{\"username\":\"k\xff\"}",
        b"{",
        b"",
        &utf16,
    ];
    for body in bodies {
        let answer = send("application/json", body);
        assert_refused(&answer, 400, "malformed_json");
    }
    assert_refused(&send("application/json", "[".repeat(60_000).as_bytes()), 400, "malformed_json");
    let large = format!("{{\"username\":\"{}\"}}", "a".repeat(70_000));
    assert_refused(&send("application/json", large.as_bytes()), 413, "body_too_large");
    assert_eq!(faulty_fields(&send("application/json", b"[]")), [""]);
    assert_refused(&operator.get("/admins/kim"), 404, "not_found");
    let made = send("application/json; charset=UTF-8", good);
    assert_eq!(made.status, 201, "{}", made.text());
    office.keep(&made.json()["password"]);
}

#[test]
fn administrators_come_and_go_and_one_operator_stays() {
    let office = Office::furnished();
    let operator = &office.operator;
    assert_refused(&operator.delete("/admins/root"), 409, "last_operator");
    assert_refused(
        &operator.patch("/admins/root", &json!({ "role": "auditor" })),
        409,
        "last_operator",
    );
    let lacking = json!({ "username": "nora", "role": "practice-admin" });
    assert_eq!(faulty_fields(&operator.post("/admins", &lacking)), ["practice"]);
    let (nora, _) = office.hired("nora", "practice-admin", Some("north"));
    assert_eq!(
        nora.see("/me"),
        json!({ "username": "nora", "role": "practice-admin", "practice": "north" })
    );
    let shown = operator.see("/admins").to_string();
    assert!(!shown.contains("argon2") && !shown.contains("epoch"), "{shown}");
    assert_eq!(operator.patch("/admins/nora", &json!({ "role": "auditor" })).status, 200);
    assert_eq!(nora.see("/me")["role"], "auditor", "at once");
    let tokens = operator.see("/admins/nora/tokens");
    let id = tokens["items"][0]["id"].as_str().unwrap();
    assert_eq!(operator.delete(&format!("/admins/nora/tokens/{id}")).status, 204);
    assert_refused(&nora.get("/me"), 401, "unauthorized");
    let again = office.admin("ned", "operator", None);
    assert_eq!(again.delete("/admins/root").status, 204);
    assert_refused(&operator.get("/me"), 401, "unauthorized");
}

#[test]
fn only_administrators_are_known_here() {
    let office = Office::furnished();
    let key = office.key("north");
    let vendor_key = office.operator.make("/vendors/acme/keys", &json!({}));
    office.keep(&vendor_key["key"]);
    let nobody = Client::stranger(office.address);
    let token = |text: &str| nobody.with(&format!("Authorization: {text}"));
    let secret = key["key"].as_str().unwrap();
    for client in [
        nobody.clone(),
        token(&format!("Bearer {secret}")),
        token(&format!("Bearer {}", vendor_key["key"].as_str().unwrap())),
        token("Bearer pst_adm_0123456789ab"),
        token("Basic cm9vdDpyb290"),
        token("Bearer"),
        nobody.with("Cookie: postern_session=abc"),
        nobody.with(&format!("X-Subscriber-Key: {secret}")),
        office.operator.with("Authorization: Bearer x"),
    ] {
        let answer = client.get("/practices");
        assert_refused(&answer, 401, "unauthorized");
        assert!(answer.head.has("www-authenticate"));
    }
    let ended = json!({ "name": "short", "expires_at": "2001-01-01T00:00:00Z" });
    assert_eq!(faulty_fields(&office.operator.post("/admins/root/tokens", &ended)), ["expires_at"]);
}

#[test]
fn the_audit_says_who_changed_what_and_its_chain_holds() {
    let office = Office::furnished();
    let nora = office.admin("nora", "practice-admin", Some("north"));
    nora.patch("/practices/north", &json!({ "api_access": false }));
    let entry = office.operator.see("/audit?practice=north&limit=1")["items"][0].clone();
    assert_eq!((&entry["username"], &entry["practice"]), (&json!("nora"), &json!("north")));
    assert_eq!(entry["address"], "127.0.0.1");
    assert_eq!(
        (&entry["before"]["api_access"], &entry["after"]["api_access"]),
        (&json!(true), &json!(false))
    );
    let whole = office.operator.see("/audit?limit=200");
    let count = whole["items"].as_array().unwrap().len();
    let verdict = office.operator.see("/audit/verify");
    assert_eq!(verdict, json!({ "ok": true, "entries": count, "broken_at": null }));
    let mut sequence = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = office.operator.see(&format!("/audit?limit=3{cursor}"));
        sequence.extend(
            page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(sequence.iter().copied().eq((1..=count as u64).rev()), "{sequence:?}");
    assert_eq!(office.operator.see("/audit?from=2099-01-01T00:00:00Z")["items"], json!([]));
    assert_eq!(office.operator.see("/audit?to=2001-01-01T00:00:00Z")["items"], json!([]));
}

#[test]
fn the_live_route_map_is_shown_and_explained() {
    let office = Office::furnished();
    let id = office.key("north")["id"].clone();
    let routes = office.operator.see("/routes");
    let is_status = |route: &&Value| route["pattern"] == "/v1/status";
    let status = routes["routes"].as_array().unwrap().iter().find(is_status).unwrap().clone();
    assert_eq!(status["effect"], "public");
    let explain = |target: &str, key: &Value| {
        let question = json!({ "method": "GET", "target": target, "key": key });
        office.operator.post("/routes/explain", &question).json()
    };
    let allowed = explain("/v1/patients/7", &id);
    assert_eq!((&allowed["decision"], &allowed["code"]), (&json!("allow"), &json!("")));
    assert_eq!(allowed["needs"], json!({ "patient": "read" }));
    assert_eq!(allowed["rule"]["pattern"], "/v1/patients/{id}");
    assert_eq!((&allowed["upstream"], &allowed["key"]), (&json!("practice"), &id));
    for (target, key, code) in [
        ("/v1/patients/7/notes", &id, "permission_denied"),
        ("/v1/patients/7", &Value::Null, "subscriber_key_missing"),
        ("/v1/nothing", &id, "route_unmapped"),
        ("/v1//patients", &id, "ambiguous_path"),
        ("/v1/patients?api_key=x", &id, "credentials_in_query"),
        ("/other/x", &id, "wrong_api"),
        ("/v1/status", &Value::Null, ""),
    ] {
        assert_eq!(explain(target, key)["code"], code, "{target} {key}");
    }
    office.operator.delete(&format!("/keys/{}", id.as_str().unwrap()));
    assert_eq!(explain("/v1/patients/7", &id)["code"], "key_revoked");
}

#[test]
fn an_import_is_taken_whole_or_not_at_all_and_comes_back_as_an_export() {
    let office = Office::open();
    let operator = &office.operator;
    let import = |text: &str| {
        let kind = "Content-Type: application/jsonl\r\n";
        operator.raw("POST", "/api/v1/import", kind, text.as_bytes())
    };
    let good = concat!(
        "{\"kind\":\"practice\",\"id\":\"north\",\"name\":\"North\",\"api_access\":true}\n",
        "{\"kind\":\"user\",\"practice\":\"north\",\"username\":\"lee\",\"name\":\"Lee\"}\n",
        "{\"kind\":\"key\",\"practice\":\"north\",\"name\":\"K\",\"owner\":\"lee\",\"api\":\"standard\",",
        "\"permissions\":{\"patient\":\"read\"}}\n",
    );
    let bad = import(&format!(
        "{good}{{\"kind\":\"user\",\"practice\":\"nowhere\",\"username\":\"x\",\"name\":\"X\"}}\n"
    ));
    assert_refused(&bad, 422, "invalid");
    assert_eq!(bad.json()["errors"][0]["line"], 4, "{}", bad.text());
    assert_eq!(operator.see("/practices")["items"], json!([]), "nothing of it");
    let made = import(good);
    assert_eq!(made.status, 201, "{}", made.text());
    let imported = made.json()["imported"].clone();
    let secret = office.keep(&imported[2]["key"]);
    assert!(imported[0].get("key").is_none());
    let export = operator.get("/export");
    assert_eq!((export.status, export.head.one("content-type")), (200, Some("application/jsonl")));
    assert!(!export.text().contains(&secret));
    let kinds: Vec<Value> = export
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].clone())
        .collect();
    assert_eq!(kinds, ["practice", "user", "key"]);
    let wrong = operator.raw("POST", "/api/v1/import", "Content-Type: text/plain\r\n", b"{}");
    assert_refused(&wrong, 415, "unsupported_media_type");
}

#[test]
fn methods_and_paths_that_are_not_there_are_said_to_be_so() {
    let office = Office::open();
    let operator = &office.operator;
    let wrong = operator.raw("PUT", "/api/v1/practices", "", b"");
    assert_refused(&wrong, 405, "method_not_allowed");
    let allow = wrong.head.one("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    for path in ["/nothing", "/usage", "/keys/000000000000/usage", "/practices/north/alerts"] {
        assert_refused(&operator.get(path), 404, "not_found");
    }
    let head = operator.raw("HEAD", "/api/v1/practices", "", b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let preflight =
        operator.with("Origin: https://evil.example\r\nAccess-Control-Request-Method: POST");
    assert_eq!(preflight.raw("OPTIONS", "/api/v1/practices", "", b"").status, 405);
}

#[test]
fn the_gateway_serves_nothing_of_it_even_to_an_administrator() {
    let office = Office::open();
    let token = office.hired("ned", "operator", None).0;
    for path in ["/api/v1/practices", "/api/v1/openapi.json", "/login", "/"] {
        let answer = token.elsewhere(office.gateway, path);
        assert!(
            answer.status >= 400 && !answer.text().contains("practices"),
            "{path}: {}",
            answer.text()
        );
    }
    assert_eq!(token.get("/practices").status, 200);
}

#[path = "admin_api/history.rs"]
mod history;
#[path = "admin_api/keys.rs"]
mod keys;
#[path = "admin_api/late.rs"]
mod late;
#[path = "admin_api/limits.rs"]
mod limits;
#[path = "admin_api/sign_in.rs"]
mod sign_in;
