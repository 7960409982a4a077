//! Path patterns: literals, `{name}`, `{name:int}`, `{name:uuid}`, and `**` at the end.
//!
//! A pattern is a list of whole segments; there are no prefixes of segments and no regular expressions. Its literals
//! obey the rules of [`Target`], so that every literal can be called, and by one spelling only.

use std::fmt;

use crate::model::{Refusal, hex};
use crate::policy::target::{Target, with_plain_delimiters};

/// A parsed pattern; it is shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub text: Box<str>,
    /// As [`Target::segments`] gives them: a trailing slash is an empty literal at the end.
    pub segments: Box<[Segment]>,
    /// Ends in `/**`.
    pub rest: bool,
}

/// What one segment of a path must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    Literal(Box<str>),
    /// 1 to 20 ASCII digits.
    Int,
    /// 8-4-4-4-12 hexadecimal digits, in either case.
    Uuid,
    /// Anything but nothing.
    Any,
}

impl Pattern {
    /// The most segments of a pattern, which bounds the depth of a lookup.
    pub const MAX_SEGMENTS: usize = 64;

    /// Err is a sentence for people: what is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("a path begins with a slash: write `/{text}`"));
        };
        let (path, rest) = match path.strip_suffix("**") {
            Some("") => (None, true),
            Some(before) if before.ends_with('/') => (before.strip_suffix('/'), true),
            _ => (Some(path), false),
        };
        let mut segments = Vec::new();
        let mut names = Vec::new();
        let mut parts = path.into_iter().flat_map(|path| path.split('/')).peekable();
        while let Some(part) = parts.next() {
            let is_trailing_slash = part.is_empty() && parts.peek().is_none() && !rest;
            segments.push(if is_trailing_slash {
                Segment::Literal("".into())
            } else {
                read_segment(part, &mut names)?
            });
        }
        if segments.len() > Self::MAX_SEGMENTS {
            return Err(format!("a path has at most {} segments", Self::MAX_SEGMENTS));
        }
        Ok(Self { text: text.into(), segments: segments.into(), rest })
    }

    /// Whether the pattern lies under a mount such as `/v1`, by whole segments; everything lies under `/`.
    pub fn is_under(&self, mount: &str) -> bool {
        let mount = mount.trim_matches('/');
        let mut own = self.segments.iter();
        mount.is_empty()
            || mount.split('/').all(
                |wanted| matches!(own.next(), Some(Segment::Literal(text)) if **text == *wanted),
            )
    }

    /// Whether the pattern matches a target.
    pub fn matches(&self, target: &Target<'_>) -> bool {
        let mut path = target.segments();
        self.segments.iter().all(|segment| path.next().is_some_and(|text| segment.takes(text)))
            && (self.rest || path.next().is_none())
    }

    /// The pattern with a trailing slash more or less; none for `/` and for one that ends in `**`.
    pub fn with_other_trailing_slash(&self) -> Option<Self> {
        let slash = Segment::Literal("".into());
        match (self.rest, self.segments.split_last()) {
            (true, _) | (_, None) => None,
            (_, Some((last, []))) if *last == slash => None,
            (_, Some((last, before))) if *last == slash => {
                let text = self.text.strip_suffix('/').unwrap_or(&self.text).into();
                Some(Self { text, segments: before.into(), rest: false })
            }
            _ => {
                let segments = self.segments.iter().cloned().chain([slash]).collect();
                Some(Self { text: format!("{}/", self.text).into(), segments, rest: false })
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    /// Whether a segment of a canonical path is one of these.
    pub fn takes(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::Int => is_int(text),
            Self::Uuid => is_uuid(text),
            Self::Any => !text.is_empty(),
        }
    }
}

pub(crate) fn is_int(text: &str) -> bool {
    matches!(text.len(), 1..=20) && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn read_segment<'t>(part: &'t str, names: &mut Vec<&'t str>) -> Result<Segment, String> {
    if part.is_empty() {
        return Err("a segment is empty: write single slashes".to_owned());
    }
    if part == "**" {
        return Err("`**` stands at the end alone: write `{name}` for one segment".to_owned());
    }
    if part == "*" {
        return Err(
            "`*` is no pattern: write `{name}` for one segment, `**` at the end for any rest"
                .to_owned(),
        );
    }
    if part.contains("**") {
        return Err(format!("`{part}`: `**` stands for whole segments: write `/**` at the end"));
    }
    if !part.contains(['{', '}']) {
        return read_literal(part);
    }
    let inside = part.strip_prefix('{').and_then(|inside| inside.strip_suffix('}'));
    let Some(inside) = inside.filter(|inside| !inside.contains(['{', '}'])) else {
        return Err(format!("`{part}`: a name in braces is a whole segment, such as `{{id}}`"));
    };
    let (name, kind) = inside.split_once(':').map_or((inside, None), |(n, k)| (n, Some(k)));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
        return Err(format!("`{part}`: a name has letters, digits, `_` and `-`, such as `{{id}}`"));
    }
    if names.contains(&name) {
        return Err(format!("the name `{name}` is there twice: give each segment its own"));
    }
    names.push(name);
    match kind {
        None => Ok(Segment::Any),
        Some("int") => Ok(Segment::Int),
        Some("uuid") => Ok(Segment::Uuid),
        Some(other) => Err(unknown_kind(name, other)),
    }
}

