//! One connection from its first byte to its last: handshake, protocol, requests, deadlines, a clean end.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Proxy;
use crate::model::{Refusal, RequestId};
use crate::proxy::guard::io::{Guard, Guarded};
use crate::proxy::guard::{h1, h2};
use crate::proxy::handle;
use crate::proxy::listener::{Door, Entrance};
use crate::proxy::pulse::{Overdue, Pulse, Timers, Wire};
use crate::proxy::respond;
use crate::proxy::seats::Seated;
use crate::proxy::session::Session;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::sniff::{Opening, sniff};
use crate::proxy::worker::Worker;

/// hyper's own least size of a buffer.
const MIN_BUFFER: usize = 8192;
/// How long and how much is read of what a refused caller still sends, so that the answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;
/// A connection that was queued when the drain began may still send its request.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What has asked nothing for so long gives back most of its memory, in up to twice the time.
const WAKEFUL: Duration = Duration::from_secs(1);

/// HTTP/2: what one stream and one connection may send ahead of us (Envoy's edge numbers).
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const FRAME: u32 = 16 * 1024;
/// What we hold of one stream's answer for a caller who reads slowly.
const SEND_BUFFER: usize = 64 * 1024;
const PENDING_RESETS: usize = 20;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How a connection came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// hyper is done with it.
    Finished,
    /// What came was not HTTP.
    Unreadable,
    TimedOut(Overdue),
    /// It goes on with the next request, which may be long in coming.
    Dozing,
    /// What it carried lost its standing.
    Cut,
}

/// What is under a connection, whatever is spoken over it.
trait Wired {
    fn socket(&self) -> &TcpStream;
}

impl Wired for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wired for Box<TlsStream<TcpStream>> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Serves one connection; counted as open for as long.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    seated: Seated,
    door: Door,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let _open = Open::new(&worker);
    let snapshot = worker.snapshot.load_full();
    let session = |https| Session::new(Rc::clone(&worker), &seated.seat, peer.ip(), https);
    let tls = match door.entrance(&snapshot) {
        Entrance::Plain => {
            return speak(&snapshot, &seated, session(false), stream, None).await;
        }
        Entrance::Tls(tls) => tls,
        Entrance::Gone => return,
    };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let Ok(Ok(stream)) = timeout(snapshot.config.proxy.handshake_timeout, handshake).await else {
        return;
    };
    let agreed = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Some(Wire::Http2),
        Some(_) => Some(Wire::Http1),
        None => None,
    };
    // In a box: it is large, and moved from future to future.
    speak(&snapshot, &seated, session(true), Box::new(stream), agreed).await;
}

/// Finds out the protocol, unless the handshake agreed on one, and speaks it.
async fn speak<S>(
    snapshot: &Snapshot,
    seated: &Seated,
    session: Session,
    mut stream: S,
    agreed: Option<Wire>,
) where
    S: AsyncRead + AsyncWrite + Wired + Unpin + Send + 'static,
{
    let proxy = &snapshot.config.proxy;
    let patience = if seated.is_draining() { DRAIN_GRACE } else { proxy.header_timeout };
    let opening = tokio::select! {
        biased;
        opening = sniff(&mut stream) => opening.ok(),
        () = sleep(patience) => None,
        () = until_draining(seated) => None,
    };
    let Some((sniffed, opening)) = opening else { return };
    match agreed.unwrap_or(sniffed) {
        Wire::Http1 => speak_http1(proxy, seated, session, stream, opening).await,
        Wire::Http2 => speak_http2(proxy, seated, session, stream, opening).await,
    }
}

