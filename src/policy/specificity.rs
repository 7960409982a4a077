//! Which of two matching patterns is the more specific: the definition, written down once and slowly.
//!
//! It is read from the left, segment by segment: literal, then `{name:int}` and `{name:uuid}`, then `{name}`, then
//! `**`. The route table finds the same winner without looking at every pattern; it is tested against this reading, and
//! `explain` shows by it why the others lost.

use crate::policy::pattern::{Pattern, Segment};
use crate::policy::rule::Rule;
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
    Literal,
    /// Path and pattern end together.
    End,
}

impl Specificity {
    /// How a rule reads a target, by its pattern or, where its map says so, by the pattern with a trailing slash more
    /// or less; none where it does not match.
    pub fn of_rule(rule: &Rule, target: &Target<'_>) -> Option<Self> {
        let as_written = Self::of(&rule.pattern, target);
        let twin =
            || rule.pattern.with_other_trailing_slash().and_then(|twin| Self::of(&twin, target));
        as_written.or_else(|| if rule.slash_optional { twin() } else { None })
    }

    /// How a pattern reads a target; none where it does not match.
    pub fn of(pattern: &Pattern, target: &Target<'_>) -> Option<Self> {
        let mut steps = Vec::new();
        let mut path = target.segments();
        for segment in &pattern.segments {
            let taken = path.next()?;
            if !segment.takes(taken) {
                return None;
            }
            steps.push(match segment {
                Segment::Literal(_) => Step::Literal,
                Segment::Int | Segment::Uuid => Step::Typed,
                Segment::Any => Step::Any,
            });
        }
        match (pattern.rest, path.next()) {
            (true, _) => steps.push(Step::Rest),
            (false, None) => steps.push(Step::End),
            (false, Some(_)) => return None,
        }
        Some(Self(steps))
    }

    /// The first segment, counted from 0, at which two readings of one target differ.
    pub fn first_difference(&self, other: &Self) -> Option<usize> {
        self.0.iter().zip(&other.0).position(|(a, b)| a != b)
    }
}

/// Every rule that matches a target, by position, the most specific first and otherwise in their order: what the route
/// table finds at the head of this list, it finds without making the list.
pub fn ranked(rules: &[Rule], target: &Target<'_>) -> Vec<(Specificity, usize)> {
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
