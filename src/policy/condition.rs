//! Whether a `when` holds for a request.
//!
//! It holds rather too often than too rarely: names and values are compared without case, and the query is read as
//! generously as [`query`] says. A condition only ever adds to what is needed, so that the mistake is on the safe side.

use http::HeaderMap;

use crate::policy::query;
use crate::policy::rule::{Condition, Subject};

impl Condition {
    pub fn holds(&self, query: Option<&str>, headers: &HeaderMap) -> bool {
        match (&self.subject, &self.contains) {
            (Subject::Query(name), None) => query.is_some_and(|query| query::has(query, name)),
            (Subject::Query(name), Some(wanted)) => {
                query.is_some_and(|query| query::contains(query, name, wanted))
            }
            (Subject::Header(name), None) => headers.contains_key(name),
            (Subject::Header(name), Some(wanted)) => headers.get_all(name).iter().any(|value| {
                query::list_contains(&String::from_utf8_lossy(value.as_bytes()), wanted)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue};

    use super::*;

    fn check(subject: Subject, contains: Option<&str>, query: &str, headers: &[&str]) -> bool {
        let condition =
            Condition { subject, contains: contains.map(Into::into), requires: [].into() };
        let mut map = HeaderMap::new();
        for value in headers {
            map.append("x-on-behalf-of", HeaderValue::from_str(value).unwrap());
        }
        condition.holds(Some(query).filter(|query| !query.is_empty()), &map)
    }

    #[test]
    fn a_query_condition_looks_at_presence_or_at_a_value() {
        let include = || Subject::Query("include".into());
        assert!(check(include(), None, "include", &[]));
        assert!(check(include(), Some("notes"), "include=a,notes", &[]));
        assert!(!check(include(), Some("notes"), "include=a", &[]));
        assert!(!check(include(), None, "", &[]));
    }

    #[test]
    fn a_header_condition_looks_at_every_line_of_the_header() {
        let header = || Subject::Header(HeaderName::from_static("x-on-behalf-of"));
        assert!(check(header(), None, "", &["anybody"]));
        assert!(!check(header(), None, "x-on-behalf-of=1", &[]));
        assert!(check(header(), Some("admin"), "", &["a", "b, ADMIN"]));
        assert!(!check(header(), Some("admin"), "", &["administrator"]));
    }
}
