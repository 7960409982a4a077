//! A target that is taken has one reading: it is a fixed point, its parts rejoin, and decoding it shows nothing new.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::policy::Target;

fuzz_target!(|raw: &str| {
    let Ok(target) = Target::parse(raw) else { return };
    let text = target.as_str();
    let again = Target::parse(text).expect("a canonical target is taken");
    assert!(again.is_verbatim() && again.as_str() == text);
    assert_eq!(target.is_verbatim(), raw == text);
    assert!(raw.eq_ignore_ascii_case(text));
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));

    let segments: Vec<&str> = target.segments().collect();
    assert_eq!(format!("/{}", segments.join("/")), target.path());
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    assert_eq!(format!("{}{query}", target.path()), text);

    let (last, before) = segments.split_last().expect("a path has a segment");
    assert!(before.iter().all(|segment| !segment.is_empty()));
    for segment in before.iter().chain([last]) {
        let decoded = decode(segment);
        assert!(!decoded.contains(['/', '\\', ';', '%', '?', '#']), "{decoded}");
        assert!(!decoded.chars().any(char::is_control), "{decoded}");
        assert!(decoded.is_empty() || decoded.chars().any(|c| c != '.'), "{decoded}");
        assert_eq!(decoded.matches('.').count(), segment.matches('.').count());
    }
    let _ = target.screen_query();
});

/// Every triplet decoded, by another road than the parser's.
fn decode(segment: &str) -> String {
    let mut pieces = segment.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, plain) = piece.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("a triplet has two digits"));
        bytes.extend(plain.bytes());
    }
    String::from_utf8(bytes).expect("a path is UTF-8 once decoded")
}
