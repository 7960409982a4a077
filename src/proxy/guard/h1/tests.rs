//! What the guard lets pass, and that it agrees with httparse about everything it lets pass.

use proptest::prelude::*;

use super::*;

const MAX_TARGET: usize = 100;
const MAX_HEAD: usize = 1000;
const MAX_FIELDS: usize = 20;

fn read(stream: &[u8]) -> (Guard, Result<(), Poisoned>) {
    let mut guard = Guard::new(MAX_TARGET, MAX_HEAD, MAX_FIELDS);
    let outcome = guard.advance(stream);
    (guard, outcome)
}

fn head(line: &str, headers: &str) -> Vec<u8> {
    format!("{line}\r\nHost: gw.test\r\n{headers}\r\n").into_bytes()
}

fn flaw_of(stream: &[u8]) -> Option<Flaw> {
    read(stream).0.flaw().map(|(_, flaw)| flaw)
}

#[test]
fn strict_requests_pass_one_after_the_other() {
    let mut stream = head("GET /a?b HTTP/1.1", "");
    stream.extend(head("POST /a HTTP/1.1", "Content-Length: 5\r\n"));
    stream.extend(b"a\nb\rc");
    stream.extend(head("POST /a HTTP/1.1", "Transfer-Encoding: Chunked\r\n"));
    stream.extend(b"3\r\n\n\r#\r\nA;ext=\"x\"\r\n0123456789\r\n0\r\nX-Trailer: v\r\n\r\n");
    stream.extend(b"\r\n\r\n");
    stream.extend(head("GET / HTTP/1.0", "content-length: 0\r\nContent-Length: 0\r\n"));
    let (guard, outcome) = read(&stream);
    assert_eq!((outcome, guard.flaw(), guard.heads), (Ok(()), None, 4));
    assert!(!guard.is_within_head());
}

#[test]
fn what_could_be_read_in_two_ways_is_a_flaw() {
    let malformed = |stream: &[u8]| matches!(flaw_of(stream), Some(Flaw::Malformed(_)));
    for headers in [
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        " folded: x\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        ": x\r\n",
        "no colon\r\n",
        "X: a\n",
        "X: a\rb\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
    ] {
        assert!(malformed(&head("POST /a HTTP/1.1", headers)), "{headers:?}");
    }
    assert!(malformed(&head("POST /a HTTP/1.0", "Transfer-Encoding: chunked\r\n")));
    for line in ["GET", "GET /a", "GET /a HTTP/1.2", "GET /a http/1.1", "GET  HTTP/1.1 "] {
        assert!(malformed(&head(line, "")), "{line:?}");
    }
    assert!(malformed(b"GET / HTTP/1.1\nHost: a\n\n"));
    assert_eq!(flaw_of(&head("GET /a#b HTTP/1.1", "")), Some(Flaw::Fragment));
    assert_eq!(flaw_of(&head("GET /a?x#y HTTP/1.1", "")), Some(Flaw::Fragment));
}

#[test]
fn the_flaw_is_that_of_its_own_request() {
    let mut stream = head("GET /a HTTP/1.1", "");
    stream.extend(head("GET /a#b HTTP/1.1", ""));
    stream.extend(head("GET /c#d HTTP/1.1", ""));
    assert_eq!(read(&stream).0.flaw(), Some((1, Flaw::Fragment)));
}

#[test]
fn limits_hold_to_the_byte() {
    for (length, flaw) in
        [(MAX_TARGET - 1, None), (MAX_TARGET, None), (MAX_TARGET + 1, Some(Flaw::TargetTooLong))]
    {
        let target = format!("/{}", "a".repeat(length - 1));
        assert_eq!(flaw_of(&head(&format!("GET {target} HTTP/1.1"), "")), flaw, "{length}");
    }
    let bare = head("GET / HTTP/1.1", "X: \r\n").len();
    for (length, flaw) in
        [(MAX_HEAD - 1, None), (MAX_HEAD, None), (MAX_HEAD + 1, Some(Flaw::HeadTooLarge))]
    {
        let headers = format!("X: {}\r\n", "a".repeat(length - bare));
        assert_eq!(flaw_of(&head("GET / HTTP/1.1", &headers)), flaw, "{length}");
    }
    for (lines, ends) in [(1, false), (2, false), (3, true)] {
        let stream = [b"\r\n".repeat(lines), head("GET / HTTP/1.1", "")].concat();
        assert_eq!(flaw_of(&stream).is_some(), ends, "{lines} empty lines");
    }
    assert_eq!(flaw_of(&vec![b'a'; MAX_HEAD]), None);
    assert_eq!(flaw_of(&vec![b'a'; MAX_HEAD + 1]), Some(Flaw::HeadTooLarge));
}

#[test]
fn chunks_that_are_not_strict_poison_the_connection() {
    let post = head("POST /a HTTP/1.1", "Transfer-Encoding: chunked\r\n");
    let too_long = format!("1;{}", "a".repeat(MAX_CHUNK_LINE));
    for body in [
        "1\nx",
        "1;a\nb\r\nx",
        "1;a\rb\r\nx",
        "1;a=é\r\nx",
        "1 \r\nx",
        "1\t\r\nx",
        "\r\n",
        "0x1\r\nx",
        "+1\r\nx",
        "-1\r\nx",
        "1_\r\nx",
        " 1\r\nx",
        "g\r\n",
        "1\r\nxX\r\n",
        "1\r\nx\n",
        "0\r\n\n",
        "0\r\nX: a\n",
        "10000000000000000\r\n",
        "00000000000000001\r\nx",
        "1;\x01\r\nx",
        &too_long,
    ] {
        let outcome = read(&[&post, body.as_bytes()].concat()).1;
        assert!(outcome.is_err(), "{body:?}");
    }
}

