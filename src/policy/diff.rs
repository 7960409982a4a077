//! What changes in effect between two policies: which operations are opened, closed or need something else, and which
//! keys and vendors gain or lose them.
//!
//! Two texts are not compared; decisions are. Every path belongs to a class: the pattern that speaks of it before, and
//! the one that speaks of it after. One witness path of each class that exists is judged by both policies, with the same
//! code that serves requests, so a reordered or rewritten route map that decides the same is no change. A path is taken
//! as it is spelled: that a second spelling of it is refused changes only where a decision about one of the two does,
//! which is told already.

use std::num::NonZeroU32;

use http::HeaderMap;

use crate::model::{Access, ApiId, Caller, Catalogue, Method, Need};
use crate::policy::judge::{Found, Policy};
use crate::policy::rule::{Effect, Rule};
use crate::policy::target::Target;

mod variant;
mod witness;

pub use variant::label;

/// One of the two policies, with the names that only its configuration knows.
#[derive(Clone, Copy, Debug)]
pub struct Side<'p> {
    pub policy: &'p Policy,
    /// By `ApiId`.
    pub apis: &'p [String],
    pub holders: &'p [Holder],
}

/// Somebody who may do whatever any of some callers may: a key, or a vendor with the keys it can use.
#[derive(Clone, Debug)]
pub struct Holder {
    /// `key k-17` or `vendor acme`.
    pub name: String,
    pub callers: Vec<Caller>,
}

/// All that changes in effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub operations: Vec<OperationChange>,
    pub holders: Vec<HolderChange>,
}

/// Methods of one pattern whose decision changes in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationChange {
    pub methods: Vec<Method>,
    pub pattern: String,
    pub before: Decision,
    pub after: Decision,
    pub direction: Direction,
}

/// Whether more or less is let through than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Wider,
    Narrower,
    /// Neither contains the other.
    Other,
}

/// What a policy says of one operation, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    pub websocket: bool,
    /// Where the rule sets its own.
    pub max_body: Option<u64>,
    /// What a request takes from the limits of rates.
    pub cost: NonZeroU32,
}

/// Who gets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No rule speaks of it.
    Unmapped,
    Denied,
    /// Keys of the API that are granted all of `needs`, and what each condition adds where it holds.
    Guarded {
        api: String,
        needs: Vec<NamedNeed>,
        when: Vec<(String, Vec<NamedNeed>)>,
    },
    Public,
}

/// A need by name: `patient` and the access.
pub type NamedNeed = (String, Access);

/// What one holder gains and loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderChange {
    pub holder: String,
    pub gains: Vec<Reach>,
    pub loses: Vec<Reach>,
}

/// Operations that somebody can reach: `GET`, `HEAD` of `/v1/patients?include=notes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    pub methods: Vec<Method>,
    pub pattern: String,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.holders.is_empty()
    }
}

/// Compares two policies.
pub fn compare(before: Side<'_>, after: Side<'_>) -> Difference {
    let classes = witness::classes(before.policy, after.policy);
    let mut operations = Vec::new();
    for class in &classes {
        let Ok(target) = Target::parse(&class.path) else { continue };
        let mut changes: Vec<OperationChange> = Vec::new();
        for method in Method::ALL {
            let old = before.decide(&target, method);
            let new = after.decide(&target, method);
            if old == new {
                continue;
            }
            let known = changes.iter_mut().find(|c| c.before == old && c.after == new);
            if let Some(change) = known {
                change.methods.push(method);
            } else {
                changes.push(OperationChange {
                    methods: vec![method],
                    pattern: class.pattern.clone(),
                    direction: direction(&old, &new),
                    before: old,
                    after: new,
                });
            }
        }
        operations.append(&mut changes);
    }
    Difference { operations, holders: compare_holders(before, after, &classes) }
}

fn compare_holders(
    before: Side<'_>,
    after: Side<'_>,
    classes: &[witness::Class],
) -> Vec<HolderChange> {
    let mut names: Vec<&str> = Vec::new();
    for holder in before.holders.iter().chain(after.holders) {
        if !names.contains(&holder.name.as_str()) {
            names.push(&holder.name);
        }
    }
    let mut changes: Vec<_> = names.iter().map(|name| HolderChange::none(name)).collect();
    for class in classes {
        for variant in variant::variants(before.policy, after.policy, class) {
            let Ok(target) = Target::parse(&variant.target) else { continue };
            for change in &mut changes {
                for method in Method::ALL {
                    let may = |side: Side<'_>| {
                        side.lets(&change.holder, &target, &variant.headers, method)
                    };
                    match (may(before), may(after)) {
                        (false, true) => note(&mut change.gains, method, &variant.pattern),
                        (true, false) => note(&mut change.loses, method, &variant.pattern),
                        (true, true) | (false, false) => {}
                    }
                }
            }
        }
    }
    changes.retain(|change| !(change.gains.is_empty() && change.loses.is_empty()));
    changes
}

fn note(list: &mut Vec<Reach>, method: Method, pattern: &str) {
    match list.last_mut() {
        Some(last) if last.pattern == pattern => last.methods.push(method),
        _ => list.push(Reach { methods: vec![method], pattern: pattern.to_owned() }),
    }
}

