//! The shape of a refusal: a problem by RFC 9457, or the practice system's own.

use super::support::{Gateway, Upstream, request};

#[test]
fn a_problem_says_what_why_and_which_request() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let cases = [
        ("/v1/nothing", "key-all", 403, "route_unmapped"),
        ("/v1/internal/x", "key-all", 403, "route_denied"),
        ("/v1/patients", "key-none", 403, "permission_denied"),
        ("/v1//x", "key-all", 400, "ambiguous_path"),
        ("/other/x", "key-all", 403, "wrong_api"),
    ];
    for (target, id, status, code) in cases {
        let answer = gateway.request("GET", target, id);
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.head.one("content-type"), Some("application/problem+json"));
        assert_eq!(answer.head.one("cache-control"), Some("no-store"));
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code);
        for field in ["type", "title", "detail"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{target}: {field}"
            );
        }
        assert_eq!(problem["request_id"].as_str(), answer.head.one("x-request-id"), "{target}");
    }
    upstream.assert_untouched("refusals");
}

#[test]
fn a_template_gives_the_practice_systems_own_shape() {
    let upstream = Upstream::ok();
    let template =
        br#"{"error": {"http": "{{status}}", "name": "{{code}}", "text": "{{title}}: {{detail}}",
        "ref": "id={{request_id}}", "fixed": [1, true, null]}}"#;
    let gateway =
        Gateway::over(&upstream).top("errors: error.json").file("error.json", template).start();
    let answer = gateway.send(&request("GET", "/v1/nothing", "key-all"));
    assert_eq!(answer.status, 403);
    assert_eq!(answer.head.one("content-type"), Some("application/json"));
    let error = &answer.json()["error"];
    assert_eq!(error["http"], 403);
    assert_eq!(error["name"], "route_unmapped");
    assert_eq!(error["fixed"], serde_json::json!([1, true, null]));
    let id = answer.head.one("x-request-id").unwrap();
    assert_eq!(error["ref"], format!("id={id}"));
    assert!(!answer.text().contains("{{"), "{}", answer.text());
}

#[test]
fn a_faulty_template_is_refused_at_a_reload() {
    let upstream = Upstream::ok();
    let setup = Gateway::over(&upstream).top("errors: error.json");
    let gateway = setup.clone().file("error.json", br#"{"code": "{{code}}"}"#).start();
    for faulty in [&b"{\"code\": "[..], b"{\"code\": \"{{unknown}}\"}", b""] {
        gateway.rewrite(&setup.clone().file("error.json", faulty));
        gateway.signal("HUP");
        super::support::eventually("the rejection", || gateway.config_status() == "rejected");
        assert_eq!(gateway.get("/v1/nothing").json()["code"], "route_unmapped");
        gateway.rewrite(&setup.clone().file("error.json", br#"{"code": "{{code}}"}"#));
        gateway.signal("HUP");
        super::support::eventually("recovery", || gateway.config_status() != "rejected");
    }
}

#[test]
fn well_known_says_who_answers_and_how_to_sign_in() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let answer = gateway.send(b"GET /.well-known/postern HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document = answer.json();
    assert!(document["name"].is_string() && document["schemes"].is_array(), "{document}");
    let headers = serde_json::json!({ "subscriber": "X-Subscriber-Key", "vendor": "X-Vendor-Key" });
    assert_eq!(document["headers"], headers);
    assert!(answer.text().ends_with("}\n"), "{}", answer.text());
    let refused = gateway.send(b"GET /v1/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(refused.text().ends_with("}\n"), "{}", refused.text());
    assert_eq!(refused.json()["detail"], "Send the practice's key in X-Subscriber-Key.");
    upstream.assert_untouched("a document of our own");
}
