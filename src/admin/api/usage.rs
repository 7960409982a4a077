//! What a key or a practice asked, by day or by hour: always what the records add up to.

use serde_json::{Map, Value, json};

use crate::admin::access::Right;
use crate::admin::endpoint::{Answer, Call, Endpoint, Reply};
use crate::admin::field::kind::past::{MOMENT, STEP};
use crate::admin::field::{Field, Given, Record};
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::history::calendar;
use crate::model::{Tally, Timestamp};
use crate::store::StoreError;
use crate::store::access::{Step, Whose};

const START: (&str, Out, &str) = ("start", Out::Time, "Where the day or hour begins, in UTC.");
const REQUESTS: (&str, Out, &str) = ("requests", Out::Whole, "");
const ERRORS: (&str, Out, &str) = ("errors", Out::Whole, "Answered with 5xx.");
const CLIENT_ERRORS: (&str, Out, &str) =
    ("client_errors", Out::Whole, "Answered with 4xx by the practice system.");
const DENIED: (&str, Out, &str) = ("denied", Out::Whole, "Refused here.");
const RATE: (&str, Out, &str) = ("error_rate", Out::Number, "These three over requests, 0 to 1.");
const P50: (&str, Out, &str) = (
    "p50_ms",
    Out::Maybe(&Out::Number),
    "What half of them took at most, in milliseconds; null where nothing was asked.",
);
const P95: (&str, Out, &str) =
    ("p95_ms", Out::Maybe(&Out::Number), "What 95 in a hundred took at most.");
const BYTES_IN: (&str, Out, &str) = ("bytes_in", Out::Whole, "Of the requests' bodies.");
const BYTES_OUT: (&str, Out, &str) = ("bytes_out", Out::Whole, "Of the answers' bodies.");

static SPAN: Shape = Shape {
    name: "UsageSpan",
    fields: &[START, REQUESTS, ERRORS, CLIENT_ERRORS, DENIED, RATE, P50, P95, BYTES_IN, BYTES_OUT],
};
static TOTAL: Shape = Shape {
    name: "UsageTotal",
    fields: &[REQUESTS, ERRORS, CLIENT_ERRORS, DENIED, RATE, P50, P95, BYTES_IN, BYTES_OUT],
};
static USAGE: Shape = Shape {
    name: "Usage",
    fields: &[
        ("items", Out::List(&Out::Of(&SPAN)), "Every day or hour that was asked for, in order."),
        ("total", Out::Of(&TOTAL), "All of them together."),
    ],
};

static FROM: Field<Timestamp> = Field::kept(
    "from",
    &MOMENT,
    "The first day or hour; 30 days or 48 hours before the end where it is left out.",
);
static TO: Field<Timestamp> =
    Field::kept("to", &MOMENT, "Only what begins before this; now where it is left out.");
static STEPS: Field<Step> = Field::kept("step", &STEP, "By day, which is usual, or by hour.");
static QUERY: Record = Record { name: "UsageQuery", fields: &[&FROM, &TO, &STEPS] };

/// Two years of days, a month of hours: more is for a program, which can ask twice.
const MOST_SPANS: u64 = 800;

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/keys/{key}/usage",
        right: Right::See,
        about: "How much a key asked, and how it went, by day or by hour.",
        query: &QUERY,
        answer: Answer::Object(&USAGE),
        handle: |call| Box::pin(of_key(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/practices/{practice}/usage",
        right: Right::See,
        about: "The same of all keys of a practice.",
        query: &QUERY,
        answer: Answer::Object(&USAGE),
        handle: |call| Box::pin(of_practice(call)),
        ..Endpoint::USUAL
    },
];

/// Looking changes nothing, so an answer that did not come is no more than that.
pub(super) fn unread(error: StoreError) -> Problem {
    match error {
        StoreError::Unknown(why) => StoreError::Unavailable(why).into(),
        error => error.into(),
    }
}

async fn of_key(call: Call) -> Result<Reply, Problem> {
    let whose = Whose::Key(call.key()?.as_str().into());
    show(&call, &whose).await
}

async fn of_practice(call: Call) -> Result<Reply, Problem> {
    let whose = Whose::Practice(call.practice()?.as_str().into());
    show(&call, &whose).await
}

async fn show(call: &Call, whose: &Whose) -> Result<Reply, Problem> {
    let now = call.desk.registry().now();
    let Asked { from, to, step } = Asked::read(&call.query, now)?;
    let found = call.desk.past().usage(whose, from, to, step).await.map_err(unread)?;
    let spans = calendar::filled(found, from, to, step);
    let mut total = Tally::default();
    spans.iter().for_each(|span| total.merge(&span.tally));
    let items = spans.iter().map(|span| {
        let mut item = Map::new();
        item.insert("start".to_owned(), json!(span.start));
        item.extend(counts(&span.tally));
        Value::Object(item)
    });
    let items: Vec<Value> = items.collect();
    Ok(Reply::ok(json!({ "items": items, "total": Value::Object(counts(&total)) })))
}