impl HolderChange {
    fn none(holder: &str) -> Self {
        Self { holder: holder.to_owned(), gains: Vec::new(), loses: Vec::new() }
    }
}

impl Side<'_> {
    fn decide(&self, target: &Target<'_>, method: Method) -> Decision {
        match self.policy.find_as_spelled(target, method) {
            Found::Rule(rule) => decision(rule, method, &self.policy.catalogue, self.apis),
            Found::NoMethod(_) | Found::Ambiguous | Found::Nothing => {
                Decision::closed(Verdict::Unmapped)
            }
        }
    }

    fn lets(&self, holder: &str, target: &Target<'_>, headers: &HeaderMap, method: Method) -> bool {
        let found = self.policy.find_as_spelled(target, method);
        let admits = |caller| self.policy.judge(found, method, target, headers, caller).is_ok();
        if found.is_public() {
            return admits(None);
        }
        let holder = self.holders.iter().find(|known| known.name == holder);
        holder.is_some_and(|holder| holder.callers.iter().any(|caller| admits(Some(caller))))
    }
}

/// What a rule says of a method that it takes.
pub fn decision(rule: &Rule, method: Method, catalogue: &Catalogue, apis: &[String]) -> Decision {
    let verdict = match &rule.effect {
        Effect::Deny => return Decision::closed(Verdict::Denied),
        Effect::Public => Verdict::Public,
        Effect::Guarded { needs, when } => {
            let own = needs.get(method.index()).map_or(&[][..], |needs| needs);
            let mut when: Vec<_> = when
                .iter()
                .map(|condition| (label(condition), named_needs(&condition.requires, catalogue)))
                .collect();
            when.sort();
            let ApiId(position) = rule.api;
            let api = apis.get(position).cloned().unwrap_or_default();
            Verdict::Guarded { api, needs: named_needs(own, catalogue), when }
        }
    };
    Decision { verdict, websocket: rule.websocket, max_body: rule.max_body, cost: rule.cost }
}

/// Needs by name and in order, each scope once.
pub fn named_needs(needs: &[Need], catalogue: &Catalogue) -> Vec<NamedNeed> {
    let mut named: Vec<NamedNeed> = Vec::new();
    for need in needs {
        let name = catalogue.name(need.scope);
        match named.iter_mut().find(|(known, _)| known == name) {
            Some((_, access)) => *access = access.union(need.access),
            None => named.push((name.to_owned(), need.access)),
        }
    }
    named.sort();
    named
}

impl Decision {
    fn closed(verdict: Verdict) -> Self {
        Self { verdict, websocket: false, max_body: None, cost: NonZeroU32::MIN }
    }
}

fn direction(before: &Decision, after: &Decision) -> Direction {
    // A closed door has no further properties that could be wider or narrower.
    if before.verdict.is_closed() || after.verdict.is_closed() {
        return if after.verdict.is_closed() { Direction::Narrower } else { Direction::Wider };
    }
    let wider = lets_all_of(after, before);
    let narrower = lets_all_of(before, after);
    match (wider, narrower) {
        (true, false) => Direction::Wider,
        (false, true) => Direction::Narrower,
        (true, true) | (false, false) => Direction::Other,
    }
}

/// Whether whatever gets through `small` gets through `big`. A rule's own `max_body` is compared only with another's:
/// what holds where there is none is not the policy's to know.
fn lets_all_of(big: &Decision, small: &Decision) -> bool {
    let bodies = match (big.max_body, small.max_body) {
        (Some(big), Some(small)) => small <= big,
        (big, small) => big == small,
    };
    let is_as_cheap = big.cost <= small.cost;
    bodies
        && is_as_cheap
        && big.websocket >= small.websocket
        && big.verdict.lets_all_of(&small.verdict)
}

impl Verdict {
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Unmapped | Self::Denied)
    }

    fn lets_all_of(&self, small: &Self) -> bool {
        match (self, small) {
            (Self::Public, _) => true,
            (
                Self::Guarded { api, needs, when },
                Self::Guarded { api: small_api, needs: small_needs, when: small_when },
            ) => {
                let is_expected = |(label, added): &(String, Vec<NamedNeed>)| {
                    let same = small_when.iter().filter(|(other, _)| other == label);
                    let known = same.flat_map(|(_, needs)| needs).chain(small_needs);
                    implies(&known.cloned().collect::<Vec<_>>(), added)
                };
                api == small_api && implies(small_needs, needs) && when.iter().all(is_expected)
            }
            (_, other) => other.is_closed(),
        }
    }
}

/// Whether whoever meets `needs` meets `others`, too. A category contains its scopes.
fn implies(needs: &[NamedNeed], others: &[NamedNeed]) -> bool {
    others.iter().all(|(other, access)| {
        let contains = |name: &str| {
            other == name || other.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        };
        let met = needs.iter().filter(|(name, _)| contains(name));
        met.fold(Access::NONE, |sum, (_, access)| sum.union(*access)).covers(*access)
    })
}

#[cfg(test)]
mod tests;
