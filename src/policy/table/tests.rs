//! The table against the definition of specificity, on alphabets so small that patterns overlap all the time.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::{ApiId, Method, MethodSet, Place};
use crate::policy::rule::Effect;
use crate::policy::specificity;

fn rule(pattern: &str) -> Rule {
    Rule {
        pattern: Pattern::parse(pattern).unwrap(),
        place: Place { file: Arc::from("routes.yaml"), line: 1, column: 1 },
        api: ApiId(0),
        methods: MethodSet::ALL,
        effect: Effect::Deny,
        websocket: false,
        max_body: None,
        cost: std::num::NonZeroU32::MIN,
        slash_optional: false,
    }
}

fn optional(pattern: &str) -> Rule {
    Rule { slash_optional: true, ..rule(pattern) }
}

fn with_methods(rule: Rule, methods: &[Method]) -> Rule {
    Rule { methods: methods.iter().copied().collect(), ..rule }
}

/// Looks each path up and compares the pattern that was found with the expected one; "" stands for none.
fn check(patterns: Vec<Rule>, cases: &[(&str, &str)]) {
    let table = RouteTable::build(patterns).unwrap();
    for (path, expected) in cases {
        let run = table.find(&Target::parse(path).unwrap());
        let found = run.first().map_or("", |index| &*table.rules()[*index].pattern.text);
        assert_eq!(found, *expected, "{path}");
    }
}

/// Compares what other spellings of a path would meet, in the order of their texts.
fn check_alike(patterns: &[&str], cases: &[(&str, &[&str])]) {
    let table = RouteTable::build(patterns.iter().map(|text| rule(text)).collect()).unwrap();
    for (path, expected) in cases {
        let alike = table.read(&Target::parse(path).unwrap()).alike;
        let mut found: Vec<_> =
            alike.iter().map(|run| &*table.rules()[run[0]].pattern.text).collect();
        found.sort_unstable();
        assert_eq!(found, *expected, "{path}");
    }
}

#[test]
fn the_most_specific_pattern_wins_whatever_the_order() {
    let patterns =
        ["/a/**", "/a/{x}", "/a/{x:int}", "/a/{x:uuid}", "/a/b", "/a", "/a/{x}/c", "/a/b/{y}"];
    let cases = [
        ("/a", "/a"),
        ("/a/", "/a/**"),
        ("/a/b", "/a/b"),
        ("/a/7", "/a/{x:int}"),
        ("/a/123e4567-e89b-12d3-a456-426614174000", "/a/{x:uuid}"),
        ("/a/z", "/a/{x}"),
        ("/a/b/c", "/a/b/{y}"),
        ("/a/z/c", "/a/{x}/c"),
        ("/a/z/d", "/a/**"),
        ("/a/b/", "/a/**"),
        ("/b", ""),
        ("/", ""),
        ("/ab", ""),
    ];
    check(patterns.map(rule).into(), &cases);
    check(patterns.into_iter().rev().map(rule).collect(), &cases);
}

#[test]
fn a_branch_that_ends_is_left_again() {
    let patterns = ["/a/b/c", "/a/{x:int}/d", "/{x}/{y}/{z}", "/{x}/**"];
    check(
        patterns.map(rule).into(),
        &[
            ("/a/b/c", "/a/b/c"),
            ("/a/b/d", "/{x}/{y}/{z}"),
            ("/a/1/d", "/a/{x:int}/d"),
            ("/a/1/e", "/{x}/{y}/{z}"),
            ("/a/1/d/e", "/{x}/**"),
        ],
    );
}

#[test]
fn a_rest_takes_none_one_or_more_segments() {
    let cases =
        [("/v1", "/v1/**"), ("/v1/", "/v1/**"), ("/v1/a/b/", "/v1/**"), ("/v10", ""), ("/", "")];
    check(vec![rule("/v1/**")], &cases);
    check(vec![rule("/**")], &[("/", "/**"), ("/a", "/**"), ("/a/b/", "/**")]);
}

#[test]
fn a_trailing_slash_counts_unless_the_map_says_otherwise() {
    check(vec![rule("/a"), rule("/b/")], &[("/a", "/a"), ("/a/", ""), ("/b", ""), ("/b/", "/b/")]);
    let both = [("/a", "/a"), ("/a/", "/a"), ("/b", "/b/"), ("/b/", "/b/"), ("/x", "/{x}")];
    check(vec![optional("/a"), optional("/b/"), optional("/{x}"), optional("/")], &both);
    check(vec![optional("/a"), rule("/a/**")], &[("/a/", "/a"), ("/a/b", "/a/**")]);
}

