//! One entry of the API's table, and the one way from a request to its handler.
//!
//! The table says what an endpoint is for, whose it is, what it takes and what it answers. The router, the check of
//! rights, the readers of queries and bodies and the OpenAPI document all go by it; a handler is only ever called with a
//! [`Call`], which nothing but [`serve`] makes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::admin::access::{self, Named, Right, Who};
use crate::admin::desk::Desk;
use crate::admin::field::{Given, Record};
use crate::admin::json;
use crate::admin::problem::Problem;
use crate::admin::revision::Condition;
use crate::admin::shape::Shape;
use crate::admin::sign_in;
use crate::history::alerts::AlertId;
use crate::model::{KeyId, Misnamed, PracticeId, Username, VendorId};
use crate::registry::operation::Held;
use crate::registry::operation::keys::RevokeKey;
use crate::registry::{Done, Operation, Receipt};
use crate::store::Position;

mod reply;

pub(super) use reply::{CSV, LINES, Reply};

pub(super) const MAX_BODY: usize = 64 * 1024;
pub(super) const MAX_FORM: usize = 8 * 1024;
pub(super) const MAX_IMPORT: usize = 64 * 1024 * 1024;
/// How much more than its limit is read and dropped, so that a caller gets to read why it was refused.
const MAX_WASTE: usize = 1024 * 1024;
/// For a whole body, from its first byte to its last.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Patch,
    Delete,
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// What is sent is not looked at.
    None,
    Json(&'static Record),
    /// The same, where anything is sent at all; else none of its fields is given.
    MayBe(&'static Record),
    /// A JSON object a line.
    Lines,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Object(&'static Shape),
    /// `{"items", "next"}`.
    Page(&'static Shape),
    /// The same, or CSV for who asks for that.
    Sheet(&'static Shape),
    /// 201.
    Created(&'static Shape),
    /// 204.
    Nothing,
    Lines,
}

impl Answer {
    /// Of what it answers, where that is JSON.
    pub(super) fn shape(self) -> Option<&'static Shape> {
        match self {
            Self::Object(shape) | Self::Page(shape) | Self::Sheet(shape) | Self::Created(shape) => {
                Some(shape)
            }
            Self::Nothing | Self::Lines => None,
        }
    }
}

pub(super) type Handled = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;

pub(super) struct Endpoint {
    pub(super) verb: Verb,
    /// Below `/api/v1`, with `{practice}`, `{key}`, `{vendor}`, `{username}`, `{kid}`, `{token}` and `{alert}`.
    pub(super) path: &'static str,
    pub(super) right: Right,
    pub(super) about: &'static str,
    pub(super) query: &'static Record,
    pub(super) body: Body,
    /// Takes `If-Match`.
    pub(super) conditional: bool,
    pub(super) answer: Answer,
    /// The codes of 409 that it may answer.
    pub(super) conflicts: &'static [&'static str],
    pub(super) handle: fn(Call) -> Handled,
}

impl Endpoint {
    /// What most endpoints leave as it is.
    pub(super) const USUAL: Self = Self {
        verb: Verb::Get,
        path: "",
        right: Right::Operate,
        about: "",
        query: &Record::NONE,
        body: Body::None,
        conditional: false,
        answer: Answer::Nothing,
        conflicts: &[],
        handle: |_| Box::pin(async { Ok(Reply::nothing()) }),
    };
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.name(), self.path)
    }
}

/// A request whose caller may make it, read. An import has keys in it, so `Debug` shows the caller alone.
pub(super) struct Call {
    pub(super) desk: Arc<Desk>,
    pub(super) who: Who,
    pub(super) query: Given,
    pub(super) body: Given,
    pub(super) lines: Bytes,
    pub(super) uri: Uri,
    /// What kinds of answers the caller takes, as it says it.
    pub(super) accept: String,
    condition: Condition,
    names: Names,
}

/// What the path names. What is in a path is there: [`serve`] found it well formed.
#[derive(Debug, Default)]
struct Names {
    practice: Option<PracticeId>,
    key: Option<KeyId>,
    vendor: Option<VendorId>,
    username: Option<Username>,
    kid: Option<KeyId>,
    token: Option<KeyId>,
    alert: Option<AlertId>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("who", &self.who).finish_non_exhaustive()
    }
}

/// What people and programs call a JSON object a line.
const LINES_TOO: [&str; 4] =
    [LINES, "application/x-ndjson", "application/ndjson", "application/x-jsonlines"];

