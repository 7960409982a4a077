//! What a node knows, behind one lock: the records, and the view that was compiled of them.
//!
//! Changes come from two sides, from this node's own writes and from the store's feed, and may come from both: each is
//! taken once, by its position. A view goes to whoever serves before the lock is given back, so views come in order
//! and a change that was taken is in effect.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::model::{AuditHead, KeyId, Timestamp};
use crate::registry::gathered::Gathered;
use crate::registry::records::Touched;
use crate::registry::uses::Uses;
use crate::registry::view::compile::Compiler;
use crate::registry::{Publish, Records, Terms, View, chain};
use crate::store::{Change, DocumentId, Position};
use crate::vault::Vault;

/// How many changes back a node remembers: enough for the longest that a store may lose at a failover.
const REMEMBERED: usize = 1024;
/// Ends of the audit that are remembered. There is more than one only where everything had to be loaded again.
const SEEN_MAX: usize = 64;

pub(in crate::registry) struct State {
    pub(in crate::registry) records: Records,
    compiler: Compiler,
    uses: Uses,
    view: View,
    publish: Option<Publish>,
    past: VecDeque<Past>,
    /// The furthest that the audit was seen to reach, in each stretch that was followed without loading again. None is
    /// forgotten where the store goes back: what it lost is missing from the chain as long as this process lives.
    seen: Vec<AuditHead>,
}

/// A change that was taken.
#[derive(Debug)]
struct Past {
    position: Position,
    head: AuditHead,
    change: String,
    removed: Vec<DocumentId>,
    at: Timestamp,
}

/// How what the store says fits to what is known.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) enum Taken {
    /// Every change is in effect; these keys were revoked by them.
    All { revoked: Vec<KeyId> },
    /// A change is missing in between, or belongs to another history: load again.
    Apart,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("position", &self.records.position()).finish_non_exhaustive()
    }
}

impl State {
    pub(in crate::registry) fn new(gathered: Gathered, terms: Arc<Terms>) -> Self {
        let Gathered { records, mut uses } = gathered;
        let mut compiler = Compiler::new(terms);
        let view = compiler.whole(&records, &mut uses);
        let (past, seen) = (VecDeque::new(), Vec::new());
        let mut state = Self { records, compiler, uses, view, publish: None, past, seen };
        state.remember(None);
        state
    }

    pub(in crate::registry) fn view(&self) -> &View {
        &self.view
    }

    pub(in crate::registry) fn uses(&self) -> &Uses {
        &self.uses
    }

    pub(in crate::registry) fn terms(&self) -> &Arc<Terms> {
        self.compiler.terms()
    }

    pub(in crate::registry) fn publish_to(&mut self, publish: Publish) {
        publish(self.view.clone());
        self.publish = Some(publish);
    }

    pub(in crate::registry) fn recompile(&mut self, terms: Arc<Terms>) {
        self.compiler = Compiler::new(terms);
        self.view = self.compiler.whole(&self.records, &mut self.uses);
    }

    /// All that a store has, in place of all that was known.
    pub(in crate::registry) fn replace(&mut self, theirs: &Gathered) -> Vec<KeyId> {
        let records = self.records.reloaded(&theirs.records);
        let was_revoked = |slot| self.records.keys.at(slot).is_some_and(|key| key.is_revoked());
        let revoked =
            records.keys.all().filter(|(slot, key)| key.is_revoked() && !was_revoked(*slot));
        let revoked = revoked.map(|(_, key)| key.id).collect();
        self.records = records;
        self.past.clear();
        self.view = self.compiler.whole(&self.records, &mut self.uses);
        for (slot, key) in theirs.records.keys.all() {
            let ours = self.records.index().key_by_id(key.id);
            if let Some((at, ours)) = theirs.uses.last(slot).zip(ours) {
                self.uses.learn(ours, at);
            }
        }
        self.remember(None);
        self.tell();
        revoked
    }

    /// Changes of the feed.
    pub(in crate::registry) fn follow(
        &mut self,
        changes: &[(Position, Change)],
        vault: &Vault,
    ) -> Taken {
        let before = self.records.position();
        let mut all = Touched::default();
        let mut fits = true;
        for (position, change) in changes {
            if *position <= self.records.position() {
                continue;
            }
            let head = self.records.head();
            let first = change.audit.first();
            fits = position.0 == self.records.position().0 + 1
                && first.is_none_or(|entry| chain::follows(vault, &head, entry));
            if !fits {
                break;
            }
            all.join(self.records.apply(*position, change));
            self.remember(Some(change));
        }
        let has_news = self.records.position() != before;
        let revoked = if has_news { self.show(all) } else { Vec::new() };
        if fits { Taken::All { revoked } } else { Taken::Apart }
    }

    /// A change of this node, which the store has at `position`. The feed may have brought it already.
    pub(in crate::registry) fn take_own(
        &mut self,
        position: Position,
        change: &Change,
    ) -> Vec<KeyId> {
        if position <= self.records.position() {
            return Vec::new();
        }
        let touched = self.records.apply(position, change);
        self.remember(Some(change));
        self.show(touched)
    }

    fn show(&mut self, touched: Touched) -> Vec<KeyId> {
        let mut view = self.view.clone();
        self.compiler.change(&mut view, &self.records, &touched, &mut self.uses);
        self.view = view;
        self.tell();
        touched.revoked
    }

    fn tell(&self) {
        if let Some(publish) = &self.publish {
            publish(self.view.clone());
        }
    }

    /// What the chain of the audit must contain: the last entry of now, and those that once were.
    pub(in crate::registry) fn seen(&self) -> &[AuditHead] {
        &self.seen
    }

    fn see(&mut self) {
        let head = self.records.head();
        let before = self.past.back().map(|past| past.head);
        if let Some(last) = self.seen.last_mut().filter(|last| Some(**last) == before) {
            *last = head;
            return;
        }
        if self.seen.contains(&head) {
            return;
        }
        if self.seen.len() == SEEN_MAX {
            // The first tells most: it goes back the furthest.
            self.seen.remove(1);
        }
        self.seen.push(head);
    }

    fn remember(&mut self, change: Option<&Change>) {
        self.see();
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        let (position, head) = (self.records.position(), self.records.head());
        self.past.push_back(Past {
            position,
            head,
            change: change.map(|change| change.id.clone()).unwrap_or_default(),
            removed: change.map(|change| change.removes.clone()).unwrap_or_default(),
            at: change.map(|change| change.at).unwrap_or_default(),
        });
    }

    /// Where a change of that id was taken.
    pub(in crate::registry) fn position_of(&self, change: &str) -> Option<Position> {
        self.past.iter().rev().find(|past| past.change == change).map(|past| past.position)
    }

    /// What was removed since everything was loaded, and when, as far as changes are remembered.
    pub(in crate::registry) fn removed(&self) -> impl Iterator<Item = (&DocumentId, Timestamp)> {
        self.past.iter().flat_map(|past| past.removed.iter().map(move |id| (id, past.at)))
    }

    /// Whether what is known once was, at that position, what the store now is: the store lost the rest and nobody has
    /// written since.
    pub(in crate::registry) fn went_through(&self, position: Position, head: AuditHead) -> bool {
        let is_new = position == Position(0) && head == AuditHead::default();
        is_new || self.past.iter().any(|past| past.position == position && past.head == head)
    }
}

impl Touched {
    fn join(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.vendor_keys.extend(other.vendor_keys);
        self.practices.extend(other.practices);
        self.vendors.extend(other.vendors);
        self.dead_tokens.extend(other.dead_tokens);
        self.revoked.extend(other.revoked);
    }
}
