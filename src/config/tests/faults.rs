//! Each fault of the main file: once, where it stands, with the remedy.

use super::*;

/// Replaces a part of [`MAIN`], and wants exactly these faults.
fn check(written: &str, broken: &str, faults: &[&str]) {
    assert!(MAIN.contains(written), "{written}");
    let found = given(&MAIN.replacen(written, broken, 1)).faults();
    assert_eq!(found.len(), faults.len(), "{broken}: {found:#?}");
    for (found, wanted) in found.iter().zip(faults) {
        assert!(found.contains(wanted), "{broken}: {found}\nhas no {wanted}");
    }
}

/// Adds to the end of [`MAIN`], which has ten lines.
fn check_added(added: &str, faults: &[&str]) {
    let found = given(&format!("{MAIN}{added}\n")).faults();
    assert_eq!(found.len(), faults.len(), "{added}: {found:#?}");
    for (found, wanted) in found.iter().zip(faults) {
        assert!(found.contains(wanted), "{added}: {found}\nhas no {wanted}");
    }
}

#[test]
fn a_missing_file_is_said_at_the_first_place() {
    let found = Given::default().faults();
    assert_eq!(found, ["p/postern.yaml:1:1: cannot read p/postern.yaml: there is no such file"]);
    check("routes.yaml", "rotes.yaml", &["p/postern.yaml:10:13: cannot read p/rotes.yaml"]);
}

#[test]
fn a_file_that_is_too_long_is_said_with_the_limit_that_it_met() {
    let given = Given { endless: Some("p/routes.yaml".into()), ..given(MAIN) };
    let said = "p/postern.yaml:10:13: cannot read p/routes.yaml: it is longer than 64 MiB";
    assert_eq!(given.faults(), [said]);
}

#[test]
fn all_faults_are_said_at_once_in_order() {
    let main = MAIN
        .replace("gateway: 127", "gatway: 127")
        .replace("url: http:", "url: htp:")
        .replace("upstream: practice", "upstream: practise");
    assert_eq!(
        given(&main).faults(),
        [
            "p/postern.yaml:2:3: unknown field `gatway` in `listen` — did you mean `gateway`?",
            "p/postern.yaml:5:10: `upstreams.practice.url`: expected a url such as http://127.0.0.1:9000, found `htp://127.0.0.1:9000`: the scheme `htp` is unknown — take http or https",
            "p/postern.yaml:9:15: there is no upstream `practise` — did you mean `practice`?",
        ]
    );
}

#[test]
fn what_is_missing_is_said_at_the_line_of_its_parent() {
    check("    mount: /v1\n", "", &["postern.yaml:7:3: an API has no `mount` — add `mount: /v1`"]);
    check(
        "    url: http://127.0.0.1:9000",
        "    preserve_host: true",
        &["postern.yaml:4:3: an upstream has no `url` — add `url: http://127.0.0.1:9000`"],
    );
    check(
        "listen:\n  gateway: 127.0.0.1:0\n",
        "",
        &["postern.yaml:1:1: the configuration has no `listen`"],
    );
    check("127.0.0.1:0", "", &["postern.yaml:2:10: `listen.gateway` has no value"]);
}

#[test]
fn what_is_needed_is_not_to_be_left_out_when_it_is_empty() {
    check(
        "upstreams:\n  practice:\n    url: http://127.0.0.1:9000\n",
        "upstreams: {}\n",
        &[
            "`upstreams` is empty — write something such as `upstreams: { practice:",
            "no upstream `practice`",
        ],
    );
    check(
        "127.0.0.1:0",
        "[]",
        &["is an empty list — write something such as `gateway: 127.0.0.1:8080`"],
    );
}

