//! Rules that refuse one path and leave what lies below it to a wider rule that lets it through.
//!
//! `deny: true` on `/v1/internal` says nothing of `/v1/internal/x`; where `/v1/**` is granted, that passes. It may be
//! meant, so it is no fault, but it deserves a second look. `/v1/internal/` does not pass: it is another spelling.

use std::fmt;

use crate::policy::pattern::{Pattern, Segment};
use crate::policy::rule::{Effect, Rule};
use crate::policy::table::RouteTable;
use crate::policy::target::Target;

/// A rule that refuses less than it seems to.
#[derive(Clone, Copy, Debug)]
pub struct HalfDenied<'p> {
    pub denied: &'p Rule,
    /// It takes what lies below the denied path, and would take that path as well.
    pub wider: &'p Rule,
}

/// Every such rule once, in the order of the rules.
pub fn half_denied(table: &RouteTable) -> Vec<HalfDenied<'_>> {
    let denied = table.rules().iter().filter(|rule| matches!(rule.effect, Effect::Deny));
    denied.filter_map(|rule| look_around(table, rule)).collect()
}

fn look_around<'p>(table: &'p RouteTable, denied: &'p Rule) -> Option<HalfDenied<'p>> {
    if denied.pattern.rest {
        return None;
    }
    let own = one_path(&denied.pattern);
    let bare = own.strip_suffix('/').unwrap_or(&own);
    // Whoever denies `/` alone means the front page.
    if bare.is_empty() {
        return None;
    }
    let own_target = Target::parse(&own).ok()?;
    let below = format!("{bare}/x");
    let found = table.find(&Target::parse(&below).ok()?);
    let found = found.iter().filter_map(|index| table.rules().get(*index));
    let mut passing = found.filter(|rule| {
        !matches!(rule.effect, Effect::Deny)
            && !rule.methods.intersection(denied.methods).is_empty()
            && rule.pattern.matches(&own_target)
    });
    passing.next().map(|wider| HalfDenied { denied, wider })
}

/// One path that a pattern without `**` matches.
fn one_path(pattern: &Pattern) -> String {
    let text = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Int => "/1".to_owned(),
        Segment::Uuid => "/00000000-0000-4000-8000-000000000000".to_owned(),
        Segment::Any => "/x".to_owned(),
    };
    pattern.segments.iter().map(text).collect()
}

impl fmt::Display for HalfDenied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { denied: Rule { pattern, place, .. }, wider } = self;
        let bare = pattern.text.trim_end_matches('/');
        write!(
            f,
            "{}:{}: `{pattern}` is denied, but what lies below it is left to `{}`; deny `{bare}/**` as well unless that is meant",
            place.file, place.line, wider.pattern
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{ApiId, Method, MethodSet, Place};

    use super::*;

    fn rule(pattern: &str, effect: Effect, methods: MethodSet) -> Rule {
        Rule {
            pattern: Pattern::parse(pattern).unwrap(),
            place: Place { file: "routes.yaml".into(), line: 3, column: 5 },
            api: ApiId(0),
            methods,
            effect,
            websocket: false,
            max_body: None,
            cost: std::num::NonZeroU32::MIN,
            slash_optional: false,
        }
    }

    /// Patterns with `!` before them are denied. The notes, as they are shown.
    fn notes(patterns: &[&str]) -> Vec<String> {
        let rules = patterns.iter().map(|text| match text.strip_prefix('!') {
            Some(denied) => rule(denied, Effect::Deny, MethodSet::ALL),
            None => rule(text, Effect::Public, MethodSet::ALL),
        });
        let table = RouteTable::build(rules.collect()).unwrap();
        half_denied(&table).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_wider_rule_that_takes_the_neighbours_is_told() {
        let said = notes(&["/v1/**", "!/v1/internal"]);
        let [said] = said.as_slice() else { panic!("{said:?}") };
        assert!(said.starts_with("routes.yaml:3: `/v1/internal` is denied, but what lies below"));
        assert!(said.contains("left to `/v1/**`; deny `/v1/internal/**` as well"), "{said}");
        assert_eq!(notes(&["/v1/**", "!/v1/a", "!/v1/a/"]).len(), 2);
        assert_eq!(notes(&["/v1/**", "!/v1/{id:int}/a", "!/v1/b/"]).len(), 2);
    }

    #[test]
    fn what_is_denied_whole_or_has_rules_of_its_own_below_is_not() {
        for patterns in [
            &["/v1/**", "!/v1/internal", "!/v1/internal/**"][..],
            &["/v1/**", "!/v1/internal/**"],
            &["/v1/{id}", "!/v1/internal"],
            &["/v1/internal/{id}", "!/v1/internal"],
            &["/**", "!/"],
        ] {
            assert_eq!(notes(patterns), [""; 0], "{patterns:?}");
        }
    }

    #[test]
    fn a_wider_rule_for_other_methods_takes_nothing() {
        let get = MethodSet::EMPTY.with(Method::Get);
        let post = MethodSet::EMPTY.with(Method::Post);
        for (denied, count) in [(get, 1), (post, 0)] {
            let rules =
                vec![rule("/v1/**", Effect::Public, get), rule("/v1/a", Effect::Deny, denied)];
            assert_eq!(half_denied(&RouteTable::build(rules).unwrap()).len(), count);
        }
    }
}
