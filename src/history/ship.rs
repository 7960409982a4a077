//! Records out of the journal into the store: each once, for as long as it takes.
//!
//! Nothing here remembers how far the store is but the store: it writes the number of a lane's last record with the
//! records themselves, and is asked for it. So nothing can be shipped twice, and whatever went wrong, the remedy is one:
//! ask, and go on from there.
//!
//! - An error, or no answer: a pause, and the store is asked how far it is. It may have taken the batch. The next batch is
//!   smaller, for a store that is only too slow.
//! - The store is behind where it was (a failover, a restart without its last writes, another store): what it lost is
//!   shipped again from segments that were kept. That is noticed by the next batch, and without traffic within
//!   [`LOOK`].
//! - The journal no longer has what the store lacks: it is counted, said at the level of an error, and passed over.
//!   What comes after is worth no less.
//!
//! The journal is read by mapped files, which may block, and a batch takes a while to be encoded: so this runs on a thread
//! of its own, and only the store's connections live on the runtime that it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::history::History;
use crate::history::progress::Progress;
use crate::journal::{Batch, JournalError, Source, courtesy};
use crate::model::LaneId;
use crate::store::StoreError;
use crate::store::access::{AccessStore, Taken};

#[cfg(test)]
mod tests;

/// The least that a batch shrinks to where the store does not take larger ones in time.
const LEAST: usize = 50;
/// For each record that a batch may have, so many bytes, about: those of long ones are fewer.
const BYTES: usize = 256;
/// For how long records are gathered where few come: a transaction for each is too many, and people wait for a tenth of
/// a second without noticing.
const GATHER: Duration = Duration::from_millis(50);
/// So many of those are waited where many come, so that a batch has many records of a key: nobody looks for a single one
/// among hundreds, and each block and each sum is written once for all of them.
const GATHER_MANY: u32 = 20;
/// In one round: fewer are somebody who tries something.
const FEW: u64 = 64;
/// How long the thread waits for the next record at once; also how late it hears that it is to end.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often the store is asked how far it is, though all seems well.
const LOOK: Duration = Duration::from_secs(5);
/// It stops at the next step after its time is up. A step that takes longer waits for a disk.
const GRACE: Duration = Duration::from_secs(1);

/// The thread that ships. Dropped, it ends at the next step, and what waits stays in the journal.
#[derive(Debug)]
pub struct Shipper {
    /// Until when, once it is to end. The thread holds the other end as long as it lives.
    end: watch::Sender<Option<Instant>>,
}

impl History {
    /// Starts to ship. The store's connections are driven by `runtime`, and segments stay for `keep` after the store has
    /// their records.
    pub fn ship(&self, runtime: Handle, keep: Duration) -> io::Result<Shipper> {
        let (end, ending) = watch::channel(None);
        let shipping = Shipping::new(self, keep, ending);
        thread::Builder::new()
            .name("shipper".to_owned())
            .spawn(move || runtime.block_on(shipping.run()))?;
        Ok(Shipper { end })
    }
}

impl Shipper {
    /// Waits until it has ended, which it does by itself only if it crashed. Cancel-safe.
    pub async fn ended(&self) {
        self.end.closed().await;
    }

    /// Ships what is left, as long as that takes no longer than `patience`; what is left then stays in the journal. To be
    /// called when nobody writes any more.
    pub async fn finish(&self, patience: Duration) {
        courtesy::hurry();
        self.end.send_replace(Some(Instant::now() + patience));
        if timeout(patience + GRACE, self.ended()).await.is_err() {
            tracing::warn!("the shipper hangs on its disk and is left behind");
        }
    }
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the store says that it lacks record {0} of lane {1}, and that it has it")]
    Contradiction(u64, LaneId),
}

impl Trouble {
    /// What it comes to, for people: its reason is told behind that.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Store(_) | Self::Contradiction(..) => {
                "access records do not reach the store; they wait in the journal"
            }
            Self::Journal(_) => "the journal cannot be read; access records wait in it",
        }
    }

    /// Whether another lane would fare no better.
    fn is_of_all_lanes(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(error, StoreError::Corrupt(_)),
            Self::Journal(_) | Self::Contradiction(..) => false,
        }
    }
}

