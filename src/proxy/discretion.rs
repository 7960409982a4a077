//! What callers send and a record keeps of it: cleaned, cut to a length, and without keys.
//!
//! A key is where it does not belong by mistake, whole between separators: in a segment of a path, a value of a query, a
//! word of a user agent. Our own are known by their prefix; a key that was issued elsewhere has no form (it may be a UUID
//! or words), so anything as long as a key is looked up as one.

use std::borrow::Cow;

/// Of a user agent, in characters.
const MOST: usize = 256;
/// As short as a key that was issued elsewhere may be.
const SHORTEST_KEY: usize = 8;
const OURS: &[u8] = b"pst_";
const CUT: &str = "[key]";
/// Looking a piece up takes a microsecond, and a caller can send a thousand of them.
const LOOKUPS: usize = 16;
const LEFT_OUT: &str = "…";
/// Of a secret of ours and its check, which OAuth2 clients send without a prefix.
const SECRET: usize = 43;
const CHECK: usize = 6;

/// Whether somebody was issued a text as a key.
pub(crate) struct Issued<'i>(pub(crate) &'i dyn Fn(&[u8]) -> bool);

impl std::fmt::Debug for Issued<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issued(…)")
    }
}

/// A text with every key in it cut out.
pub(crate) fn without_keys<'a>(text: &'a str, issued: &Issued<'_>) -> Cow<'a, str> {
    let mut kept = String::new();
    // Up to here `text` is in `kept`.
    let mut copied = 0;
    let mut start = 0;
    let mut looked_up = 0;
    while start <= text.len() {
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.bytes().position(is_separator).unwrap_or(rest.len());
        let piece = rest.get(..length).unwrap_or_default();
        looked_up += usize::from(piece.len() >= SHORTEST_KEY);
        if looked_up > LOOKUPS {
            kept.push_str(text.get(copied..start).unwrap_or_default());
            kept.push_str(LEFT_OUT);
            return Cow::Owned(kept);
        }
        if is_key(piece, issued) {
            kept.push_str(text.get(copied..start).unwrap_or_default());
            kept.push_str(CUT);
            copied = start + length;
        }
        start += length + 1;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(kept)
}

/// Printable, cut, without keys.
pub(crate) fn clean<'a>(bytes: &'a [u8], issued: &Issued<'_>) -> Cow<'a, str> {
    let is_plain = bytes.len() <= MOST && bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e));
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if is_plain => Cow::Borrowed(text),
        _ => {
            let text = String::from_utf8_lossy(bytes);
            let printable = |c: char| if c.is_control() || turns_text(c) { ' ' } else { c };
            // Keys are cut out first: half a key would not be known for one. What is read of an endless text is bounded.
            let long: String = text.chars().take(4 * MOST).map(printable).collect();
            Cow::Owned(without_keys(&long, issued).chars().take(MOST).collect())
        }
    };
    match text {
        Cow::Borrowed(text) => without_keys(text, issued),
        cut @ Cow::Owned(_) => cut,
    }
}

/// Characters that nobody sees and that change how others are shown.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// None of them is a part of another character.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'&' | b'=' | b' ' | b',' | b';' | b'(' | b')' | b'"')
}

fn is_key(piece: &str, issued: &Issued<'_>) -> bool {
    let bytes = &*decoded(piece.as_bytes());
    let has_our_form = || {
        let has_our_prefix =
            bytes.windows(OURS.len()).any(|window| window.eq_ignore_ascii_case(OURS));
        has_our_prefix || is_bare_secret(bytes)
    };
    // Both have one of these in them, and most pieces of a path have none.
    (memchr::memchr(b'_', bytes).is_some() && has_our_form())
        || (bytes.len() >= SHORTEST_KEY && issued.0(bytes))
}

fn is_bare_secret(bytes: &[u8]) -> bool {
    let mut parts = bytes.rsplit(|byte| *byte == b'_');
    let is_part = |part: Option<&[u8]>, length| {
        part.is_some_and(|part| part.len() == length && part.iter().all(u8::is_ascii_alphanumeric))
    };
    is_part(parts.next(), CHECK) && is_part(parts.next(), SECRET)
}

