//! What of a journal the store does not have yet, so that an export has every record, each once.
//!
//! A record is in the journal until the store has it, and leaves it only then. So the journal is read first; then the store
//! is asked how far it is in each lane; and then its records are read. Up to that number a record is the store's, beyond it the
//! journal's. It does not matter what a gateway that runs ships meanwhile.
//!
//! A lane whose files are gone by then is the store's whole, also where the store has forgotten its number.
//!
//! A journal may be larger than memory, and is not in the order of time. So it is read as often as it takes: each time, the
//! next ones in order are held, up to [`HELD`] bytes of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, TryLockError};
use std::path::Path;

use crate::cli::logs::form::Form;
use crate::cli::logs::past::Found;
use crate::cli::logs::selection::{Selection, Span};
use crate::journal;
use crate::model::{AccessRecord, LaneId, Outcome, RecordId};
use crate::store::access::Cursor;

/// Of lines that are held at once, in bytes.
const HELD: usize = if cfg!(test) { 4096 } else { 64 << 20 };

/// Asks how far the store is in each of these lanes.
type HowFar<'s> = &'s dyn Fn(&[LaneId]) -> anyhow::Result<Vec<u64>>;

/// Records that only the journal has, oldest first.
#[derive(Debug)]
pub(super) struct Unshipped<'w> {
    dir: &'w Path,
    wanted: (&'w Selection, Span, Form),
    /// Whether a gateway has the journal.
    is_open: bool,
    lanes: BTreeMap<LaneId, Reach>,
    waiting: VecDeque<Found>,
    /// The last one of the journal that was held so far.
    held: Option<Cursor>,
    /// Whether there is none behind it.
    is_all: bool,
}

/// What of a lane is whose.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// Its first and last record in the journal.
    first: u64,
    last: u64,
    /// Up to there, they are the store's.
    shipped: u64,
}

impl<'w> Unshipped<'w> {
    pub(super) fn read(
        dir: &'w Path,
        how_far: HowFar<'_>,
        wanted: (&'w Selection, Span, Form),
    ) -> anyhow::Result<Self> {
        let is_open = is_in_use(dir);
        let lanes = if dir.exists() { lanes(dir, how_far)? } else { BTreeMap::new() };
        let (waiting, held) = (VecDeque::new(), None);
        Ok(Self { dir, wanted, is_open, lanes, waiting, held, is_all: false })
    }

    /// Whether the journal answers for a record, and not the store.
    pub(super) fn is_not_the_stores(&self, id: RecordId) -> bool {
        self.lanes.get(&id.lane).is_some_and(|lane| id.seq > lane.shipped)
    }

    /// The next one, unless it is not before that.
    pub(super) fn next_before(&mut self, end: Option<Cursor>) -> anyhow::Result<Option<Found>> {
        if self.waiting.is_empty() && !self.is_all {
            self.hold()?;
        }
        let is_before = |one: &Found| end.is_none_or(|end| one.at < end);
        Ok(if self.waiting.front().is_some_and(is_before) {
            self.waiting.pop_front()
        } else {
            None
        })
    }

    /// Reads the next ones.
    fn hold(&mut self) -> anyhow::Result<()> {
        self.is_all = true;
        if self.lanes.values().all(|lane| lane.last <= lane.shipped) {
            return Ok(());
        }
        let mut is_all = true;
        let mut lines: BTreeMap<Cursor, String> = BTreeMap::new();
        let mut bytes = 0;
        let mut begins: BTreeMap<LaneId, u64> = BTreeMap::new();
        let (selection, span, form) = self.wanted;
        each_record(self.dir, &mut |record| {
            begins.entry(record.id.lane).or_insert(record.id.seq);
            let at = Cursor::of(record);
            let is_next = self.held.is_none_or(|held| at > held)
                && (is_all || lines.last_key_value().is_none_or(|(last, _)| at < *last));
            if !is_next || !self.is_due(record) || !selection.takes(span, record) {
                return Ok(());
            }
            let line = form.of_record(record)?;
            bytes += line.len();
            lines.insert(at, line);
            while bytes > HELD && lines.len() > 1 {
                is_all = false;
                bytes -= lines.pop_last().map_or(0, |(_, line)| line.len());
            }
            Ok(())
        })?;
        for (lane, reach) in &self.lanes {
            let is_due = reach.last > reach.shipped;
            let begin = begins.get(lane).copied().unwrap_or(u64::MAX);
            anyhow::ensure!(
                !is_due || begin <= reach.first.max(reach.shipped + 1),
                "records went from the journal {} into the store while they were read: export again",
                self.dir.display()
            );
        }
        self.is_all = is_all;
        self.held = lines.last_key_value().map(|(at, _)| *at).or(self.held);
        self.waiting = lines.into_iter().map(|(at, line)| Found { at, line }).collect();
        Ok(())
    }

    /// Whether it is the journal's, and was there when the store was asked.
    fn is_due(&self, record: &AccessRecord<'_>) -> bool {
        let RecordId { lane, seq } = record.id;
        // What a gateway that runs has begun is not over, and not a record yet. What an earlier start left open has the same
        // code, and comes when the store has it.
        let is_going_on = self.is_open && record.outcome.code == Outcome::INTERRUPTED;
        let reach = self.lanes.get(&lane);
        !is_going_on && reach.is_some_and(|lane| seq > lane.shipped && seq <= lane.last)
    }
}

/// Gives every record of a journal to `each`, as it is found.
pub(super) fn each_record(
    dir: &Path,
    each: &mut dyn FnMut(&AccessRecord<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut failure = None;
    let read = journal::read_directory(dir, &mut |record| {
        each(&record).map_err(|error| {
            failure = Some(error);
            std::io::Error::other("broken off")
        })
    });
    if let Some(error) = failure {
        return Err(error);
    }
    read?;
    Ok(())
}

/// What the journal has, and then how far the store is.
fn lanes(dir: &Path, how_far: HowFar<'_>) -> anyhow::Result<BTreeMap<LaneId, Reach>> {
    let mut lanes: BTreeMap<LaneId, Reach> = BTreeMap::new();
    each_record(dir, &mut |record| {
        let RecordId { lane, seq } = record.id;
        match lanes.entry(lane) {
            Entry::Vacant(lane) => {
                lane.insert(Reach { first: seq, last: seq, shipped: 0 });
            }
            Entry::Occupied(mut lane) => lane.get_mut().last = seq.max(lane.get().last),
        }
        Ok(())
    })?;
    if lanes.is_empty() {
        return Ok(lanes);
    }
    let asked: Vec<LaneId> = lanes.keys().copied().collect();
    let has = how_far(&asked)?;
    let files = std::fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<String>>>()?;
    for ((lane, reach), shipped) in lanes.iter_mut().zip(has) {
        let name = lane.to_string();
        // Its last file goes only when the store has all of it.
        let is_over = shipped == 0 && !files.iter().any(|file| file.starts_with(&name));
        reach.shipped = if is_over { u64::MAX } else { shipped };
    }
    Ok(lanes)
}

/// Whether a gateway has the journal just now.
fn is_in_use(dir: &Path) -> bool {
    let lock = File::open(dir.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::journal::{Journal, Lane, Settings};
    use crate::model::{NodeName, Timestamp};
    use crate::store::conformance::access::samples::part;

    const COUNT: u64 = 100;

    /// A journal of two lanes, the numbers of whose records take turns in time.
    fn journal() -> (TempDir, [LaneId; 2]) {
        let home = tempfile::tempdir().unwrap();
        let (dir, sync) = (home.path().to_owned(), Duration::from_secs(1));
        let node = NodeName::parse("gw-1").unwrap();
        let settings = Settings { dir, sync, max_disk: 64 << 20 };
        let (journal, _) = Journal::open(&settings, &node).unwrap();
        let lanes = [journal.lane().unwrap(), journal.lane().unwrap()];
        for number in 1..=COUNT {
            for (place, lane) in lanes.iter().enumerate() {
                let (mut opening, outcome) = part(number);
                // Not in the order in which they are written.
                let moment = number * 37 % (COUNT + 1) * 2 + place as u64;
                opening.ts = Timestamp::from_micros(i64::try_from(moment).unwrap());
                lane.write(&opening, &outcome).unwrap();
            }
        }
        let ids = lanes.each_ref().map(Lane::id);
        (home, ids)
    }

    fn files(dir: &Path, lane: LaneId) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let of_lane = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&lane.to_string()));
        of_lane.map(|entry| entry.path()).collect()
    }