/// The one way to a handler. A change runs in a task of its own: a caller that hangs up cannot stop it halfway, and a
/// panic is a 500.
pub(super) async fn serve(
    endpoint: &'static Endpoint,
    desk: Arc<Desk>,
    params: Result<RawPathParams, Problem>,
    request: Request,
) -> Response {
    let call = match read(endpoint, desk, params, request).await {
        Ok(call) => call,
        Err(problem) => return problem.into_response(),
    };
    match tokio::spawn((endpoint.handle)(call)).await {
        Ok(Ok(reply)) => reply.into_response(),
        Ok(Err(problem)) => problem.into_response(),
        Err(broken) => Problem::internal(&broken).into_response(),
    }
}

async fn read(
    endpoint: &'static Endpoint,
    desk: Arc<Desk>,
    params: Result<RawPathParams, Problem>,
    request: Request,
) -> Result<Call, Problem> {
    let (parts, body) = request.into_parts();
    // The role alone comes first: what the path names is nothing to those whose endpoint it is not.
    let who = caller(endpoint, &desk, &parts)?;
    let names = Names::read(&params?)?;
    names.admit(&desk, &who, endpoint.right)?;
    let query = endpoint.query.read_query(parts.uri.query().unwrap_or_default())?;
    let condition =
        if endpoint.conditional { Condition::read(&parts.headers)? } else { Condition::Any };
    let (body, lines) = read_body(endpoint.body, &parts, body).await?;
    // A body may be long in coming, and its sender be dismissed or made less meanwhile: what is shown goes by who it is
    // now. What is changed goes by who it is when that is decided; see `Call::execute`.
    let who = caller(endpoint, &desk, &parts)?;
    names.admit(&desk, &who, endpoint.right)?;
    let accepted = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accept = accepted.collect::<Vec<_>>().join(",");
    Ok(Call { desk, who, query, body, lines, uri: parts.uri, accept, condition, names })
}

/// Who is calling at this moment, if its role may, and if a change is its own.
fn caller(endpoint: &Endpoint, desk: &Desk, parts: &Parts) -> Result<Who, Problem> {
    let who = sign_in::identify(desk, parts)?;
    access::admit(&who, endpoint.right, None)?;
    if endpoint.verb != Verb::Get {
        sign_in::check_csrf(&who, &parts.headers)?;
    }
    Ok(who)
}

/// The fields of a body, or its lines.
async fn read_body(
    expected: Body,
    parts: &Parts,
    body: HttpBody,
) -> Result<(Given, Bytes), Problem> {
    let nothing = (Given::default(), Bytes::new());
    match expected {
        Body::None => Ok(nothing),
        Body::MayBe(_) if body.is_end_stream() && !parts.headers.contains_key(CONTENT_TYPE) => {
            Ok(nothing)
        }
        Body::Json(record) | Body::MayBe(record) => {
            Ok((read_json(record, parts, body).await?, Bytes::new()))
        }
        Body::Lines => {
            if !is_media_type(&parts.headers, &LINES_TOO) {
                return Err(Problem::media_type(LINES));
            }
            Ok((Given::default(), collect(parts, body, MAX_IMPORT).await?))
        }
    }
}

async fn read_json(record: &Record, parts: &Parts, body: HttpBody) -> Result<Given, Problem> {
    const TYPE: &str = "application/json";
    if !is_media_type(&parts.headers, &[TYPE]) {
        return Err(Problem::media_type(TYPE));
    }
    let bytes = collect(parts, body, MAX_BODY).await?;
    record.read(json::read(&bytes).map_err(Problem::malformed_json)?)
}

/// One type, of those, with no charset or UTF-8.
pub(super) fn is_media_type(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let named = parts.next().unwrap_or_default();
    wanted.iter().any(|wanted| named.eq_ignore_ascii_case(wanted))
        && parts.all(|parameter| {
            let plain = parameter.replace('"', "");
            plain.eq_ignore_ascii_case("charset=utf-8")
        })
}

/// The whole body, up to the limit, within its time.
pub(super) async fn collect(parts: &Parts, body: HttpBody, limit: usize) -> Result<Bytes, Problem> {
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit + MAX_WASTE) {
        return Err(Problem::too_large(limit));
    }
    let gathered = timeout(BODY_TIMEOUT, gather(body, limit)).await;
    gathered.map_err(|_| Problem::body_timeout(BODY_TIMEOUT))?
}

