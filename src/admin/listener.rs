//! Serving the admin router on a bound socket, plain or by TLS, with a limit on everything.
//!
//! HTTP/1.1 alone: people with browsers, probes and scrapers call here, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
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
const MAX_HEAD_BYTES: usize = 16 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The whole life of a connection: the end of callers that do not read.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait for a descriptor when the process has none left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Asks for the TLS of the admin listener as it is configured now; none means plain HTTP.
pub type AdminTls = Box<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>;

/// Serves until the future is dropped.
pub async fn serve(listener: TcpListener, tls: AdminTls, router: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin listener could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, router) = (tls(), router.clone());
        tokio::spawn(async move {
            if timeout(CONNECTION_TIMEOUT, connection(stream, tls, router)).await.is_err() {
                tracing::debug!("an admin connection was cut at its time limit");
            }
            drop(place);
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
