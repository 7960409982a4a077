//! The route table finds what asking every rule finds, in every spelling, and what `unreachable` names never wins.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use postern::model::{ApiId, Method, MethodSet, Place};
use postern::policy::specificity::{more_specific_alike, most_specific};
use postern::policy::{Effect, Pattern, RouteTable, Rule, Target};

#[derive(Arbitrary, Debug)]
struct Case {
    rules: Vec<RuleSeed>,
    paths: Vec<Vec<PathPart>>,
}

#[derive(Arbitrary, Debug)]
struct RuleSeed {
    parts: Vec<PatternPart>,
    ending: Ending,
    methods: u8,
    slash_optional: bool,
}

#[derive(Arbitrary, Debug)]
enum PatternPart {
    A,
    B,
    One,
    Dollar,
    Any,
    Int,
    Uuid,
}

#[derive(Arbitrary, Debug)]
enum Ending {
    None,
    Slash,
    Rest,
}

#[derive(Arbitrary, Debug)]
enum PathPart {
    A,
    B,
    C,
    One,
    Long,
    Uuid,
    Dollar,
    EncodedDollar,
    UpperA,
    DottedB,
    SpacedOne,
    Space,
    Slash,
}

fuzz_target!(|case: Case| {
    let mut rules: Vec<Rule> = case.rules.iter().take(64).filter_map(rule).collect();
    let table = loop {
        match RouteTable::build(rules.clone()) {
            Ok(table) => break table,
            Err(conflicts) => rules.remove(conflicts[0].second),
        };
    };
    let unreachable = table.unreachable();
    for parts in &case.paths {
        let path = path(parts);
        let Ok(target) = Target::parse(&path) else { continue };
        let found = table.find(&target);
        assert_eq!(found, most_specific(table.rules(), &target), "{path}");
        let mut alike = table.read(&target).alike.concat();
        alike.sort_unstable();
        alike.dedup();
        let mut expected = more_specific_alike(table.rules(), &target);
        expected.sort_unstable();
        assert_eq!(alike, expected, "{path}");
        assert!(!found.iter().any(|rule| unreachable.contains(rule)), "{path}");
    }
});

fn rule(seed: &RuleSeed) -> Option<Rule> {
    let parts = seed.parts.iter().enumerate().map(|(n, part)| match part {
        PatternPart::A => "/a".to_owned(),
        PatternPart::B => "/b".to_owned(),
        PatternPart::One => "/1".to_owned(),
        PatternPart::Dollar => "/$x".to_owned(),
        PatternPart::Any => format!("/{{n{n}}}"),
        PatternPart::Int => format!("/{{n{n}:int}}"),
        PatternPart::Uuid => format!("/{{n{n}:uuid}}"),
    });
    let ending = match seed.ending {
        Ending::None => "",
        Ending::Slash => "/",
        Ending::Rest => "/**",
    };
    let methods = Method::ALL.into_iter().filter(|m| seed.methods >> m.index() & 1 == 1);
    Some(Rule {
        pattern: Pattern::parse(&(parts.collect::<String>() + ending)).ok()?,
        place: Place { file: "routes.yaml".into(), line: 1, column: 1 },
        api: ApiId(0),
        methods: methods.collect::<MethodSet>(),
        effect: Effect::Deny,
        websocket: false,
        max_body: None,
        slash_optional: seed.slash_optional,
    })
}

fn path(parts: &[PathPart]) -> String {
    let text = |part: &PathPart| match part {
        PathPart::A => "/a",
        PathPart::B => "/b",
        PathPart::C => "/c",
        PathPart::One => "/1",
        PathPart::Long => "/123456789012345678901",
        PathPart::Uuid => "/00000000-0000-0000-0000-00000000000A",
        PathPart::Dollar => "/$x",
        PathPart::EncodedDollar => "/%24x",
        PathPart::UpperA => "/A",
        PathPart::DottedB => "/b.",
        PathPart::SpacedOne => "/%201",
        PathPart::Space => "/%20",
        PathPart::Slash => "/",
    };
    parts.iter().map(text).collect()
}
