//! Administrators and their bearer tokens. A password is made here and shown once; nobody chooses one.

use serde_json::{Value, json};

use crate::admin::access::Right;
use crate::admin::api::page::{LIST, Page};
use crate::admin::endpoint::{Answer, Body, Call, Endpoint, Reply, Verb};
use crate::admin::field::kind::{FLAG, NAME, PRACTICE, ROLE, RoleName, TIME, USERNAME};
use crate::admin::field::{Field, Given, Record};
use crate::admin::path::segment;
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::model::{
    AdminToken, Administrator, PlainKey, PracticeId, Role, SecretHash, Timestamp, Username,
};
use crate::registry::operation::administrators::{
    CreateAdmin, DeleteAdmin, EditAdmin, IssueToken, RevokeToken,
};
use crate::registry::records::Kept;
use crate::vault::{self, Purpose, VaultError};

const ROLES: Out = Out::Choice(&["operator", "practice-admin", "auditor"]);
const OF_ADMIN: &str = "Of a practice admin.";

static OBJECT: Shape = Shape {
    name: "Admin",
    fields: &[
        ("username", Out::Text, ""),
        ("role", ROLES, ""),
        ("practice", Out::Maybe(&Out::Text), OF_ADMIN),
        ("created_at", Out::Time, ""),
        ("password", Out::Sometimes(&Out::Text), "Where one was made; this once."),
    ],
};
static TOKEN: Shape = Shape {
    name: "Token",
    fields: &[
        ("id", Out::Text, ""),
        ("name", Out::Text, ""),
        ("created_at", Out::Time, ""),
        ("expires_at", Out::Maybe(&Out::Time), ""),
        ("token", Out::Sometimes(&Out::Text), "The secret, in the answer that makes it."),
    ],
};

static CALLED: Field<Username> = Field::required("username", &USERNAME, "Never changes.");
static HAS_ROLE: Field<RoleName> = Field::required("role", &ROLE, "What it may do.");
static OF: Field<PracticeId> =
    Field::optional("practice", &PRACTICE, "For a practice admin: which one.");
static CREATE: Record = Record { name: "NewAdmin", fields: &[&CALLED, &HAS_ROLE, &OF] };
static NEW_ROLE: Field<RoleName> = Field::kept("role", &ROLE, "What it may do from now on.");
static RESET: Field<bool> =
    Field::kept("reset_password", &FLAG, "True: a new password is made, and shown in the answer.");
static EDIT: Record = Record { name: "AdminPatch", fields: &[&NEW_ROLE, &OF, &RESET] };
static TITLE: Field<String> = Field::required("name", &NAME, "What the token is for.");
static ENDS: Field<Timestamp> = Field::optional("expires_at", &TIME, "Its end.");
static ISSUE: Record = Record { name: "NewToken", fields: &[&TITLE, &ENDS] };