#[test]
fn a_head_is_under_way_from_its_first_byte_to_its_last() {
    let mut guard = Guard::new(MAX_TARGET, MAX_HEAD, MAX_FIELDS);
    let request = head("POST / HTTP/1.1", "Content-Length: 3\r\n");
    assert!(!guard.is_within_head());
    for byte in &request[..request.len() - 1] {
        guard.advance(&[*byte]).unwrap();
        assert!(guard.is_within_head());
    }
    guard.advance(b"\nab").unwrap();
    assert!(!guard.is_within_head());
    guard.advance(b"cG").unwrap();
    assert!(guard.is_within_head());
}

#[test]
fn bytes_within_a_body_are_never_a_head() {
    let smuggled = head("GET /a#b HTTP/1.1", "");
    let mut stream = head("POST / HTTP/1.1", &format!("Content-Length: {}\r\n", smuggled.len()));
    stream.extend(&smuggled);
    assert_eq!(read(&stream).0.flaw(), None);
    assert_eq!(read(&stream).0.heads, 1);
}

/// Requests made of pieces that are strict, nearly strict and wrong.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "GET /#a HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "Host: a\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 03\r\n",
        "Content-Length: 3 \r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:chunked \r\n",
        "transfer-encoding: x, chunked\r\n",
        "X: a\n",
        "X: a\rb\r\n",
        " fold\r\n",
        "\r\n",
        "\n",
        "\r",
        "abc",
        "3\r\nabc\r\n",
        "0\r\n\r\n",
        "0\r\n\n",
        "A: \u{e9}\r\n",
        "A",
        ":",
        " ",
        "\t",
        "\0",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Where the head of a stream ends and what body it declares, as httparse has it.
fn httparsed(stream: &[u8]) -> Option<(usize, Option<String>, bool)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(end)) = request.parse(stream) else { return None };
    let find =
        |name: &str| request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let length = find("content-length")
        .map(|header| String::from_utf8_lossy(header.value).trim().to_owned());
    Some((end, length, find("transfer-encoding").is_some()))
}

/// The end and framing of the first head, if the guard has nothing against it.
fn guarded(stream: &[u8]) -> Option<(usize, Framing)> {
    let mut guard = Guard::new(MAX_TARGET, MAX_HEAD, MAX_FIELDS);
    for (index, byte) in stream.iter().enumerate() {
        guard.advance(&[*byte]).ok()?;
        if guard.heads == 1 {
            return Some((index + 1, guard.framing));
        }
    }
    None
}

proptest! {
    #[test]
    fn a_head_that_both_accept_is_the_same_for_both(stream in requests()) {
        if let Some(((end, framing), (other_end, length, chunked))) =
            guarded(&stream).zip(httparsed(&stream))
        {
            prop_assert_eq!(end, other_end);
            prop_assert_eq!(framing.chunked, chunked);
            let length = length.map(|digits| digits.parse::<u64>().unwrap());
            prop_assert_eq!(framing.length, length);
        }
    }

    #[test]
    fn a_head_that_the_guard_ends_is_not_open_to_httparse(stream in requests()) {
        if let Some((end, _)) = guarded(&stream) {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let partial = Ok(httparse::Status::Partial);
            prop_assert_ne!(httparse::Request::new(&mut headers).parse(&stream[..end]), partial);
        }
    }

    #[test]
    fn how_the_bytes_are_cut_does_not_matter(
        stream in requests(),
        cuts in prop::collection::vec(1_usize..9, 1..20),
    ) {
        let (whole, whole_outcome) = read(&stream);
        let mut cut = Guard::new(MAX_TARGET, MAX_HEAD, MAX_FIELDS);
        let mut outcome = Ok(());
        let mut rest = stream.as_slice();
        for size in cuts.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*size));
            outcome = outcome.and_then(|()| cut.advance(piece));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(whole.flaw(), cut.flaw());
        prop_assert_eq!(whole.heads, cut.heads);
        prop_assert_eq!(whole_outcome.is_err(), outcome.is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        let _outcome = read(&stream);
    }
}

#[test]
fn a_field_more_than_allowed_is_surplus_from_its_first_byte_on() {
    let start = format!("GET / HTTP/1.1\r\n{}", "X-A: v\r\n".repeat(MAX_FIELDS));
    let (mut guard, outcome) = read(start.as_bytes());
    assert_eq!((outcome, guard.flaw(), guard.surplus()), (Ok(()), None, None));
    guard.advance(b"X").unwrap();
    assert_eq!((guard.flaw(), guard.surplus()), (Some((0, Flaw::HeadTooLarge)), Some(1)));
    let whole = format!("{start}X-B: v\r\n\r\n");
    assert_eq!(read(whole.as_bytes()).0.surplus(), Some(10));
    let two = format!("{start}\r\n{start}\r\n");
    let (guard, _) = read(two.as_bytes());
    assert_eq!((guard.flaw(), guard.heads), (None, 2));
}
