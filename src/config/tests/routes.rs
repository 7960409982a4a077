//! Route maps: what a route means, and each fault of one.

use super::*;
use crate::model::{Method, MethodSet};
use crate::policy::{Effect, Subject};

fn map(routes: &str) -> Given {
    given(MAIN).file("p/routes.yaml", format!("version: 1\nroutes:\n  - {routes}\n"))
}

/// Wants exactly these faults of one or more routes; the first is on line 3.
fn check(routes: &str, faults: &[&str]) {
    let found = map(routes).faults();
    assert_eq!(found.len(), faults.len(), "{routes}: {found:#?}");
    for (found, wanted) in found.iter().zip(faults) {
        assert!(
            found.starts_with("p/routes.yaml:") && found.contains(wanted),
            "{routes}: {found}\nhas no {wanted}"
        );
    }
}

/// What each method needs, and no word where it is not taken.
fn needs(route: &str) -> Vec<String> {
    let config = map(route).load().unwrap();
    let policy = config.policy;
    let rule = &policy.table.rules()[0];
    let Effect::Guarded { needs, .. } = &rule.effect else { panic!("guarded") };
    let said = |method: Method| {
        let words = needs[method.index()]
            .iter()
            .map(|need| format!("{}:{}", policy.catalogue.name(need.scope), need.access.need()));
        format!("{method} {}", words.collect::<Vec<_>>().join(" "))
    };
    rule.methods.iter().map(said).collect()
}

#[test]
fn a_category_is_read_or_written_by_method() {
    let usual = [
        "GET patient:read",
        "HEAD patient:read",
        "POST patient:write",
        "PUT patient:write",
        "PATCH patient:write",
        "DELETE patient:write",
    ];
    assert_eq!(needs("{ path: /v1/a, category: patient }"), usual);
    assert_eq!(
        needs("{ path: /v1/a, category: patient, methods: [POST] }"),
        ["POST patient:write"]
    );
    let mut search = usual.map(str::to_owned);
    search[2] = "POST patient:read".to_owned();
    assert_eq!(needs("{ path: /v1/a, category: patient, methods: { POST: read } }"), search);
}

#[test]
fn requires_holds_for_every_method_and_takes_get_and_head_alone() {
    let requires = "path: /v1/a, requires: { patient: read, clinical: write }";
    assert_eq!(
        needs(&format!("{{ {requires} }}")),
        ["GET patient:read clinical:write", "HEAD patient:read clinical:write"]
    );
    assert_eq!(
        needs(&format!("{{ {requires}, methods: [POST] }}")),
        ["POST patient:read clinical:write"]
    );
    assert_eq!(
        needs(&format!("{{ {requires}, category: patient, methods: {{ POST: write }} }}")),
        [
            "GET patient:read clinical:write",
            "HEAD patient:read clinical:write",
            "POST patient:read and write clinical:write"
        ]
    );
}

#[test]
fn public_and_denied_routes_take_every_method() {
    for (route, is_public) in
        [("{ path: /v1/a, public: true }", true), ("{ path: /v1/a, deny: true }", false)]
    {
        let config = map(route).load().unwrap();
        let rule = &config.policy.table.rules()[0];
        assert_eq!(
            (rule.methods, matches!(rule.effect, Effect::Public)),
            (MethodSet::ALL, is_public)
        );
    }
}

#[test]
fn a_route_keeps_what_was_said_of_it() {
    let config = map("{ path: \"/v1/a/{id:int}\", category: patient, websocket: true, max_body: 1GiB, when: [{ query: include, contains: notes, requires: { clinical: read } }, { header: X-On-Behalf-Of, requires: { system: write } }] }").load().unwrap();
    let rule = &config.policy.table.rules()[0];
    assert_eq!((rule.websocket, rule.max_body, rule.slash_optional), (true, Some(1 << 30), false));
    assert_eq!(rule.place.to_string(), "p/routes.yaml:3:5");
    let Effect::Guarded { when, .. } = &rule.effect else { panic!("guarded") };
    assert!(matches!(&when[0].subject, Subject::Query(name) if &**name == "include"));
    assert_eq!((when[0].contains.as_deref(), when[0].requires.len()), (Some("notes"), 1));
    assert!(
        matches!(&when[1].subject, Subject::Header(name) if name == "x-on-behalf-of")
            && when[1].contains.is_none()
    );
}

