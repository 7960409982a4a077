//! `postern logs tail`: the latest records, then each further one once.
//!
//! A record has the time at which its request came, and comes to the store when the answer has ended. So what is new need not
//! be what is latest, and "after the last one shown" would miss every slow request. Each look therefore goes back a little
//! beyond the last one, now and then further, and what was shown is remembered.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::cli::logs::form::Form;
use crate::cli::logs::past::{Asked, Found, Past};
use crate::cli::logs::selection::{Selection, Span};
use crate::cli::output::{self, Flow};
use crate::cli::remote::{Problem, Remote};
use crate::model::Timestamp;
use crate::store::access::Cursor;
use crate::telemetry::clock::Clock;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// How far each look goes back.
const NEAR: Duration = Duration::from_secs(3);
/// How far every tenth look goes back, and how many records it reads for that at the most.
const FAR: Duration = Duration::from_secs(3600);
const FAR_MOST: usize = 5000;
const FAR_TURN: u32 = 10;
/// How many answers are read for the first lines: where few records are wanted, looking for them has an end.
const FIRST_LEAVES: usize = 50;
/// So many are remembered; whatever is older than the oldest of them is not shown any more.
const REMEMBERED: usize = if cfg!(test) { 8_000 } else { 100_000 };

#[derive(Debug, Args)]
#[command(
    after_help = "Lines for people on a terminal, JSON documents elsewhere. A record comes when its answer has ended. One whose request
took longer than three seconds comes some seconds later. It is not shown here at all where its request took longer than
an hour, or where 5000 requests that began after it are there already: `postern logs export` has them all."
)]
pub(super) struct TailArgs {
    /// How many of those that are there already
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10)]
    lines: usize,
    #[command(flatten)]
    selection: Selection,
    /// A JSON document on each line, on a terminal, too
    #[arg(long, conflicts_with = "text")]
    json: bool,
    /// Lines for people, wherever they go
    #[arg(long)]
    text: bool,
}

pub(super) fn tail(args: &TailArgs) -> anyhow::Result<()> {
    let is_text = args.text || (Flow::is_on_terminal() && !args.json);
    let form = if is_text { Form::Text } else { Form::Json };
    let remote = Remote::from_environment()?;
    let mut past = Asked { remote: &remote, selection: &args.selection, form };
    let mut flow = Flow::open();
    let (mut follower, latest) = Follower::begin(&mut past, args.lines, Clock::default().now())?;
    show(&mut flow, &latest)?;
    let mut is_told = false;
    loop {
        thread::sleep(PAUSE);
        match follower.look(&mut past) {
            Ok(found) => {
                is_told = false;
                show(&mut flow, &found)?;
            }
            // It says no, and will again.
            Err(error) if error.downcast_ref::<Problem>().is_some() => return Err(error),
            Err(error) if !is_told => {
                output::note(&format!("{error:#}; trying again"));
                is_told = true;
            }
            Err(_) => {}
        }
    }
}

fn show(flow: &mut Flow, found: &[Found]) -> anyhow::Result<()> {
    found.iter().try_for_each(|one| flow.write(&one.line))?;
    flow.flush()
}

/// What was shown.
#[derive(Debug)]
struct Follower {
    seen: BTreeSet<Cursor>,
    /// Nothing up to here is shown any more.
    floor: Option<Cursor>,
    /// Where looking begins as long as nothing was seen.
    since: Timestamp,
    looks: u32,
}

impl Follower {
    /// Gives back the last records that are there, oldest first.
    fn begin(
        past: &mut impl Past,
        last: usize,
        now: Timestamp,
    ) -> anyhow::Result<(Self, Vec<Found>)> {
        let (mut found, floor) = read(past, Span::default(), |found, leaves| {
            leaves >= FIRST_LEAVES
                || found.len() >= FAR_MOST.max(last)
                || (found.len() >= last && reaches(found, FAR))
        })?;
        // An hour is more than clocks differ.
        let since = earlier(now, FAR);
        let mut follower = Self { seen: BTreeSet::new(), floor, since, looks: 0 };
        follower.remember(&found);
        found.truncate(last);
        found.reverse();
        Ok((follower, found))
    }

