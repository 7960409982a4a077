//! An explanation is the decision, and its reasons are the true ones.

use std::sync::Arc;

use super::*;
use crate::model::{ApiId, Catalogue, MethodSet, Place, Subscriber};
use crate::policy::pattern::Pattern;
use crate::policy::rule::{Effect, Subject};
use crate::policy::table::RouteTable;

fn policy() -> Policy {
    let catalogue = Catalogue::default();
    let read = |scope| Need { scope: catalogue.id(scope).unwrap(), access: Access::READ };
    let when = Condition {
        subject: Subject::Query("include".into()),
        contains: None,
        requires: [read("clinical")].into(),
    };
    let rule = |line, pattern, methods: &[Method]| Rule {
        pattern: Pattern::parse(pattern).unwrap(),
        place: Place { file: "routes.yaml".into(), line, column: 5 },
        api: ApiId(0),
        methods: methods.iter().copied().collect::<MethodSet>(),
        effect: Effect::Guarded {
            needs: [(); 6].map(|()| [read("patient")].into()),
            when: [when.clone()].into(),
        },
        websocket: false,
        max_body: None,
        cost: std::num::NonZeroU32::MIN,
        slash_optional: false,
    };
    let rules = vec![
        rule(3, "/**", &Method::ALL),
        rule(5, "/v1/{id}", &Method::ALL),
        rule(7, "/v1/me", &[Method::Get]),
        rule(9, "/v1/me", &[Method::Put]),
        rule(11, "/v2/me", &Method::ALL),
    ];
    let table = RouteTable::build(rules).unwrap();
    Policy { catalogue, table }
}

fn caller(policy: &Policy) -> Caller {
    let subscriber = Arc::new(Subscriber {
        practice: "harbour".into(),
        key_id: "k1".into(),
        owner: "amy".into(),
        api: ApiId(0),
        grants: policy.catalogue.grants([("patient", Access::READ)]).unwrap(),
        limit: None,
    });
    Caller::new(subscriber, Some("acme".into()))
}

fn losers(explanation: &Explanation<'_>) -> Vec<(usize, Lost)> {
    explanation.others.iter().map(|other| (other.rule.place.line, other.lost)).collect()
}

#[test]
fn every_matching_rule_that_lost_says_why() {
    let policy = policy();
    let target = Target::parse("/v1/me").unwrap();
    let explanation = policy.explain(Method::Get, &target, &HeaderMap::new(), None);
    assert!(matches!(explanation.found, Found::Rule(rule) if rule.place.line == 7));
    assert_eq!(
        losers(&explanation),
        [
            (9, Lost::OtherMethods),
            (5, Lost::LessSpecific { segment: 2 }),
            (3, Lost::LessSpecific { segment: 1 }),
        ]
    );
}

#[test]
fn a_method_that_nobody_takes_leaves_every_rule_a_loser() {
    let policy = policy();
    let target = Target::parse("/v1/me").unwrap();
    let explanation = policy.explain(Method::Delete, &target, &HeaderMap::new(), None);
    assert_eq!(explanation.outcome.unwrap_err(), Refusal::RouteUnmapped);
    assert_eq!(explanation.others.len(), 4);
}

#[test]
fn a_second_spelling_shows_the_rules_of_both() {
    let mut policy = policy();
    let mut rules = policy.table.rules().to_vec();
    rules[2].effect = Effect::Deny;
    policy.table = RouteTable::build(rules).unwrap();
    let target = Target::parse("/v1/ME").unwrap();
    let explanation = policy.explain(Method::Get, &target, &HeaderMap::new(), None);
    assert!(matches!(explanation.found, Found::Ambiguous));
    let shown = [7, 9, 5, 3].map(|line| (line, Lost::Ambiguous));
    assert_eq!(losers(&explanation), shown);
    assert_eq!(explanation.outcome.unwrap_err().code(), "ambiguous_path");
}

#[test]
fn needs_and_grants_are_shown_past_the_first_lack() {
    let policy = policy();
    let target = Target::parse("/v1/7?include=x").unwrap();
    let caller = caller(&policy);
    let explanation = policy.explain(Method::Get, &target, &HeaderMap::new(), Some(&caller));
    let shown: Vec<_> = explanation
        .needs
        .iter()
        .map(|(need, granted)| (policy.catalogue.name(need.scope), need.access, granted.unwrap()))
        .collect();
    let expected =
        [("patient", Access::READ, Access::READ), ("clinical", Access::READ, Access::NONE)];
    assert_eq!(shown, expected);
    assert!(explanation.conditions.iter().all(|(_, holds)| *holds));
    assert_eq!(explanation.outcome.unwrap_err().code(), "permission_denied");
}

#[test]
fn needs_are_shown_without_a_caller_too() {
    let policy = policy();
    let target = Target::parse("/v1/7").unwrap();
    let explanation = policy.explain(Method::Get, &target, &HeaderMap::new(), None);
    assert_eq!(explanation.needs.len(), 1);
    assert_eq!(explanation.conditions.iter().filter(|(_, holds)| *holds).count(), 0);
    assert_eq!(explanation.outcome.unwrap_err(), Refusal::SubscriberKeyMissing);
}

#[test]
fn an_explanation_ends_as_the_decision_does() {
    let policy = policy();
    let caller = caller(&policy);
    for raw in ["/", "/v1/me", "/v1/7?include", "/v2/me", "/v1/x/y"] {
        let target = Target::parse(raw).unwrap();
        for method in Method::ALL {
            for caller in [None, Some(&caller)] {
                let headers = HeaderMap::new();
                let found = policy.find(&target, method);
                let judged = policy.judge(found, method, &target, &headers, caller);
                let explained = policy.explain(method, &target, &headers, caller).outcome;
                assert_eq!(judged.map(|a| a.needs), explained.map(|a| a.needs), "{method} {raw}");
            }
        }
    }
}