#[test]
fn one_mistake_is_one_fault() {
    let url = "url: http://127.0.0.1:9000";
    check(
        url,
        "urll: http://127.0.0.1:9000",
        &["unknown field `urll` in an upstream — did you mean `url`?"],
    );
    check(url, "url: http://a\n    headers: { X-A: x, X-A: y }", &["already written on line 6"]);
    check_added("regions: {}", &["`regions` is empty — write something such as `regions: { au:"]);
}

#[test]
fn only_what_can_be_written_is_said_to_be_known() {
    check_added(
        "bogus: 1",
        &[
            "known are listen, store, upstreams, apis, regions, errors, credentials, keys, limits, log, proxy",
        ],
    );
}

#[test]
fn listeners_are_addresses_of_their_own() {
    check(
        "127.0.0.1:0",
        "localhost:80",
        &[
            "2:12: `listen.gateway`: expected an address such as 127.0.0.1:8080, found `localhost:80` — did you mean 127.0.0.1:80?",
        ],
    );
    check(
        "127.0.0.1:0",
        "[127.0.0.1:80, 0.0.0.0:80]",
        &["0.0.0.0:80 and 127.0.0.1:80 on line 2 are the same place"],
    );
    check("127.0.0.1:0", "127.0.0.1:80\n  admin: 127.0.0.1:80", &["3:10: 127.0.0.1:80"]);
    check("127.0.0.1:0", "127.0.0.1:8081", &["2:12: 127.0.0.1:8081"]);
    check(
        "127.0.0.1:0",
        "127.0.0.1:80\n  tls: { certificate: a.crt }",
        &["3:3: `tls` has no `private_key`", "cannot read p/a.crt"],
    );
    check("127.0.0.1:0", "[]", &["`listen.gateway` is an empty list"]);
}

#[test]
fn upstreams_are_held_to_what_can_work() {
    let url = "url: http://127.0.0.1:9000";
    check(url, "url: [http://a, https://b]", &["http and https are mixed"]);
    check(url, "url: [http://a, http://A]", &["twice"]);
    check(url, "url: http://a\n    tls: { server_name: b }", &["`tls` has no effect"]);
    check(url, "url: https://a\n    tls: { certificate: routes.yaml }", &["needs both"]);
    check(
        url,
        "url: http://a\n    headers: { X-Postern-Vendor: x }",
        &["6:16: `X-Postern-Vendor` is for the gateway itself to say"],
    );
    for name in ["X-Real-IP", "X-Accel-Redirect", "X-Method-Override", "X-Forwarded", "Proxy"] {
        let headers = format!("url: http://a\n    headers: {{ {name}: x }}");
        check(url, &headers, &["is for the gateway itself to say"]);
    }
    check(url, "url: http://a\n    headers: { X_A: x }", &["did you mean X-A?"]);
    check(url, "url: http://a\n    headers: { X-A: x, x-a: y }", &["another spelling"]);
    check(
        url,
        "url: http://a\n    headers: { X-A: \"a\\nb\" }",
        &["expected the value of a header"],
    );
    check(url, "url: http://a\n    connect_timeout: 30 sec", &["did you mean 30s?"]);
    check(
        url,
        "url: http://a\n    connect_timeout: [30s]",
        &["expected a duration such as 30s, found a list"],
    );
    check(url, "url: http://a\n    connect_timeout: 0s", &["out of range"]);
    check(
        url,
        "url: http://a\n    preserve_host: yes",
        &["expected true or false, found `yes` — write true"],
    );
    check(url, "url: http://a\n    health: { path: health }", &["such as /health"]);
}

