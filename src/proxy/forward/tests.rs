//! Real sockets: a scripted upstream that says exactly what it is told to, and tells what it got.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::config::{Endpoint, Upstream, UpstreamTls};
use crate::model::Place;
use crate::proxy::body::BodyFault;
use crate::proxy::body::request::Fate;
use crate::proxy::forward::order::tests::{order, parts};
use crate::proxy::upstream::outgoing::Scripted;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub(crate) fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

pub(crate) async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, Endpoint { https: false, host: "127.0.0.1".into(), port })
}

pub(crate) fn upstream(endpoints: Vec<Endpoint>) -> Upstream {
    Upstream {
        name: "practice".into(),
        place: Place { file: "postern.yaml".into(), line: 1, column: 1 },
        endpoints,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        health: None,
        headers: Vec::new(),
        tls: UpstreamTls::default(),
        preserve_host: false,
    }
}

/// Answers each connection with its script, one answer a request; `close` ends the connection then.
/// Gives what each connection sent, as it comes.
fn play(listener: TcpListener, scripts: Vec<Vec<&'static str>>) -> mpsc::UnboundedReceiver<String> {
    let (told, got) = mpsc::unbounded_channel();
    spawn_local(async move {
        for script in scripts {
            let (mut socket, _) = listener.accept().await.unwrap();
            let told = told.clone();
            spawn_local(async move {
                for line in script {
                    if line == "close" {
                        return;
                    }
                    let head = read_head(&mut socket).await;
                    if head.is_empty() {
                        return;
                    }
                    told.send(head).unwrap();
                    if socket.write_all(line.as_bytes()).await.is_err() {
                        return;
                    }
                }
                let mut rest = Vec::new();
                let ended = socket.read_to_end(&mut rest).await.is_ok();
                told.send(format!("end {ended}")).unwrap();
            });
        }
    });
    got
}

async fn read_head(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && socket.read(&mut byte).await.unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

type Outcome = Result<Response<ResponseBody>, Refusal>;

async fn send(pools: &Pools, shared: &Arc<Shared>, method: Method, body: Outgoing) -> Outcome {
    let order = order(method, "/v1/patients?a=b", None);
    deliver(pools, shared, &order, &parts(&[("accept", "*/*")]), body).await
}

async fn get(pools: &Pools, shared: &Arc<Shared>) -> Outcome {
    send(pools, shared, Method::Get, Outgoing::empty()).await
}

async fn text(outcome: Outcome) -> String {
    let bytes = outcome.unwrap().into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn upload(frames: &[&'static str]) -> Outgoing {
    let (sender, receiver) = mpsc::channel(8);
    for frame in frames {
        sender.try_send(Ok(Frame::data(Bytes::from_static(frame.as_bytes())))).unwrap();
    }
    Scripted { frames: receiver, length: None, fault: Rc::default() }.into()
}

/// One GET against an upstream that answers `script`; with what it was asked.
async fn once(script: &'static str) -> Outcome {
    let (listener, endpoint) = listen().await;
    let _got = play(listener, vec![vec![script, "close"]]);
    let shared = Shared::build(upstream(vec![endpoint])).unwrap();
    get(&Pools::default(), &shared).await
}

#[test]
fn a_connection_is_used_again_and_the_request_is_what_was_judged() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let host = endpoint.authority();
        let mut got = play(listener, vec![vec![OK, OK]]);
        let shared = Shared::build(upstream(vec![endpoint])).unwrap();
        let pools = Pools::default();
        for _ in 0..2 {
            let response = get(&pools, &shared).await;
            assert_eq!(response.as_ref().unwrap().headers()["cache-control"], "no-store");
            assert_eq!(text(response).await, "ok");
            let sent = got.recv().await.unwrap();
            let expected = format!(
                "GET /v1/patients?a=b HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\n\
                 x-request-id: 00000000000000000000000000000007\r\nx-forwarded-for: 192.0.2.9\r\n\
                 x-forwarded-host: gw.test\r\n\
                 traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
                 x-forwarded-proto: http\r\n\r\n"
            );
            assert_eq!(sent, expected);
        }
    });
}

