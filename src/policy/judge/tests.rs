//! Every way a decision can end.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};

use super::*;
use crate::model::{ApiId, Place, Subscriber};
use crate::policy::pattern::Pattern;
use crate::policy::rule::Subject;

fn rule(pattern: &str, methods: &[Method], effect: Effect) -> Rule {
    Rule {
        pattern: Pattern::parse(pattern).unwrap(),
        place: Place { file: "routes.yaml".into(), line: 1, column: 1 },
        api: ApiId(0),
        methods: methods.iter().copied().collect(),
        effect,
        websocket: false,
        max_body: None,
        cost: std::num::NonZeroU32::MIN,
        slash_optional: false,
    }
}

fn need(catalogue: &Catalogue, scope: &str, access: Access) -> Need {
    Need { scope: catalogue.id(scope).unwrap(), access }
}

/// A rule of one category, as a route map with `category:` compiles to.
fn category(catalogue: &Catalogue, pattern: &str, scope: &str, when: Vec<Condition>) -> Rule {
    let needs = Method::ALL.map(|m| Box::from([need(catalogue, scope, m.usual_access())]));
    rule(pattern, &Method::ALL, Effect::Guarded { needs, when: when.into() })
}

fn policy() -> Policy {
    let catalogue = Catalogue::default();
    let clinical: Box<[Need]> = [need(&catalogue, "clinical", Access::READ)].into();
    let patient_write: Box<[Need]> = [need(&catalogue, "patient", Access::WRITE_ONLY)].into();
    let when = vec![
        Condition {
            subject: Subject::Query("include".into()),
            contains: Some("notes".into()),
            requires: clinical,
        },
        Condition {
            subject: Subject::Header(HeaderName::from_static("x-on-behalf-of")),
            contains: None,
            requires: patient_write,
        },
    ];
    let two = |access| {
        Box::from([need(&catalogue, "patient", access), need(&catalogue, "clinical", access)])
    };
    let both = [Access::READ; 6].map(two);
    let elsewhere = Rule { api: ApiId(1), ..category(&catalogue, "/fhir/**", "patient", vec![]) };
    let rules = vec![
        category(&catalogue, "/v1/patients", "patient", when),
        rule("/v1/summary", &[Method::Get], Effect::Guarded { needs: both, when: [].into() }),
        rule("/v1/status", &[Method::Get], Effect::Public),
        rule("/v1/internal/**", &Method::ALL, Effect::Deny),
        rule("/v1/$export", &Method::ALL, Effect::Deny),
        category(&catalogue, "/v1/{name}", "files", vec![]),
        elsewhere,
    ];
    let table = RouteTable::build(rules).unwrap();
    Policy { catalogue, table }
}

fn caller(policy: &Policy, permissions: &[(&str, Access)]) -> Caller {
    let subscriber = Arc::new(Subscriber {
        practice: "harbour".into(),
        key_id: "k1".into(),
        owner: "amy".into(),
        api: ApiId(0),
        grants: policy.catalogue.grants(permissions.iter().copied()).unwrap(),
        limit: None,
    });
    Caller::new(subscriber, Some("acme".into()))
}

/// The scopes needed, or the code of the refusal, for a caller with these permissions.
fn decide(
    policy: &Policy,
    method: Method,
    raw: &str,
    headers: &HeaderMap,
    permissions: &[(&str, Access)],
) -> Result<Vec<String>, Refusal> {
    let target = Target::parse(raw).unwrap();
    let found = policy.find(&target, method);
    let caller = caller(policy, permissions);
    let admission = policy.judge(found, method, &target, headers, Some(&caller))?;
    let name =
        |need: &Need| format!("{}:{}", policy.catalogue.name(need.scope), need.access.need());
    Ok(admission.needs.iter().map(name).collect())
}

const READ: Access = Access::READ;
const WRITE: Access = Access::READ_WRITE;
const WRITE_ONLY: Access = Access::WRITE_ONLY;

