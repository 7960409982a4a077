//! `If-Match`: a change only to what the caller has seen (RFC 9110, 13.1.1).
//!
//! An ETag is the position of the change that last put the object, in quotes. The comparison is strong, so a weak tag
//! matches nothing.

use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;

use crate::admin::problem::Problem;
use crate::registry::operation::IfMatch;
use crate::store::Position;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// None was sent, or `*`.
    Any,
    /// Tags as they were sent, without their quotes; weak ones are left out.
    OneOf(Vec<String>),
}

impl Condition {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let malformed = || Problem::malformed("`If-Match` is neither `*` nor a list of ETags.");
        let mut tags = Vec::new();
        let mut is_any = false;
        let mut lines = headers.get_all(IF_MATCH).iter().peekable();
        if lines.peek().is_none() {
            return Ok(Self::Any);
        }
        for line in lines {
            let text = line.to_str().map_err(|_| malformed())?.trim();
            if text == "*" {
                is_any = true;
            } else {
                tags.push(self::tags(text).ok_or_else(malformed)?);
            }
        }
        match (is_any, tags.is_empty()) {
            (true, true) => Ok(Self::Any),
            (true, false) => Err(malformed()),
            (false, _) => Ok(Self::OneOf(tags.concat())),
        }
    }

    /// What an operation is to check once more when it is decided.
    pub(super) fn holds(&self, current: Position) -> Result<IfMatch, Problem> {
        match self {
            Self::Any => Ok(None),
            Self::OneOf(tags) if tags.iter().any(|tag| *tag == current.0.to_string()) => {
                Ok(Some(current))
            }
            Self::OneOf(_) => Err(Problem::stale()),
        }
    }
}

/// `"7", W/"8"` as the strong tags in it; None where it is no such list.
fn tags(text: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        let weak = rest.strip_prefix("W/");
        let (tag, after) = weak.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        if weak.is_none() {
            tags.push(tag.to_owned());
        }
        let after = after.trim_start();
        if after.is_empty() {
            return Some(tags);
        }
        rest = after.strip_prefix(',')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn outcome(lines: &[&'static str]) -> Result<IfMatch, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_static(line));
        }
        let condition = Condition::read(&headers).map_err(|problem| problem.code)?;
        condition.holds(Position(7)).map_err(|problem| problem.code)
    }

    #[test]
    fn only_a_strong_tag_of_the_current_revision_matches() {
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&["*"], Ok(None)),
            (&["\"7\""], Ok(Some(Position(7)))),
            (&["\"6\", \"7\""], Ok(Some(Position(7)))),
            (&["\"6\"", "\"7\""], Ok(Some(Position(7)))),
            (&["\"6\""], Err("stale")),
            (&["W/\"7\""], Err("stale")),
            (&["\"07\""], Err("stale")),
            (&["\"\""], Err("stale")),
            (&["7"], Err("malformed_request")),
            (&[""], Err("malformed_request")),
            (&["\"7\","], Err("malformed_request")),
            (&["\"7\" \"8\""], Err("malformed_request")),
            (&["*", "\"7\""], Err("malformed_request")),
            (&["\"7"], Err("malformed_request")),
        ] {
            assert_eq!(outcome(lines), expected, "{lines:?}");
        }
    }
}
