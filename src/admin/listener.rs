//! Serving the admin router on a bound socket, plain or by TLS, with a limit on everything.
//!
//! HTTP/1.1 alone: people with browsers, probes and scrapers call here, a few at a time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// More probes and browsers at once than any operation has; beyond it callers wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// Of those, for one source: nobody takes all places alone, and a proxy before many people has enough.
const MAX_PER_SOURCE: usize = 64;
const MAX_HEAD_BYTES: usize = 16 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The whole life of a connection: the end of callers that do not read.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait for a descriptor when the process has none left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Asks for the TLS of the admin listener as it is configured now; none means plain HTTP.
pub type AdminTls = Box<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>;

/// Who is at the other end of the connection; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) https: bool,
}

impl Peer {
    fn new(address: SocketAddr, https: bool) -> Self {
        Self { address: address.ip().to_canonical(), https }
    }

    /// Whom to count as one: an address, or the network that one subscriber of IPv6 gets.
    pub(super) fn source(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        }
    }
}

/// How many connections each source has open now.
#[derive(Debug, Default)]
struct Sources(Mutex<HashMap<IpAddr, usize>>);

/// One connection of a source, given back when dropped.
#[derive(Debug)]
struct Open {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None where the source has all that it may have.
    fn open(self: &Arc<Self>, source: IpAddr) -> Option<Open> {
        let mut counts = self.counts();
        let count = counts.entry(source).or_insert(0);
        if *count >= MAX_PER_SOURCE {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Open { sources: Arc::clone(self), source })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut counts = self.sources.counts();
        if let Some(count) = counts.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

/// Serves until the future is dropped.
pub async fn serve(listener: TcpListener, tls: AdminTls, router: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let sources = Arc::new(Sources::default());
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin listener could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let tls = tls();
        let peer = Peer::new(address, tls.is_some());
        let Some(open) = sources.open(peer.source()) else {
            tracing::debug!(source = %peer.source(), "too many admin connections from one source");
            continue;
        };
        let router = router.clone().layer(Extension(peer));
        tokio::spawn(async move {
            if timeout(CONNECTION_TIMEOUT, connection(stream, tls, router)).await.is_err() {
                tracing::debug!("an admin connection was cut at its time limit");
            }
            drop((open, place));
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<Arc<ServerConfig>>, router: Router) {
    let Some(tls) = tls else { return speak_http(stream, router).await };
    match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => speak_http(stream, router).await,
        Ok(Err(error)) => tracing::debug!(%error, "an admin TLS handshake failed"),
        Err(_) => tracing::debug!("an admin TLS handshake took too long"),
    }
}

async fn speak_http<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_leaves_places_to_others_and_gets_back_what_it_gave_up() {
        let sources = Arc::new(Sources::default());
        let [one, other] = ["192.0.2.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut held: Vec<Open> = (0..MAX_PER_SOURCE).filter_map(|_| sources.open(one)).collect();
        assert_eq!(held.len(), MAX_PER_SOURCE);
        assert!(sources.open(one).is_none());
        assert!(sources.open(other).is_some());
        held.pop();
        held.extend(sources.open(one));
        assert_eq!(held.len(), MAX_PER_SOURCE);
        drop(held);
        assert!(sources.counts().is_empty(), "sources that are gone take no memory");
    }
}
