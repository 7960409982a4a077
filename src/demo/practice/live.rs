//! Appointments as they happen, over a WebSocket: the server's half of RFC 6455, as much of it as text events need.

use std::io;
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::interval;

use crate::demo::practice::{Body, error};
use crate::proxy::websocket::accept_of;

/// How often something happens at the front desk when nobody writes.
const RHYTHM: Duration = Duration::from_secs(2);
/// A caller sends control frames and little else.
const MOST_BYTES: u64 = 64 * 1024;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Answers the handshake, and goes on with events once the connection is handed over.
pub(super) fn upgrade(
    mut request: Request<Incoming>,
    events: broadcast::Receiver<Value>,
) -> Response<Body> {
    let asks = request.headers().get(UPGRADE).is_some_and(|to| to.as_bytes() == b"websocket");
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| asks) else {
        return error(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket");
    };
    let Ok(accept) = HeaderValue::from_bytes(&accept_of(key.as_bytes())) else {
        return error(StatusCode::BAD_REQUEST, "this handshake cannot be answered");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    spawn_local(async move {
        let ended = match upgraded.await {
            Ok(stream) => converse(TokioIo::new(stream), events).await,
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a live connection ended early");
        }
    });
    let mut answer = Response::new(Empty::new().boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

/// Sends events and answers control frames until the other side closes.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + 'static,
    mut events: broadcast::Receiver<Value>,
) -> io::Result<()> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    // Reading a frame cannot be broken off in its middle, so it has a task of its own.
    let (heard, mut hears) = mpsc::channel(1);
    spawn_local(async move {
        while let Ok(frame) = read_frame(&mut reading).await {
            if heard.send(frame).await.is_err() {
                break;
            }
        }
    });
    let mut desk = FrontDesk::default();
    let mut rhythm = interval(RHYTHM);
    loop {
        let event = tokio::select! {
            _ = rhythm.tick() => desk.next_event(),
            event = events.recv() => match event {
                Ok(event) => event,
                Err(RecvError::Lagged(missed)) => json!({ "event": "missed", "events": missed }),
                Err(RecvError::Closed) => return write_frame(&mut writing, CLOSE, &[]).await,
            },
            frame = hears.recv() => match frame {
                Some((PING, payload)) => {
                    write_frame(&mut writing, PONG, &payload).await?;
                    continue;
                }
                Some((CLOSE, payload)) => return write_frame(&mut writing, CLOSE, &payload).await,
                Some(_) => continue,
                None => return Ok(()),
            },
        };
        write_frame(&mut writing, TEXT, event.to_string().as_bytes()).await?;
    }
}

/// What happens at the desk by itself: patients arrive, one after the other.
#[derive(Debug, Default)]
struct FrontDesk {
    arrived: usize,
}

impl FrontDesk {
    fn next_event(&mut self) -> Value {
        const STEPS: [&str; 3] = ["arrived", "in_room", "done"];
        let (appointment, step) = (self.arrived / STEPS.len() % 4 + 1, self.arrived % STEPS.len());
        self.arrived += 1;
        let step = STEPS.get(step).copied().unwrap_or_default();
        json!({ "event": format!("appointment.{step}"), "id": format!("appt-{appointment}") })
    }
}

/// One frame of the caller: its opcode and its payload, unmasked.
async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let (first, second) = (from.read_u8().await?, from.read_u8().await?);
    let len = match second & 0x7F {
        126 => u64::from(from.read_u16().await?),
        127 => from.read_u64().await?,
        short => u64::from(short),
    };
    if second & 0x80 == 0 || len > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame that is taken here"));
    }
    let mut mask = [0; 4];
    from.read_exact(&mut mask).await?;
    let mut payload = vec![0; usize::try_from(len).unwrap_or_default()];
    from.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((first & 0x0F, payload))
}

/// One whole frame of ours, in a single write.
async fn write_frame(
    to: &mut (impl AsyncWrite + Unpin),
    opcode: u8,
    payload: &[u8],
) -> io::Result<()> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len), _) if len < 126 => frame.push(len),
        (_, Ok(len)) => {
            frame.push(126);
            frame.extend(len.to_be_bytes());
        }
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a frame that long is never sent",
            ));
        }
    }
    frame.extend(payload);
    to.write_all(&frame).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_read_unmasked_and_written_unmasked() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read_frame(&mut &hello[..]).await.unwrap(), (TEXT, b"Hello".to_vec()));
        let mut out = Vec::new();
        write_frame(&mut out, TEXT, b"Hello").await.unwrap();
        assert_eq!(out, b"\x81\x05Hello");
    }

    #[tokio::test]
    async fn an_unmasked_or_endless_frame_ends_the_conversation() {
        for bad in [&[0x81, 0x05][..], &[0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0]] {
            assert!(read_frame(&mut &bad[..]).await.is_err(), "{bad:?}");
        }
    }
}