fn decoded(piece: &[u8]) -> Cow<'_, [u8]> {
    if !piece.contains(&b'%') {
        return Cow::Borrowed(piece);
    }
    let digit = |at: usize| piece.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = Vec::with_capacity(piece.len());
    let mut at = 0;
    while let Some(byte) = piece.get(at) {
        let triplet = if *byte == b'%' { digit(at + 1).zip(digit(at + 2)) } else { None };
        let value = triplet.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(value.unwrap_or(*byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: &str = "kN3+xQ9/a7Zt5Vb1==";

    fn issued(text: &[u8]) -> bool {
        text == FOREIGN.as_bytes() || text == b"0123456789abcdefABCDEF"
    }

    fn cut(text: &str) -> String {
        without_keys(text, &Issued(&issued)).into_owned()
    }

    #[test]
    fn keys_are_cut_out_and_nothing_else() {
        for (text, kept) in [
            ("/v1/patients/7", "/v1/patients/7"),
            ("", ""),
            ("/", "/"),
            ("/v1//", "/v1//"),
            ("/v1/pst_sub_abc_def", "/v1/[key]"),
            ("/v1/PST_ven_abc/x", "/v1/[key]/x"),
            ("/v1/xpst_sub_abc/pst_tok_1", "/v1/[key]/[key]"),
            ("/v1/0123456789abcdefABCDEF", "/v1/[key]"),
            ("/v1/0123456789abcdefABCDEF/y?z=0123456789abcdefABCDEF", "/v1/[key]/y?z=[key]"),
            ("/v1/x?k=kN3%2BxQ9%2Fa7Zt5Vb1%3D%3D&l=1", "/v1/x?k=[key]&l=1"),
            ("/v1/0123456789abcdefABCDEG", "/v1/0123456789abcdefABCDEG"),
            ("/v1/%70st%5Fsub_pzTB_x", "/v1/[key]"),
            ("/v1/x?a= %70st_sub_pzTB_x&b=c", "/v1/x?a= [key]&b=c"),
            (
                "/v1/123e4567-e89b-12d3-a456-426614174000",
                "/v1/123e4567-e89b-12d3-a456-426614174000",
            ),
        ] {
            assert_eq!(cut(text), kept, "{text}");
        }
    }

    #[test]
    fn a_secret_without_its_prefix_is_known_by_its_form() {
        let bare = format!("{}_{}", "a1".repeat(21) + "Z", "b2C3d4");
        assert_eq!(cut(&format!("/v1/{bare}/x")), "/v1/[key]/x");
        assert_eq!(cut(&format!("/v1/Q5C0ydOmHHaP_{bare}")), "/v1/[key]");
        let longer = format!("/v1/{bare}7");
        assert_eq!(cut(&longer), longer);
    }

    #[test]
    fn endlessly_many_pieces_are_not_looked_up() {
        let asked = std::cell::Cell::new(0);
        let count = |_: &[u8]| {
            asked.set(asked.get() + 1);
            false
        };
        let text = "/abcdefgh".repeat(1_000);
        let kept = without_keys(&text, &Issued(&count)).into_owned();
        assert_eq!(asked.get(), LOOKUPS);
        assert!(kept.ends_with("/abcdefgh/…") && kept.len() < 200, "{kept}");
    }

    #[test]
    fn a_user_agent_is_printable_and_short() {
        let clean = |bytes: &[u8]| clean(bytes, &Issued(&issued)).into_owned();
        assert_eq!(clean(b"Zapier/1.0"), "Zapier/1.0");
        assert_eq!(clean(b"a\tb\x7fc"), "a b c");
        assert_eq!(clean("a\u{202e}b\u{2028}c".as_bytes()), "a b c");
        assert_eq!(clean("caf\u{e9}".as_bytes()), "café");
        assert_eq!(clean(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(clean(&vec![b'x'; 300]).len(), 256);
        assert_eq!(clean(b"me pst_sub_abc_def (x)"), "me [key] (x)");
        let mut cut_in_the_middle = vec![b'x'; 250];
        cut_in_the_middle.extend_from_slice(b" pst_sub_abc_def");
        assert!(!clean(&cut_in_the_middle).contains("pst"));
    }
}
