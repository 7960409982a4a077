//! The route table: the most specific pattern wins, whatever the order of the rules, and a lookup does not grow with
//! their number.
//!
//! It is a tree of segments, laid out flat. A lookup walks it from the left and tries the children of a node in order
//! of specificity (literal, typed, any, rest), turning back where a branch ends; the first full match is thereby the
//! most specific one, as [`Specificity`](crate::policy::specificity::Specificity) defines it. A node is visited at most
//! once in a lookup, because only one path leads to it, and there are at most [`Pattern::MAX_SEGMENTS`] levels, so a
//! caller with a long path cannot buy more work than the route map holds.
//!
//! The pattern is chosen by the path alone and the method afterwards: a method that the winner does not take is refused,
//! and never handed to a less specific pattern, which was written for other paths.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::policy::edges::{Edges, NodeId};
use crate::policy::pattern::{Pattern, Segment, is_int, is_uuid};
use crate::policy::rule::Rule;
use crate::policy::target::{Target, with_plain_delimiters};

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
    /// Positions in `rules`; each pattern has a run of its own.
    runs: Vec<usize>,
    /// Literals that a caller could also spell with a percent triplet.
    delimited: HashSet<Box<str>>,
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
        let path = target.path().strip_prefix('/').unwrap_or_default();
        let run = self.descend(ROOT, Some(path)).unwrap_or_default();
        self.runs.get(run).unwrap_or_default()
    }

    /// Whether a segment of the path is, with its percent triplets decoded, a literal of some pattern: `/%24export`
    /// where there is a rule for `/$export`. Some upstreams take the two for one, so neither rule can be trusted to
    /// speak of the request.
    pub fn reads_two_ways(&self, target: &Target<'_>) -> bool {
        target.encodes_delimiter()
            && !self.delimited.is_empty()
            && target.segments().filter(|segment| segment.contains('%')).any(|segment| {
                let plain = with_plain_delimiters(segment);
                plain != segment && self.delimited.contains(plain.as_str())
            })
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
        let slash = self.literals.get(id, "").is_some_and(decides);
        let further = node.any.is_some_and(|any| {
            self.nodes.get(any as usize).is_some_and(|node| !node.rest.is_empty())
                || self.is_covered(any)
        });
        // No path ends at the root: `/` is its trailing slash.
        (id == ROOT || !node.end.is_empty()) && slash && further
    }

    /// The run of the most specific match below a node; `path` is what is left of it, None where nothing is.
    fn descend(&self, id: NodeId, path: Option<&str>) -> Option<Range<usize>> {
        let node = self.nodes.get(id as usize)?;
        let here = |run: &Range<usize>| Some(run.clone()).filter(|run| !run.is_empty());
        let Some(path) = path else { return here(&node.end).or_else(|| here(&node.rest)) };
        let (segment, further) = path
            .split_once('/')
            .map_or((path, None), |(segment, further)| (segment, Some(further)));
        let int = || node.int.filter(|_| is_int(segment));
        let uuid = || node.uuid.filter(|_| is_uuid(segment));
        let any = || node.any.filter(|_| !segment.is_empty());
        let follow = |child: NodeId| self.descend(child, further);
        let literal = if node.has_literals { self.literals.get(id, segment) } else { None };
        literal
            .and_then(follow)
            .or_else(|| int().and_then(follow))
            .or_else(|| uuid().and_then(follow))
            .or_else(|| any().and_then(follow))
            .or_else(|| here(&node.rest))
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
        let delimited = literals
            .keys()
            .map(|(_, text)| text)
            .filter(|text| text.contains(|c: char| !c.is_ascii_alphanumeric()))
            .cloned()
            .collect();
        let edges = literals.into_iter().map(|((from, text), to)| (from, text, to));
        RouteTable { rules, nodes, literals: Edges::build(edges), runs, delimited }
    }
}

#[cfg(test)]
mod tests;
