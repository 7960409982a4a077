//! Walking the tree of a route table.
//!
//! A lookup goes from the left and tries the children of a node in order of specificity (literal, typed, any, rest),
//! turning back where a branch ends; the first full match is thereby the most specific one, as
//! [`Specificity`](crate::policy::specificity::Specificity) defines it. Between the literal and the wildcards it follows
//! the literals that the segment is another spelling of, and notes where they end without ever deciding by them: a path
//! that literals alone decide never gets there. A node is visited at most once, because only one path leads to it, and
//! there are at most [`Pattern::MAX_SEGMENTS`](crate::policy::Pattern::MAX_SEGMENTS) levels, so a caller with a long
//! path cannot buy more work than the route map holds.

use std::ops::Range;

use smallvec::SmallVec;

use crate::policy::edges::NodeId;
use crate::policy::pattern::{is_int, is_uuid};
use crate::policy::spelling::{bare, folded};
use crate::policy::table::{Node, ROOT, RouteTable};
use crate::policy::target::Target;

/// What a table has for a path. Rules are positions in [`RouteTable::rules`], together where they share a pattern.
#[derive(Clone, Debug)]
pub struct Reading<'t> {
    /// Those of the most specific pattern that matches.
    pub own: &'t [usize],
    /// Those of patterns that would be more specific still, were the path spelled otherwise: see
    /// [`Step::Alike`](crate::policy::specificity::Step::Alike).
    pub alike: SmallVec<[&'t [usize]; 4]>,
}

pub(super) fn read<'t>(table: &'t RouteTable, target: &Target<'_>) -> Reading<'t> {
    let mut walk = Walk { table, alike: SmallVec::new() };
    let path = target.path().strip_prefix('/').unwrap_or_default();
    let own = walk.descend(ROOT, Some(path), Spelling::Own).unwrap_or_default();
    Reading { own, alike: walk.alike }
}

/// Whether a branch was reached by the path as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Own,
    Alike,
}

struct Walk<'t> {
    table: &'t RouteTable,
    alike: SmallVec<[&'t [usize]; 4]>,
}

impl<'t> Walk<'t> {
    /// The most specific match below a node; `path` is what is left of it, None where nothing is.
    fn descend(
        &mut self,
        id: NodeId,
        path: Option<&str>,
        spelling: Spelling,
    ) -> Option<&'t [usize]> {
        let table = self.table;
        let node = table.nodes.get(id as usize)?;
        let Some(path) = path else { return self.finish(id, node, spelling) };
        let (segment, further) = path
            .split_once('/')
            .map_or((path, None), |(segment, further)| (segment, Some(further)));
        let literal =
            node.has_literals.then(|| table.literals.get(id, segment.as_bytes())).flatten();
        if let Some(found) = literal.and_then(|child| self.descend(child, further, spelling)) {
            return Some(found);
        }
        self.follow_alike(id, node, (segment, further), literal);
        let typed = typed_child(node, segment);
        let any = node.any.filter(|_| !segment.is_empty());
        for child in [typed, any].into_iter().flatten() {
            if let Some(found) = self.descend(child, further, spelling) {
                return Some(found);
            }
        }
        self.meet(&node.rest, spelling)
    }

    /// The match of a path that ends at a node.
    fn finish(&mut self, id: NodeId, node: &'t Node, spelling: Spelling) -> Option<&'t [usize]> {
        if let Some(found) = self.meet(&node.end, spelling) {
            return Some(found);
        }
        if node.has_literals {
            let slash = self.table.literals.get(id, b"");
            self.note(slash.and_then(|slash| self.table.nodes.get(slash as usize)));
        }
        self.meet(&node.rest, spelling)
    }

    /// Goes wherever the segment would lead in another spelling.
    fn follow_alike(
        &mut self,
        id: NodeId,
        node: &'t Node,
        (segment, further): (&str, Option<&str>),
        literal: Option<NodeId>,
    ) {
        let table = self.table;
        if segment.is_empty() && further.is_none() {
            self.note(Some(node));
        }
        if node.has_literals {
            for child in table.alike.all(id, &folded(segment)) {
                if Some(child) != literal {
                    self.descend(child, further, Spelling::Alike);
                }
            }
        }
        let bare = bare(segment);
        if bare.len() < segment.len()
            && let Some(child) = typed_child(node, bare)
        {
            self.descend(child, further, Spelling::Alike);
        }
    }

    /// What is met in another spelling is noted and decides nothing.
    fn meet(&mut self, run: &Range<usize>, spelling: Spelling) -> Option<&'t [usize]> {
        let run = self.table.runs.get(run.clone()).filter(|run| !run.is_empty())?;
        if spelling == Spelling::Own {
            return Some(run);
        }
        self.alike.push(run);
        None
    }

    /// Notes the rules of a node that the path ends at but for a slash.
    fn note(&mut self, node: Option<&'t Node>) {
        if let Some(node) = node {
            self.meet(&node.end, Spelling::Alike);
        }
    }
}

fn typed_child(node: &Node, segment: &str) -> Option<NodeId> {
    let int = node.int.filter(|_| is_int(segment));
    int.or_else(|| node.uuid.filter(|_| is_uuid(segment)))
}