/// Ready some time after the worker began to drain.
async fn until_draining(seated: &Seated) {
    poll_fn(|cx| {
        seated.seat.watch(cx.waker());
        if seated.is_draining() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    sleep(DRAIN_GRACE).await;
}

async fn speak_http1<S>(
    proxy: &Proxy,
    seated: &Seated,
    session: Session,
    stream: S,
    opening: Opening,
) where
    S: AsyncRead + AsyncWrite + Wired + Unpin + Send + 'static,
{
    let guard = h1::Guard::new(proxy.max_target, proxy.max_header_bytes, proxy.max_headers);
    let guard = Guard::Http1(guard);
    let (io, gone) = guarded(stream, opening, guard, seated);
    let session = Rc::new(session);
    let answering = Rc::clone(&session);
    let service = service_fn(move |request: Request<Incoming>| {
        handle::answer(Rc::clone(&answering), request)
    });
    let timers = Timers::of(proxy);
    let mut io = io;
    let (end, stream) = loop {
        // In a box: what sleeps should be small.
        let mut connection =
            Box::new(http1_builder(proxy).serve_connection(io, &service).with_upgrades());
        let shut = |connection: Pin<&mut http1::UpgradeableConnection<_, _>>| {
            connection.graceful_shutdown();
        };
        let end = drive(Pin::new(&mut *connection), shut, seated, timers, Wire::Http1).await;
        count_unreadable(&session.worker, &end);
        let Some(parts) = connection.into_parts() else {
            // A tunnel has the connection now; this task goes on counting it.
            return gone.await.unwrap_or(());
        };
        let guarded = parts.io.into_inner();
        // What hyper has and has not begun with is the rest of nothing: whoever dozes stands between requests.
        if end != End::Dozing || !parts.read_buf.is_empty() {
            break (end, guarded.into_inner());
        }
        if let Some(end) = doze(guarded.get_ref().socket(), seated, timers).await {
            let mut stream = guarded.into_inner();
            // Under TLS, whoever waits is to know that nothing was cut off.
            let _whoever_does_not_take_it = timeout(LINGER, stream.shutdown()).await;
            break (end, stream);
        }
        io = TokioIo::new(guarded);
    };
    match end {
        End::TimedOut(Overdue::HeadTooSlow) => {
            part(&session.worker, &Refusal::RequestTimeout, stream).await;
        }
        End::Finished if seated.seat.pulse.lingers() => linger(stream).await,
        // An answer without a length ends with its connection: only a reset says that it was not whole.
        End::Cut => stream.socket().set_zero_linger().unwrap_or(()),
        End::Finished | End::Dozing | End::TimedOut(_) | End::Unreadable => {}
    }
}

fn http1_builder(proxy: &Proxy) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .keep_alive(true)
        .pipeline_flush(false)
        // Our own timers are cheaper, and answer.
        .header_read_timeout(None)
        // The guard counts to the byte; hyper's own limit lies behind it.
        .max_buf_size(proxy.max_header_bytes.saturating_add(MIN_BUFFER));
    if proxy.max_headers != 100 {
        // hyper's own default, which it keeps on the stack; the guard lets no more pass.
        builder.max_headers(proxy.max_headers);
    }
    builder
}

/// A caller that has asked nothing for a while: hyper and its buffers are gone, and come back with the next byte. None then, or
/// how the connection ends.
async fn doze(socket: &TcpStream, seated: &Seated, timers: Timers) -> Option<End> {
    let pulse: &Pulse = &seated.seat.pulse;
    let mut readable = pin!(socket.readable());
    let mut watchdog = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        seated.seat.watch(cx.waker());
        if pulse.is_cut() {
            return Poll::Ready(Some(End::Cut));
        }
        // Whether a request or the end has come, hyper will see.
        if readable.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if seated.is_draining() {
            return Poll::Ready(Some(End::Finished));
        }
        while watchdog.as_mut().poll(cx).is_ready() {
            match pulse.due(&timers, Wire::Http1, Instant::now()) {
                Ok(next) => watchdog.as_mut().reset(next),
                Err(overdue) => return Poll::Ready(Some(End::TimedOut(overdue))),
            }
        }
        Poll::Pending
    })
    .await
}

