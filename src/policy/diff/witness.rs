//! The classes of paths that two policies tell apart, with one path of each.
//!
//! A class is a pair: the pattern that wins before, and the one that wins after. Within a class both policies say one
//! thing, so one path of it stands for all. Candidates are the most general path of every pattern, and of the overlap of
//! every two patterns of which one is new or gone (two patterns that both policies have win over each other in the same
//! way in both). Where `**` ends a pattern, every length up to one beyond the deepest pattern is tried, since a longer
//! pattern may win at its own length alone.

use std::collections::HashSet;

use crate::model::Method;
use crate::policy::judge::{Found, Policy};
use crate::policy::pattern::{Pattern, Segment};
use crate::policy::rule::Rule;
use crate::policy::target::Target;

/// Paths on which both policies say one thing.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// For people: the pattern of the paths.
    pub(super) pattern: String,
    /// One path of them.
    pub(super) path: String,
}

/// Every class that exists, in the order of the newer policy's rules, then of the older one's.
pub(super) fn classes(before: &Policy, after: &Policy) -> Vec<Class> {
    let old = patterns(before);
    let new = patterns(after);
    let filler = Filler::unlike(old.iter().chain(&new));
    let deepest = old.iter().chain(&new).map(|known| known.segments.len()).max().unwrap_or(0);

    let mut seen_paths = HashSet::new();
    let mut seen_classes = HashSet::new();
    let mut classes = Vec::new();
    for candidate in candidates(&old, &new) {
        for path in paths(&candidate, &filler, deepest + 1) {
            if !seen_paths.insert(path.clone()) {
                continue;
            }
            let Ok(target) = Target::parse(&path) else { continue };
            let winners = (winner(before, &target), winner(after, &target));
            let texts = (winners.0.map(text), winners.1.map(text));
            if texts != (None, None) && seen_classes.insert(texts) {
                classes.push(Class { pattern: display(winners, &path), path });
            }
        }
    }
    classes
}

/// The rule of the winning pattern; the method chooses among its rules later.
fn winner<'p>(policy: &'p Policy, target: &Target<'_>) -> Option<&'p Rule> {
    match policy.find_as_spelled(target, Method::Get) {
        Found::Rule(rule) | Found::NoMethod(rule) => Some(rule),
        Found::Ambiguous | Found::Nothing => None,
    }
}

fn text(rule: &Rule) -> &str {
    &rule.pattern.text
}

/// The pattern of a class: what both winners match.
fn display(winners: (Option<&Rule>, Option<&Rule>), path: &str) -> String {
    let pattern = match winners {
        (Some(old), Some(new)) => meet(&new.pattern, &old.pattern),
        (Some(rule), None) | (None, Some(rule)) => Some(rule.pattern.clone()),
        (None, None) => None,
    };
    let Some(pattern) = pattern else { return path.to_owned() };
    // Met through `trailing_slash: optional` alone.
    let is_slashed = path.ends_with('/') && !pattern.rest && !pattern.text.ends_with('/');
    if is_slashed { format!("{pattern}/") } else { pattern.to_string() }
}

/// What both patterns match, if there is anything.
fn meet(one: &Pattern, other: &Pattern) -> Option<Pattern> {
    let is_longer = one.segments.len() >= other.segments.len();
    let (long, short) = if is_longer { (one, other) } else { (other, one) };
    if long.segments.len() > short.segments.len() && !short.rest {
        return None;
    }
    let mut segments = Vec::with_capacity(long.segments.len());
    let mut text = String::new();
    let (mut long_names, mut short_names) = (names(long), names(short));
    for (position, mine) in long.segments.iter().enumerate() {
        let my_name = long_names.next().unwrap_or_default();
        let their_name = short_names.next().unwrap_or_default();
        let (segment, name) = match short.segments.get(position) {
            None => (mine, my_name),
            Some(theirs) if is_within(mine, theirs) => (mine, my_name),
            Some(theirs) if is_within(theirs, mine) => (theirs, their_name),
            Some(_) => return None,
        };
        segments.push(segment.clone());
        text.push('/');
        text.push_str(name);
    }
    let rest = long.rest && short.rest;
    text.push_str(if rest { "/**" } else { "" });
    Some(Pattern { text: text.into(), segments: segments.into(), rest })
}

