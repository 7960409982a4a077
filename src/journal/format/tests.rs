//! What is written is read again, and nothing else is.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn any_opening() -> impl Strategy<Value = Opening<'static>> {
    let texts = prop::collection::vec("\\PC{0,300}", 11);
    let ip = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ];
    let long = prop_oneof!["\\PC{0,40}", "\\PC{900,2500}"];
    (any::<i64>(), any::<u128>(), texts, any::<bool>(), long, ip).prop_map(
        |(ts, id, mut texts, same, long, ip)| {
            let mut text = || texts.pop().unwrap_or_default().into();
            let route: crate::model::record::Text<'static> = long.into();
            Opening {
                ts: Timestamp::from_micros(ts),
                request_id: RequestId::new(id),
                practice: text(),
                key: text(),
                vendor: text(),
                owner: text(),
                api: text(),
                method: text(),
                path: if same { route.clone() } else { text() },
                route,
                category: text(),
                access: text(),
                ip,
                user_agent: text(),
            }
        },
    )
}

fn any_outcome() -> impl Strategy<Value = Outcome<'static>> {
    let decision = (0_usize..3).prop_map(|which| Decision::ALL[which]);
    let upstream = prop::option::of(any::<u64>());
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    (decision, "\\PC{0,80}", any::<u16>(), numbers, upstream).prop_map(
        |(decision, code, status, (bytes_in, bytes_out, duration_us, count), upstream_us)| {
            Outcome {
                decision,
                code: code.into(),
                status,
                bytes_in,
                bytes_out,
                duration_us,
                upstream_us,
                count,
            }
        },
    )
}

/// What is kept of a text.
fn cut(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap().to_owned()
}

fn as_kept(mut opening: Opening<'static>) -> Opening<'static> {
    let short = [
        &mut opening.practice,
        &mut opening.key,
        &mut opening.vendor,
        &mut opening.owner,
        &mut opening.api,
        &mut opening.method,
        &mut opening.category,
        &mut opening.access,
    ];
    for text in short {
        *text = cut(text, 255).into();
    }
    opening.route = cut(&opening.route, 2048).into();
    opening.path = cut(&opening.path, 2048).into();
    opening.user_agent = opening.user_agent.chars().take(256).collect::<String>().into();
    opening
}

proptest! {
    #[test]
    fn any_record_is_read_as_it_was_written(opening in any_opening(), outcome in any_outcome()) {
        let mut bytes = Vec::new();
        frame(&mut bytes, Kind::Whole, |out| {
            put_opening(out, &opening);
            put_outcome(out, &outcome);
        });
        prop_assert!(bytes.len() <= MAX_FRAME && bytes.len() % ALIGNMENT == 0);
        let Parsed::Frame(Frame { kind: Kind::Whole, payload, size }) = parse(&bytes) else {
            panic!("not a frame");
        };
        prop_assert_eq!(size, bytes.len());
        let (read_opening, read_outcome) = read_record(payload).unwrap();
        let kept = Outcome { code: cut(&outcome.code, 64).into(), ..outcome.clone() };
        prop_assert_eq!(read_opening, as_kept(opening));
        prop_assert_eq!(read_outcome, kept);
        for shorter in 0..bytes.len() {
            prop_assert!(!matches!(parse(&bytes[..shorter]), Parsed::Frame(_)));
        }
    }

    #[test]
    fn what_is_passed_for_a_record_is_read_as_one(
        opening in any_opening(),
        outcome in any_outcome(),
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = Vec::new();
        put_opening(&mut bytes, &opening);
        let at_most = bytes.len();
        put_outcome(&mut bytes, &outcome);
        for (at, byte) in spoilt {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        prop_assert_eq!(is_record(&bytes), read_record(&bytes).is_some());
        let first = &bytes[..at_most.min(bytes.len())];
        let mut read = Bytes(first);
        prop_assert_eq!(is_opening(first), read.opening().is_some() && read.0.is_empty());
    }

    #[test]
    fn a_complete_has_room_where_it_is_reserved(outcome in any_outcome(), begin in any::<u32>()) {
        let mut bytes = Vec::new();
        frame(&mut bytes, Kind::Complete, |out| {
            out.extend_from_slice(&begin.to_le_bytes());
            put_outcome(out, &outcome);
        });
        prop_assert!(bytes.len() <= MAX_COMPLETE, "{}", bytes.len());
    }

    #[test]
    fn arbitrary_bytes_make_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Header::read(&bytes).is_err() && read_record(&bytes).is_none_or(|_| bytes.len() > 40));
        prop_assert!(read_start(&bytes).is_none() || bytes.len() == 12);
        prop_assert!(!matches!(parse(&bytes), Parsed::Frame(_)));
        prop_assert!(read_complete(&bytes).is_some() == (bytes.len() >= 4));
    }
}

#[test]
fn the_largest_outcome_fits_and_fills_most_of_its_place() {
    let outcome = Outcome {
        code: "x".repeat(100).into(),
        bytes_in: u64::MAX,
        bytes_out: u64::MAX,
        duration_us: u64::MAX,
        upstream_us: Some(u64::MAX),
        count: u32::MAX,
        ..INTERRUPTED
    };
    let mut bytes = Vec::new();
    frame(&mut bytes, Kind::Complete, |out| {
        out.extend_from_slice(&[0; 4]);
        put_outcome(out, &outcome);
    });
    assert!((MAX_COMPLETE - 8..=MAX_COMPLETE).contains(&bytes.len()), "{}", bytes.len());
}

#[test]
fn a_start_has_the_size_that_is_left_for_it() {
    let mut bytes = Vec::new();
    frame(&mut bytes, Kind::Start, |out| put_start(out, 7, 3));
    assert_eq!(bytes.len(), START_FRAME);
    let Parsed::Frame(parsed) = parse(&bytes) else { panic!("not a frame") };
    assert_eq!(read_start(parsed.payload), Some((7, 3)));
}

#[test]
fn a_header_says_what_it_was_made_of_or_nothing() {
    let node = "n".repeat(128);
    let made = Timestamp::from_micros(-5);
    let bytes = Header::encode(LaneId(u64::MAX), 9, made, &node);
    let header = Header::read(&bytes).unwrap();
    let length = bytes.len();
    assert_eq!(header, Header { lane: LaneId(u64::MAX), number: 9, created: made, node, length });
    assert!(length.is_multiple_of(ALIGNMENT) && length <= Header::MAX);
    for at in 0..length {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(matches!(Header::read(&damaged), Err(NoHeader::Damaged)), "at {at}");
    }
    for shorter in 0..length {
        assert!(Header::read(&bytes[..shorter]).is_err(), "{shorter}");
    }
    assert_eq!(Header::read(&[0; 512]), Err(NoHeader::Unfinished));
}

#[test]
fn a_later_version_is_named() {
    let mut bytes = Header::encode(LaneId(1), 1, Timestamp::default(), "n");
    put_at(&mut bytes, 8, 2);
    let crc = Header::crc(&bytes);
    put_at(&mut bytes, 36, crc);
    assert_eq!(Header::read(&bytes), Err(NoHeader::Later(2)));
}