fn unknown_kind(name: &str, kind: &str) -> String {
    let remedy = match kind.to_ascii_lowercase().as_str() {
        "" | "string" | "str" | "any" | "path" | "segment" | "slug" => {
            format!("write `{{{name}}}` for any text")
        }
        "integer" | "number" | "num" | "digits" | "long" | "i64" | "u64" | "id" => {
            format!("did you mean `{{{name}:int}}`?")
        }
        "guid" => format!("did you mean `{{{name}:uuid}}`?"),
        close => {
            match ["int", "uuid"].into_iter().find(|known| strsim::levenshtein(known, close) < 3) {
                Some(known) => format!("did you mean `{{{name}:{known}}}`?"),
                None => "there are `int` and `uuid`".to_owned(),
            }
        }
    };
    format!("`{kind}` is no type of segment: {remedy}")
}

/// Takes a literal that a canonical path can have, with the digits of its triplets in upper case.
fn read_literal(part: &str) -> Result<Segment, String> {
    if !part.is_ascii() {
        let encoded: String = part.chars().map(percent_encoded).collect();
        return Err(format!("`{part}` is called percent-encoded: write `{encoded}`"));
    }
    if part.contains('?') {
        return Err(format!("`{part}`: a path has no query: use `when` for what depends on one"));
    }
    let path = format!("/{part}");
    let target = Target::parse(&path).map_err(|refusal| match refusal {
        Refusal::AmbiguousPath(why) => format!("`{part}` can never be called: {why}"),
        other => format!("`{part}` can never be called: {}", other.code()),
    })?;
    let literal = target.segments().next().unwrap_or_default();
    let plain = with_plain_delimiters(literal);
    if plain != literal {
        return Err(format!("`{part}` has a needless percent-encoding: write `{plain}`"));
    }
    Ok(Segment::Literal(literal.into()))
}

