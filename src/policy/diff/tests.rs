//! Changes between small policies, and that every class of paths is found.

use http::HeaderName;

use super::*;
use crate::model::{MethodSet, Place};
use crate::policy::{Condition, Pattern, RouteTable, Subject};

fn rule(line: usize, pattern: &str, methods: MethodSet, effect: Effect) -> Rule {
    Rule {
        pattern: Pattern::parse(pattern).unwrap(),
        place: Place { file: "map.yaml".into(), line, column: 1 },
        api: ApiId(0),
        methods,
        effect,
        websocket: false,
        max_body: None,
        cost: NonZeroU32::MIN,
        slash_optional: false,
    }
}

fn guarded(category: &str, when: Vec<Condition>) -> Effect {
    let scope = Catalogue::default().id(category).unwrap();
    let needs = |method: Method| [Need { scope, access: method.usual_access() }].into();
    Effect::Guarded { needs: Method::ALL.map(needs), when: when.into() }
}

/// `PATTERN CATEGORY`, `PATTERN public` or `PATTERN deny`, each optionally with methods behind it.
fn policy(rules: &[&str]) -> Policy {
    let read = |(line, text): (usize, &&str)| {
        let words: Vec<&str> = text.split(' ').collect();
        let effect = match words[1] {
            "public" => Effect::Public,
            "deny" => Effect::Deny,
            category => guarded(category, Vec::new()),
        };
        let named: MethodSet = words[2..].iter().map(|name| Method::parse(name).unwrap()).collect();
        rule(line, words[0], if named.is_empty() { MethodSet::ALL } else { named }, effect)
    };
    table(rules.iter().enumerate().map(read).collect())
}

fn table(rules: Vec<Rule>) -> Policy {
    Policy { catalogue: Catalogue::default(), table: RouteTable::build(rules).unwrap() }
}

fn compare_operations(before: &Policy, after: &Policy) -> Vec<String> {
    let apis = ["standard".to_owned()];
    let side = |policy| Side { policy, apis: &apis, holders: &[] };
    let changes = compare(side(before), side(after)).operations;
    changes.iter().map(told).collect()
}

fn told(change: &OperationChange) -> String {
    let verdict = |decision: &Decision| match &decision.verdict {
        Verdict::Unmapped => "unmapped".to_owned(),
        Verdict::Denied => "denied".to_owned(),
        Verdict::Public => "public".to_owned(),
        Verdict::Guarded { needs, .. } => {
            let one = |(name, access): &NamedNeed| format!("{name}:{}", access.need());
            needs.iter().map(one).collect::<Vec<_>>().join(" ")
        }
    };
    let sign = match change.direction {
        Direction::Wider => "+",
        Direction::Narrower => "-",
        Direction::Other => "~",
    };
    let methods = change.methods.iter().map(|m| m.name()).collect::<Vec<_>>().join(",");
    let (before, after) = (verdict(&change.before), verdict(&change.after));
    format!("{sign} {methods} {}: {before} -> {after}", change.pattern)
}

#[test]
fn changes_of_decisions_are_told_and_nothing_else() {
    let cases: [(&[&str], &[&str], &[&str]); 10] = [
        (&["/v1/a patient"], &["/v1/a patient"], &[]),
        (&["/v1/a patient", "/v1/{x} files"], &["/v1/{y} files", "/v1/a patient"], &[]),
        (
            &["/v1/a patient GET"],
            &["/v1/a patient GET PUT"],
            &["+ PUT /v1/a: unmapped -> patient:write"],
        ),
        (&["/v1/a deny GET"], &["/v1/a public GET"], &["+ GET /v1/a: denied -> public"]),
        (&["/v1/a public GET"], &[], &["- GET /v1/a: public -> unmapped"]),
        (
            &["/v1/a patient GET"],
            &["/v1/a files GET"],
            &["~ GET /v1/a: patient:read -> files:read"],
        ),
        // A wildcard takes over what a literal decided.
        (
            &["/v1/{id} patient GET", "/v1/a deny GET"],
            &["/v1/{id} patient GET"],
            &["+ GET /v1/a: denied -> patient:read"],
        ),
        // Two patterns meet where neither has a path of its own in the other.
        (
            &["/v1/{x}/notes patient GET"],
            &["/v1/{x}/notes patient GET", "/v1/a/{y} files GET"],
            &[
                "+ GET /v1/a/{y}: unmapped -> files:read",
                "~ GET /v1/a/notes: patient:read -> files:read",
            ],
        ),
        // `**` ends at the mount, and one segment of it is decided by another rule.
        (
            &["/v1/** patient GET", "/v1/{x} files GET"],
            &["/v1/** system GET", "/v1/{x} files GET"],
            &["~ GET /v1/**: patient:read -> system:read"],
        ),
        // A typed segment takes its part of a wildcard.
        (
            &["/v1/{id} patient GET"],
            &["/v1/{id:int} patient GET"],
            &["- GET /v1/{id}: patient:read -> unmapped"],
        ),
    ];
    for (before, after, expected) in cases {
        let told = compare_operations(&policy(before), &policy(after));
        assert_eq!(told, expected, "{before:?} {after:?}");
    }
}

