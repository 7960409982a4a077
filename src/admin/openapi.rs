//! `/api/v1/openapi.json`: OpenAPI 3.1, made of the very tables that routes, rights and readers go by.
//!
//! `x-postern-roles` says whose an operation is.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::admin::api::{self, ROOT};
use crate::admin::endpoint::{Answer, Body, CSV, Endpoint, LINES, Verb};
use crate::admin::field::AnyField;
use crate::admin::field::Presence;
use crate::admin::shape::Shape;
use crate::admin::sign_in::Cookie;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{}\n", document()));

pub(super) async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

pub(super) fn document() -> Value {
    let mut paths = Map::new();
    let mut shapes: Vec<&'static Shape> = Vec::new();
    let mut bodies = Map::new();
    for endpoint in api::endpoints() {
        let path = paths.entry(format!("{ROOT}{}", endpoint.path)).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.verb.name().to_owned(), operation(endpoint));
        }
        endpoint.answer.shape().into_iter().for_each(|shape| shape.gather(&mut shapes));
        if let Body::Json(record) | Body::MayBe(record) = endpoint.body {
            bodies.insert(record.name.to_owned(), record.schema());
        }
    }
    paths.insert(format!("{ROOT}/openapi.json"), json!({ "get": itself() }));
    let mut schemas: Map<String, Value> =
        shapes.iter().map(|shape| (shape.name.to_owned(), shape.schema())).collect();
    schemas.extend(bodies);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postern admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Practices, vendors, keys and administrators. Errors are problem+json (RFC 9457) with a `code`. \
                            Times are RFC 3339; answers give UTC with microseconds.",
        },
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": Cookie::Session.name(false),
                    "description": "`__Host-postern_session` under TLS; changes also send `X-CSRF-Token`.",
                },
            },
        },
    })
}

