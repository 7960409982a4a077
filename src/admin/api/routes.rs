//! The live route map, and what it says of one request.

use serde_json::{Value, json};

use crate::admin::access::Right;
use crate::admin::api::routes::explanation::Explanation;
use crate::admin::endpoint::{Answer, Body, Call, Endpoint, Reply, Verb};
use crate::admin::field::kind::{KEY, VERBATIM};
use crate::admin::field::{Field, Record};
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::config::listing::{Row, needs_json, rows};
use crate::model::KeyId;

mod explanation;

const NEEDS: Out = Out::Map(&Out::Text);

static WHEN: Shape = Shape {
    name: "When",
    fields: &[("if", Out::Text, "`?include=notes`"), ("needs", NEEDS, "What is needed then, too.")],
};
static ROUTE: Shape = Shape {
    name: "Route",
    fields: &[
        ("methods", Out::List(&Out::Text), ""),
        ("pattern", Out::Text, ""),
        ("effect", Out::Choice(&["public", "deny", "guarded", "unmapped"]), ""),
        ("api", Out::Text, ""),
        ("needs", NEEDS, "`{\"patient\":\"read\"}`"),
        ("when", Out::List(&Out::Of(&WHEN)), ""),
        ("websocket", Out::Flag, ""),
        ("max_body", Out::Maybe(&Out::Whole), "Where the route sets its own."),
        ("cost", Out::Whole, "What a request takes from the limits of rates."),
        ("upstream", Out::Text, ""),
        ("file", Out::Text, ""),
        ("line", Out::Whole, ""),
    ],
};
static MAP: Shape =
    Shape { name: "RouteMap", fields: &[("routes", Out::List(&Out::Of(&ROUTE)), "")] };

static RULE: Shape = Shape {
    name: "Rule",
    fields: &[("file", Out::Text, ""), ("line", Out::Whole, ""), ("pattern", Out::Text, "")],
};
static EXPLAINED: Shape = Shape {
    name: "Explanation",
    fields: &[
        ("decision", Out::Choice(&["allow", "deny"]), ""),
        ("code", Out::Text, "The code of the refusal; empty where it would pass."),
        ("rule", Out::Maybe(&Out::Of(&RULE)), "The rule that decides."),
        ("needs", NEEDS, ""),
        (
            "cost",
            Out::Sometimes(&Out::Whole),
            "What it takes from the limits of rates, where that is not 1.",
        ),
        ("upstream", Out::Maybe(&Out::Text), ""),
        ("key", Out::Maybe(&Out::Text), ""),
    ],
};

static METHOD: Field<String> = Field::required("method", &VERBATIM, "In capitals.");
static TARGET: Field<String> =
    Field::required("target", &VERBATIM, "The path, with its query, as a caller would send it.");
static AS_KEY: Field<KeyId> =
    Field::optional("key", &KEY, "The id of a key; without it, a caller without keys is judged.");
static QUESTION: Record = Record { name: "Question", fields: &[&METHOD, &TARGET, &AS_KEY] };

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/routes",
        right: Right::See,
        about: "The route map that decides now, in the order of its files.",
        answer: Answer::Object(&MAP),
        handle: |call| Box::pin(list(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: "/routes/explain",
        right: Right::See,
        about: "Which rule decides a request, what it needs, and what a key would get.",
        body: Body::Json(&QUESTION),
        answer: Answer::Object(&EXPLAINED),
        handle: |call| Box::pin(explain(call)),
        ..Endpoint::USUAL
    },
];

async fn list(call: Call) -> Result<Reply, Problem> {
    let mut routes = Value::Null;
    (call.desk.state.running)(&mut |config, _| {
        routes = rows(config).iter().map(Row::json).collect()
    });
    Ok(Reply::ok(json!({ "routes": routes })))
}

async fn explain(call: Call) -> Result<Reply, Problem> {
    let (method, target) = (call.body.must(&METHOD)?, call.body.must(&TARGET)?);
    let registry = call.desk.registry();
    let key = call.body.get(&AS_KEY);
    if let Some(id) = key {
        let practice =
            registry.read(|records| records.key(id).map(|key| key.value.practice.clone()));
        if !practice.is_some_and(|practice| call.who.sees(&practice)) {
            return Err(Problem::unknown("key", id.as_str()));
        }
    }
    let now = registry.now();
    let mut explained = None;
    (call.desk.state.running)(&mut |config, view| {
        let caller = key.and_then(|id| view.by_key_id(id, now));
        explained = Some(Explanation::of(config, &method, &target, caller));
    });
    let explained = explained.ok_or_else(|| Problem::internal(&"no configuration runs"))?;
    let rule = explained.rule;
    let cost = rule.as_ref().and_then(|rule| rule.cost);
    let rule = rule
        .map(|place| json!({ "file": place.file, "line": place.line, "pattern": place.pattern }));
    let mut body = json!({
        "decision": if explained.code.is_some() { "deny" } else { "allow" },
        "code": explained.code.unwrap_or_default(),
        "rule": rule,
        "needs": needs_json(&explained.needs),
        "upstream": explained.upstream,
        "key": key,
    });
    if let Some(cost) = cost {
        body["cost"] = cost.get().into();
    }
    Ok(Reply::ok(body))
}