const ONE: &str = "/admins/{username}";
const TOKENS: &str = "/admins/{username}/tokens";

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/admins",
        right: Right::SeeAll,
        about: "Administrators by username.",
        query: &LIST,
        answer: Answer::Page(&OBJECT),
        handle: |call| Box::pin(list(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: "/admins",
        about: "Makes an administrator, with a password that is shown once.",
        body: Body::Json(&CREATE),
        answer: Answer::Created(&OBJECT),
        conflicts: &["duplicate"],
        handle: |call| Box::pin(create(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: ONE,
        right: Right::SeeAll,
        about: "One administrator.",
        answer: Answer::Object(&OBJECT),
        handle: |call| Box::pin(show(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Patch,
        path: ONE,
        about: "Changes a role or makes a new password; sessions end.",
        body: Body::Json(&EDIT),
        conditional: true,
        answer: Answer::Object(&OBJECT),
        conflicts: &["last_operator"],
        handle: |call| Box::pin(edit(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Delete,
        path: ONE,
        about: "Removes an administrator with all tokens and sessions.",
        conditional: true,
        answer: Answer::Nothing,
        conflicts: &["last_operator"],
        handle: |call| Box::pin(delete(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: TOKENS,
        right: Right::SeeAll,
        about: "The tokens of an administrator.",
        query: &LIST,
        answer: Answer::Page(&TOKEN),
        handle: |call| Box::pin(list_tokens(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Post,
        path: TOKENS,
        about: "Makes a bearer token for an administrator.",
        body: Body::Json(&ISSUE),
        answer: Answer::Created(&TOKEN),
        handle: |call| Box::pin(issue(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        verb: Verb::Delete,
        path: "/admins/{username}/tokens/{token}",
        about: "Revokes a bearer token.",
        answer: Answer::Nothing,
        handle: |call| Box::pin(revoke(call)),
        ..Endpoint::USUAL
    },
];

fn object(admin: &Administrator) -> Value {
    let Administrator { username, role, created_at, password: _, epoch: _ } = admin;
    json!({
        "username": username, "role": role.name(), "practice": role.practice(),
        "created_at": created_at,
    })
}

fn token_object(token: &AdminToken) -> Value {
    let AdminToken { id, name, created_at, expires_at, username: _, digest: _ } = token;
    json!({ "id": id, "name": name, "created_at": created_at, "expires_at": expires_at })
}

/// With a secret that is shown this once.
fn with(mut object: Value, field: &str, secret: Option<&PlainKey>) -> Value {
    if let (Some(object), Some(secret)) = (object.as_object_mut(), secret) {
        object.insert(field.to_owned(), Value::from(secret.reveal()));
    }
    object
}

fn role(name: RoleName, practice: Option<PracticeId>) -> Result<Role, Problem> {
    match (name, practice) {
        (RoleName::PracticeAdmin, Some(practice)) => Ok(Role::PracticeAdmin(practice)),
        (RoleName::PracticeAdmin, None) => {
            Err(Problem::invalid_field("practice", "is required for a practice admin"))
        }
        (RoleName::Operator | RoleName::Auditor, Some(_)) => {
            Err(Problem::invalid_field("practice", "is for practice admins alone"))
        }
        (RoleName::Operator, None) => Ok(Role::Operator),
        (RoleName::Auditor, None) => Ok(Role::Auditor),
    }
}

/// The role after an edit; none where neither it nor its practice is given.
fn new_role(given: &Given, current: &Role) -> Result<Option<Role>, Problem> {
    let practice = given.get(&OF);
    match given.get(&NEW_ROLE) {
        Some(name) => {
            let own = current.practice().filter(|_| name == RoleName::PracticeAdmin).cloned();
            role(name, practice.or(own)).map(Some)
        }
        None if practice.is_none() => Ok(None),
        None if current.practice().is_some() => role(RoleName::PracticeAdmin, practice).map(Some),
        None => Err(Problem::invalid_field("practice", "is for practice admins alone")),
    }
}

async fn make_password(call: &Call) -> Result<(PlainKey, SecretHash), Problem> {
    let made = call.desk.passwords.work(|| {
        let password = vault::make_password()?;
        let hash = vault::hash_password(&password)?;
        Ok::<_, VaultError>((password, hash))
    });
    Ok(made.await??)
}

fn find(call: &Call) -> Result<Kept<Administrator>, Problem> {
    let username = call.username()?;
    let found = call.desk.registry().read(|records| records.admin(username).cloned());
    found.ok_or_else(|| Problem::unknown("administrator", username.as_str()))
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let after = page.after(Username::parse)?;
    Ok(call.desk.registry().read(|records| {
        let admins = records.admins(after.as_ref().map(Username::as_str)).map(|kept| &kept.value);
        page.fill(admins.map(|admin| (admin.username.to_string(), object(admin))))
    }))
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let username = call.body.must(&CALLED)?;
    let role = role(call.body.must(&HAS_ROLE)?, call.body.get(&OF))?;
    let (plain, password) = make_password(&call).await?;
    let operation = CreateAdmin { username, role, password };
    let done = call.execute(operation).await?;
    let location = format!("/admins/{}", segment(done.output.username.as_str()));
    let body = with(object(&done.output), "password", Some(&plain));
    Ok(Reply::created(location, body).at(done.position))
}

async fn show(call: Call) -> Result<Reply, Problem> {
    let found = find(&call)?;
    Ok(Reply::ok(object(&found.value)).at(found.revision))
}

async fn edit(call: Call) -> Result<Reply, Problem> {
    let found = find(&call)?;
    let if_match = call.unless_stale(found.revision)?;
    let role = new_role(&call.body, &found.value.role)?;
    let is_reset = call.body.get(&RESET).unwrap_or(false);
    let made = if is_reset { Some(make_password(&call).await?) } else { None };
    let (plain, password) = made.unzip();
    let username = found.value.username.clone();
    let operation = EditAdmin { username, if_match, role, password };
    let done = call.execute(operation).await?;
    let revision = find(&call).map_or(done.position, |admin| admin.revision);
    Ok(Reply::ok(with(object(&done.output), "password", plain.as_ref())).at(revision))
}

async fn delete(call: Call) -> Result<Reply, Problem> {
    let found = find(&call)?;
    let if_match = call.unless_stale(found.revision)?;
    let operation = DeleteAdmin { username: found.value.username.clone(), if_match };
    call.execute(operation).await?;
    Ok(Reply::nothing())
}

async fn list_tokens(call: Call) -> Result<Reply, Problem> {
    let page = Page::of(&call);
    let username = find(&call)?.value.username.clone();
    let mut tokens: Vec<_> = call
        .desk
        .registry()
        .read(|records| records.tokens_of(&username).map(|token| token.value.clone()).collect());
    tokens.sort_by_key(|token| token.id);
    let is_later =
        |token: &AdminToken| page.after.as_deref().is_none_or(|after| token.id.as_str() > after);
    let later = tokens.iter().filter(|token| is_later(token));
    Ok(page.fill(later.map(|token| (token.id.to_string(), token_object(token)))))
}

async fn issue(call: Call) -> Result<Reply, Problem> {
    let username = find(&call)?.value.username.clone();
    let registry = call.desk.registry();
    let (id, plain, digest) = registry.vault().mint_token(Purpose::AdminToken)?;
    let location = format!("/admins/{}/tokens/{id}", segment(username.as_str()));
    let expires_at = call.body.get(&ENDS);
    let operation = IssueToken { username, id, name: call.body.must(&TITLE)?, digest, expires_at };
    let done = call.execute(operation).await?;
    let body = with(token_object(&done.output), "token", Some(&plain));
    Ok(Reply::created(location, body))
}

async fn revoke(call: Call) -> Result<Reply, Problem> {
    let username = find(&call)?.value.username.clone();
    let operation = RevokeToken { username, id: call.token()? };
    call.execute(operation).await?;
    Ok(Reply::nothing())
}
