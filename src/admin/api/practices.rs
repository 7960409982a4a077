//! Practices. An operator makes them; the admins of one may switch its API access and nothing else of it.

use serde_json::{Value, json};

use crate::admin::access::Right;
use crate::admin::api::page::{LIST, Page};
use crate::admin::endpoint::{Answer, Body, Call, Endpoint, Reply, Verb};
use crate::admin::field::kind::{FLAG, NAME, PRACTICE};
use crate::admin::field::{Field, Record};
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::model::{Practice, PracticeId};
use crate::registry::operation::practices::{CreatePractice, EditPractice};

static OBJECT: Shape = Shape {
    name: "Practice",
    fields: &[
        ("id", Out::Text, ""),
        ("name", Out::Text, ""),
        ("region", Out::Maybe(&Out::Text), "One of the configuration's regions."),
        ("api_access", Out::Flag, "Off, none of its keys reaches anything."),
        ("plan", Out::Maybe(&Out::Text), ""),
        ("created_at", Out::Time, ""),
    ],
};

static ID: Field<PracticeId> =
    Field::required("id", &PRACTICE, "The practice's own choice; never changes.");
static NAMED: Field<String> = Field::required("name", &NAME, "What people call it.");
static REGION: Field<String> =
    Field::optional("region", &NAME, "One of the configuration's regions.");
static ACCESS: Field<bool> =
    Field::kept("api_access", &FLAG, "Whether its keys reach anything; true for a new practice.");
static PLAN: Field<String> = Field::optional("plan", &NAME, "For the operator's own use.");
static CREATE: Record =
    Record { name: "NewPractice", fields: &[&ID, &NAMED, &REGION, &ACCESS, &PLAN] };

static RENAMED: Field<String> = Field::kept("name", &NAME, "What people call it.");
static EDIT: Record =
    Record { name: "PracticePatch", fields: &[&RENAMED, &REGION, &ACCESS, &PLAN] };

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/practices",
        right: Right::See,
        about: "Practices by id; a practice admin sees its own.",
        query: &LIST,
        answer: Answer::Page(&OBJECT),
        handle: |call| Box::pin(list(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: "/practices",
        about: "Makes a practice.",
        body: Body::Json(&CREATE),
        answer: Answer::Created(&OBJECT),
        conflicts: &["duplicate"],
        handle: |call| Box::pin(create(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/practices/{practice}",
        right: Right::See,
        about: "One practice.",
        answer: Answer::Object(&OBJECT),
        handle: |call| Box::pin(show(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Patch,
        path: "/practices/{practice}",
        right: Right::Manage,
        about: "Changes a practice. A practice admin may switch `api_access` and nothing else.",
        body: Body::Json(&EDIT),
        conditional: true,
        answer: Answer::Object(&OBJECT),
        handle: |call| Box::pin(edit(call)),
        ..Endpoint::USUAL
    },
];

fn object(practice: &Practice) -> Value {
    let Practice { id, name, region, api_access, plan, created_at } = practice;
    json!({
        "id": id, "name": name, "region": region, "api_access": api_access, "plan": plan,
        "created_at": created_at,
    })
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let after = page.after(PracticeId::parse)?;
    Ok(call.desk.registry().read(|records| {
        let practices = records.practices(after.as_ref().map(PracticeId::as_str));
        let seen = practices.filter(|practice| call.who.sees(&practice.value.id));
        page.fill(seen.map(|practice| (practice.value.id.to_string(), object(&practice.value))))
    }))
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let given = &call.body;
    let operation = CreatePractice {
        id: given.must(&ID)?,
        name: given.must(&NAMED)?,
        region: given.get(&REGION),
        api_access: given.get(&ACCESS).unwrap_or(true),
        plan: given.get(&PLAN),
    };
    let done = call.execute(operation).await?;
    let location = format!("/practices/{}", done.output.id);
    Ok(Reply::created(location, object(&done.output)).at(done.position))
}

async fn show(call: Call) -> Result<Reply, Problem> {
    let id = call.practice()?;
    let found = call.desk.registry().read(|records| records.practice(id).cloned());
    let found = found.ok_or_else(|| Problem::unknown("practice", id.as_str()))?;
    Ok(Reply::ok(object(&found.value)).at(found.revision))
}

async fn edit(call: Call) -> Result<Reply, Problem> {
    let given = &call.body;
    if call.who.confined_to().is_some() && given.names().any(|name| name != "api_access") {
        let detail = "A practice admin may change `api_access` of its practice, and nothing else.";
        return Err(Problem::forbidden(detail));
    }
    let registry = call.desk.registry();
    let id = call.practice()?.clone();
    let revision = registry.read(|records| records.practice(&id).map(|kept| kept.revision));
    let revision = revision.ok_or_else(|| Problem::unknown("practice", id.as_str()))?;
    let operation = EditPractice {
        if_match: call.unless_stale(revision)?,
        name: given.get(&RENAMED),
        region: given.patch(&REGION),
        api_access: given.get(&ACCESS),
        plan: given.patch(&PLAN),
        id: id.clone(),
    };
    let done = call.execute(operation).await?;
    let revision = registry.read(|records| records.practice(&id).map(|kept| kept.revision));
    Ok(Reply::ok(object(&done.output)).at(revision.unwrap_or(done.position)))
}
