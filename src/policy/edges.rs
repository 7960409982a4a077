//! The literal edges of the route tree: one flat hash table for all nodes.
//!
//! A lookup costs one hash and about one comparison, whether a node has ten literal children or ten thousand. The table
//! is at most half full and never written after it was built. Callers choose what is looked up but not what is in it, so
//! the longest run of slots that a lookup can meet is fixed by the route map, and the hash needs no secret.

/// A node of the route tree, by position.
pub(crate) type NodeId = u32;

#[derive(Debug)]
struct Edge {
    from: NodeId,
    to: NodeId,
    label: Box<[u8]>,
}

/// Which nodes a label leads to from which node.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    /// Open addressing with linear probing; a power of two long, or empty.
    slots: Box<[Option<Edge>]>,
}

impl Edges {
    pub(crate) fn build(edges: impl ExactSizeIterator<Item = (NodeId, Box<[u8]>, NodeId)>) -> Self {
        let size = (edges.len() * 2).next_power_of_two();
        let mut slots: Vec<Option<Edge>> = std::iter::repeat_with(|| None).take(size).collect();
        for (from, label, to) in edges {
            let start = slot_of(from, &label, size);
            if let Some(free) =
                (start..start + size).map(|at| at % size).find(|at| slots[*at].is_none())
            {
                slots[free] = Some(Edge { from, to, label });
            }
        }
        Self { slots: slots.into() }
    }

    pub(crate) fn get(&self, from: NodeId, label: &[u8]) -> Option<NodeId> {
        self.all(from, label).next()
    }

    /// Several where the label was given several times.
    pub(crate) fn all(&self, from: NodeId, label: &[u8]) -> impl Iterator<Item = NodeId> {
        let start = slot_of(from, label, self.slots.len());
        let (before, after) = self.slots.split_at_checked(start).unwrap_or_default();
        after
            .iter()
            .chain(before)
            .map_while(Option::as_ref)
            .filter(move |edge| edge.from == from && *edge.label == *label)
            .map(|edge| edge.to)
    }
}

/// Where the search for a label begins, in a table of `size` slots, a power of two.
fn slot_of(from: NodeId, label: &[u8], size: usize) -> usize {
    let mut hash = u64::from(from).wrapping_mul(MULTIPLIER) ^ label.len() as u64;
    let (words, tail) = label.as_chunks::<8>();
    for word in words {
        hash = mix(hash ^ u64::from_le_bytes(*word));
    }
    let tail = tail.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    hash = mix(hash ^ tail);
    usize::try_from(hash & (size as u64).wrapping_sub(1)).unwrap_or_default()
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A multiplication whose upper half is folded onto the lower, so that every bit of the word reaches the low ones.
fn mix(word: u64) -> u64 {
    let (low, high) = (word ^ MULTIPLIER).carrying_mul(0xd6e8_feb8_6659_fd93, 0);
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_has_nothing() {
        assert_eq!(Edges::default().get(0, b""), None);
        assert_eq!(Edges::build(Vec::new().into_iter()).get(0, b"a"), None);
    }

    #[test]
    fn a_label_leads_to_every_node_it_was_given_with() {
        let edges = vec![(0, b"a"[..].into(), 1), (0, b"a"[..].into(), 2), (1, b"a"[..].into(), 3)];
        let table = Edges::build(edges.into_iter());
        let mut found: Vec<_> = table.all(0, b"a").collect();
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
    }

    #[test]
    fn ten_thousand_siblings_are_found_within_a_few_slots() {
        let label = |n: u32| format!("resource-{n}").into_bytes().into_boxed_slice();
        let edges: Vec<_> = (0..10_000).map(|n| (n % 3, label(n), n)).collect();
        let table = Edges::build(edges.into_iter());
        for n in 0..10_000 {
            assert_eq!(table.get(n % 3, &label(n)), Some(n));
            assert_eq!(table.get(n % 3 + 1, &label(n)).filter(|found| *found == n), None);
        }
        let longest = table.slots.split(Option::is_none).map(<[_]>::len).max().unwrap();
        assert!(longest < 64, "{longest}");
    }
}
