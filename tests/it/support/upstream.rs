//! A recording upstream: exact bytes of every request, answers by script, misbehaviour included.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::eventually;
use super::message::{Feed, Framing, Head};

/// What a test sees of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) connection: usize,
    pub(crate) head: Head,
    /// At most the first 64 KiB.
    pub(crate) body: Vec<u8>,
    pub(crate) body_bytes: u64,
    /// The body came to its proper end.
    pub(crate) complete: bool,
}

impl Recorded {
    pub(crate) fn line(&self) -> &str {
        &self.head.start
    }
}

pub(crate) enum Then {
    Keep,
    Close,
}

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Script = dyn Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync;

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    /// Bytes that were no request.
    garbage: Mutex<Vec<u8>>,
    /// Of the connections that are open, by number.
    sockets: Mutex<HashMap<usize, TcpStream>>,
    stop: AtomicBool,
}

/// Listens until dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    https: bool,
    state: Arc<State>,
}

/// One request being answered.
pub(crate) struct Exchange<'a> {
    pub(crate) head: Head,
    feed: &'a mut Feed<Box<dyn Duplex>>,
    socket: &'a TcpStream,
    state: &'a State,
    index: usize,
}

/// `HTTP/1.1 200 OK` with a length and these extra header lines (each ending in CRLF).
pub(crate) fn ok(extra: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{extra}\r\n{body}", body.len()).into_bytes()
}

fn whole_then_ok(exchange: &mut Exchange<'_>) -> io::Result<Then> {
    exchange.body()?;
    exchange.send(&ok("", "ok"))?;
    Ok(Then::Keep)
}

impl Upstream {
    /// Answers every request with 200 and `ok`.
    pub(crate) fn ok() -> Self {
        Self::start(whole_then_ok)
    }

    /// Reads each request whole, then answers these bytes.
    pub(crate) fn answering(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self::start(move |exchange| {
            exchange.body()?;
            exchange.send(&bytes)?;
            Ok(Then::Keep)
        })
    }

    pub(crate) fn start<F>(script: F) -> Self
    where
        F: Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    {
        Self::listen(ANY, None, Arc::new(script))
    }

    /// The same as `ok`, at an address of the test's own choice.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::listen(address, None, Arc::new(whole_then_ok))
    }

    pub(crate) fn tls(config: Arc<ServerConfig>) -> Self {
        Self::listen(ANY, Some(config), Arc::new(whole_then_ok))
    }

    fn listen(at: SocketAddr, tls: Option<Arc<ServerConfig>>, script: Arc<Script>) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let upstream = Self { address, https: tls.is_some(), state: Arc::clone(&state) };
        thread::spawn(move || {
            for socket in listener.incoming() {
                if state.stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                let number = state.connections.fetch_add(1, Ordering::SeqCst);
                state.sockets.lock().unwrap().extend(socket.try_clone().map(|own| (number, own)));
                let (state, script, tls) = (Arc::clone(&state), Arc::clone(&script), tls.clone());
                thread::spawn(move || {
                    state.open.fetch_add(1, Ordering::SeqCst);
                    serve(&socket, number, &state, &*script, tls);
                    state.sockets.lock().unwrap().remove(&number);
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        upstream
    }

    /// Goes away: no connection stays, none is taken, and the port is free.
    pub(crate) fn close(self) {
        let address = self.address;
        self.state.stop.store(true, Ordering::Relaxed);
        for socket in self.state.sockets.lock().unwrap().values() {
            drop(socket.shutdown(Shutdown::Both));
        }
        drop(self);
        eventually("the upstream to be gone", || TcpStream::connect(address).is_err());
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.address.port())
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The requests so far, and forgets them.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }

    pub(crate) fn count(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Fails if anything came that was no request.
    pub(crate) fn assert_readable(&self) {
        let garbage = self.state.garbage.lock().unwrap();
        assert!(garbage.is_empty(), "no request: {:?}", String::from_utf8_lossy(&garbage));
    }

    /// Fails if a single byte of a request came since the last `take`.
    pub(crate) fn assert_untouched(&self, because: &str) {
        self.assert_readable();
        let requests = self.requests();
        assert!(requests.is_empty(), "{because}: upstream saw {}", requests[0].head.text());
    }

    /// The one request since the last `take`.
    pub(crate) fn only(&self) -> Recorded {
        self.assert_readable();
        let mut requests = self.take();
        assert_eq!(
            requests.len(),
            1,
            "{:?}",
            requests.iter().map(Recorded::line).collect::<Vec<_>>()
        );
        requests.remove(0)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    socket: &TcpStream,
    number: usize,
    state: &State,
    script: &Script,
    tls: Option<Arc<ServerConfig>>,
) {
    socket.set_nodelay(true).unwrap();
    let Ok(inner) = socket.try_clone() else { return };
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(inner),
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), inner)),
    };
    let mut feed = Feed::new(stream);
    loop {
        let head = match feed.head() {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => {
                if !feed.rest().is_empty() || error.to_string().contains("strict") {
                    let mut garbage = state.garbage.lock().unwrap();
                    garbage.extend_from_slice(error.to_string().as_bytes());
                    garbage.extend_from_slice(feed.rest());
                }
                return;
            }
        };
        let recorded = Recorded { connection: number, head: head.clone(), ..Recorded::default() };
        let index = {
            let mut requests = state.requests.lock().unwrap();
            requests.push(recorded);
            requests.len() - 1
        };
        let mut exchange = Exchange { head, feed: &mut feed, socket, state, index };
        match script(&mut exchange) {
            Ok(Then::Keep) => {}
            Ok(Then::Close) | Err(_) => return,
        }
    }
}