/// The segments as they were written.
fn names(pattern: &Pattern) -> impl Iterator<Item = &str> {
    pattern.text.split('/').skip(1)
}

/// Whether every segment that `small` takes is taken by `big`.
fn is_within(small: &Segment, big: &Segment) -> bool {
    match (small, big) {
        (Segment::Literal(text), big) => big.takes(text),
        (Segment::Int | Segment::Uuid, Segment::Any) => true,
        (small, big) => small == big,
    }
}

/// The most general paths of a pattern: of every length that counts and, where it ends in `**`, with a slash at the end.
fn paths(pattern: &Pattern, filler: &Filler, deepest: usize) -> Vec<String> {
    let own: String =
        pattern.segments.iter().map(|segment| format!("/{}", filler.fill(segment))).collect();
    if !pattern.rest {
        return vec![own];
    }
    let most = deepest.saturating_sub(pattern.segments.len());
    let longer = (0..=most).map(|more| own.clone() + &format!("/{}", filler.any).repeat(more));
    longer.flat_map(|path| [path.clone(), path + "/"]).filter(|path| !path.is_empty()).collect()
}

/// Every pattern of a policy once, those that `trailing_slash: optional` adds among them.
fn patterns(policy: &Policy) -> Vec<Pattern> {
    let mut seen = HashSet::new();
    let mut patterns = Vec::new();
    for rule in policy.table.rules() {
        let twin = rule.pattern.with_other_trailing_slash().filter(|_| rule.slash_optional);
        for pattern in std::iter::once(rule.pattern.clone()).chain(twin) {
            if seen.insert((pattern.segments.clone(), pattern.rest)) {
                patterns.push(pattern);
            }
        }
    }
    patterns
}

fn candidates(old: &[Pattern], new: &[Pattern]) -> Vec<Pattern> {
    let (gone, added) = (missing_from(new, old), missing_from(old, new));
    let gone = gone.into_iter().flat_map(|pattern| new.iter().map(move |other| (pattern, other)));
    let added = added.into_iter().flat_map(|pattern| old.iter().map(move |other| (pattern, other)));
    let overlaps = gone.chain(added).filter_map(|(pattern, other)| meet(pattern, other));
    new.iter().chain(old).cloned().chain(overlaps).collect()
}

/// Those of `these` that have no pattern of their shape among `known`.
fn missing_from<'p>(known: &[Pattern], these: &'p [Pattern]) -> Vec<&'p Pattern> {
    let key = |pattern: &Pattern| (pattern.segments.clone(), pattern.rest);
    let known: HashSet<_> = known.iter().map(key).collect();
    these.iter().filter(|pattern| !known.contains(&key(pattern))).collect()
}

/// Values for parameters that no literal of either policy equals.
struct Filler {
    any: String,
    int: String,
    uuid: String,
}

impl Filler {
    fn unlike<'s>(patterns: impl Iterator<Item = &'s Pattern>) -> Self {
        let literals: HashSet<&str> = patterns
            .flat_map(|pattern| &pattern.segments)
            .filter_map(|segment| match segment {
                Segment::Literal(text) => Some(&**text),
                Segment::Int | Segment::Uuid | Segment::Any => None,
            })
            .collect();
        let free = |value: fn(u32) -> String| {
            // More values are tried than there are literals, so one is free.
            let mut values = (1..).map(value);
            values.find(|value| !literals.contains(value.as_str())).unwrap_or_default()
        };
        Self {
            any: free(|n| format!("x{n}")),
            int: free(|n| n.to_string()),
            uuid: free(|n| format!("{n:08x}-0000-4000-8000-000000000000")),
        }
    }

    fn fill<'a>(&'a self, segment: &'a Segment) -> &'a str {
        match segment {
            Segment::Literal(text) => text,
            Segment::Int => &self.int,
            Segment::Uuid => &self.uuid,
            Segment::Any => &self.any,
        }
    }
}