/// What the thread works with.
#[derive(Debug)]
struct Shipping {
    source: Source,
    store: Arc<dyn AccessStore>,
    progress: Arc<Progress>,
    /// Until when, once it is to end.
    ending: watch::Receiver<Option<Instant>>,
    keep: Duration,
    /// The last record of each lane that the store has, as far as it said.
    known: BTreeMap<LaneId, u64>,
    /// When the store is to be asked about all lanes again.
    look: Instant,
    /// Lanes that are over, and not yet forgotten by the store.
    finished: Vec<LaneId>,
    /// Lanes that could not be shipped, and that this was told of.
    stuck: BTreeSet<LaneId>,
    most: usize,
    /// Records that the last round handed over.
    handed_over: u64,
}

impl Shipping {
    fn new(history: &History, keep: Duration, ending: watch::Receiver<Option<Instant>>) -> Self {
        Self {
            source: history.journal.source(),
            store: Arc::clone(&history.store),
            progress: Arc::clone(&history.progress),
            ending,
            keep,
            known: BTreeMap::new(),
            look: Instant::now(),
            finished: Vec::new(),
            stuck: BTreeSet::new(),
            most: history.store.appetite(),
            handed_over: 0,
        }
    }

    async fn run(mut self) {
        let over = over(self.ending.clone());
        tokio::select! {
            () = over => {}
            () = self.ship() => {}
        }
    }