    /// What came since, oldest first.
    fn look(&mut self, past: &mut impl Past) -> anyhow::Result<Vec<Found>> {
        let goes_far = self.looks % FAR_TURN == FAR_TURN - 1;
        let newest = self.seen.last().map_or(self.since, |last| last.ts);
        let near = earlier(newest, NEAR);
        let from = if goes_far { earlier(newest, FAR) } else { near };
        let (mut found, _) = read(past, Span { from: Some(from), to: None }, |found, _| {
            found.len() >= FAR_MOST && found.last().is_some_and(|last| last.at.ts < near)
        })?;
        let is_new = |one: &Found| {
            self.floor.is_none_or(|floor| one.at > floor) && !self.seen.contains(&one.at)
        };
        found.retain(is_new);
        found.reverse();
        self.remember(&found);
        self.looks = self.looks.wrapping_add(1);
        Ok(found)
    }

    fn remember(&mut self, found: &[Found]) {
        self.seen.extend(found.iter().map(|one| one.at));
        while self.seen.len() > REMEMBERED {
            self.floor = self.seen.pop_first().max(self.floor);
        }
    }
}

/// Newest first, to the end of the span, or until that is enough: then with the last that was read.
fn read(
    past: &mut impl Past,
    span: Span,
    is_enough: impl Fn(&[Found], usize) -> bool,
) -> anyhow::Result<(Vec<Found>, Option<Cursor>)> {
    let mut found: Vec<Found> = Vec::new();
    let mut next = None;
    for leaves in 1.. {
        let page = past.page();
        let leaf = past.leaf(span, next.as_deref(), page)?;
        found.extend(leaf.found);
        next = leaf.next;
        if next.is_none() {
            break;
        }
        if is_enough(&found, leaves) {
            let last = found.last().map(|last| last.at);
            return Ok((found, last));
        }
    }
    Ok((found, None))
}

/// Whether they go back so far.
fn reaches(found: &[Found], back: Duration) -> bool {
    let ends = found.first().zip(found.last());
    ends.is_some_and(|(newest, oldest)| newest.at.ts.since(oldest.at.ts) >= back)
}

fn earlier(moment: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(moment.as_micros().saturating_sub(span).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::logs::past::tests::{Remembered, cursor};

    const HOUR: i64 = 3_600_000_000;
    const NOW: Timestamp = Timestamp::from_micros(10 * HOUR);

    fn seqs(found: &[Found]) -> Vec<u64> {
        found.iter().map(|one| one.at.id.seq).collect()
    }

    fn add(past: &mut Remembered, at: Cursor) {
        past.all.push(at);
        past.all.sort();
    }

    #[test]
    fn the_last_come_first_and_then_each_new_one_once() {
        let all = (1..=20_u64).map(|seq| cursor(10 * HOUR + 1000 * seq as i64, seq)).collect();
        let mut past = Remembered { all, shown: 0 };
        let (mut follower, latest) = Follower::begin(&mut past, 3, NOW).unwrap();
        assert_eq!(seqs(&latest), [18, 19, 20]);
        assert_eq!(seqs(&follower.look(&mut past).unwrap()), [] as [u64; 0]);
        add(&mut past, cursor(10 * HOUR + 30_000, 21));
        // Earlier than what was shown: its answer took longer.
        add(&mut past, cursor(10 * HOUR + 500, 22));
        assert_eq!(seqs(&follower.look(&mut past).unwrap()), [22, 21]);
        assert_eq!(seqs(&follower.look(&mut past).unwrap()), [] as [u64; 0]);
    }

    #[test]
    fn a_request_that_took_long_is_shown_within_some_looks() {
        let mut past = Remembered { all: vec![cursor(10 * HOUR, 1)], shown: 0 };
        let (mut follower, latest) = Follower::begin(&mut past, 0, NOW).unwrap();
        assert_eq!(latest, []);
        add(&mut past, cursor(10 * HOUR - HOUR / 2, 2));
        let found: Vec<u64> =
            (0..FAR_TURN).flat_map(|_| seqs(&follower.look(&mut past).unwrap())).collect();
        assert_eq!(found, [2]);
    }

    #[test]
    fn what_is_forgotten_is_not_shown_again() {
        let count = u64::try_from(REMEMBERED).unwrap() + 500;
        let mut past = Remembered { all: Vec::new(), shown: 0 };
        let (mut follower, _) = Follower::begin(&mut past, 10, NOW).unwrap();
        past.all = (1..=count).map(|seq| cursor(10 * HOUR, seq)).collect();
        assert_eq!(follower.look(&mut past).unwrap().len(), past.all.len());
        for _ in 0..=FAR_TURN {
            assert_eq!(follower.look(&mut past).unwrap(), []);
        }
    }
}
