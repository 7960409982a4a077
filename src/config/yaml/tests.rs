//! What is read, what is refused, and that it never says more or panics.

use proptest::prelude::*;

use super::*;

fn read(text: impl AsRef<[u8]>) -> Result<Node, Vec<String>> {
    let mut faults = Vec::new();
    let node = parse(&"f".into(), text.as_ref(), &mut faults);
    match node {
        Some(node) if faults.is_empty() => Ok(node),
        _ => Err(faults.iter().map(ToString::to_string).collect()),
    }
}

fn check(text: impl AsRef<[u8]>, fault: &str) {
    let found = read(text).unwrap_err();
    assert!(
        matches!(found.as_slice(), [one] if one.starts_with(fault)),
        "{found:#?}\nis not {fault}"
    );
}

#[test]
fn places_count_from_one_in_characters() {
    let node = read("a: 1\nb:\n  - é: [x, \"y\"]\n").unwrap();
    let place = |node: &Node| (node.place.line, node.place.column);
    let (key, list) = node.entry("b").unwrap();
    assert_eq!((key.place.line, key.place.column), (2, 1));
    let (_, inner) = list.items()[0].entry("é").unwrap();
    assert_eq!((place(&inner.items()[0]), place(&inner.items()[1])), ((3, 9), (3, 12)));
}

#[test]
fn a_file_that_is_no_configuration_is_one_clear_fault() {
    check("", "f:1:1: the file is empty");
    check("# nothing\n", "f:1:1: the file is empty");
    check("\u{feff}a: 1\n", "f:1:1: the file begins with a byte order mark");
    check("a: 1\r\nb: 2\r\n", "f:1:5: the lines end in a carriage return");
    check(b"a: 1\nb: \xff\n", "f:2:4: the file is not UTF-8 text");
    check(b"\x7fELF\x02\x01\x00", "f:1:1: the character U+007F");
    check(vec![b'a'; MAX_FILE_BYTES + 1], "f:1:1: the file is larger than 8 MiB");
    check("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here");
}

#[test]
fn what_readers_may_take_differently_is_refused() {
    check("a: 1\nb: 2\na: 3\n", "f:3:1: `a` is already written on line 1");
    check("a:\n\tb: 1\n", "f:2:1: a tab is used for indentation");
    check("a: &x 1\n", "f:1:");
    check("a: &x [1]\nb: *x\n", "f:1:");
    check("a: *x\n", "f:1:4: ");
    check("a: !!str 1\n", "f:1:");
    check("? [a]\n: 1\n", "f:1:3: a list or a mapping cannot be a key");
    check("a: [1\n", "f:");
    check("a: b: c\n", "f:1:");
    check("a: { b: ${env:X} }\n", "f:1:");
    check("[".repeat(1000), "f:1:256: nested more than 32 deep");
}

#[test]
fn an_alias_bomb_is_refused_at_once() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        bomb.push_str(&format!(
            "{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"
        ));
    }
    check(bomb, "f:1:");
}

#[test]
fn debug_never_shows_what_was_put_in() {
    let mut node = read("a: [plain]").unwrap();
    assert!(format!("{node:?}").contains("plain"));
    let Kind::Mapping(entries) = &mut node.kind else { panic!("a mapping") };
    let Kind::Sequence(items) = &mut entries[0].1.kind else { panic!("a list") };
    let Kind::Scalar(scalar) = &mut items[0].kind else { panic!("a scalar") };
    (scalar.text, scalar.secret) = ("hunter22".to_owned(), true);
    assert!(!format!("{node:?}").contains("hunter"));
}

#[test]
fn an_attack_on_the_parser_is_read_or_refused_inside_the_text() {
    for part in [
        "[", "{", "- ", "? ", "[[{", "a: {", "&a ", "\"", "'", "|\n", "%", "*a ", "- - \n", "a:\n",
        "{a: ", ",", ": ",
    ] {
        let text = part.repeat(100_000 / part.len());
        let mut faults = Vec::new();
        let node = parse(&"f".into(), text.as_bytes(), &mut faults);
        assert!(node.is_some() || !faults.is_empty(), "{part}");
        // Each look takes the whole text apart; a few of thousands are enough.
        assert!(faults.iter().take(9).all(|fault| inside(&fault.place, &text)), "{part}");
        assert!(node.is_none() || !part.contains(['[', '{', '&', '*']), "{part}");
    }
}