#[test]
fn a_silent_end_is_tried_once_more_only_where_that_is_safe() {
    on_one_thread(async {
        for (method, body, tries) in [
            (Method::Get, Outgoing::empty(), 2),
            (Method::Delete, Outgoing::empty(), 2),
            (Method::Post, Outgoing::empty(), 1),
            (Method::Put, upload(&["a"]), 1),
        ] {
            let (listener, endpoint) = listen().await;
            let mut got = play(listener, vec![vec!["", "close"]; 3]);
            let shared = Shared::build(upstream(vec![endpoint])).unwrap();
            let outcome = send(&Pools::default(), &shared, method, body).await;
            assert_eq!(outcome.unwrap_err(), Refusal::UpstreamProtocolError);
            let mut heads = 0;
            while got.try_recv().is_ok() {
                heads += 1;
            }
            assert_eq!(heads, tries, "{method}");
        }
    });
}

#[test]
fn an_answer_that_only_began_is_not_asked_for_again() {
    on_one_thread(async {
        for begun in ["H", "HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            let (listener, endpoint) = listen().await;
            let mut got = play(listener, vec![vec![begun, "close"]; 2]);
            let shared = Shared::build(upstream(vec![endpoint])).unwrap();
            let outcome = get(&Pools::default(), &shared).await;
            assert_eq!(outcome.unwrap_err(), Refusal::UpstreamProtocolError);
            assert!(got.try_recv().is_ok() && got.try_recv().is_err(), "{begun}");
        }
    });
}

#[test]
fn what_a_status_is_called_is_the_upstreams_to_say() {
    on_one_thread(async {
        for (line, phrase) in [
            ("299 Odd", Some("Odd")),
            ("204 No", Some("No")),
            ("204 No Content", None),
            ("204", None),
        ] {
            let answer: &'static str =
                format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").leak();
            let response = once(answer).await.unwrap();
            let told = response.extensions().get::<hyper::ext::ReasonPhrase>();
            assert_eq!(told.map(|told| told.as_bytes()), phrase.map(str::as_bytes), "{line}");
        }
    });
}

#[test]
fn chunked_long_and_empty_answers_give_their_connection_back_too() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\nx-t: 1\r\n\r\n";
        let empty = "HTTP/1.1 204 No Content\r\n\r\n";
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 50000\r\n\r\n{:50000}", "");
        let _got = play(listener, vec![vec![chunked, empty, long.leak(), chunked, OK]]);
        let shared = Shared::build(upstream(vec![endpoint])).unwrap();
        let pools = Pools::default();
        for expected in ["ok!", "", " ", "ok!", "ok"] {
            let body = text(get(&pools, &shared).await).await;
            assert!(body == expected || (body.len() == 50000 && expected == " "), "{expected}");
        }
    });
}

#[test]
fn a_kept_connection_that_was_closed_costs_nothing() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let _got = play(listener, vec![vec![OK, "close"], vec![OK, "close"], vec![OK]]);
        let shared = Shared::build(upstream(vec![endpoint])).unwrap();
        let pools = Pools::default();
        for _ in 0..3 {
            assert_eq!(text(get(&pools, &shared).await).await, "ok");
        }
    });
}

#[test]
fn what_is_no_answer_is_told_as_such() {
    on_one_thread(async {
        for script in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx",
            "HTTP/1.1 2",
        ] {
            assert_eq!(once(script).await.unwrap_err(), Refusal::UpstreamProtocolError, "{script}");
        }
    });
}

