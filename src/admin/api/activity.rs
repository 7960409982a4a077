//! Access records, newest first: those of one key for whoever sees the key; all, strangers' too, for operators and
//! auditors. As pages of JSON, or as CSV for a spreadsheet.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::admin::access::Right;
use crate::admin::api::activity::wanted::wants_csv;
use crate::admin::api::page::{AFTER, bad_cursor};
use crate::admin::api::usage::unread;
use crate::admin::endpoint::{Answer, Call, Endpoint, Reply};
use crate::admin::field::kind::past::{
    DECISION, LINES, MOMENT, MOST_LINES, SCOPE, STATUSES, WRITTEN, Written,
};
use crate::admin::field::kind::{self, KEY, PRACTICE, VENDOR};
use crate::admin::field::{Field, Record, form};
use crate::admin::path::segment;
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::history::{calendar, csv};
use crate::model::{AccessRecord, Decision, KeyId, PracticeId, Timestamp, VendorId};
use crate::store::access::{self, ActivityQuery, Cursor, Filter, StatusFilter, Whose};

mod wanted;

static RECORD: Shape = Shape {
    name: "AccessRecord",
    fields: &[
        ("id", Out::Text, ""),
        ("ts", Out::Time, "When it was decided about."),
        ("node", Out::Text, "Which gateway served it."),
        ("request_id", Out::Text, "The `X-Request-Id` of the answer."),
        ("practice", Out::Text, "Empty for a stranger, as is what follows of it."),
        ("key", Out::Text, ""),
        ("vendor", Out::Text, ""),
        ("owner", Out::Text, ""),
        ("api", Out::Text, ""),
        ("method", Out::Text, ""),
        ("route", Out::Text, "The pattern of the rule that decided."),
        ("path", Out::Text, "The same, or the path as called where `log.path` is `full`."),
        ("category", Out::Text, "The scopes that were needed, with spaces."),
        ("access", Out::Text, "What was needed on them."),
        ("decision", Out::Choice(&["allow", "deny", "observe"]), ""),
        ("code", Out::Text, "Why it was refused, or what went wrong; else empty."),
        ("status", Out::Whole, "0 where nothing was answered."),
        ("bytes_in", Out::Whole, ""),
        ("bytes_out", Out::Whole, ""),
        ("duration_us", Out::Whole, ""),
        ("upstream_us", Out::Maybe(&Out::Whole), ""),
        ("ip", Out::Text, ""),
        ("user_agent", Out::Text, ""),
        (
            "count",
            Out::Sometimes(&Out::Whole),
            "How many requests it stands for, where refusals of a stranger were summed.",
        ),
    ],
};

static FROM: Field<Timestamp> = Field::kept("from", &MOMENT, "Only records at or after this.");
static TO: Field<Timestamp> = Field::kept("to", &MOMENT, "Only records before this.");
static STATUS: Field<StatusFilter> =
    Field::kept("status", &STATUSES, "Only with this status, such as 403, or class, such as 4xx.");
static CATEGORY: Field<String> =
    Field::kept("category", &SCOPE, "Only what needed this category, or this scope.");
static BY: Field<VendorId> = Field::kept("vendor", &VENDOR, "Only what this vendor asked.");
static DECIDED: Field<Decision> =
    Field::kept("decision", &DECISION, "Only what was decided like this.");
static LIMIT: Field<usize> = Field::kept(
    "limit",
    &LINES,
    "How many records at most: of JSON 50, and not more than 200; of CSV 10000.",
);
static FORMAT: Field<Written> =
    Field::kept("format", &WRITTEN, "The same as `Accept`, for a browser's address bar.");
static OF_PRACTICE: Field<PracticeId> =
    Field::kept("practice", &PRACTICE, "Only of this practice's keys.");
static OF_KEY: Field<KeyId> = Field::kept("key", &KEY, "Only of this key.");

static QUERY: Record = Record {
    name: "ActivityQuery",
    fields: &[&FROM, &TO, &STATUS, &CATEGORY, &BY, &DECIDED, &FORMAT, &LIMIT, &AFTER],
};
static WIDE_QUERY: Record = Record {
    name: "WideActivityQuery",
    fields: &[
        &OF_PRACTICE,
        &OF_KEY,
        &FROM,
        &TO,
        &STATUS,
        &CATEGORY,
        &BY,
        &DECIDED,
        &FORMAT,
        &LIMIT,
        &AFTER,
    ],
};

