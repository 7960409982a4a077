//! Which records are wanted: the same words for the admin API, a store and a journal.

use clap::Args;

use crate::cli::url::segment;
use crate::model::{AccessRecord, Decision, Timestamp};
use crate::store::access::{Filter, StatusFilter, Whose};

/// What a record must be to be shown.
#[derive(Debug, Default, Args)]
pub(super) struct Selection {
    /// Of this key alone
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Of this practice's keys alone
    #[arg(long, value_name = "ID")]
    practice: Option<String>,
    /// Answered with this status: 403, or 4xx for all of them
    #[arg(long, value_parser = status)]
    status: Option<StatusFilter>,
    /// Which needed this category, or this scope
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// By this vendor
    #[arg(long, value_name = "ID")]
    vendor: Option<String>,
    /// allow, deny or observe
    #[arg(long, value_parser = decision)]
    decision: Option<Decision>,
}

/// A stretch of time: from its beginning on, before its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct Span {
    /// At this time or later, such as 2026-11-20T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) from: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) to: Option<Timestamp>,
}

impl Span {
    fn holds(self, moment: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= moment) && self.to.is_none_or(|to| moment < to)
    }
}

impl Selection {
    /// Whether a record is wanted.
    pub(super) fn takes(&self, span: Span, record: &AccessRecord<'_>) -> bool {
        span.holds(record.opening.ts)
            && self.key.as_deref().is_none_or(|key| record.opening.key == key)
            && self.is_of_practice(record)
            && self.filter().takes(record)
    }

    pub(super) fn whose(&self) -> Whose {
        match (&self.key, &self.practice) {
            (Some(key), _) => Whose::Key(key.as_str().into()),
            (None, Some(practice)) => Whose::Practice(practice.as_str().into()),
            (None, None) => Whose::Everybody,
        }
    }

    /// Whether a record that was found under [`Self::whose`] is of the practice, too: a key is of one practice for good.
    pub(super) fn is_of_practice(&self, record: &AccessRecord<'_>) -> bool {
        self.practice.as_deref().is_none_or(|practice| record.opening.practice == practice)
    }

    pub(super) fn filter(&self) -> Filter {
        Filter {
            status: self.status,
            category: self.category.as_deref().map(Into::into),
            vendor: self.vendor.as_deref().map(Into::into),
            decision: self.decision,
        }
    }

    /// Where the admin API has them.
    pub(super) fn path(&self) -> String {
        match (&self.key, &self.practice) {
            (Some(key), None) => format!("/keys/{}/activity", segment(key)),
            // It is there that a key is held against a practice.
            _ => "/activity".to_owned(),
        }
    }

    pub(super) fn query(&self, span: Span) -> Vec<(&'static str, String)> {
        let status = self.status.map(|status| match status {
            StatusFilter::Exactly(status) => status.to_string(),
            StatusFilter::Class(class) => format!("{class}xx"),
        });
        let pairs = [
            ("from", span.from.map(|from| from.to_string())),
            ("to", span.to.map(|to| to.to_string())),
            ("key", self.key.clone().filter(|_| self.practice.is_some())),
            ("practice", self.practice.clone()),
            ("status", status),
            ("category", self.category.clone()),
            ("vendor", self.vendor.clone()),
            ("decision", self.decision.map(|decision| decision.name().to_owned())),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "not a time such as 2026-11-20T08:00:00Z".to_owned())
}

fn decision(text: &str) -> Result<Decision, String> {
    Decision::from_name(text).ok_or_else(|| "is none of allow, deny, observe".to_owned())
}

fn status(text: &str) -> Result<StatusFilter, String> {
    let of_class = text.strip_suffix("xx").and_then(|class| class.parse().ok());
    let class = of_class.filter(|class| (1..=5).contains(class)).map(StatusFilter::Class);
    // 0 where nothing was answered.
    let exactly = text.parse().ok().filter(|status| matches!(status, 0 | 100..=599));
    class
        .or(exactly.map(StatusFilter::Exactly))
        .ok_or_else(|| "not a status such as 403 or 4xx".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_or_a_class() {
        assert_eq!(status("403"), Ok(StatusFilter::Exactly(403)));
        assert_eq!(status("0"), Ok(StatusFilter::Exactly(0)));
        assert_eq!(status("4xx"), Ok(StatusFilter::Class(4)));
        for bad in ["", "xx", "0xx", "6xx", "99", "600", "4XX", "-1", "403 "] {
            assert!(status(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_api_is_asked_for_what_was_given_and_no_more() {
        let selection = Selection {
            key: Some("a/b".to_owned()),
            status: Some(StatusFilter::Class(5)),
            decision: Some(Decision::Deny),
            ..Selection::default()
        };
        let span = Span { from: Some(Timestamp::from_micros(1)), to: None };
        assert_eq!(selection.path(), "/keys/a%2Fb/activity");
        let expected =
            [("from", "1970-01-01T00:00:00.000001Z"), ("status", "5xx"), ("decision", "deny")];
        assert_eq!(selection.query(span), expected.map(|(name, value)| (name, value.to_owned())));
        let both = Selection { practice: Some("north".to_owned()), ..selection };
        assert_eq!(both.path(), "/activity");
        let query = both.query(Span::default());
        assert_eq!(
            query[..2],
            [("key", "a/b"), ("practice", "north")].map(|(name, value)| (name, value.to_owned()))
        );
        assert_eq!(Selection::default().path(), "/activity");
        assert_eq!(Selection::default().query(Span::default()), []);
    }

    #[test]
    fn a_span_has_its_beginning_and_not_its_end() {
        let [early, late] = [10, 20].map(Timestamp::from_micros);
        let span = Span { from: Some(early), to: Some(late) };
        let held = [9, 10, 19, 20].map(|micros| span.holds(Timestamp::from_micros(micros)));
        assert_eq!(held, [false, true, true, false]);
        assert!(Span::default().holds(early));
    }
}