#[test]
fn a_method_needs_its_bit_and_no_more() {
    let policy = policy();
    let decide = |method, permissions: &[_]| {
        decide(&policy, method, "/v1/patients", &HeaderMap::new(), permissions)
    };
    for method in [Method::Get, Method::Head] {
        assert_eq!(decide(method, &[("patient", READ)]).unwrap(), ["patient:read"]);
        assert!(decide(method, &[("patient", WRITE_ONLY)]).is_err());
        assert!(decide(method, &[("clinical", WRITE)]).is_err());
    }
    for method in [Method::Post, Method::Put, Method::Patch, Method::Delete] {
        assert_eq!(decide(method, &[("patient", WRITE_ONLY)]).unwrap(), ["patient:write"]);
        assert!(decide(method, &[("patient", WRITE)]).is_ok());
        assert!(decide(method, &[("patient", READ)]).is_err());
    }
}

#[test]
fn the_first_lack_is_named() {
    let policy = policy();
    let permissions = [("patient", READ), ("clinical", WRITE_ONLY)];
    let refusal = decide(&policy, Method::Get, "/v1/summary", &HeaderMap::new(), &permissions);
    let lack = Lack {
        category: "clinical".to_owned(),
        needed: READ,
        granted: Access::WRITE_ONLY,
        short: Short::Key,
    };
    assert_eq!(refusal, Err(Refusal::PermissionDenied(lack)));
}

