//! Staff users of a practice: the owners of its keys.

use serde_json::{Value, json};

use crate::admin::access::Right;
use crate::admin::api::page::{AFTER, LIMIT, Page};
use crate::admin::endpoint::{Answer, Body, Call, Endpoint, Reply, Verb};
use crate::admin::field::kind::{NAME, USERNAME, WORDS};
use crate::admin::field::{Field, Record};
use crate::admin::path::segment;
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::model::{StaffUser, Username};
use crate::registry::operation::practices::{CreateUser, DeleteUser, EditUser};
use crate::registry::records::Kept;

static OBJECT: Shape = Shape {
    name: "User",
    fields: &[
        ("practice", Out::Text, ""),
        ("username", Out::Text, ""),
        ("name", Out::Text, ""),
        ("created_at", Out::Time, ""),
    ],
};

static WANTED: Field<String> =
    Field::kept("q", &WORDS, "Only users whose username or name contains this, in any case.");
static SEARCH: Record = Record { name: "UserSearch", fields: &[&WANTED, &LIMIT, &AFTER] };

static CALLED: Field<Username> =
    Field::required("username", &USERNAME, "Unique within the practice; never changes.");
static NAMED: Field<String> = Field::required("name", &NAME, "The person's name.");
static CREATE: Record = Record { name: "NewUser", fields: &[&CALLED, &NAMED] };
static RENAMED: Field<String> = Field::kept("name", &NAME, "The person's name.");
static EDIT: Record = Record { name: "UserPatch", fields: &[&RENAMED] };

const ALL: &str = "/practices/{practice}/users";
const ONE: &str = "/practices/{practice}/users/{username}";

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: ALL,
        right: Right::See,
        about: "Staff users of a practice by username.",
        query: &SEARCH,
        answer: Answer::Page(&OBJECT),
        handle: |call| Box::pin(list(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: ALL,
        right: Right::Manage,
        about: "Adds a staff user.",
        body: Body::Json(&CREATE),
        answer: Answer::Created(&OBJECT),
        conflicts: &["duplicate"],
        handle: |call| Box::pin(create(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: ONE,
        right: Right::See,
        about: "One staff user.",
        answer: Answer::Object(&OBJECT),
        handle: |call| Box::pin(show(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Patch,
        path: ONE,
        right: Right::Manage,
        about: "Changes a staff user's name.",
        body: Body::Json(&EDIT),
        conditional: true,
        answer: Answer::Object(&OBJECT),
        handle: |call| Box::pin(edit(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Delete,
        path: ONE,
        right: Right::Manage,
        about: "Removes a staff user who owns no key.",
        conditional: true,
        answer: Answer::Nothing,
        conflicts: &["owner_in_use"],
        handle: |call| Box::pin(delete(call)),
        ..Endpoint::USUAL
    },
];

fn object(user: &StaffUser) -> Value {
    let StaffUser { practice, username, name, created_at } = user;
    json!({ "practice": practice, "username": username, "name": name, "created_at": created_at })
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let after = page.after(Username::parse)?;
    let wanted = call.query.get(&WANTED).unwrap_or_default().to_lowercase();
    let fits = |text: &str| text.to_lowercase().contains(&wanted);
    let practice = call.practice()?;
    Ok(call.desk.registry().read(|records| {
        let users = records.users(practice, after.as_ref().map(Username::as_str));
        let found = users.map(|user| &user.value);
        let found = found.filter(|user| fits(user.username.as_str()) || fits(&user.name));
        page.fill(found.map(|user| (user.username.to_string(), object(user))))
    }))
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let practice = call.practice()?.clone();
    let operation =
        CreateUser { practice, username: call.body.must(&CALLED)?, name: call.body.must(&NAMED)? };
    let done = call.execute(operation).await?;
    let StaffUser { practice, username, .. } = &done.output;
    let location = format!("/practices/{practice}/users/{}", segment(username.as_str()));
    Ok(Reply::created(location, object(&done.output)).at(done.position))
}

fn find(call: &Call) -> Result<Kept<StaffUser>, Problem> {
    let (practice, username) = (call.practice()?, call.username()?);
    let found = call.desk.registry().read(|records| records.user(practice, username).cloned());
    found.ok_or_else(|| Problem::unknown("user", username.as_str()))
}

async fn show(call: Call) -> Result<Reply, Problem> {
    let found = find(&call)?;
    Ok(Reply::ok(object(&found.value)).at(found.revision))
}

async fn edit(call: Call) -> Result<Reply, Problem> {
    let operation = EditUser {
        practice: call.practice()?.clone(),
        username: call.username()?.clone(),
        if_match: call.unless_stale(find(&call)?.revision)?,
        name: call.body.get(&RENAMED),
    };
    let done = call.execute(operation).await?;
    let revision = find(&call).map_or(done.position, |user| user.revision);
    Ok(Reply::ok(object(&done.output)).at(revision))
}

async fn delete(call: Call) -> Result<Reply, Problem> {
    let operation = DeleteUser {
        practice: call.practice()?.clone(),
        username: call.username()?.clone(),
        if_match: call.unless_stale(find(&call)?.revision)?,
    };
    call.execute(operation).await?;
    Ok(Reply::nothing())
}