#[test]
fn limits_and_timers_have_bounds() {
    for (field, fault) in [
        ("workers: 0", "out of range"),
        ("workers: -1", "it is negative"),
        ("workers: \"4\"", "leave the quotes out"),
        ("workers: atuo", "expected auto, or a whole number"),
        ("max_connections: 08", "did you mean 8?"),
        ("max_connections: 99999999999999999999", "too large"),
        ("max_connections: .nan", "expected a whole number"),
        ("max_body: 10MB", "did you mean 10MiB?"),
        ("max_body: 0", "out of range"),
        ("drain: 5 minutes", "did you mean 5m?"),
        ("drain: 400000d", "out of range"),
        ("min_body_rate: 1KiB", "did you mean 1KiB/s?"),
        ("http2: { max_streams: 4294967296 }", "out of range"),
        ("trusted_proxies: [10.0.0.1/8]", "did you mean 10.0.0.0/8?"),
        ("cors: { origins: [\"*\"] }", "every website"),
        ("max_staleness: 0s", "out of range"),
        ("idle_timeout: on", "expected a duration"),
        ("bogus: 1", "known are workers"),
    ] {
        check_added(&format!("proxy:\n  {field}"), &[fault]);
    }
    check_added("proxy: [1]", &["11:8: `proxy`: expected a mapping, found a list"]);
    check_added("proxy:", &["`proxy` has no value"]);
}

#[test]
fn how_records_are_kept_is_held_against_its_form() {
    for (field, fault) in [
        ("query: off", "expected true or false, found `off` — write false"),
        ("path: templates", "template"),
        ("max_disk: 10GB", "did you mean 10GiB?"),
        ("max_disk: 1KiB", "out of range"),
        ("retention: 5m", "out of range"),
        ("on_failure: refuse", "deny"),
    ] {
        check_added(&format!("log:\n  {field}"), &[fault]);
    }
}

#[test]
fn stores_are_named_by_a_scheme_and_never_shown() {
    check_added("store: ./data", &["11:8: `store`: expected a store such as embedded:./data"]);
    check_added("store: redis-cluster://a:1", &["did you mean `redis+cluster`?"]);
    check_added("store: redis://a:1,b:2", &["it names several servers"]);
    check_added("store: 6379", &["put it in quotes", "its scheme is unknown"]);
    check_added("store: [a]", &["expected a store such as embedded:./data"]);
    let main = format!("{MAIN}store: \"redis://:${{env:PASSWORD}}@a:1/x\"\n");
    let faults = given(&main).env("PASSWORD", "hunter22").faults();
    assert!(faults.len() == 1 && faults[0].contains("its database is not a number"), "{faults:?}");
    assert!(!faults.concat().contains("hunter22"));
    let unset = given(&main).faults();
    assert!(unset.len() == 1 && unset[0].contains("`PASSWORD` is not set"), "{unset:?}");
}

#[test]
fn keys_have_lives_and_a_cost_in_bounds() {
    for (field, fault) in [
        ("default_access: write", "one of none, read"),
        ("reveal: alwys", "did you mean `always`?"),
        ("idle_expiry: 2 weeks", "expected off, or a duration"),
        ("max_age: 0s", "out of range"),
        ("rotate_after: of", "did you mean `off`?"),
        ("secrets: \"\"", "expected the path of a file"),
        ("hashing: { memory: 4KiB }", "out of range"),
        ("hashing: { memory: 65537B }", "13:23: `keys.hashing.memory` is not a whole number"),
        ("hashing: { passes: 0 }", "out of range"),
        ("hashing: { memroy: 64KiB }", "did you mean `memory`?"),
    ] {
        let field = field.replace("hashing: {", "hashing:\n    {");
        let fault = fault.replace("13:23", "13:15");
        check_added(&format!("keys:\n  {field}"), &[&fault]);
    }
}

#[test]
fn regions_have_hosts_of_their_own_and_an_upstream() {
    let au = "au: { hosts: [Api.au.example.com], upstream: practice }";
    let check_regions = |more: &str, fault: &str| {
        check_added(&format!("regions:\n  {au}\n  {more}"), &[fault]);
    };
    check_regions(
        "eu: { hosts: [api.au.example.com], upstream: practice }",
        "13:17: this host stands on line 12",
    );
    check_regions(
        "eu: { hosts: [a.b, A.B], upstream: practice }",
        "13:22: this host stands on line 13",
    );
    check_regions("eu: { hosts: [a.b:443], upstream: practice }", "expected a host name");
    check_regions("eu: { hosts: [], upstream: practice }", "is an empty list");
    check_regions("eu: { hosts: [a.b], upstream: practise }", "did you mean `practice`?");
    check_regions("eu: { upstream: practice }", "a region has no `hosts`");
    check_regions("eu: { hosts: [a.b] }", "a region has no `upstream`");
}