#[test]
fn a_route_decides_one_thing() {
    check("{ path: /v1/a }", &["3:5: this route decides nothing"]);
    check("{ path: /v1/a, public: false }", &["decides nothing"]);
    check("{ path: /v1/a, public: yes }", &["expected true or false"]);
    check("{ path: /v1/a, category: }", &["has no value"]);
    check("/v1/a", &["expected a mapping"]);
    check("{ resources: { Observation: clinical } }", &["`routes.resources` is not available yet"]);
    check(
        "{ path: /v1/a, requires: {} }",
        &["is empty — write something such as `requires: { patient: read }`"],
    );
    check("{ path: /v1/a, public: true, category: patient }", &["both public and guarded"]);
    check(
        "{ path: /v1/a, public: true, requires: { patient: read } }",
        &["both public and guarded"],
    );
    check("{ path: /v1/a, public: true, deny: true }", &["both public and denied"]);
    check("{ path: /v1/a, deny: true, category: patient }", &["needs no category"]);
    check(
        "{ path: /v1/a, public: true, when: [{ query: a, requires: { patient: read } }] }",
        &["no effect"],
    );
    check("{ path: /v1/a, public: true, methods: { POST: read } }", &["a map of methods"]);
    check(
        "{ path: /v1/a, requires: { patient: read }, methods: { POST: read } }",
        &["a map of methods"],
    );
}

#[test]
fn names_of_categories_and_methods_are_known() {
    check(
        "{ path: /v1/a, category: patients }",
        &["3:30: there is no category or scope `patients` — did you mean `patient`?"],
    );
    check("{ path: /v1/a, requires: { clinicl: read } }", &["did you mean `clinical`?"]);
    check("{ path: /v1/a, requires: { patient: delete } }", &["one of read, write"]);
    check("{ path: /v1/a, category: patient, methods: [get] }", &["did you mean `GET`?"]);
    check("{ path: /v1/a, category: patient, methods: [OPTIONS] }", &["answered by the gateway"]);
    check("{ path: /v1/a, category: patient, methods: [GET, GET] }", &["twice"]);
    check("{ path: /v1/a, category: patient, methods: [] }", &["empty list"]);
    check(
        "{ path: /v1/a, category: patient, methods: GET }",
        &["expected a list or a mapping, found `GET`"],
    );
    check("{ path: /v1/a, category: patient, methods: { POST: none } }", &["one of read, write"]);
    check("{ path: /v1/a, catgory: patient }", &["did you mean `category`?"]);
}

#[test]
fn a_path_can_be_reached() {
    check(
        "{ path: /v2/a, category: patient }",
        &["3:13: `/v2/a` lies outside its API, which is mounted at /v1"],
    );
    check("{ path: v1/a, category: patient }", &["did you mean /v1/a?"]);
    check("{ path: /v1//a, category: patient }", &["3:13: "]);
    check("{ path: /v1/%41, category: patient }", &["3:13: "]);
    check("{ path: /v1/**/a, category: patient }", &["3:13: "]);
    check(
        &format!("{{ path: /v1{}, category: patient }}", "/a".repeat(100)),
        &["at most 64 segments"],
    );
    check("{ category: patient }", &["a route has no `path`"]);
    check(
        "{ path: /v1/a, category: patient, methods: [POST], websocket: true }",
        &["an upgrade is a GET"],
    );
    let found = map("{ path: /.well-known/postern, public: true }")
        .file("p/postern.yaml", MAIN.replace("/v1", "/"))
        .faults();
    assert!(found.len() == 1 && found[0].contains("the gateway itself answers"), "{found:?}");
}

