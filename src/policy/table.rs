//! The route table: the most specific pattern wins, whatever the order of the rules, and a lookup does not grow with
//! their number.
//!
//! It is a tree of segments, laid out flat, which `lookup` walks.
//!
//! The pattern is chosen by the path alone and the method afterwards: a method that the winner does not take is refused,
//! and never handed to a less specific pattern, which was written for other paths.

use std::collections::HashMap;
use std::ops::Range;

use crate::policy::edges::{Edges, NodeId};
use crate::policy::pattern::{Pattern, Segment};
use crate::policy::rule::Rule;
use crate::policy::spelling::folded;
use crate::policy::target::Target;

mod lookup;

pub use lookup::Reading;

/// Two rules with the same pattern (names apart) and a common method: positions in the given list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub first: usize,
    pub second: usize,
}

/// All rules of a configuration, ready to be looked up.
#[derive(Debug)]
pub struct RouteTable {
    rules: Vec<Rule>,
    nodes: Vec<Node>,
    literals: Edges,
    /// The literals again, folded: those that a segment is another spelling of.
    alike: Edges,
    /// Positions in `rules`; each pattern has a run of its own.
    runs: Vec<usize>,
}

#[derive(Debug, Default)]
struct Node {
    has_literals: bool,
    int: Option<NodeId>,
    uuid: Option<NodeId>,
    any: Option<NodeId>,
    /// The rules whose pattern ends here, in `runs`.
    end: Range<usize>,
    /// The rules whose `**` begins here, in `runs`.
    rest: Range<usize>,
}

/// Where every path begins.
const ROOT: NodeId = 0;

impl RouteTable {
    /// Builds the table, or names every conflict. Where `trailing_slash: optional` makes two patterns one, they
    /// conflict as if they had been written alike.
    pub fn build(rules: Vec<Rule>) -> Result<Self, Vec<Conflict>> {
        let mut tree = Tree::new();
        for (index, rule) in rules.iter().enumerate() {
            tree.insert(&rule.pattern, index);
            let twin = rule.pattern.with_other_trailing_slash().filter(|_| rule.slash_optional);
            if let Some(twin) = twin {
                tree.insert(&twin, index);
            }
        }
        let conflicts = tree.conflicts(&rules);
        if conflicts.is_empty() { Ok(tree.flatten(rules)) } else { Err(conflicts) }
    }

    /// The rules of the most specific pattern that matches, as positions in [`RouteTable::rules`]; several only where
    /// they differ in methods.
    pub fn find(&self, target: &Target<'_>) -> &[usize] {
        self.read(target).own
    }

    /// As [`RouteTable::find`], and what the path would meet in another spelling.
    pub fn read(&self, target: &Target<'_>) -> Reading<'_> {
        lookup::read(self, target)
    }

    /// The rules in the order they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Rules that can never decide anything, because more specific patterns cover every path of theirs. Only a `**` can
    /// be covered so: by rules for its own path, its trailing slash and whatever follows.
    pub fn unreachable(&self) -> Vec<usize> {
        let covered = (0..).zip(&self.nodes).filter(|(id, _)| self.is_covered(*id));
        let mut rules: Vec<usize> = covered
            .filter_map(|(_, node)| self.runs.get(node.rest.clone()))
            .flatten()
            .copied()
            .collect();
        rules.sort_unstable();
        rules
    }

    /// Whether every path that reaches a node is decided without its own `**`.
    fn is_covered(&self, id: NodeId) -> bool {
        let Some(node) = self.nodes.get(id as usize) else { return false };
        let decides =
            |id: NodeId| self.nodes.get(id as usize).is_some_and(|node| !node.end.is_empty());
        let slash = self.literals.get(id, b"").is_some_and(decides);
        let further = node.any.is_some_and(|any| {
            self.nodes.get(any as usize).is_some_and(|node| !node.rest.is_empty())
                || self.is_covered(any)
        });
        // No path ends at the root: `/` is its trailing slash.
        (id == ROOT || !node.end.is_empty()) && slash && further
    }
}

/// The tree while it is being built.
struct Tree {
    nodes: Vec<Node>,
    literals: HashMap<(NodeId, Box<str>), NodeId>,
    /// By node and whether it is `rest`: the rules, in order.
    ends: HashMap<(NodeId, bool), Vec<usize>>,
}

impl Tree {
    fn new() -> Self {
        Self { nodes: vec![Node::default()], literals: HashMap::new(), ends: HashMap::new() }
    }

    fn insert(&mut self, pattern: &Pattern, rule: usize) {
        let mut at = ROOT;
        for segment in &pattern.segments {
            at = self.child(at, segment);
        }
        self.ends.entry((at, pattern.rest)).or_default().push(rule);
    }

    fn child(&mut self, parent: NodeId, segment: &Segment) -> NodeId {
        // A route map of four thousand million segments does not fit the memory.
        let next = NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
        let node = &mut self.nodes[parent as usize];
        let child = match segment {
            Segment::Literal(text) => {
                node.has_literals = true;
                *self.literals.entry((parent, text.clone())).or_insert(next)
            }
            Segment::Int => *node.int.get_or_insert(next),
            Segment::Uuid => *node.uuid.get_or_insert(next),
            Segment::Any => *node.any.get_or_insert(next),
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    fn conflicts(&self, rules: &[Rule]) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        for run in self.ends.values() {
            for (position, &second) in run.iter().enumerate() {
                let taken = |first: &&usize| {
                    !rules[**first].methods.intersection(rules[second].methods).is_empty()
                };
                let first = run[..position].iter().find(taken);
                conflicts.extend(first.map(|&first| Conflict { first, second }));
            }
        }
        conflicts.sort_unstable_by_key(|conflict| (conflict.second, conflict.first));
        conflicts.dedup();
        conflicts
    }

    fn flatten(self, rules: Vec<Rule>) -> RouteTable {
        let Self { mut nodes, literals, ends } = self;
        let mut runs = Vec::new();
        for ((id, is_rest), run) in ends {
            let range = runs.len()..runs.len() + run.len();
            runs.extend(run);
            let node = &mut nodes[id as usize];
            *(if is_rest { &mut node.rest } else { &mut node.end }) = range;
        }
        let alike: Vec<_> = literals
            .iter()
            .map(|((from, text), to)| (*from, folded(text).as_slice().into(), *to))
            .collect();
        let edges = literals.into_iter().map(|((from, text), to)| (from, text.into(), to));
        let (literals, alike) = (Edges::build(edges), Edges::build(alike.into_iter()));
        RouteTable { rules, nodes, literals, alike, runs }
    }
}

#[cfg(test)]
mod tests;