#[test]
fn schemes_are_said_once_and_with_what_they_use() {
    let check_credentials = |fields: &str, fault: &str| {
        check_added(&format!("credentials:\n  {{ {fields} }}"), &[fault]);
    };
    check_credentials("schemes: [bearer, bearer]", "12:23: this scheme stands in the list twice");
    check_credentials("schemes: [baerer]", "did you mean `bearer`?");
    check_credentials("schemes: []", "is an empty list");
    check_credentials("vendor_key: of", "did you mean `off`?");
    check_credentials(
        "token_path: /token",
        "12:17: `credentials.token_path` has no effect without the scheme oauth2 — add oauth2 to `schemes`",
    );
    check_credentials("token_ttl: 2h", "`credentials.token_ttl` has no effect");
    check_credentials("token_path: oauth", "did you mean /oauth?");
    check_credentials("token_ttl: 0s", "out of range");
    check_credentials("username_header: X-User", "without the scheme username_header");
    for path in ["/oauth2/", "/", "/{id}", "/a/**", "/a?b", "/.well-known/postern/token"] {
        check_credentials(&format!("schemes: [oauth2], token_path: '{path}'"), "expected a path");
    }
    check_credentials("schemes: [oauth2], token_path: /revoke", "tokens are given back at /revoke");
    check_credentials("schemes: [oauth2], token_path: token", "did you mean /token?");
    check_credentials("schemes: [oauth2], token_ttl: 0s", "out of range");
}

#[test]
fn a_route_is_not_where_tokens_are_issued() {
    let oauth2 = "credentials: { schemes: [headers, oauth2], token_path: /v1/patients/token }\n";
    for path in ["token", "revoke"] {
        let routes = ROUTES.replace("**", path);
        let faults = given(&format!("{MAIN}{oauth2}")).file("p/routes.yaml", &routes).faults();
        let said = format!("p/routes.yaml:3:11: `/v1/patients/{path}` is never reached: tokens");
        assert!(faults.len() == 1 && faults[0].starts_with(&said), "{faults:?}");
        assert!(given(MAIN).file("p/routes.yaml", &routes).load().is_ok());
    }
    let wider = given(&format!("{MAIN}{oauth2}")).load();
    assert!(wider.is_ok(), "what is wider than the gateway's own path has other paths, too");
}

#[test]
fn key_headers_have_no_other_meaning() {
    let names = "Authorization Host Content-Length Cookie X-Forwarded-For X-Forwarded X-Postern-Vendor X-Postern \
        X-Real-IP X-Accel-Redirect X-Envoy-Original-Path X-Sendfile X-Original-Method X-Method-Override X-HTTP-Method";
    for name in names.split_whitespace() {
        check_added(
            &format!("credentials: {{ vendor_header: {name} }}"),
            &["a meaning of its own"],
        );
    }
    check_added("credentials: { vendor_header: X_Key }", &["did you mean X-Key?"]);
    check_added("credentials: { vendor_header: x-subscriber-key }", &["the same header"]);
    check_added(
        "credentials: { schemes: [username_header], username_header: X-Vendor-Key }",
        &["11:61: `vendor_header` and `username_header` are the same header"],
    );
    check_added("credentials: { subscriber_header: X-Username }", &["11:35: "]);
}