#[test]
fn rules_of_one_pattern_share_a_run_if_their_methods_differ() {
    let get = with_methods(rule("/a/{x}"), &[Method::Get]);
    let post = with_methods(rule("/a/{y}"), &[Method::Post]);
    let table = RouteTable::build(vec![get, post]).unwrap();
    assert_eq!(table.find(&Target::parse("/a/1").unwrap()), [0, 1]);
}

#[test]
fn a_common_method_is_a_conflict() {
    let get = |pattern| with_methods(rule(pattern), &[Method::Get, Method::Put]);
    let conflicts =
        RouteTable::build(vec![get("/a/{x}"), get("/b"), rule("/a/{y}"), get("/a/{z}")]);
    assert_eq!(
        conflicts.unwrap_err(),
        [Conflict { first: 0, second: 2 }, Conflict { first: 0, second: 3 }]
    );
    let slashes = RouteTable::build(vec![optional("/a"), optional("/a/")]);
    assert_eq!(slashes.unwrap_err(), [Conflict { first: 0, second: 1 }]);
    assert!(RouteTable::build(vec![rule("/a"), rule("/a/"), rule("/a/**")]).is_ok());
}

#[test]
fn an_encoded_delimiter_reads_two_ways_only_where_a_literal_has_it() {
    let patterns = ["/fhir/$export", "/fhir/{x}"];
    check_alike(
        &patterns,
        &[
            ("/fhir/%24export", &["/fhir/$export"]),
            ("/fhir/$export", &[]),
            ("/fhir/%24", &[]),
            ("/fhir/a%40b", &[]),
        ],
    );
}

#[test]
fn a_wildcard_tells_of_the_literals_that_the_segment_is_a_spelling_of() {
    let patterns = ["/v1/**", "/v1/internal/**", "/v1/users/{id}", "/v1/users/me/notes"];
    check_alike(
        &patterns,
        &[
            ("/v1/INTERNAL/x", &["/v1/internal/**"]),
            ("/v1/internal./x", &["/v1/internal/**"]),
            ("/v1/internal%20/x", &["/v1/internal/**"]),
            ("/v1/%20Internal", &["/v1/internal/**"]),
            ("/v1/Users/7", &["/v1/users/{id}"]),
            ("/v1/users/ME/notes", &["/v1/users/me/notes"]),
            ("/v1/users/ME/Notes.", &["/v1/users/me/notes"]),
            ("/v1/users/ME", &[]),
            ("/v1/users/me/other", &[]),
            ("/v1/internal/X", &[]),
            ("/v1/internals/x", &[]),
            ("/v1/x/internal", &[]),
        ],
    );
}

#[test]
fn a_wildcard_tells_of_the_rule_that_a_slash_more_or_less_would_meet() {
    let patterns = ["/v1/**", "/v1/export", "/v1/list/", "/v1/{id}/**", "/v2/{id}", "/v2/**"];
    check_alike(
        &patterns,
        &[
            ("/v1/export/", &["/v1/export"]),
            ("/v1/export/%20", &[]),
            ("/v1/list", &["/v1/list/"]),
            ("/v2/7/", &["/v2/{id}"]),
            ("/v1/export", &[]),
            ("/v1/list/", &[]),
            ("/v1/export/x", &[]),
            ("/v2/7", &[]),
            ("/v2/7/x/", &[]),
        ],
    );
    check_alike(&["/v1/{id}", "/v1/{id}/"], &[("/v1/7", &[]), ("/v1/7/", &[])]);
}

#[test]
fn ordinary_ids_have_no_other_spelling() {
    let uuid = "/v1/123E4567-e89b-12d3-a456-426614174000";
    let patterns =
        ["/v1/{id:int}", "/v1/{id:uuid}", "/v1/{id}", "/v1/me", "/v1/$find", "/v1/7", "/v1/{id}/x"];
    let nothing: &[&str] = &[];
    let ids = ["/v1/8", "/v1/007", "/v1/7", uuid, "/v1/mel", "/v1/M-e", "/v1/a.b", "/v1/8/x"];
    for id in ids {
        check_alike(&patterns, &[(id, nothing)]);
    }
    let others: [(&str, &[&str]); 4] = [
        ("/v1/8.", &["/v1/{id:int}"]),
        ("/v1/7%20", &["/v1/7", "/v1/{id:int}"]),
        ("/v1/Me", &["/v1/me"]),
        ("/v1/%24Find", &["/v1/$find"]),
    ];
    check_alike(&patterns, &others);
}

#[test]
fn two_literals_that_are_alike_are_both_found_and_a_third_spelling_tells_of_both() {
    let patterns = ["/v1/users/{x}", "/v1/Users/{x}", "/v1/**"];
    check(patterns.map(rule).into(), &[("/v1/users/7", patterns[0]), ("/v1/Users/7", patterns[1])]);
    let both = [patterns[1], patterns[0]];
    check_alike(&patterns, &[("/v1/users/7", &[]), ("/v1/Users/7", &[]), ("/v1/USERS/7", &both)]);
}

