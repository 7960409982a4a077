//! What the admins of a practice should look at, computed when it is asked for, and who took note of it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::admin::access::Right;
use crate::admin::api::page::{LIST, Page, bad_cursor};
use crate::admin::api::usage::unread;
use crate::admin::endpoint::{Answer, Call, Endpoint, Reply, Verb};
use crate::admin::field::kind;
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::history::alerts::{self, Alert, AlertId, Watched};
use crate::history::watch;
use crate::model::{KeyId, Misnamed, SubscriberKey, Timestamp};
use crate::store::access::Acknowledged;

static ACKNOWLEDGED: Shape =
    Shape { name: "Acknowledged", fields: &[("by", Out::Text, ""), ("at", Out::Time, "")] };
static ALERT: Shape = Shape {
    name: "Alert",
    fields: &[
        ("id", Out::Text, "The same for as long as the episode lasts."),
        (
            "kind",
            Out::Choice(&[
                "missing_permission",
                "error_burst",
                "spike",
                "silence",
                "expiry_near",
                "rotation_due",
                "never_used",
            ]),
            "",
        ),
        ("severity", Out::Choice(&["critical", "warning", "info"]), ""),
        ("key", Out::Text, "The id of the key that it is about."),
        ("key_name", Out::Text, ""),
        ("since", Out::Time, ""),
        ("sentence", Out::Text, "What is the matter, for people."),
        ("requests", Out::Sometimes(&Out::Whole), ""),
        ("usual_requests", Out::Sometimes(&Out::Whole), ""),
        ("error_rate", Out::Sometimes(&Out::Number), "0 to 1."),
        ("usual_error_rate", Out::Sometimes(&Out::Number), ""),
        ("refused", Out::Sometimes(&Out::Whole), "How often."),
        (
            "missing",
            Out::Sometimes(&Out::Map(&Out::Choice(&["read", "write", "write-only"]))),
            "The permissions that would have to be granted.",
        ),
        ("due_at", Out::Sometimes(&Out::Time), "When the key ends, or was to be rotated."),
        (
            "acknowledged",
            Out::Maybe(&Out::Of(&ACKNOWLEDGED)),
            "Who took note of it, and when; null while nobody did.",
        ),
    ],
};

/// How many keys are looked at for one page.
const KEYS: usize = 200;

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/practices/{practice}/alerts",
        right: Right::See,
        about: "What should be looked at, key by key. A page may have few alerts, even none, and still go on.",
        query: &LIST,
        answer: Answer::Page(&ALERT),
        handle: |call| Box::pin(list(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: "/practices/{practice}/alerts/{alert}/acknowledge",
        right: Right::Manage,
        about: "Takes note of an alert for as long as its episode lasts; the first to do so is kept.",
        answer: Answer::Object(&ALERT),
        handle: |call| Box::pin(acknowledge(call)),
        ..Endpoint::USUAL
    },
];

/// Where a page ended: after all alerts of a key, or after one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Key(KeyId),
    Alert(AlertId),
}

impl Place {
    fn parse(text: &str) -> Result<Self, Misnamed> {
        KeyId::parse(text).map(Self::Key).or_else(|_| AlertId::parse(text).map(Self::Alert))
    }

    fn key(self) -> KeyId {
        match self {
            Self::Key(key) => key,
            Self::Alert(alert) => alert.key,
        }
    }
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let place = page.after(Place::parse)?;
    let mut keys = live_keys(&call, place)?;
    let is_cut = keys.len() > KEYS;
    keys.truncate(KEYS);
    let now = call.desk.registry().now();
    let mut found = look(&call, &keys, now).await?;
    if let Some(Place::Alert(last)) = place {
        let is_behind =
            |id: &AlertId| id.key != last.key || (id.kind, id.episode) > (last.kind, last.episode);
        found.retain(|(_, alert)| is_behind(&alert.id));
    }
    let next = if found.len() > page.size {
        found.truncate(page.size);
        found.last().map(|(_, alert)| alert.id.to_string())
    } else {
        keys.last().filter(|_| is_cut).map(|key| key.id.to_string())
    };
    let ids: Vec<Box<str>> = found.iter().map(|(_, alert)| alert.id.to_string().into()).collect();
    let noted = noted(&call, &ids).await?;
    let items = found.iter().zip(&ids).map(|((key, alert), id)| {
        object(key, alert, noted.iter().find(|noted| noted.alert == *id))
    });
    let items: Vec<Value> = items.collect();
    Ok(Reply::ok(json!({ "items": items, "next": next.map(|next| kind::cursor(&next)) })))
}

/// The keys of the practice from a place on that have not ended, one more than are looked at.
fn live_keys(call: &Call, place: Option<Place>) -> Result<Vec<Arc<SubscriberKey>>, Problem> {
    let registry = call.desk.registry();
    let practice = call.practice()?;
    let (now, terms) = (registry.now(), registry.terms());
    let is_live = |key: &Arc<SubscriberKey>| {
        let has_ended = key.ends_at(&terms.lifetimes).is_some_and(|end| end <= now);
        key.enabled && key.revoked_at.is_none() && !has_ended
    };
    registry.read(|records| {
        let after = place.map(Place::key);
        let last = after.map(|after| records.key(after).map(|key| key.value));
        let last = match last {
            None => None,
            Some(Some(key)) if key.practice == *practice => Some(key),
            Some(_) => return Err(bad_cursor()),
        };
        // There may be more of the key that the page before ended in.
        let unfinished = last.filter(|_| matches!(place, Some(Place::Alert(_))));
        let rest = records.keys(practice, after).map(|key| key.value);
        Ok(unfinished.into_iter().chain(rest).filter(is_live).take(KEYS + 1).collect())
    })
}