#[test]
fn a_slash_that_becomes_optional_opens_the_slashed_path() {
    let mut optional = rule(1, "/v1/a", MethodSet::EMPTY.with(Method::Get), Effect::Public);
    let strict = optional.clone();
    optional.slash_optional = true;
    let told = compare_operations(&table(vec![strict.clone()]), &table(vec![optional.clone()]));
    assert_eq!(told, ["+ GET /v1/a/: unmapped -> public"]);
    let told = compare_operations(&table(vec![optional]), &table(vec![strict]));
    assert_eq!(told, ["- GET /v1/a/: public -> unmapped"]);
}

#[test]
fn a_scope_is_a_smaller_need_than_its_category() {
    let needs = |name: &str| vec![(name.to_owned(), Access::READ)];
    assert!(implies(&needs("billing"), &needs("billing.invoices")));
    assert!(!implies(&needs("billing.invoices"), &needs("billing")));
    assert!(!implies(&needs("bill"), &needs("billing")));
}

fn holder(policy: &Policy, name: &str, permissions: &[(&str, Access)]) -> Holder {
    let subscriber = crate::model::caller::Subscriber {
        practice: "p".into(),
        key_id: name.into(),
        owner: "o".into(),
        api: ApiId(0),
        grants: policy.catalogue.grants(permissions.iter().copied()).unwrap(),
        limit: None,
    };
    let caller = Caller::new(subscriber.into(), Some("v".into()));
    Holder { name: name.into(), callers: vec![caller] }
}

#[test]
fn holders_gain_and_lose_what_their_grants_reach() {
    let before = policy(&["/v1/a patient GET", "/v1/b files GET"]);
    let after = policy(&["/v1/a files GET", "/v1/b files GET", "/v1/c public GET"]);
    let holders = |policy: &Policy| {
        [
            holder(policy, "reader", &[("patient", Access::READ)]),
            holder(policy, "filer", &[("files", Access::READ)]),
        ]
    };
    let (old, new) = (holders(&before), holders(&after));
    let gone = [holder(&after, "newcomer", &[("files", Access::READ)])];
    let new: Vec<_> = new.into_iter().chain(gone).collect();
    let apis = ["standard".to_owned()];
    let difference = compare(
        Side { policy: &before, apis: &apis, holders: &old },
        Side { policy: &after, apis: &apis, holders: &new },
    );
    let patterns = |list: &[Reach]| list.iter().map(|r| r.pattern.clone()).collect::<Vec<_>>();
    let told: Vec<_> = difference
        .holders
        .iter()
        .map(|change| (change.holder.as_str(), patterns(&change.gains), patterns(&change.loses)))
        .collect();
    let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            ("reader", list(&["/v1/c"]), list(&["/v1/a"])),
            ("filer", list(&["/v1/a", "/v1/c"]), list(&[])),
            ("newcomer", list(&["/v1/a", "/v1/b", "/v1/c"]), list(&[])),
        ]
    );
}

