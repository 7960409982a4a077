//! The admin API as a client: one request, one answer, each within a deadline.
//!
//! Where it is and what opens it come from the environment, because a token on a command line stands in the process list
//! and in a history. No redirect is followed: the token would go wherever it points.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::cli::output::{self, Usage};
use crate::cli::url::Endpoint;
use crate::model::PlainKey;

pub(super) mod problem;
mod tls;

pub(super) use problem::Problem;

const URL: &str = "POSTERN_ADMIN_URL";
const TOKEN: &str = "POSTERN_ADMIN_TOKEN";
const CA: &str = "POSTERN_ADMIN_CA";

/// For a connection with its handshake.
const TO_CONNECT: Duration = Duration::from_secs(10);
/// For an answer: a revocation waits for other nodes.
const TO_ANSWER: Duration = Duration::from_secs(60);
/// An import hashes every key.
const TO_IMPORT: Duration = Duration::from_secs(1800);
/// The answer to the largest import has a line for each thing that it made.
const MAX_ANSWER: usize = 512 * 1024 * 1024;
/// The most that a page of a list holds.
const PAGE: usize = 200;

/// An admin listener and what opens it.
pub(super) struct Remote {
    base: Endpoint,
    authorization: HeaderValue,
    tls: Option<TlsConnector>,
    runtime: Runtime,
}

/// What is sent.
enum Body {
    Nothing,
    Json(Bytes),
    Lines(Bytes),
}

/// Some of a list, or all of it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) items: Vec<Value>,
    /// Where it goes on.
    pub(super) next: Option<String>,
}

