//! Segments with every byte changed and cut at every length: what is read is what was written, up to some place.

use std::path::PathBuf;

use super::*;
use crate::journal::format::{Header, Kind, frame};
use crate::journal::{JournalError, recovery, segment};

/// A directory with one segment of a few records, one of them open; and its bytes, without the zeros behind them.
struct Scene {
    home: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    records: Vec<AccessRecord<'static>>,
}

const OPEN: u64 = 99;

impl Scene {
    fn new() -> Self {
        let home = home();
        let (journal, _) = open(home.path(), SMALL);
        let lane = journal.lane().unwrap();
        let left_open = lane.begin(&opening(OPEN)).unwrap();
        let mut begun = Vec::new();
        for number in 1..=4 {
            begun.push((number, lane.begin(&opening(number)).unwrap()));
        }
        lane.write(&long_opening(5, 400), &outcome(5)).unwrap();
        for (number, begun) in begun {
            lane.complete(begun, &outcome(number));
        }
        let _it_stays_open = left_open;
        let segment = lane.worker.active_segment().unwrap();
        let (end, path) = (usize::try_from(segment.end()).unwrap(), segment.path.clone());
        lane.abandon();
        drop(journal);
        let bytes = std::fs::read(&path).unwrap()[..end].to_vec();
        let (records, found) = export(home.path());
        assert_eq!((records.len(), found.interrupted), (6, 1));
        Self { home, path, bytes, records }
    }

    /// What is left in a directory with these bytes and some zeros behind them alone.
    fn write(&self, bytes: &[u8]) {
        let journal = self.home.path().join("journal");
        for entry in std::fs::read_dir(&journal).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let mut file = bytes.to_vec();
        file.resize(self.bytes.len() + 2048, 0);
        std::fs::write(&self.path, file).unwrap();
    }

    /// The records that are complete are the first ones; the interrupted ones were begun and are not among them.
    fn check(&self, found: &[AccessRecord<'static>], what: &str) {
        let complete = found.iter().take_while(|record| !is_interrupted(record)).count();
        assert_eq!(found[..complete], self.records[..complete], "{what}");
        for record in &found[complete..] {
            let number = number_of(record);
            let written = self.records.iter().find(|record| number_of(record) == number);
            assert_eq!(written.map(|written| &written.opening), Some(&record.opening), "{what}");
            assert!(is_interrupted(record), "{what}");
        }
        let mut all = numbers(found);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), found.len(), "{what}: a record twice");
    }

    /// What the next start makes of it.
    fn recover(&self, what: &str) -> Vec<AccessRecord<'static>> {
        let journal = self.home.path().join("journal");
        let (shelf, ..) = recovery::recover(&journal).unwrap();
        let (records, found) = export(self.home.path());
        assert_eq!((found.interrupted, found.torn), (0, 0), "{what}: mended for good");
        let last = shelf.lanes.first().map_or(0, |lane| lane.last());
        assert_eq!(records.len() as u64, last, "{what}");
        records
    }
}

#[test]
fn a_changed_byte_makes_no_record_up() {
    let scene = Scene::new();
    let mut spared = 0;
    for at in 0..scene.bytes.len() {
        for bit in [0x01, 0x80, 0xff] {
            let what = format!("{bit:02x} at {at}");
            let mut damaged = scene.bytes.clone();
            damaged[at] ^= bit;
            scene.write(&damaged);
            let (records, _) = export(scene.home.path());
            scene.check(&records, &what);
            spared += usize::from(records == scene.records);
            if bit == 0x80 {
                scene.check(&scene.recover(&what), &what);
            }
        }
    }
    // Padding alone may be anything.
    assert!(spared < scene.bytes.len() / 5, "{spared} changes passed");
}

#[test]
fn a_file_cut_anywhere_has_the_records_before() {
    let scene = Scene::new();
    let mut most = 0;
    for length in 0..=scene.bytes.len() {
        let what = format!("cut at {length}");
        scene.write(&scene.bytes[..length]);
        scene.check(&export(scene.home.path()).0, &what);
        std::fs::write(&scene.path, &scene.bytes[..length]).unwrap();
        let (records, _) = export(scene.home.path());
        scene.check(&records, &what);
        assert!(records.len() >= most, "{what}: fewer than with less");
        most = records.len();
        scene.check(&scene.recover(&what), &what);
    }
    assert_eq!(most, scene.records.len());
}

#[test]
fn bytes_behind_the_end_are_cut_off() {
    let scene = Scene::new();
    let mut torn = scene.bytes.clone();
    torn.extend_from_slice(&[0, 0, 0, 0, 1, 2, 3, 0, 9]);
    scene.write(&torn);
    let (_, _, recovered) = recovery::recover(&scene.home.path().join("journal")).unwrap();
    assert_eq!((recovered.interrupted, recovered.torn, recovered.torn_bytes), (1, 1, 9));
    let (again, _, second) = recovery::recover(&scene.home.path().join("journal")).unwrap();
    assert_eq!((second.interrupted, second.torn), (0, 0));
    assert_eq!(again.lanes[0].last(), 6);
}

#[test]
fn what_is_cut_from_a_damaged_middle_is_kept_beside() {
    let scene = Scene::new();
    let mut damaged = scene.bytes.clone();
    let key = b"0123456789aB";
    let keys = damaged.windows(key.len()).enumerate().filter(|(_, bytes)| bytes == key);
    let (middle, _) = keys.clone().nth(3).unwrap();
    drop(keys);
    damaged[middle] ^= 1;
    scene.write(&damaged);
    recovery::recover(&scene.home.path().join("journal")).unwrap();
    let kept = std::fs::read(scene.path.with_extension("damaged")).unwrap();
    assert_eq!(kept[..damaged.len()], damaged);
}

