//! `/me` and `/session`: who the caller is, and what a browser's changes must carry.

use serde_json::json;

use crate::admin::access::Right;
use crate::admin::endpoint::{Answer, Call, Endpoint, Reply};
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::model::PlainKey;

const ROLES: Out = Out::Choice(&["operator", "practice-admin", "auditor"]);

static ME: Shape = Shape {
    name: "Me",
    fields: &[
        ("username", Out::Text, ""),
        ("role", ROLES, ""),
        ("practice", Out::Maybe(&Out::Text), "Of a practice admin."),
    ],
};

static SESSION: Shape = Shape {
    name: "Session",
    fields: &[
        ("username", Out::Text, ""),
        ("role", ROLES, ""),
        (
            "csrf",
            Out::Maybe(&Out::Text),
            "What a change by session sends as `X-CSRF-Token`; null for a bearer token, which needs none.",
        ),
    ],
};

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/me",
        right: Right::See,
        about: "Who the caller is.",
        answer: Answer::Object(&ME),
        handle: |call| Box::pin(me(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/session",
        right: Right::See,
        about: "Who is signed in, with the CSRF token of the session.",
        answer: Answer::Object(&SESSION),
        handle: |call| Box::pin(session(call)),
        ..Endpoint::USUAL
    },
];

async fn me(call: Call) -> Result<Reply, Problem> {
    let who = &call.who;
    let practice = who.confined_to();
    Ok(Reply::ok(
        json!({ "username": who.username(), "role": who.role.name(), "practice": practice }),
    ))
}

async fn session(call: Call) -> Result<Reply, Problem> {
    let who = &call.who;
    let csrf = who.csrf.as_ref().map(PlainKey::reveal);
    Ok(Reply::ok(json!({ "username": who.username(), "role": who.role.name(), "csrf": csrf })))
}
