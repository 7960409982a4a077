//! A fresh transport to a configured endpoint, and to nothing else: plain TCP, or TLS whose certificate was verified.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::client::TlsStream;

use crate::proxy::upstream::{Peer, Shared};

/// Which protocols are offered to an https endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Http1Only,
    Http2Too,
}

/// The endpoint was not reached in time, or is not whom it should be; no byte of a request was sent.
#[derive(Debug)]
pub(crate) struct Unreached;

#[derive(Debug)]
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects within the upstream's `connect_timeout`: the lookup of the name, every address and the TLS handshake included.
pub(crate) async fn connect(
    shared: &Shared,
    peer: &Peer,
    offer: Offer,
) -> Result<Transport, Unreached> {
    let reached = async {
        let socket = dial(peer).await?;
        match shared.tls.as_ref().zip(peer.server_name.clone()) {
            Some((tls, name)) => {
                let stream = tls.connector(offer).connect(name, socket).await?;
                Ok::<_, io::Error>(Transport::Tls(Box::new(stream)))
            }
            None if peer.endpoint.https => Err(io::ErrorKind::Unsupported.into()),
            None => Ok(Transport::Plain(socket)),
        }
    };
    match tokio::time::timeout(shared.spec.connect_timeout, reached).await {
        Ok(Ok(transport)) => Ok(transport),
        Ok(Err(error)) => Err(not_reached(shared, peer, &error)),
        Err(_) => Err(not_reached(shared, peer, &"connecting took too long")),
    }
}

/// The first failure after a success is for everybody to see; those that follow it would only repeat it.
fn not_reached(shared: &Shared, peer: &Peer, error: &dyn Display) -> Unreached {
    let (name, url) = (&shared.spec.name, &peer.url);
    if peer.health.is_unblemished() {
        tracing::warn!(upstream.name = %name, upstream.url = %url, %error, "upstream endpoint not reached");
    } else {
        tracing::debug!(upstream.name = %name, upstream.url = %url, %error, "upstream endpoint not reached");
    }
    Unreached
}

/// The name is looked up for every new connection, so that a changed record is followed.
async fn dial(peer: &Peer) -> io::Result<TcpStream> {
    let socket = match peer.address {
        Some(address) => TcpStream::connect(address).await?,
        None => {
            let found = lookup_host((peer.endpoint.host.as_str(), peer.endpoint.port)).await?;
            first_reachable(found).await?
        }
    };
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn first_reachable(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::NotFound.into();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Transport {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2"))
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