#[test]
fn secrets_are_put_in_and_never_said() {
    let header =
        |value: &str| MAIN.replace("9000", &format!("9000\n    headers: {{ X-A: {value} }}"));
    let faults =
        |value: &str| given(&header(value)).env("SET", "hunter22\nx").env("EMPTY", "").faults();
    assert_eq!(faults("\"${env:UNSET}\"").len(), 1);
    assert!(
        faults("\"a ${env:UNSET}\"")[0]
            .starts_with("p/postern.yaml:6:24: the environment variable `UNSET` is not set")
    );
    assert!(faults("\"${env:EMPTY}\"")[0].contains("is empty"));
    assert!(faults("\"${file:none}\"")[0].contains("6:22: cannot read p/none"));
    assert!(faults("\"${var:X}\"")[0].contains("names neither"));
    assert!(faults("\"${env:X\"")[0].contains("not closed"));
    assert!(faults("${env:X}")[0].contains("into double quotes"));
    let said = faults("\"${env:SET}\"");
    assert!(said.len() == 1 && !said[0].contains("hunter22"), "{said:?}");
    let upstream = given(&MAIN.replace("upstream: practice", "upstream: \"${env:SET}\""))
        .env("SET", "hunter22")
        .faults();
    assert!(upstream.len() == 1 && !upstream[0].contains("hunter22"), "{upstream:?}");
    let mount = given(&MAIN.replace("mount: /v1", "mount: \"${env:SET}\""))
        .env("SET", "/hunter22")
        .faults();
    assert!(!mount.is_empty() && !mount.concat().contains("hunter22"), "{mount:?}");
}

#[test]
fn a_word_that_everybody_knows_is_said_though_a_variable_holds_it() {
    let main = MAIN.replace("9000", "9000\n    headers: { X-A: \"${env:SET}\" }");
    let faults = |value: &str, category: &str| {
        let routes = ROUTES.replace("category: patient", &format!("category: {category}"));
        given(&main).env("SET", value).file("p/routes.yaml", routes).faults()
    };
    assert!(faults("patient", "patients")[0].ends_with("did you mean `patient`?"));
    assert!(!faults("hunter22", "hunter22").concat().contains("hunter22"));
}

#[test]
fn a_value_that_was_put_in_is_text_and_nothing_else() {
    let main = MAIN.replace("127.0.0.1:9000", "${env:HOST}");
    let host = |value: &str| given(&main).env("HOST", value).load();
    assert_eq!(
        host("practice.internal").unwrap().upstreams[0].endpoints[0].host,
        "practice.internal"
    );
    assert!(host("a\n    preserve_host: true").is_err());
    assert!(host("${env:HOST}").is_err());
}

#[test]
fn mounts_do_not_overlap() {
    for (mount, fault) in [
        ("/v1", "overlap"),
        ("/v1/fhir", "overlap"),
        ("/", "overlap"),
        ("/v2/", "did you mean /v2?"),
    ] {
        let added =
            format!("  other: {{ mount: {mount}, upstream: practice, routes: other.yaml }}\n");
        let routes = ROUTES.replace("/v1/", &format!("{}/other/", mount.trim_end_matches('/')));
        let found = given(&format!("{MAIN}{added}")).file("p/other.yaml", routes).faults();
        assert!(
            found.len() == 1 && found[0].contains("11:19: ") && found[0].contains(fault),
            "{mount}: {found:?}"
        );
    }
}

#[test]
fn a_faulty_template_is_said_in_the_template() {
    let main = format!("{MAIN}errors: e.json\n");
    let found = given(&main).file("p/e.json", "{\n  \"a\": \"{{cod}}\"\n}").faults();
    assert_eq!(found, ["p/e.json:2:9: unknown placeholder `cod` — did you mean `code`?"]);
    assert!(
        given(&main).file("p/e.json", "{").faults()[0]
            .starts_with("p/e.json:1:1: the template is not JSON")
    );
    check_added("errors: probelm", &["did you mean `problem`?"]);
}
