//! Callers who never stop: some read, some write, some are refused, some hold a stream or a tunnel open, some are
//! strangers. The gateway may die under them at any moment; they remember what they were answered and go on.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::fixture::{self, request, request_with};
use super::ledger::{Answered, Forwarded, Ledger};
use super::message::{Feed, Framing, Head};
use super::tunnel::{ACCEPT, UPGRADE, switching};
use super::upstream::{Exchange, Then, Upstream, ok};
use super::wire::timed_out;

/// How long a stranger waits between two tries, so that each is a record of its own and not part of a sum.
const STRANGERS_PAUSE: Duration = Duration::from_millis(400);

/// The most that the other callers wait. Kills should meet them at every point of a request, and other tests need the
/// machine, too.
const PAUSE_MICROS: u64 = 4_000;

/// What an upstream does under this load, by the end of the path.
pub(crate) fn upstream() -> Upstream {
    Upstream::start(|exchange| {
        if exchange.head.has("upgrade") {
            return tunnel(exchange);
        }
        exchange.body()?;
        let path = exchange.head.word(1).to_owned();
        match path.rsplit('/').next().unwrap_or_default() {
            "slow" => stream(exchange, 4)?,
            "stream" => stream(exchange, 10_000)?,
            "missing" => exchange.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")?,
            "broken" => exchange.send(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")?,
            _ => exchange.send(&ok("", "ok"))?,
        }
        Ok(Then::Keep)
    })
}

fn tunnel(exchange: &mut Exchange<'_>) -> io::Result<Then> {
    exchange.send(switching(ACCEPT).as_bytes())?;
    loop {
        let bytes = exchange.read()?;
        exchange.send(&bytes)?;
    }
}

/// One piece after the other, until the end or nobody reads.
fn stream(exchange: &mut Exchange<'_>, pieces: usize) -> io::Result<()> {
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for _ in 0..pieces {
        exchange.send(b"5\r\nhello\r\n")?;
        thread::sleep(Duration::from_millis(fastrand::u64(1..20)));
    }
    exchange.send(b"0\r\n\r\n")
}

/// Method, target and key of what most callers ask, all ends included.
const ASKED: [(&str, &str, &str); 14] = [
    ("GET", "/v1/patients", "key-all"),
    ("GET", "/v1/patients?include=notes", "key-read"),
    ("POST", "/v1/patients", "key-all"),
    ("POST", "/v1/patients/search", "key-read"),
    ("PUT", "/v1/appointments/17", "key-all"),
    ("DELETE", "/v1/patients/3", "key-all"),
    ("HEAD", "/v1/appointments/17", "key-mixed"),
    ("GET", "/v1/appointments/slow", "key-all"),
    ("GET", "/v1/patients/missing", "key-all"),
    ("GET", "/v1/patients/broken", "key-read"),
    ("PUT", "/v1/appointments/17", "key-mixed"),
    ("GET", "/v1/patients", "key-none"),
    ("GET", "/v1/nowhere", "key-all"),
    ("GET", "/v1/internal/x", "key-all"),
];

struct Shared {
    target: Mutex<Option<SocketAddr>>,
    ended: AtomicBool,
    asked: AtomicU64,
    answered: Mutex<Vec<Answered>>,
    /// What no kill explains.
    faults: Mutex<Vec<String>>,
}

/// Runs until [`Load::end`].
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

type Caller = fn(&Shared, &mut Line) -> io::Result<()>;

impl Load {
    /// Five who mix everything, one with tunnels, one with streams, one stranger. They wait for an address.
    pub(crate) fn begin() -> Self {
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            ended: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            answered: Mutex::new(Vec::new()),
            faults: Mutex::new(Vec::new()),
        });
        let kinds: [Caller; 8] = [mixed, mixed, mixed, mixed, mixed, tunnelled, streamed, strange];
        let call = |caller: Caller| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                while !shared.has_ended() {
                    let Some(mut line) = shared.connect() else {
                        thread::sleep(Duration::from_millis(2));
                        continue;
                    };
                    // Whatever ends it: the next one is a new connection.
                    drop(caller(&shared, &mut line));
                }
            })
        };
        let callers = kinds.map(call).into();
        Self { shared, callers }
    }

    /// Where they call from now on.
    pub(crate) fn aim(&self, at: SocketAddr) {
        *self.shared.target.lock().unwrap() = Some(at);
    }

    /// Nobody begins a new connection: whoever is killed next leaves a port that somebody else may get.
    pub(crate) fn pause(&self) {
        *self.shared.target.lock().unwrap() = None;
    }

    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.lock().unwrap().len()
    }

    /// Every caller hangs up; what they and the upstream saw.
    pub(crate) fn end(self, upstream: &Upstream) -> Ledger {
        self.shared.ended.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.join().unwrap();
        }
        let faults = self.shared.faults.lock().unwrap();
        assert!(faults.is_empty(), "{faults:#?}");
        let forwarded = upstream.requests().iter().map(|seen| Forwarded::of(&seen.head)).collect();
        Ledger {
            asked: self.shared.asked.load(Ordering::SeqCst),
            answered: self.shared.answered.lock().unwrap().clone(),
            forwarded,
        }
    }
}

impl Shared {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn connect(&self) -> Option<Line> {
        let target = (*self.target.lock().unwrap())?;
        let stream = TcpStream::connect_timeout(&target, PATIENCE).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(Line { feed: Feed::new(stream) })
    }
}

