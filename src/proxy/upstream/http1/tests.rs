//! Answers that come in pieces, and what is none.

use http::HeaderMap;
use proptest::prelude::*;

use super::whole::read;
use super::*;

fn body_of(answer: &str) -> Option<(String, bool)> {
    let read = read(&[answer.as_bytes()], false)?;
    assert_eq!(read.surplus, b"");
    Some((String::from_utf8(read.body).unwrap(), read.keeps_alive))
}

#[test]
fn an_answer_ends_where_it_says() {
    let table = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", true),
        ("HTTP/1.1 200\r\ncontent-length: 2, 2\r\nContent-Length: 02\r\n\r\nok", "ok", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a, Close\r\n\r\nok", "ok", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", "", true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", true),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", "ok", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n001\r\nk\r\n0\r\nA: b\r\nC: d\r\n\r\n",
            "ok",
            true,
        ),
    ];
    for (answer, body, keeps_alive) in table {
        assert_eq!(body_of(answer), Some((body.to_owned(), keeps_alive)), "{answer}");
        let head = read(&[answer.as_bytes()], true).unwrap();
        assert_eq!(head.body, b"", "of HEAD: {answer}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_no_answer() {
    let framings = [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 3",
        "Content-Length: +2",
        "Content-Length: -2",
        "Content-Length: 2,",
        "Content-Length:",
        "Content-Length: 0x2",
        "Content-Length: 18446744073709551616",
        "Content Length: 2",
        "Content-Length : 2",
        "Content-Length: 2\r\n folded",
        ": 2",
    ];
    for framing in framings {
        for is_head in [false, true] {
            let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
            assert_eq!(read(&[answer.as_bytes()], is_head), None, "{framing}");
        }
    }
    assert_eq!(body_of("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), None);
    for start in
        ["HTTP/2.0 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "ICY 200 OK", "<html>", ""]
    {
        assert_eq!(body_of(&format!("{start}\r\nContent-Length: 0\r\n\r\n")), None, "{start}");
    }
}

#[test]
fn chunks_that_are_none_break_an_answer_off() {
    let long_line = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(20_000));
    let many_lines = format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "x".repeat(300)).repeat(60));
    let long_trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(4000));
    for chunks in [
        "g\r\n",
        "-1\r\na",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "1;\na\r\n0\r\n\r\n",
        "1;a\rb\r\na\r\n0\r\n\r\n",
        "1 a\r\na\r\n0\r\n\r\n",
        "1;\x00\r\na\r\n0\r\n\r\n",
        "0\r\na: b\nc: d\r\n\r\n",
        "0\r\na: \x00\r\n\r\n",
        "0\r\nno field\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "2\r\na",
        "1\r\na\r\n",
        "0\r\n",
        "0\r\na: b\r\n",
        &long_line,
        &many_lines,
        &long_trailers,
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(body_of(&answer), None, "{chunks:.40}");
    }
}

#[test]
fn a_head_has_its_bounds() {
    let of = |lines: usize, length: usize| {
        let line = format!("a: {}\r\n", "x".repeat(length));
        body_of(&format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", line.repeat(lines)))
    };
    assert!(of(99, 100).is_some());
    assert!(of(100, 100).is_none(), "too many");
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(400 * 1024));
    assert!(
        head::read(&endless.into(), false, &mut Names::default()).is_err(),
        "too long, and no end in sight"
    );
}

#[test]
fn names_are_those_of_this_answer_whatever_the_last_one_had() {
    let mut names = Names::default();
    for lines in
        ["A: 1\r\nb: 2", "a: 1\r\nB: 2", "b: 1", "a: 1\r\nc: 2\r\nb: 3", "", "b: 1\r\nb: 2\r\na: 3"]
    {
        let gap = if lines.is_empty() { "" } else { "\r\n" };
        let answer = format!("HTTP/1.1 204\r\n{lines}{gap}\r\n");
        let head = head::read(&answer.into(), false, &mut names).unwrap().unwrap();
        let told: Vec<_> = head.parts.headers.iter().collect();
        let expected: HeaderMap = lines
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| {
                (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
            })
            .collect();
        assert_eq!(told.len(), lines.lines().count());
        assert!(
            told.iter()
                .all(|(name, value)| expected.get_all(*name).iter().any(|one| one == *value))
        );
    }
}

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let length = prop::collection::vec(any::<u8>(), 0..200).prop_map(|body| {
        let head = format!("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.into_bytes(), body].concat()
    });
    let chunks =
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6).prop_map(|chunks| {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in chunks {
                bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(&chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            [bytes, b"0\r\nA: b\r\n\r\n".to_vec()].concat()
        });
    prop_oneof![length, chunks]
}

fn cut(bytes: &[u8], places: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|two| bytes[two[0]..two[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn it_does_not_matter_where_an_answer_is_cut(
        first in answer(),
        second in answer(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = [first.clone(), second.clone()].concat();
        let pieces = cut(&whole, &places);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let cut = read(&pieces, false).unwrap();
        prop_assert_eq!(cut.surplus, second, "nothing of the next answer is taken");
        let whole = read(&[&first], false).unwrap();
        prop_assert_eq!((cut.body, cut.headers), (whole.body, whole.headers));
    }

    #[test]
    fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let _whatever = read(&pieces, false);
        let begun = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice()];
        let _whatever = read(&[begun.as_slice(), &pieces].concat(), false);
    }
}