    /// Ships until it is to end and nothing waits.
    async fn ship(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            // Asked before, so that the last round sees all that was written before the end was asked for.
            let is_ending = self.ending.borrow().is_some();
            match self.round().await {
                Ok(()) => {
                    self.progress.works();
                    backoff.reset();
                    if is_ending {
                        return;
                    }
                    self.source.wait(PATIENCE);
                    self.gather().await;
                }
                Err(trouble) => {
                    self.progress.fails(trouble.outcome(), &trouble);
                    // What it said it has may be more by now, or less.
                    self.look = Instant::now();
                    sleep(backoff.pause()).await;
                }
            }
        }
    }

    /// Lets more come: the longer, the more came last time, unless what waits is worth a batch, or its room is needed.
    async fn gather(&self) {
        let pauses = if self.handed_over < FEW { 1 } else { GATHER_MANY };
        for _ in 0..pauses {
            sleep(GATHER).await;
            if self.ending.borrow().is_some() || self.source.has_plenty(self.most as u64) {
                return;
            }
        }
    }

    /// Ships everything that is complete as it begins. A lane that cannot be shipped holds up no other.
    async fn round(&mut self) -> Result<(), Trouble> {
        self.handed_over = 0;
        let lanes = self.source.lanes()?;
        self.ask(&lanes).await?;
        let mut outcome = Ok(());
        for (lane, last) in lanes {
            match self.ship_lane(lane, last).await {
                Ok(()) => {
                    self.stuck.remove(&lane);
                }
                Err(trouble) if trouble.is_of_all_lanes() => return Err(trouble),
                Err(trouble) => {
                    if self.stuck.insert(lane) {
                        tracing::error!(
                            %lane, error = %trouble,
                            "a lane of access records cannot be shipped; the others are"
                        );
                    }
                    outcome = outcome.and(Err(trouble));
                }
            }
        }
        self.forget().await?;
        outcome
    }

    /// Asks the store how far it is: about lanes that are new, and now and then about all.
    async fn ask(&mut self, lanes: &[(LaneId, u64)]) -> Result<(), Trouble> {
        let is_due = Instant::now() >= self.look;
        let is_asked = |lane: &LaneId| is_due || !self.known.contains_key(lane);
        let asked: Vec<LaneId> = lanes.iter().map(|(lane, _)| *lane).filter(is_asked).collect();
        if !asked.is_empty() {
            for (lane, has) in self.how_far(&asked).await? {
                match self.known.get(&lane) {
                    Some(known) if has < *known => self.rewind(lane, has)?,
                    Some(known) if has == *known => {}
                    Some(_) | None => self.confirm(lane, has)?,
                }
            }
        }
        if is_due {
            self.known.retain(|known, _| lanes.iter().any(|(lane, _)| lane == known));
            self.look = Instant::now() + LOOK;
        }
        Ok(())
    }

    /// What the store has of each of these. A lane whose number it cannot read is not among them; it cannot be shipped.
    async fn how_far(&self, lanes: &[LaneId]) -> Result<Vec<(LaneId, u64)>, StoreError> {
        match self.store.lanes(lanes).await {
            Ok(has) => return Ok(lanes.iter().copied().zip(has).collect()),
            Err(StoreError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
        let mut told = Vec::new();
        for lane in lanes {
            match self.store.lanes(&[*lane]).await {
                Ok(has) => told.extend(has.first().map(|has| (*lane, *has))),
                Err(StoreError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(told)
    }

    async fn ship_lane(&mut self, lane: LaneId, last: u64) -> Result<(), Trouble> {
        loop {
            let has = self.known.get(&lane).copied().unwrap_or(0);
            if has >= last {
                return Ok(());
            }
            let batch = self.source.read(lane, has, self.most, self.most * BYTES)?;
            if batch.after > has {
                self.pass_over(lane, has, batch.after).await?;
            } else if batch.is_empty() {
                return Ok(());
            } else {
                self.hand_over(Arc::new(batch)).await?;
            }
        }
    }

    async fn hand_over(&mut self, batch: Arc<Batch>) -> Result<(), Trouble> {
        let taken = self.store.take(Arc::clone(&batch)).await;
        self.most = match taken {
            // Slowly, for the first one that is too large costs a whole deadline.
            Ok(_) => (self.most + self.most / 8).min(self.store.appetite()),
            // No matter of size, and other lanes are none the worse.
            Err(StoreError::Corrupt(_)) => self.most,
            Err(_) => (self.most / 2).max(LEAST),
        };
        match taken? {
            Taken::All => {
                self.confirm(batch.lane, batch.last())?;
                self.handed_over += batch.len() as u64;
                self.progress.shipped(batch.len() as u64);
                Ok(())
            }
            Taken::Behind(has) if has < batch.after => {
                // What it lost of one lane it may have lost of others.
                self.look = Instant::now();
                self.rewind(batch.lane, has)
            }
            Taken::Behind(has) => Err(Trouble::Contradiction(has, batch.lane)),
        }
    }

    /// The store has the lane up to there.
    fn confirm(&mut self, lane: LaneId, has: u64) -> Result<(), Trouble> {
        self.known.insert(lane, has);
        Ok(self.source.shipped(lane, has, self.keep)?)
    }

    /// The store has less than it had.
    fn rewind(&mut self, lane: LaneId, has: u64) -> Result<(), Trouble> {
        let had = self.known.insert(lane, has).unwrap_or_default();
        self.progress.rewound();
        tracing::warn!(
            %lane, had, has,
            "the store has lost access records that it had confirmed; they are shipped again"
        );
        Ok(self.source.unshipped(lane, has)?)
    }

    /// Nobody has the records between: there is nothing to be shipped again.
    async fn pass_over(&mut self, lane: LaneId, has: u64, begins: u64) -> Result<(), Trouble> {
        self.store.skip(lane, begins).await?;
        let records = begins - has;
        self.progress.gone(records);
        tracing::error!(
            %lane, records, after = has,
            "access records are lost: the store does not have them, and the journal does not have them any more"
        );
        self.confirm(lane, begins)
    }

    async fn forget(&mut self) -> Result<(), Trouble> {
        self.finished.extend(self.source.finished());
        if !self.finished.is_empty() {
            self.store.forget(&self.finished).await?;
            for lane in self.finished.drain(..) {
                self.known.remove(&lane);
            }
        }
        Ok(())
    }
}

/// When it is to be over, whatever waits: at the deadline, or where nobody holds the [`Shipper`] any more.
async fn over(mut ending: watch::Receiver<Option<Instant>>) {
    let deadline = ending.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    if let Some(deadline) = deadline {
        sleep_until(deadline).await;
    }
}

/// Pauses between tries: short at first, since most troubles are; never so long that a store that is back goes unused.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    const LONGEST: Duration = Duration::from_secs(2);

    fn reset(&mut self) {
        self.0 = 0;
    }

    fn pause(&mut self) -> Duration {
        let pause = Duration::from_millis(50).saturating_mul(1 << self.0.min(6));
        self.0 = self.0.saturating_add(1);
        // So that many nodes do not come back all at once.
        pause.min(Self::LONGEST).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