/// Whether an admin listener is named by the environment.
pub(super) fn is_named() -> bool {
    variable(URL).is_some()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Remote {
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        let missing = |name: &str, what: &str| {
            Usage(format!(
                "{name} is not set: {what}\n\
                 \x20   export {URL}=http://127.0.0.1:8081 {TOKEN}=pst_adm_…\n\
                 `postern admins create --config FILE --username YOU --role operator` makes the first token"
            ))
        };
        let url = variable(URL).ok_or_else(|| missing(URL, "say where the admin listener is"))?;
        let token = variable(TOKEN)
            .map(PlainKey::new)
            .ok_or_else(|| missing(TOKEN, "this command asks the admin listener"))?;
        let base = base(&url).map_err(|why| Usage(format!("{URL} {why}")))?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
            .map_err(|_| Usage(format!("{TOKEN} is no token: there are stray characters in it")))?;
        authorization.set_sensitive(true);
        if !base.https && !is_of_this_machine(base.host()) {
            output::note(&format!(
                "the token crosses the network readable: {base} is neither https nor on this machine"
            ));
        }
        let ca = variable(CA);
        let tls = base.https.then(|| tls::connector(ca.as_deref())).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { base, authorization, tls, runtime })
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(&Method::GET, path, Body::Nothing, TO_ANSWER)
    }

    pub(super) fn post(&self, path: &str, document: &Value) -> anyhow::Result<Value> {
        self.ask(&Method::POST, path, json_body(document), TO_ANSWER)
    }

    pub(super) fn patch(&self, path: &str, document: &Value) -> anyhow::Result<Value> {
        self.ask(&Method::PATCH, path, json_body(document), TO_ANSWER)
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(&Method::DELETE, path, Body::Nothing, TO_ANSWER)
    }

    pub(super) fn import(&self, lines: Vec<u8>) -> anyhow::Result<Value> {
        self.ask(&Method::POST, "/import", Body::Lines(lines.into()), TO_IMPORT)
    }

    /// A list from `cursor` on, page by page, to its end or up to so many.
    pub(super) fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
        cursor: Option<&str>,
        limit: Option<usize>,
    ) -> anyhow::Result<Listed> {
        let mut listed = Listed { items: Vec::new(), next: cursor.map(str::to_owned) };
        loop {
            let wanted = limit.map_or(PAGE, |limit| limit.saturating_sub(listed.items.len()));
            let count = wanted.min(PAGE).to_string();
            let cursor = listed.next.as_deref().map(|cursor| ("cursor", cursor));
            let all = query.iter().copied().chain([("limit", &*count)]).chain(cursor);
            let pairs =
                all.map(|(name, value)| format!("{name}={}", crate::cli::url::segment(value)));
            let page = self.get(&format!("{path}?{}", pairs.collect::<Vec<_>>().join("&")))?;
            let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            let Some(Value::Array(items)) = page.get("items") else {
                bail!("{} answered {path} with something that is no list", self.base);
            };
            // A page may be empty and still go on.
            let stands_still = next == listed.next;
            listed.items.extend(items.iter().cloned());
            listed.next = next;
            let is_enough = limit.is_some_and(|limit| listed.items.len() >= limit);
            if listed.next.is_none() || is_enough || stands_still {
                return Ok(listed);
            }
        }
    }

    fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Body,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let (status, bytes) = self.runtime.block_on(self.exchange(method, path, body, patience))?;
        if (200..300).contains(&status) {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes)
                .map_err(|_| anyhow!("{} answered with something that is not JSON", self.base));
        }
        if (300..400).contains(&status) {
            bail!(
                "{} answered {status} and points elsewhere; {URL} must be the admin listener itself",
                self.base
            );
        }
        let problem = Problem::read(status, &bytes);
        if status == 401 {
            return Err(anyhow::Error::new(problem)
                .context(format!("{} does not take the token in {TOKEN}", self.base)));
        }
        Err(problem.into())
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Body,
        patience: Duration,
    ) -> anyhow::Result<(u16, Bytes)> {
        let unreached = || {
            format!(
                "cannot reach the admin listener at {}; is the gateway running, and is {URL} right?",
                self.base
            )
        };
        let connecting = async {
            let tcp = TcpStream::connect(&self.base.authority).await?;
            let Some(connector) = &self.tls else { return Ok(Stream::Plain(tcp)) };
            let name = self.base.host().to_owned().try_into()?;
            anyhow::Ok(Stream::Tls(Box::new(connector.connect(name, tcp).await?)))
        };
        let stream = timeout(TO_CONNECT, connecting).await.map_err(|_| anyhow!("it took too long"));
        let stream = stream.and_then(|connected| connected).with_context(unreached)?;
        let answering = async {
            let request = self.request(method, path, body)?;
            match stream {
                Stream::Plain(stream) => send(stream, request).await,
                Stream::Tls(stream) => send(*stream, request).await,
            }
        };
        let answer = timeout(patience, answering).await;
        let late = || anyhow!("no answer within {} s", patience.as_secs());
        answer.map_err(|_| late()).and_then(|answer| answer).with_context(|| {
            let unsure =
                if method == Method::GET { "" } else { "; it may or may not have done it" };
            format!("{} broke off{unsure}", self.base)
        })
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Body,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let target = format!("{}/api/v1{path}", self.base.path.trim_end_matches('/'));
        let (content_type, bytes) = match body {
            Body::Nothing => (None, Bytes::new()),
            Body::Json(bytes) => (Some("application/json"), bytes),
            Body::Lines(bytes) => (Some("application/x-ndjson"), bytes),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, &self.base.authority)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, &self.authorization)
            .body(Full::new(bytes))?;
        if let Some(content_type) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Ok(request)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

fn json_body(document: &Value) -> Body {
    Body::Json(document.to_string().into())
}

/// On a connection of its own: a command asks once or twice.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(u16, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let talking = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow!("{error}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    tokio::pin!(connection);
    tokio::pin!(talking);
    tokio::select! {
        biased;
        answer = &mut talking => answer,
        ended = &mut connection => {
            // What came before the end is still there to be read.
            let answer = talking.await;
            ended?;
            answer
        }
    }
}

/// Without a path of the API, which people write or leave out.
fn base(url: &str) -> Result<Endpoint, String> {
    let url = url.trim_end_matches('/');
    Endpoint::parse(url.strip_suffix("/api/v1").unwrap_or(url))
}

fn is_of_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_may_be_written_with_the_path_of_the_api() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/api/v1", "http://h:1/api/v1/"] {
            assert_eq!(base(url).unwrap().to_string(), "http://h:1/", "{url}");
        }
        assert_eq!(base("https://h/behind/api/v1").unwrap().path, "/behind");
        assert!(base("h:1").is_err());
    }

    #[test]
    fn only_the_loopback_is_this_machine() {
        for (host, is) in
            [("127.0.0.9", true), ("::1", true), ("localhost", true), ("10.0.0.1", false)]
        {
            assert_eq!(is_of_this_machine(host), is, "{host}");
        }
    }
}
