//! The sample practice system: a small HTTP server over made-up people, on a thread of its own.
//!
//! It believes whatever the gateway tells it of the caller, as a practice system behind a gateway may, and asks for no
//! keys itself. What is written to it is there until the demo ends.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread;

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::task::{LocalSet, spawn_local};

mod live;
mod people;
mod picture;
mod records;

use records::Records;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The largest body it reads, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// Events that a slow listener may be behind.
const EVENTS_KEPT: usize = 64;

/// Starts it on a free port of the loopback.
pub(super) fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("practice".to_owned()).spawn(move || {
        if let Err(error) = LocalSet::new().block_on(&runtime, serve(listener)) {
            tracing::error!(%error, "the sample practice system ended");
        }
    })?;
    Ok(address)
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let practice = Rc::new(Practice::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let practice = Rc::clone(&practice);
        let service = service_fn(move |request| {
            let practice = Rc::clone(&practice);
            async move { Ok::<_, Infallible>(practice.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the sample practice system ended early");
            }
        });
    }
}

/// The whole state.
struct Practice {
    records: RefCell<Records>,
    events: broadcast::Sender<Value>,
}

impl Practice {
    fn new() -> Self {
        Self { records: RefCell::new(people::records()), events: broadcast::channel(EVENTS_KEPT).0 }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (&method, segments.as_slice()) {
            (&Method::GET, ["health"] | ["v1", "status"]) => {
                reply(StatusCode::OK, &json!({ "system": "Harbour Clinic", "status": "open" }))
            }
            (&Method::GET, ["v1", "live"]) => live::upgrade(request, self.events.subscribe()),
            (&Method::GET, ["v1", "payroll"]) => {
                reply(StatusCode::OK, &json!({ "secret": "only the gateway keeps you from this" }))
            }
            (&Method::GET, ["v1", "files", id, "content"]) => self.download(id),
            (&Method::POST, ["v1", "patients", "search"]) => self.search(request).await,
            (_, ["v1", collection, rest @ ..]) if rest.len() <= 1 => {
                self.keep(&method, collection, rest.first().copied(), request).await
            }
            _ => not_found(),
        }
    }

    /// The four verbs on a collection and its members.
    async fn keep(
        &self,
        method: &Method,
        collection: &str,
        id: Option<&str>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        if !self.records.borrow().has(collection) {
            return not_found();
        }
        let with_notes = request.uri().query().is_some_and(|query| query.contains("include=notes"));
        let by = header(&request, "x-postern-key-owner");
        match (method, id) {
            (&Method::GET, None) => {
                let records = self.records.borrow();
                reply(StatusCode::OK, &json!({ "items": records.list(collection, with_notes) }))
            }
            (&Method::GET, Some(id)) => found(self.records.borrow().one(collection, id)),
            (&Method::POST, None) => match body(request).await {
                Ok(fields) => {
                    let made = self.records.borrow_mut().create(collection, fields, &by);
                    self.tell(collection, "created", &made);
                    reply(StatusCode::CREATED, &made)
                }
                Err(refusal) => refusal,
            },
            (&Method::PUT | &Method::PATCH, Some(id)) => match body(request).await {
                Ok(fields) => {
                    let changed = self.records.borrow_mut().change(collection, id, fields, &by);
                    changed.iter().for_each(|record| self.tell(collection, "changed", record));
                    found(changed)
                }
                Err(refusal) => refusal,
            },
            (&Method::DELETE, Some(id)) => {
                let removed = self.records.borrow_mut().remove(collection, id);
                removed.iter().for_each(|record| self.tell(collection, "cancelled", record));
                found(removed)
            }
            _ => error(StatusCode::METHOD_NOT_ALLOWED, "not a thing to do here"),
        }
    }

    async fn search(&self, request: Request<Incoming>) -> Response<Body> {
        let fields = match body(request).await {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
        reply(StatusCode::OK, &json!({ "items": self.records.borrow().search(name) }))
    }

    fn download(&self, id: &str) -> Response<Body> {
        let Some(file) = self.records.borrow().one("files", id) else { return not_found() };
        let name = file.get("name").and_then(Value::as_str).unwrap_or("file.bmp");
        let disposition = format!("attachment; filename=\"{name}\"");
        let answer = Response::builder()
            .header(CONTENT_TYPE, "image/bmp")
            .header(CONTENT_DISPOSITION, disposition)
            .body(picture::Picture::default().boxed_unsync());
        answer.unwrap_or_else(|_| not_found())
    }

    /// Tells whoever listens live; nobody does, most of the time.
    fn tell(&self, collection: &str, what: &str, record: &Value) {
        if collection == "appointments" {
            let event = json!({ "event": format!("appointment.{what}"), "id": record.get("id") });
            let _nobody_listens = self.events.send(event);
        }
    }
}

fn header(request: &Request<Incoming>, name: &str) -> String {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or("somebody").to_owned()
}

/// A JSON object, whatever its content type says: `curl -d` says that it is a form.
async fn body(request: Request<Incoming>) -> Result<Value, Response<Body>> {
    let unreadable = || error(StatusCode::BAD_REQUEST, "send a JSON object of at most 1 MiB");
    let collected = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let bytes = collected.map_err(|_| unreadable())?.to_bytes();
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
    if value.is_object() { Ok(value) } else { Err(unreadable()) }
}

fn found(record: Option<Value>) -> Response<Body> {
    record.map_or_else(not_found, |record| reply(StatusCode::OK, &record))
}

fn not_found() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "the practice has no such record")
}

/// The practice system's own shape of an error, unlike the gateway's.
fn error(status: StatusCode, message: &str) -> Response<Body> {
    reply(status, &json!({ "error": message }))
}

fn reply(status: StatusCode, value: &Value) -> Response<Body> {
    let mut text = format!("{value:#}");
    text.push('\n');
    let mut answer = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *answer.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