fn inside(place: &Place, text: &str) -> bool {
    let lines: Vec<&str> = text.split('\n').collect();
    let width = lines.get(place.line.wrapping_sub(1)).map(|line| line.chars().count());
    place.line >= 1 && place.column >= 1 && width.is_some_and(|width| place.column <= width + 1)
}

/// The same tree as another reader sees it, as far as both agree on what a scalar is.
fn agrees(node: &Node, other: &serde_yaml::Value) -> bool {
    use serde_yaml::Value;
    match (&node.kind, other) {
        (Kind::Sequence(items), Value::Sequence(others)) => {
            items.len() == others.len()
                && items.iter().zip(others).all(|(item, other)| agrees(item, other))
        }
        (Kind::Mapping(entries), Value::Mapping(others)) => {
            entries.len() == others.len()
                && entries.iter().zip(others).all(|((key, value), (name, other))| {
                    name.as_str().is_none_or(|name| name == key.text) && agrees(value, other)
                })
        }
        (Kind::Scalar(scalar), Value::String(text)) => scalar.text == *text,
        (Kind::Scalar(scalar), Value::Null) => scalar.meaning() == Meaning::Nothing,
        (Kind::Scalar(scalar), Value::Bool(truth)) => scalar.meaning() == Meaning::Truth(*truth),
        (Kind::Scalar(scalar), Value::Number(_)) => scalar.meaning() == Meaning::Number,
        _ => false,
    }
}

/// Text made of the characters that mean something.
const YAMLISH: &str = "([a-c01]|: |- |\n|  |\\[|\\]|\\{|\\}|, |\"|'|#|&a|\\*a|!|\\||>|\\$\\{|\t|%|é|\\?|---\n|~|true){0,40}";

/// Small documents as people write them.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        "[a-z]{1,6}",
        "[0-9]{1,4}",
        Just("true".to_owned()),
        Just("~".to_owned()),
        "\"[a-z:# ]{0,6}\"",
        "'[a-z:#{} ]{0,6}'",
        "[a-z]{1,3} [a-z/:]{1,4}[a-z]"
    ];
    prop::collection::vec(("[a-z]{1,3}", scalar.clone(), prop::collection::vec(scalar, 0..3)), 1..6)
        .prop_map(|entries| {
            let mut text = String::new();
            for (index, (key, value, items)) in entries.into_iter().enumerate() {
                if items.is_empty() {
                    text.push_str(&format!("{key}{index}: {value}\n"));
                } else {
                    text.push_str(&format!("{key}{index}:\n"));
                    items.iter().for_each(|item| {
                        text.push_str(&format!("  - inner: {item}\n    more: [{value}]\n"))
                    });
                }
            }
            text
        })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_inside_the_text(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut faults = Vec::new();
        let node = parse(&"f".into(), text.as_bytes(), &mut faults);
        prop_assert!(node.is_some() || !faults.is_empty());
        prop_assert!(faults.iter().all(|fault| inside(&fault.place, &text)), "{:?} {:?}", text, faults);
        drop(read(&bytes));
    }

    #[test]
    fn yaml_like_text_is_read_or_refused_inside_the_text(text in YAMLISH) {
        let mut faults = Vec::new();
        let node = parse(&"f".into(), text.as_bytes(), &mut faults);
        prop_assert!(node.is_some() || !faults.is_empty());
        prop_assert!(faults.iter().all(|fault| inside(&fault.place, &text)), "{:?} {:?}", text, faults);
    }

    #[test]
    fn what_is_read_is_what_another_reader_sees(text in prop_oneof![document(), YAMLISH.prop_map(|text| text)]) {
        if let (Ok(node), Ok(other)) = (read(&text), serde_yaml::from_str::<serde_yaml::Value>(&text)) {
            prop_assert!(agrees(&node, &other), "{:?}\n{:?}\n{:?}", text, node, other);
        }
    }

    #[test]
    fn a_document_as_people_write_it_is_read(text in document()) {
        let readable = serde_yaml::from_str::<serde_yaml::Value>(&text).is_ok();
        prop_assert_eq!(read(&text).is_ok(), readable, "{}", text);
    }
}
