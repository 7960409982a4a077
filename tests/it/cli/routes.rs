//! `postern routes`: a map listed, drafted from an OpenAPI document, and held against one.

use super::*;

#[test]
fn routes_are_listed_with_their_lines() {
    let desk = Desk::new();
    let said = desk.run(&["routes", "list", "--config", "postern.yaml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<Vec<&str>> = said.out.lines().map(|l| l.split_whitespace().collect()).collect();
    let expected =
        ["GET", "HEAD", "/v1/patients/**", "patient:read", "standard", "practice", "routes.yaml:3"];
    assert_eq!(lines[0], expected, "{}", said.out);
    assert_eq!(lines.last().unwrap()[..3], ["any", "/v1/internal/**", "refused"]);
    let json = desk.run(&["routes", "list", "--config", "postern.yaml", "--json"]).json();
    assert_eq!(json["routes"][0]["needs"], json!({ "patient": "read" }));
}

#[test]
fn what_a_route_allows_beside_is_listed() {
    let desk = Desk::new();
    let routes = "version: 1\nroutes:\n  - { path: /v1/live, category: patient, websocket: true }\n  \
                  - { path: /v1/scans, category: patient, methods: [POST], max_body: 1KiB }\n";
    desk.write("routes.yaml", routes.as_bytes());
    let said = desk.run(&["routes", "list", "--config", "postern.yaml"]);
    for needs in
        ["patient:read, may upgrade to a WebSocket", "patient:write, body up to 1024 bytes"]
    {
        assert!(said.out.contains(needs), "{}", said.out);
    }
}

const OPENAPI: &str = "\
openapi: 3.0.3
info: { title: Practice, version: '1' }
servers: [{ url: https://api.example.com/v1 }]
paths:
  /patients: { get: { summary: All patients }, post: {} }
  /patients/{id}: { get: {} }
  /widgets: { get: { summary: 'Widgets: all' } }
";

#[test]
fn a_drafted_route_map_loads_and_covers_its_document() {
    let desk = Desk::new();
    desk.write("openapi.yaml", OPENAPI.as_bytes());
    let said = desk.run(&["routes", "import", "openapi.yaml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("# choose a category\n  - path: /v1/widgets\n    deny: true"),
        "{}",
        said.out
    );
    desk.write("routes.yaml", said.out.as_bytes());
    let said = desk.run(&["check", "--config", "postern.yaml"]);
    assert_eq!(said.code, 0, "{}", said.out);
    let said = desk.run(&["routes", "coverage", "openapi.yaml", "--config", "postern.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (0, "4 of 4 operations mapped\n"), "{}", said.err);
}

#[test]
fn import_tells_what_it_leaves_out_and_refuses_where_nothing_is_left() {
    let desk = Desk::with(&[]);
    let document = "{openapi: 3.0.0, paths: {/a: {get: {}, options: {}}, '/b c': {get: {}}}}";
    desk.write("openapi.yaml", format!("---\n{document}\n").as_bytes());
    let json = desk.run(&["routes", "import", "openapi.yaml", "--json"]).json();
    assert_eq!(
        (&json["routes"], json["notes"].as_array().unwrap().len()),
        (&json!(1), 2),
        "{json}"
    );
    assert_eq!(json["notes"][0], "OPTIONS /a is answered by the gateway itself");
    assert!(json["notes"][1].as_str().unwrap().starts_with("/b c is left out: "), "{json}");
    let said = desk.run(&["routes", "import", "openapi.yaml"]);
    assert!(said.out.contains(": 1 route, 1 of them refused"), "{}", said.out);

    desk.write("empty.yaml", b"openapi: 3.0.0\npaths: { /a: { trace: {} } }\n");
    let said = desk.run(&["routes", "import", "empty.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    let reason = "postern: empty.yaml has nothing to route\n  TRACE /a cannot pass a gateway\n";
    assert_eq!(said.err, reason);

    let said = desk.run(&["routes", "import", "nope.json"]);
    assert_eq!(said.err, "postern: there is no file nope.json\n");
}

#[test]
fn coverage_names_what_is_unmapped_and_what_is_unused() {
    let desk = Desk::new();
    desk.write("openapi.yaml", OPENAPI.as_bytes());
    let coverage = ["routes", "coverage", "openapi.yaml", "--config", "postern.yaml"];
    let said = desk.run(&coverage);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("GET  /v1/widgets  Widgets: all"), "{}", said.out);
    assert!(said.out.contains("/v1/status  routes.yaml:10"), "{}", said.out);
    assert_eq!(said.err, "postern: 1 operation unmapped\n");
    let json = desk.run(&[&coverage[..], &["--json"]].concat()).json();
    assert_eq!(json["unmapped"][0]["path"], "/v1/widgets");
    assert_eq!(json["unused_rules"][0]["line"], 10);
}

#[test]
fn coverage_finds_an_operation_that_is_mapped_for_some_values_alone() {
    let desk = Desk::new();
    let routes = "version: 1\nroutes:\n  - { path: '/v1/patients/{id:int}', category: patient }\n";
    desk.write("routes.yaml", routes.as_bytes());
    let document = "{openapi: 3.0.0, paths: {'/v1/patients/{id}': {get: {}}}}";
    desk.write("openapi.yaml", format!("---\n{document}\n").as_bytes());
    let coverage = ["routes", "coverage", "openapi.yaml", "--config", "postern.yaml"];
    let said = desk.run(&coverage);
    assert_eq!(said.err, "postern: 1 operation mapped in part\n", "{}", said.out);
    assert!(said.out.starts_with("0 of 1 operation mapped\n"), "{}", said.out);
    let row = "GET  /v1/patients/{id}  only /v1/patients/{id:int}  routes.yaml:3";
    assert!(said.out.contains(row), "{}", said.out);
    let json = desk.run(&[&coverage[..], &["--json"]].concat()).json();
    assert_eq!(json["partly_mapped"][0]["only"]["line"], 3);
    assert_eq!(json["unused_rules"], json!([]));
}
