//! The decision: which rule speaks of a request, and whether its caller meets it.
//!
//! Deciding is one function that `judge` and `explain` share; what it looks at on the way is told to a witness, which
//! `judge` does not have. A refusal names the first need that is not met, in the order of the rule.

use http::HeaderMap;
use smallvec::SmallVec;

use crate::model::refusal::{Lack, Short};
use crate::model::{Access, Caller, Catalogue, Method, Need, Refusal};
use crate::policy::rule::{Condition, Effect, Rule};
use crate::policy::table::RouteTable;
use crate::policy::target::Target;

/// Everything that decides, of one configuration.
#[derive(Debug)]
pub struct Policy {
    pub catalogue: Catalogue,
    pub table: RouteTable,
}

/// What the route table says of a target and a method, before anybody asked who is calling.
#[derive(Clone, Copy, Debug)]
pub enum Found<'p> {
    Rule(&'p Rule),
    /// A pattern matches, but none of its rules takes the method. The first of its rules.
    NoMethod(&'p Rule),
    /// A wildcard matches, but an upstream may take the path for another spelling of one that a more specific rule
    /// decides otherwise.
    Ambiguous,
    Nothing,
}

/// A request that may pass.
#[derive(Clone, Debug)]
pub struct Admission<'p> {
    pub rule: &'p Rule,
    /// All that was needed and granted: of the method, then of the conditions, each scope once.
    pub needs: Needs,
}

pub type Needs = SmallVec<[Need; 2]>;

/// What deciding looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Glance<'p> {
    Condition(&'p Condition, bool),
    /// A need, and what the caller was granted on its scope, where there is a caller.
    Need(Need, Option<Access>),
}

impl Policy {
    pub fn find(&self, target: &Target<'_>, method: Method) -> Found<'_> {
        let reading = self.table.read(target);
        let found = self.choose(reading.own, method);
        let Found::Rule(rule) = found else { return found };
        let is_refused_anyway = matches!(rule.effect, Effect::Deny);
        let decides_alike = |run: &&[usize]| match self.choose(run, method) {
            Found::Rule(other) => other.decides_as(rule, method),
            Found::NoMethod(_) | Found::Ambiguous | Found::Nothing => false,
        };
        let is_one = is_refused_anyway || reading.alike.iter().all(decides_alike);
        if is_one { found } else { Found::Ambiguous }
    }

    /// As [`Policy::find`], whatever another spelling would meet: for comparing rules, and never for a request.
    pub(crate) fn find_as_spelled(&self, target: &Target<'_>, method: Method) -> Found<'_> {
        self.choose(self.table.find(target), method)
    }

    /// The rule of one pattern that takes the method.
    fn choose(&self, run: &[usize], method: Method) -> Found<'_> {
        let mut rules = run.iter().filter_map(|index| self.table.rules().get(*index));
        let Some(first) = rules.next() else { return Found::Nothing };
        std::iter::once(first)
            .chain(rules)
            .find(|rule| rule.methods.contains(method))
            .map_or(Found::NoMethod(first), Found::Rule)
    }

    /// Whether the request may pass. `caller` is None only where the rule is public; anything else without a caller is
    /// refused.
    pub fn judge<'p>(
        &'p self,
        found: Found<'p>,
        method: Method,
        target: &Target<'_>,
        headers: &HeaderMap,
        caller: Option<&Caller>,
    ) -> Result<Admission<'p>, Refusal> {
        self.decide(found, &Question { method, target, headers, caller }, |_| ())
    }

    pub(crate) fn decide<'p>(
        &'p self,
        found: Found<'p>,
        question: &Question<'_>,
        mut witness: impl FnMut(Glance<'p>),
    ) -> Result<Admission<'p>, Refusal> {
        let rule = match found {
            Found::Rule(rule) => rule,
            Found::NoMethod(_) | Found::Nothing => return Err(Refusal::RouteUnmapped),
            Found::Ambiguous => {
                let why = "another spelling of the path has a rule that decides otherwise";
                return Err(Refusal::AmbiguousPath(why));
            }
        };
        let (of_methods, when) = match &rule.effect {
            Effect::Public => return Ok(Admission { rule, needs: Needs::new() }),
            Effect::Deny => return Err(Refusal::RouteDenied),
            Effect::Guarded { needs, when } => (needs, when),
        };
        let of_method = of_methods.get(question.method.index()).map(AsRef::as_ref);
        let mut needs = Needs::from_slice(of_method.unwrap_or_default());
        for condition in when {
            let holds = condition.holds(question.target.query(), question.headers);
            witness(Glance::Condition(condition, holds));
            if holds {
                condition.requires.iter().for_each(|need| add(&mut needs, *need));
            }
        }
        for need in &needs {
            let granted = question.caller.map(|caller| caller.granted(need.scope));
            witness(Glance::Need(*need, granted));
        }
        let caller = question.caller.ok_or(Refusal::SubscriberKeyMissing)?;
        if let Some(objection) = &caller.objection {
            return Err(objection.clone());
        }
        if caller.api != rule.api {
            return Err(Refusal::WrongApi);
        }
        match needs.iter().find(|need| !caller.meets(**need)) {
            Some(need) => Err(Refusal::PermissionDenied(self.lack(*need, caller))),
            None => Ok(Admission { rule, needs }),
        }
    }

    fn lack(&self, need: Need, caller: &Caller) -> Lack {
        let has_key = caller.subscriber.grants.on(need.scope).covers(need.access);
        let short = match (&caller.narrowed, has_key) {
            (None, _) => Short::Key,
            (Some(_), true) => Short::Token,
            (Some(_), false) => Short::Both,
        };
        Lack {
            category: self.catalogue.name(need.scope).to_owned(),
            needed: need.access,
            granted: caller.granted(need.scope),
            short,
        }
    }
}

/// A request as far as it matters to a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'r> {
    pub(crate) method: Method,
    pub(crate) target: &'r Target<'r>,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) caller: Option<&'r Caller>,
}

fn add(needs: &mut Needs, more: Need) {
    match needs.iter_mut().find(|need| need.scope == more.scope) {
        Some(need) => need.access = need.access.union(more.access),
        None => needs.push(more),
    }
}

impl Found<'_> {
    /// No keys are asked.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Rule(rule) if matches!(rule.effect, Effect::Public))
    }
}

#[cfg(test)]
mod tests;