/// Of which time.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    from: Timestamp,
    to: Timestamp,
    step: Step,
}

impl Asked {
    fn read(given: &Given, now: Timestamp) -> Result<Self, Problem> {
        let step = given.get(&STEPS).unwrap_or(Step::Day);
        // The span of now is one of those that were asked for.
        let to = given.get(&TO).unwrap_or_else(|| calendar::moved(now, 1));
        let usual = match step {
            Step::Day => 30,
            Step::Hour => 48,
        };
        let first = || {
            let last = calendar::start(calendar::moved(to, -1), step);
            calendar::moved(last, -(usual - 1) * calendar::length(step))
        };
        let from = given.get(&FROM).map_or_else(first, |from| calendar::start(from, step));
        let count = calendar::count(from, to, step);
        if count == 0 {
            return Err(Problem::invalid_field("from", "must be before `to`"));
        }
        if count > MOST_SPANS {
            let unit = match step {
                Step::Day => "days",
                Step::Hour => "hours",
            };
            let message = format!("asks for {count} {unit}, and {MOST_SPANS} at once are the most");
            return Err(Problem::invalid_field("from", message));
        }
        Ok(Self { from, to, step })
    }
}

fn counts(tally: &Tally) -> Map<String, Value> {
    let fields = json!({
        "requests": tally.requests,
        "errors": tally.errors,
        "client_errors": tally.client_errors,
        "denied": tally.denied,
        "error_rate": tally.error_rate().unwrap_or(0.0),
        "p50_ms": tally.durations.percentile(50).map(millis),
        "p95_ms": tally.durations.percentile(95).map(millis),
        "bytes_in": tally.bytes_in,
        "bytes_out": tally.bytes_out,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// To the microsecond.
fn millis(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn asked(query: &str) -> Result<(String, String, u64), Vec<(String, String)>> {
        let given = QUERY.read_query(query).map_err(|problem| problem.errors_for_tests())?;
        let asked = Asked::read(&given, at("2026-11-20T14:35:00Z"))
            .map_err(|problem| problem.errors_for_tests())?;
        let Asked { from, to, step } = asked;
        let shown = |at: Timestamp| at.to_string().chars().take(16).collect();
        Ok((shown(from), shown(to), calendar::count(from, to, step)))
    }

    #[test]
    fn what_is_left_out_is_the_last_month_or_two_days() {
        for (query, from, to, count) in [
            ("", "2026-10-22T00:00", "2026-11-20T14:35", 30),
            ("step=hour", "2026-11-18T15:00", "2026-11-20T14:35", 48),
            ("from=2026-11-20T03:00:00Z", "2026-11-20T00:00", "2026-11-20T14:35", 1),
            ("to=2026-11-01", "2026-10-02T00:00", "2026-11-01T00:00", 30),
            ("from=2026-11-01&to=2026-11-03", "2026-11-01T00:00", "2026-11-03T00:00", 2),
            ("from=2026-11-01&to=2026-11-03&step=hour", "2026-11-01T00:00", "2026-11-03T00:00", 48),
        ] {
            assert_eq!(asked(query), Ok((from.to_owned(), to.to_owned(), count)), "{query}");
        }
    }

    #[test]
    fn too_much_and_nothing_at_all_are_refused_by_name() {
        for query in [
            "from=2026-11-20T14:36:00Z&step=hour&to=2026-11-20",
            "from=2026-12-01",
            "from=2026-11-01&to=2026-11-01",
            "from=2001-01-01",
            "from=2026-01-01&step=hour",
            "from=0000-01-01&to=9999-12-30",
        ] {
            let errors = asked(query).unwrap_err();
            assert_eq!(errors.len(), 1, "{query}");
            assert_eq!(errors[0].0, "from", "{query}");
        }
        assert_eq!(asked("step=week").unwrap_err()[0].0, "step");
        assert_eq!(asked("form=2026-11-01").unwrap_err()[0].0, "form");
    }

    #[test]
    fn a_span_in_which_nothing_was_asked_has_no_durations() {
        let counts = counts(&Tally::default());
        assert_eq!((&counts["requests"], &counts["error_rate"]), (&json!(0), &json!(0.0)));
        assert_eq!((&counts["p50_ms"], &counts["p95_ms"]), (&Value::Null, &Value::Null));
    }
}