/// All alerts of these keys, in their order.
async fn look<'k>(
    call: &Call,
    keys: &'k [Arc<SubscriberKey>],
    now: Timestamp,
) -> Result<Vec<(&'k SubscriberKey, Alert)>, Problem> {
    let registry = call.desk.registry();
    let terms = registry.terms();
    let ids: Vec<KeyId> = keys.iter().map(|key| key.id).collect();
    let evidence = watch::evidence(call.desk.past(), &ids, now).await.map_err(unread)?;
    let of_key = |(key, evidence): (&'k Arc<SubscriberKey>, _)| {
        let last_used = registry.last_used(key.id);
        let watched = Watched { key, last_used, lifetimes: &terms.lifetimes, evidence, now };
        alerts::of(&watched).into_iter().map(move |alert| (&**key, alert))
    };
    Ok(keys.iter().zip(&evidence).flat_map(of_key).collect())
}

async fn noted(call: &Call, ids: &[Box<str>]) -> Result<Vec<Acknowledged>, Problem> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    call.desk.past().acknowledged(ids).await.map_err(unread)
}

async fn acknowledge(call: Call) -> Result<Reply, Problem> {
    let (id, practice) = (call.alert()?, call.practice()?);
    let written: Box<str> = id.to_string().into();
    let unknown = || Problem::unknown("alert", &written);
    let registry = call.desk.registry();
    let key = registry.read(|records| records.key(id.key).map(|key| key.value));
    let key = key.filter(|key| key.practice == *practice).ok_or_else(unknown)?;
    let now = registry.now();
    let found = look(&call, std::slice::from_ref(&key), now).await?;
    let (_, alert) = found.into_iter().find(|(_, alert)| alert.id == id).ok_or_else(unknown)?;
    let ids = [written.clone()];
    let by = call.who.username().as_str().into();
    call.desk.past().acknowledge(Acknowledged { alert: written, by, at: now }).await?;
    // Somebody else may have been first.
    let noted = noted(&call, &ids).await?;
    Ok(Reply::ok(object(&key, &alert, noted.first())))
}

fn object(key: &SubscriberKey, alert: &Alert, noted: Option<&Acknowledged>) -> Value {
    let Alert { id, since, severity, sentence, figures } = alert;
    let mut object = Map::new();
    let mut say = |name: &str, value: Value| object.insert(name.to_owned(), value);
    say("id", json!(id.to_string()));
    say("kind", json!(id.kind.name()));
    say("severity", json!(severity.name()));
    say("key", json!(key.id));
    say("key_name", json!(key.name));
    say("since", json!(since));
    say("sentence", json!(sentence));
    for (name, number) in [
        ("requests", figures.requests),
        ("usual_requests", figures.usual_requests),
        ("refused", figures.refused),
    ] {
        number.map(|number| say(name, json!(number)));
    }
    for (name, rate) in
        [("error_rate", figures.error_rate), ("usual_error_rate", figures.usual_error_rate)]
    {
        rate.map(|rate| say(name, json!(rate)));
    }
    if !figures.missing.is_empty() {
        let missing = figures.missing.iter();
        let missing =
            missing.map(|(scope, access)| (scope.to_string(), json!(access.permission())));
        say("missing", Value::Object(missing.collect()));
    }
    figures.due_at.map(|due| say("due_at", json!(due)));
    say("acknowledged", json!(noted.map(|noted| json!({ "by": noted.by, "at": noted.at }))));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use crate::history::alerts::{Kind, Severity};

    use super::*;

    #[test]
    fn the_choices_are_those_of_the_kinds_and_severities() {
        let choices = |name: &str| {
            let found = ALERT.fields.iter().find(|(field, ..)| *field == name).unwrap();
            let Out::Choice(words) = found.1 else { panic!("{name} is no choice") };
            words.to_vec()
        };
        assert_eq!(choices("kind"), Kind::ALL.map(Kind::name));
        assert_eq!(choices("severity"), Severity::ALL.map(Severity::name));
    }

    #[test]
    fn a_place_is_a_key_or_an_alert_of_one() {
        let key = KeyId::parse("4fJ2aB9xQ7Lm").unwrap();
        assert_eq!(Place::parse("4fJ2aB9xQ7Lm").unwrap(), Place::Key(key));
        for id in ["silence:4fJ2aB9xQ7Lm:2026-11-20", "spike:4fJ2aB9xQ7Lm:2026-11-20T09"] {
            assert_eq!(Place::parse(id).unwrap().key(), key, "{id}");
        }
        for bad in ["", "4fJ2aB9xQ7L", "spike:4fJ2aB9xQ7Lm", "spike:4fJ2aB9xQ7Lm:x"] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }
}
