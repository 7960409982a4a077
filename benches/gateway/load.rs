//! Load and upstreams on plain sockets: little work of their own, so that the proxies' work shows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SUBSCRIBER_KEY: &str = "sk-bench-0f1e2d3c4b5a69788796a5b4c3d2e1f0";
pub(crate) const VENDOR_KEY: &str = "vk-bench-0f1e2d3c4b5a69788796a5b4c3d2e1f0";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"fine\"}";

fn request(target: &str) -> Vec<u8> {
    request_as(target, SUBSCRIBER_KEY, VENDOR_KEY)
}

fn request_as(target: &str, subscriber: &str, vendor: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: gw.test\r\nX-Subscriber-Key: {subscriber}\r\nX-Vendor-Key: {vendor}\r\n\
         Accept: application/json\r\nUser-Agent: bench/1\r\n\r\n"
    )
    .into_bytes()
}

fn ends_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Serves each connection on a thread of its own.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Answers small requests without bodies.
pub(crate) fn upstream() -> SocketAddr {
    listen(|mut stream| {
        let (mut ahead, mut buffer) = (Vec::new(), [0; 8192]);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            ahead.extend_from_slice(&buffer[..count]);
            while let Some(end) = ends_head(&ahead) {
                ahead.drain(..end);
                if stream.write_all(ANSWER).is_err() {
                    return;
                }
            }
        }
    })
}

/// Answers each request with so many MiB.
pub(crate) fn big_upstream(mebibytes: usize) -> SocketAddr {
    listen(move |mut stream| {
        let mut buffer = [0; 8192];
        while let Ok(1..) = stream.read(&mut buffer) {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", mebibytes << 20);
            if stream.write_all(head.as_bytes()).is_err() {
                return;
            }
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..mebibytes {
                if stream.write_all(&piece).is_err() {
                    return;
                }
            }
        }
    })
}

/// One request after the other on each of the connections, until all are answered.
pub(crate) fn run(to: SocketAddr, connections: usize, requests: usize) {
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(to).unwrap();
                stream.set_nodelay(true).unwrap();
                let (bytes, mut ahead, mut buffer) =
                    (request("/v1/files/a/b"), Vec::new(), [0; 8192]);
                for _ in 0..requests / connections {
                    stream.write_all(&bytes).unwrap();
                    ahead.clear();
                    // A head and its sixteen bytes; anything but 200 is no measurement.
                    while ends_head(&ahead).is_none_or(|end| ahead.len() < end + 16) {
                        let count = stream.read(&mut buffer).unwrap();
                        assert!(count > 0, "the proxy closed a connection");
                        ahead.extend_from_slice(&buffer[..count]);
                    }
                    assert!(
                        ahead.starts_with(b"HTTP/1.1 200"),
                        "{}",
                        String::from_utf8_lossy(&ahead)
                    );
                }
            });
        }
    });
}

/// Reads one big answer, telling how much has come now and then; all its bytes, head included.
pub(crate) fn download(from: SocketAddr, mut told: impl FnMut(u64)) -> u64 {
    let mut stream = TcpStream::connect(from).unwrap();
    let bytes = String::from_utf8(request("/v1/files/big")).unwrap();
    let closing = bytes.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(closing.as_bytes()).unwrap();
    let (mut total, mut next, mut buffer) = (0, 0, vec![0; 256 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        total += count as u64;
        if total > next {
            told(total);
            next += 16 << 20;
        }
    }
    total
}

/// How long each of so many requests with these keys takes to be refused, one after the other on one connection.
pub(crate) fn refusals(
    by: SocketAddr,
    subscriber: &str,
    vendor: &str,
    count: usize,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(by).unwrap();
    stream.set_nodelay(true).unwrap();
    let (bytes, mut buffer) = (request_as("/v1/files/a/b", subscriber, vendor), [0; 8192]);
    let times = (0..count).map(|_| {
        let begun = Instant::now();
        stream.write_all(&bytes).unwrap();
        let mut ahead = Vec::new();
        // A problem is one object with nothing behind it.
        while !ahead.ends_with(b"}") && !ahead.ends_with(b"}\n") {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the gateway closed the connection");
            ahead.extend_from_slice(&buffer[..count]);
        }
        assert!(ahead.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&ahead));
        begun.elapsed()
    });
    times.collect()
}