fn percent_encoded(character: char) -> String {
    if character.is_ascii() {
        return character.to_string();
    }
    let mut bytes = [0; 4];
    character
        .encode_utf8(&mut bytes)
        .bytes()
        .flat_map(hex::percent_encoded)
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<Segment> {
        Pattern::parse(text).unwrap().segments.to_vec()
    }

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.into())
    }

    #[test]
    fn segments_are_read() {
        assert_eq!(
            shape("/v1/{a}/{b:int}/{c:uuid}"),
            [literal("v1"), Segment::Any, Segment::Int, Segment::Uuid]
        );
        assert_eq!(shape("/"), [literal("")]);
        assert_eq!(shape("/a/"), [literal("a"), literal("")]);
        assert_eq!(shape("/caf%c3%a9"), [literal("caf%C3%A9")]);
        assert_eq!(shape("/$op:x@y"), [literal("$op:x@y")]);
    }

    #[test]
    fn a_rest_is_no_segment() {
        for (text, segments) in [("/**", 0), ("/a/**", 1), ("/{a}/b/**", 2)] {
            let pattern = Pattern::parse(text).unwrap();
            assert!(pattern.rest, "{text}");
            assert_eq!(pattern.segments.len(), segments, "{text}");
            assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn faults_say_what_to_write_instead() {
        let cases = [
            ("", "begins with a slash"),
            ("v1/a", "write `/v1/a`"),
            ("/a//b", "segment is empty"),
            ("//", "segment is empty"),
            ("/a//**", "segment is empty"),
            ("/*", "write `{name}`"),
            ("/a/**/b", "at the end"),
            ("/a**", "write `/**`"),
            ("/{id:integer}", "did you mean `{id:int}`"),
            ("/{id:guid}", "did you mean `{id:uuid}`"),
            ("/{id:uid}", "did you mean `{id:"),
            ("/{id:string}", "write `{id}`"),
            ("/{id:colour}", "there are `int` and `uuid`"),
            ("/{id}.pdf", "whole segment"),
            ("/{id", "whole segment"),
            ("/{}", "a name has letters"),
            ("/{a b}", "a name has letters"),
            ("/{id}/x/{id}", "is there twice"),
            ("/a/../b", "dots alone"),
            ("/a/./b", "dots alone"),
            ("/a;b", "semicolon"),
            ("/a b", "RFC 3986"),
            ("/a?b=c", "use `when`"),
            ("/a%2Fb", "encoded slash"),
            ("/%61", "needs no encoding"),
            ("/%24export", "write `$export`"),
            ("/café", "write `caf%C3%A9`"),
        ];
        for (text, expected) in cases {
            let fault = Pattern::parse(text).unwrap_err();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
        assert!(Pattern::parse(&"/a".repeat(64)).is_ok());
        assert!(Pattern::parse(&"/a".repeat(65)).is_err());
    }

    #[test]
    fn mounts_are_whole_segments() {
        let cases = [
            ("/v1/a", "/v1", true),
            ("/v1", "/v1", true),
            ("/v1/**", "/v1", true),
            ("/v10/a", "/v1", false),
            ("/{v}/a", "/v1", false),
            ("/**", "/v1", false),
            ("/anything", "/", true),
            ("/api/v1/a", "/api/v1", true),
            ("/api", "/api/v1", false),
        ];
        for (pattern, mount, under) in cases {
            assert_eq!(
                Pattern::parse(pattern).unwrap().is_under(mount),
                under,
                "{pattern} {mount}"
            );
        }
    }

    #[test]
    fn typed_segments_take_only_their_type() {
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        assert!(Segment::Uuid.takes(uuid) && Segment::Uuid.takes(&uuid.to_uppercase()));
        assert!(!Segment::Uuid.takes(&uuid.replace('-', "0")) && !Segment::Uuid.takes("1"));
        for (text, is_int) in
            [("0", true), ("007", true), ("", false), ("-1", false), ("1e3", false)]
        {
            assert_eq!(Segment::Int.takes(text), is_int, "{text}");
        }
        assert!(Segment::Int.takes(&"9".repeat(20)) && !Segment::Int.takes(&"9".repeat(21)));
        assert!(!Segment::Any.takes("") && Segment::Any.takes("x"));
    }

    #[test]
    fn the_other_trailing_slash_is_there_and_back() {
        for (one, other) in [("/a", "/a/"), ("/a/{b}", "/a/{b}/")] {
            let (one, other) = (Pattern::parse(one).unwrap(), Pattern::parse(other).unwrap());
            assert_eq!(one.with_other_trailing_slash().unwrap(), other);
            assert_eq!(other.with_other_trailing_slash().unwrap(), one);
        }
        for alone in ["/", "/**", "/a/**"] {
            assert_eq!(Pattern::parse(alone).unwrap().with_other_trailing_slash(), None);
        }
    }

    #[test]
    fn names_do_not_make_a_shape() {
        assert_eq!(shape("/a/{x}"), shape("/a/{y}"));
        assert_ne!(shape("/a/{x}"), shape("/a/{x:int}"));
    }
}
