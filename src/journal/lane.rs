//! What one worker writes: records into its mapped segment, each a few hundred nanoseconds and no system call.
//!
//! The lock in [`LaneShared`] is the worker's own: nobody else takes it but the keeper, to move an idle worker off a segment
//! that could not be forced to disk. Who reads is told by atomics, and woken by the keeper once it is on the disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::format::{
    INTERRUPTED, Kind, MAX_COMPLETE, MAX_FRAME, START_FRAME, frame, put_opening, put_outcome,
    put_start,
};
use crate::journal::mapped::Mapped;
use crate::journal::segment::{Segment, Spare};
use crate::journal::{Begun, Full};
use crate::model::{LaneId, Opening, Outcome};

/// What the worker, the keeper and whoever reads share of a lane.
#[derive(Debug)]
pub(super) struct LaneShared {
    pub(super) id: LaneId,
    pub(super) counts: Counts,
    /// No record could be begun, and nothing has changed since.
    pub(super) is_refusing: AtomicBool,
    /// The spare should be at least so large.
    pub(super) wanted: AtomicU64,
    /// The worker has ended: its last segment is closed.
    pub(super) is_gone: AtomicBool,
    spare: Mutex<Option<Spare>>,
    /// Mappings that are done with: to undo one takes longer than a request may wait.
    retired: Mutex<Vec<Mapped>>,
    writer: Mutex<Writer>,
}

/// Written by the worker at every record, so they share no cache line with what others write.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts {
    pub(super) begun: AtomicU64,
    /// The number of the last complete record.
    pub(super) completed: AtomicU64,
    pub(super) refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Writer {
    active: Option<Active>,
    open: Open,
    last: u64,
    buffer: Vec<u8>,
    is_ended: bool,
}

#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    map: Mapped,
    /// Where the next frame goes.
    at: usize,
}

/// Begins without their Complete: where they are in the active segment.
#[derive(Debug, Default)]
struct Open {
    slots: Vec<Slot>,
    free: Vec<u32>,
    count: usize,
    /// Of their frames.
    bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    at: u32,
    /// 0 where nothing is open.
    size: u32,
}

impl LaneShared {
    pub(super) fn new(id: LaneId) -> Self {
        Self {
            id,
            counts: Counts::default(),
            is_refusing: AtomicBool::new(false),
            wanted: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
            spare: Mutex::default(),
            retired: Mutex::default(),
            writer: Mutex::new(Writer {
                buffer: Vec::with_capacity(MAX_FRAME),
                ..Writer::default()
            }),
        }
    }

