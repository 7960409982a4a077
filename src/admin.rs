//! The control plane's listener: health and metrics, the admin API, signing in, and a page that says what lives here.
//!
//! It does not know that the proxy exists: `app` puts what handlers may reach into [`AdminState`]. The API is a table
//! (`endpoint`, `api`), and the router, the rights, the readers and the OpenAPI document all go by it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::telemetry::Metrics;

mod access;
mod api;
mod desk;
mod endpoint;
mod field;
mod json;
pub mod listener;
mod openapi;
mod page;
mod passwords;
mod path;
mod problem;
mod revision;
mod shape;
mod sign_in;
pub mod state;
mod throttle;

use desk::Desk;
use sign_in::form;
pub use state::{AdminState, Running};

/// Every path of the admin listener.
pub fn router(state: AdminState) -> Router {
    let router = Router::new()
        .route("/", get(page::index))
        .route("/assets/postern.css", get(page::stylesheet))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/login", get(form::show).post(form::sign_in))
        .route("/logout", post(form::sign_out))
        .route("/api/v1/openapi.json", get(openapi::show));
    api::mount(router)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::not_found)
        .layer(map_response(guarded))
        .with_state(Arc::new(Desk::new(state)))
}

/// Whoever reads this was answered, and that is all it says.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    let report = desk.state.readiness.report();
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = serde_json::to_string(&report).unwrap_or_default() + "\n";
    (status, [(CONTENT_TYPE, "application/json")], json).into_response()
}

async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], desk.state.metrics.render()).into_response()
}

/// What a browser may do with our answers: show them, send our forms back to us, and nothing else.
async fn guarded(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; \
                          form-action 'self'; frame-ancestors 'none'";
    let rules: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in rules {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
