//! `/import` and `/export`: everything as lines of JSON.

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::admin::access::Right;
use crate::admin::endpoint::{Answer, Body, Call, Endpoint, Reply, Verb};
use crate::admin::problem::Problem;
use crate::admin::shape::{Out, Shape};
use crate::registry::operation::export;
use crate::registry::operation::import::{Import, Imported, LineFault};

static MADE: Shape = Shape {
    name: "Imported",
    fields: &[
        ("line", Out::Whole, "Of the import, from 1."),
        ("kind", Out::Text, ""),
        ("id", Out::Text, ""),
        ("name", Out::Maybe(&Out::Text), ""),
        ("key_id", Out::Maybe(&Out::Text), "Of a key."),
        ("key", Out::Sometimes(&Out::Text), "The secret of a key that was made here, this once."),
    ],
};
static ALL: Shape = Shape {
    name: "ImportResult",
    fields: &[("imported", Out::List(&Out::Of(&MADE)), "In the order of the lines.")],
};

pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        verb: Verb::Post,
        path: "/import",
        about: "Takes practices, users, vendors and keys from lines of JSON: all of them or none.",
        body: Body::Lines,
        answer: Answer::Created(&ALL),
        handle: |call| Box::pin(import(call)),
        ..Endpoint::USUAL
    },
    Endpoint {
        path: "/export",
        right: Right::SeeAll,
        about: "All of it as lines that an import takes, without secrets.",
        answer: Answer::Lines,
        handle: |call| Box::pin(export(call)),
        ..Endpoint::USUAL
    },
];

fn refused(faults: &[LineFault]) -> Problem {
    let error = |fault: &LineFault| json!({ "line": fault.line, "message": fault.message });
    Problem::faulty_lines(faults.iter().map(error).collect())
}

async fn import(call: Call) -> Result<Reply, Problem> {
    let registry = call.desk.registry();
    let (vault, terms, text) = (registry.vault().clone(), registry.terms(), call.lines.clone());
    let read = spawn_blocking(move || Import::read(&text, &terms, &vault, &mut |_, _| ())).await;
    let import = read.map_err(|broken| Problem::internal(&broken))?;
    let import = import.map_err(|faults| refused(&faults))?;
    let done = call.execute(import).await?;
    let made = done.output.map_err(|faults| refused(&faults))?;
    let imported: Vec<Value> = made.iter().map(object).collect();
    Ok(Reply::created("/export".to_owned(), json!({ "imported": imported })))
}

fn object(made: &Imported) -> Value {
    let Imported { line, kind, id, name, key_id, plain } = made;
    let mut object =
        json!({ "line": line, "kind": kind, "id": id, "name": name, "key_id": key_id });
    if let (Some(plain), Some(object)) = (plain, object.as_object_mut()) {
        object.insert("key".to_owned(), Value::from(plain.reveal()));
    }
    object
}

async fn export(call: Call) -> Result<Reply, Problem> {
    let registry = call.desk.registry();
    let (terms, now) = (registry.terms(), registry.now());
    let mut text = String::new();
    for line in registry.read(|records| export::lines(records, &terms, now)) {
        text += &line;
        text.push('\n');
    }
    Ok(Reply::lines(text))
}