fn itself() -> Value {
    json!({
        "summary": "This document.",
        "operationId": "get_openapi_json",
        "security": [],
        "x-postern-roles": [],
        "responses": {
            "200": {
                "description": "OpenAPI 3.1.",
                "content": { "application/json": { "schema": { "type": "object" } } },
            },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "summary": endpoint.about,
        "operationId": operation_id(endpoint),
        "x-postern-roles": endpoint.right.roles(),
        "parameters": parameters(endpoint),
        "responses": responses(endpoint),
    });
    if let (Some(body), Some(operation)) = (request_body(endpoint), operation.as_object_mut()) {
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

/// `post_keys_key_rotate`
fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.replace(['{', '}'], "").replace('/', "_");
    format!("{}{path}", endpoint.verb.name())
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let names =
        endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = names.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let of_query = endpoint.query.fields.iter().map(|field| query_parameter(*field));
    let condition = endpoint.conditional.then(|| {
        json!({
            "name": "If-Match", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "The ETag of what was read; the change is refused where it is another one by now.",
        })
    });
    of_path.chain(of_query).chain(condition).collect()
}

fn query_parameter(field: &dyn AnyField) -> Value {
    json!({
        "name": field.name(), "in": "query", "required": field.presence() == Presence::Required,
        "schema": field.schema(), "description": field.about(),
    })
}

fn request_body(endpoint: &Endpoint) -> Option<Value> {
    let json_body = |name: &str, is_required: bool| {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        json!({ "required": is_required, "content": { "application/json": { "schema": schema } } })
    };
    match endpoint.body {
        Body::None => None,
        Body::Json(record) => Some(json_body(record.name, true)),
        Body::MayBe(record) => Some(json_body(record.name, false)),
        Body::Lines => Some(
            json!({ "required": true, "content": { LINES: { "schema": { "type": "string" } } } }),
        ),
    }
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    let (status, answer) = success(endpoint.answer);
    responses.insert(status.to_owned(), answer);
    let takes_body = matches!(endpoint.body, Body::Json(_) | Body::MayBe(_) | Body::Lines);
    let is_change = endpoint.verb != Verb::Get;
    let refusals = [
        ("400", "Cannot be read.", takes_body || endpoint.conditional),
        ("401", "Nobody who is known.", true),
        ("403", "Not for this role, or without its CSRF token.", true),
        ("404", "Not there, or another practice's.", true),
        ("409", "Not possible as things are.", is_change),
        ("412", "It changed since it was read.", endpoint.conditional),
        ("413", "The body is too large.", takes_body),
        ("415", "The body is of another type.", takes_body),
        ("422", "Not what can be taken; `errors` says what.", true),
        ("503", "The store is out of reach, or too much is going on.", true),
    ];
    for (status, about, _) in refusals.iter().filter(|(.., may)| *may) {
        let codes = if *status == "409" && !endpoint.conflicts.is_empty() {
            format!("{about} `{}`", endpoint.conflicts.join("` `"))
        } else {
            (*about).to_owned()
        };
        responses.insert((*status).to_owned(), json!({
            "description": codes,
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        }));
    }
    Value::Object(responses)
}

fn success(answer: Answer) -> (&'static str, Value) {
    let json = |about: &str, schema: Value| json!({ "description": about, "content": { "application/json": { "schema": schema } } });
    let named = |shape: &Shape| json!({ "$ref": format!("#/components/schemas/{}", shape.name) });
    match answer {
        Answer::Object(shape) => ("200", json("Done.", named(shape))),
        Answer::Created(shape) => ("201", json("Made; `Location` says where it is.", named(shape))),
        Answer::Sheet(shape) => {
            let (status, mut page) = success(Answer::Page(shape));
            if let Some(kinds) = page.get_mut("content").and_then(Value::as_object_mut) {
                kinds.insert(CSV.to_owned(), json!({ "schema": { "type": "string" } }));
            }
            (status, page)
        }
        Answer::Page(shape) => {
            let page = json!({
                "type": "object",
                "properties": {
                    "items": { "type": "array", "items": named(shape) },
                    "next": { "type": ["string", "null"], "description": "The `cursor` of the next page." },
                },
                "required": ["items", "next"],
                "additionalProperties": false,
            });
            ("200", json("A page.", page))
        }
        Answer::Nothing => ("204", json!({ "description": "Done." })),
        Answer::Lines => (
            "200",
            json!({
                "description": "A JSON object a line.",
                "content": { LINES: { "schema": { "type": "string" } } },
            }),
        ),
    }
}

fn problem() -> Value {
    let fault = json!({
        "type": "object",
        "properties": {
            "field": { "type": "string" },
            "line": { "type": "integer" },
            "message": { "type": "string" },
        },
        "required": ["message"],
    });
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string" },
            "errors": { "type": "array", "items": fault },
        },
        "required": ["type", "title", "status", "detail", "code"],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_endpoint_is_in_it_once_and_every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name: String = reference.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(document["components"]["schemas"][&name].is_object(), "{name}");
        }
        let mut seen = HashSet::new();
        for endpoint in api::endpoints() {
            assert!(seen.insert((endpoint.path, endpoint.verb.name())), "{endpoint:?} twice");
            let path = format!("{ROOT}{}", endpoint.path);
            let operation = &document["paths"][&path][endpoint.verb.name()];
            assert_eq!(operation["x-postern-roles"], json!(endpoint.right.roles()), "{endpoint:?}");
            assert!(!endpoint.about.is_empty(), "{endpoint:?}");
        }
    }

    #[test]
    fn records_and_shapes_do_not_share_names() {
        let mut shapes = Vec::new();
        let mut names = HashSet::new();
        for endpoint in api::endpoints() {
            endpoint.answer.shape().into_iter().for_each(|shape| shape.gather(&mut shapes));
            if let Body::Json(record) | Body::MayBe(record) = endpoint.body {
                assert!(names.insert(record.name), "{} twice", record.name);
            }
        }
        for shape in shapes {
            assert!(names.insert(shape.name), "{} twice", shape.name);
        }
    }
}