async fn gather(mut body: HttpBody, limit: usize) -> Result<Bytes, Problem> {
    // A form may have a password in it, and a buffer that grows leaves copies: this one never does for a form.
    let mut bytes = Vec::with_capacity(limit.min(MAX_FORM));
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::malformed("The body broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen <= limit {
            bytes.extend_from_slice(&data);
        } else if seen > limit + MAX_WASTE {
            break;
        }
    }
    if seen > limit { Err(Problem::too_large(limit)) } else { Ok(bytes.into()) }
}

impl Names {
    fn read(params: &RawPathParams) -> Result<Self, Problem> {
        let mut names = Self::default();
        for (name, text) in params {
            let unknown = |_: Misnamed| Problem::unknown(what(name), text);
            match name {
                "practice" => names.practice = Some(PracticeId::parse(text).map_err(unknown)?),
                "key" => names.key = Some(KeyId::parse(text).map_err(unknown)?),
                "vendor" => names.vendor = Some(VendorId::parse(text).map_err(unknown)?),
                "username" => names.username = Some(Username::parse(text).map_err(unknown)?),
                "kid" => names.kid = Some(KeyId::parse(text).map_err(unknown)?),
                "token" => names.token = Some(KeyId::parse(text).map_err(unknown)?),
                "alert" => names.alert = Some(AlertId::parse(text).map_err(unknown)?),
                _ => {}
            }
        }
        Ok(names)
    }

    /// Holds what the path names against what there is, and against what the caller may know of.
    fn admit(&self, desk: &Desk, who: &Who, right: Right) -> Result<(), Problem> {
        if let Some(id) = &self.practice {
            let practice = desk
                .registry()
                .read(|records| records.practice(id).map(|practice| practice.value.id.clone()));
            let practice = practice.as_ref();
            access::admit(who, right, Some(Named { what: "practice", id: id.as_str(), practice }))?;
        }
        if let Some(id) = &self.key {
            let practice = desk
                .registry()
                .read(|records| records.key(*id).map(|key| key.value.practice.clone()));
            let practice = practice.as_ref();
            access::admit(who, right, Some(Named { what: "key", id: id.as_str(), practice }))?;
        }
        Ok(())
    }
}

/// What a parameter of a path names, for people.
fn what(parameter: &str) -> &'static str {
    match parameter {
        "practice" => "practice",
        "vendor" => "vendor",
        "username" => "username",
        "token" => "token",
        "alert" => "alert",
        _ => "key",
    }
}

/// A parameter that the path of the endpoint does not have: a mistake in the table.
fn absent() -> Problem {
    Problem::internal(&"an endpoint's path lacks what its handler asks for")
}

impl Call {
    pub(super) fn practice(&self) -> Result<&PracticeId, Problem> {
        self.names.practice.as_ref().ok_or_else(absent)
    }

    pub(super) fn key(&self) -> Result<KeyId, Problem> {
        self.names.key.ok_or_else(absent)
    }

    pub(super) fn vendor(&self) -> Result<&VendorId, Problem> {
        self.names.vendor.as_ref().ok_or_else(absent)
    }

    pub(super) fn username(&self) -> Result<&Username, Problem> {
        self.names.username.as_ref().ok_or_else(absent)
    }

    pub(super) fn vendor_key(&self) -> Result<KeyId, Problem> {
        self.names.kid.ok_or_else(absent)
    }

    pub(super) fn token(&self) -> Result<KeyId, Problem> {
        self.names.token.ok_or_else(absent)
    }

    pub(super) fn alert(&self) -> Result<AlertId, Problem> {
        self.names.alert.ok_or_else(absent)
    }

    /// Decides what the caller asks for, if it still may when that is decided.
    pub(super) async fn execute<O: Operation>(
        &self,
        operation: O,
    ) -> Result<Done<O::Output>, Problem> {
        let held = self.held(operation);
        Ok(self.desk.registry().execute(&self.who.actor, held).await?)
    }

    /// The same for the end of a key, which has a receipt.
    pub(super) async fn revoke_key(&self, operation: RevokeKey) -> Result<Receipt, Problem> {
        let held = self.held(operation);
        Ok(self.desk.registry().revoke_key(&self.who.actor, held).await?)
    }

    fn held<O>(&self, operation: O) -> Held<O> {
        Held { proof: self.who.proof, role: self.who.role.clone(), operation }
    }

    /// Holds `If-Match` against the object as it is.
    pub(super) fn unless_stale(&self, current: Position) -> Result<Option<Position>, Problem> {
        self.condition.holds(current)
    }
}
