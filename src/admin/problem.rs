//! Errors of the admin listener, as `application/problem+json` (RFC 9457).

use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

pub(super) async fn not_found(uri: Uri) -> Response {
    let detail = format!("Nothing lives at {}. The page at / says what does.", uri.path());
    problem(StatusCode::NOT_FOUND, "not_found", &detail)
}

pub(super) async fn method_not_allowed() -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This can be read with GET and HEAD, and nothing else.",
    )
}

fn problem(status: StatusCode, code: &'static str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    });
    let json = format!("{body}\n");
    (status, [(CONTENT_TYPE, "application/problem+json")], json).into_response()
}
