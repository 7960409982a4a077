//! The decision with its reasons, as data: what was found, what lost and why, what was needed and what was there.
//!
//! The decision is made by the very code that serves requests; only the reasons are gathered beside it.

use http::HeaderMap;

use crate::model::{Access, Caller, Method, Need, Refusal};
use crate::policy::judge::{Admission, Found, Glance, Policy, Question};
use crate::policy::rule::{Condition, Rule};
use crate::policy::specificity::{self, Specificity};
use crate::policy::target::Target;

/// Why a request would pass or be refused.
#[derive(Clone, Debug)]
pub struct Explanation<'p> {
    pub found: Found<'p>,
    /// Rules whose pattern matches the path too, and which do not decide; the most specific first.
    pub others: Vec<Other<'p>>,
    /// Every condition of the deciding rule, and whether it holds.
    pub conditions: Vec<(&'p Condition, bool)>,
    /// Every need, and what the caller was granted on its scope; None without a caller.
    pub needs: Vec<(Need, Option<Access>)>,
    /// Without a caller, a guarded rule ends in [`Refusal::SubscriberKeyMissing`]; `needs` are there all the same.
    pub outcome: Result<Admission<'p>, Refusal>,
}

/// A rule that matches the path and does not decide.
#[derive(Clone, Copy, Debug)]
pub struct Other<'p> {
    pub rule: &'p Rule,
    pub lost: Lost,
}

/// Why a matching rule does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A pattern that is more specific at this segment, counted from 1, matches as well.
    LessSpecific { segment: usize },
    /// It has the winning pattern, but does not take the method.
    OtherMethods,
    /// The path or another spelling of it is this rule's, so no rule decides.
    Ambiguous,
}

impl Policy {
    /// Decides as [`Policy::find`] and [`Policy::judge`] do, and says why.
    pub fn explain<'p>(
        &'p self,
        method: Method,
        target: &Target<'_>,
        headers: &HeaderMap,
        caller: Option<&Caller>,
    ) -> Explanation<'p> {
        let found = self.find(target, method);
        let (mut conditions, mut needs) = (Vec::new(), Vec::new());
        let question = Question { method, target, headers, caller };
        let outcome = self.decide(found, &question, |glance| match glance {
            Glance::Condition(condition, holds) => conditions.push((condition, holds)),
            Glance::Need(need, granted) => needs.push((need, granted)),
        });
        Explanation { found, others: self.others(found, target), conditions, needs, outcome }
    }

    fn others<'p>(&'p self, found: Found<'p>, target: &Target<'_>) -> Vec<Other<'p>> {
        let rules = self.table.rules();
        let ranked = match found {
            Found::Ambiguous => specificity::ranked_in_any_spelling(rules, target),
            Found::Rule(_) | Found::NoMethod(_) | Found::Nothing => {
                specificity::ranked(rules, target)
            }
        };
        let best = ranked.first().map(|(specificity, _)| specificity);
        let why = |specificity: &Specificity| match found {
            Found::Ambiguous => Lost::Ambiguous,
            Found::Rule(_) | Found::NoMethod(_) | Found::Nothing => {
                let difference = best.and_then(|best| best.first_difference(specificity));
                difference.map_or(Lost::OtherMethods, |at| Lost::LessSpecific { segment: at + 1 })
            }
        };
        let decides = |rule| matches!(found, Found::Rule(winner) if std::ptr::eq(winner, rule));
        ranked
            .iter()
            .filter_map(|(specificity, index)| Some((specificity, rules.get(*index)?)))
            .filter(|(_, rule)| !decides(*rule))
            .map(|(specificity, rule)| Other { rule, lost: why(specificity) })
            .collect()
    }
}

#[cfg(test)]
mod tests;