#[test]
fn a_token_that_was_made_for_less_is_told_from_a_key_that_has_less() {
    let policy = policy();
    let target = Target::parse("/v1/patients").unwrap();
    let short = |of_key: &[(&str, Access)]| {
        let mut caller = caller(&policy, of_key);
        caller.narrowed = policy.catalogue.grants([("clinical", READ)]).ok();
        let found = policy.find(&target, Method::Get);
        match policy.judge(found, Method::Get, &target, &HeaderMap::new(), Some(&caller)) {
            Err(Refusal::PermissionDenied(lack)) => (lack.short, lack.granted),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(short(&[("patient", READ)]), (Short::Token, Access::NONE));
    assert_eq!(short(&[("clinical", READ)]), (Short::Both, Access::NONE));
}

#[test]
fn conditions_add_to_what_is_needed_each_scope_once() {
    let policy = policy();
    let all = [("patient", WRITE), ("clinical", READ)];
    let needs =
        |raw, headers: &HeaderMap| decide(&policy, Method::Get, raw, headers, &all).unwrap();
    let none = HeaderMap::new();
    let mut behalf = HeaderMap::new();
    behalf.insert("x-on-behalf-of", HeaderValue::from_static("amy"));
    assert_eq!(needs("/v1/patients?include=a", &none), ["patient:read"]);
    assert_eq!(needs("/v1/patients?include=a,notes", &none), ["patient:read", "clinical:read"]);
    assert_eq!(needs("/v1/patients", &behalf), ["patient:read and write"]);
    let refused =
        decide(&policy, Method::Get, "/v1/patients?include=notes", &none, &[("patient", READ)]);
    assert!(matches!(refused, Err(Refusal::PermissionDenied(lack)) if lack.category == "clinical"));
}

#[test]
fn refusals_come_from_the_rule_before_the_permission() {
    let policy = policy();
    let code = |method, raw| {
        decide(&policy, method, raw, &HeaderMap::new(), &[]).map_or_else(|r| r.code(), |_| "passed")
    };
    assert_eq!(code(Method::Get, "/v2"), "route_unmapped");
    assert_eq!(code(Method::Post, "/v1/summary"), "route_unmapped");
    assert_eq!(code(Method::Delete, "/v1/status"), "route_unmapped");
    assert_eq!(code(Method::Get, "/v1/internal/x"), "route_denied");
    assert_eq!(code(Method::Get, "/v1/$export"), "route_denied");
    assert_eq!(code(Method::Get, "/v1/%24export"), "ambiguous_path");
    assert_eq!(code(Method::Get, "/fhir/Patient"), "wrong_api");
    assert_eq!(code(Method::Get, "/v1/%24other"), "permission_denied");
    assert_eq!(code(Method::Get, "/v1/status"), "passed");
}

/// The code that a GET by a caller who may do everything ends in.
fn code_among(rules: &[(&str, &[Method], Option<&str>)], raw: &str) -> &'static str {
    let catalogue = Catalogue::default();
    let rules = rules.iter().map(|(pattern, methods, scope)| match scope {
        None => rule(pattern, methods, Effect::Deny),
        Some(scope) => {
            let methods = methods.iter().copied().collect();
            Rule { methods, ..category(&catalogue, pattern, scope, vec![]) }
        }
    });
    let table = RouteTable::build(rules.collect()).unwrap();
    let policy = Policy { catalogue, table };
    let all = ["patient", "clinical", "system"].map(|scope| (scope, WRITE));
    decide(&policy, Method::Get, raw, &HeaderMap::new(), &all)
        .map_or_else(|r| r.code(), |_| "passed")
}

const ALL: &[Method] = &Method::ALL;

#[test]
fn a_second_spelling_falls_through_to_no_wider_rule() {
    let rules: [(&str, &[Method], Option<&str>); 7] = [
        ("/v1/**", ALL, Some("system")),
        ("/v1/internal/**", ALL, None),
        ("/v1/patients/{id}", ALL, Some("patient")),
        ("/v1/patients/{id}/**", ALL, Some("patient")),
        ("/v1/patients/export", &[Method::Get], Some("clinical")),
        ("/v1/patients/import", &[Method::Put], Some("patient")),
        ("/v1/closed/**", ALL, None),
    ];
    for raw in [
        "/v1/INTERNAL/x",
        "/v1/internal./x",
        "/v1/internal%20/x",
        "/v1/%20internal",
        "/v1/Patients/7",
        "/v1/patients/Export",
        "/v1/patients/export.",
        "/v1/patients/export/",
        "/v1/patients/Export/",
        "/v1/patients/Import",
    ] {
        assert_eq!(code_among(&rules, raw), "ambiguous_path", "{raw}");
    }
    for raw in [
        "/v1/patients/7",
        "/v1/patients/exports",
        "/v1/patients/7/",
        "/v1/patients/7/Export",
        "/v1/patients/export",
        "/v1/other/",
    ] {
        assert_eq!(code_among(&rules, raw), "passed", "{raw}");
    }
    for raw in ["/v1/internal/x", "/v1/internal/X/", "/v1/closed/Internal"] {
        assert_eq!(code_among(&rules, raw), "route_denied", "{raw}");
    }
}

#[test]
fn a_second_spelling_that_is_decided_alike_passes() {
    let rules: [(&str, &[Method], Option<&str>); 4] = [
        ("/v1/users", ALL, Some("patient")),
        ("/v1/users/**", ALL, Some("patient")),
        ("/v1/users/me", ALL, Some("patient")),
        ("/v1/users/{id}", &[Method::Get], Some("patient")),
    ];
    for raw in ["/v1/users/Me", "/v1/users/me", "/v1/users/", "/v1/users/ME/", "/v1/users/7/"] {
        assert_eq!(code_among(&rules, raw), "passed", "{raw}");
    }
}

#[test]
fn nobody_passes_without_a_caller_unless_the_rule_is_public() {
    let policy = policy();
    for raw in ["/v1/patients", "/v1/internal/x", "/v1/%24export", "/v2", "/fhir/a", "/v1/status"] {
        let target = Target::parse(raw).unwrap();
        for method in Method::ALL {
            let found = policy.find(&target, method);
            let outcome = policy.judge(found, method, &target, &HeaderMap::new(), None);
            assert_eq!(outcome.is_ok(), found.is_public(), "{method} {raw}");
            assert_eq!(outcome.is_ok(), raw == "/v1/status" && method == Method::Get);
        }
    }
}

#[test]
fn a_method_that_the_winner_does_not_take_goes_to_no_other_pattern() {
    let policy = policy();
    let target = Target::parse("/v1/summary").unwrap();
    let found = policy.find(&target, Method::Put);
    assert!(matches!(found, Found::NoMethod(rule) if &*rule.pattern.text == "/v1/summary"));
}
