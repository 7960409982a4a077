//! The control plane's listener: `/healthz`, `/readyz`, `/metrics`, and a page that says what lives here.
//!
//! It reads what telemetry knows and can change nothing. It does not know that the proxy exists: `app` puts what handlers
//! may reach into [`AdminState`].

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::telemetry::Metrics;

pub mod listener;
mod page;
mod problem;
pub mod state;

pub use state::AdminState;

/// Every path of the admin listener.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/assets/postern.css", get(page::stylesheet))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .fallback(problem::not_found)
        .layer(map_response(guarded))
        .with_state(state)
}

/// Whoever reads this was answered, and that is all it says.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let report = state.readiness.report();
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = serde_json::to_string(&report).unwrap_or_default() + "\n";
    (status, [(CONTENT_TYPE, "application/json")], json).into_response()
}

async fn metrics(State(state): State<AdminState>) -> Response {
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], state.metrics.render()).into_response()
}

/// What a browser may do with our answers: show them, and nothing else.
async fn guarded(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
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