async fn speak_http2<S>(
    proxy: &Proxy,
    seated: &Seated,
    session: Session,
    stream: S,
    opening: Opening,
) where
    S: AsyncRead + AsyncWrite + Wired + Unpin + Send + 'static,
{
    let (io, _gone) = guarded(stream, opening, Guard::Http2(h2::Guard::new()), seated);
    let streams = session.streams.clone();
    let worker = Rc::clone(&session.worker);
    let session = Rc::new(session);
    // In a box: on its way into a task of its own it is moved from hand to hand.
    let service = service_fn(move |request: Request<Incoming>| {
        Box::pin(handle::answer(Rc::clone(&session), request))
    });
    let list = u32::try_from(proxy.max_header_bytes).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(proxy.max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(list)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut connection = Box::pin(builder.serve_connection(io, service));
    let shut = |connection: Pin<&mut http2::Connection<_, _, _>>| connection.graceful_shutdown();
    let timers = Timers::of(proxy);
    let end = drive(connection.as_mut(), shut, seated, timers, Wire::Http2).await;
    count_unreadable(&worker, &end);
    if end == End::TimedOut(Overdue::Idle) {
        connection.as_mut().graceful_shutdown();
        if timeout(DRAIN_GRACE, connection).await.is_err() {
            tracing::debug!("an idle HTTP/2 caller did not answer the farewell");
        }
    }
}

/// In place of a record.
fn count_unreadable(worker: &Worker, end: &End) {
    if *end == End::Unreadable {
        let refusal = Refusal::MalformedRequest("it is not HTTP");
        worker.cells.request(respond::status(&refusal), refusal.code());
    }
}

fn guarded<S>(
    stream: S,
    opening: Opening,
    guard: Guard,
    seated: &Seated,
) -> (TokioIo<Guarded<S>>, oneshot::Receiver<()>) {
    let (io, gone) = Guarded::new(stream, opening, guard, Arc::clone(&seated.seat.pulse));
    (TokioIo::new(io), gone)
}

/// Runs a connection until hyper is done with it or a deadline has passed; tells it when the worker drains.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    shut: impl Fn(Pin<&mut C>),
    seated: &Seated,
    timers: Timers,
    wire: Wire,
) -> End {
    let pulse: &Pulse = &seated.seat.pulse;
    let mut watchdog = pin!(sleep_until(Instant::now() + timers.shortest().min(WAKEFUL)));
    let mut told = false;
    poll_fn(|cx| {
        seated.seat.watch(cx.waker());
        if pulse.is_cut() {
            return Poll::Ready(End::Cut);
        }
        loop {
            match connection.as_mut().poll(cx) {
                // What cannot be read has no record; hyper has answered it, or could not even do that.
                Poll::Ready(Err(error)) if error.is_parse() => return Poll::Ready(End::Unreadable),
                Poll::Ready(_) => return Poll::Ready(End::Finished),
                Poll::Pending => {}
            }
            if told || !seated.is_draining() {
                break;
            }
            told = true;
            shut(connection.as_mut());
        }
        while watchdog.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let next = match pulse.due(&timers, wire, now) {
                Ok(next) => next,
                Err(overdue) => return Poll::Ready(End::TimedOut(overdue)),
            };
            if wire == Wire::Http1 && pulse.may_doze(WAKEFUL, now) {
                return Poll::Ready(End::Dozing);
            }
            let next = if wire == Wire::Http1 { next.min(now + WAKEFUL) } else { next };
            watchdog.as_mut().reset(next);
        }
        Poll::Pending
    })
    .await
}

/// Answers the first request of a connection that has no seat, and closes it. HTTP/2 has no answer before its settings:
/// that is closed at once.
pub(crate) async fn turn_away(worker: &Worker, mut stream: TcpStream) {
    // A caller that had not asked yet would not take it for its answer.
    if let Ok(Ok((Wire::Http1, _))) = timeout(LINGER, sniff(&mut stream)).await {
        part(worker, &Refusal::Overloaded, stream).await;
    }
}

/// The last word to a caller of HTTP/1 whose request hyper never had.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    refusal: &Refusal,
    mut stream: S,
) {
    let id = RequestId::new(worker.rng.borrow_mut().u128(..));
    let config = &worker.snapshot.load_full().config;
    let (status, bytes) = respond::refuse_on_the_wire(config, refusal, id);
    worker.cells.request(status, refusal.code());
    if timeout(LINGER, stream.write_all(&bytes)).await.is_ok_and(|sent| sent.is_ok()) {
        linger(stream).await;
    }
}

/// Ends the writing side, and reads away what the caller still sends: closing before would reset the connection, and
/// the reset can overtake the answer.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let reading = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut bin = vec![0; MIN_BUFFER];
        let mut total = 0;
        while total < LINGER_BYTES {
            match stream.read(&mut bin).await {
                Ok(0) | Err(_) => return,
                Ok(read) => total += read,
            }
        }
    };
    // Whoever goes on sending for longer has chosen to.
    timeout(LINGER, reading).await.unwrap_or(());
}

/// Counts a connection as open while it lives.
struct Open(Rc<Worker>);

impl Open {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.cells.connection_opened();
        Self(Rc::clone(worker))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.cells.connection_closed();
    }
}
