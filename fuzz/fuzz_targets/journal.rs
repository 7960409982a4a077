//! Any bytes as a segment's file, and any payloads in frames that are whole: no panic, and what is read once is read again after
//! the next start has mended it.

#![no_main]

use std::path::Path;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use postern::journal::{Journal, Settings, read_directory};
use postern::model::NodeName;

const NAME: &str = "0000000000000001-0000000001.journal";

fuzz_target!(|input: (bool, Vec<(u8, Vec<u8>)>, Vec<u8>)| {
    let (as_they_are, frames, tail) = input;
    // In memory where there is such a place: every input is forced to disk.
    let shm = Path::new("/dev/shm");
    let place = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    let dir = place.join(format!("postern-fuzz-journal-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&dir));
    std::fs::create_dir(&dir).expect("a directory");
    let mut file = if as_they_are { Vec::new() } else { header() };
    if !as_they_are {
        put_frame(&mut file, 1, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    for (kind, payload) in &frames {
        put_frame(&mut file, *kind, payload);
    }
    file.extend_from_slice(&tail);
    file.resize(file.len().next_multiple_of(4096), 0);
    std::fs::write(dir.join(NAME), file).expect("a file");

    let before = read(&dir);
    let settings = Settings { dir: dir.clone(), sync: Duration::from_secs(1), max_disk: 1 << 20 };
    let node = NodeName::parse("fuzz").expect("a name");
    let opened = Journal::open(&settings, &node);
    if let (Some(before), Ok((journal, _))) = (before, opened) {
        let mut source = journal.source();
        let lanes = source.lanes().expect("what was mended");
        for (lane, last) in lanes {
            let batch = source.read(lane, 0, usize::MAX, usize::MAX).expect("what was mended");
            assert_eq!(batch.records().count(), batch.len());
            assert_eq!((batch.len(), batch.last()), (before, last));
        }
    }
});

/// How many records there are, unless the file is refused.
fn read(dir: &Path) -> Option<usize> {
    let mut records = 0;
    let read = read_directory(dir, &mut |record| {
        assert!(!format!("{record:?}").is_empty());
        records += 1;
        Ok(())
    });
    read.is_ok().then_some(records)
}

fn header() -> Vec<u8> {
    let mut bytes = b"PSTNJRNL\x01\0\0\0\x30\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 1, b'n', 0, 0, 0, 0, 0, 0]);
    let checked = [&bytes[..36], &bytes[40..]].concat();
    bytes[36..40].copy_from_slice(&crc32(&checked).to_le_bytes());
    bytes
}

fn put_frame(file: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let mut body = vec![kind];
    body.extend_from_slice(payload);
    file.extend_from_slice(&(body.len() as u32).to_le_bytes());
    file.extend_from_slice(&crc32(&body).to_le_bytes());
    file.extend_from_slice(&body);
    file.resize(file.len().next_multiple_of(8), 0);
}

/// Written out, as the essay of `journal/format.rs` is to be enough.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    };
    !bytes.iter().fold(u32::MAX, step)
}
