//! What a handler answers, and how it is written: JSON, lines of it, CSV, or nothing.

use std::fmt;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, LINK, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::admin::field::kind;
use crate::store::Position;

pub(in crate::admin) const CSV: &str = "text/csv; charset=utf-8";
pub(in crate::admin) const LINES: &str = "application/jsonl";

/// There may be a secret in it, so `Debug` shows the status alone.
pub(in crate::admin) struct Reply {
    status: StatusCode,
    body: Content,
    revision: Option<Position>,
    location: Option<String>,
    link: Option<String>,
}

enum Content {
    None,
    Json(Value),
    Lines(String),
    /// With the name of a file for it.
    Csv(String, String),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Reply {
    fn of(status: StatusCode, body: Content) -> Self {
        Self { status, body, revision: None, location: None, link: None }
    }

    pub(in crate::admin) fn ok(body: Value) -> Self {
        Self::of(StatusCode::OK, Content::Json(body))
    }

    pub(in crate::admin) fn created(location: String, body: Value) -> Self {
        Self { status: StatusCode::CREATED, location: Some(location), ..Self::ok(body) }
    }

    pub(in crate::admin) fn nothing() -> Self {
        Self::of(StatusCode::NO_CONTENT, Content::None)
    }

    pub(in crate::admin) fn lines(text: String) -> Self {
        Self::of(StatusCode::OK, Content::Lines(text))
    }

    /// CSV to be kept as a file, and where it goes on.
    pub(in crate::admin) fn csv(text: String, file: String, next: Option<String>) -> Self {
        let link = next.map(|next| format!("<{next}>; rel=\"next\""));
        Self { link, ..Self::of(StatusCode::OK, Content::Csv(text, file)) }
    }

    /// With the object's ETag.
    #[must_use]
    pub(in crate::admin) fn at(mut self, revision: Position) -> Self {
        self.revision = Some(revision);
        self
    }

    /// `items` with one more than asked for, where there is one; each with what a cursor to behind it says.
    pub(in crate::admin) fn page(mut items: Vec<(String, Value)>, size: usize) -> Self {
        let is_last = items.len() <= size;
        items.truncate(size);
        let last = items.last().filter(|_| !is_last);
        let next = last.map(|(last, _)| kind::cursor(last));
        let items: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
        Self::ok(json!({ "items": items, "next": next }))
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let Self { status, body, revision, location, link } = self;
        let mut response = match body {
            Content::None => status.into_response(),
            Content::Json(json) => {
                (status, [(CONTENT_TYPE, "application/json")], format!("{json}\n")).into_response()
            }
            Content::Lines(text) => (status, [(CONTENT_TYPE, LINES)], text).into_response(),
            Content::Csv(text, file) => {
                let kept = format!("attachment; filename=\"{file}\"");
                (status, [(CONTENT_TYPE, CSV), (CONTENT_DISPOSITION, &kept)], text).into_response()
            }
        };
        let mut say = |name: HeaderName, text: String| {
            if let Ok(value) = HeaderValue::try_from(text) {
                response.headers_mut().insert(name, value);
            }
        };
        revision.into_iter().for_each(|revision| say(ETAG, format!("\"{}\"", revision.0)));
        location.into_iter().for_each(|path| say(LOCATION, format!("/api/v1{path}")));
        link.into_iter().for_each(|link| say(LINK, link));
        response
    }
}
