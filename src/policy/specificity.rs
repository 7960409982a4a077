//! Which of two matching patterns is the more specific: the definition, written down once and slowly.
//!
//! It is read from the left, segment by segment: literal, then `{name:int}` and `{name:uuid}`, then `{name}`, then
//! `**`. A pattern that matches another spelling of the path decides nothing, but has a place in this order too, so that
//! it is known whether it would have won. The route table finds the same winner without looking at every pattern; it is tested against this reading, and
//! `explain` shows by it why the others lost.

use crate::policy::pattern::{Pattern, Segment};
use crate::policy::rule::Rule;
use crate::policy::spelling::{bare, folded};
use crate::policy::target::Target;

/// How a pattern reads one target. The greater of two is the more specific.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity(Vec<Step>);

/// How a pattern takes one segment, or the end of a path; the later, the more specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// `**` takes this and whatever follows, if anything does.
    Rest,
    Any,
    Typed,
    /// A literal, a type or a trailing slash would take this, or the end be here, if it were spelled otherwise.
    Alike,
    Literal,
    /// Path and pattern end together.
    End,
}

impl Specificity {
    /// How a rule reads a target, by its pattern or, where its map says so, by the pattern with a trailing slash more
    /// or less; none where it does not match.
    pub fn of_rule(rule: &Rule, target: &Target<'_>) -> Option<Self> {
        let twin = rule.pattern.with_other_trailing_slash().filter(|_| rule.slash_optional);
        let twin = twin.and_then(|twin| Self::of(&twin, target));
        Self::of(&rule.pattern, target).max(twin)
    }

    /// How a pattern reads a target or another spelling of it; none where it matches neither.
    pub fn of(pattern: &Pattern, target: &Target<'_>) -> Option<Self> {
        let mut steps = Vec::new();
        let mut path = target.segments();
        for segment in &pattern.segments {
            steps.push(step(segment, path.next())?);
        }
        steps.push(match (pattern.rest, path.next()) {
            (true, _) => Step::Rest,
            (false, None) => Step::End,
            (false, Some("")) if path.next().is_none() => Step::Alike,
            (false, Some(_)) => return None,
        });
        Some(Self(steps))
    }

    /// Whether the target is matched as it is spelled.
    pub fn is_exact(&self) -> bool {
        !self.0.contains(&Step::Alike)
    }

    /// The first segment, counted from 0, at which two readings of one target differ.
    pub fn first_difference(&self, other: &Self) -> Option<usize> {
        self.0.iter().zip(&other.0).position(|(a, b)| a != b)
    }
}

/// How a segment of a pattern takes one of a path, or its end.
fn step(segment: &Segment, taken: Option<&str>) -> Option<Step> {
    // Where the path has ended, a trailing slash is all that can be missing.
    let text = taken.unwrap_or_default();
    let is_alike = match segment {
        Segment::Literal(literal) => {
            (taken.is_some() || literal.is_empty()) && folded(literal) == folded(text)
        }
        Segment::Int | Segment::Uuid => segment.takes(bare(text)),
        Segment::Any => false,
    };
    match segment {
        _ if !(taken.is_some() && segment.takes(text)) => is_alike.then_some(Step::Alike),
        Segment::Literal(_) => Some(Step::Literal),
        Segment::Int | Segment::Uuid => Some(Step::Typed),
        Segment::Any => Some(Step::Any),
    }
}

/// Every rule that matches a target, by position, the most specific first and otherwise in their order: what the route
/// table finds at the head of this list, it finds without making the list.
pub fn ranked(rules: &[Rule], target: &Target<'_>) -> Vec<(Specificity, usize)> {
    let mut ranked = ranked_in_any_spelling(rules, target);
    ranked.retain(|(specificity, _)| specificity.is_exact());
    ranked
}

/// As [`ranked`], with the rules among them that match another spelling.
pub fn ranked_in_any_spelling(rules: &[Rule], target: &Target<'_>) -> Vec<(Specificity, usize)> {
    let reading = |(index, rule)| Some((Specificity::of_rule(rule, target)?, index));
    let mut ranked: Vec<_> = rules.iter().enumerate().filter_map(reading).collect();
    ranked.sort_by(|(a, first), (b, second)| b.cmp(a).then(first.cmp(second)));
    ranked
}

/// The rules that a target meets, by asking every one.
pub fn most_specific(rules: &[Rule], target: &Target<'_>) -> Vec<usize> {
    let ranked = ranked(rules, target);
    let best = ranked.first().map(|(specificity, _)| specificity);
    ranked
        .iter()
        .take_while(|(specificity, _)| Some(specificity) == best)
        .map(|(_, index)| *index)
        .collect()
}

/// The rules that would be more specific than those, were the target spelled otherwise.
pub fn more_specific_alike(rules: &[Rule], target: &Target<'_>) -> Vec<usize> {
    let ranked = ranked_in_any_spelling(rules, target);
    let more = ranked.iter().take_while(|(specificity, _)| !specificity.is_exact());
    more.map(|(_, index)| *index).collect()
}