impl Exchange<'_> {
    fn update(&self, change: impl FnOnce(&mut Recorded)) {
        // A `take` in between has moved the record away; nobody waits for this one any more.
        if let Some(recorded) = self.state.requests.lock().unwrap().get_mut(self.index)
            && recorded.head.raw == self.head.raw
        {
            change(recorded);
        }
    }

    pub(crate) fn framing(&self) -> Framing {
        if self.head.has("transfer-encoding") {
            Framing::Chunked
        } else {
            let length =
                self.head.all("content-length").first().and_then(|value| value.parse().ok());
            Framing::Length(length.unwrap_or(0))
        }
    }

    /// Reads the whole body.
    pub(crate) fn body(&mut self) -> io::Result<()> {
        self.whole_body().map(drop)
    }

    /// Reads the whole body; at most the first 64 KiB of it are kept.
    pub(crate) fn whole_body(&mut self) -> io::Result<Vec<u8>> {
        let framing = self.framing();
        let (mut kept, mut count) = (Vec::new(), 0_u64);
        let outcome = self.feed.body(framing, |piece| {
            count += piece.len() as u64;
            if kept.len() < 64 << 10 {
                kept.extend_from_slice(piece);
            }
        });
        self.update(|recorded| {
            recorded.body.clone_from(&kept);
            recorded.body_bytes = count;
            recorded.complete = outcome.is_ok();
        });
        outcome.map(|()| kept)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.feed.stream.write_all(bytes)?;
        self.feed.stream.flush()
    }

    /// Reads bytes as they come, whatever they are.
    pub(crate) fn read(&mut self) -> io::Result<Vec<u8>> {
        if self.feed.rest().is_empty() && self.feed.fill()? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = self.feed.rest().to_vec();
        self.feed.forget();
        Ok(bytes)
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(&mut self) -> io::Result<Then> {
        socket2::SockRef::from(self.socket).set_linger(Some(Duration::ZERO))?;
        Ok(Then::Close)
    }

    /// Says nothing until the gateway closes the connection or the test is over.
    pub(crate) fn hang(&mut self) -> io::Result<Then> {
        self.socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline && !self.state.stop.load(Ordering::Relaxed) {
            match self.feed.fill() {
                Ok(0) => return Ok(Then::Close),
                Ok(_) => {}
                Err(error) if super::wire::timed_out(&error) => {}
                Err(_) => return Ok(Then::Close),
            }
        }
        Ok(Then::Close)
    }

    /// Reads nothing at all until the test is over.
    pub(crate) fn stall(&mut self) -> io::Result<Then> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline && !self.state.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Then::Close)
    }
}
