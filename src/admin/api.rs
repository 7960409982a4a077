//! The API below `/api/v1`: every endpoint, in the order of the document.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::routing::{MethodFilter, on};

use crate::admin::desk::Desk;
use crate::admin::endpoint::{self, Endpoint, Verb};
use crate::admin::problem::Problem;

mod activity;
mod admins;
mod alerts;
mod audit;
mod keys;
mod limits;
mod page;
mod practices;
mod routes;
mod transfer;
mod usage;
mod users;
mod vendors;
mod whoami;

pub(super) const ROOT: &str = "/api/v1";

/// All endpoints.
pub(super) fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    let parts: [&'static [Endpoint]; 13] = [
        whoami::ENDPOINTS,
        practices::ENDPOINTS,
        users::ENDPOINTS,
        keys::ENDPOINTS,
        vendors::ENDPOINTS,
        admins::ENDPOINTS,
        usage::ENDPOINTS,
        limits::ENDPOINTS,
        activity::ENDPOINTS,
        alerts::ENDPOINTS,
        audit::ENDPOINTS,
        routes::ENDPOINTS,
        transfer::ENDPOINTS,
    ];
    parts.into_iter().flatten()
}

/// Adds a route for each.
pub(super) fn mount(router: Router<Arc<Desk>>) -> Router<Arc<Desk>> {
    endpoints().fold(router, |router, endpoint| {
        let filter = match endpoint.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Patch => MethodFilter::PATCH,
            Verb::Delete => MethodFilter::DELETE,
        };
        let handler = move |State(desk): State<Arc<Desk>>,
                            params: Result<RawPathParams, RawPathParamsRejection>,
                            request: Request| {
            // A path whose escapes are no UTF-8 names nothing.
            let params = params.map_err(|_| Problem::unknown("object", request.uri().path()));
            endpoint::serve(endpoint, desk, params, request)
        };
        router.route(&format!("{ROOT}{}", endpoint.path), on(filter, handler))
    })
}