#[test]
fn a_condition_that_is_added_takes_its_variant_away() {
    let clinical =
        Need { scope: Catalogue::default().id("clinical").unwrap(), access: Access::READ };
    let conditions = vec![
        Condition {
            subject: Subject::Query("include".into()),
            contains: Some("notes & more".into()),
            requires: [clinical].into(),
        },
        Condition {
            subject: Subject::Header(HeaderName::from_static("x-on-behalf-of")),
            contains: None,
            requires: [clinical].into(),
        },
    ];
    let get = MethodSet::EMPTY.with(Method::Get);
    let before = table(vec![rule(1, "/v1/a", get, guarded("patient", Vec::new()))]);
    let after = table(vec![rule(1, "/v1/a", get, guarded("patient", conditions))]);
    let old = [holder(&before, "reader", &[("patient", Access::READ)])];
    let apis = ["standard".to_owned()];
    let difference = compare(
        Side { policy: &before, apis: &apis, holders: &old },
        Side { policy: &after, apis: &apis, holders: &old },
    );
    assert_eq!(difference.operations[0].direction, Direction::Narrower);
    let lost: Vec<_> = difference.holders[0].loses.iter().map(|r| r.pattern.as_str()).collect();
    assert_eq!(lost, ["/v1/a?include=notes & more", "/v1/a with x-on-behalf-of"]);
}

#[test]
fn a_thousand_rules_are_compared_with_a_thousand_others() {
    let map = |name: &str| {
        let rules: Vec<_> =
            (0..1_000).map(|n| format!("/v1/{name}{n}/{{id}}/** patient")).collect();
        policy(&rules.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(compare_operations(&map("a"), &map("b")).len(), 4_000);
}

/// Every path of up to four segments over an alphabet that has something of each kind.
fn small_paths() -> Vec<String> {
    let alphabet = ["a", "b", "7", "8", "z", "00000000-0000-4000-8000-00000000000a"];
    let mut paths = vec![String::new()];
    let mut last = paths.clone();
    for _ in 0..4 {
        let longer = |path: &String| alphabet.map(|segment| format!("{path}/{segment}"));
        last = last.iter().flat_map(longer).collect();
        paths.extend(last.iter().cloned());
    }
    let slashed: Vec<String> = paths.iter().map(|path| format!("{path}/")).collect();
    paths.into_iter().chain(slashed).filter(|path| !path.is_empty()).collect()
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// The witnesses find a change exactly where trying every path finds one.
    #[test]
    fn witnesses_miss_nothing(before in small_policy(), after in small_policy()) {
        let apis = ["standard".to_owned()];
        let side = |policy| Side { policy, apis: &apis, holders: &[] };
        let mut expected = std::collections::BTreeSet::new();
        for path in small_paths() {
            let target = Target::parse(&path).unwrap();
            for method in [Method::Get, Method::Put] {
                let old = side(&before).decide(&target, method);
                let new = side(&after).decide(&target, method);
                if old != new {
                    expected.insert(format!("{method} {old:?} {new:?}"));
                }
            }
        }
        let mut found = std::collections::BTreeSet::new();
        for change in compare(side(&before), side(&after)).operations {
            for method in change.methods.iter().filter(|m| matches!(m, Method::Get | Method::Put)) {
                found.insert(format!("{method} {:?} {:?}", change.before, change.after));
            }
        }
        proptest::prop_assert_eq!(found, expected);
    }
}

/// Up to five rules of up to three segments, no two of the same pattern.
fn small_policy() -> impl proptest::strategy::Strategy<Value = Policy> {
    use proptest::prelude::*;
    let segment = prop::sample::select(vec!["a", "b", "7", "{x}", "{x:int}", "{x:uuid}"]);
    let tail = prop::sample::select(vec!["", "", "/", "/**"]);
    let pattern = (prop::collection::vec(segment, 1..=3), tail);
    let effect = prop::sample::select(vec!["patient", "files", "public", "deny", "patient GET"]);
    let rules = prop::collection::vec((pattern, effect, any::<bool>()), 0..5);
    rules.prop_map(|rules| {
        let mut kept: Vec<Rule> = Vec::new();
        for (line, ((segments, tail), effect, slash_optional)) in rules.into_iter().enumerate() {
            let named: Vec<String> = segments
                .iter()
                .zip(0..)
                .map(|(text, n)| text.replace('x', &format!("p{n}")))
                .collect();
            let text = format!("/{}{tail} {effect}", named.join("/"));
            let mut rule = policy(&[&text]).table.rules()[0].clone();
            rule.place.line = line;
            rule.slash_optional = slash_optional;
            let mut more = kept.clone();
            more.push(rule.clone());
            if RouteTable::build(more).is_ok() {
                kept.push(rule);
            }
        }
        table(kept)
    })
}
