//! What a target may be: tables of both kinds, and an independent slow reading that must agree on random ones.

use proptest::prelude::*;

use super::*;

fn why_refused(raw: &str) -> &'static str {
    match Target::parse(raw) {
        Err(Refusal::AmbiguousPath(why)) => why,
        other => panic!("{raw:?}: {other:?}"),
    }
}

#[test]
fn canonical_targets_pass_as_they_are() {
    for raw in [
        "/",
        "/v1/patients",
        "/v1/patients/",
        "/v1/patients?",
        "/v1/patients??a",
        "/a?b=/../%2e%zz//;x=\"<>\\",
        "/%C3%A9",
        "/%E2%82%AC%F0%9F%98%80",
        "/%20%40%2B%22%3C%5B%7B%7C%60%5E",
        "/!$&'()*+,=:@-._~",
        "/.a/a./x",
        "/..a/a..b/.well-known",
    ] {
        let target = Target::parse(raw).unwrap();
        assert_eq!(target.as_str(), raw);
        assert!(target.is_verbatim(), "{raw}");
    }
}

/// What the reason must say, and targets that are refused for it.
const AMBIGUOUS: &[(&str, &[&str])] = &[
    ("begin with a slash", &["", "*", "v1/a", "@evil", "http://a/b", "?a", "\\v1"]),
    ("two slashes", &["//", "//a", "/a//b", "/a//"]),
    ("dots alone", &["/.", "/..", "/a/../b", "/a/./b", "/a/..", "/a/.?x", "/...", "/a/..../b"]),
    ("semicolon", &["/a;b=c", "/..;/a", "/;"]),
    ("fragment", &["/a#b", "/a?b#c", "/#"]),
    ("a backslash", &["/a\\b", "/\\"]),
    ("has a control character", &["/a\0", "/a\tb", "/\u{7f}", "/a?\r\n", "/a?\u{1f}"]),
    ("must be percent-encoded", &["/é", "/\u{85}", "/a?é", "/a?b c", "/\u{ff0f}"]),
    ("RFC 3986", &["/a b", "/a|b", "/a^b", "/a{b}", "/a\"b", "/<a>", "/`a`", "/[a]"]),
    ("incomplete", &["/%", "/a%4"]),
    ("invalid percent", &["/%zz", "/%4g", "/%+1", "/% 1", "/%%41", "/%2?41"]),
    ("encoded slash", &["/a%2fb", "/a%2Fb", "/x%2f..%2fb"]),
    ("encoded backslash", &["/%5c", "/%5C"]),
    ("encoded dot", &["/%2e", "/%2E%2e/a", "/.%2e/a", "/a%2eb"]),
    ("encoded semicolon", &["/a%3bx", "/%3B"]),
    ("encoded percent", &["/%25", "/%252f"]),
    ("encoded question", &["/%3f", "/%3F"]),
    ("encoded number", &["/%23"]),
    (
        "encoded control",
        &["/%00", "/%0a", "/%0D%0A", "/%1f", "/%7f", "/%7F", "/%C2%80", "/%c2%9f", "/%E2%80%A8"],
    ),
    ("needs no encoding", &["/%41", "/%7a", "/%30", "/%2d", "/%2D", "/%5f", "/%7e", "/%7E"]),
    (
        "not UTF-8",
        &[
            "/%c0%af",
            "/%C0%AE",
            "/%e0%80%af",
            "/%f0%80%80%af",
            "/%ED%A0%80",
            "/%f4%90%80%80",
            "/%80",
            "/%ff",
            "/%C3",
            "/%C3a",
            "/%C3%41",
            "/%C3/%A9",
            "/%E2%82",
            "/%f8%88%80%80%80",
        ],
    ),
    (
        "some servers read as",
        &[
            "/%ef%bc%8f",
            "/%EF%BC%BC",
            "/%EF%BC%8E%EF%BC%8E",
            "/%E2%88%95",
            "/%E2%81%84",
            "/%EF%BC%85",
            "/%EF%BC%9F",
            "/%EF%BC%9B",
            "/%EF%BC%83",
            "/%E2%80%A4",
            "/%E2%80%A5",
            "/%E2%80%A6",
            "/%CD%BE",
            "/%C2%A5",
            "/%E2%82%A9",
            "/%E2%88%96",
            "/%EF%B9%A8",
        ],
    ),
];

#[test]
fn each_ambiguity_is_refused_with_its_reason() {
    for (expected, targets) in AMBIGUOUS {
        for raw in *targets {
            let why = why_refused(raw);
            assert!(why.contains(expected), "{raw:?}: {why}");
        }
    }
}

#[test]
fn lower_case_triplets_of_the_path_are_the_same_resource() {
    let target = Target::parse("/caf%c3%a9/%e2%82%aC?x=%c3%a9").unwrap();
    assert_eq!(target.as_str(), "/caf%C3%A9/%E2%82%AC?x=%c3%a9");
    assert_eq!(target.path(), "/caf%C3%A9/%E2%82%AC");
    assert!(!target.is_verbatim());
    assert_eq!(Target::parse("/%5b").unwrap().as_str(), "/%5B");
}