#[test]
fn interim_answers_are_passed_over_and_hop_by_hop_headers_dropped() {
    on_one_thread(async {
        let response = once(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
             HTTP/1.1 302 Found\r\nlocation: http://other/x\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
             connection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-request-id: theirs\r\n\
             cache-control: private\r\ncontent-length: 00\r\ncontent-length: 0\r\n\r\n",
        )
        .await
        .unwrap();
        let lines = response.headers().iter();
        let mut lines: Vec<_> =
            lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "cache-control: private",
                "content-length: 0",
                "location: http://other/x",
                "set-cookie: a=1",
                "set-cookie: b=2",
                "x-request-id: 00000000000000000000000000000007",
            ]
        );
    });
}

#[test]
fn bytes_after_an_answer_are_never_another_answer() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let poisoned = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        let _got = play(listener, vec![vec![poisoned, OK], vec![OK]]);
        let shared = Shared::build(upstream(vec![endpoint])).unwrap();
        let pools = Pools::default();
        assert_eq!(text(get(&pools, &shared).await).await, "ok");
        assert_eq!(text(get(&pools, &shared).await).await, "ok");
    });
}

#[test]
fn a_part_is_never_taken_for_the_whole() {
    on_one_thread(async {
        let long = once("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\nhello").await.unwrap();
        assert!(long.into_body().collect().await.is_err());
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let chunked = once(chunked).await.unwrap();
        assert!(chunked.into_body().collect().await.is_err());
    });
}

#[test]
fn an_upstream_that_falls_silent_is_given_up_in_head_and_body() {
    on_one_thread(async {
        let body = "HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\nhello";
        for (script, in_head) in [("", true), (body, false)] {
            let (listener, endpoint) = listen().await;
            let mut got = play(listener, vec![vec![script]]);
            let mut spec = upstream(vec![endpoint]);
            spec.response_timeout = Duration::from_millis(50);
            let shared = Shared::build(spec).unwrap();
            match get(&Pools::default(), &shared).await {
                Err(refusal) => assert!(in_head && refusal == Refusal::UpstreamTimeout),
                Ok(response) => {
                    assert!(!in_head && response.into_body().collect().await.is_err());
                }
            }
            got.recv().await.unwrap();
            assert!(got.recv().await.unwrap().starts_with("end"), "the connection is closed");
        }
    });
}

#[test]
fn an_upload_in_progress_is_not_the_upstreams_silence() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let mut spec = upstream(vec![endpoint]);
        spec.response_timeout = Duration::from_millis(60);
        let shared = Shared::build(spec).unwrap();
        let (sender, frames) = mpsc::channel(1);
        spawn_local(async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                sender.send(Ok(Frame::data(Bytes::from_static(b"x")))).await.unwrap();
            }
        });
        spawn_local(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut text, mut part) = (Vec::new(), [0; 1024]);
            while !text.ends_with(b"0\r\n\r\n") {
                let read = socket.read(&mut part).await.unwrap();
                text.extend_from_slice(&part[..read]);
            }
            socket.write_all(OK.as_bytes()).await.unwrap();
        });
        let body = Scripted { frames, length: None, fault: Rc::default() }.into();
        assert_eq!(text(send(&Pools::default(), &shared, Method::Post, body).await).await, "ok");
    });
}

#[test]
fn endpoints_that_refuse_are_passed_over() {
    on_one_thread(async {
        let (gone, refusing) = listen().await;
        drop(gone);
        let alone = Shared::build(upstream(vec![refusing.clone()])).unwrap();
        let outcome = get(&Pools::default(), &alone).await;
        assert_eq!(outcome.unwrap_err(), Refusal::UpstreamUnreachable);
        let (listener, endpoint) = listen().await;
        let _got = play(listener, vec![vec![OK; 9]; 9]);
        let shared = Shared::build(upstream(vec![refusing, endpoint])).unwrap();
        let pools = Pools::default();
        for _ in 0..8 {
            let body = upload(&["a", "b"]);
            let outcome = send(&pools, &shared, Method::Post, body).await;
            assert_eq!(text(outcome).await, "ok");
        }
        assert_eq!(
            shared.health().iter().map(|(_, well)| *well).collect::<Vec<_>>(),
            [false, true]
        );
    });
}