    pub(super) fn completed(&self) -> u64 {
        self.counts.completed.load(Ordering::SeqCst)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spare(&self) -> MutexGuard<'_, Option<Spare>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of the segment that lies ready.
    pub(super) fn spare_size(&self) -> Option<u64> {
        self.spare().as_ref().map(|spare| spare.segment.size())
    }

    /// Lays a segment ready; gives back the one that lay there.
    pub(super) fn lay_ready(&self, spare: Spare) -> Option<Spare> {
        let before = self.spare().replace(spare);
        self.is_refusing.store(false, Ordering::Relaxed);
        before
    }

    pub(super) fn take_spare(&self) -> Option<Spare> {
        self.spare().take()
    }

    pub(super) fn take_retired(&self) -> Vec<Mapped> {
        std::mem::take(&mut *self.retired.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves the worker off a segment, if it is on it and another one lies ready.
    pub(super) fn leave(&self, segment: &Arc<Segment>) {
        let mut writer = self.writer();
        let is_on_it = |active: &Active| Arc::ptr_eq(&active.segment, segment);
        if writer.active.as_ref().is_some_and(is_on_it) {
            // None lies ready, or too small a one for what is open: another one may next time.
            let _left_or_not = self.rotate(&mut writer, 0);
        }
    }

    /// Takes the first segment into use.
    pub(super) fn begin_segment(&self) {
        // Where it did not, the first record does.
        let _begun_or_not = self.rotate(&mut self.writer(), 0);
    }

    /// There was no room for a first segment.
    pub(super) fn has_none(&self) {
        self.is_refusing.store(true, Ordering::Relaxed);
    }

    /// What `lane.begin` does; true where the keeper should prepare another segment.
    pub(super) fn begin(&self, opening: &Opening<'_>) -> (Result<Begun, Full>, bool) {
        let mut writer = self.writer();
        let writer = &mut *writer;
        frame(&mut writer.buffer, Kind::Begin, |out| put_opening(out, opening));
        let size = writer.buffer.len();
        let made_room = self.make_room(writer, size, 1);
        let placed = made_room.and_then(|_| writer.place(0).ok_or(Full));
        let rotated = matches!(made_room, Ok(Rotated::Yes));
        match placed {
            Ok(at) => {
                self.counts
                    .begun
                    .store(self.counts.begun.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                (Ok(Begun { slot: writer.open.insert(at, size) }), rotated)
            }
            Err(Full) => (Err(self.refuse()), rotated),
        }
    }

    pub(super) fn complete(&self, slot: u32, outcome: &Outcome<'_>) {
        self.complete_in(&mut self.writer(), slot, outcome);
    }

    fn complete_in(&self, writer: &mut Writer, slot: u32, outcome: &Outcome<'_>) {
        let Some(begin) = writer.open.remove(slot) else { return };
        frame(&mut writer.buffer, Kind::Complete, |out| {
            out.extend_from_slice(&begin.to_le_bytes());
            put_outcome(out, outcome);
        });
        let placed = writer.place(1);
        debug_assert!(placed.is_some(), "the place of a Complete is reserved");
        self.counts.completed.store(writer.last, Ordering::SeqCst);
        if self.wanted.load(Ordering::Relaxed) > 0 {
            self.forget_want(writer);
        }
    }

    /// So much was open that no segment took more of it; that may be over.
    #[cold]
    fn forget_want(&self, writer: &Writer) {
        let burden = writer.open.bytes + writer.open.count * MAX_COMPLETE;
        if writer.active.as_ref().is_some_and(|active| burden * 4 <= active.map.len()) {
            self.wanted.store(0, Ordering::Relaxed);
            self.is_refusing.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn write(
        &self,
        opening: &Opening<'_>,
        outcome: &Outcome<'_>,
    ) -> (Result<(), Full>, bool) {
        let mut writer = self.writer();
        let writer = &mut *writer;
        frame(&mut writer.buffer, Kind::Whole, |out| {
            put_opening(out, opening);
            put_outcome(out, outcome);
        });
        let size = writer.buffer.len();
        let made_room = self.make_room(writer, size, 0);
        let placed = made_room.and_then(|_| writer.place(1).ok_or(Full));
        let rotated = matches!(made_room, Ok(Rotated::Yes));
        if placed.is_err() {
            return (Err(self.refuse()), rotated);
        }
        self.counts.begun.store(self.counts.begun.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.counts.completed.store(writer.last, Ordering::SeqCst);
        (Ok(()), rotated)
    }

    fn refuse(&self) -> Full {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.is_refusing.store(true, Ordering::Relaxed);
        Full
    }

    /// Room for a frame, for the Completes of all that is open, and for so many more.
    fn make_room(&self, writer: &mut Writer, size: usize, more: usize) -> Result<Rotated, Full> {
        let open = &writer.open;
        let reserved = (open.count + more) * MAX_COMPLETE;
        // What would have to be carried, and come after that, may take half a segment: else rotations would do nothing else.
        let burden = if more == 0 { 0 } else { open.bytes + size + reserved };
        let fits = writer.active.as_ref().is_some_and(|active| {
            let length = active.map.len();
            active.at + size + reserved <= length && burden <= length / 2
        });
        if fits {
            if self.is_refusing.load(Ordering::Relaxed) {
                self.is_refusing.store(false, Ordering::Relaxed);
            }
            return Ok(Rotated::No);
        }
        self.rotate(writer, size + more * MAX_COMPLETE).map(|()| Rotated::Yes)
    }

    /// Takes the segment that lies ready into use, where all that is open and `room` more fit.
    fn rotate(&self, writer: &mut Writer, room: usize) -> Result<(), Full> {
        let mut lying = self.spare();
        let open = &writer.open;
        let burden = open.bytes + open.count * MAX_COMPLETE + room;
        let Some(spare) = lying.take_if(|spare| {
            let length = spare.map.len();
            spare.start + START_FRAME + burden <= length && (burden <= length / 2 || room == 0)
        }) else {
            if lying.is_some() {
                self.wanted.fetch_max(burden as u64 * 4, Ordering::Relaxed);
            }
            return Err(Full);
        };
        drop(lying);
        let retired = writer.take_into_use(spare).map_err(|spare| {
            drop(spare);
            Full
        })?;
        if let Some(active) = retired {
            self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(active.map);
        }
        Ok(())
    }

    /// The worker ends: what it left open is interrupted, and nothing more is written.
    pub(super) fn end(&self) {
        let mut writer = self.writer();
        for slot in 0..u32::try_from(writer.open.slots.len()).unwrap_or(u32::MAX) {
            self.complete_in(&mut writer, slot, &INTERRUPTED);
        }
        writer.is_ended = true;
        if let Some(active) = writer.active.take() {
            active.segment.closed.store(true, Ordering::Release);
        }
        drop(writer);
        self.is_gone.store(true, Ordering::Release);
    }
}

#[derive(Clone, Copy, Debug)]
enum Rotated {
    Yes,
    No,
}

impl Writer {
    /// Publishes the frame in the buffer, which finishes so many records; says where it is.
    fn place(&mut self, finished: u64) -> Option<u32> {
        let active = self.active.as_mut()?;
        let at = u32::try_from(active.at).ok()?;
        if !active.map.publish(active.at, &self.buffer) {
            return None;
        }
        active.at += self.buffer.len();
        active.segment.end.store(active.at as u64, Ordering::Release);
        self.last += finished;
        Some(at)
    }

    /// Gives back what was in use; or the spare, where something did not fit after all.
    fn take_into_use(&mut self, spare: Spare) -> Result<Option<Active>, Spare> {
        if self.is_ended {
            return Err(spare);
        }
        let Spare { segment, map, start } = spare;
        let mut next = Active { segment, map, at: start + START_FRAME };
        let mut places = Vec::with_capacity(self.open.count);
        // Not the buffer: the frame for which room is made is in it.
        let mut bytes = Vec::new();
        for slot in &mut self.open.slots {
            let size = slot.size as usize;
            let Some(active) = self.active.as_ref().filter(|_| size > 0) else { continue };
            bytes.clear();
            let copied = active.map.copy_out(slot.at as usize, size, &mut bytes);
            let Some(at) = u32::try_from(next.at).ok().filter(|_| copied) else { continue };
            if next.map.write_at(next.at, &bytes) {
                places.push(at);
                next.at += size;
            }
        }
        let carried = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let first = self.last + 1;
        frame(&mut bytes, Kind::Start, |out| put_start(out, first, carried));
        if places.len() != self.open.count || !next.map.publish(start, &bytes) {
            let Active { segment, map, .. } = next;
            return Err(Spare { segment, map, start });
        }
        self.open.move_to(places);
        next.segment.end.store(next.at as u64, Ordering::Release);
        next.segment.first.store(first, Ordering::Release);
        let before = self.active.replace(next);
        if let Some(active) = &before {
            active.segment.closed.store(true, Ordering::Release);
        }
        Ok(before)
    }
}

impl Open {
    fn insert(&mut self, at: u32, size: usize) -> u32 {
        let filled = Slot { at, size: u32::try_from(size).unwrap_or(u32::MAX) };
        self.count += 1;
        self.bytes += size;
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(number as usize)
        {
            *slot = filled;
            return number;
        }
        self.slots.push(filled);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// Where its Begin is; none where it is not open.
    fn remove(&mut self, number: u32) -> Option<u32> {
        let slot = self.slots.get_mut(number as usize).filter(|slot| slot.size > 0)?;
        let Slot { at, size } = std::mem::take(slot);
        self.count -= 1;
        self.bytes -= size as usize;
        self.free.push(number);
        Some(at)
    }

    fn move_to(&mut self, places: Vec<u32>) {
        let open = self.slots.iter_mut().filter(|slot| slot.size > 0);
        for (slot, at) in open.zip(places) {
            slot.at = at;
        }
    }
}

#[cfg(test)]
impl LaneShared {
    /// As a kill would leave it: nothing is completed, nothing closed.
    pub(super) fn forget_active(&self) {
        let mut writer = self.writer();
        writer.open = Open::default();
        writer.active = None;
    }

    pub(super) fn active_segment(&self) -> Option<Arc<Segment>> {
        self.writer().active.as_ref().map(|active| Arc::clone(&active.segment))
    }
}