#[test]
fn a_later_version_is_refused_and_left_alone() {
    let scene = Scene::new();
    let mut later = scene.bytes.clone();
    later[8] = 2;
    let length = usize::try_from(u32::from_le_bytes(later[12..16].try_into().unwrap())).unwrap();
    let rest = [&later[..36], &later[40..length]].concat();
    later[36..40].copy_from_slice(&crc32fast::hash(&rest).to_le_bytes());
    scene.write(&later);
    let journal = scene.home.path().join("journal");
    for refused in [
        recovery::recover(&journal).err().unwrap(),
        read_directory(&journal, &mut |_| Ok(())).err().unwrap(),
    ] {
        assert!(matches!(refused, JournalError::Later { version: 2, .. }), "{refused}");
        assert!(refused.to_string().contains("later version"), "{refused}");
    }
    assert_eq!(std::fs::read(&scene.path).unwrap()[..later.len()], later);
}

#[test]
fn a_segment_whose_carried_records_are_lost_was_never_in_use() {
    let home = home();
    let (journal, _) = open(home.path(), SMALL);
    let lane = journal.lane().unwrap();
    let _it_stays_open = lane.begin(&opening(OPEN)).unwrap();
    let first = lane.worker.active_segment().unwrap();
    let mut number = 0;
    while lane.worker.active_segment().unwrap().number == first.number {
        number += 1;
        eventually("room", || lane.write(&long_opening(number, 4000), &outcome(number)).is_ok());
    }
    let second = lane.worker.active_segment().unwrap();
    lane.abandon();
    drop(journal);
    // A power cut: the Start of the second is on the disk, what follows it is not.
    let mut bytes = std::fs::read(&second.path).unwrap();
    let header = usize::try_from(u32::from_le_bytes(bytes[12..16].try_into().unwrap())).unwrap();
    bytes[header + 24..].fill(0);
    std::fs::write(&second.path, bytes).unwrap();
    let (records, _) = export(home.path());
    // The last one was written to the second.
    let mut expected: Vec<u64> = (1..number).collect();
    expected.push(OPEN);
    assert_eq!(numbers(&records), expected);
    let (journal, recovered) = open(home.path(), SMALL);
    assert_eq!((recovered.lanes, recovered.interrupted), (1, 1));
    assert_eq!(numbers(&drain(&mut journal.source())[0].1), expected);
    assert!(!second.path.exists());
    assert_eq!(segment::read_name("lock"), None);
}

#[test]
fn a_lost_first_page_does_not_take_the_rest_with_it() {
    let scene = Scene::new();
    for (from, to) in [(0, 512), (0, 16), (48, 72)] {
        let mut damaged = scene.bytes.clone();
        damaged[from..to].fill(0);
        scene.write(&damaged);
        let journal = scene.home.path().join("journal");
        let (shelf, _, recovered) = recovery::recover(&journal).unwrap();
        assert_eq!((shelf.lanes.len(), recovered.torn), (0, 1), "{from}..{to}");
        let kept = std::fs::read(scene.path.with_extension("damaged")).unwrap();
        assert_eq!(kept[..damaged.len()], damaged, "{from}..{to}");
    }
    // What was only laid ready goes.
    scene.write(&vec![0; scene.bytes.len()]);
    let (.., recovered) = recovery::recover(&scene.home.path().join("journal")).unwrap();
    assert_eq!((recovered.torn, scene.path.exists()), (0, false));
}

#[test]
fn no_odd_file_ends_a_start() {
    let scene = Scene::new();
    let journal = scene.home.path().join("journal");
    scene.write(&scene.bytes);
    // Of a length that no memory holds, and with something at its end.
    let file = std::fs::OpenOptions::new().write(true).open(&scene.path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7], 1 << 40).unwrap();
    let lane = segment::read_name(scene.path.file_name().unwrap().to_str().unwrap()).unwrap().0;
    let directory = journal.join(segment::file_name(lane, 9));
    std::fs::create_dir(&directory).unwrap();
    let (shelf, used, recovered) = recovery::recover(&journal).unwrap();
    assert_eq!((shelf.lanes[0].last(), recovered.torn), (6, 2));
    assert!(used < 1 << 20, "{used}");
    assert!(!directory.exists() && directory.with_extension("damaged").exists());
}

proptest::proptest! {
    #[test]
    fn whole_frames_of_anything_make_no_panic(
        frames in proptest::collection::vec(
            (0_u8..6, proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..90)),
            0..12,
        ),
        tail in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..40),
    ) {
        let home = home();
        let dir = home.path().join("journal");
        std::fs::create_dir(&dir).unwrap();
        let lane = LaneId(1);
        let mut file = Header::encode(lane, 1, Timestamp::default(), "n");
        let mut put = |kind: u8, payload: &[u8]| {
            let mut bytes = Vec::new();
            frame(&mut bytes, Kind::Begin, |out| out.extend_from_slice(payload));
            bytes[8] = kind;
            let length = usize::try_from(u32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
            let crc = crc32fast::hash(&bytes[8..8 + length]);
            bytes[4..8].copy_from_slice(&crc.to_le_bytes());
            file.extend_from_slice(&bytes);
        };
        put(1, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        frames.iter().for_each(|(kind, payload)| put(*kind, payload));
        file.extend_from_slice(&tail);
        std::fs::write(dir.join(segment::file_name(lane, 1)), file).unwrap();
        let (before, _) = export(home.path());
        let (journal, _) = open(home.path(), SMALL);
        let after = drain(&mut journal.source()).pop().map_or(Vec::new(), |(_, records)| records);
        proptest::prop_assert_eq!(before, after);
    }
}
