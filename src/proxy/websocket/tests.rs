//! WebSocket handshakes and tunnels against scripted ends.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::model;
use crate::proxy::forward::order::tests::order;
use crate::proxy::forward::tests::{listen, on_one_thread, upstream};
use crate::proxy::recording::Slot;

use super::*;

type Change = Box<dyn FnOnce(&mut Parts)>;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn handshake(change: impl FnOnce(&mut Parts)) -> Result<Accept, Refusal> {
    let request = Request::get("/v1/live")
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "WebSocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY);
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    change(&mut parts);
    read_handshake(&parts)
}

#[test]
fn the_example_of_the_rfc_is_taken() {
    assert_eq!(handshake(|_| ()), Ok(*b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

#[test]
fn what_is_only_like_a_handshake_is_malformed() {
    let set = |name: &'static str, value: &'static str| {
        move |parts: &mut Parts| {
            parts.headers.insert(name, HeaderValue::from_static(value));
        }
    };
    let again = |name: &'static str, value: &'static str| {
        move |parts: &mut Parts| {
            parts.headers.append(name, HeaderValue::from_static(value));
        }
    };
    let cases: [Change; 14] = [
        Box::new(|parts| parts.method = Method::POST),
        Box::new(|parts| parts.version = Version::HTTP_2),
        Box::new(|parts| parts.version = Version::HTTP_10),
        Box::new(set("upgrade", "h2c")),
        Box::new(set("upgrade", "websocket, h2c")),
        Box::new(again("upgrade", "websocket")),
        Box::new(set("connection", "close")),
        Box::new(set("sec-websocket-version", "12")),
        Box::new(again("sec-websocket-version", "13")),
        Box::new(set("sec-websocket-key", "dGhlIHNhbXBsZQ==")),
        Box::new(set("sec-websocket-key", "")),
        Box::new(again("sec-websocket-key", KEY)),
        Box::new(set("content-length", "5")),
        Box::new(set("transfer-encoding", "chunked")),
    ];
    for (position, case) in cases.into_iter().enumerate() {
        let outcome = handshake(case);
        assert!(matches!(outcome, Err(Refusal::MalformedRequest(_))), "case {position}");
    }
    assert!(handshake(set("content-length", "0")).is_ok());
}

#[test]
fn only_the_answer_to_this_key_is_an_acceptance() {
    let accept = |value: &'static str, upgrade: &'static str, connection: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("sec-websocket-accept", HeaderValue::from_static(value));
        headers.insert("upgrade", HeaderValue::from_static(upgrade));
        headers.insert("connection", HeaderValue::from_static(connection));
        accepts(&headers, accept_of(KEY.as_bytes()))
    };
    assert!(accept("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "websocket", "Upgrade"));
    assert!(!accept("t3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "websocket", "Upgrade"));
    assert!(!accept("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "foo", "Upgrade"));
    assert!(!accept("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "websocket", "close"));
}

const ASK: &str = "GET /v1/live HTTP/1.1\r\nhost: gw.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPTANCE: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A gateway of one route in front of `shared`; a refusal is a body that names it. Gives its address.
async fn gateway(shared: Arc<Shared>, idle: Duration) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let shared = Arc::clone(&shared);
            async move {
                let upgrade = hyper::upgrade::on(&mut request);
                let (parts, _) = request.into_parts();
                let order = order(model::Method::Get, "/v1/live", None);
                let pools = Pools::default();
                let term = Term { idle, open: None };
                let answer =
                    open_tunnel(&pools, &shared, &order, &parts, upgrade, term, &Slot::default())
                        .await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|refusal| {
                    Response::new(ResponseBody::Own(Full::from(Bytes::from_static(
                        refusal.code().as_bytes(),
                    ))))
                }))
            }
        });
        let server = hyper::server::conn::http1::Builder::new();
        drop(server.serve_connection(TokioIo::new(socket), service).with_upgrades().await);
    });
    address
}

async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(end.as_bytes()) && socket.read(&mut byte).await.unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// Plays both ends: the upstream answers `answer` to what it is asked; then `then` has both sockets.
fn play<F: Future<Output = ()>>(
    answer: &'static str,
    idle: Duration,
    then: impl FnOnce(TcpStream, TcpStream) -> F,
) {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let shared = Shared::build(upstream(vec![endpoint])).unwrap();
        let mut caller = TcpStream::connect(gateway(shared, idle).await).await.unwrap();
        // Early data: nothing of it may reach the upstream before its 101.
        caller.write_all(format!("{ASK}early").as_bytes()).await.unwrap();
        let (mut practice, _) = listener.accept().await.unwrap();
        let asked = read_until(&mut practice, "\r\n\r\n").await;
        assert!(asked.contains("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "{asked}");
        assert!(asked.contains("connection: Upgrade\r\nupgrade: websocket\r\n"), "{asked}");
        let mut byte = [0];
        assert!(practice.try_read(&mut byte).is_err(), "nothing follows the handshake");
        practice.write_all(answer.as_bytes()).await.unwrap();
        then(caller, practice).await;
    });
}

#[test]
fn bytes_pass_both_ways_after_the_handshake_and_the_ends_pass_too() {
    play(ACCEPTANCE, Duration::from_secs(9), |mut caller, mut practice| async move {
        let head = read_until(&mut caller, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert_eq!(read_until(&mut practice, "early").await, "early");
        practice.write_all(b"down").await.unwrap();
        assert_eq!(read_until(&mut caller, "down").await, "down");
        drop(practice);
        assert_eq!(read_until(&mut caller, "?").await, "");
    });
}

#[test]
fn an_idle_tunnel_is_closed_on_both_sides() {
    play(ACCEPTANCE, Duration::from_millis(50), |mut caller, mut practice| async move {
        read_until(&mut caller, "\r\n\r\n").await;
        assert_eq!(read_until(&mut practice, "?").await, "early");
        assert_eq!(read_until(&mut caller, "?").await, "");
    });
}

#[test]
fn a_wrong_acceptance_makes_no_tunnel() {
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-accept: AAAAAMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    play(wrong, Duration::from_secs(9), |mut caller, mut practice| async move {
        let end = "upstream_protocol_error";
        assert!(read_until(&mut caller, end).await.ends_with(end));
        assert_eq!(read_until(&mut practice, "?").await, "");
    });
}

#[test]
fn any_other_answer_is_an_ordinary_one() {
    let refused = "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno";
    play(refused, Duration::from_secs(9), |mut caller, mut practice| async move {
        let head = read_until(&mut caller, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
        assert_eq!(read_until(&mut caller, "no").await, "no");
        assert_eq!(read_until(&mut practice, "?").await, "");
    });
}
