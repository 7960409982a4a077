//! Reading a query without changing it: names and values as an upstream may decode them.
//!
//! The query is forwarded byte for byte, and nobody knows which parser reads it there. So everything here reads
//! generously: `;` separates as `&` does, `+` is a space, names are compared without case and with every sign alike
//! (PHP reads `x.y` as `x_y`), a `[…]` at the end of a name is ignored, `%u006e` is a letter as it is to classic ASP, and
//! names and values end at a NUL and lose the space and the controls around them. What is looked for is then found too often
//! rather than too rarely, which only ever asks for more permission or refuses.

use std::borrow::Cow;

use crate::model::hex;
use crate::policy::header_name::METHOD_OVERRIDES;

/// The names and values of a query, decoded. A value that was left out is empty.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    as_written(query).map(|(name, value)| (decode(name), decode(value)))
}

/// The names alone, decoded.
fn names(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    as_written(query).map(|(name, _)| decode(name))
}

fn as_written(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether an upstream may take the request for one of another method.
pub fn has_method_override(query: &str) -> bool {
    const FORM_FIELD: &str = "_method";
    names(query).any(|name| is_one_of(&name, &[FORM_FIELD]) || is_one_of(&name, &METHOD_OVERRIDES))
}

/// Names of query parameters that are known to carry keys.
pub const KEY_PARAMETERS: [&str; 3] = ["api_key", "apikey", "access_token"];

/// Whether the query has the parameter at all.
pub fn has(query: &str, name: &str) -> bool {
    names(query).any(|found| is_one_of(&found, &[name]))
}

/// Whether one value of the parameter, of a comma list or of repeats, is `wanted`.
pub fn contains(query: &str, name: &str, wanted: &str) -> bool {
    as_written(query).any(|(found, value)| {
        is_one_of(&decode(found), &[name]) && list_contains(&decode(value), wanted)
    })
}

/// Whether one item of a comma list is `wanted`, ignoring ASCII case and what is around it.
pub fn list_contains(list: &str, wanted: &str) -> bool {
    list.split([',', NUL]).any(|item| trimmed(item).eq_ignore_ascii_case(wanted))
}

/// Whether a decoded name is one of `wanted` to some parser.
pub fn is_one_of(decoded: &str, wanted: &[&str]) -> bool {
    let bare = trimmed(trimmed(decoded).split(['[', NUL]).next().unwrap_or_default());
    wanted.iter().any(|wanted| {
        bare.len() == wanted.len()
            && bare.bytes().zip(wanted.bytes()).all(|(a, b)| fold(a) == fold(b))
    })
}

/// Where a parser written in C sees the end of a text.
const NUL: char = '\0';

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control())
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || !byte.is_ascii() { byte.to_ascii_lowercase() } else { b'_' }
}

/// `+`, percent triplets and `%uXXXX` decoded; what is none of them stays as it is, and what is no character becomes
/// U+FFFD.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        if let Some((character, following)) = unicode_escape(rest) {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = following;
            continue;
        }
        rest = after;
        bytes.push(match (*byte, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, following @ ..]) => match hex::byte(*high, *low) {
                Some(decoded) => {
                    rest = following;
                    decoded
                }
                None => b'%',
            },
            (plain, _) => plain,
        });
    }
    let text = String::from_utf8(bytes);
    Cow::Owned(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The character of the `%uXXXX` that a text begins with, and what follows it.
fn unicode_escape(text: &[u8]) -> Option<(char, &[u8])> {
    let [b'%', b'u' | b'U', a, b, c, d, following @ ..] = text else { return None };
    let unit = u16::from_be_bytes([hex::byte(*a, *b)?, hex::byte(*c, *d)?]);
    let character = char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
    Some((character, following))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_split_at_semicolons_too() {
        let read: Vec<(String, String)> = pairs("a=1&b=x%20y+z;c&&d=%zz%4&e=1=2")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let expected = [("a", "1"), ("b", "x y z"), ("c", ""), ("d", "%zz%4"), ("e", "1=2")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_never_a_panic() {
        assert_eq!(decode("%ff%C3%A9"), "\u{fffd}é");
        assert_eq!(decode("%C3%A9+%e2%82%ac"), "é €");
    }

    #[test]
    fn four_digits_after_a_u_are_a_character() {
        let cases = [
            ("%u006eotes", "notes"),
            ("%U006E%u20aC", "n€"),
            ("%u00e", "%u00e"),
            ("%u00gg", "%u00gg"),
            ("%u", "%u"),
            ("%ud83d!", "\u{fffd}!"),
            ("%u%75", "%uu"),
        ];
        for (text, decoded) in cases {
            assert_eq!(decode(text), decoded, "{text}");
        }
    }

    #[test]
    fn method_overrides_are_found_in_every_spelling() {
        for query in [
            "_method=DELETE",
            "a=1&_METHOD=delete",
            "a=1;_method=x",
            "%5Fmethod=PUT",
            "%u005fmethod=PUT",
            "a=1&_%U006dethod=PUT",
            "_method%00x=PUT",
            "%00_method=PUT",
            "_method[]=PUT",
            "_method%5B0%5D=PUT",
            "_method",
            "+_method=PUT",
            "_method%00=PUT",
            "-method=PUT",
            "X-HTTP-Method-Override=PUT",
            "x_http_method_override=PUT",
            "x.http.method=PUT",
            "x-method-override=PUT",
        ] {
            assert!(has_method_override(query), "{query}");
        }
    }

    #[test]
    fn other_names_are_no_method_override() {
        for query in ["", "method=DELETE", "a=_method", "_methods=1", "payment_method=card", "&&"] {
            assert!(!has_method_override(query), "{query}");
        }
    }

    #[test]
    fn a_value_is_found_whole_in_lists_and_repeats() {
        let cases = [
            ("include=notes", true),
            ("include=a,notes", true),
            ("include=a%2C%20NOTES", true),
            ("include=a&Include=notes", true),
            ("include[]=notes", true),
            ("include%5B%5D=note%73", true),
            ("include=%u006eotes", true),
            ("%u0069nclude=notes", true),
            ("include=notes%00", true),
            ("include=a,%09notes%0A", true),
            ("include=notes%00.json", true),
            ("include[0]=notes", true),
            ("include=notes2", false),
            ("include=%u006eotes2", false),
            ("filter[include]=notes", false),
            ("include=my+notes", false),
            ("exclude=notes", false),
            ("include", false),
        ];
        for (query, found) in cases {
            assert_eq!(contains(query, "include", "notes"), found, "{query}");
        }
        assert!(has("include", "include") && !has("includes=1", "include"));
    }
}