/// An upload that breaks by the caller's doing.
fn broken_upload() -> Outgoing {
    let (sender, frames) = mpsc::channel(1);
    let fault: Rc<Fate> = Rc::default();
    let told = Rc::clone(&fault);
    spawn_local(async move {
        sender.send(Ok(Frame::data(Bytes::from_static(b"x")))).await.unwrap();
        told.set(Some(BodyFault::TooLarge { limit: 1 }));
        sender.send(Err(BodyFault::TooLarge { limit: 1 })).await.unwrap();
    });
    Scripted { frames, length: None, fault }.into()
}

#[test]
fn a_callers_fault_is_told_to_the_caller_and_not_held_against_the_endpoint() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let _got = play(listener, vec![vec![]; 9]);
        let shared = Shared::build(upstream(vec![endpoint])).unwrap();
        let pools = Pools::default();
        for _ in 0..4 {
            let outcome = send(&pools, &shared, Method::Post, broken_upload()).await;
            assert_eq!(outcome.unwrap_err(), Refusal::BodyTooLarge { limit: 1 });
        }
        assert!(shared.health().iter().all(|(_, well)| *well));
    });
}

#[test]
fn an_endpoint_that_never_answers_in_time_is_left_alone_for_a_while() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let mut spec = upstream(vec![endpoint]);
        spec.response_timeout = Duration::from_millis(10);
        let shared = Shared::build(spec).unwrap();
        let _mute = listener;
        for _ in 0..3 {
            let outcome = get(&Pools::default(), &shared).await;
            assert_eq!(outcome.unwrap_err(), Refusal::UpstreamTimeout);
        }
        assert!(shared.health().iter().all(|(_, well)| !*well));
    });
}

#[test]
fn a_worker_opens_no_more_connections_than_it_may_and_gives_up_an_idle_one_for_another_upstream() {
    on_one_thread(async {
        let (mute, silent) = listen().await;
        let (listener, speaking) = listen().await;
        let _got = play(listener, vec![vec![OK; 9]; 9]);
        let silent = Shared::build(upstream(vec![silent])).unwrap();
        let speaking = Shared::build(upstream(vec![speaking])).unwrap();
        let pools = Rc::new(Pools::default());
        let one_at_most = |shared: &Arc<Shared>| {
            let (pools, shared) = (Rc::clone(&pools), Arc::clone(shared));
            async move {
                let mut order = order(Method::Get, "/v1/patients", None);
                order.most_connections = 1;
                deliver(&pools, &shared, &order, &parts(&[]), Outgoing::empty()).await
            }
        };
        assert_eq!(text(one_at_most(&speaking).await).await, "ok");
        // The kept connection gives way to the one in use; a second one is one too many.
        spawn_local(one_at_most(&silent));
        let _held = mute.accept().await.unwrap();
        assert_eq!(one_at_most(&speaking).await.unwrap_err(), Refusal::Overloaded);
    });
}

#[test]
fn the_first_bytes_pass_while_the_rest_is_to_come_and_a_dropped_answer_closes() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let first = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        let mut got = play(listener, vec![vec![first]]);
        let shared = Shared::build(upstream(vec![endpoint])).unwrap();
        let pools = Pools::default();
        let mut body = get(&pools, &shared).await.unwrap().into_body();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "first");
        drop(body);
        got.recv().await.unwrap();
        assert!(got.recv().await.unwrap().starts_with("end"));
    });
}

#[test]
fn a_caller_who_goes_away_closes_the_upstream_connection() {
    on_one_thread(async {
        let (listener, endpoint) = listen().await;
        let mut got = play(listener, vec![vec![""]]);
        let shared = Shared::build(upstream(vec![endpoint])).unwrap();
        let pools = Pools::default();
        tokio::select! {
            _ = get(&pools, &shared) => panic!("nothing was answered"),
            head = got.recv() => assert!(head.unwrap().starts_with("GET")),
        }
        assert!(got.recv().await.unwrap().starts_with("end"));
    });
}