#[test]
fn parts_are_found() {
    let target = Target::parse("/v1/patients/?a=b?c").unwrap();
    assert_eq!(target.path(), "/v1/patients/");
    assert_eq!(target.query(), Some("a=b?c"));
    assert_eq!(target.segments().collect::<Vec<_>>(), ["v1", "patients", ""]);
    assert_eq!(Target::parse("/").unwrap().segments().collect::<Vec<_>>(), [""]);
    assert_eq!(Target::parse("/a").unwrap().query(), None);
    assert_eq!(Target::parse("/a?").unwrap().query(), Some(""));
}

#[test]
fn a_query_that_overrides_the_method_is_refused() {
    let screen = |raw: &str| Target::parse(raw).unwrap().screen_query();
    assert_eq!(screen("/a?_method=DELETE"), Err(Refusal::MethodOverride));
    assert_eq!(screen("/a?method=DELETE"), Ok(()));
    assert_eq!(screen("/_method=DELETE"), Ok(()));
}

#[test]
fn delimiters_are_decoded_and_nothing_else() {
    for (segment, plain) in [
        ("%24export", "$export"),
        ("a%40b%2Bc", "a@b+c"),
        ("a%20b", "a%20b"),
        ("%C3%A9", "%C3%A9"),
        ("100%", "100%"),
        ("%%24", "%$"),
        ("", ""),
    ] {
        assert_eq!(with_plain_delimiters(segment), plain);
    }
}

/// The rules of a target read one by one, each with a scan of its own; the canonical form, if there is one.
fn slowly(raw: &str) -> Option<String> {
    let (path, query) =
        raw.split_once('?').map_or((raw, None), |(path, query)| (path, Some(query)));
    let path = path.to_owned();
    if !path.starts_with('/') || path.contains("//") {
        return None;
    }
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if !path.chars().all(|c| letters.contains(c) || "-._~!$&'()*+,=:@/%".contains(c)) {
        return None;
    }
    if path.split('/').any(|segment| !segment.is_empty() && segment.chars().all(|c| c == '.')) {
        return None;
    }
    if query.is_some_and(|query| !query.chars().all(|c| ('!'..='~').contains(&c) && c != '#')) {
        return None;
    }
    let mut canonical = String::new();
    let mut decoded = Vec::new();
    let mut pieces = path.split('%');
    let first = pieces.next()?;
    canonical.push_str(first);
    decoded.extend(first.bytes());
    for piece in pieces {
        let (digits, plain) = piece.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        if byte < 128 && !" !\"$&'()*+,:<=>@[]^`{|}".contains(char::from(byte)) {
            return None;
        }
        decoded.push(byte);
        decoded.extend(plain.bytes());
        canonical.push_str(&format!("%{byte:02X}{plain}"));
    }
    let decoded = String::from_utf8(decoded).ok()?;
    let looks_like_structure = |c| "／＼．％；？＃∕⁄∖․‥…¥₩℀;﹨".contains(c);
    if decoded.chars().any(|c| c.is_control() || looks_like_structure(c)) {
        return None;
    }
    Some(canonical + &query.map(|query| format!("?{query}")).unwrap_or_default())
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "/",
        "/",
        "/",
        "a",
        "Z9",
        ".",
        "..",
        "-",
        "~",
        "$",
        "@",
        "%20",
        "%2b",
        "%C3%A9",
        "%c3%a9",
        "%E2%82%AC",
        "%F0%9F%98%80",
        "%C3",
        "%A9",
        "%",
        "%4",
        "%41",
        "%2e",
        "%2F",
        "%5c",
        "%00",
        "%7f",
        "%C2%85",
        "%C0%AF",
        "%ED%A0%80",
        "%EF%BC%8F",
        "%E2%80%A6",
        ";",
        "?",
        "#",
        "\\",
        "|",
        " ",
        "\0",
        "é",
        "%+1",
        "%zz",
    ])
}

proptest! {
    #[test]
    fn the_slow_reading_agrees(pieces in prop::collection::vec(piece(), 0..8)) {
        let raw = format!("/{}", pieces.concat());
        let fast = Target::parse(&raw).ok().map(|target| target.as_str().to_owned());
        prop_assert_eq!(fast, slowly(&raw));
    }

    #[test]
    fn the_slow_reading_agrees_on_encoded_characters(character: char, upper: bool) {
        let mut bytes = [0; 4];
        let encoded = character.encode_utf8(&mut bytes).bytes();
        let raw: String = "/".to_owned()
            + &encoded.map(|b| if upper { format!("%{b:02X}") } else { format!("%{b:02x}") }).collect::<String>();
        let known = ['\u{2028}', '\u{2029}'].contains(&character) || lookalike::refuse(character).is_err();
        let fast = Target::parse(&raw).ok().map(|target| target.as_str().to_owned());
        prop_assert_eq!(fast, slowly(&raw).filter(|_| !known));
    }

    #[test]
    fn any_text_is_read_without_a_panic(raw: String) {
        if let Ok(target) = Target::parse(&raw) {
            let again = Target::parse(target.as_str()).unwrap();
            prop_assert!(again.is_verbatim());
            prop_assert_eq!(again.as_str(), target.as_str());
        }
    }
}