/// One connection of a caller.
struct Line {
    feed: Feed<TcpStream>,
}

impl Line {
    /// Sends a request and reads the head of its answer.
    fn ask(&mut self, shared: &Shared, bytes: &[u8]) -> io::Result<Head> {
        shared.asked.fetch_add(1, Ordering::SeqCst);
        self.feed.stream.write_all(bytes)?;
        match self.feed.head() {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => {
                if timed_out(&error) {
                    shared.faults.lock().unwrap().push(format!("no answer in {PATIENCE:?}"));
                }
                Err(error)
            }
        }
    }

    /// The rest of an answer; a broken connection is an answer that is not whole.
    fn body(&mut self, method: &str, head: &Head) -> (Vec<u8>, io::Result<()>) {
        let framing = if method == "HEAD" {
            Framing::Length(0)
        } else if head.has("transfer-encoding") {
            Framing::Chunked
        } else {
            let length = head.one("content-length").and_then(|length| length.parse().ok());
            Framing::Length(length.unwrap_or(0))
        };
        let mut body = Vec::new();
        let outcome = self.feed.body(framing, |piece| body.extend_from_slice(piece));
        (body, outcome)
    }

    /// A whole exchange, remembered however it ends.
    fn exchange(&mut self, shared: &Shared, method: &str, bytes: &[u8]) -> io::Result<()> {
        let head = self.ask(shared, bytes)?;
        let (body, outcome) = self.body(method, &head);
        remember(shared, method, &head, &body, outcome.is_ok());
        let closes = head.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"));
        if closes { Err(io::ErrorKind::UnexpectedEof.into()) } else { outcome }
    }
}

fn remember(shared: &Shared, method: &str, head: &Head, body: &[u8], whole: bool) {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = problem.and_then(|problem| problem["code"].as_str().map(str::to_owned));
    // The body of a refusal of HEAD is not sent, and one that was cut is no JSON: by the status alone it is one of ours.
    let is_refusal = matches!(head.word(1), "401" | "403");
    let code = code.unwrap_or_else(|| if is_refusal { "cut".to_owned() } else { String::new() });
    let whole = whole && code != "cut";
    let request_id = head.one("x-request-id").expect("a request id").to_owned();
    let status = head.word(1).parse().unwrap();
    let method = method.to_owned();
    let answered = Answered { request_id, method, status, code, whole };
    shared.answered.lock().unwrap().push(answered);
}

/// Forty requests on one connection, some with bodies of either framing.
fn mixed(shared: &Shared, line: &mut Line) -> io::Result<()> {
    for _ in 0..40 {
        if shared.has_ended() {
            return Ok(());
        }
        let (method, target, key) = ASKED[fastrand::usize(..ASKED.len())];
        let bytes = match (method, fastrand::bool()) {
            ("POST" | "PUT", true) => {
                let body = "x".repeat(fastrand::usize(1..3_000));
                request_with(method, target, key, "", &body)
            }
            ("POST" | "PUT", false) => {
                let chunked = "Transfer-Encoding: chunked\r\n";
                let head = request_with(method, target, key, chunked, "");
                [&head[..], b"4\r\nbody\r\n6\r\nchunks\r\n0\r\n\r\n"].concat()
            }
            _ => request(method, target, key),
        };
        line.exchange(shared, method, &bytes)?;
        thread::sleep(Duration::from_micros(fastrand::u64(..PAUSE_MICROS)));
    }
    Ok(())
}

/// A tunnel that is held for a while.
fn tunnelled(shared: &Shared, line: &mut Line) -> io::Result<()> {
    let head = line.ask(shared, &request_with("GET", "/v1/live", "key-all", UPGRADE, ""))?;
    remember(shared, "GET", &head, b"", false);
    let until = Instant::now() + Duration::from_millis(fastrand::u64(10..500));
    while Instant::now() < until && !shared.has_ended() {
        line.feed.stream.write_all(b"hello")?;
        if line.feed.fill()? == 0 {
            return Ok(());
        }
        line.feed.forget();
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// An answer without an end, of which a part is read.
fn streamed(shared: &Shared, line: &mut Line) -> io::Result<()> {
    let head = line.ask(shared, &request("GET", "/v1/appointments/stream", "key-read"))?;
    remember(shared, "GET", &head, b"", false);
    let until = Instant::now() + Duration::from_millis(fastrand::u64(10..500));
    while Instant::now() < until && !shared.has_ended() && line.feed.fill()? > 0 {
        line.feed.forget();
    }
    Ok(())
}

/// Somebody without keys, or with wrong ones, or who needs none.
fn strange(shared: &Shared, line: &mut Line) -> io::Result<()> {
    let secret = fixture::key("nobody");
    let wrong = format!(
        "GET /v1/patients HTTP/1.1\r\nHost: gw.test\r\nX-Subscriber-Key: {secret}\r\nX-Vendor-Key: {secret}\r\n\r\n"
    );
    let none = "GET /v1/patients HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    let public = "GET /v1/status HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    for bytes in [wrong.as_str(), none, public] {
        if shared.has_ended() {
            return Ok(());
        }
        line.exchange(shared, "GET", bytes.as_bytes())?;
        thread::sleep(STRANGERS_PAUSE);
    }
    Ok(())
}