/// A page of JSON where no limit is given, and the longest.
const USUAL: usize = 50;
const MOST: usize = 200;
/// The store looks at so many records at once.
const CHUNK: usize = 1_000;
/// How long the store is asked on for one answer: what it looks at in one go is bounded, and a filter may leave little of
/// it. A page that is not full by then says where to go on.
const FOR_A_PAGE: Duration = Duration::from_millis(200);
const FOR_A_SHEET: Duration = Duration::from_secs(5);

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/keys/{key}/activity",
        right: Right::See,
        about: "What was asked with a key, newest first. `Accept: text/csv` gets CSV, which goes on where `Link` says.",
        query: &QUERY,
        answer: Answer::Sheet(&RECORD),
        handle: |call| Box::pin(of_key(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/activity",
        right: Right::SeeAll,
        about: "What was asked of the gateway, newest first, by strangers too.",
        query: &WIDE_QUERY,
        answer: Answer::Sheet(&RECORD),
        handle: |call| Box::pin(of_all(call)),
        ..Endpoint::USUAL
    },
];

async fn of_key(call: Call) -> Result<Reply, Problem> {
    let key = call.key()?;
    show(&call, Whose::Key(key.as_str().into()), key.as_str()).await
}

async fn of_all(call: Call) -> Result<Reply, Problem> {
    let practice = call.query.get(&OF_PRACTICE);
    let Some(key) = call.query.get(&OF_KEY) else {
        let whose = practice.map(|practice| Whose::Practice(practice.as_str().into()));
        return show(&call, whose.unwrap_or(Whose::Everybody), "all").await;
    };
    let owner =
        call.desk.registry().read(|records| records.key(key).map(|key| key.value.practice.clone()));
    if practice.is_some() && practice != owner {
        return Err(Problem::invalid_field("key", "is not of this practice"));
    }
    show(&call, Whose::Key(key.as_str().into()), key.as_str()).await
}

async fn show(call: &Call, whose: Whose, named: &str) -> Result<Reply, Problem> {
    let given = &call.query;
    let is_csv = match given.get(&FORMAT) {
        Some(written) => written == Written::Csv,
        None => wants_csv(&call.accept),
    };
    let limit = given.get(&LIMIT).unwrap_or(if is_csv { MOST_LINES } else { USUAL });
    if !is_csv && limit > MOST {
        let message = format!("must be a whole number from 1 to {MOST} unless CSV is asked for");
        return Err(Problem::invalid_field("limit", message));
    }
    let (from, to) = (given.get(&FROM), given.get(&TO));
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(Problem::invalid_field("from", "must be before `to`"));
    }
    let after = given.get(&AFTER).map(|text| Cursor::parse(&text).ok_or_else(bad_cursor));
    let query = ActivityQuery {
        whose,
        from,
        to,
        filter: Filter {
            status: given.get(&STATUS),
            category: given.get(&CATEGORY).map(Into::into),
            vendor: given.get(&BY).map(|vendor| vendor.as_str().into()),
            decision: given.get(&DECIDED),
        },
        after: after.transpose()?,
        limit,
    };
    let found = gather(call, query, if is_csv { FOR_A_SHEET } else { FOR_A_PAGE }).await?;
    let next = found.next.map(|next| kind::cursor(&next.to_string()));
    if is_csv {
        Ok(sheet(call, &found.records, next.as_deref(), named))
    } else {
        page(&found.records, next.as_deref())
    }
}

/// Asks until there are as many as were wanted, the end is reached, or it has taken long enough.
async fn gather(
    call: &Call,
    mut query: ActivityQuery,
    patience: Duration,
) -> Result<access::Page, Problem> {
    let (wanted, begun) = (query.limit, Instant::now());
    let mut found = access::Page::default();
    loop {
        query.limit = wanted.saturating_sub(found.records.len()).min(CHUNK);
        let page = call.desk.past().page(&query).await.map_err(unread)?;
        found.records.extend(page.records);
        found.next = page.next;
        query.after = page.next;
        let is_enough = found.records.len() >= wanted || begun.elapsed() >= patience;
        if page.next.is_none() || is_enough {
            return Ok(found);
        }
    }
}

fn page(records: &[AccessRecord<'_>], next: Option<&str>) -> Result<Reply, Problem> {
    let items: Result<Vec<Value>, _> = records.iter().map(serde_json::to_value).collect();
    let items = items.map_err(|broken| Problem::internal(&broken))?;
    Ok(Reply::ok(json!({ "items": items, "next": next })))
}

fn sheet(call: &Call, records: &[AccessRecord<'_>], next: Option<&str>, named: &str) -> Reply {
    let mut text = csv::header();
    records.iter().for_each(|record| csv::record(&mut text, record));
    let today = calendar::date(call.desk.registry().now());
    let file = format!("activity-{named}-{today}.csv");
    Reply::csv(text, file, next.map(|next| onward(call, next)))
}

/// The same question again, from there on.
fn onward(call: &Call, cursor: &str) -> String {
    let query = call.uri.query().unwrap_or_default();
    let kept = form(query).filter(|(name, _)| name != "cursor" && name != "format");
    let always = [("format", "csv"), ("cursor", cursor)];
    let always = always.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let pairs = kept.chain(always).map(|(name, text)| format!("{name}={}", segment(&text)));
    format!("{}?{}", call.uri.path(), pairs.collect::<Vec<_>>().join("&"))
}