#[test]
fn two_routes_for_the_same_requests_are_both_named() {
    let two = |one: &str, other: &str| {
        format!(
            "{{ path: \"/v1/a/{{id}}\", category: patient{one} }}\n  - {{ path: \"/v1/a/{{name}}\", category: files{other} }}"
        )
    };
    check(&two("", ""), &["4:5: `/v1/a/{name}` is also ruled at p/routes.yaml:3:5"]);
    check(&two(", methods: [GET, PUT]", ", methods: [PUT]"), &["is also ruled"]);
    assert!(map(&two(", methods: [GET]", ", methods: [PUT]")).load().is_ok());
}

#[test]
fn a_route_that_others_leave_no_path_is_refused() {
    let faults = |slash: &str, routes: &[&str]| {
        let routes =
            routes.iter().map(|path| format!("  - {{ path: \"{path}\", public: true }}\n"));
        let text =
            format!("version: 1\ntrailing_slash: {slash}\nroutes:\n{}", routes.collect::<String>());
        given(MAIN).file("p/routes.yaml", text)
    };
    assert_eq!(
        faults("optional", &["/v1/x", "/v1/x/**", "/v1/x/{a}/**"]).faults(),
        [
            "p/routes.yaml:5:5: `/v1/x/**` is never reached: `/v1/x` at p/routes.yaml:4:5 and `/v1/x/{a}/**` at \
             p/routes.yaml:6:5 take every path of it — remove this route"
        ]
    );
    assert!(faults("strict", &["/v1/x", "/v1/x/**", "/v1/x/{a}/**"]).load().is_ok());
    assert!(faults("optional", &["/v1/x", "/v1/x/**", "/v1/x/{a:int}/**"]).load().is_ok());
    let found =
        faults("strict", &["/v1/**", "/v1", "/v1/", "/v1/{a}", "/v1/{a}/", "/v1/{a}/{b}/**"]);
    let found = found.faults();
    assert!(found.len() == 1 && found[0].contains("more specific routes take"), "{found:?}");
}

#[test]
fn conditions_look_at_one_thing_and_ask_for_something() {
    let check_when = |when: &str, fault: &str| {
        check(&format!("{{ path: /v1/a, category: patient, when: [{when}] }}"), &[fault])
    };
    check_when("{ requires: { files: read } }", "looks at nothing");
    check_when("{ query: a, header: b, requires: { files: read } }", "not at both");
    check_when("{ query: a }", "a condition has no `requires`");
    check_when("{ header: X_A, requires: { files: read } }", "did you mean X-A?");
    check_when(
        "{ query: a, contains: \"b,c\", requires: { files: read } }",
        "one condition for each",
    );
    check_when("{ query: a, requires: { file: read } }", "did you mean `files`?");
    check_when("query", "expected a mapping");
}

#[test]
fn what_has_no_effect_is_refused() {
    check("{ path: /v1/a, deny: true, max_body: 1MiB }", &["a denied route takes no body"]);
    check("{ path: /v1/a, deny: true, websocket: true }", &["a denied route upgrades nothing"]);
    check(
        "{ path: /v1/a, category: patient, requires: { patient: read } }",
        &["3:51: `patient` is needed already, by `category`"],
    );
    check(
        "{ path: /v1/a, category: patient, methods: [POST], requires: { patient: write } }",
        &["is needed already"],
    );
    for fine in [
        "category: patient, requires: { patient: write }",
        "category: patient, methods: [GET, POST], requires: { patient: read }",
        "category: patient, requires: { clinical: read }",
    ] {
        assert!(map(&format!("{{ path: /v1/a, {fine} }}")).load().is_ok(), "{fine}");
    }
    let when =
        |category: &str, when: &str| format!("{{ path: /v1/a, {category}, when: [{when}] }}");
    let files = "{ query: a, requires: { files: read } }";
    check(
        &when("category: patient", &format!("{files}, {files}")),
        &["this condition is here already"],
    );
    check(&when("category: files, methods: [GET]", files), &["the route needs that anyway"]);
    check(
        &when("category: patient, requires: { files: read }", files),
        &["the route needs that anyway"],
    );
    assert!(map(&when("category: files", files)).load().is_ok());
    for (subject, fault) in [
        ("query: _method", "changes the method"),
        ("header: X-HTTP-Method-Override", "changes the method"),
        ("query: api_key", "no key may stand in a query"),
        ("query: X-Subscriber-Key", "no key may stand in a query"),
    ] {
        let condition = format!("{{ {subject}, requires: {{ files: read }} }}");
        check(&when("category: patient", &condition), &[fault]);
    }
}

