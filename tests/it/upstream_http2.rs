//! An https upstream that speaks HTTP/2: the same requests and answers, many at once on one connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::sync::Notify;

use super::support::fixture::{key_id, request_with};
use super::support::records::recorded;
use super::support::setup::Setup;
use super::support::tls::{Authority, server_with};
use super::support::{Gateway, Wire, request};

/// Says back what it was sent: method and target in headers, the body as the body.
struct Practice {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    /// Streams of `/held` that wait, and how many must wait together before any is answered.
    held: AtomicUsize,
    arrived: Notify,
}

const TOGETHER: usize = 8;

impl Practice {
    fn start(authority: &Authority) -> Self {
        let config = server_with(&authority.issue("127.0.0.1"), &["h2", "http/1.1"]);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let own = Arc::clone(&seen);
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    let (acceptor, seen) = (acceptor.clone(), Arc::clone(&own));
                    tokio::task::spawn_local(async move {
                        let Ok(stream) = acceptor.accept(socket).await else { return };
                        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                        seen.connections.fetch_add(1, Ordering::SeqCst);
                        let Ok(mut connection) = h2::server::handshake(stream).await else {
                            return;
                        };
                        while let Some(Ok((request, answer))) = connection.accept().await {
                            tokio::task::spawn_local(respond(request, answer, Arc::clone(&seen)));
                        }
                    });
                }
            });
        });
        Self { address, seen }
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    fn gateway(&self, authority: &Authority) -> Gateway {
        Setup::to(&[format!("https://{}", self.address)])
            .upstream("tls: { ca: ca.pem }")
            .file("ca.pem", authority.pem().as_bytes())
            .proxy("workers: 1")
            .start()
    }
}

async fn respond(
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    seen: Arc<Seen>,
) -> Option<()> {
    let (head, mut body) = request.into_parts();
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.ok()?;
        body.flow_control().release_capacity(piece.len()).ok()?;
        whole.extend_from_slice(&piece);
    }
    if head.uri.path().ends_with("/held") {
        if seen.held.fetch_add(1, Ordering::SeqCst) + 1 == TOGETHER {
            seen.arrived.notify_waiters();
        } else {
            seen.arrived.notified().await;
        }
    }
    let trailers = body.trailers().await.ok()?.unwrap_or_else(HeaderMap::new);
    let said = Response::builder()
        .header("x-saw", format!("{} {}", head.method, head.uri))
        .header("x-saw-key", head.headers.get("x-postern-key-id")?)
        .header("x-saw-hop", head.headers.contains_key("connection").to_string())
        .header("x-saw-trailers", trailers.len());
    if head.uri.path().ends_with("/late") {
        return end_late(&mut answer, said, whole);
    }
    let mut stream = answer.send_response(said.body(()).ok()?, whole.is_empty()).ok()?;
    // As much at a time as the caller has room for.
    while !whole.is_empty() {
        stream.reserve_capacity(whole.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
        let piece = whole.split_to(room.min(whole.len())).freeze();
        stream.send_data(piece, whole.is_empty()).ok()?;
    }
    Some(())
}

/// Says how long the answer is, and that it is over only after its last byte. Without a body it is a 204.
fn end_late(
    answer: &mut SendResponse<Bytes>,
    said: http::response::Builder,
    whole: BytesMut,
) -> Option<()> {
    let said = if whole.is_empty() {
        said.status(204)
    } else {
        said.header("content-length", whole.len())
    };
    let mut stream = answer.send_response(said.body(()).ok()?, false).ok()?;
    stream.send_data(whole.freeze(), false).ok()?;
    stream.send_data(Bytes::new(), true).ok()
}

#[test]
fn an_end_that_comes_after_the_last_byte_is_nobodys_leaving() {
    let authority = Authority::new();
    let practice = Practice::start(&authority);
    let gateway = practice.gateway(&authority);
    for (method, body, status) in
        [("POST", "hello", "200"), ("POST", "", "204"), ("GET", "", "204"), ("HEAD", "", "204")]
    {
        let asked = request_with(method, "/v1/appointments/late", "key-all", "", body);
        let (answer, record) = recorded(&gateway, &asked);
        assert_eq!((answer.status.to_string().as_str(), answer.text().as_str()), (status, body));
        record.assert(&[
            ("method", method),
            ("status", status),
            ("code", ""),
            ("bytes_out", &body.len().to_string()),
        ]);
    }
}

#[test]
fn requests_and_bodies_pass_both_ways() {
    let authority = Authority::new();
    let practice = Practice::start(&authority);
    let gateway = practice.gateway(&authority);
    let answer = gateway.get("/v1/patients?a=%20b&c");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let target = format!("GET https://{}/v1/patients?a=%20b&c", practice.address);
    assert_eq!(answer.head.one("x-saw"), Some(target.as_str()));
    assert_eq!(answer.head.one("x-saw-key"), Some(key_id("key-all")));
    // Nothing of ours, a few bytes, more than a window, and more than all windows together.
    for size in [0, 5, 100_000, 8 << 20] {
        let body = "0123456789abcdef".repeat(size / 16 + 1)[..size].to_owned();
        let post = request_with("POST", "/v1/appointments", "key-all", "", &body);
        let answer = gateway.send(&post);
        assert_eq!(answer.status, 200, "{size}: {}", answer.text());
        assert!(answer.complete && answer.text() == body, "{size}: {} back", answer.body.len());
        assert_eq!(answer.head.one("x-saw-hop"), Some("false"));
    }
    assert_eq!(practice.connections(), 1);
}

#[test]
fn a_chunked_body_arrives_whole_and_without_its_trailers() {
    let authority = Authority::new();
    let practice = Practice::start(&authority);
    let gateway = practice.gateway(&authority);
    let head = String::from_utf8(request_with(
        "PUT",
        "/v1/files/x",
        "key-all",
        "Transfer-Encoding: chunked\r\n",
        "",
    ));
    let answer =
        gateway.send((head.unwrap() + "2\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: t\r\n\r\n").as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.head.one("x-saw-trailers"), Some("0"));
}

#[test]
fn callers_share_one_connection() {
    let authority = Authority::new();
    let practice = Practice::start(&authority);
    let gateway = practice.gateway(&authority);
    assert_eq!(gateway.get("/v1/appointments").status, 200);
    let mut wires: Vec<Wire> = (0..TOGETHER).map(|_| gateway.wire()).collect();
    for wire in &mut wires {
        wire.send(&request("GET", "/v1/appointments/held", "key-all"));
    }
    // None is answered before all have arrived: were they in a row, this would hang.
    for mut wire in wires {
        assert_eq!(wire.answer().status, 200);
    }
    assert_eq!(practice.connections(), 1);
}
