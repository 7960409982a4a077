//! What a record keeps of a path, a query and a user agent, and that no secret gets into one by any of them.

use super::support::fixture::{key, request, request_with, vendor_key};
use super::support::records::recorded;
use super::support::{Gateway, Upstream};

fn gateway(upstream: &Upstream, log: &str) -> Gateway {
    Gateway::over(upstream).top(&format!("log: {{ {log} }}")).start()
}

/// What is recorded of a target with a good key.
#[track_caller]
fn path_of(gateway: &Gateway, target: &str) -> String {
    recorded(gateway, &request("GET", target, "key-all")).1.get("path").to_owned()
}

#[test]
fn a_path_is_its_rules_pattern_unless_all_of_it_is_wanted() {
    let upstream = Upstream::ok();
    let usual = gateway(&upstream, "path: template");
    assert_eq!(path_of(&usual, "/v1/patients/17?name=Miller"), "/v1/patients/{id}");
    assert_eq!(path_of(&usual, "/v1/appointments/a/b/c"), "/v1/appointments/**");
    assert_eq!(path_of(&usual, "/v1/nowhere/Miller"), "");
    let full = gateway(&upstream, "path: full");
    assert_eq!(path_of(&full, "/v1/patients/17?name=Miller"), "/v1/patients/17");
    assert_eq!(path_of(&full, "/v1/appointments/a/b/c"), "/v1/appointments/a/b/c");
    assert_eq!(path_of(&full, "/v1/nowhere/Miller"), "/v1/nowhere/Miller");
    assert_eq!(path_of(&full, "/v1/patients/caf%C3%A9%20x"), "/v1/patients/caf%C3%A9%20x");
    let queried = gateway(&upstream, "path: full, query: true");
    assert_eq!(path_of(&queried, "/v1/patients/17?name=Miller"), "/v1/patients/17?name=Miller");
    let only_queried = gateway(&upstream, "query: true");
    assert_eq!(path_of(&only_queried, "/v1/patients/17?name=Miller"), "/v1/patients/{id}");
}

#[test]
fn no_query_value_is_in_any_record() {
    let upstream = Upstream::ok();
    for log in ["path: template", "path: full"] {
        let gateway = gateway(&upstream, log);
        for target in [
            "/v1/patients?include=zebra",
            "/v1/nowhere?q=zebra",
            "/v1/internal/x?q=zebra",
            "/v1/patients?_method=zebra",
            "/v1/patients?api_key=zebra",
        ] {
            let (_, record) = recorded(&gateway, &request("GET", target, "key-all"));
            assert!(!format!("{record:?}").contains("zebra"), "{record:#?}");
        }
    }
}

#[test]
fn a_key_in_a_path_is_cut_out() {
    let upstream = Upstream::ok();
    for log in ["path: template", "path: full", "path: full, query: true"] {
        let gateway = gateway(&upstream, log);
        let known = key("key-all");
        let escaped: String = known.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let made = format!("pst_sub_{}_{}", "a1B2".repeat(4), "c3D4".repeat(10));
        for target in [
            format!("/v1/patients/{known}"),
            format!("/v1/patients/{known}/notes"),
            format!("/v1/nowhere/{known}/x"),
            format!("/v1/patients/{}", vendor_key("acme")),
            format!("/v1/patients/{made}"),
            format!("/v1/patients/x{made}"),
            format!("/v1/patients?id={known}"),
            format!("/v1/patients?id={made}"),
            format!("/v1/patients?subscriber_key={known}"),
            // An encoded letter is ambiguous, and recorded for all that.
            format!("/v1/patients/{escaped}"),
            format!("/v1/patients?id={escaped}"),
        ] {
            let (_, record) = recorded(&gateway, &request("GET", &target, "key-all"));
            let shown = format!("{record:?}");
            assert!(!shown.contains("c3D4") && !shown.contains(&escaped), "{target}: {record:#?}");
        }
        let upstream_path = path_of(&gateway, &format!("/v1/patients/{known}/notes"));
        if log != "path: template" {
            assert!(upstream_path.starts_with("/v1/patients/"), "{upstream_path}");
            assert!(upstream_path.ends_with("/notes"), "only the key is cut: {upstream_path}");
        }
    }
}

const AGENTS: [&[u8]; 4] = [
    b"tab\there",
    b"\xff\xfe\x80 bytes",
    b"caf\xc3\xa9\xc2\x85next",
    b"<script>\"',;=1+1</script>",
];

#[test]
fn user_agents_are_cut_and_cleaned() {
    let upstream = Upstream::ok();
    let gateway = Gateway::over(&upstream).start();
    let long = [b"a".repeat(300), "é".repeat(300).into_bytes(), key("key-all").into_bytes()];
    for agent in AGENTS.iter().copied().chain(long.iter().map(Vec::as_slice)) {
        let mut bytes = request_with("GET", "/v1/patients", "key-all", "User-Agent: ", "");
        // In the place of the line's end, the head's.
        bytes.truncate(bytes.len() - 2);
        bytes.extend(agent);
        bytes.extend(b"\r\n\r\n");
        let (_, record) = recorded(&gateway, &bytes);
        record.assert(&[("status", "200")]);
        let kept = record.get("user_agent");
        assert!(!kept.is_empty() && kept.chars().count() <= 256, "{kept}");
        assert!(!kept.chars().any(char::is_control), "{kept:?}");
        if agent.starts_with(b"aaa") {
            assert_eq!(kept.len(), 256);
        }
        assert!(!kept.contains(&key("key-all")), "a key is kept as a user agent");
    }
}
