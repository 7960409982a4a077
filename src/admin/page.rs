//! The page at `/`: what lives here, how the gateway is, without a script.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};

use crate::admin::access::Who;
use crate::admin::desk::Desk;
use crate::admin::sign_in;
use crate::model::PlainKey;
use crate::telemetry::readiness::{ConfigStatus, Report};

pub(super) async fn index(State(desk): State<Arc<Desk>>, request: Request) -> Html<String> {
    let visitor = sign_in::visitor(&desk, request);
    Html(render(&desk.state.readiness.report(), visitor.as_ref()))
}

pub(super) async fn stylesheet() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css")).into_response()
}

fn render(report: &Report, visitor: Option<&Who>) -> String {
    let gateway: String = report
        .gateway
        .iter()
        .map(|address| format!("<code>{}</code> ", escaped(&address.to_string())))
        .collect();
    let upstreams: String = report
        .upstreams
        .iter()
        .map(|endpoint| {
            let state = if endpoint.healthy { "healthy" } else { "not healthy" };
            let (name, url) = (escaped(&endpoint.upstream), escaped(&endpoint.url));
            format!("<li>{name} at <code>{url}</code>: {state}</li>")
        })
        .collect();
    include_str!("page.html")
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{status}}", report.status)
        .replace("{{config}}", &configuration(&report.config))
        .replace("{{gateway}}", &gateway)
        .replace("{{upstreams}}", &upstreams)
        .replace("{{visitor}}", &welcome(visitor))
}

/// Who is signed in, with the way out; or the way in.
fn welcome(visitor: Option<&Who>) -> String {
    let Some(who) = visitor else { return "<p><a href=\"/login\">Sign in</a></p>".to_owned() };
    let (username, role) = (escaped(who.username().as_str()), who.role.name());
    let csrf = escaped(who.csrf.as_ref().map(PlainKey::reveal).unwrap_or_default());
    format!(
        "<form method=\"post\" action=\"/logout\"><p>Signed in as <strong>{username}</strong> ({role}). \
         <input type=\"hidden\" name=\"csrf\" value=\"{csrf}\"><button>Sign out</button></p></form>"
    )
}

fn configuration(status: &ConfigStatus) -> String {
    match status {
        ConfigStatus::Current { generation } => format!("number {generation}, current"),
        ConfigStatus::Rejected { generation, error } => format!(
            "number {generation} still runs; the one on the disk was rejected:<pre>{}</pre>",
            escaped(error)
        ),
    }
}

/// Text made safe for HTML, inside and outside of attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::readiness::{Freshness, JournalStatus, RegistryStatus, StoreStatus};

    #[test]
    fn a_configuration_error_cannot_become_markup() {
        let error = r#"a.yaml:1:1: unknown field "<script>""#.to_owned();
        let report = Report {
            status: "ready",
            draining: false,
            config: ConfigStatus::Rejected { generation: 2, error },
            registry: RegistryStatus {
                status: Freshness::Current,
                position: 0,
                staleness_seconds: 0,
            },
            journal: JournalStatus::default(),
            store: StoreStatus::default(),
            limits: None,
            upstreams: Vec::new(),
            gateway: vec!["127.0.0.1:8080".parse().unwrap()],
            admin: None,
        };
        let page = render(&report, None);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
        assert!(!page.contains("{{"), "every placeholder is filled: {page}");
    }
}
