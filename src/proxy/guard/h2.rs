//! A budget for HTTP/2 frames that cost us work and bring no request forward.
//!
//! h2 bounds resets, continuations, empty DATA and internal errors by itself, but answers any number of PING and SETTINGS
//! and reads any number of WINDOW_UPDATE, PRIORITY and unknown frames (CVE-2019-9512, -9515). Here such frames are counted
//! since the last progress, which is a part of an answer handed over or a request finished.

use crate::proxy::guard::Poisoned;

/// Bytes of such frames without progress: a SETTINGS frame of 16 KiB sixteen times.
const MAX_BYTES: u64 = 256 * 1024;
/// Such frames without progress. A download of 64 KiB windows in single-byte updates makes progress with each; a client
/// that pings every ten seconds reaches this after eleven hours without one answer.
const MAX_FRAMES: u32 = 4096;

const PREFACE_LEN: usize = 24;
const HEADER_LEN: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;

#[derive(Debug)]
pub(crate) struct Guard {
    preface_left: usize,
    header: [u8; HEADER_LEN],
    header_filled: usize,
    payload_left: usize,
    /// A header block has begun and its last frame has not.
    block_open: bool,
    /// The frame being read belongs to a header block.
    in_block: bool,
    bytes: u64,
    frames: u32,
    progress: u64,
}

impl Guard {
    pub(crate) fn new() -> Self {
        Self {
            preface_left: PREFACE_LEN,
            header: [0; HEADER_LEN],
            header_filled: 0,
            payload_left: 0,
            block_open: false,
            in_block: false,
            bytes: 0,
            frames: 0,
            progress: 0,
        }
    }

    /// Whether a header block has begun and not ended.
    pub(crate) fn is_within_head(&self) -> bool {
        self.block_open || (self.in_block && self.payload_left > 0)
    }

    /// Reads what has arrived; `progress` counts what has been brought forward on this connection so far.
    pub(crate) fn advance(&mut self, mut bytes: &[u8], progress: u64) -> Result<(), Poisoned> {
        if progress != self.progress {
            self.progress = progress;
            self.bytes = 0;
            self.frames = 0;
        }
        while let Some((first, after)) = bytes.split_first() {
            if self.preface_left > 0 {
                bytes = take(&mut self.preface_left, bytes);
            } else if self.payload_left > 0 {
                bytes = take(&mut self.payload_left, bytes);
            } else {
                if let Some(slot) = self.header.get_mut(self.header_filled) {
                    *slot = *first;
                }
                self.header_filled += 1;
                bytes = after;
                if self.header_filled == HEADER_LEN {
                    self.frame()?;
                }
            }
        }
        Ok(())
    }

    /// One frame header is complete.
    fn frame(&mut self) -> Result<(), Poisoned> {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.header_filled = 0;
        self.payload_left = usize::try_from(length).unwrap_or(usize::MAX);
        self.in_block = matches!(kind, HEADERS | CONTINUATION);
        if self.in_block {
            self.block_open = flags & END_HEADERS == 0;
        }
        if self.in_block || kind == DATA {
            return Ok(());
        }
        self.frames += 1;
        self.bytes += u64::from(length) + HEADER_LEN as u64;
        if self.frames > MAX_FRAMES || self.bytes > MAX_BYTES {
            return Err(Poisoned("too many HTTP/2 control frames without a request"));
        }
        Ok(())
    }
}

fn take<'b>(left: &mut usize, bytes: &'b [u8]) -> &'b [u8] {
    let taken = (*left).min(bytes.len());
    *left -= taken;
    bytes.get(taken..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    fn begun() -> Guard {
        let mut guard = Guard::new();
        guard.advance(PREFACE, 0).unwrap();
        guard
    }

    #[test]
    fn the_number_of_control_frames_without_progress_is_bounded() {
        for kind in [2, 3, 4, 6, 7, 8, 200] {
            let mut guard = begun();
            let frame = frame(kind, 0, b"1234");
            for _ in 0..MAX_FRAMES {
                guard.advance(&frame, 0).unwrap();
            }
            assert!(guard.advance(&frame, 0).is_err(), "frame type {kind}");
        }
    }

    #[test]
    fn the_bytes_of_control_frames_without_progress_are_bounded() {
        let whole = usize::try_from(MAX_BYTES).unwrap();
        for (length, ends) in [(whole - 10, false), (whole - 9, false), (whole - 8, true)] {
            let outcome = begun().advance(&frame(4, 0, &vec![0; length]), 0);
            assert_eq!(outcome.is_err(), ends, "a payload of {length} bytes");
        }
    }

    #[test]
    fn progress_renews_the_budget() {
        let mut guard = begun();
        let ping = frame(6, 0, &[0; 8]);
        for round in 0..3 {
            for _ in 0..MAX_FRAMES {
                guard.advance(&ping, round).unwrap();
            }
        }
    }

    #[test]
    fn requests_and_their_bodies_cost_nothing() {
        let mut guard = begun();
        for _ in 0..100_000 {
            guard.advance(&frame(DATA, 0, b"some bytes"), 0).unwrap();
            guard.advance(&frame(HEADERS, END_HEADERS, b"block"), 0).unwrap();
        }
    }

    #[test]
    fn a_header_block_is_open_until_its_last_byte() {
        let mut guard = begun();
        guard.advance(&frame(HEADERS, 0, b"block"), 0).unwrap();
        assert!(guard.is_within_head());
        let last = frame(CONTINUATION, END_HEADERS, b"rest");
        for byte in &last[..last.len() - 1] {
            guard.advance(&[*byte], 0).unwrap();
            assert!(guard.is_within_head());
        }
        guard.advance(&last[last.len() - 1..], 0).unwrap();
        assert!(!guard.is_within_head());
    }

    #[test]
    fn how_the_bytes_are_cut_does_not_matter() {
        let mut stream = PREFACE.to_vec();
        for kind in 0..12 {
            stream.extend(frame(kind, END_HEADERS, &vec![kind; usize::from(kind) * 7]));
        }
        let mut whole = Guard::new();
        whole.advance(&stream, 0).unwrap();
        let mut single = Guard::new();
        for byte in &stream {
            single.advance(&[*byte], 0).unwrap();
        }
        assert_eq!((whole.frames, whole.bytes), (single.frames, single.bytes));
        assert_eq!(whole.frames, 9);
    }
}