#[test]
fn a_cost_is_at_least_one_and_nothing_of_what_is_denied() {
    assert!(map("{ path: /v1/a, category: files, cost: 5 }").load().is_ok());
    assert!(map("{ path: /v1/a, public: true, cost: 5 }").load().is_ok());
    check("{ path: /v1/a, category: files, cost: 0 }", &["`routes.cost`"]);
    check("{ path: /v1/a, category: files, cost: -1 }", &["`routes.cost`"]);
    check("{ path: /v1/a, deny: true, cost: 5 }", &["takes nothing from the limits"]);
}

#[test]
fn what_comes_later_in_a_route_is_refused_once() {
    check(
        "{ fhir: /v1/fhir, resources: { Observation: clinical } }",
        &["`routes.fhir` is not", "`routes.resources` is not"],
    );
}

#[test]
fn a_map_has_a_version_and_routes() {
    let faults = |text: &str| given(MAIN).file("p/routes.yaml", text).faults();
    assert!(
        faults("routes: [{ path: /v1/a, public: true }]\n")[0]
            .contains("routes.yaml:1:1: a route map has no `version`")
    );
    assert!(
        faults("{ version: 2, routes: [{ path: /v1/a, public: true }] }")[0]
            .contains("expected `1`, found `2`")
    );
    assert!(faults("{ version: 1, routes: [] }")[0].contains("is an empty list"));
    assert!(faults("version: 1\n")[0].contains("has no `routes`"));
    assert!(faults("")[0].contains("routes.yaml:1:1: the file is empty"));
    assert!(
        faults("{ version: 1, trailing_slash: maybe, routes: [{ path: /v1/a, public: true }] }")[0]
            .contains("strict, optional")
    );
}

#[test]
fn categories_are_defined_once_or_alike() {
    let main = MAIN.replace("routes.yaml", "[routes.yaml, more.yaml]");
    let define = |title: &str, path: &str| {
        format!(
            "version: 1\ncategories:\n  billing: {{ title: {title}, scopes: {{ invoices: Invoices }} }}\nroutes:\n  - {{ path: {path}, category: billing.invoices }}\n"
        )
    };
    let both = |one: &str, other: &str| {
        given(&main)
            .file("p/routes.yaml", define(one, "/v1/a"))
            .file("p/more.yaml", define(other, "/v1/b"))
    };
    assert!(both("Billing", "Billing").load().is_ok());
    let found = both("Billing", "Bills").faults();
    assert!(
        found.len() == 1
            && found[0]
                .contains("p/more.yaml:3:3: `billing` is defined otherwise at p/routes.yaml:3:3"),
        "{found:?}"
    );
    let built_in = given(MAIN)
        .file("p/routes.yaml", define("Mine", "/v1/a").replace("billing", "patient"))
        .faults();
    assert!(built_in.len() == 1 && built_in[0].contains("write `title: Patients`"), "{built_in:?}");
    let twice = given(&MAIN.replace("routes.yaml", "[routes.yaml, routes.yaml]")).faults();
    assert!(twice.len() == 1 && twice[0].contains("already named on line 10"), "{twice:?}");
}