    /// Those that are given out, and those of both lanes that are the store's.
    fn read(dir: &Path, how_far: HowFar<'_>) -> anyhow::Result<Vec<Cursor>> {
        let selection = Selection::default();
        let wanted = (&selection, Span::default(), Form::Json);
        let mut unshipped = Unshipped::read(dir, how_far, wanted)?;
        let mut given = Vec::new();
        while let Some(found) = unshipped.next_before(None)? {
            assert!(unshipped.is_not_the_stores(found.at.id));
            assert!(unshipped.waiting.iter().map(|one| one.line.len()).sum::<usize>() <= HELD);
            given.push(found.at);
        }
        Ok(given)
    }

    #[test]
    fn a_journal_that_is_larger_than_what_is_held_is_given_whole_and_in_order() {
        let (home, lanes) = journal();
        let one = lanes[0];
        let far = |lane: &LaneId| if *lane == one { 30 } else { 0 };
        let given = read(home.path(), &|asked| Ok(asked.iter().map(far).collect())).unwrap();
        assert_eq!(given.len() as u64, 2 * COUNT - 30);
        assert!(given.is_sorted_by(|earlier, later| earlier < later));
        assert!(given.iter().all(|at| at.id.seq > far(&at.id.lane)));
    }

    #[test]
    fn a_lane_that_is_gone_when_the_store_was_asked_is_the_stores() {
        let (home, lanes) = journal();
        let gone = lanes[0];
        let how_far = |asked: &[LaneId]| {
            files(home.path(), gone).iter().for_each(|file| fs::remove_file(file).unwrap());
            Ok(vec![0; asked.len()])
        };
        let selection = Selection::default();
        let wanted = (&selection, Span::default(), Form::Json);
        let unshipped = Unshipped::read(home.path(), &how_far, wanted).unwrap();
        assert!(!unshipped.is_not_the_stores(RecordId { lane: gone, seq: 1 }));
        let left = RecordId { lane: lanes[1], seq: 1 };
        assert!(unshipped.is_not_the_stores(left));
        let given = read(home.path(), &|asked| Ok(vec![0; asked.len()])).unwrap();
        assert!(given.len() as u64 == COUNT && given.iter().all(|at| at.id.lane == left.lane));
    }

    #[test]
    fn what_leaves_the_journal_unread_is_no_silence() {
        let (home, lanes) = journal();
        let error = read(home.path(), &|asked| {
            let gone = files(home.path(), lanes[0]);
            gone.iter().for_each(|file| fs::remove_file(file).unwrap());
            Ok(vec![5; asked.len()])
        });
        assert!(error.unwrap_err().to_string().contains("export again"));
    }
}