#[test]
fn a_rest_that_others_cover_is_unreachable() {
    let unreachable = |patterns: &[&str]| {
        RouteTable::build(patterns.iter().map(|text| rule(text)).collect()).unwrap().unreachable()
    };
    assert_eq!(unreachable(&["/a/**", "/a", "/a/", "/a/{x}/**"]), [0]);
    assert_eq!(unreachable(&["/a/**", "/a", "/a/", "/a/{x}", "/a/{x}/", "/a/{x}/{y}/**"]), [0]);
    assert_eq!(unreachable(&["/**", "/", "/{x}/**"]), [0]);
    assert_eq!(unreachable(&["/a/**", "/a", "/a/{x}/**"]), [0_usize; 0]);
    assert_eq!(unreachable(&["/a/**", "/a/", "/a/{x}/**"]), [0_usize; 0]);
    assert_eq!(unreachable(&["/a/**", "/a", "/a/", "/a/{x:int}/**"]), [0_usize; 0]);
}

#[test]
fn ten_thousand_siblings_are_all_found() {
    let patterns = (0..10_000).map(|n| rule(&format!("/v1/r{n}/{{id}}")));
    let table = RouteTable::build(patterns.collect()).unwrap();
    for n in 0..10_000 {
        let path = format!("/v1/r{n}/x");
        assert_eq!(table.find(&Target::parse(&path).unwrap()), [n]);
    }
    assert!(table.find(&Target::parse("/v1/r10000/x").unwrap()).is_empty());
}

#[test]
fn a_path_of_many_segments_costs_no_more_than_the_table() {
    let table = RouteTable::build(vec![rule("/{x}"), rule("/a/b/**")]).unwrap();
    let deep = "/a".repeat(4_000);
    assert!(table.find(&Target::parse(&deep).unwrap()).is_empty());
    let deep = format!("/a/b{deep}");
    assert_eq!(table.find(&Target::parse(&deep).unwrap()), [1]);
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "A", "$a", "1", "{}", "{}", "{:int}", "{:uuid}"])
}

prop_compose! {
    fn any_rule()(
        segments in prop::collection::vec(segment(), 0..5),
        end in prop::sample::select(vec!["", "", "/", "/**"]),
        methods in prop::sample::subsequence(Method::ALL.to_vec(), 1..=6),
        slash_optional: bool,
    ) -> Rule {
        let named = segments.iter().enumerate().map(|(i, s)| s.replace('{', &format!("{{n{i}")));
        let mut text: String = named.map(|segment| format!("/{segment}")).collect::<String>() + end;
        if text.is_empty() {
            text.push('/');
        }
        Rule { slash_optional, ..with_methods(rule(&text), &methods) }
    }
}

fn any_path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "A",
        "B.",
        "%20a",
        "%24A",
        "%20",
        "1",
        "1.",
        "22",
        "00000000-0000-0000-0000-00000000000a",
    ]);
    (prop::collection::vec(part, 0..6), any::<bool>()).prop_map(|(parts, slash)| {
        let path: String = parts.iter().map(|part| format!("/{part}")).collect();
        if slash || path.is_empty() { path + "/" } else { path }
    })
}

/// A table of the rules that can stand together, and those rules.
fn without_conflicts(mut rules: Vec<Rule>) -> RouteTable {
    loop {
        match RouteTable::build(rules.clone()) {
            Ok(table) => return table,
            Err(conflicts) => {
                rules.remove(conflicts[0].second);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_table_finds_what_the_definition_says(
        rules in prop::collection::vec(any_rule(), 0..24),
        paths in prop::collection::vec(any_path(), 1..12),
    ) {
        let table = without_conflicts(rules);
        for path in paths {
            let target = Target::parse(&path).unwrap();
            let expected = specificity::most_specific(table.rules(), &target);
            let reading = table.read(&target);
            prop_assert_eq!(reading.own, expected, "{}", path);
            let mut alike: Vec<_> = reading.alike.iter().flat_map(|run| run.iter()).copied().collect();
            let mut expected = specificity::more_specific_alike(table.rules(), &target);
            alike.sort_unstable();
            alike.dedup();
            expected.sort_unstable();
            prop_assert_eq!(alike, expected, "{}", path);
        }
    }

    #[test]
    fn an_unreachable_rule_never_decides(
        rules in prop::collection::vec(any_rule(), 0..24),
        paths in prop::collection::vec(any_path(), 1..12),
    ) {
        let table = without_conflicts(rules);
        for rule in table.unreachable() {
            for path in &paths {
                prop_assert!(!table.find(&Target::parse(path).unwrap()).contains(&rule), "{}", path);
            }
        }
    }
}
